//! What steers a section: noise level, guidance scale, pooled text, text states, image states.

use super::Config;
use crate::framepack::layers::{LevelEmbedder, Perceptron};
use crate::ops::silu;
use crate::weights::Weights;
use candle_core::{Result, Tensor, bail};

/// Conditions of a section.
#[derive(Clone, Debug)]
pub struct Condition {
    /// States of the large text encoder: (B, L, `text_embed_dim`).
    pub text: Tensor,
    /// States of each text that count, from the first: B numbers of 1 to L.
    pub lengths: Vec<usize>,
    /// The text in one vector: (B, `pooled_projection_dim`).
    pub pooled: Tensor,
    /// States of the image encoder: (B, L, `image_proj_dim`).
    pub image: Option<Tensor>,
    /// Guidance scale: 10 in the release.
    pub guidance: f64,
}

impl Condition {
    /// Checks the batch and the lengths.
    pub(super) fn check(&self, batch: usize) -> Result<()> {
        let (texts, longest, _) = self.text.dims3()?;
        let fits = |length: &usize| (1..=longest).contains(length);
        if texts != batch || self.lengths.len() != batch || !self.lengths.iter().all(fits) {
            bail!(
                "expected {batch} texts of 1 to {longest} states, got {texts} of {:?}",
                self.lengths
            );
        }
        Ok(())
    }
}

/// Noise level, guidance scale and pooled text to one vector, which modulates every token of the blocks.
#[derive(Clone, Debug)]
pub(super) struct ConditionEmbedding {
    level: LevelEmbedder,
    guidance: Option<LevelEmbedder>,
    text: Perceptron,
}

impl ConditionEmbedding {
    pub(super) fn new(config: &Config, weights: &Weights) -> Result<Self> {
        let width = config.width();
        let level = |name| LevelEmbedder::new(width, &weights.pp(name));
        let inputs = config.pooled_projection_dim;
        Ok(Self {
            level: level("timestep_embedder")?,
            guidance: config.guidance_embeds.then(|| level("guidance_embedder")).transpose()?,
            text: Perceptron::embedder(inputs, width, silu, &weights.pp("text_embedder"))?,
        })
    }

    /// levels: (B) in 0..=1000, to (B, D).
    pub(super) fn forward(&self, levels: &Tensor, condition: &Condition) -> Result<Tensor> {
        let mut embedding = self.level.forward(levels)?;
        if let Some(guidance) = &self.guidance {
            let scales = (levels.ones_like()? * (condition.guidance * 1000.0))?;
            embedding = (embedding + guidance.forward(&scales)?)?;
        }
        embedding + self.text.forward(&condition.pooled)?
    }
}
