//! Packing, codec, world model, sampler and training: the only crate that knows tensors.
//!
//! A [`world::World`] is read from a folder; a [`dreamer::Dreamer`] walks in it, one section of
//! frames at a time. It reads no clock and no environment: the same world, options, actions and
//! seed give the same frames. Published video models with packed history are in [`framepack`].
//!
//! Two parts are plain on purpose, so that a small network learns soon. The codec's encoder is one linear
//! filter, and before a section is sampled, a mixture of linear filters moves the newest frame as the
//! actions say: what it makes is added to the section's own tokens. What is left to the transformer is
//! what moving does not explain: what comes into sight, and what was there before.
//!
//! Where recorded play tells its places, a world keeps some of its frames in an [`atlas`]: a walk that begins at a known
//! place reckons its way on their map. Views whose camera is known are warped to where it has come to, for the network to
//! paint over, and give what it painted their fine detail. Others are retrieved by place, with all that the walk sees itself,
//! and the network is told where each was seen from.
//!
//! # Symbols
//!
//! `B` batch, `T` latent frames, `C` channels, `H W` latent cells, `L` tokens, `D` width of a token,
//! `N` heads, `R` rows of tokens of many groups, `G` groups, `S` sections, `g` frames of a section,
//! `A` features of an action.

pub mod adapter;
pub mod agreement;
pub mod atlas;
pub mod codebook;
pub mod codec;
pub mod cost;
pub mod device;
pub mod dreamer;
pub mod encoders;
pub mod error;
pub mod framepack;
#[cfg(test)]
mod golden;
mod graph;
pub mod lpips;
pub mod model;
pub mod noise;
pub mod ops;
pub mod pack;
pub mod picture;
mod reckoning;
pub mod sampler;
pub mod train;
pub mod untrained;
pub mod vae;
pub mod video;
pub mod weights;
pub mod world;

pub use error::Error;
