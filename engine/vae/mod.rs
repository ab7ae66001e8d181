//! Autoencoders of the video networks that FramePack finetunes: videos to the latents of their transformers, and back.
//!
//! Both are causal in time: 1 + 4 k frames of 8 h x 8 w pixels are 1 + k latents of h x w cells, and the first frame
//! is a latent of its own. Videos and latents are (B, C, T, H, W) outside; inside one video goes through at a time,
//! frames first, (T, C, H, W), so that convolutions over pictures take frames for a batch.

pub mod autoencoder;
#[cfg(test)]
mod check;
mod conv;
mod hunyuan;
mod posterior;
pub mod section;
mod tiling;
pub mod video;
mod wan;

pub use autoencoder::Autoencoder;
pub use hunyuan::{HunyuanVae, HunyuanVaeConfig};
pub use posterior::Posterior;
pub use tiling::{Tiles, Tiling};
pub use wan::{WanVae, WanVaeConfig};
