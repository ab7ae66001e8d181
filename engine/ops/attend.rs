//! Attention along routes: which rows each query attends to, and at which phases.

use super::int16::{self, PackedRight, View};
use super::place::{self, Phases, place};
use super::wide::{dot, exp, vectorized};
use super::{Precision, cuda, floats, fused, gather, stored, with_floats};
use candle_core::{CpuStorage, CustomOp3, D, DType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::sync::Arc;

/// Sequences of one shape: each has its own query and key rows, all have the same phases.
#[derive(Clone, Debug)]
pub struct Route {
    /// Rows of q: (sequences · Lq).
    pub queries: Arc<[u32]>,
    /// Rows of k and v: (sequences · Lk).
    pub keys: Arc<[u32]>,
    /// Phases of the Lq queries of every sequence.
    pub query_phases: Arc<Phases>,
    /// Phases of the Lk keys of every sequence.
    pub key_phases: Arc<Phases>,
}

impl Route {
    pub(super) fn sequences(&self) -> usize {
        self.queries.len() / self.query_phases.tokens()
    }
}

/// Softmax attention of every sequence of every route.
///
/// q: (Rq, N · head); k, v: (Rk, N · head), not rotated yet. Returns one row for each query row of
/// the routes, in their order.
pub fn attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    routes: &Arc<[Route]>,
    precision: Precision,
) -> Result<Tensor> {
    if fused(q) && precision.is_int16() {
        return q.apply_op3(k, v, Attend(Arc::clone(routes)));
    }
    let rounded = precision.is_int16().then_some(&cuda::ROUNDED);
    let mut kernels = rounded.into_iter().chain([&cuda::EXACT]);
    match kernels.find(|kernel| kernel.runs([q, k, v], routes)) {
        Some(kernel) => kernel.attend(q, k, v, routes),
        None => plain_attend(q, k, v, routes),
    }
}

pub(super) fn plain_attend(q: &Tensor, k: &Tensor, v: &Tensor, routes: &[Route]) -> Result<Tensor> {
    let width = q.dim(1)?;
    let outputs = routes.iter().map(|route| {
        let sequences = route.sequences();
        let head = 2 * route.query_phases.half;
        let split = |x: Tensor, tokens| {
            let shape = (sequences, tokens, width / head, head);
            x.reshape(shape)?.transpose(1, 2)?.contiguous() // S, N, L, head
        };
        let (queries, keys) = (route.query_phases.tokens(), route.key_phases.tokens());
        let q = split(place(q, &route.queries, &route.query_phases)?, queries)?;
        let k = split(place(k, &route.keys, &route.key_phases)?, keys)?;
        let v = split(gather(v, &route.keys)?, keys)?;
        // Sums of many 16-bit numbers are taken in 32.
        let scores = q.matmul(&k.t()?)?.to_dtype(DType::F32)?; // S, N, Lq, Lk
        let weights = softmax_last(&(scores * f64::from(scale(head)))?)?.to_dtype(v.dtype())?;
        weights.matmul(&v)?.transpose(1, 2)?.reshape((sequences * queries, width))
    });
    Tensor::cat(&outputs.collect::<Result<Vec<_>>>()?, 0)
}

/// Softmax along the last axis. candle's fused one has no gradient; this one has.
pub(crate) fn softmax_last(scores: &Tensor) -> Result<Tensor> {
    let scores = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
    scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)
}

pub(crate) fn scale(head: usize) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "heads are far below 2^24 wide")]
    let head = head as f32;
    1.0 / head.sqrt()
}

struct Attend(Arc<[Route]>);

/// One head of one sequence: gathered and rotated.
struct Head {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    width: usize,
}

impl Head {
    fn gather(
        route: &Route,
        sequence: usize,
        at: usize,
        width: usize,
        [q, k, v]: [&[f32]; 3],
    ) -> Self {
        let head = 2 * route.query_phases.half;
        let column = at * head;
        let rotated = |source: &[f32], index: &[u32], phases: &Phases| {
            let tokens = phases.tokens();
            let mut out = vec![0.0; tokens * head];
            let rows = &index[sequence * tokens..(sequence + 1) * tokens];
            vectorized(
                #[inline(always)]
                || {
                    for (token, (&row, out)) in
                        rows.iter().zip(out.chunks_exact_mut(head)).enumerate()
                    {
                        let x = &source[row as usize * width + column..][..head];
                        place::rotate::<1>(x, phases.token(token), out);
                    }
                },
            );
            out
        };
        let tokens = route.key_phases.tokens();
        let rows = &route.keys[sequence * tokens..(sequence + 1) * tokens];
        let mut values = Vec::with_capacity(tokens * head);
        for &row in rows {
            values.extend_from_slice(&v[row as usize * width + column..][..head]);
        }
        Self {
            q: rotated(q, &route.queries, &route.query_phases),
            k: rotated(k, &route.keys, &route.key_phases),
            v: values,
            width: head,
        }
    }

