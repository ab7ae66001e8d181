//! Sizes of the autoencoder, as its published `config.json` tells them.

use crate::weights::check_sizes;
use candle_core::{Result, bail};

/// Frames of a latent, and pixels along each side of one.
pub(super) const FRAMES: usize = 4;
pub(super) const SIDE: usize = 8;
/// Halvings of the picture's sides, and of time: the logarithms of the above.
const SIDE_HALVINGS: usize = 3;
const TIME_HALVINGS: usize = 2;

/// Sizes of the network.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default)]
pub struct HunyuanVaeConfig {
    /// Channels of a latent, C.
    pub latent_channels: usize,
    /// Channels of each depth, shallowest first.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks of a depth in the encoder; the decoder has one more.
    pub layers_per_block: usize,
    /// Groups of channels that are normalised together.
    pub norm_num_groups: usize,
    /// What the encoder's latents are multiplied by for the transformer.
    pub scaling_factor: f64,
    /// Pixels of a latent along each side; 8.
    pub spatial_compression_ratio: usize,
    /// Frames of a latent; 4.
    pub temporal_compression_ratio: usize,
    /// Whether the deepest blocks attend; always so.
    pub mid_block_add_attention: bool,
}

impl Default for HunyuanVaeConfig {
    /// The published network: 246 million parameters.
    fn default() -> Self {
        Self {
            latent_channels: 16,
            block_out_channels: vec![128, 256, 512, 512],
            layers_per_block: 2,
            norm_num_groups: 32,
            scaling_factor: 0.476_986,
            spatial_compression_ratio: SIDE,
            temporal_compression_ratio: FRAMES,
            mid_block_add_attention: true,
        }
    }
}

/// How one depth changes the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Halving {
    pub(super) time: bool,
    pub(super) side: bool,
}

impl Halving {
    /// Whether anything changes.
    pub(super) fn any(self) -> bool {
        self.time || self.side
    }
}

impl HunyuanVaeConfig {
    pub(super) fn check(&self) -> Result<()> {
        let ratios = (self.temporal_compression_ratio, self.spatial_compression_ratio);
        if ratios != (FRAMES, SIDE) || !self.mid_block_add_attention {
            bail!(
                "expected latents of {FRAMES} frames of {SIDE}x{SIDE} pixels and attention, got {ratios:?}"
            );
        }
        check_sizes(&[
            ("latent_channels", self.latent_channels),
            ("layers_per_block", self.layers_per_block),
            ("norm_num_groups", self.norm_num_groups),
        ])?;
        self.block_out_channels.iter().try_for_each(|&width| check_sizes(&[("width", width)]))?;
        let groups = self.norm_num_groups;
        let depths = self.block_out_channels.len();
        let even = |width: &usize| width.is_multiple_of(groups);
        if depths != SIDE_HALVINGS + 1 || !self.block_out_channels.iter().all(even) {
            let got = &self.block_out_channels;
            bail!("expected {} widths in multiples of {groups}, got {got:?}", SIDE_HALVINGS + 1);
        }
        if !(self.scaling_factor.is_normal() && self.scaling_factor > 0.0) {
            bail!("expected a scaling factor above 0, got {}", self.scaling_factor);
        }
        Ok(())
    }

    /// Width of the deepest level.
    pub(super) fn deepest(&self) -> usize {
        self.block_out_channels.last().copied().unwrap_or_default()
    }

    /// What changes behind the `at`-th depth met, on the way down as on the way up.
    pub(super) fn halving(&self, at: usize) -> Halving {
        let last = self.block_out_channels.len() - 1;
        Halving { time: at + TIME_HALVINGS >= last && at < last, side: at < SIDE_HALVINGS }
    }
}
