//! Attention.

use super::bf16::{self, PackedRight, View};
use super::{Precision, exp, floats, fused, stored, vectorized, with_floats};
use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// Softmax attention inside each of `batch` sequences.
///
/// q: (batch · Lq, N · head); k, v: (batch · Lk, N · head), rotated already. Returns the shape of q.
pub fn attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    (batch, heads): (usize, usize),
    precision: Precision,
) -> Result<Tensor> {
    if fused(q) && precision.is_bf16() {
        q.apply_op3(k, v, Attend { batch, heads })
    } else {
        plain_attend(q, k, v, (batch, heads))
    }
}

fn plain_attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    (batch, heads): (usize, usize),
) -> Result<Tensor> {
    let (rows, width) = q.dims2()?;
    let split = |x: &Tensor| {
        let length = x.dim(0)? / batch;
        x.reshape((batch, length, heads, width / heads))?.transpose(1, 2)?.contiguous() // B, N, L, D/N
    };
    let (q, k, v) = (split(q)?, split(k)?, split(v)?);
    let scores = (q.matmul(&k.t()?)? * scale(width / heads))?; // B, N, Lq, Lk
    // candle's fused softmax has no gradient; this one has.
    let scores = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
    let weights = scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)?;
    weights.matmul(&v)?.transpose(1, 2)?.reshape((rows, width))
}

fn scale(head: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "heads are far below 2^52 wide")]
    let head = head as f64;
    1.0 / head.sqrt()
}

struct Attend {
    batch: usize,
    heads: usize,
}

/// Sizes of one problem: rows of q and of k, channels of all heads, channels of one.
#[derive(Clone, Copy)]
struct Sizes {
    queries: usize,
    keys: usize,
    width: usize,
    head: usize,
}

impl Attend {
    fn sizes(&self, q: (usize, usize), k: (usize, usize)) -> Sizes {
        let (queries, keys) = (q.0 / self.batch, k.0 / self.batch);
        Sizes { queries, keys, width: q.1, head: q.1 / self.heads }
    }

    /// Every (sequence, head), in order.
    fn problems(&self) -> impl IndexedParallelIterator<Item = (usize, usize)> + '_ {
        (0..self.batch * self.heads).into_par_iter().map(|i| (i / self.heads, i % self.heads))
    }
}

/// One head of one sequence of a (batch · length, width) tensor.
fn head_of(
    values: &[f32],
    length: usize,
    sizes: Sizes,
    (sequence, head): (usize, usize),
) -> View<'_> {
    let first = sequence * length * sizes.width + head * sizes.head;
    View {
        values: &values[first..first + (length - 1) * sizes.width + sizes.head],
        rows: length,
        columns: sizes.head,
        row_stride: sizes.width,
        column_stride: 1,
    }
}

fn product(left: View<'_>, right: View<'_>) -> Vec<f32> {
    let mut out = vec![0.0; left.rows * right.columns];
    bf16::multiply(left, &PackedRight::new(right), &mut out);
    out
}

/// softmax(q · kᵀ · scale): (Lq, Lk).
fn weights(q: View<'_>, k: View<'_>) -> Vec<f32> {
    let mut scores = product(q, k.transposed());
    #[expect(clippy::cast_possible_truncation, reason = "a scale near 1/8 needs no f64")]
    let scale = scale(q.columns) as f32;
    for row in scores.chunks_mut(k.rows) {
        vectorized(|| softmax(row, scale));
    }
    scores
}

#[inline(always)]
fn softmax(row: &mut [f32], scale: f32) {
    let mut lanes = [f32::NEG_INFINITY; 16];
    for chunk in row.chunks(16) {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &x)| *lane = lane.max(x));
    }
    let top = lanes.iter().copied().fold(f32::NEG_INFINITY, f32::max) * scale;
    let mut lanes = [0.0_f32; 16];
    for chunk in row.chunks_mut(16) {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *x = exp(x.mul_add(scale, -top));
            *lane += *x;
        }
    }
    let inverse = 1.0 / lanes.iter().sum::<f32>();
    row.iter_mut().for_each(|x| *x *= inverse);
}

