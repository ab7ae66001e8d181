//! Sizes of the network.

use crate::ops::Precision;

/// Sizes of the network and of the latents it works on.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Latent channels, C.
    pub channels: usize,
    /// Latent rows, H; even.
    pub height: usize,
    /// Latent columns, W; even.
    pub width: usize,
    /// Channels of a token, D.
    pub dim: usize,
    /// Transformer blocks.
    pub depth: usize,
    /// Attention heads, N; `dim / heads` is a multiple of 8.
    pub heads: usize,
    /// Channels of the condition (noise level, step size, actions).
    pub condition: usize,
    /// Features of one action.
    pub action: usize,
    /// Kernels with a projection of their own; 1 among them.
    pub kernels: Vec<usize>,
    /// How products are rounded on a CPU.
    #[serde(default)]
    pub precision: Precision,
}

impl ModelConfig {
    /// For tests: a network that runs in milliseconds.
    pub fn tiny() -> Self {
        Self {
            channels: 4,
            height: 6,
            width: 8,
            dim: 32,
            depth: 2,
            heads: 2,
            condition: 16,
            action: 4,
            kernels: vec![1, 2, 4],
            precision: Precision::F32,
        }
    }

    /// The shipped size: 9 million parameters, playable on two CPU cores.
    pub fn base() -> Self {
        Self {
            channels: 16,
            height: 12,
            width: 16,
            dim: 256,
            depth: 8,
            heads: 4,
            condition: 128,
            action: 4,
            kernels: vec![1, 2, 4],
            precision: Precision::Bf16,
        }
    }

    /// For a GPU: 100 million parameters.
    pub fn large() -> Self {
        Self { dim: 768, depth: 12, heads: 12, condition: 256, ..Self::base() }
    }

    /// Token rows and columns of one frame at kernel 1.
    pub fn grid(&self) -> (usize, usize) {
        (self.height / 2, self.width / 2)
    }

    /// Tokens of one section frame.
    pub fn frame_tokens(&self) -> usize {
        self.grid().0 * self.grid().1
    }

    /// Tokens of one group of kernel `k`, with replicate padding at the ends.
    pub fn group_tokens(&self, k: usize) -> usize {
        self.height.div_ceil(2 * k) * self.width.div_ceil(2 * k)
    }

    /// Values of one frame's latent.
    pub fn latent_len(&self) -> usize {
        self.channels * self.height * self.width
    }
}
