//! GELU, SiLU and the gated residual.

use super::wide::{exp, vectorized};
use super::{Rows, cuda, floats, fused, stored, with_floats};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// Values per task: enough to outweigh handing it out, few enough to stay in the L2 cache.
const CHUNK: usize = 1 << 14;

/// GELU by its tanh approximation.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    if fused(x) {
        x.apply_op1(Pointwise(&GELU))
    } else if cuda::gelus(x) {
        cuda::gelu(x)
    } else {
        x.gelu()
    }
}

/// SiLU, x · sigmoid(x).
pub fn silu(x: &Tensor) -> Result<Tensor> {
    if fused(x) { x.apply_op1(Pointwise(&SILU)) } else { x.silu() }
}

/// `x + update · gate`, `gate` shared by the rows of a group: x, update (R, D); gate (groups, D).
pub fn gated_add(x: &Tensor, update: &Tensor, gate: &Tensor, rows: &Rows) -> Result<Tensor> {
    if fused(x) && fused(update) {
        x.apply_op3(update, gate, GatedAdd(rows.clone()))
    } else if cuda::gated_adds(x, update, gate) {
        cuda::gated_add(x, update, gate, rows)
    } else {
        plain_gated_add(x, update, gate, rows)
    }
}

pub(super) fn plain_gated_add(
    x: &Tensor,
    update: &Tensor,
    gate: &Tensor,
    rows: &Rows,
) -> Result<Tensor> {
    x + (update.to_dtype(x.dtype())? * rows.spread(gate)?)?
}

/// `a + b`, of the same shape.
///
/// candle's own sum of large tensors waits for its helper threads in a busy loop: where another program has the core
/// that such a thread needs, a frame comes late.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if fused(a) { a.apply_op2(b, Add) } else { a + b }
}

/// A function of one number with its derivative.
struct Curve {
    name: &'static str,
    /// Writes the function of each input.
    value: fn(&[f32], &mut [f32]),
    /// Multiplies each gradient by the derivative at its input.
    slope: fn(&[f32], &mut [f32]),
}

static GELU: Curve = Curve {
    name: "gelu",
    value: |x, y| {
        vectorized(
            #[inline(always)]
            || {
                for (&x, y) in x.iter().zip(y) {
                    *y = gelu_parts(x).0;
                }
            },
        );
    },
    slope: |x, g| {
        vectorized(
            #[inline(always)]
            || {
                for (&x, g) in x.iter().zip(g) {
                    *g *= gelu_parts(x).1;
                }
            },
        );
    },
};

static SILU: Curve = Curve {
    name: "silu",
    value: |x, y| {
        vectorized(
            #[inline(always)]
            || {
                for (&x, y) in x.iter().zip(y) {
                    *y = x / (1.0 + exp(-x));
                }
            },
        );
    },
    slope: |x, g| {
        vectorized(
            #[inline(always)]
            || {
                for (&x, g) in x.iter().zip(g) {
                    let s = 1.0 / (1.0 + exp(-x));
                    *g *= s * x.mul_add(1.0 - s, 1.0);
                }
            },
        );
    },
};

/// GELU and its derivative at `x`.
#[inline(always)]
fn gelu_parts(x: f32) -> (f32, f32) {
    const SCALE: f32 = 0.797_884_6; // sqrt(2 / pi)
    const CUBIC: f32 = 0.044_715;
    let inner = SCALE * x * (CUBIC * x).mul_add(x, 1.0);
    let tanh = 1.0 - 2.0 / (exp(2.0 * inner) + 1.0);
    let inner_slope = SCALE * (3.0 * CUBIC * x).mul_add(x, 1.0);
    let half = 0.5 * (1.0 + tanh);
    (x * half, (0.5 * x * (1.0 - tanh * tanh)).mul_add(inner_slope, half))
}

struct Pointwise(&'static Curve);

impl CustomOp1 for Pointwise {
    fn name(&self) -> &'static str {
        self.0.name
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = floats(storage, layout)?;
        let mut y = vec![0.0; x.len()];
        y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| (self.0.value)(x, y));
        Ok(stored(y, layout.shape()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        let slopes = with_floats([x, &gradient], |[x, gradient]| {
            let mut out = gradient.to_vec();
            let chunks = out.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK));
            chunks.for_each(|(out, x)| (self.0.slope)(x, out));
            Ok(out)
        })?;
        Tensor::from_vec(slopes, x.shape(), x.device()).map(Some)
    }
}

