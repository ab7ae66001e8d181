//! Pictures to raw latents.

use super::CodecConfig;
use super::residual::Stack;
use super::shuffle::unshuffle;
use crate::ops::Conv2d;
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// Latents stay within ±BOUND.
const BOUND: f64 = 3.0;

/// The network that makes raw latents from pictures.
#[derive(Clone, Debug)]
pub struct Encoder {
    stem: Conv2d,
    mid: Stack,
    down: Conv2d,
    low: Stack,
    head: Conv2d,
}

impl Encoder {
    /// Reads `stem`, `mid`, `down`, `low` and `head`.
    pub fn new(config: &CodecConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let &CodecConfig { channels, low, mid, blocks, precision, .. } = config;
        Ok(Self {
            stem: Conv2d::new(16 * super::COLOURS, mid, precision, &vb.pp("stem"))?,
            mid: Stack::new(blocks, mid, precision, &vb.pp("mid"))?,
            down: Conv2d::new(4 * mid, low, precision, &vb.pp("down"))?,
            low: Stack::new(blocks, low, precision, &vb.pp("low"))?,
            head: Conv2d::new(low, channels, precision, &vb.pp("head"))?,
        })
    }

    /// x: (B, H, W, 3) in -1..=1, sides multiples of 8. Returns (B, H / 8, W / 8, C) in ±3.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.mid.forward(&self.stem.forward(&unshuffle(x, 4)?)?)?; // at 1/4
        let x = self.low.forward(&self.down.forward(&unshuffle(&x, 2)?)?)?; // at 1/8
        (self.head.forward_silu(&x)? / BOUND)?.tanh()? * BOUND
    }

    pub(super) fn freeze(&mut self) -> Result<()> {
        self.mid.freeze()?;
        self.low.freeze()?;
        [&mut self.stem, &mut self.down, &mut self.head].into_iter().try_for_each(Conv2d::freeze)
    }
}
