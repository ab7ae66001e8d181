//! Sizes of the network.

use crate::error::Error;
use crate::framepack::sizes;
use crate::model::Rotary;
use std::path::Path;

/// Base of the rotary frequencies.
const THETA: f64 = 10_000.0;

/// Sizes, under the names of the published `config.json`.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Config {
    /// Channels of what the network is shown: 16, or 36 where a picture's latent and a mask are beside the noise.
    pub in_channels: usize,
    /// Channels of a latent.
    pub out_channels: usize,
    /// Heads of every attention.
    pub num_attention_heads: usize,
    /// Channels of a head.
    pub attention_head_dim: usize,
    /// Blocks.
    pub num_layers: usize,
    /// Hidden width of the perceptrons.
    pub ffn_dim: usize,
    /// Width of a text state.
    pub text_dim: usize,
    /// Width of an image state, where the network looks at any.
    #[serde(default)]
    pub image_dim: Option<usize>,
}

impl Config {
    /// Wan 2.1, 1.3 billion weights, text to video.
    pub fn small() -> Self {
        Self {
            in_channels: 16,
            out_channels: 16,
            num_attention_heads: 12,
            attention_head_dim: 128,
            num_layers: 30,
            ffn_dim: 8960,
            text_dim: 4096,
            image_dim: None,
        }
    }

    /// Reads `config.json` of `folder`.
    ///
    /// # Errors
    /// It is missing, damaged, or describes another network; the message names it.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        sizes::open(folder, Self::parse)
    }

    fn parse(text: &str) -> Result<Self, String> {
        #[derive(serde::Deserialize)]
        struct Fixed {
            patch_size: [usize; 3],
            freq_dim: usize,
            cross_attn_norm: bool,
            qk_norm: String,
            eps: f64,
            #[serde(default)]
            pos_embed_seq_len: Option<usize>,
        }
        let fixed: Fixed = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let usual = fixed.patch_size == [1, 2, 2]
            && fixed.freq_dim == 256
            && fixed.cross_attn_norm
            && fixed.qk_norm == "rms_norm_across_heads"
            && (fixed.eps - 1e-6).abs() < 1e-12
            && fixed.pos_embed_seq_len.is_none();
        if !usual {
            return Err("expected patch_size [1, 2, 2], freq_dim 256, cross_attn_norm, qk_norm \
                        rms_norm_across_heads, eps 1e-6 and no pos_embed_seq_len"
                .to_owned());
        }
        let config: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        config.check()?;
        Ok(config)
    }

    /// Whether the sizes fit each other.
    fn check(&self) -> Result<(), String> {
        let (heads, head) = (self.num_attention_heads, self.attention_head_dim);
        let widths = [
            self.in_channels,
            self.out_channels,
            heads,
            head,
            heads.saturating_mul(head),
            self.ffn_dim,
            self.text_dim,
            self.image_dim.unwrap_or(1),
        ];
        sizes::check(&widths, &[self.num_layers])?;
        if head % 2 != 0 {
            return Err(format!("expected heads of an even width, got {head}"));
        }
        Ok(())
    }

    /// Width of a token.
    pub fn width(&self) -> usize {
        self.num_attention_heads * self.attention_head_dim
    }

    /// A third of a head's channels each for rows and columns, the rest for time.
    pub(super) fn rotary(&self) -> Rotary {
        let space = 2 * (self.attention_head_dim / 6);
        Rotary { theta: THETA, axes: [self.attention_head_dim - 2 * space, space, space] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As published beside the weights.
    const SMALL: &str = r#"{"_class_name": "WanTransformer3DModel", "added_kv_proj_dim": null,
        "attention_head_dim": 128, "cross_attn_norm": true, "eps": 1e-06, "ffn_dim": 8960, "freq_dim": 256,
        "image_dim": null, "in_channels": 16, "num_attention_heads": 12, "num_layers": 30, "out_channels": 16,
        "patch_size": [1, 2, 2], "qk_norm": "rms_norm_across_heads", "rope_max_seq_len": 1024, "text_dim": 4096}"#;

    #[test]
    fn the_published_configuration_is_read() {
        assert_eq!(Config::parse(SMALL), Ok(Config::small()));
        assert_eq!(Config::small().rotary().axes, [44, 42, 42]);
    }

    #[test]
    fn other_networks_are_refused() {
        let changes = [
            ("[1, 2, 2]", "[2, 2, 2]", "patch_size"),
            ("1e-06", "1e-05", "eps 1e-6"),
            ("\"num_layers\": 30", "\"num_layers\": 3000", "at most 1000"),
            ("\"ffn_dim\": 8960", "\"ffn_dim\": 0", "widths"),
            ("\"attention_head_dim\": 128", "\"attention_head_dim\": 127", "even"),
            ("\"text_dim\": 4096", "\"text\": 4096", "text_dim"),
        ];
        sizes::refused(Config::parse, SMALL, &changes);
    }
}
