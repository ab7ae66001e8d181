//! Sizes of the autoencoder, as its published `config.json` tells them.

use crate::weights::check_sizes;
use candle_core::{Result, bail};

/// Frames of a latent, and pixels along each side of one.
pub(super) const FRAMES: usize = 4;
pub(super) const SIDE: usize = 8;
/// Depths of the network; the picture is halved between them.
const DEPTHS: usize = 4;

/// Sizes of the network.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default)]
pub struct WanVaeConfig {
    /// Channels of the shallowest depth.
    pub base_dim: usize,
    /// Channels of a latent, C.
    pub z_dim: usize,
    /// Channels of each depth over `base_dim`, shallowest first.
    pub dim_mult: Vec<usize>,
    /// Residual blocks of a depth in the encoder; the decoder has one more.
    pub num_res_blocks: usize,
    /// Depths behind which the encoder halves time too; the decoder doubles it in reverse order.
    pub temperal_downsample: Vec<bool>,
    /// Means of the encoder's latents, channel by channel.
    pub latents_mean: Vec<f64>,
    /// Standard deviations of the encoder's latents.
    pub latents_std: Vec<f64>,
    /// Scales at which depths attend; none in Wan 2.1.
    pub attn_scales: Vec<f64>,
    /// Whether depths go round by averages; Wan 2.2 alone, and not supported.
    pub is_residual: bool,
}

impl Default for WanVaeConfig {
    /// The published network of Wan 2.1: 127 million parameters.
    fn default() -> Self {
        Self {
            base_dim: 96,
            z_dim: 16,
            dim_mult: vec![1, 2, 4, 4],
            num_res_blocks: 2,
            temperal_downsample: vec![false, true, true],
            latents_mean: vec![
                -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134,
                -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
            ],
            latents_std: vec![
                2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526,
                2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
            ],
            attn_scales: Vec::new(),
            is_residual: false,
        }
    }
}

impl WanVaeConfig {
    pub(super) fn check(&self) -> Result<()> {
        check_sizes(&[
            ("base_dim", self.base_dim),
            ("z_dim", self.z_dim),
            ("num_res_blocks", self.num_res_blocks),
        ])?;
        self.dim_mult.iter().try_for_each(|&times| check_sizes(&[("dim_mult", times)]))?;
        let halvings = self.temperal_downsample.iter().filter(|&&time| time).count();
        if self.dim_mult.len() != DEPTHS
            || self.temperal_downsample.len() != DEPTHS - 1
            || 1 << halvings != FRAMES
        {
            let (depths, time) = (&self.dim_mult, &self.temperal_downsample);
            bail!("expected {DEPTHS} depths, two of which halve time, got {depths:?} and {time:?}");
        }
        if self.is_residual || !self.attn_scales.is_empty() {
            bail!("expected the autoencoder of Wan 2.1, got another's is_residual or attn_scales");
        }
        // The decoder halves its width where it doubles the picture.
        let even = |times: &usize| (self.base_dim * times).is_multiple_of(2);
        if !self.dim_mult.iter().all(even) {
            bail!("expected even widths, got {:?} times {}", self.dim_mult, self.base_dim);
        }
        let (means, deviations) = (&self.latents_mean, &self.latents_std);
        let fits = means.len() == self.z_dim && deviations.len() == self.z_dim;
        if !fits || !deviations.iter().all(|deviation| deviation.is_normal() && *deviation > 0.0) {
            bail!("expected a mean and a deviation above 0 of each of {} channels", self.z_dim);
        }
        Ok(())
    }

    /// Channels of each depth, shallowest first.
    pub(super) fn widths(&self) -> Vec<usize> {
        self.dim_mult.iter().map(|times| times * self.base_dim).collect()
    }
}
