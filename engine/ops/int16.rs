//! Matrix product of f32 matrices rounded to integers of 12 bits and a sign, accumulated in 32 bits.
//!
//! Over each [`BLOCK`] of the reduced dimension, a row of the left operand and a column of the right one are scaled
//! so that their largest value becomes [`LIMIT`]: the sum of a block stays within 32 bits and is exact. Sums of blocks
//! are scaled back and added in f32, in one fixed order. So neither the number of threads nor the CPU changes a bit of
//! the result.
//!
//! Both operands are packed as adjacent pairs along the reduced dimension, the left one row by row, the right one in
//! panels of some columns: pairs are what `vpmaddwd` and `vpdpwssd` multiply. On CPUs with AVX2 that is twice as many
//! products as in f32, each rounded more finely than in bf16 where no value of a block towers above the others.

mod pack;
mod tile;

pub(crate) use pack::{PackedRight, Scratch, pack_rows};
pub(super) use pack::{larger, pair, round, scale};
pub(super) use tile::both;
#[cfg(target_arch = "x86_64")]
pub(super) use tile::x86;

use super::share::share;
use rayon::prelude::*;
use std::array::from_fn;
use std::ops::Range;
use tile::{Target, add_product, panels_at_once};

/// Rows of a left panel: so many sums in 512 bits hide how long each takes to be added to.
const LEFT: usize = 12;
/// Columns of a right panel: 16 pairs are a line of the cache, and two registers of 256 bits or one of 512.
pub(super) const RIGHT: usize = 16;
/// Values along the reduced dimension that share a scale. A right panel of so many takes 8 KiB: with the one that comes
/// after it and a left panel it fits an L1 cache of 32 KiB, and two with the next two one of 48.
const BLOCK: usize = 256;
/// Pairs from one row of a left panel to the next, whatever the block: with a number that the compiler knows, one pointer finds
/// them all.
const PAIRS: usize = BLOCK / 2;
/// The largest integer of an operand.
const LIMIT: f32 = limit(BLOCK);
/// Rows given to one task: a multiple of [`LEFT`] that keeps a packed block in the L2 cache.
const TASK_ROWS: usize = 8 * LEFT;
/// A right operand of so many pairs is given to several threads, some columns to each, where one task has all rows: reading it
/// from memory takes several times as long as handing out.
const SHARED_RIGHT: usize = 1 << 17;

/// The largest integer of operands of which so many products can be summed in 32 bits.
const fn limit(products: usize) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "the root of 31 bits has fewer than 24")]
    return (i32::MAX as usize / products).isqrt() as f32;
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

/// `left · right + bias`, the same bias (columns) for every row: `left` (rows, depth), the product (rows, columns), row-major.
///
/// # Panics
/// When the shapes do not fit.
pub(crate) fn multiply(left: View<'_>, right: &PackedRight, bias: Option<&[f32]>) -> Vec<f32> {
    assert_eq!(left.columns, right.depth, "inner sizes of a product");
    let width = right.columns;
    assert!(bias.is_none_or(|bias| bias.len() == width), "a bias for every column");
    let onto = bias.map_or(Onto::Zeros, Onto::Bias);
    if (1..=TASK_ROWS).contains(&left.rows) && right.pairs.len() >= SHARED_RIGHT {
        return multiply_columns(onto, left, right);
    }
    let mut out = vec![0.0; left.rows * width];
    if !out.is_empty() {
        out.par_chunks_mut(TASK_ROWS * width).enumerate().for_each(|(task, out)| {
            let rows = (task * TASK_ROWS, right.panels());
            multiply_rows(onto, left, right, rows, out, &mut Scratch::default());
        });
    }
    out
}

/// The same, some columns on each thread.
fn multiply_columns(onto: Onto<'_>, left: View<'_>, right: &PackedRight) -> Vec<f32> {
    let all = right.panels().end;
    let each = all.div_ceil(rayon::current_num_threads()).next_multiple_of(2);
    let mut parts: Vec<_> = (0..all).step_by(each).map(|first| (first, Vec::new())).collect();
    share(&mut parts, |(first, out)| {
        let panels = *first..all.min(*first + each);
        let columns = panels.start * RIGHT..right.columns.min(panels.end * RIGHT);
        *out = vec![0.0; left.rows * columns.len()];
        let (onto, scratch) = (onto.part(columns), &mut Scratch::default());
        multiply_rows(onto, left, right, (0, panels), out, scratch);
    });
    let mut out = Vec::with_capacity(left.rows * right.columns);
    for row in 0..left.rows {
        for (_, part) in &parts {
            let width = part.len() / left.rows;
            out.extend_from_slice(&part[row * width..][..width]);
        }
    }
    out
}

/// What a product is added to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Onto<'a> {
    /// What is there.
    Sums,
    /// Nothing: what was there is lost.
    Zeros,
    /// The same bias (columns) in every row; what was there is lost.
    Bias(&'a [f32]),
}

