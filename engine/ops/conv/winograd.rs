//! The convolution tile by tile, in the transformed domain of S. Winograd: two by two outputs from four by four inputs take
//! 16 products for each pair of an input and an output channel, where the filter itself would take 36 (A. Lavin,
//! S. Gray 2016, arXiv 1509.09308, F(2×2, 3×3)).
//!
//! Transformed inputs are rounded to integers of 15 bits and a sign, filters as finely as sums within 32 bits leave room for:
//! to some 9 bits on the average with 128 inputs, and more with fewer. Sums are exact; the way back is in f32, in one fixed
//! order. So neither the number of threads nor the CPU changes a bit of the result.

use super::super::int16::{larger, pair, round, scale};
use super::super::share::make_with;
use super::super::{exp, vectorized};
use super::kernel::{LANES, multiply};
use super::{Before, Pictures};
use rayon::prelude::*;
use std::array::from_fn;

/// Outputs of a tile along a side.
const STEP: usize = 2;
/// Its inputs along a side: with the border that the filter reaches into.
const SIDE: usize = STEP + 2;
/// Places of the transformed domain: row by row.
const TAPS: usize = SIDE * SIDE;
/// Tiles given to one task: enough to read the filter from memory faster than it is multiplied.
const TASK: usize = 24;
/// The largest integer of an operand.
const LIMIT: f32 = 32_767.0;

/// A transformed filter in the kernel's order.
#[derive(Clone, Debug)]
pub(super) struct PackedFilter {
    /// Panels of [`LANES`] outputs: each (tap, input pair, output).
    pairs: Vec<u32>,
    /// Of the same panels: each (tap, output).
    scales: Vec<[f32; LANES]>,
    inputs: usize,
    outputs: usize,
}

impl PackedFilter {
    /// `weight`: (outputs, inputs, 3, 3).
    pub(super) fn forward(weight: &[f32], inputs: usize, outputs: usize) -> Self {
        Self::new(inputs, outputs, |output, input, at| weight[(output * inputs + input) * 9 + at])
    }

    /// The filter that carries gradients back through `weight`: flipped and transposed.
    pub(super) fn backward(weight: &[f32], inputs: usize, outputs: usize) -> Self {
        Self::new(outputs, inputs, |input, output, at| {
            weight[(output * inputs + input) * 9 + 8 - at]
        })
    }

    fn new(
        inputs: usize,
        outputs: usize,
        weight: impl Fn(usize, usize, usize) -> f32 + Sync,
    ) -> Self {
        assert!(inputs < 1 << 15, "sums of so many products stay within 32 bits");
        let (depth, columns) = (padded(inputs) / 2, padded(outputs));
        let mut pairs = vec![0; TAPS * depth * columns];
        let mut scales = vec![[0.0; LANES]; TAPS * columns / LANES];
        let panels = pairs.par_chunks_mut(TAPS * depth * LANES);
        panels.zip(scales.par_chunks_mut(TAPS)).enumerate().for_each(|(panel, (pairs, scales))| {
            for (column, output) in (panel * LANES..outputs).take(LANES).enumerate() {
                let filters = (0..inputs)
                    .map(|input| transformed_filter(from_fn(|at| weight(output, input, at))));
                let mut filters: Vec<_> = filters.collect();
                filters.resize(2 * depth, [0.0; TAPS]);
                for tap in 0..TAPS {
                    let [scale, inverse] = filter_scale(filters.iter().map(|of| of[tap]));
                    scales[tap][column] = scale;
                    let both = filters.as_chunks::<2>().0.iter().map(|of| of.map(|of| of[tap]));
                    let out = pairs[tap * depth * LANES + column..].iter_mut().step_by(LANES);
                    out.zip(both).for_each(|(out, both)| *out = pair(both, inverse));
                }
            }
        });
        Self { pairs, scales, inputs, outputs }
    }

