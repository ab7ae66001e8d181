//! Self-attention of the video, cross-attention to text and image, and a perceptron.

use super::Config;
use crate::framepack::layers::{
    Norm, Perceptron, Projection, Rotation, attention, gated_add, heads, modulate, rms_norm,
};
use crate::ops::gelu;
use crate::weights::Weights;
use candle_core::{D, Result, Tensor};

/// What every block is told beside its tokens.
pub(super) struct Scene {
    /// Shifts, scales and gates that all blocks share, in 32 bits: (B, 6, D).
    pub(super) modulation: Tensor,
    /// Phases of the video's tokens.
    pub(super) rotation: Rotation,
    /// Tokens of the text: (B, L, D).
    pub(super) text: Tensor,
    /// Tokens of the image: (B, L, D).
    pub(super) image: Option<Tensor>,
}

/// Projections of an attention; queries and keys are normed over all heads together.
#[derive(Clone, Debug)]
struct Attention {
    heads: usize,
    q: Projection,
    k: Projection,
    v: Projection,
    q_norm: Tensor,
    k_norm: Tensor,
    out: Projection,
}

impl Attention {
    fn new(config: &Config, weights: &Weights) -> Result<Self> {
        let width = config.width();
        let layer = |name| Projection::new(width, width, &weights.pp(name));
        Ok(Self {
            heads: config.num_attention_heads,
            q: layer("to_q")?,
            k: layer("to_k")?,
            v: layer("to_v")?,
            q_norm: weights.pp("norm_q").get(width, "weight")?,
            k_norm: weights.pp("norm_k").get(width, "weight")?,
            out: layer("to_out.0")?,
        })
    }

    fn queries(&self, x: &Tensor) -> Result<Tensor> {
        heads(&rms_norm(&self.q.forward(x)?, &self.q_norm)?, self.heads)
    }

    fn keys_values(&self, x: &Tensor) -> Result<[Tensor; 2]> {
        let k = heads(&rms_norm(&self.k.forward(x)?, &self.k_norm)?, self.heads)?;
        Ok([k, heads(&self.v.forward(x)?, self.heads)?])
    }
}

/// Keys and values of an image, beside those of the text.
#[derive(Clone, Debug)]
struct Added {
    k: Projection,
    v: Projection,
    k_norm: Tensor,
}

/// One block.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// The block's own shifts, scales and gates: (1, 6, D).
    table: Tensor,
    own: Attention,
    cross: Attention,
    cross_norm: Norm,
    added: Option<Added>,
    ff: Perceptron,
}

impl Block {
    pub(super) fn new(config: &Config, weights: &Weights) -> Result<Self> {
        let width = config.width();
        let cross = weights.pp("attn2");
        let added = config.image_dim.map(|_| {
            Ok::<_, candle_core::Error>(Added {
                k: Projection::new(width, width, &cross.pp("add_k_proj"))?,
                v: Projection::new(width, width, &cross.pp("add_v_proj"))?,
                k_norm: cross.pp("norm_added_k").get(width, "weight")?,
            })
        });
        Ok(Self {
            table: weights.get((1, 6, width), "scale_shift_table")?,
            own: Attention::new(config, &weights.pp("attn1"))?,
            cross: Attention::new(config, &cross)?,
            cross_norm: Norm::new(width, 1e-6, &weights.pp("norm2"))?,
            added: added.transpose()?,
            ff: Perceptron::feed_forward(width, config.ffn_dim, gelu, &weights.pp("ffn"))?,
        })
    }

    /// x: (B, L, D).
    pub(super) fn forward(&self, x: &Tensor, scene: &Scene) -> Result<Tensor> {
        let modulation = modulations(&self.table, &scene.modulation, x)?;
        let h = modulate(x, &modulation[0], &modulation[1])?;
        let [k, v] = self.own.keys_values(&h)?;
        let q = scene.rotation.apply(&self.own.queries(&h)?)?;
        let h = attention(&q, &scene.rotation.apply(&k)?, &v, None)?;
        let x = gated_add(x, &self.own.out.forward(&h)?, &modulation[2])?;
        let x = (&x + self.look(&self.cross_norm.forward(&x)?, scene)?)?;
        let h = modulate(&x, &modulation[3], &modulation[4])?;
        gated_add(&x, &self.ff.forward(&h)?, &modulation[5])
    }

    /// Cross-attention: text and image are looked at one apart from the other, and what is seen is summed.
    fn look(&self, x: &Tensor, scene: &Scene) -> Result<Tensor> {
        let q = self.cross.queries(x)?;
        let [k, v] = self.cross.keys_values(&scene.text)?;
        let mut seen = attention(&q, &k, &v, None)?;
        if let (Some(added), Some(image)) = (&self.added, &scene.image) {
            let k = rms_norm(&added.k.forward(image)?, &added.k_norm)?;
            let k = heads(&k, self.cross.heads)?;
            let v = heads(&added.v.forward(image)?, self.cross.heads)?;
            seen = (seen + attention(&q, &k, &v, None)?)?;
        }
        self.cross.out.forward(&seen)
    }
}

/// A table (1, n, D) of a block's own with what all blocks share (B, n, D): n of (B, D), of the type of `x`.
pub(super) fn modulations(table: &Tensor, shared: &Tensor, x: &Tensor) -> Result<Vec<Tensor>> {
    let all = table.to_dtype(shared.dtype())?.broadcast_add(shared)?.to_dtype(x.dtype())?;
    (0..all.dim(1)?).map(|at| all.narrow(1, at, 1)?.squeeze(D::Minus2)).collect()
}
