//! Raw latents to pictures.

use super::CodecConfig;
use super::residual::Stack;
use super::shuffle::shuffle;
use crate::ops::Conv2d;
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// The network that makes pictures from raw latents.
#[derive(Clone, Debug)]
pub struct Decoder {
    stem: Conv2d,
    low: Stack,
    up1: Conv2d,
    mid: Stack,
    up2: Conv2d,
    high: Stack,
    head: Conv2d,
}

impl Decoder {
    /// Reads `stem`, `low`, `up1`, `mid`, `up2`, `high` and `head`.
    pub fn new(config: &CodecConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let &CodecConfig { channels, low, mid, high, blocks, high_blocks, precision } = config;
        Ok(Self {
            stem: Conv2d::new(channels, low, precision, &vb.pp("stem"))?,
            low: Stack::new(blocks, low, precision, &vb.pp("low"))?,
            up1: Conv2d::new(low, 4 * mid, precision, &vb.pp("up1"))?,
            mid: Stack::new(blocks, mid, precision, &vb.pp("mid"))?,
            up2: Conv2d::new(mid, 4 * high, precision, &vb.pp("up2"))?,
            high: Stack::new(high_blocks, high, precision, &vb.pp("high"))?,
            head: Conv2d::new(high, 4 * super::COLOURS, precision, &vb.pp("head"))?,
        })
    }

    /// latents: (B, h, w, C), not normalised. Returns (B, 8 · h, 8 · w, 3), about -1..=1.
    pub fn forward(&self, latents: &Tensor) -> Result<Tensor> {
        let x = self.low.forward(&self.stem.forward(latents)?)?; // at 1/8
        let x = self.mid.forward(&shuffle(&self.up1.forward(&x)?, 2)?)?; // at 1/4
        let x = self.high.forward(&shuffle(&self.up2.forward(&x)?, 2)?)?; // at 1/2
        shuffle(&self.head.forward_silu(&x)?, 2)
    }

    /// Every one of them, in no order.
    pub(super) fn convolutions(&mut self) -> impl Iterator<Item = &mut Conv2d> {
        let stacks = [&mut self.low, &mut self.mid, &mut self.high];
        let between = [&mut self.stem, &mut self.up1, &mut self.up2, &mut self.head];
        stacks.into_iter().flat_map(Stack::convolutions).chain(between)
    }
}