    fn view<'a>(&self, values: &'a [f32]) -> View<'a> {
        View::rows(values, values.len() / self.width, self.width)
    }

    /// softmax(q · kᵀ · scale): (Lq, Lk).
    fn weights(&self) -> Vec<f32> {
        let keys = self.k.len() / self.width;
        let mut scores = product(self.view(&self.q), self.view(&self.k).transposed());
        let scale = scale(self.width);
        vectorized(
            #[inline(always)]
            || {
                for row in scores.chunks_mut(keys) {
                    softmax(row, scale);
                }
            },
        );
        scores
    }

    fn output(&self) -> Vec<f32> {
        let weights = self.weights();
        let rows = self.q.len() / self.width;
        product(View::rows(&weights, rows, weights.len() / rows), self.view(&self.v))
    }

    /// Gradients to the rotated q and k, and to v, for the gradient `g` of the output.
    fn slopes(&self, g: &[f32]) -> [Vec<f32>; 3] {
        let weights = self.weights();
        let (queries, keys) = (self.q.len() / self.width, self.k.len() / self.width);
        let g = self.view(g);
        let to_v = product(View::rows(&weights, queries, keys).transposed(), g);
        let mut to_scores = product(g, self.view(&self.v).transposed()); // Lq, Lk
        let scale = scale(self.width);
        vectorized(
            #[inline(always)]
            || {
                for (slopes, weights) in to_scores.chunks_mut(keys).zip(weights.chunks(keys)) {
                    let along = dot(slopes, weights);
                    for (g, w) in slopes.iter_mut().zip(weights) {
                        *g = (*g - along) * w * scale;
                    }
                }
            },
        );
        let to_scores = View::rows(&to_scores, queries, keys);
        [
            product(to_scores, self.view(&self.k)),
            product(to_scores.transposed(), self.view(&self.q)),
            to_v,
        ]
    }
}

fn product(left: View<'_>, right: View<'_>) -> Vec<f32> {
    int16::multiply(left, &PackedRight::new(right), None)
}

#[inline(always)]
fn softmax(row: &mut [f32], scale: f32) {
    let top = top(row) * scale;
    let inverse = 1.0 / exponents(row, scale, top);
    for x in row {
        *x *= inverse;
    }
}

/// Softmax along rows that come in two parts, each (rows, its keys), of scores times `scale`.
pub(crate) fn softmax_in_parts(parts: [&mut [f32]; 2], rows: usize, scale: f32) {
    let widths = [parts[0].len() / rows, parts[1].len() / rows];
    let [first, second] = parts;
    vectorized(
        #[inline(always)]
        || {
            for row in 0..rows {
                let first = &mut first[row * widths[0]..][..widths[0]];
                let second = &mut second[row * widths[1]..][..widths[1]];
                let top = top(first).max(top(second)) * scale;
                let sum = exponents(first, scale, top) + exponents(second, scale, top);
                let inverse = 1.0 / sum;
                for x in first {
                    *x *= inverse;
                }
                for x in second {
                    *x *= inverse;
                }
            }
        },
    );
}

/// The largest of a row.
#[inline(always)]
fn top(row: &[f32]) -> f32 {
    // Unlike `f32::max` this is one instruction; what is no number is passed over all the same.
    let larger = |top: f32, x: f32| if x > top { x } else { top };
    let mut tops = [f32::NEG_INFINITY; 16];
    let (chunks, rest) = row.as_chunks::<16>();
    for chunk in chunks {
        for i in 0..16 {
            tops[i] = larger(tops[i], chunk[i]);
        }
    }
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            tops[i] = larger(tops[i], tops[half + i]);
        }
    }
    rest.iter().fold(tops[0], |top, &x| larger(top, x))
}

/// e^(x · scale - top) of each; answers their sum.
#[inline(always)]
fn exponents(row: &mut [f32], scale: f32, top: f32) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let (chunks, rest) = row.as_chunks_mut::<16>();
    for chunk in chunks {
        for i in 0..16 {
            chunk[i] = exp(chunk[i].mul_add(scale, -top));
            lanes[i] += chunk[i];
        }
    }
    let mut sum = 0.0;
    for lane in lanes {
        sum += lane;
    }
    for x in rest {
        *x = exp(x.mul_add(scale, -top));
        sum += *x;
    }
    sum
}

impl Attend {
    /// Every (route, sequence, head) in order, for tensors `width` wide.
    fn problems(&self, width: usize) -> Vec<(&Route, usize, usize)> {
        let routes = self.0.iter().flat_map(|route| {
            let heads = width / (2 * route.query_phases.half);
            (0..route.sequences()).flat_map(move |s| (0..heads).map(move |h| (route, s, h)))
        });
        routes.collect()
    }
}

