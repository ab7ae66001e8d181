//! The transformer of Wan 2.1, with packed history where its weights have projections for it.
//!
//! Wan, "Wan: Open and Advanced Large-Scale Video Generative Models", arXiv 2503.20314.

mod block;
mod config;
#[cfg(test)]
pub(super) mod tests;

pub use config::Config;

use super::blocks::{Blocks, Residence};
use super::embed::Embedders;
use super::layers::{LevelEmbedder, Norm, Perceptron, Projection, modulate};
use super::packed::Packed;
use crate::model::unpatchify;
use crate::ops::{gelu, silu};
use crate::weights::Weights;
use block::{Block, Scene, modulations};
use candle_core::{DType, Result, Tensor, bail};

/// Path of the projection of noisy patches, from which those of the history start.
pub const PATCH: &str = "patch_embedding";

/// Conditions of a section.
#[derive(Clone, Debug)]
pub struct Condition {
    /// States of the text encoder, padded with zeros to the 512 that the network was trained on: (B, 512, `text_dim`).
    pub text: Tensor,
    /// States of the image encoder: (B, L, `image_dim`).
    pub image: Option<Tensor>,
}

/// The network.
#[derive(Clone, Debug)]
pub struct Transformer {
    config: Config,
    embedders: Embedders,
    level: LevelEmbedder,
    modulation: Projection,
    text: Perceptron,
    image: Option<ImageEmbedder>,
    blocks: Blocks<Config, Block>,
    /// Shift and scale of the head: (1, 2, D).
    table: Tensor,
    head: Projection,
}

impl Transformer {
    /// Reads the network's weights, those of its blocks now or at every turn.
    ///
    /// # Errors
    /// A tensor is missing or has another shape; the message names it.
    pub fn new(config: &Config, weights: &Weights, residence: Residence) -> Result<Self> {
        let width = config.width();
        let condition = weights.pp("condition_embedder");
        let image = config
            .image_dim
            .map(|inputs| ImageEmbedder::new(inputs, width, &condition.pp("image_embedder")));
        let (count, blocks) = (config.num_layers, weights.pp("blocks"));
        Ok(Self {
            embedders: Embedders::new(config.in_channels, width, PATCH, weights)?,
            level: LevelEmbedder::new(width, &condition.pp("time_embedder"))?,
            modulation: Projection::new(width, 6 * width, &condition.pp("time_proj"))?,
            text: Perceptron::embedder(
                config.text_dim,
                width,
                gelu,
                &condition.pp("text_embedder"),
            )?,
            image: image.transpose()?,
            blocks: Blocks::new(config, count, Block::new, blocks, residence)?,
            table: weights.get((1, 2, width), "scale_shift_table")?,
            head: Projection::new(width, 4 * config.out_channels, &weights.pp("proj_out"))?,
            config: config.clone(),
        })
    }

    /// Sizes.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The velocity of the noisy section, in 32 bits: (B, C, T, H, W).
    ///
    /// levels: (B), noise levels of the section in 0..=1000.
    ///
    /// # Errors
    /// The parts differ in batch or picture size.
    pub fn forward(
        &self,
        packed: &Packed,
        levels: &Tensor,
        condition: &Condition,
    ) -> Result<Tensor> {
        self.watched(packed, levels, condition, &mut |_, _| ())
    }

    /// [`forward`](Self::forward), showing what each stage makes to `watch`, by name.
    fn watched(
        &self,
        packed: &Packed,
        levels: &Tensor,
        condition: &Condition,
        watch: &mut dyn FnMut(&str, &Tensor),
    ) -> Result<Tensor> {
        let (mut x, rotation) = self.embedders.forward(packed, &self.config.rotary())?;
        let (batch, tokens, width) = x.dims3()?;
        if condition.text.dim(0)? != batch {
            bail!("expected {batch} texts, got {:?}", condition.text);
        }
        watch("tokens", &x);
        let embedding = self.level.forward(levels)?;
        watch("temb", &embedding);
        let modulation = self.modulation.forward(&silu(&embedding)?)?;
        let image = match (&self.image, &condition.image) {
            (Some(embedder), Some(image)) => Some(embedder.forward(image)?),
            (Some(_) | None, _) => None,
        };
        let modulation = modulation.reshape((batch, 6, width))?.to_dtype(DType::F32)?;
        let text = self.text.forward(&condition.text)?;
        let scene = Scene { modulation, rotation, text, image };
        for at in 0..self.blocks.len() {
            x = self.blocks.get(at)?.forward(&x, &scene)?;
            watch(&format!("block{at}"), &x);
        }
        let (rows, columns) = packed.grid()?;
        let noisy = packed.noisy.times.len() * rows * columns;
        let x = x.narrow(1, tokens - noisy, noisy)?.contiguous()?;
        self.finish(&x, &embedding, (rows, columns))
    }

    /// Tokens of the noisy section to its velocity.
    fn finish(
        &self,
        x: &Tensor,
        embedding: &Tensor,
        (rows, columns): (usize, usize),
    ) -> Result<Tensor> {
        let shared = embedding.unsqueeze(1)?.to_dtype(DType::F32)?;
        let shared = Tensor::cat(&[&shared, &shared], 1)?;
        let modulation = modulations(&self.table, &shared, x)?;
        let x = self.head.forward(&modulate(x, &modulation[0], &modulation[1])?)?;
        let (batch, tokens, _) = x.dims3()?;
        let channels = self.config.out_channels;
        // Here, unlike in the weights of the patches, channels run fastest.
        let patches = x
            .to_dtype(DType::F32)?
            .reshape((batch * tokens, 4, channels))?
            .transpose(1, 2)?
            .reshape((batch * tokens, 4 * channels))?;
        unpatchify(&patches, channels, (rows, columns))? // B · T, C, H, W
            .reshape((batch, (), channels, 2 * rows, 2 * columns))?
            .transpose(1, 2)?
            .contiguous()
    }
}

/// States of an image encoder to tokens.
#[derive(Clone, Debug)]
struct ImageEmbedder {
    before: Norm,
    ff: Perceptron,
    after: Norm,
}

impl ImageEmbedder {
    fn new(inputs: usize, width: usize, weights: &Weights) -> Result<Self> {
        let sizes = [inputs, inputs, width];
        Ok(Self {
            before: Norm::new(inputs, 1e-5, &weights.pp("norm1"))?,
            ff: Perceptron::new(
                sizes,
                ("net.0.proj", "net.2"),
                Tensor::gelu_erf,
                &weights.pp("ff"),
            )?,
            after: Norm::new(width, 1e-5, &weights.pp("norm2"))?,
        })
    }

    fn forward(&self, image: &Tensor) -> Result<Tensor> {
        self.after.forward(&self.ff.forward(&self.before.forward(image)?)?)
    }
}
