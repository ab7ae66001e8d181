//! Blocks in which video and text have layers of their own and meet in attention.

use super::{Config, Scene};
use crate::framepack::layers::{
    Perceptron, Projection, Qkv, QkvNames, attention, gated_add, modulate,
};
use crate::ops::gelu;
use crate::weights::Weights;
use candle_core::{Result, Tensor};

/// The layers of one stream.
#[derive(Clone, Debug)]
struct Side {
    modulation: Projection,
    qkv: Qkv,
    out: Projection,
    ff: Perceptron,
}

/// Names of a stream's layers.
struct Names {
    modulation: &'static str,
    qkv: QkvNames,
    out: &'static str,
    ff: &'static str,
}

const VIDEO: Names =
    Names { modulation: "norm1.linear", qkv: QkvNames::VIDEO, out: "attn.to_out.0", ff: "ff" };

const TEXT: Names = Names {
    modulation: "norm1_context.linear",
    qkv: QkvNames::TEXT,
    out: "attn.to_add_out",
    ff: "ff_context",
};

impl Side {
    fn new(config: &Config, names: &Names, weights: &Weights) -> Result<Self> {
        let (width, head) = (config.width(), config.attention_head_dim);
        let layer = |outputs, name| Projection::new(width, outputs, &weights.pp(name));
        let (heads, attention) = (config.num_attention_heads, weights.pp("attn"));
        Ok(Self {
            modulation: layer(6 * width, names.modulation)?,
            qkv: Qkv::new(width, heads, head, names.qkv, &attention)?,
            out: layer(width, names.out)?,
            ff: Perceptron::feed_forward(width, config.hidden(), gelu, &weights.pp(names.ff))?,
        })
    }

    /// Queries, keys and values of normed tokens: three of (B, N, L, head).
    fn qkv(&self, x: &Tensor) -> Result<[Tensor; 3]> {
        Ok([self.qkv.queries(x)?, self.qkv.keys(x)?, self.qkv.values(x)?])
    }

    /// The tokens after attention, whose result is `attended`, and the perceptron.
    ///
    /// `modulation`: shift, scale and gate of the attention, then of the perceptron.
    fn finish(&self, x: &Tensor, attended: &Tensor, modulation: &[Tensor]) -> Result<Tensor> {
        let x = gated_add(x, &self.out.forward(attended)?, &modulation[2])?;
        let h = modulate(&x, &modulation[3], &modulation[4])?;
        gated_add(&x, &self.ff.forward(&h)?, &modulation[5])
    }
}

/// One block.
#[derive(Clone, Debug)]
pub(super) struct DualBlock {
    video: Side,
    text: Side,
}

impl DualBlock {
    pub(super) fn new(config: &Config, weights: &Weights) -> Result<Self> {
        Ok(Self {
            video: Side::new(config, &VIDEO, weights)?,
            text: Side::new(config, &TEXT, weights)?,
        })
    }

    /// video, text: (B, L, D) each.
    pub(super) fn forward(
        &self,
        video: &Tensor,
        text: &Tensor,
        scene: &Scene,
    ) -> Result<(Tensor, Tensor)> {
        let of_video = self.video.modulation.forward(&scene.embedding)?.chunk(6, 1)?;
        let of_text = self.text.modulation.forward(&scene.embedding)?.chunk(6, 1)?;
        let h = modulate(video, &of_video[0], &of_video[1])?;
        let [q, k, v] = self.video.qkv(&h)?;
        let (q, k) = (scene.rotation.apply(&q)?, scene.rotation.apply(&k)?);
        let h = modulate(text, &of_text[0], &of_text[1])?;
        let [text_q, text_k, text_v] = self.text.qkv(&h)?;
        let h = attention(
            &Tensor::cat(&[q, text_q], 2)?,
            &Tensor::cat(&[k, text_k], 2)?,
            &Tensor::cat(&[v, text_v], 2)?,
            scene.mask.as_ref(),
        )?;
        let (tokens, words) = (video.dim(1)?, text.dim(1)?);
        let video = self.video.finish(video, &h.narrow(1, 0, tokens)?, &of_video)?;
        Ok((video, self.text.finish(text, &h.narrow(1, tokens, words)?, &of_text)?))
    }
}
