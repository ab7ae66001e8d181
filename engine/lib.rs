//! Packing, codec, world model, sampler and training: the only crate that knows tensors.
//!
//! A [`world::World`] is read from a folder; a [`dreamer::Dreamer`] walks in it, one section of
//! frames at a time. It reads no clock and no environment: the same world, options, actions and
//! seed give the same frames.
//!
//! # Symbols
//!
//! `B` batch, `T` latent frames, `C` channels, `H W` latent cells, `L` tokens, `D` width of a token,
//! `N` heads, `R` rows of tokens of many groups, `G` groups, `S` sections, `g` frames of a section,
//! `A` features of an action.

pub mod codebook;
pub mod codec;
pub mod device;
pub mod dreamer;
pub mod error;
pub mod lpips;
pub mod model;
pub mod noise;
pub mod ops;
pub mod pack;
pub mod sampler;
pub mod train;
pub mod video;
pub mod world;

pub use error::Error;
