//! Counted work of the networks: how many multiply-adds a section cannot do without, and how many bytes must come from
//! memory or go there.
//!
//! Products of matrices and attention only; norms, curves and roundings are not counted, nor are numbers that are made and
//! used on the way. Weights, kept keys and values and pictures are, once for each run of a network, as if no cache held them
//! from one to the next. Over the rate at which the machine multiplies matrices ([`Product`]), or reads its memory
//! ([`Reading`]), whichever takes longer, this is the least time that a stage can take: less only where caches hold all
//! weights, and multiplying is fast enough for reading them to count.

use crate::codec::{CELL, COLOURS, CodecConfig};
use crate::model::ModelConfig;
use crate::ops::{Linear, Precision, square_sum};
use crate::pack::Kernel;
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use std::collections::{BTreeSet, HashMap};
use std::hint::black_box;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul};

/// What a piece of work cannot do without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Products of two numbers, each added to a sum.
    pub multiply_adds: u64,
    /// Bytes that are read or written once: weights, kept keys and values, pictures.
    pub bytes: u64,
}

impl Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            multiply_adds: self.multiply_adds + other.multiply_adds,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Mul<u64> for Work {
    type Output = Self;

    fn mul(self, times: u64) -> Self {
        Self { multiply_adds: times * self.multiply_adds, bytes: times * self.bytes }
    }
}

