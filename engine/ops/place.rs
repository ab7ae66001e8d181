//! Placing keys and values: gathering rows of a pool and rotating them by their phases (RoPE).

use super::{floats, fused, stored, vectorized, with_floats};
use candle_core::{CpuStorage, CustomOp1, D, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::sync::Arc;

/// Rotary phases of a run of tokens: for each token, half a head of complex numbers.
///
/// Packed tokens have phases averaged over the cells they cover, so their modulus may be below 1
/// (`FramePack` §3.1).
#[derive(Clone, Debug, PartialEq)]
pub struct Phases {
    /// (tokens, half), real and imaginary parts.
    pub(crate) real: Vec<f32>,
    pub(crate) imaginary: Vec<f32>,
    pub(crate) half: usize,
}

impl Phases {
    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.real.len() / self.half
    }

    /// The tokens of `parts` one after another, heads of `2 · half` channels.
    pub fn concatenated<'a>(half: usize, parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all = Self { real: Vec::new(), imaginary: Vec::new(), half };
        for part in parts {
            assert_eq!(part.half, half, "phases of one head size");
            all.real.extend_from_slice(&part.real);
            all.imaginary.extend_from_slice(&part.imaginary);
        }
        all
    }
}

/// Rows `index` of `pool`, each head rotated by the phases of its place.
///
/// pool: (P, N · head). Row i of the result has the phases of token `i % phases.tokens()`; without
/// phases the rows are only gathered. `index` `None` means all rows in order.
pub fn place(
    pool: &Tensor,
    index: Option<&Arc<[u32]>>,
    phases: Option<&Arc<Phases>>,
) -> Result<Tensor> {
    if fused(pool) {
        pool.apply_op1(Place { index: index.cloned(), phases: phases.cloned() })
    } else {
        plain_place(pool, index, phases)
    }
}

fn plain_place(
    pool: &Tensor,
    index: Option<&Arc<[u32]>>,
    phases: Option<&Arc<Phases>>,
) -> Result<Tensor> {
    let device = pool.device();
    let rows = match index {
        Some(index) => pool.index_select(&Tensor::from_slice(index, index.len(), device)?, 0)?,
        None => pool.clone(),
    };
    let Some(phases) = phases else { return Ok(rows) };
    let (count, width) = rows.dims2()?;
    let (tokens, half) = (phases.tokens(), phases.half);
    let shape = (count / tokens, tokens, width / (2 * half), half, 2);
    let pairs = rows.reshape(shape)?;
    let (a, b) = (pairs.narrow(D::Minus1, 0, 1)?, pairs.narrow(D::Minus1, 1, 1)?);
    let real = Tensor::from_slice(&phases.real, (1, tokens, 1, half, 1), device)?;
    let imaginary = Tensor::from_slice(&phases.imaginary, (1, tokens, 1, half, 1), device)?;
    let x = (a.broadcast_mul(&real)? - b.broadcast_mul(&imaginary)?)?;
    let y = (a.broadcast_mul(&imaginary)? + b.broadcast_mul(&real)?)?;
    Tensor::cat(&[x, y], D::Minus1)?.reshape((count, width))
}

struct Place {
    index: Option<Arc<[u32]>>,
    phases: Option<Arc<Phases>>,
}

impl Place {
    fn source(&self, row: usize) -> usize {
        self.index.as_ref().map_or(row, |index| index[row] as usize)
    }

    /// The phases of a row of the result.
    fn phases(&self, row: usize) -> Option<(&[f32], &[f32])> {
        self.phases.as_ref().map(|phases| {
            let at = row % phases.tokens() * phases.half;
            (&phases.real[at..at + phases.half], &phases.imaginary[at..at + phases.half])
        })
    }
}

/// `out = x · phase` for every head, or `x · conj(phase)` where `SIGN` is -1.
#[inline(always)]
fn rotate<const SIGN: i8>(x: &[f32], (real, imaginary): (&[f32], &[f32]), out: &mut [f32]) {
    let head = 2 * real.len();
    for (x, out) in x.chunks_exact(head).zip(out.chunks_exact_mut(head)) {
        let pairs = x.chunks_exact(2).zip(out.chunks_exact_mut(2));
        for ((x, out), (re, im)) in pairs.zip(real.iter().zip(imaginary)) {
            let im = f32::from(SIGN) * im;
            out[0] = x[0].mul_add(*re, -(x[1] * im));
            out[1] = x[0].mul_add(im, x[1] * re);
        }
    }
}

impl CustomOp1 for Place {
    fn name(&self) -> &'static str {
        "place"
    }

    fn cpu_fwd(&self, pool: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (pool_rows, width) = layout.shape().dims2()?;
        let pool = floats(pool, layout)?;
        let rows = self.index.as_ref().map_or(pool_rows, |index| index.len());
        let mut out = vec![0.0; rows * width];
        out.par_chunks_mut(width).enumerate().for_each(|(row, out)| {
            let x = &pool[self.source(row) * width..][..width];
            match self.phases(row) {
                Some(phases) => vectorized(|| rotate::<1>(x, phases, out)),
                None => out.copy_from_slice(x),
            }
        });
        Ok(stored(out, (rows, width)))
    }

    fn bwd(&self, pool: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let width = pool.dims2()?.1;
        let gradient = gradient.contiguous()?;
        let mut to_pool = vec![0.0; pool.elem_count()];
        with_floats([&gradient], |[gradient]| {
            // In order of rows: two rows may come from one.
            let mut turned = vec![0.0; width];
            for (row, gradient) in gradient.chunks(width).enumerate() {
                let out = &mut to_pool[self.source(row) * width..][..width];
                vectorized(|| {
                    let gradient = match self.phases(row) {
                        Some(phases) => {
                            rotate::<-1>(gradient, phases, &mut turned);
                            &turned
                        }
                        None => gradient,
                    };
                    out.iter_mut().zip(gradient).for_each(|(out, g)| *out += g);
                });
            }
            Ok(())
        })?;
        Tensor::from_vec(to_pool, pool.shape(), pool.device()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::same_with_gradients;
    use super::*;

    #[test]
    fn equals_the_plain_one() {
        let half = 3;
        let real: Vec<f32> = (0..4 * 3_u8).map(|i| f32::from(i) / 7.0 - 0.8).collect();
        let imaginary = real.iter().rev().copied().collect();
        let phases = Arc::new(Phases { real, imaginary, half });
        let index: Arc<[u32]> = [3, 0, 3, 5, 1, 1, 2, 4].into();
        for index in [None, Some(&index)] {
            for phases in [None, Some(&phases)] {
                // Both forms work in f32; fused multiply-adds round once less.
                same_with_gradients(
                    &[&[8, 12]],
                    1e-6,
                    |t| place(&t[0], index, phases),
                    |t| plain_place(&t[0], index, phases),
                );
            }
        }
    }
}
