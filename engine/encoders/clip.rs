//! CLIP's text tower: one vector for a prompt.
//!
//! The state of the token that ends the text, behind the last normalisation and before any projection, which
//! HunyuanVideo takes as its pooled prompt (A. Radford et al., "Learning Transferable Visual Models From Natural
//! Language Supervision" (2021), §2.4).

use super::layers::{Tensors, causal, embed, under};
use super::tower::{Activation, Tower, TowerConfig};
use crate::weights::check_sizes;
use candle_core::{Result, Tensor, bail};
use candle_nn::{LayerNorm, Module as _, VarBuilder};

const TABLE: &str = "embeddings.token_embedding.weight";
/// As in every published CLIP.
const EPSILON: f64 = 1e-5;

/// Sizes of the network, as its published `config.json` tells them.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
pub struct ClipTextConfig {
    /// Known tokens.
    pub vocab_size: usize,
    /// Width of a token, D.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads, N.
    pub num_attention_heads: usize,
    /// Most tokens of a prompt, the one that begins and the one that ends it included.
    pub max_position_embeddings: usize,
    /// `quick_gelu` in what is published, or `gelu`.
    pub hidden_act: Activation,
}

impl ClipTextConfig {
    /// The text tower of CLIP ViT-L/14.
    pub fn large() -> Self {
        Self {
            vocab_size: 49_408,
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            max_position_embeddings: 77,
            hidden_act: Activation::QuickGelu,
        }
    }
}

/// The network with its weights.
#[derive(Clone, Debug)]
pub struct ClipText {
    config: ClipTextConfig,
    vb: Tensors,
    positions: Tensor,
    tower: Tower,
    norm: LayerNorm,
}

impl ClipText {
    /// Reads the weights; the table of tokens is read when a prompt is encoded.
    ///
    /// # Errors
    /// The sizes are none that the network can have, or a tensor is missing or has another shape.
    pub fn new(config: &ClipTextConfig, vb: &VarBuilder<'static>) -> Result<Self> {
        check_sizes(&[
            ("vocab_size", config.vocab_size),
            ("max_position_embeddings", config.max_position_embeddings),
        ])?;
        let vb = under(vb, &["text_model", ""], TABLE)?;
        let (width, length) = (config.hidden_size, config.max_position_embeddings);
        let tower = TowerConfig {
            width,
            inner: config.intermediate_size,
            heads: config.num_attention_heads,
            layers: config.num_hidden_layers,
            activation: config.hidden_act,
            epsilon: EPSILON,
        };
        Ok(Self {
            config: config.clone(),
            positions: vb.get((length, width), "embeddings.position_embedding.weight")?,
            tower: Tower::new(tower, &vb.pp("encoder"))?,
            norm: candle_nn::layer_norm(width, EPSILON, vb.pp("final_layer_norm"))?,
            vb: Tensors(vb),
        })
    }

    /// The pooled prompt, (D), of tokens the last of which ends the text.
    ///
    /// # Errors
    /// There are more tokens than positions, or one is unknown.
    pub fn forward(&self, ids: &[u32]) -> Result<Tensor> {
        let config = &self.config;
        let longest = config.max_position_embeddings;
        if ids.len() > longest {
            bail!("expected at most {longest} tokens, got {}", ids.len());
        }
        let tokens = embed(ids, (config.vocab_size, config.hidden_size), TABLE, &self.vb)?;
        let x = (tokens + self.positions.narrow(0, 0, ids.len())?)?;
        let mask = causal(ids.len(), x.device())?;
        let x = self.tower.forward(&x, Some(&mask))?;
        self.norm.forward(&x.narrow(0, ids.len() - 1, 1)?)?.squeeze(0)
    }
}
