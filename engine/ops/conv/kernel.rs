//! Products of tiles with a panel of a filter, pair by pair as [`int16`](super::super::int16) multiplies matrices.

use super::super::int16::both;
#[cfg(target_arch = "x86_64")]
use super::super::int16::x86::{has_middle, has_wide};

/// Values of a 512-bit register.
pub(super) const LANES: usize = 16;
/// Outputs of a panel: two registers.
pub(super) const PANEL: usize = 2 * LANES;

/// `out = tiles · filter`, each column times its scale.
///
/// tiles: (tiles, channels), channels even; filter: (channel pairs, columns), of 16 or 32 columns; out: (tiles, columns).
///
/// # Panics
/// When the lengths do not fit.
pub(super) fn multiply(tiles: &[i16], filter: &[u32], scales: &[f32], out: &mut [f32]) {
    let columns = scales.len();
    assert!(columns == LANES || columns == PANEL, "a panel of the filter");
    let depth = filter.len() / columns;
    assert_eq!(filter.len(), depth * columns, "whole pairs");
    assert_eq!(tiles.len() * columns, out.len() * 2 * depth, "a place for every product");
    assert_eq!(out.len() % columns, 0, "whole tiles");
    #[cfg(target_arch = "x86_64")]
    {
        #[expect(unsafe_code, reason = "vpdpwssd has no safe form")]
        if has_wide() {
            // SAFETY: the CPU has what is asked for, and the assertions above are the contract of lengths.
            return unsafe { x86::wide(tiles, filter, scales, out) };
        }
        #[expect(unsafe_code, reason = "reads through pointers")]
        if has_middle() {
            // SAFETY: as above.
            return unsafe { x86::middle(tiles, filter, scales, out) };
        }
    }
    plain(tiles, filter, scales, out);
}

