//! The autoencoder of either model.

use super::{HunyuanVae, Posterior, Tiling, WanVae, video};
use crate::error::Error;
use candle_core::{DType, Device, Result, Tensor};
use input::Frame;
use std::path::Path;

/// Pixels of a latent along each side, of either.
pub const SIDE: usize = 8;
/// Frames of a latent but the first, of either.
pub const FRAMES: usize = 4;

/// An autoencoder with the type that it computes in; what goes in and out is in 32 bits.
#[derive(Clone, Debug)]
pub struct Autoencoder {
    network: Network,
    dtype: DType,
}

#[derive(Clone, Debug)]
enum Network {
    Hunyuan(HunyuanVae),
    Wan(WanVae),
}

impl Autoencoder {
    /// Opens the folder of `HunyuanVideo`'s.
    ///
    /// # Errors
    /// Something is missing or is of another network; the file is named.
    pub fn hunyuan(
        folder: &Path,
        dtype: DType,
        device: &Device,
    ) -> std::result::Result<Self, Error> {
        let network = Network::Hunyuan(HunyuanVae::open(folder, Tiling::default(), dtype, device)?);
        Ok(Self { network, dtype })
    }

    /// Opens the folder of Wan's.
    ///
    /// # Errors
    /// Something is missing or is of another network; the file is named.
    pub fn wan(folder: &Path, dtype: DType, device: &Device) -> std::result::Result<Self, Error> {
        let network = Network::Wan(WanVae::open(folder, Tiling::default().side, dtype, device)?);
        Ok(Self { network, dtype })
    }

    /// Latents of videos in -1..=1, (B, 3, 1 + 4 k, 8 h, 8 w): (B, C, 1 + k, h, w).
    ///
    /// # Errors
    /// The video has another size.
    pub fn encode(&self, videos: &Tensor) -> Result<Tensor> {
        let videos = videos.to_dtype(self.dtype)?;
        let posterior: Posterior = match &self.network {
            Network::Hunyuan(vae) => vae.encode(&videos)?,
            Network::Wan(vae) => vae.encode(&videos)?,
        };
        posterior.mode().to_dtype(DType::F32)
    }

    /// Latents of 1 + 4 k pictures of one size, whose sides are multiples of 8: (1, C, 1 + k, h, w).
    ///
    /// # Errors
    /// There are other numbers of them, or they differ in size.
    pub fn encode_frames(&self, frames: &[Frame], device: &Device) -> Result<Tensor> {
        self.encode(&video::tensor(frames, DType::F32, device)?)
    }

    /// Videos of latents (B, C, 1 + k, h, w), near -1..=1: (B, 3, 1 + 4 k, 8 h, 8 w).
    ///
    /// # Errors
    /// The latents have another number of channels.
    pub fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        let latents = latents.to_dtype(self.dtype)?;
        let videos = match &self.network {
            Network::Hunyuan(vae) => vae.decode(&latents)?,
            Network::Wan(vae) => vae.decode(&latents)?,
        };
        videos.to_dtype(DType::F32)
    }
}
