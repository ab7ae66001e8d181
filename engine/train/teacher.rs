//! The moving average of the weights as a teacher of the weights in training.
//!
//! A long step is to land where two of half its size do (K. Frans et al., "One Step Diffusion via
//! Shortcut Models", 2024). Unlike the paper, the network predicts clean latents, and so the target
//! is one, too: what a single step would have to predict to land there. Guidance is learnt on the way
//! (C. Meng et al., "On Distillation of Guided Diffusion Models", 2023): long steps need none in play.
//!
//! Play goes on from frames that the network made itself, and so does a part of the training: the
//! teacher dreams the history of rollouts.

use crate::model::{ModelConfig, StepSize, WorldModel};
use crate::sampler::{Sight, euler, led_on};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use std::collections::BTreeMap;

/// A network that no gradient reaches.
pub(super) struct Teacher {
    model: WorldModel,
    guidance: f32,
}

/// What leads a section.
pub(super) struct Led {
    /// What is in sight.
    pub(super) sight: Sight,
    /// The last three actions of each frame: (g, 3 · A).
    pub(super) actions: Tensor,
}

impl Teacher {
    /// A copy of `average` as play has it, on `device`; `guidance` as in [`sample`](crate::sampler::sample).
    pub(super) fn new(
        config: &ModelConfig,
        average: BTreeMap<String, Tensor>,
        guidance: f32,
        device: &Device,
    ) -> Result<Self> {
        let vb = VarBuilder::from_tensors(average.into_iter().collect(), DType::F32, device);
        let mut model = WorldModel::new(config, &vb)?;
        model.freeze()?;
        Ok(Self { model, guidance })
    }

    /// The clean section (g, C, H, W) that a step of this size from `noisy` at `level` is to predict.
    ///
    /// Two steps of length h from level t pass s = t - h and end at r = t - 2h:
    /// `x_s` = x̂₁ + (s / t)(`x_t` - x̂₁), `x_r` = x̂₂ + (r / s)(`x_s` - x̂₂). The single step ends at
    /// x̂ + (r / t)(`x_t` - x̂). This is `x_r` for x̂ = x̂₂ + (r / 2s)(x̂₁ - x̂₂).
    ///
    /// # Panics
    /// When the step has no half.
    pub(super) fn target(
        &self,
        noisy: &Tensor,
        (level, step): (f32, StepSize),
        led: &Led,
    ) -> Result<Tensor> {
        let half = step.half().expect("a step with a half");
        let middle = level - half.length();
        let first = self.clean(noisy, (level, half), led)?;
        let passed = euler(noisy, first.clone(), f64::from(middle / level))?;
        let second = self.clean(&passed, (middle, half), led)?;
        let kept = (2.0 * middle - level) / (2.0 * middle);
        &second + ((first - &second)? * f64::from(kept))?
    }

    /// The section at `level`, as a step of this size that starts from `noise` leaves it.
    pub(super) fn left_at(
        &self,
        noise: &Tensor,
        (level, step): (f32, StepSize),
        led: &Led,
    ) -> Result<Tensor> {
        if level == 1.0 {
            return Ok(noise.clone());
        }
        euler(noise, self.clean(noise, (1.0, step), led)?, f64::from(level))
    }

    /// The network, to dream with.
    pub(super) fn model(&self) -> &WorldModel {
        &self.model
    }

    /// The clean section that the network sees, guided as in play.
    fn clean(&self, noisy: &Tensor, (level, step): (f32, StepSize), led: &Led) -> Result<Tensor> {
        let Led { sight, actions } = led;
        let (model, lead) = (&self.model, sight.lead(&self.model, actions)?);
        if level < 1.0 || self.guidance == 0.0 || step.knows_guidance() {
            return model.estimate(noisy, level, step, &lead, &sight.context);
        }
        let still = sight.lead(model, &actions.zeros_like()?)?;
        let both = model.estimate_each(noisy, level, step, &[&lead, &still], &sight.context)?;
        led_on(&both[0], &both[1], self.guidance)
    }
}
