//! The blocks of the network as play runs them on a CPU.
//!
//! Weights no longer change, so they are packed once; no gradient is wanted, so nothing is kept. The rows of a
//! section are dealt out to lanes, one for each thread: a lane takes its rows through a whole block, and the
//! threads meet only where the keys of all rows are needed. What a row becomes does not depend on which lane it
//! is in, so any number of threads gives the same bits.

mod keys;

pub(crate) use keys::{PackedKeys, Token};

use super::attend::{scale, softmax_in_parts};
use super::elementwise::{gated_add_row, gelu_in_place};
use super::int16::{Onto, PackedRight, Scratch, View, even_rows, multiply_onto};
use super::norm::{modulate_row, rms_norm_row};
use super::place::{Phases, rotate};
use super::share::share;
use super::vectorized;
use candle_core::{Result, Tensor};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

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

    /// `out = x · weightᵀ + bias`, on the calling thread.
    fn apply(&self, x: View<'_>, out: &mut [f32], scratch: &mut Scratch) {
        multiply_onto(Onto::Bias(&self.bias), x, &self.weight, out, scratch);
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

/// Rows that one thread takes through the blocks, and its memory, used again in every block.
#[derive(Debug, Default)]
struct Lane {
    /// The first row's number.
    first: usize,
    rows: usize,
    /// (rows, D), as are `normed` and `seen`.
    x: Vec<f32>,
    normed: Vec<f32>,
    seen: Vec<f32>,
    /// (rows, D): rotated.
    queries: Vec<f32>,
    /// Over the history's keys and over the section's own.
    scores: [Vec<f32>; 2],
    head: Vec<f32>,
    hidden: Vec<f32>,
    scratch: Scratch,
}

/// The memory of a run, used again by the next: evaluation after evaluation asks for the same sizes.
#[derive(Debug, Default)]
struct Workspace {
    lanes: Vec<Lane>,
    /// Shifts, scales and gates of each block, and what their product needs.
    modulations: Vec<(Vec<f32>, Scratch)>,
    /// The condition of each row.
    condition_of: Vec<usize>,
    /// The rows of each group.
    groups: Vec<Range<usize>>,
    /// (R, D): rotated.
    keys: Vec<f32>,
    /// (R, 3 · D).
    qkv: Vec<f32>,
    /// What the rows of each group attend to of their own.
    own: Vec<PackedKeys>,
}

/// What is done with the keys and values of a block before rows attend to them.
enum Part<'a> {
    /// Those of a group, its rows, are copied.
    Take(&'a mut [Vec<f32>; 2], Range<usize>),
    /// Those of a group and a head are packed.
    Pack(&'a mut [PackedRight; 2], [View<'a>; 2]),
}

impl Part<'_> {
    /// `qkv`: of all rows, (R, 3, D).
    fn done(self, qkv: &[f32], width: usize) {
        match self {
            Self::Take(taken, rows) => {
                for (part, taken) in (1..).zip(taken) {
                    taken.reserve_exact(rows.len() * width);
                    for row in
                        qkv[3 * width * rows.start..3 * width * rows.end].chunks_exact(3 * width)
                    {
                        taken.extend_from_slice(&row[part * width..][..width]);
                    }
                }
            }
            Self::Pack([to_keys, to_values], [keys, values]) => {
                to_keys.pack(keys.transposed());
                to_values.pack(values);
            }
        }
    }
}