/// The products without any instructions of their own.
fn plain(tiles: &[i16], filter: &[u32], scales: &[f32], out: &mut [f32]) {
    let columns = scales.len();
    let depth = filter.len() / columns;
    for (tile, out) in tiles.chunks_exact(2 * depth).zip(out.chunks_exact_mut(columns)) {
        let mut sums = [0_i32; PANEL];
        for (tile, filter) in tile.as_chunks::<2>().0.iter().zip(filter.chunks_exact(columns)) {
            let [a, b] = tile.map(i32::from);
            for (sum, &filter) in sums.iter_mut().zip(filter) {
                let [c, d] = both(filter);
                *sum += a * c + b * d;
            }
        }
        for ((out, sum), scale) in out.iter_mut().zip(sums).zip(scales) {
            #[expect(clippy::cast_precision_loss, reason = "more than 24 bits are rounded")]
            let sum = sum as f32;
            *out = sum * scale;
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::LANES;
    use std::arch::x86_64::{
        _mm256_add_epi32, _mm256_cvtepi32_ps, _mm256_loadu_ps, _mm256_loadu_si256,
        _mm256_madd_epi16, _mm256_mul_ps, _mm256_set1_epi32, _mm256_setzero_si256,
        _mm256_storeu_ps, _mm512_cvtepi32_ps, _mm512_dpwssd_epi32, _mm512_loadu_ps,
        _mm512_loadu_si512, _mm512_mul_ps, _mm512_set1_epi32, _mm512_setzero_si512,
        _mm512_storeu_ps,
    };

    /// By parts of 6 tiles and 16 columns, whose sums stay in registers.
    ///
    /// # Safety
    /// The CPU has AVX2, and the lengths are as [`multiply`](super::multiply) asserts.
    #[expect(unsafe_code, reason = "reads through pointers")]
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn middle(tiles: &[i16], filter: &[u32], scales: &[f32], out: &mut [f32]) {
        let (columns, mut done) = (scales.len(), 0);
        let tile = 2 * filter.len() / columns;
        while done * columns < out.len() {
            let (tiles, out) = (&tiles[done * tile..], &mut out[done * columns..]);
            // SAFETY: the contract is the same.
            done += unsafe {
                match out.len() / columns {
                    1 => middle_part::<1>(tiles, filter, scales, out),
                    2..=5 => middle_part::<2>(tiles, filter, scales, out),
                    _ => middle_part::<6>(tiles, filter, scales, out),
                }
            };
        }
    }

    /// The first `TILES` tiles of at least so many; answers their number.
    ///
    /// # Safety
    /// As [`middle`].
    #[expect(unsafe_code, reason = "reads through pointers")]
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn middle_part<const TILES: usize>(
        tiles: &[i16],
        filter: &[u32],
        scales: &[f32],
        out: &mut [f32],
    ) -> usize {
        let columns = scales.len();
        let depth = filter.len() / columns;
        let tiles = &tiles[..TILES * 2 * depth];
        for column in (0..columns).step_by(LANES) {
            let mut sums = [[_mm256_setzero_si256(); 2]; TILES];
            let (mut a, mut b) = (tiles.as_ptr().cast::<i32>(), filter[column..].as_ptr());
            for _ in 0..depth {
                // SAFETY: each of the tiles has `depth` pairs, and each pair meets `columns` of the filter, 16 of
                // them from `column`.
                unsafe {
                    let filter = [0, 8].map(|at| _mm256_loadu_si256(b.add(at).cast()));
                    for (at, sums) in sums.iter_mut().enumerate() {
                        let pair = _mm256_set1_epi32(a.add(at * depth).read_unaligned());
                        for (sum, filter) in sums.iter_mut().zip(filter) {
                            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pair, filter));
                        }
                    }
                }
                a = a.wrapping_add(1);
                b = b.wrapping_add(columns);
            }
            let scales = scales[column..][..LANES].as_chunks::<8>().0;
            for (at, sums) in sums.iter().enumerate() {
                let out = &mut out[at * columns + column..][..LANES];
                for ((sum, scale), out) in sums.iter().zip(scales).zip(out.as_chunks_mut::<8>().0) {
                    // SAFETY: eight values each.
                    unsafe {
                        let scale = _mm256_loadu_ps(scale.as_ptr());
                        let product = _mm256_mul_ps(_mm256_cvtepi32_ps(*sum), scale);
                        _mm256_storeu_ps(out.as_mut_ptr(), product);
                    }
                }
            }
        }
        TILES
    }

    /// By parts of 12 tiles and all columns.
    ///
    /// # Safety
    /// The CPU has AVX-512 F and VNNI, and the lengths are as [`multiply`](super::multiply) asserts.
    #[expect(unsafe_code, reason = "vpdpwssd has no safe form")]
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) unsafe fn wide(tiles: &[i16], filter: &[u32], scales: &[f32], out: &mut [f32]) {
        let (columns, mut done) = (scales.len(), 0);
        let tile = 2 * filter.len() / columns;
        while done * columns < out.len() {
            let (tiles, out) = (&tiles[done * tile..], &mut out[done * columns..]);
            // SAFETY: the contract is the same; there are one or two vectors of 16 columns.
            done += unsafe {
                match (columns / LANES, out.len() / columns) {
                    (1, 12..) => wide_part::<12, 1>(tiles, filter, scales, out),
                    (1, 4..) => wide_part::<4, 1>(tiles, filter, scales, out),
                    (1, _) => wide_part::<1, 1>(tiles, filter, scales, out),
                    (_, 12..) => wide_part::<12, 2>(tiles, filter, scales, out),
                    (_, 4..) => wide_part::<4, 2>(tiles, filter, scales, out),
                    _ => wide_part::<1, 2>(tiles, filter, scales, out),
                }
            };
        }
    }

    /// The first `TILES` tiles of at least so many, by `VECTORS` of 16 columns; answers their number.
    ///
    /// # Safety
    /// As [`wide`]; `VECTORS` is that of the columns.
    #[expect(unsafe_code, reason = "vpdpwssd has no safe form")]
    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    unsafe fn wide_part<const TILES: usize, const VECTORS: usize>(
        tiles: &[i16],
        filter: &[u32],
        scales: &[f32],
        out: &mut [f32],
    ) -> usize {
        let columns = VECTORS * LANES;
        let depth = filter.len() / columns;
        let tiles = &tiles[..TILES * 2 * depth];
        let mut sums = [[_mm512_setzero_si512(); VECTORS]; TILES];
        let (mut a, mut b) = (tiles.as_ptr().cast::<i32>(), filter.as_ptr());
        for _ in 0..depth {
            // SAFETY: each of the tiles has `depth` pairs, and each pair meets VECTORS vectors of the filter.
            unsafe {
                let mut vectors = [_mm512_setzero_si512(); VECTORS];
                for (at, vector) in vectors.iter_mut().enumerate() {
                    *vector = _mm512_loadu_si512(b.add(at * LANES).cast());
                }
                for (at, sums) in sums.iter_mut().enumerate() {
                    let pair = _mm512_set1_epi32(a.add(at * depth).read_unaligned());
                    for (sum, vector) in sums.iter_mut().zip(vectors) {
                        *sum = _mm512_dpwssd_epi32(*sum, pair, vector);
                    }
                }
            }
            a = a.wrapping_add(1);
            b = b.wrapping_add(columns);
        }
        let scales = scales.as_chunks::<LANES>().0;
        for (sums, out) in sums.iter().zip(out.chunks_exact_mut(columns)) {
            let out = out.as_chunks_mut::<LANES>().0;
            for ((sum, scale), out) in sums.iter().zip(scales).zip(out) {
                // SAFETY: sixteen values each.
                unsafe {
                    let scale = _mm512_loadu_ps(scale.as_ptr());
                    let product = _mm512_mul_ps(_mm512_cvtepi32_ps(*sum), scale);
                    _mm512_storeu_ps(out.as_mut_ptr(), product);
                }
            }
        }
        TILES
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::int16::pair;
    use super::*;

    #[test]
    fn every_cpu_gives_the_same_bits() {
        const DEPTH: usize = 5;
        // Parts of every number of tiles.
        for (tiles, columns) in [(1, LANES), (5, PANEL), (6, LANES), (33, LANES), (33, PANEL)] {
            let value = |at: usize, step: f32| f32::from(u16::try_from(at).unwrap()) * step;
            let left: Vec<i16> = (0..tiles * 2 * DEPTH)
                .map(|at| {
                    #[expect(clippy::cast_possible_truncation, reason = "at most 9000")]
                    let value = (9e3 * value(at, 0.37).sin()) as i16;
                    value
                })
                .collect();
            let right: Vec<u32> = (0..DEPTH * columns)
                .map(|at| pair([value(at, 0.73).sin(), value(at, 0.71).cos()], 6e3))
                .collect();
            let scales: Vec<f32> = (1..=columns).map(|at| value(at, 1e-6)).collect();
            let mut want = vec![0.0; tiles * columns];
            plain(&left, &right, &scales, &mut want);
            let mut got = vec![9.0; want.len()];
            multiply(&left, &right, &scales, &mut got);
            assert_eq!(got, want);
            assert!(want[0] != 0.0, "something is summed");
            #[cfg(target_arch = "x86_64")]
            if has_middle() {
                got.fill(9.0);
                // SAFETY: the CPU has what is asked for, the lengths are those asked for.
                #[expect(unsafe_code, reason = "features are found when the program runs")]
                unsafe {
                    x86::middle(&left, &right, &scales, &mut got);
                }
                assert_eq!(got, want);
            }
        }
    }
}