    /// The filtered pictures, on top of `onto` where there is any: (B, H, W, outputs).
    ///
    /// # Panics
    /// When the filter takes other channels, there is no bias for each output, `x` is no whole pictures, or `onto` is of
    /// another length.
    pub(super) fn convolve(
        &self,
        x: &[f32],
        pictures: Pictures,
        before: Before,
        bias: &[f32],
        onto: Option<&[f32]>,
    ) -> Vec<f32> {
        assert_eq!(self.inputs, pictures.channels, "channels that the filter takes");
        assert_eq!(self.outputs, bias.len(), "one bias for each output");
        let line = pictures.width * self.outputs;
        let len = pictures.count * pictures.height * line;
        assert!(onto.is_none_or(|onto| onto.len() == len), "something to add to all");
        assert_eq!(x.len(), pictures.count * pictures.len(), "whole pictures");
        let task_lines = STEP * TASK.div_ceil(pictures.width.div_ceil(STEP).max(1));
        let sizes = [pictures.height * line, task_lines * line];
        make_with(len, sizes, Scratch::default, |scratch, [picture, task], out| {
            let x = &x[picture * pictures.len()..][..pictures.len()];
            let first = picture * sizes[0] + task * sizes[1];
            let onto = onto.map(|onto| &onto[first..][..out.len()]);
            let lines = out.len() / line;
            let scale = scratch.transform(x, pictures, before, (task * task_lines, lines));
            let target = Target { width: pictures.width, outputs: self.outputs, scale, bias, onto };
            self.multiply_tiles(scratch, &target, out);
        })
    }

    /// Fills some lines of a picture from their transformed tiles.
    fn multiply_tiles(&self, scratch: &mut Scratch, target: &Target<'_>, out: &mut [f32]) {
        let depth = padded(self.inputs) / 2;
        let Scratch { tiles, products, .. } = scratch;
        let count = tiles.len() / (TAPS * 2 * depth);
        let filters = self.pairs.chunks_exact(depth * LANES);
        // The last one has none after it.
        let ahead = filters.clone().skip(1).chain(filters.clone().last());
        let mut filters = filters.zip(ahead).zip(&self.scales);
        products.resize(TAPS * count * LANES, 0.0);
        for panel in 0..self.scales.len() / TAPS {
            let taps = tiles.chunks_exact(count * 2 * depth);
            let taps = taps.zip(products.chunks_exact_mut(count * LANES)).zip(filters.by_ref());
            for ((tiles, products), ((pairs, ahead), scales)) in taps {
                multiply(tiles, pairs, ahead, scales, products);
            }
            vectorized(
                #[inline(always)]
                || target.fill(products, panel * LANES, out),
            );
        }
    }
}

/// Channels with those that fill the last register.
fn padded(channels: usize) -> usize {
    channels.next_multiple_of(LANES)
}

/// The filter in the transformed domain: `G g Gᵀ`.
fn transformed_filter(filter: [f32; 9]) -> [f32; TAPS] {
    let along = |[a, b, c]: [f32; 3]| [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c];
    let rows: [[f32; SIDE]; 3] = from_fn(|row| along(from_fn(|at| filter[3 * row + at])));
    let columns: [[f32; SIDE]; SIDE] = from_fn(|at| along(rows.map(|row| row[at])));
    from_fn(|tap| columns[tap % SIDE][tap / SIDE])
}

/// The scale of a filter's values of one tap and output, and its inverse: the sum of all their products with integers of
/// at most [`LIMIT`] stays within 32 bits.
fn filter_scale(values: impl ExactSizeIterator<Item = f32> + Clone) -> [f32; 2] {
    #[expect(clippy::cast_precision_loss, reason = "a handful of channels, and a bound with room")]
    let room = (i32::MAX / 32_768) as f32 - values.len() as f32; // each is rounded up by a half at most
    let sum: f32 = values.clone().map(f32::abs).sum();
    let largest = larger(values.fold(0, larger), sum * (LIMIT / room));
    scale(f32::from_bits(largest), LIMIT)
}

