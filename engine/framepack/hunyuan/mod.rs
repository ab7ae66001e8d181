//! The transformer of `HunyuanVideo` as `FramePack` released it.
//!
//! W. Kong et al., "`HunyuanVideo`: A Systematic Framework For Large Video Generative Models", arXiv 2412.03603.

mod condition;
mod config;
mod dual;
mod refiner;
mod single;
#[cfg(test)]
pub(super) mod tests;

pub use condition::Condition;
pub use config::Config;

use super::blocks::{Blocks, Residence};
use super::embed::Embedders;
use super::layers::{Perceptron, Projection, Rotation, key_mask, modulate};
use super::packed::Packed;
use crate::model::unpatchify;
use crate::ops::silu;
use crate::weights::Weights;
use candle_core::{DType, Result, Tensor};
use condition::ConditionEmbedding;
use dual::DualBlock;
use refiner::Refiner;
use single::SingleBlock;

/// Path of the projection of noisy patches, from which those of the history start.
pub const PATCH: &str = "x_embedder.proj";

/// What every block is told beside its tokens.
struct Scene {
    /// (B, D), activated.
    embedding: Tensor,
    /// Phases of the video's tokens.
    rotation: Rotation,
    /// Which keys are looked at, where texts differ in length.
    mask: Option<Tensor>,
}

/// The network.
#[derive(Clone, Debug)]
pub struct Transformer {
    config: Config,
    embedders: Embedders,
    condition: ConditionEmbedding,
    refiner: Refiner,
    image: Option<Perceptron>,
    dual: Blocks<Config, DualBlock>,
    single: Blocks<Config, SingleBlock>,
    final_modulation: Projection,
    head: Projection,
}

impl Transformer {
    /// Reads the network's weights, those of its blocks now or at every turn.
    ///
    /// # Errors
    /// A tensor is missing or has another shape; the message names it.
    pub fn new(config: &Config, weights: &Weights, residence: Residence) -> Result<Self> {
        let width = config.width();
        let (dual, single) = (config.num_layers, config.num_single_layers);
        let dual_weights = weights.pp("transformer_blocks");
        let single_weights = weights.pp("single_transformer_blocks");
        let image = config.has_image_proj.then(|| {
            let sizes = [config.image_proj_dim, 3 * width, width];
            Perceptron::new(sizes, ("up", "down"), silu, &weights.pp("image_projection"))
        });
        Ok(Self {
            embedders: Embedders::new(config.in_channels, width, PATCH, weights)?,
            condition: ConditionEmbedding::new(config, &weights.pp("time_text_embed"))?,
            refiner: Refiner::new(config, &weights.pp("context_embedder"))?,
            image: image.transpose()?,
            dual: Blocks::new(config, dual, DualBlock::new, dual_weights, residence)?,
            single: Blocks::new(
                config,
                single,
                SingleBlock::new,
                single_weights,
                residence.after(dual),
            )?,
            final_modulation: Projection::new(width, 2 * width, &weights.pp("norm_out.linear"))?,
            head: Projection::new(width, 4 * config.in_channels, &weights.pp("proj_out"))?,
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
        condition.check(packed.noisy.latents.dim(0)?)?;
        let (mut video, rotation) = self.embedders.forward(packed, &self.config.rotary())?;
        watch("tokens", &video);
        let embedding = self.condition.forward(levels, condition)?;
        watch("temb", &embedding);
        let (mut text, mask) = self.text(levels, condition, video.dim(1)?, watch)?;
        let scene = Scene { embedding: silu(&embedding)?, rotation, mask };
        for at in 0..self.dual.len() {
            (video, text) = self.dual.get(at)?.forward(&video, &text, &scene)?;
            watch(&format!("dual{at}.img"), &video);
            watch(&format!("dual{at}.txt"), &text);
        }
        let (tokens, words) = (video.dim(1)?, text.dim(1)?);
        let mut both = Tensor::cat(&[video, text], 1)?;
        for at in 0..self.single.len() {
            both = self.single.get(at)?.forward(&both, words, &scene)?;
            watch(&format!("single{at}.img"), &both.narrow(1, 0, tokens)?);
            watch(&format!("single{at}.txt"), &both.narrow(1, tokens, words)?);
        }
        let (rows, columns) = packed.grid()?;
        let noisy = packed.noisy.times.len() * rows * columns;
        self.finish(&both.narrow(1, tokens - noisy, noisy)?, &scene, (rows, columns), watch)
    }

    /// Tokens of image and text, and which of all keys may be looked at.
    fn text(
        &self,
        levels: &Tensor,
        condition: &Condition,
        tokens: usize,
        watch: &mut dyn FnMut(&str, &Tensor),
    ) -> Result<(Tensor, Option<Tensor>)> {
        let mut text = self.refiner.forward(levels, condition)?;
        watch("refiner_out", &text);
        // A text alone is cut to its length; texts of several lengths are masked.
        if let [length] = condition.lengths[..] {
            text = text.narrow(1, 0, length)?;
        }
        let mut open = tokens;
        if let (Some(projection), Some(image)) = (&self.image, &condition.image) {
            let image = projection.forward(image)?;
            open += image.dim(1)?;
            text = Tensor::cat(&[image, text], 1)?;
        }
        watch("text_tokens", &text);
        let keys = tokens + text.dim(1)?;
        let several = condition.lengths.len() > 1;
        let mask = several.then(|| key_mask(&condition.lengths, open, keys, text.device()));
        Ok((text, mask.transpose()?))
    }

    /// Tokens of the noisy section to its velocity.
    fn finish(
        &self,
        x: &Tensor,
        scene: &Scene,
        (rows, columns): (usize, usize),
        watch: &mut dyn FnMut(&str, &Tensor),
    ) -> Result<Tensor> {
        let modulation = self.final_modulation.forward(&scene.embedding)?.chunk(2, 1)?;
        // Here, unlike in the blocks, the scale comes first.
        let x = modulate(&x.contiguous()?, &modulation[1], &modulation[0])?;
        watch("norm_out", &x);
        let x = self.head.forward(&x)?.to_dtype(DType::F32)?;
        let (batch, _, width) = x.dims3()?;
        let channels = self.config.in_channels;
        let frames = unpatchify(&x.reshape(((), width))?, channels, (rows, columns))?; // B · T, C, H, W
        frames.reshape((batch, (), channels, 2 * rows, 2 * columns))?.transpose(1, 2)?.contiguous()
    }
}
