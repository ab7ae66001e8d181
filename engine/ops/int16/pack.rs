//! Values of f32 to pairs of integers with scales, in the order in which tiles are multiplied.

use super::super::vectorized;
use super::{BLOCK, LEFT, LIMIT, PAIRS, RIGHT, TASK_ROWS, View};
use rayon::prelude::*;
use std::array::from_fn;
use std::ops::Range;

/// A right operand of so many pairs is packed by several threads: handing out costs as much as a few thousand.
const SHARED_PAIRS: usize = 1 << 15;
/// Pairs of a row that are rounded at a time: they fill a register, and so many rows of them the L1 cache at most.
const RUN: usize = 16;

/// The scale of values of which the largest is `largest`, and its inverse: what a value is multiplied by to become
/// an integer of at most `limit`.
///
/// Where all values are zero, or so small that an inverse overflows, all become zero. Where one is infinite or no
/// number, the scale is none, and nothing it meets stays one.
#[inline(always)]
pub(in super::super) fn scale(largest: f32, limit: f32) -> [f32; 2] {
    const SMALLEST: f32 = 1e-30;
    if largest < SMALLEST { [0.0, 0.0] } else { [largest / limit, limit / largest] }
}

/// The larger of two magnitudes, given as their bits: no number counts as larger than all numbers.
#[inline(always)]
pub(in super::super) fn larger(bits: u32, value: f32) -> u32 {
    bits.max(value.to_bits() & 0x7fff_ffff)
}

/// The integer nearest to `value * inverse`, ties to even, in the low half.
#[inline(always)]
pub(in super::super) fn round(value: f32, inverse: f32) -> u32 {
    // 1.5 · 2^23: adding it rounds to the nearest integer and leaves that in the lowest bits.
    const TO_INTEGER: f32 = 12_582_912.0;
    (value * inverse + TO_INTEGER).to_bits() & 0xffff
}

/// Two such integers in the order in which the CPU multiplies them.
#[inline(always)]
pub(in super::super) fn pair(values: [f32; 2], inverse: f32) -> u32 {
    round(values[0], inverse) | (round(values[1], inverse) << 16)
}

/// Values that are neighbours in memory, as pairs.
///
/// Here and below, what vectors are to be made of is copied into arrays of a fixed size first: the compiler then knows that
/// nothing that is written lies where something is read.
#[inline(always)]
fn pairs(values: &[f32; 2 * RUN], inverse: f32) -> [u32; RUN] {
    let values = *values;
    let mut rounded = [0_u16; 2 * RUN];
    for i in 0..2 * RUN {
        #[expect(clippy::cast_possible_truncation, reason = "in the low half")]
        let half = round(values[i], inverse) as u16;
        rounded[i] = half;
    }
    from_fn(|i| u32::from(rounded[2 * i]) | u32::from(rounded[2 * i + 1]) << 16)
}

/// A right operand in packed form, so that weights are packed once and used for every product.
#[derive(Clone, Debug, Default)]
pub(crate) struct PackedRight {
    /// Panels of [`RIGHT`] columns, each with all pairs of the reduced dimension.
    pub(super) pairs: Vec<u32>,
    /// Scales: for each panel and block those of the columns.
    pub(super) scales: Vec<f32>,
    pub(super) depth: usize,
    pub(super) columns: usize,
}

impl PackedRight {
    /// Packs `right`: (depth, columns).
    pub(crate) fn new(right: View<'_>) -> Self {
        let mut packed = Self::default();
        packed.pack(right);
        packed
    }

    /// Packs `right`, (depth, columns), in place of what was packed before.
    pub(crate) fn pack(&mut self, right: View<'_>) {
        self.begin(right.rows, right.columns);
        let [panel, scale_panel] = self.panel_sizes().map(|size| size.max(1));
        let Self { pairs, scales, .. } = self;
        let fill = |(at, panel): (usize, (&mut [u32], &mut [f32]))| {
            let first = at * RIGHT;
            let columns = first..right.columns.min(first + RIGHT);
            pack_panel(right.part(0..right.rows, columns), panel);
        };
        if pairs.len() < SHARED_PAIRS {
            pairs.chunks_mut(panel).zip(scales.chunks_mut(scale_panel)).enumerate().for_each(fill);
        } else {
            let panels = pairs.par_chunks_mut(panel).zip(scales.par_chunks_mut(scale_panel));
            panels.enumerate().for_each(fill);
        }
    }

    /// Makes room for a right operand (depth, columns) in place of what was packed before: every part of it is to be packed
    /// then.
    pub(crate) fn begin(&mut self, depth: usize, columns: usize) {
        (self.depth, self.columns) = (depth, columns);
        let panels = columns.div_ceil(RIGHT);
        let [panel, scale_panel] = self.panel_sizes();
        self.pairs.resize(panels * panel, 0);
        // Columns that are missing to a whole panel have no scale.
        self.scales.clear();
        self.scales.resize(panels * scale_panel, 0.0);
    }