/// Memory of a task, used again.
#[derive(Default)]
struct Scratch {
    /// Lines with their borders: (lines + 2, W + 2, channels), each a multiple of what the tiles need.
    lines: Vec<f32>,
    /// Transformed: (tap, tile, channel).
    tiles: Vec<i16>,
    /// With a panel of the filter: (tap, tile, output).
    products: Vec<f32>,
}

impl Scratch {
    /// Makes the tiles of some lines, given by the first and their number, of a picture; answers their scale.
    fn transform(
        &mut self,
        x: &[f32],
        pictures: Pictures,
        before: Before,
        (first, lines): (usize, usize),
    ) -> f32 {
        let Pictures { height, width, channels, .. } = pictures;
        let (rows, columns) = (lines.div_ceil(STEP), width.div_ceil(STEP));
        let pixel = padded(channels);
        let line = (STEP * columns + 2) * pixel;
        self.lines.clear();
        self.lines.resize((STEP * rows + 2) * line, 0.0);
        let mut largest = 0;
        for (y, out) in (first..).zip(self.lines.chunks_exact_mut(line)) {
            // The border comes first.
            let Some(y) = y.checked_sub(1).filter(|&y| y < height) else { continue };
            let source = &x[y * width * channels..][..width * channels];
            let out = &mut out[pixel..][..width * pixel];
            largest = vectorized(
                #[inline(always)]
                || read_line(source, channels, before, out, largest),
            );
        }
        // Each transformed value is a sum of four.
        let [scale, inverse] = scale(4.0 * f32::from_bits(largest), LIMIT);
        self.tiles.resize(TAPS * rows * columns * pixel, 0);
        vectorized(
            #[inline(always)]
            || transform_tiles(&self.lines, [line, pixel], columns, inverse, &mut self.tiles),
        );
        scale
    }
}

/// Copies the pixels of a line to places that are a multiple of [`LANES`]; answers the largest magnitude, as bits.
#[inline(always)]
fn read_line(
    source: &[f32],
    channels: usize,
    before: Before,
    out: &mut [f32],
    mut largest: u32,
) -> u32 {
    // Where nothing is filled up, the line is one run.
    let run = if channels.is_multiple_of(LANES) { source.len() } else { channels };
    for (source, out) in source.chunks_exact(run).zip(out.chunks_exact_mut(padded(run))) {
        match before {
            Before::Nothing => out[..run].copy_from_slice(source),
            Before::Silu => silu(source, &mut out[..run]),
        }
        for &value in &*out {
            largest = larger(largest, value);
        }
    }
    largest
}

/// silu(x), x · sigmoid(x).
#[inline(always)]
pub(super) fn silu(x: &[f32], out: &mut [f32]) {
    for (&x, out) in x.iter().zip(out) {
        *out = x / (1.0 + exp(-x));
    }
}

/// A register of neighbouring channels.
type Lanes = [f32; LANES];

/// The [`LANES`] values from `at`.
#[inline(always)]
fn load(values: &[f32], at: usize) -> Lanes {
    *values[at..].first_chunk().expect("a whole register")
}

/// Of each lane.
#[inline(always)]
fn plus(a: Lanes, b: Lanes) -> Lanes {
    let mut out = a;
    for lane in 0..LANES {
        out[lane] += b[lane];
    }
    out
}

/// Of each lane.
#[inline(always)]
fn minus(a: Lanes, b: Lanes) -> Lanes {
    let mut out = a;
    for lane in 0..LANES {
        out[lane] -= b[lane];
    }
    out
}

