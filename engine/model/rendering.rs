//! What the views of an atlas show from where a section is, and how far the network takes it over.

use super::{ModelConfig, patchify};
use crate::ops::Linear;
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::ops::sigmoid;

/// How renderings are shown to the network, and what it answers is mixed with them.
#[derive(Clone, Debug)]
pub(super) struct RenderingLayer {
    embedding: Linear,
    gate: Linear,
}

/// Renderings of a section's frames as token vectors that [`patchify()`] orders.
#[derive(Clone, Debug)]
pub(super) struct Rendered {
    /// Their latents: (R, C · 4).
    latents: Tensor,
    /// The share of each cell that anybody saw: (R, 4).
    seen: Tensor,
    /// As an addition to the section's tokens: (R, D).
    pub(super) tokens: Tensor,
}

impl RenderingLayer {
    /// Reads `rendering.embedding.weight` (D, (C + 1) · 4), `rendering.gate.weight` (4, D) and its bias (4).
    pub(super) fn new(config: &ModelConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let (dim, precision) = (config.dim, config.precision);
        let inputs = 4 * (config.channels + 1);
        Ok(Self {
            embedding: Linear::without_bias(inputs, dim, precision, &vb.pp("embedding"))?,
            gate: Linear::new(dim, 4, precision, &vb.pp("gate"))?,
        })
    }

    pub(super) fn freeze(&mut self) -> Result<()> {
        self.embedding.freeze()?;
        self.gate.freeze()
    }

    /// renderings: latents, and over them the share of each cell that anybody saw, (F, C + 1, H, W).
    pub(super) fn embed(&self, renderings: &Tensor) -> Result<Rendered> {
        let all = patchify(&renderings.unsqueeze(1)?, 1)?;
        let channels = all.dim(1)? - 4;
        Ok(Rendered {
            latents: all.narrow(1, 0, channels)?.contiguous()?,
            seen: all.narrow(1, channels, 4)?.contiguous()?,
            tokens: self.embedding.forward(&all)?,
        })
    }

    /// The answer (R, C · 4) of tokens `x` (R, D), mixed with the renderings where these were seen: by what the gate lets
    /// pass of them, times the noise level of each row (R, 1). So an answer's error grows with the noise at most, as that
    /// of the network alone does.
    pub(super) fn mix(
        &self,
        answer: &Tensor,
        x: &Tensor,
        rendered: &Rendered,
        levels: &Tensor,
    ) -> Result<Tensor> {
        let (rows, values) = answer.dims2()?;
        let share = sigmoid(&self.gate.forward(x)?)?.mul(&rendered.seen)?;
        let share = share.broadcast_mul(levels)?.unsqueeze(1)?; // R, 1, 4
        let towards = (&rendered.latents - answer)?.reshape((rows, values / 4, 4))?;
        answer + towards.broadcast_mul(&share)?.reshape((rows, values))?
    }
}