impl CustomOp3 for Attend {
    fn name(&self) -> &'static str {
        "attend"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let width = q_layout.shape().dims2()?.1;
        let values = [floats(q, q_layout)?, floats(k, k_layout)?, floats(v, v_layout)?];
        let problems = self.problems(width);
        let heads: Vec<_> = problems
            .par_iter()
            .map(|&(route, sequence, head)| {
                Head::gather(route, sequence, head, width, values).output()
            })
            .collect();
        let rows = self.0.iter().map(|route| route.queries.len()).sum::<usize>();
        let mut out = vec![0.0; rows * width];
        let mut next = 0;
        for (&(_, _, head), values) in problems.iter().zip(&heads) {
            let columns = 2 * self.0[0].query_phases.half;
            let rows = values.len() / columns;
            for (row, values) in values.chunks_exact(columns).enumerate() {
                out[(next + row) * width + head * columns..][..columns].copy_from_slice(values);
            }
            if (head + 1) * columns == width {
                next += rows;
            }
        }
        Ok(stored(out, (rows, width)))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let width = q.dim(1)?;
        let gradient = gradient.contiguous()?;
        let mut sums = [q, k, v].map(|tensor| vec![0.0; tensor.elem_count()]);
        with_floats([q, k, v, &gradient], |[q, k, v, gradient]| {
            self.add_slopes([q, k, v], gradient, width, &mut sums);
            Ok(())
        })?;
        let [to_q, to_k, to_v] = sums;
        Ok((
            Some(Tensor::from_vec(to_q, q.shape(), q.device())?),
            Some(Tensor::from_vec(to_k, k.shape(), q.device())?),
            Some(Tensor::from_vec(to_v, v.shape(), q.device())?),
        ))
    }
}

impl Attend {
    fn add_slopes(
        &self,
        values: [&[f32]; 3],
        gradient: &[f32],
        width: usize,
        [to_q, to_k, to_v]: &mut [Vec<f32>; 3],
    ) {
        let problems = self.problems(width);
        // The first output row of each problem.
        let firsts: Vec<usize> = problems
            .iter()
            .scan(0, |next, (route, _, head)| {
                let first = *next;
                let columns = 2 * route.query_phases.half;
                if (head + 1) * columns == width {
                    *next += route.query_phases.tokens();
                }
                Some(first)
            })
            .collect();
        let slopes: Vec<_> = problems
            .par_iter()
            .zip(&firsts)
            .map(|(&(route, sequence, head), &first)| {
                let columns = 2 * route.query_phases.half;
                let rows = first..first + route.query_phases.tokens();
                let mut g = Vec::with_capacity(rows.len() * columns);
                for row in rows {
                    g.extend_from_slice(&gradient[row * width + head * columns..][..columns]);
                }
                Head::gather(route, sequence, head, width, values).slopes(&g)
            })
            .collect();
        // In order, because sections share the rows of their history.
        for (&(route, sequence, head), [q, k, v]) in problems.iter().zip(&slopes) {
            let columns = 2 * route.query_phases.half;
            let scatter = |out: &mut [f32], slopes: &[f32], index: &[u32], phases: &Phases| {
                let tokens = slopes.len() / columns;
                let rows = &index[sequence * tokens..(sequence + 1) * tokens];
                let mut turned = vec![0.0; columns];
                vectorized(
                    #[inline(always)]
                    || {
                        for (token, (&row, g)) in
                            rows.iter().zip(slopes.chunks(columns)).enumerate()
                        {
                            place::rotate::<-1>(g, phases.token(token), &mut turned);
                            let out = &mut out[row as usize * width + head * columns..][..columns];
                            for (out, g) in out.iter_mut().zip(&turned) {
                                *out += g;
                            }
                        }
                    },
                );
            };
            scatter(to_q, q, &route.queries, &route.query_phases);
            scatter(to_k, k, &route.keys, &route.key_phases);
            let tokens = route.key_phases.tokens();
            let rows = &route.keys[sequence * tokens..(sequence + 1) * tokens];
            for (&row, v) in rows.iter().zip(v.chunks(columns)) {
                let out = &mut to_v[row as usize * width + head * columns..][..columns];
                out.iter_mut().zip(v).for_each(|(out, g)| *out += g);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::same_with_gradients;
    use super::*;

    fn phases(tokens: usize) -> Arc<Phases> {
        let angles: Vec<f32> = (0..tokens * 8).map(|i| i as f32 * 0.37).collect();
        let real = angles.iter().map(|a| 0.9 * a.cos()).collect();
        let imaginary = angles.iter().map(|a| 0.9 * a.sin()).collect();
        Arc::new(Phases { real, imaginary, half: 8 })
    }

    #[test]
    fn follows_the_plain_one() {
        let routes: Arc<[Route]> = [
            Route {
                queries: (0..6).collect(),
                keys: (0..6).collect(),
                query_phases: phases(3),
                key_phases: phases(3),
            },
            // Two sequences that share some keys.
            Route {
                queries: (6..10).collect(),
                keys: [0, 1, 2, 6, 7, 3, 1, 2, 8, 9].into(),
                query_phases: phases(2),
                key_phases: phases(5),
            },
        ]
        .into();
        // Operands are off by half a step at most, 2^-12.5 of the largest of their block,
        // scores and weights among them.
        same_with_gradients(
            &[&[10, 32], &[10, 32], &[10, 32]],
            4e-3,
            |t| attend(&t[0], &t[1], &t[2], &routes, Precision::Int16),
            |t| plain_attend(&t[0], &t[1], &t[2], &routes),
        );
    }
}