/// [`gated_add`] of one row, in place.
pub(crate) fn gated_add_row(x: &mut [f32], update: &[f32], gate: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for ((x, update), gate) in x.iter_mut().zip(update).zip(gate) {
                *x = update.mul_add(*gate, *x);
            }
        },
    );
}

/// [`gelu`] in place.
pub(crate) fn gelu_in_place(x: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || {
            for x in x {
                *x = gelu_parts(*x).0;
            }
        },
    );
}

struct Add;

impl CustomOp2 for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (a, b) = (floats(a, a_layout)?, floats(b, b_layout)?);
        let mut out = a.to_vec();
        out.par_chunks_mut(CHUNK).zip(b.par_chunks(CHUNK)).for_each(|(out, b)| {
            vectorized(
                #[inline(always)]
                || {
                    for (out, b) in out.iter_mut().zip(b) {
                        *out += b;
                    }
                },
            );
        });
        Ok(stored(out, a_layout.shape()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(gradient.clone()), Some(gradient.clone())))
    }
}

struct GatedAdd(Rows);

impl CustomOp3 for GatedAdd {
    fn name(&self) -> &'static str {
        "gated_add"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        update: &CpuStorage,
        update_layout: &Layout,
        gate: &CpuStorage,
        gate_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let width = x_layout.shape().dims2()?.1;
        let (x, update, gate) =
            (floats(x, x_layout)?, floats(update, update_layout)?, floats(gate, gate_layout)?);
        let mut out = x.to_vec();
        let rows = out.par_chunks_mut(width).zip(update.par_chunks(width));
        rows.zip(&self.0.group_of[..]).for_each(|((x, update), &group)| {
            gated_add_row(x, update, &gate[group as usize * width..][..width]);
        });
        Ok(stored(out, x_layout.shape()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        update: &Tensor,
        gate: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let width = x.dims2()?.1;
        let gradient = gradient.contiguous()?;
        let (to_update, to_gate) = with_floats([update, gate, &gradient], |[update, gate, g]| {
            let mut to_update = vec![0.0; update.len()];
            let rows = to_update.par_chunks_mut(width).zip(g.par_chunks(width));
            rows.zip(&self.0.group_of[..]).for_each(|((out, g), &group)| {
                let gate = &gate[group as usize * width..][..width];
                vectorized(
                    #[inline(always)]
                    || {
                        for ((out, g), gate) in out.iter_mut().zip(g).zip(gate) {
                            *out = g * gate;
                        }
                    },
                );
            });
            let starts: Vec<_> = self.0.starts().collect();
            let mut to_gate = vec![0.0; gate.len()];
            to_gate.par_chunks_mut(width).zip(&starts).for_each(|(out, &(start, length))| {
                let range = start * width..(start + length) * width;
                let rows = g[range.clone()].chunks(width).zip(update[range].chunks(width));
                vectorized(
                    #[inline(always)]
                    || {
                        for (g, update) in rows {
                            for ((out, g), update) in out.iter_mut().zip(g).zip(update) {
                                *out = g.mul_add(*update, *out);
                            }
                        }
                    },
                );
            });
            Ok((to_update, to_gate))
        })?;
        let to_update = Tensor::from_vec(to_update, update.shape(), x.device())?;
        let to_gate = Tensor::from_vec(to_gate, gate.shape(), x.device())?;
        Ok((Some(gradient), Some(to_update), Some(to_gate)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::same_with_gradients;
    use super::*;

    // Both forms work in f32: only the order of roundings differs.
    const TOLERANCE: f32 = 1e-5;

    #[test]
    fn curves_equal_the_plain_ones() {
        let wide = |t: &Tensor| t * 6.0;
        same_with_gradients(
            &[&[7, 33]],
            TOLERANCE,
            |t| gelu(&wide(&t[0])?),
            |t| wide(&t[0])?.gelu(),
        );
        same_with_gradients(
            &[&[7, 33]],
            TOLERANCE,
            |t| silu(&wide(&t[0])?),
            |t| wide(&t[0])?.silu(),
        );
    }

    #[test]
    fn sums_equal_the_plain_ones() {
        same_with_gradients(
            &[&[3, 7, 1_901], &[3, 7, 1_901]],
            0.0,
            |t| add(&t[0], &t[1]),
            |t| &t[0] + &t[1],
        );
    }

    #[test]
    fn gated_add_equals_the_plain_one() {
        let rows = Rows::new(&[2, 0, 3]);
        same_with_gradients(
            &[&[5, 19], &[5, 19], &[3, 19]],
            TOLERANCE,
            |t| gated_add(&t[0], &t[1], &t[2], &rows),
            |t| plain_gated_add(&t[0], &t[1], &t[2], &rows),
        );
    }
}
