//! The encoder of UMT5, which Wan reads prompts with: one vector per token.
//!
//! Unlike in T5, every layer has its own biases of relative positions (H. W. Chung et al., "UniMax" (2023); C. Raffel
//! et al., "Exploring the Limits of Transfer Learning" (2020), §2.1).
//!
//! A prompt is encoded once and the layers are large, so each is read from the weights, used and let go of. Prompts are
//! not padded, so nothing has to be masked. In f16 the published weights overflow: use bf16 or f32.

use super::layers::{attend, embed, expect_tensors, rms_norm, split_heads};
use candle_core::{Result, Tensor, bail};
use candle_nn::{Linear, Module as _, VarBuilder, linear_no_bias};

/// The table of tokens, under one of two names: where they are the same tensor, a file holds but one.
const TABLES: [&str; 2] = ["shared.weight", "encoder.embed_tokens.weight"];

const LAYER: [&str; 10] = [
    "0.layer_norm.weight",
    "0.SelfAttention.q.weight",
    "0.SelfAttention.k.weight",
    "0.SelfAttention.v.weight",
    "0.SelfAttention.o.weight",
    "0.SelfAttention.relative_attention_bias.weight",
    "1.layer_norm.weight",
    "1.DenseReluDense.wi_0.weight",
    "1.DenseReluDense.wi_1.weight",
    "1.DenseReluDense.wo.weight",
];
const NORM: &str = "final_layer_norm.weight";

/// Sizes of the network, as its published `config.json` tells them.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
pub struct Umt5Config {
    /// Known tokens.
    pub vocab_size: usize,
    /// Width of a token, D.
    pub d_model: usize,
    /// Width of a head.
    pub d_kv: usize,
    /// Width inside the feed-forward layers.
    pub d_ff: usize,
    /// Layers.
    pub num_layers: usize,
    /// Heads, N.
    pub num_heads: usize,
    /// Biases of relative positions; even.
    pub relative_attention_num_buckets: usize,
    /// Distance from which on all tokens share a bias.
    pub relative_attention_max_distance: usize,
    /// Added to mean squares before their roots.
    pub layer_norm_epsilon: f64,
    /// `gated-gelu` in what is published, and nothing else here.
    pub feed_forward_proj: String,
}

impl Umt5Config {
    /// UMT5-XXL.
    pub fn xxl() -> Self {
        Self {
            vocab_size: 256_384,
            d_model: 4096,
            d_kv: 64,
            d_ff: 10_240,
            num_layers: 24,
            num_heads: 64,
            relative_attention_num_buckets: 32,
            relative_attention_max_distance: 128,
            layer_norm_epsilon: 1e-6,
            feed_forward_proj: "gated-gelu".to_owned(),
        }
    }

    fn check(&self) -> Result<()> {
        let (buckets, distance) =
            (self.relative_attention_num_buckets, self.relative_attention_max_distance);
        if buckets < 4 || !buckets.is_multiple_of(4) || distance <= buckets / 4 {
            bail!("expected buckets in multiples of 4 for {distance} tokens, got {buckets}");
        }
        if self.feed_forward_proj != "gated-gelu" {
            bail!("expected gated-gelu, got {}", self.feed_forward_proj);
        }
        Ok(())
    }
}

/// The network.
#[derive(Clone)]
pub struct Umt5 {
    config: Umt5Config,
    table: &'static str,
    vb: VarBuilder<'static>,
}

