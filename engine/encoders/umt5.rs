//! The encoder of UMT5, which Wan reads prompts with: one vector per token.
//!
//! Unlike in T5, every layer has its own biases of relative positions (H. W. Chung et al., "UniMax" (2023); C. Raffel
//! et al., "Exploring the Limits of Transfer Learning" (2020), §2.1).
//!
//! A prompt is encoded once and the layers are large, so each is read from the weights, used and let go of. Prompts are
//! not padded, so nothing has to be masked. In f16 the published weights overflow: use bf16 or f32.

use super::layers::{Tensors, attend, embed, rms_norm, split_heads};
use crate::weights::check_sizes;
use candle_core::{Result, Tensor, bail};
use candle_nn::{Linear, Module as _, VarBuilder, linear_no_bias};

/// The table of tokens, under one of two names: where they are the same tensor, a file holds but one.
const TABLES: [&str; 2] = ["shared.weight", "encoder.embed_tokens.weight"];

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
        check_sizes(&[
            ("vocab_size", self.vocab_size),
            ("d_model", self.d_model),
            ("d_kv", self.d_kv),
            ("d_ff", self.d_ff),
            ("num_layers", self.num_layers),
            ("num_heads", self.num_heads),
            ("relative_attention_num_buckets", self.relative_attention_num_buckets),
            ("relative_attention_max_distance", self.relative_attention_max_distance),
        ])?;
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
#[derive(Clone, Debug)]
pub struct Umt5 {
    config: Umt5Config,
    table: &'static str,
    vb: Tensors,
}

impl Umt5 {
    /// Finds the network in the weights, which are read when a prompt is encoded.
    ///
    /// # Errors
    /// The sizes are none that the network can have, or there is no table of tokens.
    pub fn new(config: &Umt5Config, vb: &VarBuilder<'static>) -> Result<Self> {
        config.check()?;
        let Some(table) = TABLES.into_iter().find(|name| vb.contains_tensor(name)) else {
            bail!("cannot find tensor {}", TABLES.join(" nor "));
        };
        Ok(Self { config: config.clone(), table, vb: Tensors(vb.clone()) })
    }

    /// Reads every tensor once.
    ///
    /// # Errors
    /// One is missing or has another shape.
    pub fn check(&self) -> Result<()> {
        let config = &self.config;
        self.vb.get((config.vocab_size, config.d_model), self.table)?;
        for at in 0..config.num_layers {
            self.layer(at)?;
        }
        self.norm()?;
        Ok(())
    }

    /// States of tokens: (L, D).
    ///
    /// # Errors
    /// A token is unknown, or a tensor is missing or has another shape.
    pub fn forward(&self, ids: &[u32]) -> Result<Tensor> {
        let config = &self.config;
        let mut x = embed(ids, (config.vocab_size, config.d_model), self.table, &self.vb)?;
        let buckets = Tensor::new(buckets(config, ids.len()), self.vb.device())?;
        for at in 0..config.num_layers {
            x = self.layer(at)?.forward(&x, &buckets)?;
        }
        rms_norm(&x, &self.norm()?, config.layer_norm_epsilon)
    }

    fn layer(&self, at: usize) -> Result<Layer> {
        Layer::new(&self.config, &self.vb.pp("encoder.block").pp(at).pp("layer"))
    }

    fn norm(&self) -> Result<Tensor> {
        self.vb.pp("encoder.final_layer_norm").get(self.config.d_model, "weight")
    }
}

struct Layer {
    config: Umt5Config,
    norms: [Tensor; 2],
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    /// (buckets, N)
    biases: Tensor,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Layer {
    fn new(config: &Umt5Config, vb: &VarBuilder<'_>) -> Result<Self> {
        let (width, inner) = (config.d_model, config.num_heads * config.d_kv);
        let (attention, dense) = (vb.pp("0.SelfAttention"), vb.pp("1.DenseReluDense"));
        let part = |name: &str| linear_no_bias(width, inner, attention.pp(name));
        let buckets = (config.relative_attention_num_buckets, config.num_heads);
        let norm = |name: &str| vb.get(width, name);
        Ok(Self {
            config: config.clone(),
            norms: [norm("0.layer_norm.weight")?, norm("1.layer_norm.weight")?],
            query: part("q")?,
            key: part("k")?,
            value: part("v")?,
            out: linear_no_bias(inner, width, attention.pp("o"))?,
            biases: attention.get(buckets, "relative_attention_bias.weight")?,
            gate: linear_no_bias(width, config.d_ff, dense.pp("wi_0"))?,
            up: linear_no_bias(width, config.d_ff, dense.pp("wi_1"))?,
            down: linear_no_bias(config.d_ff, width, dense.pp("wo"))?,
        })
    }

    /// x: (L, D), with the biases that `buckets` (L · L) picks.
    fn forward(&self, x: &Tensor, buckets: &Tensor) -> Result<Tensor> {
        let epsilon = self.config.layer_norm_epsilon;
        let x = (x + self.attention(&rms_norm(x, &self.norms[0], epsilon)?, buckets)?)?;
        let normed = rms_norm(&x, &self.norms[1], epsilon)?;
        let inner = (self.gate.forward(&normed)?.gelu()? * self.up.forward(&normed)?)?;
        x + self.down.forward(&inner)?
    }

    fn attention(&self, x: &Tensor, buckets: &Tensor) -> Result<Tensor> {
        let (heads, length) = (self.config.num_heads, x.dim(0)?);
        let part = |linear: &Linear| split_heads(&linear.forward(x)?, heads);
        let biases = self.biases.index_select(buckets, 0)?.t()?;
        let biases = biases.reshape((heads, length, length))?;
        let (query, key, value) = (part(&self.query)?, part(&self.key)?, part(&self.value)?);
        // Scores are not scaled: the published weights have it in them.
        self.out.forward(&attend(&query, &key, &value, 1.0, Some(&biases))?)
    }
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
