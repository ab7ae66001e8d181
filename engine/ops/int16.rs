//! Matrix product of f32 matrices rounded to integers of 12 bits and a sign, accumulated in 32 bits.
//!
//! Over each [`BLOCK`] of the reduced dimension, a row of the left operand and a column of the right one are scaled
//! so that their largest value becomes [`LIMIT`]: the sum of a block stays within 32 bits and is exact. Sums of blocks
//! are scaled back and added in f32, in one fixed order. So neither the number of threads nor the CPU changes a bit of
//! the result.
//!
//! Both operands are packed into panels of adjacent pairs along the reduced dimension, which is what `vpmaddwd` and
//! `vpdpwssd` multiply: on CPUs with AVX2 twice as many products as in f32, each rounded more finely than in bf16
//! where no value of a block towers above the others.

mod tile;

pub(super) use tile::both;
#[cfg(target_arch = "x86_64")]
pub(super) use tile::x86;

use super::vectorized;
use rayon::prelude::*;
use std::ops::Range;
use tile::{Target, add_product};

/// Rows of a left panel: so many sums in 512 bits hide how long each takes to be added to.
const LEFT: usize = 12;
/// Columns of a right panel: 16 pairs are a line of the cache, and two registers of 256 bits or one of 512.
pub(super) const RIGHT: usize = 16;
/// Values along the reduced dimension that share a scale. A right panel of so many takes 8 KiB: with the one that comes
/// after it and a left panel it fits the L1 cache.
const BLOCK: usize = 256;
/// The largest integer of an operand.
const LIMIT: f32 = limit(BLOCK);
/// Rows given to one task: a multiple of [`LEFT`] that keeps a packed block in the L2 cache.
const TASK_ROWS: usize = 8 * LEFT;
/// A right operand of so many pairs is packed by several threads: handing out costs as much as a few thousand.
const SHARED_PAIRS: usize = 1 << 15;

/// The largest integer of operands of which so many products can be summed in 32 bits.
const fn limit(products: usize) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "the root of 31 bits has fewer than 24")]
    return (i32::MAX as usize / products).isqrt() as f32;
}

/// The scale of values of which the largest is `largest`, and its inverse: what a value is multiplied by to become
/// an integer of at most `limit`.
///
/// Where all values are zero, or so small that an inverse overflows, all become zero. Where one is infinite or no
/// number, the scale is none, and nothing it meets stays one.
#[inline(always)]
pub(super) fn scale(largest: f32, limit: f32) -> [f32; 2] {
    const SMALLEST: f32 = 1e-30;
    if largest < SMALLEST { [0.0, 0.0] } else { [largest / limit, limit / largest] }
}

/// The larger of two magnitudes, given as their bits: no number counts as larger than all numbers.
#[inline(always)]
pub(super) fn larger(bits: u32, value: f32) -> u32 {
    bits.max(value.to_bits() & 0x7fff_ffff)
}

/// The integer nearest to `value * inverse`, ties to even, in the low half.
#[inline(always)]
pub(super) fn round(value: f32, inverse: f32) -> u32 {
    // 1.5 · 2^23: adding it rounds to the nearest integer and leaves that in the lowest bits.
    const TO_INTEGER: f32 = 12_582_912.0;
    (value * inverse + TO_INTEGER).to_bits() & 0xffff
}

/// Two such integers in the order in which the CPU multiplies them.
#[inline(always)]
pub(super) fn pair(values: [f32; 2], inverse: f32) -> u32 {
    round(values[0], inverse) | (round(values[1], inverse) << 16)
}

/// A read-only matrix of f32 with any strides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
}

