//! The token refiner: a small transformer over the text alone.

use super::{Condition, Config};
use crate::framepack::layers::{
    LevelEmbedder, Norm, Perceptron, Projection, attention, gated_add, heads,
};
use crate::ops::silu;
use crate::weights::Weights;
use candle_core::{Device, Result, Tensor};

/// Hidden width of the refiner's perceptrons over the width of a token, whatever the other blocks have.
const RATIO: usize = 4;

/// Text states to text tokens.
#[derive(Clone, Debug)]
pub(super) struct Refiner {
    level: LevelEmbedder,
    text: Perceptron,
    proj_in: Projection,
    blocks: Vec<RefinerBlock>,
}

impl Refiner {
    pub(super) fn new(config: &Config, weights: &Weights) -> Result<Self> {
        let (inputs, width) = (config.text_embed_dim, config.width());
        let embed = weights.pp("time_text_embed");
        let blocks = weights.pp("token_refiner.refiner_blocks");
        let blocks =
            (0..config.num_refiner_layers).map(|at| RefinerBlock::new(config, &blocks.pp(at)));
        Ok(Self {
            level: LevelEmbedder::new(width, &embed.pp("timestep_embedder"))?,
            text: Perceptron::embedder(inputs, width, silu, &embed.pp("text_embedder"))?,
            proj_in: Projection::new(inputs, width, &weights.pp("proj_in"))?,
            blocks: blocks.collect::<Result<_>>()?,
        })
    }

    /// levels: (B), to tokens (B, L, D).
    pub(super) fn forward(&self, levels: &Tensor, condition: &Condition) -> Result<Tensor> {
        let text = &condition.text;
        let level = self.level.forward(levels)?;
        let embedding = silu(&(level + self.text.forward(&mean(text, &condition.lengths)?)?)?)?;
        let mask = pair_mask(&condition.lengths, text.dim(1)?, text.device())?;
        let mut x = self.proj_in.forward(text)?;
        for block in &self.blocks {
            x = block.forward(&x, &embedding, &mask)?;
        }
        Ok(x)
    }
}

/// The mean of each text's states that count: (B, L, D) to (B, D).
fn mean(text: &Tensor, lengths: &[usize]) -> Result<Tensor> {
    let mean = |(at, &length): (usize, &usize)| text.get(at)?.narrow(0, 0, length)?.mean(0);
    Tensor::stack(&lengths.iter().enumerate().map(mean).collect::<Result<Vec<_>>>()?, 0)
}

/// A mask under which states that count look at one another, and all at the first: (B, 1, L, L).
fn pair_mask(lengths: &[usize], longest: usize, device: &Device) -> Result<Tensor> {
    let mut values = Vec::with_capacity(lengths.len() * longest * longest);
    for &length in lengths {
        for query in 0..longest {
            let open = |key| key == 0 || (query < length && key < length);
            values.extend((0..longest).map(|key| if open(key) { 0.0 } else { f32::NEG_INFINITY }));
        }
    }
    Tensor::from_vec(values, (lengths.len(), 1, longest, longest), device)
}

/// Self-attention and a perceptron, each gated by the condition.
#[derive(Clone, Debug)]
struct RefinerBlock {
    heads: usize,
    norm1: Norm,
    norm2: Norm,
    q: Projection,
    k: Projection,
    v: Projection,
    out: Projection,
    ff: Perceptron,
    gates: Projection,
}

impl RefinerBlock {
    fn new(config: &Config, weights: &Weights) -> Result<Self> {
        let width = config.width();
        let norm = |name| Norm::new(width, 1e-6, &weights.pp(name));
        let attn = |name| Projection::new(width, width, &weights.pp("attn").pp(name));
        Ok(Self {
            heads: config.num_attention_heads,
            norm1: norm("norm1")?,
            norm2: norm("norm2")?,
            q: attn("to_q")?,
            k: attn("to_k")?,
            v: attn("to_v")?,
            out: attn("to_out.0")?,
            ff: Perceptron::feed_forward(width, RATIO * width, silu, &weights.pp("ff"))?,
            gates: Projection::new(width, 2 * width, &weights.pp("norm_out.linear"))?,
        })
    }

    /// x: (B, L, D); embedding: (B, D), activated.
    fn forward(&self, x: &Tensor, embedding: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let gates = self.gates.forward(embedding)?.chunk(2, 1)?;
        let h = self.norm1.forward(x)?;
        let split = |layer: &Projection| heads(&layer.forward(&h)?, self.heads);
        let h = attention(&split(&self.q)?, &split(&self.k)?, &split(&self.v)?, Some(mask))?;
        let x = gated_add(x, &self.out.forward(&h)?, &gates[0])?;
        let h = self.norm2.forward(&x)?;
        gated_add(&x, &self.ff.forward(&h)?, &gates[1])
    }
}