impl std::fmt::Debug for Umt5 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Umt5").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Umt5 {
    /// Finds the network in the weights, which are read when a prompt is encoded.
    ///
    /// # Errors
    /// The sizes are none that the network can have, or a tensor is missing.
    pub fn new(config: &Umt5Config, vb: &VarBuilder<'static>) -> Result<Self> {
        config.check()?;
        let Some(table) = TABLES.into_iter().find(|name| vb.contains_tensor(name)) else {
            bail!("cannot find tensor {}", TABLES.join(" nor "));
        };
        let network = Self { config: config.clone(), table, vb: vb.clone() };
        for at in 0..config.num_layers {
            expect_tensors(&network.layer(at), LAYER)?;
        }
        expect_tensors(&vb.pp("encoder"), [NORM])?;
        Ok(network)
    }

    fn layer(&self, at: usize) -> VarBuilder<'static> {
        self.vb.pp("encoder.block").pp(at).pp("layer")
    }

    /// States of tokens: (L, D).
    ///
    /// # Errors
    /// A token is unknown, or a tensor has another shape.
    pub fn forward(&self, ids: &[u32]) -> Result<Tensor> {
        let config = &self.config;
        let mut x = embed(ids, (config.vocab_size, config.d_model), self.table, &self.vb)?;
        let buckets = Tensor::new(buckets(config, ids.len()), self.vb.device())?;
        for at in 0..config.num_layers {
            let layer = self.layer(at);
            x = self_attention(config, &x, &buckets, &layer.pp(0))?;
            x = feed_forward(config, &x, &layer.pp(1))?;
        }
        let weight = self.vb.pp("encoder").get(config.d_model, NORM)?;
        rms_norm(&x, &weight, config.layer_norm_epsilon)
    }
}

/// x (L, D) and what its tokens attend to, with the biases that `buckets` (L · L) picks.
fn self_attention(
    config: &Umt5Config,
    x: &Tensor,
    buckets: &Tensor,
    vb: &VarBuilder<'_>,
) -> Result<Tensor> {
    let (width, heads, length) = (config.d_model, config.num_heads, x.dim(0)?);
    let inner = heads * config.d_kv;
    let attention = vb.pp("SelfAttention");
    let norm = vb.get(width, "layer_norm.weight")?;
    let normed = rms_norm(x, &norm, config.layer_norm_epsilon)?;
    let part = |name: &str| {
        let linear = linear_no_bias(width, inner, attention.pp(name))?;
        split_heads(&linear.forward(&normed)?, heads)
    };
    let shape = (config.relative_attention_num_buckets, heads);
    let biases = attention.get(shape, "relative_attention_bias.weight")?;
    let biases = biases.index_select(buckets, 0)?.t()?.reshape((heads, length, length))?;
    // Scores are not scaled: the published weights have it in them.
    let attended = attend(&part("q")?, &part("k")?, &part("v")?, 1.0, Some(&biases))?;
    let out: Linear = linear_no_bias(inner, width, attention.pp("o"))?;
    x + out.forward(&attended)?
}

/// x (L, D) and its feed-forward layer.
fn feed_forward(config: &Umt5Config, x: &Tensor, vb: &VarBuilder<'_>) -> Result<Tensor> {
    let (width, inner) = (config.d_model, config.d_ff);
    let dense = vb.pp("DenseReluDense");
    let norm = vb.get(width, "layer_norm.weight")?;
    let normed = rms_norm(x, &norm, config.layer_norm_epsilon)?;
    let gate = linear_no_bias(width, inner, dense.pp("wi_0"))?.forward(&normed)?.gelu()?;
    let inner_states =
        (gate * linear_no_bias(width, inner, dense.pp("wi_1"))?.forward(&normed)?)?;
    x + linear_no_bias(inner, width, dense.pp("wo"))?.forward(&inner_states)?
}

/// The bias that each of `length` tokens has for each other, row by row.
pub(super) fn buckets(config: &Umt5Config, length: usize) -> Vec<u32> {
    let pairs = (0..length).flat_map(|from| (0..length).map(move |to| (from, to)));
    pairs.map(|(from, to)| bucket(config, from, to)).collect()
}

/// Half of the biases look back and half ahead; the near half of each is for single distances, the rest grow with the
/// logarithm of distance.
fn bucket(config: &Umt5Config, from: usize, to: usize) -> u32 {
    let half = config.relative_attention_num_buckets / 2;
    let exact = half / 2;
    let distance = from.abs_diff(to);
    let near = if distance < exact {
        distance
    } else {
        far(distance, exact, config.relative_attention_max_distance, half)
    };
    let bucket = near + if to > from { half } else { 0 };
    u32::try_from(bucket).expect("a table of biases is small")
}

/// In f32 as in the reference: next to a boundary rounding decides.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "distances are at least `exact`, and few"
)]
fn far(distance: usize, exact: usize, longest: usize, half: usize) -> usize {
    let whole = (longest as f64 / exact as f64).ln() as f32;
    let part = (distance as f32 / exact as f32).ln() / whole * (half - exact) as f32;
    (exact + part as usize).min(half - 1)
}