/// All blocks.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    blocks: Vec<PackedBlock>,
    width: usize,
    head: usize,
    /// Of runs that are over.
    workspaces: Arc<Mutex<Vec<Workspace>>>,
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
        let blocks = blocks.iter().map(pack).collect::<Result<_>>()?;
        Ok(Self { blocks, width, head, workspaces: Arc::default() })
    }

    /// Sections, each of as many rows: x (R, D), condition: (groups, condition) activated, the same number of rows for each
    /// group; phases: of the rows; history: for each block, what all rows attend to besides those of their section, if there
    /// is any.
    ///
    /// Answers (R, D).
    pub(crate) fn forward(
        &self,
        x: &[f32],
        condition: View<'_>,
        sections: usize,
        phases: &Phases,
        history: Option<&[PackedKeys]>,
    ) -> Vec<f32> {
        let rows = x.len() / self.width;
        let each = vec![rows / condition.rows; condition.rows];
        let of_sections = vec![rows / sections; sections];
        let attended = (self.blocks.len(), history);
        self.run(x, (condition, &each), &of_sections, phases, attended, None)
    }

    /// The same without a history for several groups of `lengths` rows, each with a condition of its own, whose rows
    /// attend to their group alone. What a group becomes does not depend on the others.
    ///
    /// Answers, for each block, the keys (before their rotation) and values of each group: (its rows, D) each. What the last
    /// block makes of the rows is not asked for.
    pub(crate) fn keys_values(
        &self,
        x: &[f32],
        condition: View<'_>,
        lengths: &[usize],
        phases: &Phases,
    ) -> Vec<Vec<[Vec<f32>; 2]>> {
        let mut taken = Vec::with_capacity(self.blocks.len());
        let attended = (self.blocks.len() - 1, None);
        self.run(x, (condition, lengths), lengths, phases, attended, Some(&mut taken));
        taken
    }

    /// Runs the blocks. Conditions are each of so many rows; the rows of each group, of `lengths`, attend to each other, and
    /// to the history, in the first `attending` blocks. The one after these only makes its keys and values, which `taken`, if
    /// there is any, is given of every block and group.
    fn run(
        &self,
        x: &[f32],
        (condition, conditioned): (View<'_>, &[usize]),
        lengths: &[usize],
        phases: &Phases,
        (attending, history): (usize, Option<&[PackedKeys]>),
        mut taken: Option<&mut Vec<Vec<[Vec<f32>; 2]>>>,
    ) -> Vec<f32> {
        let (width, head, rows) = (self.width, self.head, x.len() / self.width);
        let mut work = self.workspaces().pop().unwrap_or_default();
        let Workspace { lanes, modulations, condition_of, groups, keys, qkv, own } = &mut work;
        let modulations = at_least(modulations, self.blocks.len());
        groups.clear();
        groups.extend(ranges(lengths));
        condition_of.clear();
        let counts = conditioned.iter().enumerate();
        condition_of.extend(counts.flat_map(|(at, &rows)| std::iter::repeat_n(at, rows)));
        share(self.blocks.iter().zip(&mut *modulations), |(block, (values, scratch))| {
            values.resize(condition.rows * block.modulation.bias.len(), 0.0);
            block.modulation.apply(condition, values, scratch);
        });
        // As many lanes as there are threads, each but the last of whole tiles.
        let each = even_rows(rows.div_ceil(rayon::current_num_threads()));
        let lanes = at_least(lanes, rows.div_ceil(each));
        for (at, (lane, x)) in lanes.iter_mut().zip(x.chunks(each * width)).enumerate() {
            lane.begin(at * each, x, width);
        }
        keys.resize(x.len(), 0.0);
        qkv.resize(3 * x.len(), 0.0);
        let own = at_least(own, groups.len());
        let modulation = |at: usize| Modulation { values: &modulations[at].0, width, condition_of };
        let project = |at: usize, lane: &mut Lane, outputs: [&mut [f32]; 2]| {
            self.blocks[at].project(lane, &modulation(at), phases, outputs);
        };
        each_lane(lanes, [qkv, keys], |lane, outputs| project(0, lane, outputs));
        for (at, block) in self.blocks.iter().enumerate() {
            let mut of_groups =
                taken.as_ref().map(|_| vec![<[Vec<f32>; 2]>::default(); groups.len()]);
            let takes = of_groups.iter_mut().flatten().zip(&*groups);
            let takes = takes.map(|(taken, group)| Part::Take(taken, group.clone()));
            if at == attending {
                share(takes, |part| part.done(qkv, width));
                taken
                    .iter_mut()
                    .zip(of_groups)
                    .for_each(|(taken, of_groups)| taken.push(of_groups));
                break;
            }
            let history = history.map(|history| &history[at]);
            let own_keys = View::rows(keys, rows, width);
            let values = View::rows(qkv, rows, 3 * width).part(0..rows, 2 * width..3 * width);
            let heads = own.iter_mut().zip(&*groups).flat_map(|(own, group)| {
                own.packing([own_keys, values].map(|all| all.part(group.clone(), 0..width)), head)
            });
            let packs = heads.map(|(packed, heads)| Part::Pack(packed, heads));
            share(takes.chain(packs), |part| part.done(qkv, width));
            taken.iter_mut().zip(of_groups).for_each(|(taken, of_groups)| taken.push(of_groups));
            // On to the next block's keys: what is not asked of other rows needs no meeting.
            each_lane(lanes, [qkv, keys], |lane, outputs| {
                for (own, rows) in own.iter().zip(&*groups) {
                    attend(lane, rows, [history, Some(own)], head);
                }
                block.feed(lane, &modulation(at));
                if at + 1 < self.blocks.len() {
                    project(at + 1, lane, outputs);
                }
            });
        }
        let mut out = Vec::with_capacity(x.len());
        lanes.iter().for_each(|lane| out.extend_from_slice(&lane.x));
        self.workspaces().push(work);
        out
    }

    fn workspaces(&self) -> std::sync::MutexGuard<'_, Vec<Workspace>> {
        // What a run that failed held is lost with it: nothing of it is in here.
        self.workspaces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first `count` of all, of which more are made where there are fewer; none is let go, with its memory.
fn at_least<T: Default>(all: &mut Vec<T>, count: usize) -> &mut [T] {
    all.resize_with(all.len().max(count), T::default);
    &mut all[..count]
}

/// Gives each lane, on a thread of its own, its rows of queries, keys and values, (R, 3 · D), and of keys, (R, D).
fn each_lane(
    lanes: &mut [Lane],
    [qkv, keys]: [&mut [f32]; 2],
    work: impl Fn(&mut Lane, [&mut [f32]; 2]) + Sync,
) {
    // All lanes but the last are of as many rows as the first.
    let of_lane = lanes[0].x.len();
    let outputs = qkv.chunks_mut(3 * of_lane).zip(keys.chunks_mut(of_lane));
    share(lanes.iter_mut().zip(outputs), |(lane, (qkv, keys))| work(lane, [qkv, keys]));
}

/// Where groups of so many rows lie, one after another.
fn ranges(lengths: &[usize]) -> impl Iterator<Item = Range<usize>> + '_ {
    lengths.iter().scan(0, |first, rows| {
        *first += rows;
        Some(*first - rows..*first)
    })
}