impl<'a> View<'a> {
    /// A row-major matrix.
    pub(crate) fn rows(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns, "a view covers its values");
        Self { values, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// Some of its rows and columns.
    pub(crate) fn part(self, rows: Range<usize>, columns: Range<usize>) -> Self {
        assert!(rows.end <= self.rows && columns.end <= self.columns, "a part of a matrix");
        let first = rows.start * self.row_stride + columns.start * self.column_stride;
        let values = self.values.get(first..).unwrap_or_default();
        Self { values, rows: rows.len(), columns: columns.len(), ..self }
    }

    /// The same values read as columns.
    pub(crate) fn transposed(self) -> Self {
        Self {
            values: self.values,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

/// A right operand in packed form, so that weights are packed once and used for every product.
#[derive(Clone, Debug)]
pub(crate) struct PackedRight {
    /// Panels of [`RIGHT`] columns, each with all pairs of the reduced dimension.
    pairs: Vec<u32>,
    /// Scales: for each panel and block those of the columns.
    scales: Vec<f32>,
    depth: usize,
    columns: usize,
}

impl PackedRight {
    /// Packs `right`: (depth, columns).
    pub(crate) fn new(right: View<'_>) -> Self {
        let (depth, columns) = (right.rows, right.columns);
        let (panels, blocks) = (columns.div_ceil(RIGHT), depth.div_ceil(BLOCK));
        let panel = depth.div_ceil(2) * RIGHT;
        let mut pairs = vec![0_u32; panels * panel];
        let mut scales = vec![0.0; panels * blocks * RIGHT];
        let columns_as_rows = right.transposed();
        let fill = |(at, (pairs, scales)): (usize, (&mut [u32], &mut [f32]))| {
            for (block, scales) in scales.chunks_mut(RIGHT).enumerate() {
                let range = block * BLOCK..depth.min((block + 1) * BLOCK);
                let pairs = &mut pairs[range.start / 2 * RIGHT..range.end.div_ceil(2) * RIGHT];
                let rows = RIGHT.min(columns - at * RIGHT);
                let mut inverses = [0.0; RIGHT];
                measure(
                    columns_as_rows,
                    at * RIGHT,
                    range.clone(),
                    &mut scales[..rows],
                    &mut inverses,
                );
                pack::<RIGHT>(columns_as_rows, at * RIGHT, range, &inverses, pairs);
            }
        };
        let (panel, scale_panel) = (panel.max(1), (blocks * RIGHT).max(1));
        if pairs.len() < SHARED_PAIRS {
            pairs.chunks_mut(panel).zip(scales.chunks_mut(scale_panel)).enumerate().for_each(fill);
        } else {
            let panels = pairs.par_chunks_mut(panel).zip(scales.par_chunks_mut(scale_panel));
            panels.enumerate().for_each(fill);
        }
        Self { pairs, scales, depth, columns }
    }
}

/// Finds the scales of the rows of `source` from `first` over columns `range`, as many as there is room for in
/// `scales`, and their inverses.
fn measure(
    source: View<'_>,
    first: usize,
    range: Range<usize>,
    scales: &mut [f32],
    inverses: &mut [f32],
) {
    let rows = scales.len();
    let mut largest = [0_u32; TASK_ROWS];
    let mut start = 0;
    for (scales, inverses) in scales.chunks_mut(TASK_ROWS).zip(inverses.chunks_mut(TASK_ROWS)) {
        let largest = &mut largest[..scales.len()];
        largest.fill(0);
        let first = first + start;
        start += scales.len();
        vectorized(
            #[inline(always)]
            || {
                if source.row_stride == 1 {
                    for column in range.clone() {
                        let values = &source.values[first + column * source.column_stride..];
                        for (largest, &value) in largest.iter_mut().zip(values) {
                            *largest = larger(*largest, value);
                        }
                    }
                } else if source.column_stride == 1 {
                    for (row, largest) in largest.iter_mut().enumerate() {
                        let values = &source.values[(first + row) * source.row_stride..];
                        for &value in &values[range.clone()] {
                            *largest = larger(*largest, value);
                        }
                    }
                } else {
                    for (row, largest) in largest.iter_mut().enumerate() {
                        for column in range.clone() {
                            let at = (first + row) * source.row_stride;
                            let value = source.values[at + column * source.column_stride];
                            *largest = larger(*largest, value);
                        }
                    }
                }
                for ((scale_out, inverse), bits) in scales.iter_mut().zip(inverses).zip(largest) {
                    [*scale_out, *inverse] = scale(f32::from_bits(*bits), LIMIT);
                }
            },
        );
    }
    debug_assert_eq!(start, rows, "all rows are measured");
}

/// Packs up to `R` rows of `source` from `first`, columns `range`, as pairs: (pair, row).
fn pack<const R: usize>(
    source: View<'_>,
    first: usize,
    range: Range<usize>,
    inverses: &[f32; R],
    out: &mut [u32],
) {
    let whole = source.rows - first >= R && range.len().is_multiple_of(2);
    if whole && source.row_stride == 1 {
        vectorized(
            #[inline(always)]
            || pack_across::<R>(source, first, range, inverses, out),
        );
    } else if whole && source.column_stride == 1 {
        vectorized(
            #[inline(always)]
            || pack_along::<R>(source, first, range, inverses, out),
        );
    } else {
        pack_any::<R>(source, first, range, inverses, out);
    }
}

/// [`pack`] where the rows are neighbours in memory.
#[inline(always)]
fn pack_across<const R: usize>(
    source: View<'_>,
    first: usize,
    range: Range<usize>,
    inverses: &[f32; R],
    out: &mut [u32],
) {
    let (slots, _) = out.as_chunks_mut::<R>();
    for (column, slots) in range.step_by(2).zip(slots) {
        let at = first + column * source.column_stride;
        let low = &source.values[at..at + R];
        let high = &source.values[at + source.column_stride..][..R];
        for i in 0..R {
            slots[i] = pair([low[i], high[i]], inverses[i]);
        }
    }
}

/// [`pack`] where the columns are neighbours in memory.
#[inline(always)]
fn pack_along<const R: usize>(
    source: View<'_>,
    first: usize,
    range: Range<usize>,
    inverses: &[f32; R],
    out: &mut [u32],
) {
    // So many pairs of every row are rounded at a time, then turned.
    const RUN: usize = 16;
    let mut rows = [&[][..]; R];
    for (row, values) in rows.iter_mut().enumerate() {
        *values = &source.values[(first + row) * source.row_stride..][range.clone()];
    }
    let mut runs = [[0_u32; RUN]; R];
    for (at, out) in out.chunks_mut(RUN * R).enumerate() {
        let count = RUN.min((range.len() - at * 2 * RUN) / 2);
        for ((run, row), &inverse) in runs.iter_mut().zip(&rows).zip(inverses) {
            let values = &row[at * 2 * RUN..][..2 * count];
            // 2 · RUN of them, but for the last run.
            if let Some((values, _)) = values.split_first_chunk::<32>() {
                for i in 0..RUN {
                    run[i] = pair([values[2 * i], values[2 * i + 1]], inverse);
                }
            } else {
                for (slot, values) in run.iter_mut().zip(values.chunks_exact(2)) {
                    *slot = pair([values[0], values[1]], inverse);
                }
            }
        }
        let (slots, _) = out.as_chunks_mut::<R>();
        for (pair, slots) in slots.iter_mut().enumerate().take(count) {
            for row in 0..R {
                slots[row] = runs[row][pair];
            }
        }
    }
}

/// [`pack`] with any strides, and at the ends: what is missing is zero.
fn pack_any<const R: usize>(
    source: View<'_>,
    first: usize,
    range: Range<usize>,
    inverses: &[f32; R],
    out: &mut [u32],
) {
    let rows = R.min(source.rows - first);
    let start = first * source.row_stride;
    for (at, slots) in out.chunks_exact_mut(R).enumerate() {
        let column = range.start + 2 * at;
        let low = start + column * source.column_stride;
        let has_high = column + 1 < range.end;
        let high = if has_high { low + source.column_stride } else { low };
        for (row, slot) in slots.iter_mut().enumerate() {
            *slot = if row < rows {
                let at = row * source.row_stride;
                let upper = if has_high { source.values[high + at] } else { 0.0 };
                pair([source.values[low + at], upper], inverses[row])
            } else {
                0
            };
        }
    }
}

/// A packed left operand over one block; its memory is used again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// All pairs of each row, one row after another, up to whole panels of [`LEFT`] rows.
    pairs: Vec<u32>,
    /// Of all rows of all panels, as are the inverses.
    scales: Vec<f32>,
    inverses: Vec<f32>,
}

impl Scratch {
    /// Packs `rows` rows of `left` from `first`, columns `range`.
    fn pack(&mut self, left: View<'_>, first: usize, rows: usize, range: Range<usize>) {
        let count = range.len().div_ceil(2);
        let whole = whole_rows(rows);
        self.pairs.resize(whole * count, 0);
        self.scales.resize(whole, 0.0);
        self.inverses.resize(whole, 0.0);
        measure(left, first, range.clone(), &mut self.scales[..rows], &mut self.inverses[..rows]);
        if left.column_stride == 1 {
            let rows = self.pairs.chunks_exact_mut(count).zip(&self.inverses).take(rows);
            for (row, (out, &inverse)) in (first..).zip(rows) {
                let values = &left.values[row * left.row_stride..][range.clone()];
                vectorized(
                    #[inline(always)]
                    || pack_row(values, inverse, out),
                );
            }
            return;
        }
        // Pairs for which the visited lines stay in the L1 cache: rows that are neighbours in memory are read across
        // all panels at once, so that each line is visited once.
        const RUN: usize = 16;
        let (inverses, _) = self.inverses.as_chunks::<LEFT>();
        let mut turned = [0_u32; RUN * LEFT];
        for start in range.clone().step_by(2 * RUN) {
            let run = start..range.end.min(start + 2 * RUN);
            let (from, length) = ((start - range.start) / 2, run.len().div_ceil(2));
            let turned = &mut turned[..length * LEFT];
            for (at, inverses) in inverses.iter().enumerate() {
                pack::<LEFT>(left, first + at * LEFT, run.clone(), inverses, turned);
                for row in 0..LEFT {
                    let out = &mut self.pairs[(at * LEFT + row) * count + from..][..length];
                    for (out, pairs) in out.iter_mut().zip(turned.as_chunks::<LEFT>().0) {
                        *out = pairs[row];
                    }
                }
            }
        }
    }
}

/// Packs values that are neighbours in memory; what is missing to a whole pair is zero.
#[inline(always)]
fn pack_row(values: &[f32], inverse: f32, out: &mut [u32]) {
    let (pairs, rest) = values.as_chunks::<2>();
    for (out, &values) in out.iter_mut().zip(pairs) {
        *out = pair(values, inverse);
    }
    if let (Some(out), [value]) = (out.get_mut(pairs.len()), rest) {
        *out = pair([*value, 0.0], inverse);
    }
}

/// `left · right + bias`, the same bias (columns) for every row: `left` (rows, depth), the product (rows, columns), row-major.
///
/// # Panics
/// When the shapes do not fit.
pub(crate) fn multiply(left: View<'_>, right: &PackedRight, bias: Option<&[f32]>) -> Vec<f32> {
    assert_eq!(left.columns, right.depth, "inner sizes of a product");
    let width = right.columns;
    assert!(bias.is_none_or(|bias| bias.len() == width), "a bias for every column");
    // Each row begins as its bias: memory is passed over once before sums are added to it.
    let mut out = bias.map_or_else(|| vec![0.0; left.rows * width], |bias| bias.repeat(left.rows));
    if !out.is_empty() {
        out.par_chunks_mut(TASK_ROWS * width).enumerate().for_each(|(task, out)| {
            multiply_rows(left, right, task * TASK_ROWS, out, &mut Scratch::default());
        });
    }
    out
}

/// `out += left · right` on the calling thread. `scratch` is memory that is used again.
///
/// # Panics
/// When the shapes do not fit.
pub(crate) fn accumulate(
    left: View<'_>,
    right: &PackedRight,
    out: &mut [f32],
    scratch: &mut Scratch,
) {
    assert_eq!(left.columns, right.depth, "inner sizes of a product");
    assert_eq!(out.len(), left.rows * right.columns, "size of a product");
    if !out.is_empty() {
        multiply_rows(left, right, 0, out, scratch);
    }
}

/// Rows of which no panel is left part empty: lanes of so many waste nothing.
pub(crate) const fn whole_rows(rows: usize) -> usize {
    rows.next_multiple_of(LEFT)
}

/// Adds the rows of the product that start at `first` to `out`.
fn multiply_rows(
    left: View<'_>,
    right: &PackedRight,
    first: usize,
    out: &mut [f32],
    packed: &mut Scratch,
) {
    let width = right.columns;
    let rows = out.len() / width;
    let (pairs, blocks) = (right.depth.div_ceil(2), right.depth.div_ceil(BLOCK));
    let (right_scales, _) = right.scales.as_chunks::<RIGHT>();
    for block in 0..blocks {
        let range = block * BLOCK..right.depth.min((block + 1) * BLOCK);
        let block_pairs = range.len().div_ceil(2);
        packed.pack(left, first, rows, range.clone());
        for panel in 0..width.div_ceil(RIGHT) {
            let at = (panel * pairs + range.start / 2) * RIGHT;
            let right_panel = &right.pairs[at..at + block_pairs * RIGHT];
            // The last panel has none after it.
            let ahead = right.pairs.get(at + pairs * RIGHT..).unwrap_or_default();
            let ahead = ahead.get(..block_pairs * RIGHT).unwrap_or(right_panel);
            let columns = RIGHT.min(width - panel * RIGHT);
            let right_scales = &right_scales[panel * blocks + block];
            let left_panels = packed.pairs.chunks_exact(LEFT * block_pairs);
            let left_scales = packed.scales[..rows].chunks(LEFT);
            for (tile, (left_panel, left_scales)) in left_panels.zip(left_scales).enumerate() {
                let out = &mut out[tile * LEFT * width + panel * RIGHT..];
                let whole =
                    |out, width| Target { out, width, left: left_scales, right: right_scales };
                if columns == RIGHT {
                    add_product(left_panel, right_panel, ahead, &mut whole(out, width));
                    continue;
                }
                let mut sums = [0.0; LEFT * RIGHT];
                add_product(left_panel, right_panel, ahead, &mut whole(&mut sums, RIGHT));
                for (out, sums) in
                    out.chunks_mut(width).zip(sums.chunks(RIGHT)).take(left_scales.len())
                {
                    out.iter_mut().zip(&sums[..columns]).for_each(|(out, sum)| *out += sum);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
