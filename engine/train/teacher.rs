//! The moving average of the weights as a teacher of the weights in training.
//!
//! A long step is to land where two of half its size do (K. Frans et al., "One Step Diffusion via
//! Shortcut Models", 2024). Unlike the paper, the network predicts clean latents, and so the target
//! is one, too: what a single step would have to predict to land there.
//!
//! Play goes on from frames that the network made itself, and so does a part of the training: the
//! teacher dreams the history of rollouts.

use crate::model::{Batch, ModelConfig, WorldModel, patchify, unpatchify};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use std::collections::BTreeMap;

/// A network that no gradient reaches.
pub(super) struct Teacher(WorldModel);

impl Teacher {
    /// A copy of `average`, on `device`.
    pub(super) fn new(
        config: &ModelConfig,
        average: BTreeMap<String, Tensor>,
        device: &Device,
    ) -> Result<Self> {
        let vb = VarBuilder::from_tensors(average.into_iter().collect(), DType::F32, device);
        let mut model = WorldModel::new(config, &vb)?;
        model.freeze()?;
        Ok(Self(model))
    }

    /// Clean token vectors that steps of the batch's sizes are to predict: (S · g · L, C · 4).
    ///
    /// Two steps of length h from level t pass s = t - h and end at r = t - 2h:
    /// `x_s` = x̂₁ + (s / t)(`x_t` - x̂₁), `x_r` = x̂₂ + (r / s)(`x_s` - x̂₂). The single step ends at
    /// x̂ + (r / t)(`x_t` - x̂). This is `x_r` for x̂ = x̂₂ + (r / 2s)(x̂₁ - x̂₂).
    ///
    /// # Panics
    /// When a step has no half.
    pub(super) fn targets(&self, batch: &Batch) -> Result<Tensor> {
        let halves = batch.steps.iter().map(|step| step.half().expect("a step with a half"));
        let batch = Batch { steps: halves.collect(), ..batch.clone() };
        let middles: Vec<f32> = batch
            .levels
            .iter()
            .zip(&batch.steps)
            .map(|(level, half)| level - half.length())
            .collect();
        let of_levels = |share: fn(f32, f32) -> f32| {
            let shares = batch.levels.iter().zip(&middles).map(|(t, s)| share(*t, *s));
            let shape = (middles.len(), 1, 1, 1, 1);
            Tensor::from_vec(shares.collect(), shape, batch.sections.device())
        };
        let first = self.clean(&batch)?;
        let kept = of_levels(|t, s| s / t)?;
        let sections = (&first + (&batch.sections - &first)?.broadcast_mul(&kept)?)?;
        let kept = of_levels(|t, s| (2.0 * s - t) / (2.0 * s))?;
        let second = self.clean(&Batch { sections, levels: middles.clone(), ..batch.clone() })?;
        let target = (&second + (first - &second)?.broadcast_mul(&kept)?)?;
        patchify(&target.flatten(0, 1)?.unsqueeze(1)?, 1)
    }

    /// The network, to dream with.
    pub(super) fn model(&self) -> &WorldModel {
        &self.0
    }

    /// The clean sections that the network sees in a batch's: (S, g, C, H, W).
    fn clean(&self, batch: &Batch) -> Result<Tensor> {
        let config = self.0.config();
        unpatchify(&self.0.estimate_batch(batch)?.clean, config.channels, config.grid())?
            .reshape(batch.sections.shape())
    }
}
