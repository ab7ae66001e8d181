//! Self-attention of the video, cross-attention to text and image, and a perceptron.

use super::Config;
use crate::framepack::layers::{
    Norm, Perceptron, Projection, Qkv, QkvNames, Rotation, attention, gated_add, heads, modulate,
    rms_norm,
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

/// An attention; queries and keys are normed over all heads together.
#[derive(Clone, Debug)]
struct Attention {
    heads: usize,
    qkv: Qkv,
    out: Projection,
}

impl Attention {
    fn new(config: &Config, weights: &Weights) -> Result<Self> {
        let (width, heads) = (config.width(), config.num_attention_heads);
        Ok(Self {
            heads,
            qkv: Qkv::new(width, heads, width, QkvNames::VIDEO, weights)?,
            out: Projection::new(width, width, &weights.pp("to_out.0"))?,
        })
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
        let (own, rotation) = (&self.own.qkv, &scene.rotation);
        let (q, k) = (rotation.apply(&own.queries(&h)?)?, rotation.apply(&own.keys(&h)?)?);
        let h = attention(&q, &k, &own.values(&h)?, None)?;
        let x = gated_add(x, &self.own.out.forward(&h)?, &modulation[2])?;
        let x = (&x + self.look(&self.cross_norm.forward(&x)?, scene)?)?;
        let h = modulate(&x, &modulation[3], &modulation[4])?;
        gated_add(&x, &self.ff.forward(&h)?, &modulation[5])
    }

    /// Cross-attention: text and image are looked at one apart from the other, and what is seen is summed.
    fn look(&self, x: &Tensor, scene: &Scene) -> Result<Tensor> {
        let (cross, text) = (&self.cross.qkv, &scene.text);
        let q = cross.queries(x)?;
        let mut seen = attention(&q, &cross.keys(text)?, &cross.values(text)?, None)?;
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
