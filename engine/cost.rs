//! Counted work of the networks: how many multiply-adds a section cannot do without.
//!
//! Products of matrices and attention only; norms, curves and roundings are not counted. Over the rate at which
//! the machine multiplies matrices ([`Product`]), this is the least time that a stage can take.

use crate::codec::CodecConfig;
use crate::model::ModelConfig;
use crate::ops::{Linear, Precision};
use crate::pack::Kernel;
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use std::collections::HashMap;
use std::hint::black_box;

/// Multiply-adds of one evaluation for a section of `frames` frames beside `history` placed tokens.
pub fn evaluation(config: &ModelConfig, frames: usize, history: usize) -> u64 {
    let ModelConfig { dim, depth, condition, channels, .. } = *config;
    let tokens = frames * config.frame_tokens();
    let block = 12 * dim * dim * tokens + 2 * dim * tokens * (history + tokens);
    let modulation = frames * condition * dim * (6 * depth + 2);
    let ends = 2 * tokens * 4 * channels * dim;
    (depth * block + modulation + ends) as u64
}

/// Multiply-adds of making the keys and values of one group: the last block's are all that it is asked for.
///
/// # Panics
/// When the kernel has no [embedding](ModelConfig::embedding).
pub fn group(config: &ModelConfig, kernel: Kernel) -> u64 {
    let ModelConfig { dim, depth, condition, channels, .. } = *config;
    let tokens = kernel.tokens(config.cells());
    let k = config.embedding(kernel).expect("kernels are checked before").k;
    let block = 12 * dim * dim * tokens + 2 * dim * tokens * tokens;
    let last = 2 * dim * dim * tokens;
    let modulation = condition * dim * 6 * depth;
    let embedding = tokens * channels * 4 * k * k * k * dim;
    ((depth - 1) * block + last + modulation + embedding) as u64
}

/// Multiply-adds of one picture of `cells` latent cells, (rows, columns), as its filters are defined. In integers, on a
/// CPU, they are made in a form that needs four of nine of them: what this says is the network's, so that forms can be held
/// against each other.
pub fn picture(config: &CodecConfig, (rows, columns): (usize, usize)) -> u64 {
    let CodecConfig { channels, low, mid, high, blocks, high_blocks, .. } = *config;
    let at_low = channels * low + 2 * blocks * low * low + low * 4 * mid;
    let at_mid = 2 * blocks * mid * mid + mid * 4 * high;
    let at_high = 2 * high_blocks * high * high + high * 4 * crate::codec::COLOURS;
    (9 * rows * columns * (at_low + 4 * at_mid + 16 * at_high)) as u64
}

/// A product large enough to run at the machine's full rate.
#[derive(Debug)]
pub struct Product {
    x: Tensor,
    layer: Linear,
}

impl Product {
    const ROWS: usize = 1536;
    const WIDTH: usize = 1024;

    /// Multiply-adds of one run.
    pub const MULTIPLY_ADDS: u64 = (Self::ROWS * Self::WIDTH * Self::WIDTH) as u64;

    /// A product in this precision on a device, of a weight that is packed or rounded where that is how it is used.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new(precision: Precision, device: &Device) -> Result<Self> {
        let ones = |rows| Tensor::ones((rows, Self::WIDTH), DType::F32, device);
        let weights = HashMap::from([("weight".to_owned(), ones(Self::WIDTH)?)]);
        let vb = VarBuilder::from_tensors(weights, DType::F32, device);
        let mut layer = Linear::without_bias(Self::WIDTH, Self::WIDTH, precision, &vb)?;
        layer.freeze()?;
        if precision.is_int16() && !device.is_cpu() {
            layer.halve()?;
        }
        Ok(Self { x: ones(Self::ROWS)?.to_dtype(layer.dtype())?, layer })
    }

    /// Multiplies once, to the end; on a CPU on all threads of the pool.
    ///
    /// # Errors
    /// When memory is short.
    pub fn run(&self) -> Result<()> {
        black_box(self.layer.forward(&self.x)?).device().synchronize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_made_by_hand() {
        // 48 tokens, 8 blocks 256 wide, 280 tokens of history:
        // 8 · (12 · 65 536 · 48 + 2 · 256 · 48 · 328) + 128 · 256 · 50 + 2 · 48 · 64 · 256.
        let base = ModelConfig::base();
        assert_eq!(evaluation(&base, 1, 280), 366_477_312 + 1_638_400 + 1_572_864);
        // One frame at k1: 48 tokens that see themselves; the last block makes keys and values only.
        let k1 = group(&base, Kernel::FINEST);
        let block = 12 * 65_536 * 48 + 2 * 256 * 48 * 48;
        assert_eq!(k1, 7 * block + 2 * 65_536 * 48 + 128 * 256 * 48 + 48 * 16 * 4 * 256);
        // 192 cells: 9 · (16 · 128 + 4 · 128² + 128 · 384) at 1/8, and so on.
        let cells = 9 * (2_048 + 65_536 + 49_152) + 36 * (36_864 + 18_432) + 144 * (4_608 + 576);
        assert_eq!(picture(&CodecConfig::base(), (12, 16)), 192 * cells);
    }

    #[test]
    fn a_product_multiplies_all_that_it_says() {
        let product = Product::new(Precision::F32, &Device::Cpu).unwrap();
        let sums = product.layer.forward(&product.x).unwrap();
        assert_eq!(sums.dims(), [Product::ROWS, Product::WIDTH]);
        assert_eq!(sums.get(7).unwrap().get(5).unwrap().to_scalar::<f32>().unwrap(), 1024.0);
    }
}
