//! Pictures to raw latents.

use super::shuffle::unshuffle;
use super::{CELL, COLOURS, CodecConfig};
use crate::ops::Conv2d;
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// One linear filter: what a cell and its eight neighbours show, in C numbers.
///
/// Linear on purpose. Walking and turning move a picture, and a moved picture's latents are then a
/// linear map of the latents before. A deep encoder told pictures more closely, but its latents of two
/// neighbouring frames had next to nothing in common, and the world model learnt little else than to
/// find one from the other.
#[derive(Clone, Debug)]
pub struct Encoder {
    filter: Conv2d,
}

impl Encoder {
    /// Reads `filter`: (C, 3 · 8 · 8, 3, 3), of channels as PyTorch's `pixel_unshuffle` orders them.
    pub fn new(config: &CodecConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let inputs = COLOURS * CELL * CELL;
        let filter = Conv2d::new(inputs, config.channels, config.precision, &vb.pp("filter"))?;
        Ok(Self { filter })
    }

    /// x: (B, H, W, 3) in -1..=1, sides multiples of 8. Returns (B, H / 8, W / 8, C).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.filter.forward(&unshuffle(x, CELL)?)
    }

    pub(super) fn freeze(&mut self) -> Result<()> {
        self.filter.freeze()
    }
}
