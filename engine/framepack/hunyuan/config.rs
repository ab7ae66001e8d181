//! Sizes of the network.

use crate::error::Error;
use crate::framepack::sizes;
use crate::model::Rotary;
use std::path::Path;

/// Sizes, under the names of the published `config.json`.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Config {
    /// Channels of a latent.
    pub in_channels: usize,
    /// Heads of every attention.
    pub num_attention_heads: usize,
    /// Channels of a head.
    pub attention_head_dim: usize,
    /// Blocks with streams of their own for video and text.
    pub num_layers: usize,
    /// Blocks with one stream of both.
    pub num_single_layers: usize,
    /// Blocks that refine the text.
    pub num_refiner_layers: usize,
    /// Hidden width of the perceptrons over the width of a token.
    pub mlp_ratio: f64,
    /// Whether the network is told a guidance scale.
    pub guidance_embeds: bool,
    /// Width of a text state.
    pub text_embed_dim: usize,
    /// Width of the pooled text.
    pub pooled_projection_dim: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Channels of a head for time, rows and columns.
    pub rope_axes_dim: [usize; 3],
    /// Whether the network is shown states of an image encoder.
    #[serde(deserialize_with = "truth")]
    pub has_image_proj: bool,
    /// Width of an image state.
    pub image_proj_dim: usize,
}

impl Config {
    /// The released network, of 12.9 billion weights.
    pub fn released() -> Self {
        Self {
            in_channels: 16,
            num_attention_heads: 24,
            attention_head_dim: 128,
            num_layers: 20,
            num_single_layers: 40,
            num_refiner_layers: 2,
            mlp_ratio: 4.0,
            guidance_embeds: true,
            text_embed_dim: 4096,
            pooled_projection_dim: 768,
            rope_theta: 256.0,
            rope_axes_dim: [16, 56, 56],
            has_image_proj: true,
            image_proj_dim: 1152,
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
            patch_size: usize,
            patch_size_t: usize,
            #[serde(default)]
            image_condition_type: Option<String>,
        }
        let fixed: Fixed = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if (fixed.patch_size, fixed.patch_size_t) != (2, 1) || fixed.image_condition_type.is_some()
        {
            return Err(
                "expected patch_size 2, patch_size_t 1 and no image_condition_type".to_owned()
            );
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
            heads,
            head,
            heads.saturating_mul(head),
            self.text_embed_dim,
            self.pooled_projection_dim,
            self.image_proj_dim,
        ];
        let blocks = [self.num_layers, self.num_single_layers, self.num_refiner_layers];
        sizes::check(&widths, &blocks)?;
        let axes = self.rope_axes_dim;
        let whole = axes.iter().try_fold(0_usize, |sum, &axis| sum.checked_add(axis));
        if whole != Some(head) || axes.iter().any(|axis| axis % 2 != 0) {
            return Err(format!("expected even rope_axes_dim whose sum is {head}, got {axes:?}"));
        }
        if !(0.0..=64.0).contains(&self.mlp_ratio) || !(1.0..=1e9).contains(&self.rope_theta) {
            return Err("expected mlp_ratio of 0 to 64 and rope_theta of 1 to 1e9".to_owned());
        }
        Ok(())
    }

    /// Width of a token.
    pub fn width(&self) -> usize {
        self.num_attention_heads * self.attention_head_dim
    }

    /// Hidden width of a perceptron.
    pub(super) fn hidden(&self) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "checked to be small and positive; the reference rounds down too"
        )]
        let hidden = (self.width() as f64 * self.mlp_ratio) as usize;
        hidden
    }

    pub(super) fn rotary(&self) -> Rotary {
        Rotary { theta: self.rope_theta, axes: self.rope_axes_dim }
    }
}

/// A truth that some files write as a number.
fn truth<'de, D: serde::Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Truth {
        Bool(bool),
        Number(u8),
    }
    Ok(match <Truth as serde::Deserialize>::deserialize(from)? {
        Truth::Bool(truth) => truth,
        Truth::Number(number) => number != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As published beside the weights, without what is not read.
    const RELEASED: &str = r#"{"_class_name": "HunyuanVideoTransformer3DModelPacked", "attention_head_dim": 128,
        "guidance_embeds": true, "has_clean_x_embedder": true, "has_image_proj": true, "image_proj_dim": 1152,
        "in_channels": 16, "mlp_ratio": 4.0, "num_attention_heads": 24, "num_layers": 20, "num_refiner_layers": 2,
        "num_single_layers": 40, "out_channels": 16, "patch_size": 2, "patch_size_t": 1, "pooled_projection_dim": 768,
        "qk_norm": "rms_norm", "rope_axes_dim": [16, 56, 56], "rope_theta": 256.0, "text_embed_dim": 4096}"#;

    #[test]
    fn the_published_configuration_is_read() {
        assert_eq!(Config::parse(RELEASED), Ok(Config::released()));
        let numbers = RELEASED.replace(r#""has_image_proj": true"#, r#""has_image_proj": 1"#);
        assert_eq!(Config::parse(&numbers), Ok(Config::released()));
    }

    #[test]
    fn other_networks_are_refused() {
        let changes = [
            ("\"patch_size\": 2", "\"patch_size\": 4", "patch_size 2"),
            ("[16, 56, 56]", "[16, 56, 58]", "whose sum is 128"),
            ("[16, 56, 56]", "[18, 55, 55]", "even"),
            ("\"num_layers\": 20", "\"num_layers\": 2000", "at most 1000"),
            ("\"num_attention_heads\": 24", "\"num_attention_heads\": 0", "widths"),
            ("\"in_channels\": 16,", "", "in_channels"),
            ("\"mlp_ratio\": 4.0", "\"mlp_ratio\": -1.0", "mlp_ratio"),
        ];
        sizes::refused(Config::parse, RELEASED, &changes);
    }

    proptest! {
        #[test]
        fn any_text_is_an_error_or_a_sound_configuration(at in 0_usize..600, with in "[0-9eE.\\-\\[\\]{},:\"]{0,4}") {
            let mut text = RELEASED.to_owned();
            if text.is_char_boundary(at) && at < text.len() {
                text.replace_range(at..=at, &with);
            }
            if let Ok(config) = Config::parse(&text) {
                prop_assert!(config.check().is_ok() && config.hidden() <= 64 * sizes::WIDTH_MAX);
            }
        }
    }
}