/// A row (N · head) rotated by the phases of a token.
fn turn(row: &[f32], phases: (&[f32], &[f32]), out: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || rotate::<1>(row, phases, out),
    );
}

/// Shifts, scales and gates of a block: for each condition, six of D.
struct Modulation<'a> {
    values: &'a [f32],
    width: usize,
    condition_of: &'a [usize],
}

impl Modulation<'_> {
    /// One of the six of a row: shift, scale and gate of the attention, then of the perceptron.
    fn of(&self, row: usize, which: usize) -> &[f32] {
        &self.values[(self.condition_of[row] * 6 + which) * self.width..][..self.width]
    }
}

impl PackedBlock {
    /// The norm before the attention, queries, keys and values, (rows, 3 · D), the first two normed; then both rotated,
    /// `keys` (rows, D).
    fn project(
        &self,
        lane: &mut Lane,
        modulation: &Modulation<'_>,
        phases: &Phases,
        [qkv, keys]: [&mut [f32]; 2],
    ) {
        let width = lane.x.len() / lane.rows;
        lane.modulate(modulation, [0, 1]);
        self.qkv.apply(View::rows(&lane.normed, lane.rows, width), qkv, &mut lane.scratch);
        let turned = lane.queries.chunks_exact_mut(width).zip(keys.chunks_exact_mut(width));
        let rows = qkv.chunks_exact_mut(3 * width).zip(turned);
        for (token, (row, (queries, keys))) in (lane.first..).zip(rows) {
            rms_norm_row(&mut row[..width], &self.q_norm);
            rms_norm_row(&mut row[width..2 * width], &self.k_norm);
            turn(&row[..width], phases.token(token), queries);
            turn(&row[width..2 * width], phases.token(token), keys);
        }
    }

    /// The way back from the heads, and the perceptron.
    fn feed(&self, lane: &mut Lane, modulation: &Modulation<'_>) {
        let (rows, width) = (lane.rows, lane.x.len() / lane.rows);
        self.out.apply(View::rows(&lane.seen, rows, width), &mut lane.normed, &mut lane.scratch);
        lane.add(modulation, 2);
        lane.modulate(modulation, [3, 4]);
        lane.hidden.resize(rows * self.up.bias.len(), 0.0);
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
    let queries = View::rows(&lane.queries, lane.rows, width);
    for at in 0..width / head {
        let queries = queries.part(first..last, at * head..(at + 1) * head);
        for (keys, scores) in keys.iter().zip(&mut lane.scores) {
            scores.resize(keys.map_or(0, |keys| rows * keys.tokens), 0.0);
            if let Some(keys) = keys {
                multiply_onto(Onto::Zeros, queries, &keys.heads[at][0], scores, &mut lane.scratch);
            }
        }
        let [of_history, own] = &mut lane.scores;
        softmax_in_parts([of_history, own], rows, scale(head));
        lane.head.resize(rows * head, 0.0);
        let mut onto = Onto::Zeros;
        for (keys, weights) in keys.iter().zip(&lane.scores) {
            if let Some(keys) = keys {
                let weights = View::rows(weights, rows, keys.tokens);
                let values = &keys.heads[at][1];
                multiply_onto(onto, weights, values, &mut lane.head, &mut lane.scratch);
                onto = Onto::Sums;
            }
        }
        let seen = lane.seen[first * width..].chunks_exact_mut(width);
        for (seen, part) in seen.zip(lane.head.chunks_exact(head)) {
            seen[at * head..][..head].copy_from_slice(part);
        }
    }
}

impl Lane {
    /// Takes the rows `x` from `first`.
    fn begin(&mut self, first: usize, x: &[f32], width: usize) {
        (self.first, self.rows) = (first, x.len() / width);
        self.x.clear();
        self.x.extend_from_slice(x);
        for part in [&mut self.normed, &mut self.seen, &mut self.queries] {
            part.resize(x.len(), 0.0);
        }
    }

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

#[cfg(test)]
mod tests;