    /// Packs the panel `at`, which is all of `right`: (depth, its columns, as many as there are or [`RIGHT`]).
    ///
    /// # Panics
    /// When there is no such panel.
    pub(crate) fn pack_panel(&mut self, at: usize, right: View<'_>) {
        let columns = RIGHT.min(self.columns - at * RIGHT);
        assert_eq!([right.rows, right.columns], [self.depth, columns], "size of a panel");
        let [panel, scale_panel] = self.panel_sizes();
        let pairs = &mut self.pairs[at * panel..][..panel];
        pack_panel(right, (pairs, &mut self.scales[at * scale_panel..][..scale_panel]));
    }

    /// Pairs and scales of a panel.
    fn panel_sizes(&self) -> [usize; 2] {
        let blocks = self.depth.div_ceil(BLOCK);
        [self.depth.div_ceil(2) * RIGHT, blocks * RIGHT]
    }

    /// All panels.
    pub(super) fn panels(&self) -> Range<usize> {
        0..self.columns.div_ceil(RIGHT)
    }

    /// Pairs, (pair, column), and scales of a panel over a block of the reduced dimension; none beyond the last panel.
    pub(super) fn panel(&self, at: usize, block: &Range<usize>) -> Option<(&[u32], &[f32; RIGHT])> {
        let pairs = self.pairs.chunks_exact(self.depth.div_ceil(2) * RIGHT).nth(at)?;
        let blocks = self.depth.div_ceil(BLOCK);
        let scales = &self.scales.as_chunks().0[at * blocks + block.start / BLOCK];
        Some((&pairs[block.start / 2 * RIGHT..block.end.div_ceil(2) * RIGHT], scales))
    }
}

/// Packs right operands side by side, of as many columns each, given by the rows of all, wherever these lie.
///
/// # Panics
/// When the rows are not of one length, or there is no operand, or the rows cannot be parted so.
pub(crate) fn pack_rows(rows: &[&[f32]], mut packed: Vec<&mut PackedRight>) {
    let width = rows.first().map_or(0, |row| row.len());
    let columns = width / packed.len();
    assert!(rows.iter().all(|row| row.len() == columns * packed.len()), "rows of one length");
    packed.iter_mut().for_each(|packed| packed.begin(rows.len(), columns));
    let (mut largest, mut inverses) = (vec![0; width], vec![0.0; width]);
    for (block, rows) in rows.chunks(BLOCK).enumerate() {
        largest.fill(0);
        vectorized(
            #[inline(always)]
            || {
                for row in rows {
                    widen(&mut largest, row);
                }
            },
        );
        for (column, (bits, inverse)) in largest.iter().zip(&mut inverses).enumerate() {
            let (packed, column) = (&mut packed[column / columns], column % columns);
            let [_, scale_panel] = packed.panel_sizes();
            let at = column / RIGHT * scale_panel + block * RIGHT + column % RIGHT;
            [packed.scales[at], *inverse] = scale(f32::from_bits(*bits), LIMIT);
        }
        for (at, rows) in rows.chunks(2).enumerate() {
            let first = (block * BLOCK / 2 + at) * RIGHT;
            vectorized(
                #[inline(always)]
                || {
                    for (number, packed) in packed.iter_mut().enumerate() {
                        let columns = number * columns..(number + 1) * columns;
                        let [low, high] =
                            [0, 1].map(|at| rows.get(at).map(|row| &row[columns.clone()]));
                        pack_pairs(
                            [low, high],
                            &inverses[columns],
                            packed.panel_sizes()[0],
                            &mut packed.pairs[first..],
                        );
                    }
                },
            );
        }
    }
}

/// Takes in the magnitudes of a row where they are larger, as bits.
#[inline(always)]
fn widen(largest: &mut [u32], row: &[f32]) {
    for (largest, &value) in largest.iter_mut().zip(row) {
        *largest = larger(*largest, value);
    }
}

/// Packs two rows, of which zeros take the place where there is none, into the first pairs of each panel of `out`.
#[inline(always)]
fn pack_pairs(rows: [Option<&[f32]>; 2], inverses: &[f32], panel: usize, out: &mut [u32]) {
    for (first, out) in (0..inverses.len()).step_by(RIGHT).zip(out.chunks_mut(panel)) {
        let lanes = |values: &[f32]| -> [f32; RIGHT] {
            let values = &values[first..];
            values.first_chunk().copied().unwrap_or_else(|| {
                let mut lanes = [0.0; RIGHT];
                lanes.iter_mut().zip(values).for_each(|(lane, value)| *lane = *value);
                lanes
            })
        };
        let [low, high] = rows.map(|row| row.map_or([0.0; RIGHT], lanes));
        let inverses = lanes(inverses);
        let mut pairs = [0; RIGHT];
        for i in 0..RIGHT {
            pairs[i] = pair([low[i], high[i]], inverses[i]);
        }
        if let Some(out) = out.first_chunk_mut() {
            *out = pairs;
        }
    }
}