/// The tiles in the transformed domain, `Bᵀ d B`, rounded.
#[inline(always)]
fn transform_tiles(
    lines: &[f32],
    [line, pixel]: [usize; 2],
    columns: usize,
    inverse: f32,
    tiles: &mut [i16],
) {
    let tap_stride = tiles.len() / TAPS;
    for (row, lines) in lines.windows(SIDE * line).step_by(STEP * line).enumerate() {
        for column in 0..columns {
            for lane in (0..pixel).step_by(LANES) {
                let corner = STEP * column * pixel + lane;
                let at = (row * columns + column) * pixel + lane;
                let mut rows = [[[0.0; LANES]; SIDE]; SIDE];
                for (y, row) in rows.iter_mut().enumerate() {
                    let at = corner + y * line;
                    *row = along([
                        load(lines, at),
                        load(lines, at + pixel),
                        load(lines, at + 2 * pixel),
                        load(lines, at + 3 * pixel),
                    ]);
                }
                for x in 0..SIDE {
                    let column = along([rows[0][x], rows[1][x], rows[2][x], rows[3][x]]);
                    for (y, values) in column.iter().enumerate() {
                        let out = &mut tiles[(y * SIDE + x) * tap_stride + at..][..LANES];
                        for lane in 0..LANES {
                            #[expect(clippy::cast_possible_truncation, reason = "in the low half")]
                            let rounded = round(values[lane], inverse) as i16;
                            out[lane] = rounded;
                        }
                    }
                }
            }
        }
    }
}

/// `Bᵀ` times four vectors.
#[inline(always)]
fn along([a, b, c, d]: [Lanes; SIDE]) -> [Lanes; SIDE] {
    [minus(a, c), plus(b, c), minus(c, b), minus(b, d)]
}

/// Some lines of a picture, to be filled.
struct Target<'a> {
    /// Pixels of a line.
    width: usize,
    /// Channels of a pixel.
    outputs: usize,
    /// Of the tiles.
    scale: f32,
    bias: &'a [f32],
    /// What the lines are added to.
    onto: Option<&'a [f32]>,
}

impl Target<'_> {
    /// Brings products (tap, tile, column) back from the transformed domain, `Aᵀ m A`, and fills the channels from the
    /// `first` one of each pixel with them.
    #[inline(always)]
    fn fill(&self, products: &[f32], first: usize, out: &mut [f32]) {
        let tap_stride = products.len() / TAPS;
        let across = self.width.div_ceil(STEP);
        let line = self.width * self.outputs;
        for (row, out) in out.chunks_mut(STEP * line).enumerate() {
            for x in 0..across {
                let tile = (row * across + x) * LANES;
                let mut rows = [[[0.0; LANES]; STEP]; SIDE];
                for (y, row) in rows.iter_mut().enumerate() {
                    let at = y * SIDE * tap_stride + tile;
                    *row = back([
                        load(products, at),
                        load(products, at + tap_stride),
                        load(products, at + 2 * tap_stride),
                        load(products, at + 3 * tap_stride),
                    ]);
                }
                let channels = first..self.outputs.min(first + LANES);
                let [[a, b], [c, d], [e, f], [g, h]] = rows;
                // Of an odd width, the last pixel lies beyond it.
                let pixels = (STEP * x..self.width).zip([back([a, c, e, g]), back([b, d, f, h])]);
                for (x, column) in pixels {
                    for (y, (out, values)) in out.chunks_exact_mut(line).zip(&column).enumerate() {
                        let at = x * self.outputs + channels.start..x * self.outputs + channels.end;
                        let bias = &self.bias[channels.clone()];
                        let out = &mut out[at.clone()];
                        for ((out, value), bias) in out.iter_mut().zip(values).zip(bias) {
                            *out = value * self.scale + bias;
                        }
                        if let Some(onto) = self.onto {
                            let onto = &onto[(STEP * row + y) * line..][at];
                            for (out, onto) in out.iter_mut().zip(onto) {
                                *out += onto;
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `Aᵀ` times four vectors.
#[inline(always)]
fn back([a, b, c, d]: [Lanes; SIDE]) -> [Lanes; STEP] {
    [plus(plus(a, b), c), minus(minus(b, c), d)]
}
