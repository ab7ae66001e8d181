//! The codec: pictures to latents of an eighth of their size, and back.
//!
//! An autoencoder without a prior: a linear encoder, and a convolutional decoder that knows what pictures
//! look like. Latents are told in another basis before anything else sees them, which lies beside the
//! weights. Tensors are channel-last inside; names and
//! layout of the weights are those of a PyTorch module.

mod basis;
mod decoder;
mod encoder;
mod painter;
#[cfg(feature = "cuda")]
mod pinned;
mod residual;
mod shuffle;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use painter::Painting;

use crate::ops::Precision;
use basis::Basis;
use candle_core::{DType, Device, Result, Tensor, bail};
use candle_nn::VarBuilder;
use painter::Painter;
use std::collections::BTreeMap;
use std::path::Path;

/// Pixels of a picture per latent cell, along each side.
pub const CELL: usize = 8;

/// Values of a pixel: red, green, blue.
pub(crate) const COLOURS: usize = 3;

/// Pictures that go through the networks at once: bounds the memory, and fills the processor.
const AT_ONCE: usize = 8;

/// Sizes of the codec.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct CodecConfig {
    /// Latent channels, C.
    pub channels: usize,
    /// Width of the decoder at 1/8 of the picture's size.
    pub low: usize,
    /// Width at 1/4.
    pub mid: usize,
    /// Width at 1/2.
    pub high: usize,
    /// Residual blocks at 1/8 and at 1/4.
    pub blocks: usize,
    /// Residual blocks at 1/2.
    pub high_blocks: usize,
    /// How products are rounded.
    #[serde(default)]
    pub precision: Precision,
}

impl CodecConfig {
    /// For tests: networks that run in milliseconds.
    pub fn tiny() -> Self {
        Self {
            channels: 4,
            low: 16,
            mid: 12,
            high: 8,
            blocks: 1,
            high_blocks: 1,
            precision: Precision::F32,
        }
    }

    /// The shipped size: 1.6 million parameters.
    pub fn base() -> Self {
        Self {
            channels: 16,
            low: 128,
            mid: 96,
            high: 48,
            blocks: 2,
            high_blocks: 1,
            precision: Precision::Int16,
        }
    }
}

/// Encoder, decoder and the basis of the latents between them.
#[derive(Clone, Debug)]
pub struct Codec {
    config: CodecConfig,
    encoder: Encoder,
    basis: Basis,
    painter: Painter,
    device: Device,
}

impl Codec {
    /// Reads `encoder`, `decoder` and `normalize`.
    ///
    /// # Errors
    /// A tensor is missing or has another shape, or the basis is none.
    pub fn new(config: &CodecConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            config: config.clone(),
            encoder: Encoder::new(config, &vb.pp("encoder"))?,
            basis: Basis::new(config.channels, vb)?,
            painter: Painter::new(config, vb)?,
            device: vb.device().clone(),
        })
    }

    /// Reads the weights from a file and prepares them for use.
    ///
    /// # Errors
    /// The file is missing, damaged, or of another codec; the message names it.
    pub fn open(config: &CodecConfig, path: &Path, device: &Device) -> Result<Self> {
        let named = |error: candle_core::Error| {
            candle_core::Error::Msg(format!("{error}: {}", path.display()))
        };
        let tensors = candle_core::safetensors::load(path, device).map_err(named)?;
        let vb = VarBuilder::from_tensors(tensors, DType::F32, device);
        let mut codec = Self::new(config, &vb).map_err(named)?;
        codec.freeze()?;
        Ok(codec)
    }

    /// Prepares the weights for the fast kernels: call when they no longer change.
    pub fn freeze(&mut self) -> Result<()> {
        self.encoder.freeze()?;
        self.painter.freeze(self.config.precision)
    }

    /// Sizes.
    pub fn config(&self) -> &CodecConfig {
        &self.config
    }

    /// Latents of RGB pictures, (B, height, width, 3) bytes: (B, C, height / 8, width / 8).
    ///
    /// # Errors
    /// A side is no multiple of 8, or the bytes are no whole number of pictures.
    pub fn encode(&self, frames: &[u8], height: usize, width: usize) -> Result<Tensor> {
        let picture = picture_len(height, width)?;
        if frames.is_empty() || !frames.len().is_multiple_of(picture) {
            let got = frames.len();
            bail!("expected pictures of {picture} bytes ({width}x{height} RGB), got {got} bytes");
        }
        let latents = frames.chunks(AT_ONCE * picture).map(|frames| {
            let x = pixels(frames, height, width, &self.device)?;
            let latents = self.basis.apply(&self.encoder.forward(&x)?)?;
            latents.permute((0, 3, 1, 2))?.contiguous()
        });
        Tensor::cat(&latents.collect::<Result<Vec<_>>>()?, 0)
    }

    /// RGB pictures, (B, 8 · h, 8 · w, 3) bytes, of latents (B, C, h, w).
    ///
    /// # Errors
    /// The latents have another number of channels than the codec.
    pub fn decode(&self, latents: &Tensor) -> Result<Vec<u8>> {
        self.begin_decode(latents)?.wait()
    }

    /// [`Self::decode`] that a GPU goes on with by itself.
    ///
    /// # Errors
    /// The latents have another number of channels than the codec.
    pub fn begin_decode(&self, latents: &Tensor) -> Result<Painting> {
        let (_, channels, ..) = latents.dims4()?;
        if channels != self.config.channels {
            bail!("expected latents of {} channels, got {channels}", self.config.channels);
        }
        self.painter.begin(latents)
    }

    /// The tensors of the basis that fits these latents (B, C, h, w) of a codec that has none yet.
    pub(crate) fn fit_basis(&self, latents: &Tensor) -> Result<BTreeMap<String, Tensor>> {
        self.painter.fit_basis(latents)
    }

    /// An untrained one of [`CodecConfig::tiny`].
    #[cfg(test)]
    pub(crate) fn tiny() -> Self {
        let config = CodecConfig::tiny();
        let mut weights = crate::train::initial_codec_weights(&config, 7).expect("sizes fit");
        weights.extend(Self::no_basis(config.channels).expect("a basis"));
        let weights = weights.into_iter().collect();
        let vb = VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
        Self::new(&config, &vb).expect("all weights are there")
    }

    /// The tensors of a basis that leaves latents of `channels` channels as they are.
    pub(crate) fn no_basis(channels: usize) -> Result<BTreeMap<String, Tensor>> {
        Basis::identity(channels)
    }
}

/// Bytes of one RGB picture.
pub(crate) fn picture_len(height: usize, width: usize) -> Result<usize> {
    let fits = |side: usize| side > 0 && side.is_multiple_of(CELL);
    let len = height.checked_mul(width).and_then(|pixels| pixels.checked_mul(COLOURS));
    match len {
        Some(len) if fits(height) && fits(width) => Ok(len),
        _ => bail!("expected a picture whose sides are multiples of {CELL}, got {width}x{height}"),
    }
}

/// RGB bytes as the networks see them, in -1..=1: (B, height, width, 3).
pub(crate) fn pixels(
    frames: &[u8],
    height: usize,
    width: usize,
    device: &Device,
) -> Result<Tensor> {
    let values: Vec<f32> = frames.iter().map(|&byte| f32::from(byte) / 127.5 - 1.0).collect();
    let count = frames.len() / (height * width * COLOURS);
    Tensor::from_vec(values, (count, height, width, COLOURS), device)
}

#[cfg(test)]
mod tests;
