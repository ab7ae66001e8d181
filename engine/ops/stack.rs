//! The blocks of the network as play runs them on a CPU.
//!
//! Weights no longer change, so they are packed once; no gradient is wanted, so nothing is kept. The rows of a
//! section are dealt out to lanes, one for each thread: a lane takes its rows through a whole block, and the
//! threads meet only where the keys of all rows are needed. What a row becomes does not depend on which lane it
//! is in, so any number of threads gives the same bits.

use super::attend::{scale, softmax_in_parts};
use super::elementwise::{gated_add_row, gelu_in_place};
use super::int16::{PackedRight, Scratch, View, accumulate, whole_rows};
use super::norm::{modulate_row, rms_norm_row};
use super::place::{Phases, rotate};
use super::vectorized;
use candle_core::{Result, Tensor};
use rayon::prelude::*;
use std::ops::Range;

/// The weights of one block, as its layers store them: (out, in), biases (out).
pub(crate) struct BlockWeights<'a> {
    /// From the condition to the shifts, scales and gates of both halves: 6 · D outputs.
    pub(crate) modulation: [&'a Tensor; 2],
    /// To queries, keys and values.
    pub(crate) qkv: [[&'a Tensor; 2]; 3],
    /// From the heads back.
    pub(crate) out: [&'a Tensor; 2],
    /// Gains of the norms of queries and keys.
    pub(crate) norms: [&'a Tensor; 2],
    /// Into the perceptron.
    pub(crate) up: [&'a Tensor; 2],
    /// Out of it.
    pub(crate) down: [&'a Tensor; 2],
}

/// A linear layer whose weight is packed.
#[derive(Clone, Debug)]
struct Projection {
    weight: PackedRight,
    bias: Vec<f32>,
}

impl Projection {
    /// Layers that read the same input, as one.
    fn new(layers: &[[&Tensor; 2]]) -> Result<Self> {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for [w, b] in layers {
            weight.extend(w.flatten_all()?.to_vec1::<f32>()?);
            bias.extend(b.to_vec1::<f32>()?);
        }
        let view = View::rows(&weight, bias.len(), weight.len() / bias.len());
        Ok(Self { weight: PackedRight::new(view.transposed()), bias })
    }

    /// `out = x · weightᵀ + bias`, on the calling thread. `out` is as long as it needs to be.
    fn apply(&self, x: View<'_>, out: &mut Vec<f32>, scratch: &mut Scratch) {
        out.clear();
        for _ in 0..x.rows {
            out.extend_from_slice(&self.bias);
        }
        accumulate(x, &self.weight, out, scratch);
    }
}

#[derive(Clone, Debug)]
struct PackedBlock {
    /// From the condition to shifts, scales and gates.
    modulation: Projection,
    qkv: Projection,
    q_norm: Vec<f32>,
    k_norm: Vec<f32>,
    out: Projection,
    up: Projection,
    down: Projection,
}

/// Keys, rotated to their positions, and values, packed head by head.
#[derive(Clone, Debug)]
pub(crate) struct PackedKeys {
    /// Keys (head, tokens) and values (tokens, head) of each head.
    heads: Vec<[PackedRight; 2]>,
    tokens: usize,
}

impl PackedKeys {
    /// keys, values: (tokens, N · head), both row-major.
    pub(crate) fn new(keys: &[f32], values: &[f32], width: usize, head: usize) -> Self {
        let tokens = keys.len() / width;
        let pack = |at: usize| {
            let view = |all| columns_of(all, width, at * head, head, tokens);
            [PackedRight::new(view(keys).transposed()), PackedRight::new(view(values))]
        };
        Self { heads: (0..width / head).into_par_iter().map(pack).collect(), tokens }
    }
}

/// Columns `first..first + count` of a row-major matrix (rows, width).
fn columns_of(all: &[f32], width: usize, first: usize, count: usize, rows: usize) -> View<'_> {
    View {
        values: all.get(first..).unwrap_or_default(),
        rows,
        columns: count,
        row_stride: width,
        column_stride: 1,
    }
}

/// Rows that one thread takes through the blocks, and its memory, used again in every block.
#[derive(Default)]
struct Lane {
    /// The first row's number.
    first: usize,
    rows: usize,
    /// (rows, D), as are `normed` and `seen`.
    x: Vec<f32>,
    normed: Vec<f32>,
    seen: Vec<f32>,
    /// (rows, 3 · D): queries, keys and values, the first two normed, not rotated.
    qkv: Vec<f32>,
    /// (rows, D): queries, rotated.
    queries: Vec<f32>,
    /// Over the history's keys and over the section's own.
    scores: [Vec<f32>; 2],
    head: Vec<f32>,
    hidden: Vec<f32>,
    scratch: Scratch,
}

/// All blocks.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    blocks: Vec<PackedBlock>,
    width: usize,
    head: usize,
}

impl Stack {
    /// Packs the weights of blocks that are `width` wide, of heads of `head` channels.
    pub(crate) fn new(blocks: &[BlockWeights<'_>], width: usize, head: usize) -> Result<Self> {
        let pack = |block: &BlockWeights<'_>| {
            Ok(PackedBlock {
                modulation: Projection::new(&[block.modulation])?,
                qkv: Projection::new(&block.qkv)?,
                q_norm: block.norms[0].to_vec1()?,
                k_norm: block.norms[1].to_vec1()?,
                out: Projection::new(&[block.out])?,
                up: Projection::new(&[block.up])?,
                down: Projection::new(&[block.down])?,
            })
        };
        Ok(Self { blocks: blocks.iter().map(pack).collect::<Result<_>>()?, width, head })
    }

    /// Sections, each of as many rows: x (R, D), condition: (groups, condition) activated, the same number of rows for each
    /// group; phases: of the rows; history: for each block, what all rows attend to besides those of their section.
    ///
    /// Answers (R, D).
    pub(crate) fn forward(
        &self,
        x: &[f32],
        condition: View<'_>,
        sections: usize,
        phases: &Phases,
        history: &[Option<PackedKeys>],
    ) -> Vec<f32> {
        let rows = x.len() / self.width;
        let each = vec![rows / condition.rows; condition.rows];
        let of_sections = vec![rows / sections; sections];
        self.run(x, (condition, &each), &of_sections, phases, history, |_, _| {})
    }

    /// The same without a history for several groups of `lengths` rows, each with a condition of its own, whose rows
    /// attend to their group alone. What a group becomes does not depend on the others.
    ///
    /// Answers keys (before their rotation) and values of each block: (R, D) each. What the last block makes of the rows
    /// is not asked for.
    pub(crate) fn keys_values(
        &self,
        x: &[f32],
        condition: View<'_>,
        lengths: &[usize],
        phases: &Phases,
    ) -> Vec<[Vec<f32>; 2]> {
        let mut all = Vec::with_capacity(self.blocks.len());
        let history = vec![None; self.blocks.len() - 1];
        self.run(x, (condition, lengths), lengths, phases, &history, |keys, values| {
            all.push([keys, values]);
        });
        all
    }

    /// Runs the blocks. Conditions are each of so many rows; the rows of each of `groups` attend to each other, and to the
    /// history. A block for which there is no entry in `history` only makes its keys (before their rotation) and values,
    /// which `take` is given of every block.
    fn run(
        &self,
        x: &[f32],
        (condition, conditioned): (View<'_>, &[usize]),
        groups: &[usize],
        phases: &Phases,
        history: &[Option<PackedKeys>],
        mut take: impl FnMut(Vec<f32>, Vec<f32>),
    ) -> Vec<f32> {
        let (width, head) = (self.width, self.head);
        let of_row = conditioned.iter().enumerate();
        let of_row: Vec<_> = of_row.flat_map(|(at, &rows)| std::iter::repeat_n(at, rows)).collect();
        let modulate = |block: &PackedBlock| {
            let mut values = Vec::new();
            block.modulation.apply(condition, &mut values, &mut Scratch::default());
            Modulation { values, width, of_row: &of_row }
        };
        let modulations: Vec<_> = self.blocks.par_iter().map(modulate).collect();
        let groups = ranges(groups);
        let mut lanes = lanes(x, width);
        let tokens = phases.tokens();
        let mut rotated = vec![0.0; tokens * width];
        for (at, (block, modulation)) in self.blocks.iter().zip(&modulations).enumerate() {
            lanes.par_iter_mut().for_each(|lane| block.project(lane, modulation, phases));
            let [mut keys, mut values] = [0, 1].map(|_| Vec::with_capacity(x.len()));
            for row in lanes.iter().flat_map(|lane| lane.qkv.chunks_exact(3 * width)) {
                keys.extend_from_slice(&row[width..2 * width]);
                values.extend_from_slice(&row[2 * width..]);
            }
            let Some(history) = history.get(at) else {
                take(keys, values);
                break;
            };
            turn_all(&keys, phases, &mut rotated);
            let own = groups.par_iter().map(|rows| {
                let [keys, values] = [&rotated, &values].map(|all| rows_of(all, rows, width));
                PackedKeys::new(keys, values, width, head)
            });
            let own: Vec<_> = own.collect();
            take(keys, values);
            lanes.par_iter_mut().for_each(|lane| {
                for (rows, own) in groups.iter().zip(&own) {
                    attend(lane, rows, [history.as_ref(), Some(own)], head);
                }
                block.feed(lane, modulation);
            });
        }
        lanes.into_iter().flat_map(|lane| lane.x).collect()
    }
}

/// Where groups of so many rows lie, one after another.
fn ranges(lengths: &[usize]) -> Vec<Range<usize>> {
    let each = lengths.iter().scan(0, |first, rows| {
        *first += rows;
        Some(*first - rows..*first)
    });
    each.collect()
}

/// Some rows of a row-major matrix (rows, width).
fn rows_of<'a>(all: &'a [f32], rows: &Range<usize>, width: usize) -> &'a [f32] {
    &all[rows.start * width..rows.end * width]
}

/// Deals rows out: as many lanes as there are threads, where none is left with part of a panel.
fn lanes(x: &[f32], width: usize) -> Vec<Lane> {
    let rows = x.len() / width;
    let each = whole_rows(rows.div_ceil(rayon::current_num_threads()));
    let lane = |(at, x): (usize, &[f32])| Lane {
        first: at * each,
        rows: x.len() / width,
        x: x.to_vec(),
        normed: vec![0.0; x.len()],
        seen: vec![0.0; x.len()],
        queries: vec![0.0; x.len()],
        ..Lane::default()
    };
    x.chunks(each * width).enumerate().map(lane).collect()
}

/// A row (N · head) rotated by the phases of a token.
fn turn(row: &[f32], phases: &Phases, token: usize, out: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || rotate::<1>(row, phases.token(token), out),
    );
}

/// Rows (tokens, N · head), each rotated by the phases of its place.
pub(crate) fn turn_all(rows: &[f32], phases: &Phases, out: &mut [f32]) {
    let width = rows.len() / phases.tokens();
    for (token, (row, out)) in rows.chunks_exact(width).zip(out.chunks_exact_mut(width)).enumerate()
    {
        turn(row, phases, token, out);
    }
}

/// Shifts, scales and gates of a block: for each condition, six of D.
struct Modulation<'a> {
    values: Vec<f32>,
    width: usize,
    /// The condition of each row.
    of_row: &'a [usize],
}

impl Modulation<'_> {
    /// One of the six of a row: shift, scale and gate of the attention, then of the perceptron.
    fn of(&self, row: usize, which: usize) -> &[f32] {
        &self.values[(self.of_row[row] * 6 + which) * self.width..][..self.width]
    }
}

