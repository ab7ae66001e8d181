//! Layer norm with modulation, and RMS norm of attention heads.

use super::share::share;
use super::wide::{dot, sum, vectorized};
use super::{Rows, cuda, floats, fused, stored, with_floats};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, D, DType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

const EPSILON: f32 = 1e-6;
/// Rows that are worth handing to another thread.
const TASK_ROWS: usize = 16;

/// `layer_norm(x) · (1 + scale) + shift`, shift and scale shared by the rows of a group (AdaLN).
///
/// x: (R, D); shift, scale: (groups, D); the result is of type `dtype`. The norm has no weights of its own.
pub fn modulate(
    x: &Tensor,
    shift: &Tensor,
    scale: &Tensor,
    rows: &Rows,
    dtype: DType,
) -> Result<Tensor> {
    if fused(x) && dtype == DType::F32 {
        x.apply_op3(shift, scale, Modulate(rows.clone()))
    } else if cuda::modulates([x, shift, scale], dtype) {
        cuda::modulate(x, shift, scale, rows, dtype)
    } else {
        plain_modulate(x, shift, scale, rows)?.to_dtype(dtype)
    }
}

pub(super) fn plain_modulate(
    x: &Tensor,
    shift: &Tensor,
    scale: &Tensor,
    rows: &Rows,
) -> Result<Tensor> {
    // Means of many 16-bit numbers are taken in 32.
    let wide = x.to_dtype(DType::F32)?;
    let centred = wide.broadcast_sub(&wide.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let norm = centred.broadcast_div(&(variance + f64::from(EPSILON))?.sqrt()?)?;
    (norm.to_dtype(x.dtype())? * rows.spread(&(scale + 1.0)?)?)? + rows.spread(shift)?
}

/// RMS norm over each run of `gain.len()` columns: x (R, N · head); gain (head).
pub fn rms_norm(x: &Tensor, gain: &Tensor) -> Result<Tensor> {
    if fused(x) {
        x.apply_op2(gain, RmsNorm)
    } else if cuda::rms_norms(x, gain) {
        cuda::rms_norm(x, gain)
    } else {
        plain_rms_norm(x, gain)
    }
}

pub(super) fn plain_rms_norm(x: &Tensor, gain: &Tensor) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    let head = gain.dims1()?;
    let wide = x.reshape((rows, width / head, head))?.to_dtype(DType::F32)?;
    let mean = (wide.sqr()?.mean_keepdim(D::Minus1)? + f64::from(EPSILON))?;
    let norm = wide.broadcast_div(&mean.sqrt()?)?.to_dtype(x.dtype())?;
    norm.broadcast_mul(&gain.to_dtype(x.dtype())?)?.reshape((rows, width))
}

/// Mean of the values and of their squares' deviation: (mean, 1 / standard deviation).
#[inline(always)]
fn moments(x: &[f32]) -> (f32, f32) {
    #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^24")]
    let count = x.len() as f32;
    let mean = sum(x, |x| x) / count;
    let variance = sum(x, |x| (x - mean) * (x - mean)) / count;
    (mean, 1.0 / (variance + EPSILON).sqrt())
}

/// [`modulate`] of one row.
pub(crate) fn modulate_row(x: &[f32], shift: &[f32], scale: &[f32], out: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || {
            let (mean, deviation) = moments(x);
            for (((out, x), shift), scale) in out.iter_mut().zip(x).zip(shift).zip(scale) {
                *out = ((x - mean) * deviation).mul_add(1.0 + scale, *shift);
            }
        },
    );
}

struct Modulate(Rows);

impl CustomOp3 for Modulate {
    fn name(&self) -> &'static str {
        "modulate"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        shift: &CpuStorage,
        shift_layout: &Layout,
        scale: &CpuStorage,
        scale_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let width = x_layout.shape().dims2()?.1;
        let (x, shift, scale) =
            (floats(x, x_layout)?, floats(shift, shift_layout)?, floats(scale, scale_layout)?);
        let mut out = vec![0.0; x.len()];
        let tasks = out.chunks_mut(TASK_ROWS * width).zip(x.chunks(TASK_ROWS * width));
        share(tasks.zip(self.0.group_of.chunks(TASK_ROWS)), |((out, x), groups)| {
            let rows = out.chunks_exact_mut(width).zip(x.chunks_exact(width));
            for ((out, x), &group) in rows.zip(groups) {
                let at = group as usize * width;
                let (shift, scale) = (&shift[at..at + width], &scale[at..at + width]);
                modulate_row(x, shift, scale, out);
            }
        });
        Ok(stored(out, x_layout.shape()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        shift: &Tensor,
        scale: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let width = x.dims2()?.1;
        let gradient = gradient.contiguous()?;
        let mut to_x = vec![0.0; x.elem_count()];
        let mut to_shift = vec![0.0; shift.elem_count()];
        let mut to_scale = vec![0.0; scale.elem_count()];
        with_floats([x, scale, &gradient], |[x, scale, gradient]| {
            let mut rest = &mut to_x[..];
            let mut groups = Vec::with_capacity(self.0.groups());
            for (start, length) in self.0.starts() {
                let (here, after) = rest.split_at_mut(length * width);
                rest = after;
                groups.push((start * width, here));
            }
            let totals = to_shift.par_chunks_mut(width).zip(to_scale.par_chunks_mut(width));
            let scales = scale.par_chunks(width);
            groups.into_par_iter().zip(totals).zip(scales).for_each(
                |(((start, to_x), (to_shift, to_scale)), scale)| {
                    let range = start..start + to_x.len();
                    let rows = x[range.clone()].chunks(width).zip(gradient[range].chunks(width));
                    for ((x, g), to_x) in rows.zip(to_x.chunks_mut(width)) {
                        vectorized(
                            #[inline(always)]
                            || modulate_slope(x, g, scale, to_x, to_shift, to_scale),
                        );
                    }
                },
            );
            Ok(())
        })?;
        Ok((
            Some(Tensor::from_vec(to_x, x.shape(), x.device())?),
            Some(Tensor::from_vec(to_shift, shift.shape(), x.device())?),
            Some(Tensor::from_vec(to_scale, scale.shape(), x.device())?),
        ))
    }
}

/// One row of the gradient of [`modulate`]; `to_shift` and `to_scale` accumulate.
#[inline(always)]
fn modulate_slope(
    x: &[f32],
    gradient: &[f32],
    scale: &[f32],
    to_x: &mut [f32],
    to_shift: &mut [f32],
    to_scale: &mut [f32],
) {
    let (mean, deviation) = moments(x);
    let columns = x.iter().zip(gradient).zip(scale).zip(to_x.iter_mut());
    for ((((x, g), scale), to_x), (to_shift, to_scale)) in
        columns.zip(to_shift.iter_mut().zip(to_scale.iter_mut()))
    {
        *to_shift += g;
        *to_scale = g.mul_add((x - mean) * deviation, *to_scale);
        *to_x = g * (1.0 + scale);
    }
    #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^24")]
    let count = x.len() as f32;
    let mean_slope = sum(to_x, |g| g) / count;
    // Σ g · norm = deviation · (Σ g · x − mean · Σ g)
    let along = deviation * (dot(to_x, x) / count - mean * mean_slope);
    for (to_x, x) in to_x.iter_mut().zip(x) {
        *to_x = deviation * (*to_x - mean_slope - (x - mean) * deviation * along);
    }
}

/// [`rms_norm`] of one row, in place.
pub(crate) fn rms_norm_row(row: &mut [f32], gain: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for x in row.chunks_mut(gain.len()) {
                let inverse = inverse_rms(x);
                for (x, gain) in x.iter_mut().zip(gain) {
                    *x = *x * inverse * gain;
                }
            }
        },
    );
}