impl Sum for Work {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// Bytes of a number of the weights of products in blocks and filters.
fn of_weight(precision: Precision) -> usize {
    if precision.is_int16() { 2 } else { 4 }
}

/// The same of the other weights: on a GPU these keep 32 bits.
fn of_other(config: &ModelConfig, device: &Device) -> usize {
    if device.is_cpu() { of_weight(config.precision) } else { 4 }
}

/// Bytes of a number of kept keys and values: in integers on a CPU these are turned and rounded for each section.
fn of_kept(config: &ModelConfig, device: &Device) -> usize {
    if device.is_cpu() { 4 } else { of_weight(config.precision) }
}

/// Placing `history` tokens, once for a section: their keys and values are read.
pub fn placing(config: &ModelConfig, history: usize, device: &Device) -> Work {
    let bytes = 2 * config.dim * config.depth * history * of_kept(config, device);
    Work { multiply_adds: 0, bytes: bytes as u64 }
}

/// One evaluation for a section of `frames` frames beside `history` placed tokens.
pub fn evaluation(config: &ModelConfig, frames: usize, history: usize, device: &Device) -> Work {
    let ModelConfig { dim, depth, condition, channels, .. } = *config;
    let tokens = frames * config.frame_tokens();
    let block = 12 * dim * dim * tokens + 2 * dim * tokens * (history + tokens);
    let modulation = condition * dim * (6 * depth + 2);
    let ends = 2 * 4 * channels * dim;
    let products = 12 * dim * dim * depth + 2 * dim * depth * history;
    let bytes =
        products * of_weight(config.precision) + (modulation + ends) * of_other(config, device);
    Work {
        multiply_adds: (depth * block + frames * modulation + tokens * ends) as u64,
        bytes: bytes as u64,
    }
}

/// Making the keys and values of groups in one run: the last block's are all that it is asked for.
///
/// # Panics
/// When a kernel has no [embedding](ModelConfig::embedding).
pub fn groups(config: &ModelConfig, kernels: &[Kernel], device: &Device) -> Work {
    if kernels.is_empty() {
        return Work::default();
    }
    let ModelConfig { dim, depth, condition, channels, .. } = *config;
    let embedding = |k: usize| channels * 4 * k * k * k * dim;
    let modulation = 6 * condition * dim * depth;
    let k_of = |kernel: &Kernel| config.embedding(*kernel).expect("kernels are checked before").k;
    let embeddings: BTreeSet<usize> = kernels.iter().map(k_of).collect();
    let others = modulation + embeddings.into_iter().map(embedding).sum::<usize>();
    let weights = (12 * (depth - 1) + 2) * dim * dim * of_weight(config.precision)
        + others * of_other(config, device);
    let each = kernels.iter().map(|kernel| {
        let tokens = kernel.tokens(config.cells());
        let block = 12 * dim * dim * tokens + 2 * dim * tokens * tokens;
        let last = 2 * dim * dim * tokens;
        let ends = modulation + tokens * embedding(k_of(kernel));
        Work {
            multiply_adds: ((depth - 1) * block + last + ends) as u64,
            bytes: (2 * dim * depth * tokens * of_kept(config, device)) as u64,
        }
    });
    Work { multiply_adds: 0, bytes: weights as u64 } + each.sum()
}

/// So many pictures of `cells` latent cells, (rows, columns), in one run, as its filters are defined. In integers, on a CPU,
/// they are made in a form that needs four of nine of the multiply-adds: what this says is the network's, so that forms can be
/// held against each other.
pub fn pictures(config: &CodecConfig, (rows, columns): (usize, usize), count: usize) -> Work {
    let CodecConfig { channels, low, mid, high, blocks, high_blocks, .. } = *config;
    let at_low = channels * low + 2 * blocks * low * low + low * 4 * mid;
    let at_mid = 2 * blocks * mid * mid + mid * 4 * high;
    let at_high = 2 * high_blocks * high * high + high * 4 * COLOURS;
    let weights = 9 * (at_low + at_mid + at_high) * of_weight(config.precision);
    let cells = count * rows * columns;
    Work {
        multiply_adds: (9 * cells * (at_low + 4 * at_mid + 16 * at_high)) as u64,
        bytes: (weights + cells * CELL * CELL * COLOURS) as u64,
    }
}

/// A picture that is put together from views, and encoded: each of its pixels is read and written once.
pub fn rendering(config: &CodecConfig, (rows, columns): (usize, usize)) -> Work {
    let cell = CELL * CELL * COLOURS;
    let filter = 9 * cell * config.channels;
    Work {
        multiply_adds: (rows * columns * filter) as u64,
        bytes: (2 * rows * columns * cell + filter * of_weight(config.precision)) as u64,
    }
}

/// A section of `frames` latents into the history: read, and written in 16 bits.
pub fn remembering(config: &ModelConfig, frames: usize) -> Work {
    Work { multiply_adds: 0, bytes: (frames * config.latent_len() * (4 + 2)) as u64 }
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

/// Memory that is read, of more than caches hold.
#[derive(Debug)]
pub struct Reading(Tensor);

impl Reading {
    const NUMBERS: usize = 1 << 25;

    /// 128 MB on a device.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new(device: &Device) -> Result<Self> {
        Tensor::ones(Self::NUMBERS, DType::F32, device).map(Self)
    }

    /// Bytes that pass in one run.
    pub fn bytes(&self) -> u64 {
        let once = size_of::<f32>() * Self::NUMBERS;
        // What is copied is written as well.
        (if self.0.device().is_cpu() { once } else { 2 * once }) as u64
    }

    /// Reads all once: on a CPU by all threads of the pool, on a GPU to copy it there.
    ///
    /// # Errors
    /// When memory is short.
    pub fn run(&self) -> Result<()> {
        if self.0.device().is_cpu() {
            black_box(self.sum()?);
            return Ok(());
        }
        black_box(self.0.copy()?).device().synchronize()
    }

    fn sum(&self) -> Result<f64> {
        square_sum(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_made_by_hand() {
        // 48 tokens, 8 blocks 256 wide, 280 tokens of history:
        // 8 · (12 · 65 536 · 48 + 2 · 256 · 48 · 328) + 128 · 256 · 50 + 2 · 48 · 64 · 256.
        let (base, cpu) = (ModelConfig::base(), Device::Cpu);
        let once = evaluation(&base, 1, 280, &cpu);
        assert_eq!(once.multiply_adds, 366_477_312 + 1_638_400 + 1_572_864);
        // Of two bytes, as are the keys and values of 280 tokens, 8 times 512 numbers, once they are placed.
        let weights = 8 * 786_432 + 1_638_400 + 32_768;
        assert_eq!(once.bytes, 2 * (weights + 280 * 4_096));
        assert_eq!(placing(&base, 280, &cpu), Work { multiply_adds: 0, bytes: 4 * 280 * 4_096 });
        // One frame at k1: 48 tokens that see themselves; the last block makes keys and values only.
        let k1 = groups(&base, &[Kernel::FINEST], &cpu);
        let block = 12 * 65_536 * 48 + 2 * 256 * 48 * 48;
        let want = 7 * block + 2 * 65_536 * 48 + 128 * 256 * 48 + 48 * 16 * 4 * 256;
        assert_eq!(k1.multiply_adds, want);
        let weights = 2 * (7 * 786_432 + 131_072 + 128 * 256 * 48 + 16_384);
        let own = 4 * 48 * 4_096;
        assert_eq!(k1.bytes, weights + own);
        // Two read all weights once, none reads nothing.
        let twice = groups(&base, &[Kernel::FINEST; 2], &cpu);
        assert_eq!([twice.multiply_adds, twice.bytes], [2 * want, weights + 2 * own]);
        assert_eq!(groups(&base, &[], &cpu), Work::default());
        // 192 cells: 9 · (16 · 128 + 4 · 128² + 128 · 384) at 1/8, and so on.
        let codec = CodecConfig::base();
        let cells = 9 * (2_048 + 65_536 + 49_152) + 36 * (36_864 + 18_432) + 144 * (4_608 + 576);
        let two = pictures(&codec, (12, 16), 2);
        assert_eq!(two.multiply_adds, 2 * 192 * cells);
        assert_eq!(two.bytes, 2 * 9 * (116_736 + 55_296 + 5_184) + 2 * 3 * 128 * 96);
        // 3 · 64 values of a cell and its neighbours to 16.
        let filter = 9 * 192 * 16;
        let want = Work { multiply_adds: 192 * filter, bytes: 2 * 3 * 128 * 96 + 2 * filter };
        assert_eq!(rendering(&codec, (12, 16)), want);
        assert_eq!(remembering(&base, 2).bytes, 2 * 6 * 16 * 192);
    }

    #[test]
    fn memory_is_read_whole() {
        let reading = Reading::new(&Device::Cpu).unwrap();
        // Ones: as many as there are numbers.
        assert_eq!(reading.sum().unwrap() * 4.0, reading.bytes() as f64);
        reading.run().unwrap();
    }

    #[test]
    fn a_product_multiplies_all_that_it_says() {
        let product = Product::new(Precision::F32, &Device::Cpu).unwrap();
        let sums = product.layer.forward(&product.x).unwrap();
        assert_eq!(sums.dims(), [Product::ROWS, Product::WIDTH]);
        assert_eq!(sums.get(7).unwrap().get(5).unwrap().to_scalar::<f32>().unwrap(), 1024.0);
    }
}
