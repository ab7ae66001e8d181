//! The autoencoder of HunyuanVideo, which the released FramePack keeps: 4 frames of 8x8 pixels are one latent.
//!
//! A causal convolutional network over time, rows and columns; the first frame is a latent of its own, so 1 + 4 k frames
//! are 1 + k latents. Tensors are named as in diffusers' `AutoencoderKLHunyuanVideo`, in whose form the weights are
//! published.
//!
//! W. Kong et al., "HunyuanVideo: A Systematic Framework For Large Video Generative Models" (2024), §4.1.

mod block;
mod config;
mod decoder;
mod encoder;

pub use config::HunyuanVaeConfig;

use super::conv::Conv3d;
use super::posterior::{Posterior, Units};
use super::tiling::{Scaled, Tiling, frames, pictures};
use super::video;
use crate::error::Error;
use crate::weights::read_network;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use config::{FRAMES, SIDE};
use decoder::Decoder;
use encoder::Encoder;
use std::path::Path;

/// Encoder and decoder with their weights.
#[derive(Clone, Debug)]
pub struct HunyuanVae {
    encoder: Encoder,
    decoder: Decoder,
    quant: Conv3d,
    post_quant: Conv3d,
    units: Units,
    tiling: Tiling,
    channels: usize,
}

impl HunyuanVae {
    /// Reads `encoder`, `decoder`, `quant_conv` and `post_quant_conv`.
    ///
    /// # Errors
    /// The sizes are none that the network can have, or a tensor is missing or has another shape.
    pub fn new(
        config: &HunyuanVaeConfig,
        tiling: Tiling,
        vb: &VarBuilder<'_>,
    ) -> candle_core::Result<Self> {
        config.check()?;
        tiling.check(FRAMES, SIDE)?;
        let channels = config.latent_channels;
        let pointwise = |channels, name| Conv3d::pointwise(channels, channels, &vb.pp(name));
        Ok(Self {
            encoder: Encoder::new(config, &vb.pp("encoder"))?,
            decoder: Decoder::new(config, &vb.pp("decoder"))?,
            quant: pointwise(2 * channels, "quant_conv")?,
            post_quant: pointwise(channels, "post_quant_conv")?,
            units: Units::new(&[0.0], &[config.scaling_factor], vb.dtype(), vb.device())?,
            tiling,
            channels,
        })
    }

    /// Opens a folder with `config.json` and the weights.
    ///
    /// # Errors
    /// Something is missing or is of another network; the file is named.
    pub fn open(
        folder: &Path,
        tiling: Tiling,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, Error> {
        read_network(folder, dtype, device, |config, vb| Self::new(config, tiling, vb))
    }

    /// Latents of videos in -1..=1, (B, 3, 1 + 4 k, 8 h, 8 w): (B, C, 1 + k, h, w).
    ///
    /// # Errors
    /// The video has another size.
    pub fn encode(&self, videos: &Tensor) -> candle_core::Result<Posterior> {
        video::check_frames(videos, FRAMES, SIDE)?;
        let network = |x: &Tensor| self.quant.forward(&self.encoder.forward(x)?);
        let (time, side) = (self.tiling.frames, self.tiling.side);
        let moments = video::each(videos, |x| {
            frames(x, Scaled::encode(time, FRAMES), |x| {
                pictures(x, Scaled::encode(side, SIDE), network)
            })
        })?;
        self.units.posterior(&moments)
    }

    /// Videos of latents (B, C, 1 + k, h, w), near -1..=1 and not clamped: (B, 3, 1 + 4 k, 8 h, 8 w).
    ///
    /// # Errors
    /// The latents have another number of channels.
    pub fn decode(&self, latents: &Tensor) -> candle_core::Result<Tensor> {
        video::check_latents(latents, self.channels)?;
        let network = |x: &Tensor| self.decoder.forward(&self.post_quant.forward(x)?);
        let (time, side) = (self.tiling.frames, self.tiling.side);
        video::each(&self.units.undo(latents)?, |x| {
            frames(x, Scaled::decode(time, FRAMES), |x| {
                pictures(x, Scaled::decode(side, SIDE), network)
            })
        })
    }
}

#[cfg(test)]
mod tests;
