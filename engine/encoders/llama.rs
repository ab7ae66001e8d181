//! LLaMA as an encoder of prompts: the hidden states behind an inner layer, one per token.
//!
//! HunyuanVideo takes those behind the third-to-last entry of the reference's list of hidden states: two layers and the
//! last normalisation are left out (W. Kong et al., "HunyuanVideo" (2024), §4.3; H. Touvron et al., "LLaMA" (2023)).
//!
//! A prompt is encoded once and the layers are large, so each is read from the weights, used and let go of. Prompts are
//! not padded: attention looks back only, so that padding behind a prompt changes nothing before it.

use super::layers::{Tensors, attend, causal, embed, head_scale, rms_norm, split_heads, under};
use crate::weights::check_sizes;
use candle_core::{DType, Result, Tensor, bail};
use candle_nn::{Linear, Module as _, VarBuilder, linear_no_bias};

/// Layers whose states the transformer does not see.
const SKIPPED: usize = 2;
/// Where the layers lie in published files: the bare network's, a language model's, a model's that sees pictures.
const PREFIXES: [&str; 4] = ["", "model", "language_model.model", "model.language_model"];
const TABLE: &str = "embed_tokens.weight";

/// Sizes of the network, as its published `config.json` tells them.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
pub struct LlamaConfig {
    /// Known tokens.
    pub vocab_size: usize,
    /// Width of a token, D.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Layers, skipped ones included.
    pub num_hidden_layers: usize,
    /// Heads, N.
    pub num_attention_heads: usize,
    /// Heads of keys and values, a divisor of `num_attention_heads`.
    pub num_key_value_heads: usize,
    /// Added to mean squares before their roots.
    pub rms_norm_eps: f64,
    /// Base of the wavelengths of positions.
    pub rope_theta: f64,
    /// Changed wavelengths for long texts; not supported.
    #[serde(default)]
    pub rope_scaling: Option<serde_json::Value>,
}

impl LlamaConfig {
    /// LLaMA 3 of 8 billion parameters, with the vocabulary of the published text encoder.
    pub fn llama3_8b() -> Self {
        Self {
            vocab_size: 128_320,
            hidden_size: 4096,
            intermediate_size: 14_336,
            num_hidden_layers: 32,
            num_attention_heads: 32,
            num_key_value_heads: 8,
            rms_norm_eps: 1e-5,
            rope_theta: 500_000.0,
            rope_scaling: None,
        }
    }

    fn check(&self) -> Result<()> {
        check_sizes(&[
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
        ])?;
        let (heads, groups) = (self.num_attention_heads, self.num_key_value_heads);
        if !heads.is_multiple_of(groups) || !self.hidden_size.is_multiple_of(2 * heads) {
            let width = self.hidden_size;
            bail!("expected {heads} heads of even width over {width}, in {groups} groups");
        }
        if self.rope_scaling.is_some() {
            bail!("expected plain rotary positions, got rope_scaling");
        }
        if self.num_hidden_layers <= SKIPPED {
            bail!("expected more than {SKIPPED} layers, got {}", self.num_hidden_layers);
        }
        Ok(())
    }

    fn head_width(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }
}

/// The network.
#[derive(Clone, Debug)]
pub struct Llama {
    config: LlamaConfig,
    vb: Tensors,
}

impl Llama {
    /// Finds the network in the weights, which are read when a prompt is encoded.
    ///
    /// # Errors
    /// The sizes are none that the network can have, or there is no table of tokens.
    pub fn new(config: &LlamaConfig, vb: &VarBuilder<'static>) -> Result<Self> {
        config.check()?;
        Ok(Self { config: config.clone(), vb: Tensors(under(vb, &PREFIXES, TABLE)?) })
    }

    /// Reads every tensor once.
    ///
    /// # Errors
    /// One is missing or has another shape.
    pub fn check(&self) -> Result<()> {
        self.vb.get((self.config.vocab_size, self.config.hidden_size), TABLE)?;
        (0..self.layers()).try_for_each(|at| self.layer(at).map(|_| ()))
    }

    /// Hidden states of tokens: (L, D).
    ///
    /// # Errors
    /// A token is unknown, or a tensor is missing or has another shape.
    pub fn forward(&self, ids: &[u32]) -> Result<Tensor> {
        let config = &self.config;
        let mut x = embed(ids, (config.vocab_size, config.hidden_size), TABLE, &self.vb)?;
        let mask = causal(ids.len(), self.vb.device())?;
        let phases = Phases::new(config, ids.len(), &self.vb)?;
        for at in 0..self.layers() {
            x = self.layer(at)?.forward(&x, &phases, &mask)?;
        }
        Ok(x)
    }

