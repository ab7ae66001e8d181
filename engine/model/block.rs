//! One transformer block with adaptive layer norm (`AdaLN`-zero).

use super::ModelConfig;
use crate::ops::{BlockWeights, Linear, Rows, gated_add, gelu, modulate, rms_norm};
use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;

/// Self-attention and a two-layer perceptron, both modulated and gated by the condition.
#[derive(Clone, Debug)]
pub(super) struct Block {
    modulation: Linear,
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    q_norm: Tensor,
    k_norm: Tensor,
    up: Linear,
    down: Linear,
}

impl Block {
    pub(super) fn new(config: &ModelConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let (dim, head) = (config.dim, config.dim / config.heads);
        let linear =
            |inputs, outputs, name| Linear::new(inputs, outputs, config.precision, &vb.pp(name));
        Ok(Self {
            modulation: linear(config.condition, 6 * dim, "modulation")?,
            q: linear(dim, dim, "q")?,
            k: linear(dim, dim, "k")?,
            v: linear(dim, dim, "v")?,
            out: linear(dim, dim, "out")?,
            q_norm: vb.pp("q_norm").get(head, "weight")?,
            k_norm: vb.pp("k_norm").get(head, "weight")?,
            up: linear(dim, 4 * dim, "up")?,
            down: linear(4 * dim, dim, "down")?,
        })
    }

    /// The weights, to be packed for play.
    pub(super) fn weights(&self) -> BlockWeights<'_> {
        BlockWeights {
            modulation: self.modulation.tensors(),
            qkv: [&self.q, &self.k, &self.v].map(Linear::tensors),
            out: self.out.tensors(),
            norms: [&self.q_norm, &self.k_norm],
            up: self.up.tensors(),
            down: self.down.tensors(),
        }
    }

    /// Rounds the weights of its products to 16-bit floats, and with them all that lies between two sums of the residual:
    /// that, the modulation and the norms keep 32 bits.
    pub(super) fn halve(&mut self) -> Result<()> {
        let products = [&mut self.q, &mut self.k, &mut self.v, &mut self.out];
        products.into_iter().chain([&mut self.up, &mut self.down]).try_for_each(Linear::halve)
    }

    /// What its products are of, keys and values among them.
    pub(super) fn dtype(&self) -> DType {
        self.q.dtype()
    }

    /// Shift, scale and gate of the attention, then of the perceptron: six of (groups, D).
    ///
    /// condition: (groups, condition), activated.
    pub(super) fn modulation(&self, condition: &Tensor) -> Result<Vec<Tensor>> {
        let all = self.modulation.forward(condition)?;
        all.chunk(6, 1)?.iter().map(Tensor::contiguous).collect()
    }

    /// Keys after their norm and before RoPE, and values: two of (R, D).
    pub(super) fn keys_values(
        &self,
        x: &Tensor,
        modulation: &[Tensor],
        rows: &Rows,
    ) -> Result<(Tensor, Tensor)> {
        let x = modulate(x, &modulation[0], &modulation[1], rows, self.dtype())?;
        Ok((rms_norm(&self.k.forward(&x)?, &self.k_norm)?, self.v.forward(&x)?))
    }

    /// x: (R, D); `attend` is given q, k, v, each (R, D), and answers (R, D).
    pub(super) fn forward(
        &self,
        x: &Tensor,
        modulation: &[Tensor],
        rows: &Rows,
        attend: impl FnOnce(&Tensor, Tensor, Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let h = modulate(x, &modulation[0], &modulation[1], rows, self.dtype())?;
        let q = rms_norm(&self.q.forward(&h)?, &self.q_norm)?;
        let k = rms_norm(&self.k.forward(&h)?, &self.k_norm)?;
        let h = self.out.forward(&attend(&q, k, self.v.forward(&h)?)?)?;
        let x = gated_add(x, &h, &modulation[2], rows)?;
        let h = modulate(&x, &modulation[3], &modulation[4], rows, self.dtype())?;
        let h = self.down.forward(&gelu(&self.up.forward(&h)?)?)?;
        gated_add(&x, &h, &modulation[5], rows)
    }
}