impl PackedBlock {
    /// The norm before the attention, queries, keys and values.
    fn project(&self, lane: &mut Lane, modulation: &Modulation<'_>, phases: &Phases) {
        let width = lane.x.len() / lane.rows;
        lane.modulate(modulation, [0, 1]);
        self.qkv.apply(
            View::rows(&lane.normed, lane.rows, width),
            &mut lane.qkv,
            &mut lane.scratch,
        );
        let rows = lane.qkv.chunks_exact_mut(3 * width).zip(lane.queries.chunks_exact_mut(width));
        for (at, (row, queries)) in rows.enumerate() {
            rms_norm_row(&mut row[..width], &self.q_norm);
            rms_norm_row(&mut row[width..2 * width], &self.k_norm);
            turn(&row[..width], phases, lane.first + at, queries);
        }
    }

    /// The way back from the heads, and the perceptron.
    fn feed(&self, lane: &mut Lane, modulation: &Modulation<'_>) {
        let (rows, width) = (lane.rows, lane.x.len() / lane.rows);
        self.out.apply(View::rows(&lane.seen, rows, width), &mut lane.normed, &mut lane.scratch);
        lane.add(modulation, 2);
        lane.modulate(modulation, [3, 4]);
        self.up.apply(View::rows(&lane.normed, rows, width), &mut lane.hidden, &mut lane.scratch);
        gelu_in_place(&mut lane.hidden);
        let hidden = View::rows(&lane.hidden, rows, lane.hidden.len() / rows);
        self.down.apply(hidden, &mut lane.normed, &mut lane.scratch);
        lane.add(modulation, 5);
    }
}