/// Packs a panel: `right` (depth, at most [`RIGHT`] columns).
fn pack_panel(right: View<'_>, (pairs, scales): (&mut [u32], &mut [f32])) {
    let columns_as_rows = right.transposed();
    for (block, scales) in scales.chunks_mut(RIGHT).enumerate() {
        let range = (block * BLOCK).min(right.rows)..right.rows.min((block + 1) * BLOCK);
        let pairs = &mut pairs[range.start / 2 * RIGHT..range.end.div_ceil(2) * RIGHT];
        let mut inverses = [0.0; RIGHT];
        let scales = &mut scales[..right.columns];
        measure(columns_as_rows, 0, range.clone(), scales, &mut inverses);
        pack::<RIGHT>(columns_as_rows, 0, range, &inverses, pairs);
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
                    largest_across(source, first, range.clone(), largest);
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

/// The largest magnitudes of rows that are neighbours in memory, as bits.
#[inline(always)]
fn largest_across(source: View<'_>, first: usize, range: Range<usize>, largest: &mut [u32]) {
    // As many rows as stay in registers.
    for (first, largest) in (first..).step_by(RIGHT).zip(largest.chunks_mut(RIGHT)) {
        let columns = range.clone().map(|column| first + column * source.column_stride);
        if let Some(largest) = largest.as_mut_array::<RIGHT>() {
            let mut tops = *largest;
            for at in columns {
                let values = &source.values[at..at + RIGHT];
                for row in 0..RIGHT {
                    tops[row] = larger(tops[row], values[row]);
                }
            }
            *largest = tops;
        } else {
            for at in columns {
                for (largest, &value) in largest.iter_mut().zip(&source.values[at..]) {
                    *largest = larger(*largest, value);
                }
            }
        }
    }
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
    let inverses = *inverses;
    let values = |column: usize| {
        let values = source.values[first + column * source.column_stride..].first_chunk::<R>();
        *values.expect("as many rows")
    };
    let (slots, _) = out.as_chunks_mut::<R>();
    for (column, slots) in range.step_by(2).zip(slots) {
        let (low, high) = (values(column), values(column + 1));
        let mut pairs = [0; R];
        for i in 0..R {
            pairs[i] = pair([low[i], high[i]], inverses[i]);
        }
        *slots = pairs;
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
            if let Some(values) = values.first_chunk() {
                *run = pairs(values, inverse);
            } else {
                for (slot, values) in run.iter_mut().zip(values.chunks_exact(2)) {
                    *slot = pair([values[0], values[1]], inverse);
                }
            }
        }
        let (slots, _) = out.as_chunks_mut::<R>();
        for (pair, slots) in slots.iter_mut().enumerate().take(count) {
            let mut turned = [0; R];
            for row in 0..R {
                turned[row] = runs[row][pair];
            }
            *slots = turned;
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
    /// The pairs of each row, up to whole panels of [`LEFT`] rows, each beginning [`PAIRS`] after the one before.
    pub(super) pairs: Vec<u32>,
    /// Of all rows of all panels, as are the inverses.
    pub(super) scales: Vec<f32>,
    inverses: Vec<f32>,
}

impl Scratch {
    /// Packs `rows` rows of `left` from `first`, columns `range`.
    pub(super) fn pack(&mut self, left: View<'_>, first: usize, rows: usize, range: Range<usize>) {
        let whole = rows.next_multiple_of(LEFT);
        self.pairs.resize(whole * PAIRS, 0);
        self.scales.resize(whole, 0.0);
        self.inverses.resize(whole, 0.0);
        measure(left, first, range.clone(), &mut self.scales[..rows], &mut self.inverses[..rows]);
        if left.column_stride == 1 {
            let rows = self.pairs.chunks_exact_mut(PAIRS).zip(&self.inverses).take(rows);
            for (row, (out, &inverse)) in (first..).zip(rows) {
                let values = &left.values[row * left.row_stride..][range.clone()];
                vectorized(
                    #[inline(always)]
                    || pack_row(values, inverse, out),
                );
            }
            return;
        }
        // Run by run, for whose pairs the visited lines stay in the L1 cache: rows that are neighbours in memory are read
        // across all panels at once, so that each line is visited once.
        let (inverses, _) = self.inverses.as_chunks::<LEFT>();
        let mut turned = [0_u32; RUN * LEFT];
        for start in range.clone().step_by(2 * RUN) {
            let run = start..range.end.min(start + 2 * RUN);
            let (from, length) = ((start - range.start) / 2, run.len().div_ceil(2));
            let turned = &mut turned[..length * LEFT];
            for (at, inverses) in inverses.iter().enumerate() {
                pack::<LEFT>(left, first + at * LEFT, run.clone(), inverses, turned);
                for row in 0..LEFT {
                    let out = &mut self.pairs[(at * LEFT + row) * PAIRS + from..][..length];
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
    let (runs, rest) = values.as_chunks();
    let (whole, slots) = out.split_at_mut(runs.len() * RUN);
    for (out, values) in whole.as_chunks_mut().0.iter_mut().zip(runs) {
        *out = pairs(values, inverse);
    }
    for (out, values) in slots.iter_mut().zip(rest.chunks(2)) {
        *out = pair([values[0], values.get(1).copied().unwrap_or(0.0)], inverse);
    }
}
