//! Sizes of the network.

use crate::atlas::BEARING;
use crate::ops::Precision;
use crate::pack::{Grid, Kernel};

/// What groups of history attend to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HistoryAttention {
    /// Each to itself alone: its keys and values depend on nothing else, and can be kept.
    #[default]
    Own,
    /// To those before it in time as well, as causal attention does (T. Yin et al., "From Slow Bidirectional to Fast
    /// Causal Video Generators", 2024): what is known of a group depends on the plan, and nothing is kept.
    Causal,
}

impl HistoryAttention {
    fn is_own(&self) -> bool {
        *self == Self::Own
    }
}

/// Most latent cells on a side: 32 768 pixels.
const SIDE_MAX: usize = 4096;
/// Most of anything else.
const SIZE_MAX: usize = 65_536;
/// Most parameters: 40 GB with all that a training keeps of them.
const PARAMETERS_MAX: u64 = 2_500_000_000;

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
    /// What groups of history attend to.
    #[serde(default, skip_serializing_if = "HistoryAttention::is_own")]
    pub history: HistoryAttention,
    /// Retrieved frames of which the network is told where they were seen from, best first.
    #[serde(default, skip_serializing_if = "is_none")]
    pub bearings: usize,
    /// Whether the network is shown what the views of an atlas show from where a section is.
    #[serde(default, skip_serializing_if = "is_false")]
    pub rendering: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_none(count: &usize) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// How a kernel's groups become tokens (`FramePack` §3.1): means over boxes of latent cells, then the largest
/// projection that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedding {
    /// Kernel of the projection, `(k, 2k, 2k)`.
    pub k: usize,
    /// Frames, rows and columns of the boxes; 1, 1, 1 for a kernel with a projection of its own.
    pub pool: [usize; 3],
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
            history: HistoryAttention::Own,
            bearings: 0,
            rendering: false,
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
            precision: Precision::Int16,
            history: HistoryAttention::Own,
            bearings: 0,
            rendering: false,
        }
    }

    /// For a GPU: 100 million parameters.
    pub fn large() -> Self {
        Self { dim: 768, depth: 12, heads: 12, condition: 256, ..Self::base() }
    }

    /// Whether a network can have these sizes.
    ///
    /// # Errors
    /// Which one is wrong, and what is expected.
    pub fn check(&self) -> Result<(), String> {
        let Self { channels, height, width, dim, depth, heads, condition, action, .. } = *self;
        let sizes = [channels, height, width, dim, depth, heads, condition, action];
        if !sizes.iter().all(|size| (1..=SIZE_MAX).contains(size)) {
            return Err(format!("expected sizes of the model of 1 to {SIZE_MAX}, got {sizes:?}"));
        }
        // Of the blocks, which hold nearly all of them.
        let parameters = depth as u64 * 18 * (dim as u64).pow(2);
        if parameters > PARAMETERS_MAX {
            return Err(format!(
                "expected a model of at most {PARAMETERS_MAX} parameters, got {parameters}"
            ));
        }
        let known = |&kernel: &usize| {
            u16::try_from(kernel).is_ok_and(|kernel| Kernel::simplified(kernel).is_some())
        };
        if !self.kernels.contains(&1) || !self.kernels.iter().all(known) {
            return Err(format!(
                "expected kernels such as 1, 2 and 4, 1 among them, got {:?}",
                self.kernels
            ));
        }
        if (height % 2, width % 2) != (0, 0) || height.max(width) > SIDE_MAX {
            let expected = format!("expected even sides of latents of at most {SIDE_MAX}");
            return Err(format!("{expected}, got {width}x{height}"));
        }
        if heads > dim || !dim.is_multiple_of(8 * heads) {
            return Err(format!(
                "expected a dim that is a multiple of 8 for each of {heads} heads, got {dim}"
            ));
        }
        Ok(())
    }

    /// Numbers that tell a section frame what is done: its last three actions, then the bearings.
    pub fn told(&self) -> usize {
        3 * self.action + BEARING * self.bearings
    }

    /// Token rows and columns of one frame at kernel 1.
    pub fn grid(&self) -> (usize, usize) {
        (self.height / 2, self.width / 2)
    }

    /// Tokens of one section frame.
    pub fn frame_tokens(&self) -> usize {
        self.grid().0 * self.grid().1
    }

    /// A latent frame's size.
    ///
    /// # Panics
    /// When a side has more than 65 535 cells.
    pub fn cells(&self) -> Grid {
        let side = |cells: usize| u16::try_from(cells).expect("latents have few cells");
        Grid { height: side(self.height), width: side(self.width) }
    }

    /// How groups of a kernel are embedded; `None` where it is finer than every projection.
    pub fn embedding(&self, kernel: Kernel) -> Option<Embedding> {
        let (frames, height, width) = (kernel.frames(), kernel.height(), kernel.width());
        let fits = |&&k: &&usize| k <= frames && 2 * k <= height && 2 * k <= width;
        let k = *self.kernels.iter().filter(fits).max()?;
        Some(Embedding { k, pool: [frames / k, height / (2 * k), width / (2 * k)] })
    }

    /// Values of one frame's latent.
    pub fn latent_len(&self) -> usize {
        self.channels * self.height * self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_without_a_projection_are_pooled_to_the_largest_that_fits() {
        let config = ModelConfig::base();
        let embedding = |frames, height, width| {
            let kernel = Kernel::new(frames, height, width).unwrap();
            config.embedding(kernel).map(|embedding| (embedding.k, embedding.pool))
        };
        assert_eq!(embedding(4, 8, 8), Some((4, [1, 1, 1])));
        assert_eq!(embedding(16, 32, 32), Some((4, [4, 4, 4])));
        assert_eq!(embedding(1, 64, 64), Some((1, [1, 32, 32])));
        assert_eq!(embedding(2, 4, 16), Some((2, [1, 1, 4])));
        assert_eq!(embedding(8, 2, 2), Some((1, [8, 1, 1])));
        assert_eq!(embedding(4, 1, 8), None);
    }
}
