//! Published video models with `FramePack`: `HunyuanVideo` as released, and Wan 2.1 to be finetuned.
//!
//! Their history is packed as ours is, kernel by kernel, with the same patches and phases; but it goes through all
//! blocks together with the noisy section, every token attending to every other, all at the section's noise level.
//! Nothing of it can be cached. What a network predicts is the velocity of a straight path, n - x.
//!
//! Tensor names are those that the models are published under, so that their files are read as they are:
//!
//! | module | what it is |
//! |---|---|
//! | [`packed`], [`embed`] | a section with its packed history, and its tokens |
//! | [`hunyuan`], [`wan`], [`blocks`] | the networks, and whether their blocks stay in memory |
//! | [`flow`] | noise levels and the solvers that go down them |
//! | [`window`], [`generate`] | which history each section sees, and the loop over sections |
//! | [`network`], [`told`], [`types`] | either network, what it is told, what it computes in |
//! | [`film`], [`kept`], [`memory`] | a video with its pictures, its sections as files, what it needs of memory |
//! | [`finetune`], [`tune`] | low-rank finetuning, of an [`Adapter`](crate::adapter::Adapter) |
//! | [`check`] | a folder of a model, looked over |
//!
//! L. Zhang et al., "Frame Context Packing and Drift Prevention in Next-Frame-Prediction Video Diffusion Models",
//! arXiv 2504.12626.

pub mod blocks;
pub mod check;
pub mod embed;
pub mod film;
pub mod finetune;
pub mod flow;
pub mod generate;
pub mod hunyuan;
pub mod kept;
pub mod memory;
pub mod network;
pub mod packed;
pub mod told;
pub mod tune;
pub mod types;
pub mod wan;
pub mod window;

mod layers;
mod sizes;