struct RmsNorm;

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        gain: &CpuStorage,
        gain_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let width = x_layout.shape().dims2()?.1;
        let (x, gain) = (floats(x, x_layout)?, floats(gain, gain_layout)?);
        let mut out = vec![0.0; x.len()];
        out.copy_from_slice(x);
        out.par_chunks_mut(width).for_each(|row| rms_norm_row(row, gain));
        Ok(stored(out, x_layout.shape()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gain: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let width = x.dims2()?.1;
        let gradient = gradient.contiguous()?;
        let (to_x, to_gain) = with_floats([x, gain, &gradient], |[x, gain, gradient]| {
            let mut to_x = vec![0.0; x.len()];
            // Fixed chunks of rows, so that the sum over them has one order.
            let chunk = 64 * width;
            let parts = to_x.par_chunks_mut(chunk).zip(x.par_chunks(chunk));
            let parts: Vec<Vec<f32>> = parts
                .zip(gradient.par_chunks(chunk))
                .map(|((to_x, x), g)| {
                    let mut to_gain = vec![0.0; gain.len()];
                    vectorized(
                        #[inline(always)]
                        || rms_norm_slope(x, g, gain, to_x, &mut to_gain),
                    );
                    to_gain
                })
                .collect();
            let mut to_gain = vec![0.0; gain.len()];
            for part in &parts {
                to_gain.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            }
            Ok((to_x, to_gain))
        })?;
        Ok((
            Some(Tensor::from_vec(to_x, x.shape(), x.device())?),
            Some(Tensor::from_vec(to_gain, gain.shape(), x.device())?),
        ))
    }
}

#[inline(always)]
fn inverse_rms(x: &[f32]) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^24")]
    let count = x.len() as f32;
    1.0 / (dot(x, x) / count + EPSILON).sqrt()
}

/// The gradient of [`rms_norm`] over whole heads; `to_gain` accumulates.
#[inline(always)]
fn rms_norm_slope(x: &[f32], g: &[f32], gain: &[f32], to_x: &mut [f32], to_gain: &mut [f32]) {
    let head = gain.len();
    #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^24")]
    let count = head as f32;
    for ((x, g), to_x) in x.chunks(head).zip(g.chunks(head)).zip(to_x.chunks_mut(head)) {
        let inverse = inverse_rms(x);
        for ((((to_x, to_gain), x), g), gain) in
            to_x.iter_mut().zip(to_gain.iter_mut()).zip(x).zip(g).zip(gain)
        {
            *to_gain = (g * x).mul_add(inverse, *to_gain);
            *to_x = g * gain;
        }
        let along = dot(to_x, x) * inverse * inverse / count;
        for (to_x, x) in to_x.iter_mut().zip(x) {
            *to_x = inverse * (*to_x - x * along);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::same_with_gradients;
    use super::*;

    // Both forms work in f32: only the order of sums differs.
    const TOLERANCE: f32 = 2e-5;

    #[test]
    fn modulate_equals_the_plain_one() {
        let rows = Rows::new(&[3, 1, 2]);
        same_with_gradients(
            &[&[6, 37], &[3, 37], &[3, 37]],
            TOLERANCE,
            |t| modulate(&t[0], &t[1], &t[2], &rows, DType::F32),
            |t| plain_modulate(&t[0], &t[1], &t[2], &rows),
        );
    }

    #[test]
    fn rms_norm_equals_the_plain_one() {
        same_with_gradients(
            &[&[70, 48], &[24]],
            TOLERANCE,
            |t| rms_norm(&t[0], &t[1]),
            |t| plain_rms_norm(&t[0], &t[1]),
        );
    }
}