/// Writes the heads of all sequences back into (batch · length, width).
fn merged(heads: &[Vec<f32>], length: usize, sizes: Sizes) -> Vec<f32> {
    let per_row = sizes.width / sizes.head;
    let mut out = vec![0.0; heads.len() / per_row * length * sizes.width];
    for (row, out) in out.chunks_mut(sizes.width).enumerate() {
        let (sequence, row) = (row / length, row % length);
        for (head, out) in out.chunks_mut(sizes.head).enumerate() {
            let values = &heads[sequence * per_row + head];
            out.copy_from_slice(&values[row * sizes.head..][..sizes.head]);
        }
    }
    out
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
        let sizes = self.sizes(q_layout.shape().dims2()?, k_layout.shape().dims2()?);
        let (q, k, v) = (floats(q, q_layout)?, floats(k, k_layout)?, floats(v, v_layout)?);
        let heads: Vec<_> = self
            .problems()
            .map(|at| {
                let weights = weights(
                    head_of(q, sizes.queries, sizes, at),
                    head_of(k, sizes.keys, sizes, at),
                );
                let weights = View::rows(&weights, sizes.queries, sizes.keys);
                product(weights, head_of(v, sizes.keys, sizes, at))
            })
            .collect();
        Ok(stored(merged(&heads, sizes.queries, sizes), q_layout.shape()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let sizes = self.sizes(q.dims2()?, k.dims2()?);
        let gradient = gradient.contiguous()?;
        let heads: Vec<[Vec<f32>; 3]> = with_floats([q, k, v, &gradient], |[q, k, v, g]| {
            let head = |values, length, at| head_of(values, length, sizes, at);
            Ok(self
                .problems()
                .map(|at| {
                    let (q, g) = (head(q, sizes.queries, at), head(g, sizes.queries, at));
                    slopes(q, head(k, sizes.keys, at), head(v, sizes.keys, at), g)
                })
                .collect())
        })?;
        let mut parts = [Vec::new(), Vec::new(), Vec::new()];
        for head in heads {
            parts.iter_mut().zip(head).for_each(|(part, head)| part.push(head));
        }
        let [to_q, to_k, to_v] = parts;
        let tensor = |heads: &[Vec<f32>], like: &Tensor, length| {
            Tensor::from_vec(merged(heads, length, sizes), like.shape(), like.device()).map(Some)
        };
        Ok((
            tensor(&to_q, q, sizes.queries)?,
            tensor(&to_k, k, sizes.keys)?,
            tensor(&to_v, v, sizes.keys)?,
        ))
    }
}

/// Gradients of one head: to q, k and v.
fn slopes(q: View<'_>, k: View<'_>, v: View<'_>, g: View<'_>) -> [Vec<f32>; 3] {
    let weights = weights(q, k); // Lq, Lk
    let to_v = product(View::rows(&weights, q.rows, k.rows).transposed(), g);
    let mut to_scores = product(g, v.transposed()); // Lq, Lk
    #[expect(clippy::cast_possible_truncation, reason = "a scale near 1/8 needs no f64")]
    let scale = scale(q.columns) as f32;
    for (to_scores, weights) in to_scores.chunks_mut(k.rows).zip(weights.chunks(k.rows)) {
        vectorized(|| {
            let along: f32 = to_scores.iter().zip(weights).map(|(g, w)| g * w).sum();
            for (g, w) in to_scores.iter_mut().zip(weights) {
                *g = (*g - along) * w * scale;
            }
        });
    }
    let to_scores = View::rows(&to_scores, q.rows, k.rows);
    [product(to_scores, k), product(to_scores.transposed(), q), to_v]
}

#[cfg(test)]
mod tests {
    use super::super::check::same_with_gradients;
    use super::*;

    #[test]
    fn follows_the_plain_one() {
        if !bf16::available() {
            println!("skipped: this CPU has no AVX-512 BF16");
            return;
        }
        // Operands are rounded to 8 bits of mantissa, scores and weights among them.
        same_with_gradients(
            &[&[2 * 5, 2 * 16], &[2 * 21, 2 * 16], &[2 * 21, 2 * 16]],
            2e-2,
            |t| attend(&t[0], &t[1], &t[2], (2, 2), Precision::Bf16),
            |t| plain_attend(&t[0], &t[1], &t[2], (2, 2)),
        );
    }
}
