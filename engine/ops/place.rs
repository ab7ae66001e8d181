//! Rotary phases (RoPE), and placing gathered rows by them.

use super::{cuda, gather};
use candle_core::{D, DType, Result, Tensor};
use std::sync::Arc;

/// Pairs of numbers that are rotated at a time: they fill a register of 512 bits.
const RUN: usize = 8;

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

    /// The phases of one token: real and imaginary parts.
    pub(crate) fn token(&self, token: usize) -> (&[f32], &[f32]) {
        let range = token * self.half..(token + 1) * self.half;
        (&self.real[range.clone()], &self.imaginary[range])
    }

    /// `tokens` that are not rotated at all.
    pub fn none(half: usize, tokens: usize) -> Self {
        Self { real: vec![1.0; tokens * half], imaginary: vec![0.0; tokens * half], half }
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

/// Rows `index` of `pool`, each head rotated by the phases of its place (RoPE).
///
/// pool: (P, N · head). Row i of the result has the phases of token `i % phases.tokens()`.
pub fn place(pool: &Tensor, index: &Arc<[u32]>, phases: &Arc<Phases>) -> Result<Tensor> {
    if cuda::places(pool) {
        return cuda::place(pool, index, phases);
    }
    plain_place(pool, index, phases)
}

pub(super) fn plain_place(
    pool: &Tensor,
    index: &Arc<[u32]>,
    phases: &Arc<Phases>,
) -> Result<Tensor> {
    let rows = gather(pool, index)?.to_dtype(DType::F32)?;
    let (count, width) = rows.dims2()?;
    let (tokens, half) = (phases.tokens(), phases.half);
    let pairs = rows.reshape((count / tokens, tokens, width / (2 * half), half, 2))?;
    let (a, b) = (pairs.narrow(D::Minus1, 0, 1)?, pairs.narrow(D::Minus1, 1, 1)?);
    let [real, imaginary] = cuda::phases(phases, pool.device())?;
    let [real, imaginary] = [real, imaginary].map(|part| part.reshape((1, tokens, 1, half, 1)));
    let (real, imaginary) = (real?, imaginary?);
    let x = (a.broadcast_mul(&real)? - b.broadcast_mul(&imaginary)?)?;
    let y = (a.broadcast_mul(&imaginary)? + b.broadcast_mul(&real)?)?;
    Tensor::cat(&[x, y], D::Minus1)?.reshape((count, width))?.to_dtype(pool.dtype())
}

/// `out = x · phase` for every head, or `x · conj(phase)` where `SIGN` is -1.
#[inline(always)]
pub(super) fn rotate<const SIGN: i8>(
    x: &[f32],
    (real, imaginary): (&[f32], &[f32]),
    out: &mut [f32],
) {
    let head = 2 * real.len();
    let sign = f32::from(SIGN);
    let (runs, rest) = real.as_chunks::<RUN>();
    let (imaginary_runs, rest_imaginary) = imaginary.as_chunks::<RUN>();
    // Heads in the inner loop: what they are all multiplied by stays in registers.
    for (run, (re, im)) in runs.iter().zip(imaginary_runs).enumerate() {
        // What the real parts of all numbers are multiplied by, and the imaginary ones, both for each part of the product.
        let (mut of_real, mut of_imaginary) = ([0.0; 2 * RUN], [0.0; 2 * RUN]);
        for i in 0..RUN {
            let im = sign * im[i];
            (of_real[2 * i], of_real[2 * i + 1]) = (re[i], im);
            (of_imaginary[2 * i], of_imaginary[2 * i + 1]) = (-im, re[i]);
        }
        for (x, out) in x.chunks_exact(head).zip(out.chunks_exact_mut(head)) {
            let (x, out) = (&x[2 * RUN * run..], &mut out[2 * RUN * run..]);
            let (Some(&x), Some(out)) = (x.first_chunk(), out.first_chunk_mut()) else { continue };
            let x: [f32; 2 * RUN] = x;
            let mut turned = [0.0; 2 * RUN];
            for i in 0..2 * RUN {
                turned[i] = x[i & !1].mul_add(of_real[i], x[i | 1] * of_imaginary[i]);
            }
            *out = turned;
        }
    }
    let done = 2 * RUN * runs.len();
    for (x, out) in x.chunks_exact(head).zip(out.chunks_exact_mut(head)) {
        let pairs = x[done..].chunks_exact(2).zip(out[done..].chunks_exact_mut(2));
        for ((x, out), (re, im)) in pairs.zip(rest.iter().zip(rest_imaginary)) {
            let im = sign * im;
            out[0] = x[0].mul_add(*re, -(x[1] * im));
            out[1] = x[0].mul_add(im, x[1] * re);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_every_head_is_rotated_by_its_own_phase() {
        // Two heads of 20 pairs: two runs and what is left.
        let half = 2 * RUN + 4;
        let value = |at: usize, by: f32| (at as f32 * by).sin();
        let [real, imaginary]: [Vec<f32>; 2] =
            [0.37, 0.59].map(|by| (0..half).map(|at| value(at, by)).collect());
        let x: Vec<f32> = (0..4 * half).map(|at| value(at, 0.83)).collect();
        let mut turned = vec![0.0; x.len()];
        rotate::<1>(&x, (&real, &imaginary), &mut turned);
        for (at, (x, turned)) in x.chunks(2).zip(turned.chunks(2)).enumerate() {
            let (re, im) = (real[at % half], imaginary[at % half]);
            assert_eq!(turned, [x[0].mul_add(re, -(x[1] * im)), x[0].mul_add(im, x[1] * re)]);
        }
    }

    #[test]
    fn rotation_and_its_inverse_scale_by_the_squared_modulus() {
        let real = [0.6, 0.3];
        let imaginary = [0.8, -0.4];
        let x = [1.0, 2.0, -3.0, 0.5];
        let (mut turned, mut back) = ([0.0; 4], [0.0; 4]);
        rotate::<1>(&x, (&real, &imaginary), &mut turned);
        rotate::<-1>(&turned, (&real, &imaginary), &mut back);
        for (i, (x, back)) in x.iter().zip(&back).enumerate() {
            let modulus = if i < 2 { 1.0 } else { 0.25 };
            assert!((x * modulus - back).abs() < 1e-6);
        }
    }
}
