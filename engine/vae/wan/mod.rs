//! The autoencoder of Wan 2.1: 4 frames of 8x8 pixels are one latent.
//!
//! Causal over time, so a video goes through piece by piece, the first frame alone and then four at a time, and each
//! layer keeps the last frames it saw: memory does not grow with length, and the result is that of the whole video.
//! Tensors are named as in diffusers' `AutoencoderKLWan`, in whose form the weights are published too.
//!
//! Team Wan, "Wan: Open and Advanced Large-Scale Video Generative Models" (2025), §4.1.

mod block;
mod config;
mod decoder;
mod encoder;
mod past;

pub use config::WanVaeConfig;

use super::conv::Conv3d;
use super::posterior::{Posterior, Units};
use super::tiling::{Scaled, Tiles, pictures};
use super::video;
use crate::error::Error;
use crate::weights::read_network;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use config::{FRAMES, SIDE};
use decoder::Decoder;
use encoder::Encoder;
use past::Past;
use std::path::Path;

/// Encoder and decoder with their weights.
#[derive(Clone, Debug)]
pub struct WanVae {
    encoder: Encoder,
    decoder: Decoder,
    quant: Conv3d,
    post_quant: Conv3d,
    units: Units,
    tiles: Tiles,
    channels: usize,
}

impl WanVae {
    /// Reads `encoder`, `decoder`, `quant_conv` and `post_quant_conv`. Pictures are cut into `tiles`, in pixels.
    ///
    /// # Errors
    /// The sizes are none that the network can have, or a tensor is missing or has another shape.
    pub fn new(
        config: &WanVaeConfig,
        tiles: Tiles,
        vb: &VarBuilder<'_>,
    ) -> candle_core::Result<Self> {
        config.check()?;
        tiles.check("pixels", SIDE)?;
        let channels = config.z_dim;
        let scale: Vec<f64> =
            config.latents_std.iter().map(|deviation| deviation.recip()).collect();
        Ok(Self {
            encoder: Encoder::new(config, &vb.pp("encoder"))?,
            decoder: Decoder::new(config, &vb.pp("decoder"))?,
            quant: Conv3d::pointwise(2 * channels, 2 * channels, &vb.pp("quant_conv"))?,
            post_quant: Conv3d::pointwise(channels, channels, &vb.pp("post_quant_conv"))?,
            units: Units::new(&config.latents_mean, &scale, vb.dtype(), vb.device())?,
            tiles,
            channels,
        })
    }

    /// Opens a folder with `config.json` and the weights.
    ///
    /// # Errors
    /// Something is missing or is of another network; the file is named.
    pub fn open(folder: &Path, tiles: Tiles, dtype: DType, device: &Device) -> Result<Self, Error> {
        read_network(folder, dtype, device, |config, vb| Self::new(config, tiles, vb))
    }

    /// Latents of videos in -1..=1, (B, 3, 1 + 4 k, 8 h, 8 w): (B, C, 1 + k, h, w).
    ///
    /// # Errors
    /// The video has another size.
    pub fn encode(&self, videos: &Tensor) -> candle_core::Result<Posterior> {
        video::check_frames(videos, FRAMES, SIDE)?;
        let network = |x: &Tensor| {
            let rest = (1..x.dim(0)?).step_by(FRAMES).map(|at| x.narrow(0, at, FRAMES));
            let pieces = std::iter::once(x.narrow(0, 0, 1)).chain(rest);
            self.quant.forward(&Past::run(pieces, |x, past| self.encoder.forward(x, past))?)
        };
        let tiles = Scaled::encode(self.tiles, SIDE);
        self.units.posterior(&video::each(videos, |x| pictures(x, tiles, network))?)
    }

    /// Videos of latents (B, C, 1 + k, h, w), in -1..=1: (B, 3, 1 + 4 k, 8 h, 8 w).
    ///
    /// # Errors
    /// The latents have another number of channels.
    pub fn decode(&self, latents: &Tensor) -> candle_core::Result<Tensor> {
        video::check_latents(latents, self.channels)?;
        let network = |x: &Tensor| {
            let x = self.post_quant.forward(x)?;
            let pieces = (0..x.dim(0)?).map(|at| x.narrow(0, at, 1));
            Past::run(pieces, |x, past| self.decoder.forward(x, past))
        };
        let tiles = Scaled::decode(self.tiles, SIDE);
        let latents = self.units.undo(latents)?;
        video::each(&latents, |x| pictures(x, tiles, network))?.clamp(-1_f32, 1_f32)
    }
}

#[cfg(test)]
mod tests;