/// What those of the lane's rows that belong to a group see of its keys.
fn attend(lane: &mut Lane, group: &Range<usize>, keys: [Option<&PackedKeys>; 2], head: usize) {
    let width = lane.x.len() / lane.rows;
    let first = group.start.max(lane.first) - lane.first;
    let last = group.end.min(lane.first + lane.rows).saturating_sub(lane.first);
    if first >= last {
        return;
    }
    let rows = last - first;
    let lines = first * width..last * width;
    for at in 0..width / head {
        let queries = columns_of(&lane.queries[lines.clone()], width, at * head, head, rows);
        for (keys, scores) in keys.iter().zip(&mut lane.scores) {
            scores.clear();
            if let Some(keys) = keys {
                scores.resize(rows * keys.tokens, 0.0);
                accumulate(queries, &keys.heads[at][0], scores, &mut lane.scratch);
            }
        }
        let [of_history, own] = &mut lane.scores;
        softmax_in_parts([of_history, own], rows, scale(head));
        lane.head.clear();
        lane.head.resize(rows * head, 0.0);
        for (keys, weights) in keys.iter().zip(&lane.scores) {
            if let Some(keys) = keys {
                let weights = View::rows(weights, rows, keys.tokens);
                accumulate(weights, &keys.heads[at][1], &mut lane.head, &mut lane.scratch);
            }
        }
        let seen = lane.seen[lines.clone()].chunks_exact_mut(width);
        for (seen, part) in seen.zip(lane.head.chunks_exact(head)) {
            seen[at * head..][..head].copy_from_slice(part);
        }
    }
}

impl Lane {
    /// `normed`: layer norm of `x`, with a shift and a scale.
    fn modulate(&mut self, modulation: &Modulation<'_>, [shift, scale]: [usize; 2]) {
        let width = self.x.len() / self.rows;
        let rows = self.x.chunks_exact(width).zip(self.normed.chunks_exact_mut(width));
        for (row, (x, out)) in (self.first..).zip(rows) {
            modulate_row(x, modulation.of(row, shift), modulation.of(row, scale), out);
        }
    }

    /// Adds `normed`, gated, to `x`.
    fn add(&mut self, modulation: &Modulation<'_>, gate: usize) {
        let width = self.x.len() / self.rows;
        let rows = self.x.chunks_exact_mut(width).zip(self.normed.chunks_exact(width));
        for (row, (x, update)) in (self.first..).zip(rows) {
            gated_add_row(x, update, modulation.of(row, gate));
        }
    }
}