impl Onto<'_> {
    /// The same for some of the columns.
    fn part(&self, columns: Range<usize>) -> Onto<'_> {
        match self {
            Self::Bias(bias) => Onto::Bias(&bias[columns]),
            other => *other,
        }
    }
}

/// `left · right` onto something, on the calling thread: (rows, columns). `scratch` is memory that is used again.
///
/// # Panics
/// When the shapes do not fit.
pub(crate) fn multiply_onto(
    onto: Onto<'_>,
    left: View<'_>,
    right: &PackedRight,
    out: &mut [f32],
    scratch: &mut Scratch,
) {
    assert_eq!(left.columns, right.depth, "inner sizes of a product");
    assert_eq!(out.len(), left.rows * right.columns, "size of a product");
    if let Onto::Bias(bias) = onto {
        assert_eq!(bias.len(), right.columns, "a bias for every column");
    }
    if !out.is_empty() {
        multiply_rows(onto, left, right, (0, right.panels()), out, scratch);
    }
}

/// Rows that are multiplied without waste on wide vectors, where a tile of fewer than [`LEFT`] is multiplied by fours; with
/// AVX2 by sixes.
pub(crate) const fn even_rows(rows: usize) -> usize {
    rows.next_multiple_of(4)
}

/// The rows of the product that start at `first`, of the columns of some panels.
fn multiply_rows(
    mut onto: Onto<'_>,
    left: View<'_>,
    right: &PackedRight,
    (first, panels): (usize, Range<usize>),
    out: &mut [f32],
    packed: &mut Scratch,
) {
    let first_column = panels.start * RIGHT;
    let width = right.columns.min(panels.end * RIGHT) - first_column;
    let (rows, at_once) = (out.len() / width, panels_at_once());
    if right.depth == 0 {
        out.chunks_exact_mut(width).for_each(|row| begin(row, onto));
    }
    for start in (0..right.depth).step_by(BLOCK) {
        let range = start..right.depth.min(start + BLOCK);
        packed.pack(left, first, rows, range.clone());
        let mut panel = panels.start;
        while panel < panels.end {
            let columns = panel * RIGHT - first_column..width;
            if at_once == 2 && columns.len() >= 2 * RIGHT {
                multiply_panels::<2>(onto, packed, right, (panel, columns), &range, out);
                panel += 2;
            } else {
                multiply_panels::<1>(onto, packed, right, (panel, columns), &range, out);
                panel += 1;
            }
        }
        onto = Onto::Sums;
    }
}

/// Makes some columns of a row what is to be added to.
fn begin(row: &mut [f32], onto: Onto<'_>) {
    match onto {
        Onto::Sums => {}
        Onto::Zeros => row.fill(0.0),
        Onto::Bias(bias) => row.copy_from_slice(bias),
    }
}

/// The product of packed rows and the right panels from `first`, over a block of the reduced dimension; `columns` of the rows of
/// `out` are theirs and those of the panels after them.
fn multiply_panels<const PANELS: usize>(
    onto: Onto<'_>,
    packed: &Scratch,
    right: &PackedRight,
    (first, columns): (usize, Range<usize>),
    range: &Range<usize>,
    out: &mut [f32],
) {
    let width = columns.end;
    let onto = onto.part(columns.clone());
    let rows = out.len() / width;
    let panels: [_; PANELS] = from_fn(|at| right.panel(first + at, range).expect("a panel"));
    let ((panels, scales), ahead) = (
        (panels.map(|(pairs, _)| pairs), panels.map(|(_, scales)| scales)),
        // The last ones have none after them.
        from_fn(|at| right.panel(first + PANELS + at, range).unwrap_or(panels[at]).0),
    );
    let is_whole = columns.len() >= PANELS * RIGHT;
    let base: Option<[_; PANELS]> = match onto {
        Onto::Bias(bias) if is_whole => Some(from_fn(|at| bias.as_chunks().0[at])),
        Onto::Zeros => Some([[0.0; RIGHT]; PANELS]),
        Onto::Sums | Onto::Bias(_) => None,
    };
    let left_panels = packed.pairs.chunks_exact(LEFT * PAIRS);
    let left_scales = packed.scales[..rows].chunks(LEFT);
    for (tile, (left_panel, left)) in left_panels.zip(left_scales).enumerate() {
        let out = &mut out[tile * LEFT * width + columns.start..];
        if is_whole {
            let mut target = Target { out, width, base: base.as_ref(), left, right: scales };
            add_product(left_panel, panels, ahead, &mut target);
            continue;
        }
        // Only a last panel by itself is not whole.
        let mut sums = [0.0; LEFT * RIGHT];
        let (of_sums, base) = (PANELS * RIGHT, None);
        let mut target = Target { out: &mut sums, width: of_sums, base, left, right: scales };
        add_product(left_panel, panels, ahead, &mut target);
        for (out, sums) in out.chunks_mut(width).zip(sums.chunks(RIGHT)).take(left.len()) {
            let out = &mut out[..columns.len()];
            begin(out, onto);
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
        }
    }
}

#[cfg(test)]
mod tests;
