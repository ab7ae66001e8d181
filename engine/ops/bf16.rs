//! Matrix product of f32 matrices rounded to bf16, accumulated in f32.
//!
//! Both operands are packed into panels of adjacent pairs along the reduced dimension, which is
//! what `vdpbf16ps` multiplies. CPUs without it widen the pairs again and multiply them in f32. Each
//! element of the product is accumulated in one fixed order, so the number of threads never changes a
//! bit of the result.

mod tile;

#[cfg(target_arch = "x86_64")]
pub(crate) use tile::x86;

use super::vectorized;
use super::wide::has_fused_multiply_add;
use rayon::prelude::*;
use tile::tile_product;

/// Rows of a left panel: 12 × 2 accumulators leave registers for the right operand.
const LEFT: usize = 12;
/// Columns of a right panel: two 512-bit registers of f32.
const RIGHT: usize = 32;
/// Pairs along the reduced dimension per block: a right panel of 32 KiB fits the L1 cache.
const BLOCK_PAIRS: usize = 256;
/// Rows given to one task: a multiple of [`LEFT`] that keeps a packed block in the L2 cache.
const TASK_ROWS: usize = 8 * LEFT;
/// A right operand of so many pairs is packed by several threads: handing out costs as much as a few thousand.
const SHARED_PAIRS: usize = 1 << 15;

/// Whether this CPU multiplies bf16 pairs in hardware.
pub(crate) fn in_hardware() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512bf16")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether the products here are fast: the CPU multiplies bf16 pairs, or multiplies and adds f32 vectors in
/// one instruction.
pub(crate) fn available() -> bool {
    in_hardware() || has_fused_multiply_add()
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
    depth: usize,
    columns: usize,
}

impl PackedRight {
    /// Packs `right`: (depth, columns).
    pub(crate) fn new(right: View<'_>) -> Self {
        let (depth, columns) = (right.rows, right.columns);
        let panel = depth.div_ceil(2) * RIGHT;
        let mut pairs = vec![0_u32; columns.div_ceil(RIGHT) * panel];
        let columns_as_rows = right.transposed();
        let fill = |(at, out): (usize, &mut [u32])| {
            pack::<RIGHT>(columns_as_rows, at * RIGHT, 0..depth, out);
        };
        if pairs.len() < SHARED_PAIRS {
            pairs.chunks_mut(panel.max(1)).enumerate().for_each(fill);
        } else {
            pairs.par_chunks_mut(panel.max(1)).enumerate().for_each(fill);
        }
        Self { pairs, depth, columns }
    }
}

/// Packs up to `R` rows of `source` from `first`, columns `range`, as pairs: (pair, row).
fn pack<const R: usize>(
    source: View<'_>,
    first: usize,
    range: std::ops::Range<usize>,
    out: &mut [u32],
) {
    let whole = source.rows - first >= R && range.len().is_multiple_of(2);
    if whole && source.row_stride == 1 {
        vectorized(
            #[inline(always)]
            || pack_across::<R>(source, first, range, out),
        );
    } else if whole && source.column_stride == 1 {
        vectorized(
            #[inline(always)]
            || pack_along::<R>(source, first, range, out),
        );
    } else {
        pack_any::<R>(source, first, range, out);
    }
}

/// [`pack`] where the rows are neighbours in memory.
#[inline(always)]
fn pack_across<const R: usize>(
    source: View<'_>,
    first: usize,
    range: std::ops::Range<usize>,
    out: &mut [u32],
) {
    let (slots, _) = out.as_chunks_mut::<R>();
    for (column, slots) in range.step_by(2).zip(slots) {
        let at = first + column * source.column_stride;
        let low = &source.values[at..at + R];
        let high = &source.values[at + source.column_stride..][..R];
        for i in 0..R {
            slots[i] = round(low[i]) | (round(high[i]) << 16);
        }
    }
}

