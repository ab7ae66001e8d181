//! Single passes over the values of large tensors, for the optimizer: nothing here has a gradient.

use super::wide::{sum, vectorized};
use super::{floats, fused, int16, with_floats};
use crate::ops::Precision;
use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Result, Storage, Tensor, bail};
use int16::{PackedRight, View};
use rayon::prelude::*;

/// Values per task: enough to outweigh handing it out, few enough to stay in the L2 cache.
const CHUNK: usize = 1 << 14;

/// Whether [`update`] and [`update_by_two`] work on a tensor.
pub(crate) fn in_place(tensor: &Tensor) -> bool {
    fused(tensor)
}

/// `x = f(x, y)` for every value, in place.
pub(crate) fn update(x: &Tensor, y: &Tensor, f: impl Fn(f32, f32) -> f32 + Sync) -> Result<()> {
    x.inplace_op2(y, &Pass(f))
}

/// `x = f(x, y, z)` for every value, in place.
pub(crate) fn update_by_two(
    x: &Tensor,
    y: &Tensor,
    z: &Tensor,
    f: impl Fn(f32, f32, f32) -> f32 + Sync,
) -> Result<()> {
    x.inplace_op3(y, z, &Pass(f))
}

/// Sum of the squares.
pub(crate) fn square_sum(x: &Tensor) -> Result<f64> {
    if !fused(x) {
        return Ok(f64::from(x.sqr()?.sum_all()?.to_scalar::<f32>()?));
    }
    with_floats([&x.contiguous()?], |[x]| {
        let parts = x.par_chunks(CHUNK).map(|x| {
            vectorized(
                #[inline(always)]
                || sum(x, |x| x * x),
            )
        });
        Ok(parts.collect::<Vec<f32>>().into_iter().map(f64::from).sum())
    })
}

/// Moves `x` by `share` of its way to `target`.
pub(crate) fn approach(x: &mut [f32], target: &Tensor, share: f32) -> Result<()> {
    let mut blend = |target: &[f32]| {
        x.par_chunks_mut(CHUNK).zip(target.par_chunks(CHUNK)).for_each(|(x, target)| {
            vectorized(
                #[inline(always)]
                || {
                    for (x, target) in x.iter_mut().zip(target) {
                        *x += share * (target - *x);
                    }
                },
            );
        });
    };
    if fused(target) {
        return with_floats([target], |[target]| {
            blend(target);
            Ok(())
        });
    }
    blend(&target.flatten_all()?.to_vec1::<f32>()?);
    Ok(())
}

/// `a · b`, either of them possibly a transposed view.
pub(crate) fn product(a: &Tensor, b: &Tensor, precision: Precision) -> Result<Tensor> {
    if !(precision.is_int16() && fused(a)) {
        return a.matmul(b);
    }
    let (rows, columns) = (a.dim(0)?, b.dim(1)?);
    let out = {
        let (left, right) = (a.storage_and_layout(), b.storage_and_layout());
        let right = PackedRight::new(view(&right.0, right.1)?);
        int16::multiply(view(&left.0, left.1)?, &right, None)
    };
    Tensor::from_vec(out, (rows, columns), a.device())
}

fn view<'a>(storage: &'a Storage, layout: &Layout) -> Result<View<'a>> {
    let Storage::Cpu(CpuStorage::F32(values)) = storage else { bail!("expected f32 on the CPU") };
    let (rows, columns) = layout.shape().dims2()?;
    let (row_stride, column_stride) = (layout.stride()[0], layout.stride()[1]);
    let values = &values[layout.start_offset()..];
    Ok(View { values, rows, columns, row_stride, column_stride })
}

struct Pass<F>(F);

impl<F: Fn(f32, f32) -> f32 + Sync> InplaceOp2 for Pass<F> {
    fn name(&self) -> &'static str {
        "update"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
    ) -> Result<()> {
        let (x, y) = (floats_mut(x, x_layout)?, floats(y, y_layout)?);
        x.par_chunks_mut(CHUNK).zip(y.par_chunks(CHUNK)).for_each(|(x, y)| {
            vectorized(
                #[inline(always)]
                || {
                    for (x, y) in x.iter_mut().zip(y) {
                        *x = self.0(*x, *y);
                    }
                },
            );
        });
        Ok(())
    }
}

impl<F: Fn(f32, f32, f32) -> f32 + Sync> InplaceOp3 for Pass<F> {
    fn name(&self) -> &'static str {
        "update_by_two"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
        z: &CpuStorage,
        z_layout: &Layout,
    ) -> Result<()> {
        let (x, y, z) = (floats_mut(x, x_layout)?, floats(y, y_layout)?, floats(z, z_layout)?);
        let chunks = x.par_chunks_mut(CHUNK).zip(y.par_chunks(CHUNK)).zip(z.par_chunks(CHUNK));
        chunks.for_each(|((x, y), z)| {
            vectorized(
                #[inline(always)]
                || {
                    for ((x, y), z) in x.iter_mut().zip(y).zip(z) {
                        *x = self.0(*x, *y, *z);
                    }
                },
            );
        });
        Ok(())
    }
}

fn floats_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    let CpuStorage::F32(values) = storage else { bail!("expected f32 on the CPU") };
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&mut values[start..end]),
        None => bail!("expected a contiguous tensor"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::random;
    use super::*;

    #[test]
    fn products_of_transposed_views_follow_the_plain_ones() {
        let a = random(&[30, 50], 1).unwrap();
        let b = random(&[50, 40], 2).unwrap();
        let turned = |x: &Tensor| x.t().unwrap().contiguous().unwrap().t().unwrap();
        let want = a.matmul(&b).unwrap();
        for (a, b) in [(a.clone(), b.clone()), (turned(&a), b.clone()), (a.clone(), turned(&b))] {
            let got = product(&a, &b, Precision::Int16).unwrap();
            let worst = (got - &want).unwrap().abs().unwrap().max_all().unwrap();
            // Operands are off by half a step at most, 2^-12.5 of the largest of their block, either way,
            // over sums of 50.
            assert!(worst.to_scalar::<f32>().unwrap() < 5e-3);
        }
    }

    #[test]
    fn passes_visit_every_value() {
        // More than one chunk, and a rest.
        let count = CHUNK + 37;
        let (x, y) = (random(&[count], 3).unwrap(), random(&[count], 4).unwrap());
        let start = x.copy().unwrap();
        update(&x, &y, |x, y| 2.0 * x + y).unwrap();
        update_by_two(&x, &y, &start, |x, y, z| x - y - z).unwrap();
        let off = (&x - &start).unwrap().abs().unwrap().max_all().unwrap();
        assert!(off.to_scalar::<f32>().unwrap() < 1e-6);
        let squares: f32 = start.sqr().unwrap().sum_all().unwrap().to_scalar().unwrap();
        let got = square_sum(&start).unwrap();
        assert!((got - f64::from(squares)).abs() < 1e-3 * got);
        let mut average = vec![0.0; count];
        approach(&mut average, &start, 0.5).unwrap();
        let half = (&start * 0.5).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(average, half);
    }
}
