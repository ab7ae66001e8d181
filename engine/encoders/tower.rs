//! The transformer that CLIP and SigLIP share: normalisation before attention and before the feed-forward layer.

use super::layers::{attend, head_scale, split_heads};
use crate::weights::check_sizes;
use candle_core::{Result, Tensor, bail};
use candle_nn::{LayerNorm, Linear, Module as _, VarBuilder, linear};

/// What bends the feed-forward layer, by its published name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// x · sigmoid(1.702 x).
    QuickGelu,
    /// x · Φ(x).
    Gelu,
    /// x · Φ(x) with Φ by way of tanh.
    GeluPytorchTanh,
}

impl Activation {
    fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::QuickGelu => x * candle_nn::ops::sigmoid(&(x * 1.702)?)?,
            Self::Gelu => x.gelu_erf(),
            Self::GeluPytorchTanh => x.gelu(),
        }
    }
}

/// Sizes of a tower.
#[derive(Clone, Copy, Debug)]
pub(super) struct TowerConfig {
    /// Width of a token, D.
    pub(super) width: usize,
    /// Width inside the feed-forward layers.
    pub(super) inner: usize,
    pub(super) heads: usize,
    pub(super) layers: usize,
    pub(super) activation: Activation,
    /// Added to variances before their roots.
    pub(super) epsilon: f64,
}

/// Layers in a row.
#[derive(Clone, Debug)]
pub(super) struct Tower {
    layers: Vec<Layer>,
}

#[derive(Clone, Debug)]
struct Layer {
    norm1: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    heads: usize,
    activation: Activation,
}

impl Tower {
    /// Reads `layers.0` and those that follow.
    pub(super) fn new(config: TowerConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        check_sizes(&[
            ("hidden_size", config.width),
            ("intermediate_size", config.inner),
            ("num_attention_heads", config.heads),
            ("num_hidden_layers", config.layers),
        ])?;
        if !config.width.is_multiple_of(config.heads) {
            bail!("expected heads that divide {}, got {}", config.width, config.heads);
        }
        let layers = (0..config.layers).map(|at| Layer::new(config, &vb.pp("layers").pp(at)));
        Ok(Self { layers: layers.collect::<Result<_>>()? })
    }

    /// x: (L, D), `mask` (L, L) added to scores.
    pub(super) fn forward(&self, x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let mut x = x.clone();
        for layer in &self.layers {
            x = layer.forward(&x, mask)?;
        }
        Ok(x)
    }
}

impl Layer {
    fn new(config: TowerConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let TowerConfig { width, inner, heads, activation, epsilon, layers: _ } = config;
        let attention = vb.pp("self_attn");
        let square = |name: &str| linear(width, width, attention.pp(name));
        Ok(Self {
            norm1: candle_nn::layer_norm(width, epsilon, vb.pp("layer_norm1"))?,
            query: square("q_proj")?,
            key: square("k_proj")?,
            value: square("v_proj")?,
            out: square("out_proj")?,
            norm2: candle_nn::layer_norm(width, epsilon, vb.pp("layer_norm2"))?,
            fc1: linear(width, inner, vb.pp("mlp.fc1"))?,
            fc2: linear(inner, width, vb.pp("mlp.fc2"))?,
            heads,
            activation,
        })
    }

    fn forward(&self, x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let normed = self.norm1.forward(x)?;
        let part = |linear: &Linear| split_heads(&linear.forward(&normed)?, self.heads);
        let (query, key, value) = (part(&self.query)?, part(&self.key)?, part(&self.value)?);
        let attended = attend(&query, &key, &value, head_scale(query.dim(2)?), mask)?;
        let x = (x + self.out.forward(&attended)?)?;
        let inner = self.activation.apply(&self.fc1.forward(&self.norm2.forward(&x)?)?)?;
        x + self.fc2.forward(&inner)?
    }
}