/// [`pack`] where the columns are neighbours in memory.
#[inline(always)]
fn pack_along<const R: usize>(
    source: View<'_>,
    first: usize,
    range: std::ops::Range<usize>,
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
        for (run, row) in runs.iter_mut().zip(&rows) {
            let values = &row[at * 2 * RUN..][..2 * count];
            // 2 · RUN of them, but for the last run.
            if let Some((values, _)) = values.split_first_chunk::<32>() {
                for i in 0..RUN {
                    run[i] = round(values[2 * i]) | (round(values[2 * i + 1]) << 16);
                }
            } else {
                for (slot, pair) in run.iter_mut().zip(values.chunks_exact(2)) {
                    *slot = round(pair[0]) | (round(pair[1]) << 16);
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
    range: std::ops::Range<usize>,
    out: &mut [u32],
) {
    let rows = R.min(source.rows - first);
    let start = first * source.row_stride;
    for (pair, slots) in out.chunks_exact_mut(R).enumerate() {
        let column = range.start + 2 * pair;
        let low = start + column * source.column_stride;
        let has_high = column + 1 < range.end;
        let high = if has_high { low + source.column_stride } else { low };
        for (row, slot) in slots.iter_mut().enumerate() {
            *slot = if row < rows {
                let at = row * source.row_stride;
                let upper = if has_high { round(source.values[high + at]) } else { 0 };
                round(source.values[low + at]) | (upper << 16)
            } else {
                0
            };
        }
    }
}

/// Packs the rows of a task, panel after panel.
///
/// Rows that are neighbours in memory are read across all panels at once, so that each line of the
/// cache is visited once.
fn pack_left(
    left: View<'_>,
    first: usize,
    rows: usize,
    range: std::ops::Range<usize>,
    out: &mut [u32],
) {
    let panel = LEFT * range.len().div_ceil(2);
    let panels = rows.div_ceil(LEFT);
    if left.row_stride != 1 {
        for (at, out) in out.chunks_mut(panel).enumerate().take(panels) {
            pack::<LEFT>(left, first + at * LEFT, range.clone(), out);
        }
        return;
    }
    // Pairs for which the visited lines stay in the L1 cache.
    const RUN: usize = 16;
    for start in range.clone().step_by(2 * RUN) {
        let run = start..range.end.min(start + 2 * RUN);
        for at in 0..panels {
            let slots = at * panel + (start - range.start) / 2 * LEFT;
            let out = &mut out[slots..][..run.len().div_ceil(2) * LEFT];
            pack::<LEFT>(left, first + at * LEFT, run.clone(), out);
        }
    }
}

/// The bf16 nearest to `value`, ties to even, in the low half.
#[inline(always)]
fn round(value: f32) -> u32 {
    let bits = value.to_bits();
    bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16
}

/// `out = left · right`: `left` (rows, depth), `out` (rows, columns) row-major.
///
/// # Panics
/// When the shapes do not fit.
pub(crate) fn multiply(left: View<'_>, right: &PackedRight, out: &mut [f32]) {
    multiply_biased(left, right, None, out);
}

/// `out = left · right + bias`, the same bias (columns) for every row.
///
/// # Panics
/// As [`multiply`].
pub(crate) fn multiply_biased(
    left: View<'_>,
    right: &PackedRight,
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    assert_eq!(left.columns, right.depth, "inner sizes of a product");
    assert_eq!(out.len(), left.rows * right.columns, "size of a product");
    if out.is_empty() {
        return;
    }
    let width = right.columns;
    out.par_chunks_mut(TASK_ROWS * width).enumerate().for_each(|(task, out)| {
        match bias {
            Some(bias) => out.chunks_exact_mut(width).for_each(|row| row.copy_from_slice(bias)),
            None => out.fill(0.0),
        }
        let rows = (out.len() / width).next_multiple_of(LEFT);
        let mut panel = vec![0_u32; rows * BLOCK_PAIRS.min(right.depth.div_ceil(2))];
        multiply_rows(left, right, task * TASK_ROWS, out, &mut panel);
    });
}

/// `out += left · right` on the calling thread. `scratch` is memory that is used again.
///
/// # Panics
/// As [`multiply`].
pub(crate) fn accumulate(
    left: View<'_>,
    right: &PackedRight,
    out: &mut [f32],
    scratch: &mut Vec<u32>,
) {
    assert_eq!(left.columns, right.depth, "inner sizes of a product");
    assert_eq!(out.len(), left.rows * right.columns, "size of a product");
    if out.is_empty() {
        return;
    }
    let rows = left.rows.next_multiple_of(LEFT);
    let needed = rows * BLOCK_PAIRS.min(right.depth.div_ceil(2));
    if scratch.len() < needed {
        scratch.resize(needed, 0);
    }
    multiply_rows(left, right, 0, out, scratch);
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
    packed: &mut [u32],
) {
    let width = right.columns;
    let rows = out.len() / width;
    let pairs = right.depth.div_ceil(2);
    for block in (0..pairs).step_by(BLOCK_PAIRS) {
        let block_pairs = BLOCK_PAIRS.min(pairs - block);
        let range = 2 * block..(2 * (block + block_pairs)).min(right.depth);
        pack_left(left, first, rows, range, packed);
        for panel in 0..width.div_ceil(RIGHT) {
            let at = (panel * pairs + block) * RIGHT;
            let right_panel = &right.pairs[at..at + block_pairs * RIGHT];
            for tile in 0..rows.div_ceil(LEFT) {
                let at = tile * LEFT * block_pairs;
                let left_panel = &packed[at..at + LEFT * block_pairs];
                let tile_rows = LEFT.min(rows - tile * LEFT);
                let sums = tile_product(left_panel, right_panel, tile_rows);
                let columns = RIGHT.min(width - panel * RIGHT);
                for (row, sums) in sums.iter().enumerate().take(tile_rows) {
                    let at = (tile * LEFT + row) * width + panel * RIGHT;
                    let out = &mut out[at..at + columns];
                    out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
