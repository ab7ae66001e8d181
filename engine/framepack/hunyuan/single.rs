//! Blocks in which video and text share all layers; attention and perceptron run side by side.

use super::{Config, Scene};
use crate::framepack::layers::{Projection, Qkv, QkvNames, attention, gated_add, modulate};
use crate::ops::gelu;
use crate::weights::Weights;
use candle_core::{D, Result, Tensor};

/// One block.
#[derive(Clone, Debug)]
pub(super) struct SingleBlock {
    modulation: Projection,
    qkv: Qkv,
    up: Projection,
    out: Projection,
}

impl SingleBlock {
    pub(super) fn new(config: &Config, weights: &Weights) -> Result<Self> {
        let (width, head) = (config.width(), config.attention_head_dim);
        let hidden = config.hidden();
        let layer = |inputs, outputs, name| Projection::new(inputs, outputs, &weights.pp(name));
        let (heads, attention) = (config.num_attention_heads, weights.pp("attn"));
        Ok(Self {
            modulation: layer(width, 3 * width, "norm.linear")?,
            qkv: Qkv::new(width, heads, head, QkvNames::VIDEO, &attention)?,
            up: layer(width, hidden, "proj_mlp")?,
            out: layer(width + hidden, width, "proj_out")?,
        })
    }

    /// x: (B, L, D), the tokens of the video and then those of the text, of which there are `words`.
    pub(super) fn forward(&self, x: &Tensor, words: usize, scene: &Scene) -> Result<Tensor> {
        let modulation = self.modulation.forward(&scene.embedding)?.chunk(3, 1)?;
        let h = modulate(x, &modulation[0], &modulation[1])?;
        let rotated = |x: Tensor| {
            let tokens = x.dim(2)? - words;
            let video = scene.rotation.apply(&x.narrow(2, 0, tokens)?.contiguous()?)?;
            Tensor::cat(&[video, x.narrow(2, tokens, words)?], 2)
        };
        let (q, k) = (rotated(self.qkv.queries(&h)?)?, rotated(self.qkv.keys(&h)?)?);
        let v = self.qkv.values(&h)?;
        let attended = attention(&q, &k, &v, scene.mask.as_ref())?;
        let both = Tensor::cat(&[attended, gelu(&self.up.forward(&h)?)?], D::Minus1)?;
        gated_add(x, &self.out.forward(&both)?, &modulation[2])
    }
}
