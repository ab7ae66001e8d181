//! SigLIP's picture tower: one vector per patch of a picture.
//!
//! FramePack shows its transformer the states of all patches, behind the last normalisation (X. Zhai et al., "Sigmoid
//! Loss for Language Image Pre-Training" (2023)).

use super::layers::under;
use super::tower::{Activation, Tower, TowerConfig};
use crate::error::Error;
use crate::picture::{self, Filter};
use crate::weights::{check_sizes, read_network};
use candle_core::{DType, Device, Tensor, bail};
use candle_nn::{Conv2d, Conv2dConfig, LayerNorm, Module as _, VarBuilder};
use input::Frame;
use std::path::Path;

const PATCHES: &str = "embeddings.patch_embedding.weight";
const COLOURS: usize = 3;

/// Sizes of the network, as its published `config.json` tells them.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default)]
pub struct SiglipConfig {
    /// Width of a patch's vector, D.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads, N.
    pub num_attention_heads: usize,
    /// Pixels of a picture along each side.
    pub image_size: usize,
    /// Pixels of a patch along each side; what is left over at the end is not seen.
    pub patch_size: usize,
    /// What bends the feed-forward layers.
    pub hidden_act: Activation,
    /// Added to variances before their roots.
    pub layer_norm_eps: f64,
}

impl Default for SiglipConfig {
    /// SigLIP so400m with patches of 14 and pictures of 384 pixels: 729 patches.
    fn default() -> Self {
        Self {
            hidden_size: 1152,
            intermediate_size: 4304,
            num_hidden_layers: 27,
            num_attention_heads: 16,
            image_size: 384,
            patch_size: 14,
            hidden_act: Activation::GeluPytorchTanh,
            layer_norm_eps: 1e-6,
        }
    }
}

/// The network with its weights.
#[derive(Clone, Debug)]
pub struct Siglip {
    patches: Conv2d,
    positions: Tensor,
    tower: Tower,
    norm: LayerNorm,
    side: usize,
}

impl Siglip {
    /// Reads the weights.
    ///
    /// # Errors
    /// The sizes are none that the network can have, or a tensor is missing or has another shape.
    pub fn new(config: &SiglipConfig, vb: &VarBuilder<'_>) -> candle_core::Result<Self> {
        let SiglipConfig { hidden_size: width, image_size, patch_size, .. } = *config;
        check_sizes(&[("image_size", image_size), ("patch_size", patch_size)])?;
        if patch_size > image_size {
            bail!("expected patches of 1 to {image_size} pixels, got {patch_size}");
        }
        let vb = under(vb, &["vision_model", ""], PATCHES)?;
        let tower = TowerConfig {
            width,
            inner: config.intermediate_size,
            heads: config.num_attention_heads,
            layers: config.num_hidden_layers,
            activation: config.hidden_act,
            epsilon: config.layer_norm_eps,
        };
        let stride = Conv2dConfig { stride: patch_size, ..Conv2dConfig::default() };
        let embeddings = vb.pp("embeddings");
        let count = (image_size / patch_size).pow(2);
        let patches = embeddings.pp("patch_embedding");
        Ok(Self {
            patches: candle_nn::conv2d(COLOURS, width, patch_size, stride, patches)?,
            positions: embeddings.get((count, width), "position_embedding.weight")?,
            tower: Tower::new(tower, &vb.pp("encoder"))?,
            norm: candle_nn::layer_norm(width, config.layer_norm_eps, vb.pp("post_layernorm"))?,
            side: image_size,
        })
    }

    /// Opens a folder with `config.json` and the weights.
    ///
    /// # Errors
    /// Something is missing or is of another network; the file is named.
    pub fn open(folder: &Path, dtype: DType, device: &Device) -> Result<Self, Error> {
        read_network(folder, dtype, device, |config, vb| Self::new(config, vb))
    }

    /// Vectors of the patches of a picture, which is stretched to a square: (L, D).
    ///
    /// # Errors
    /// The picture has no pixel.
    pub fn encode(&self, frame: &Frame) -> candle_core::Result<Tensor> {
        let side = u32::try_from(self.side)?;
        picture::check(frame)?;
        let frame = picture::resampled(frame, side, side, Filter::Bicubic);
        let picture = picture::tensor(&frame, self.positions.device())?;
        self.forward(&picture.to_dtype(self.positions.dtype())?)
    }

    /// Vectors of the patches, row by row, (L, D), of a picture in -1..=1, (3, side, side).
    ///
    /// # Errors
    /// The picture has another size.
    pub fn forward(&self, picture: &Tensor) -> candle_core::Result<Tensor> {
        let side = self.side;
        if picture.dims() != [COLOURS, side, side] {
            bail!("expected a picture of (3, {side}, {side}), got {:?}", picture.dims());
        }
        let x = self.patches.forward(&picture.unsqueeze(0)?)?.squeeze(0)?; // D, rows, columns
        let x = (x.flatten_from(1)?.t()?.contiguous()? + &self.positions)?;
        self.norm.forward(&self.tower.forward(&x, None)?)
    }
}