    /// Layers that are gone through.
    fn layers(&self) -> usize {
        self.config.num_hidden_layers - SKIPPED
    }

    fn layer(&self, at: usize) -> Result<Layer> {
        Layer::new(&self.config, &self.vb.pp("layers").pp(at))
    }
}

/// Cosines and sines of positions, (L, d / 2).
struct Phases {
    cos: Tensor,
    sin: Tensor,
}

impl Phases {
    fn new(config: &LlamaConfig, length: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let half = config.head_width() / 2;
        #[expect(clippy::cast_precision_loss, reason = "positions and widths are small")]
        let angle = |at: usize| {
            let (position, pair) = ((at / half) as f64, (at % half) as f64);
            position * config.rope_theta.powf(-pair / half as f64)
        };
        let angles: Vec<f64> = (0..length * half).map(angle).collect();
        let angles = Tensor::from_vec(angles, (length, half), vb.device())?;
        let narrow = |x: Tensor| x.to_dtype(DType::F32);
        Ok(Self { cos: narrow(angles.cos()?)?, sin: narrow(angles.sin()?)? })
    }

    /// x: (N, L, d), whose pairs (i, i + d / 2) are turned in f32.
    fn turn(&self, x: &Tensor) -> Result<Tensor> {
        let wide = x.to_dtype(DType::F32)?.unsqueeze(0)?;
        let turned = candle_nn::rotary_emb::rope(&wide, &self.cos, &self.sin)?;
        turned.squeeze(0)?.to_dtype(x.dtype())
    }
}

struct Layer {
    config: LlamaConfig,
    norms: [Tensor; 2],
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Layer {
    fn new(config: &LlamaConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let shared = config.num_key_value_heads * config.head_width();
        let (attention, mlp) = (vb.pp("self_attn"), vb.pp("mlp"));
        let norm = |name: &str| vb.get(width, &format!("{name}.weight"));
        Ok(Self {
            config: config.clone(),
            norms: [norm("input_layernorm")?, norm("post_attention_layernorm")?],
            query: linear_no_bias(width, width, attention.pp("q_proj"))?,
            key: linear_no_bias(width, shared, attention.pp("k_proj"))?,
            value: linear_no_bias(width, shared, attention.pp("v_proj"))?,
            out: linear_no_bias(width, width, attention.pp("o_proj"))?,
            gate: linear_no_bias(width, inner, mlp.pp("gate_proj"))?,
            up: linear_no_bias(width, inner, mlp.pp("up_proj"))?,
            down: linear_no_bias(inner, width, mlp.pp("down_proj"))?,
        })
    }

    /// x: (L, D)
    fn forward(&self, x: &Tensor, phases: &Phases, mask: &Tensor) -> Result<Tensor> {
        let epsilon = self.config.rms_norm_eps;
        let x = (x + self.attention(&rms_norm(x, &self.norms[0], epsilon)?, phases, mask)?)?;
        let normed = rms_norm(&x, &self.norms[1], epsilon)?;
        let inner = (self.gate.forward(&normed)?.silu()? * self.up.forward(&normed)?)?;
        x + self.down.forward(&inner)?
    }

    fn attention(&self, x: &Tensor, phases: &Phases, mask: &Tensor) -> Result<Tensor> {
        let (heads, groups) = (self.config.num_attention_heads, self.config.num_key_value_heads);
        let query = phases.turn(&split_heads(&self.query.forward(x)?, heads)?)?;
        let key = phases.turn(&split_heads(&self.key.forward(x)?, groups)?)?;
        let value = split_heads(&self.value.forward(x)?, groups)?;
        let (key, value) = (repeat(&key, heads / groups)?, repeat(&value, heads / groups)?);
        let scale = head_scale(self.config.head_width());
        self.out.forward(&attend(&query, &key, &value, scale, Some(mask))?)
    }
}

/// x (N, L, d) with every head `times` in a row.
fn repeat(x: &Tensor, times: usize) -> Result<Tensor> {
    let (heads, length, width) = x.dims3()?;
    let x = x.unsqueeze(1)?.broadcast_as((heads, times, length, width))?;
    x.reshape((heads * times, length, width))
}
