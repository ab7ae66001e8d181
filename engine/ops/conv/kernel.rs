//! Products of tiles with a panel of a filter, pair by pair as [`int16`](super::super::int16) multiplies matrices.

use super::super::int16::both;
#[cfg(target_arch = "x86_64")]
use super::super::int16::x86::{has_middle, has_wide};

/// Outputs of a panel: values of a 512-bit register.
pub(super) const LANES: usize = super::super::int16::RIGHT;

/// `out = tiles · filter`, each column times its scale. `ahead` is the filter to come after this one: it is fetched
/// meanwhile.
///
/// tiles: (tiles, channels), channels even; filter: (channel pairs, columns); out: (tiles, columns).
///
/// # Panics
/// When the lengths do not fit.
pub(super) fn multiply(
    tiles: &[i16],
    filter: &[u32],
    ahead: &[u32],
    scales: &[f32; LANES],
    out: &mut [f32],
) {
    let depth = filter.len() / LANES;
    assert_eq!(filter.len(), depth * LANES, "whole pairs");
    assert_eq!(filter.len(), ahead.len(), "filters of as many pairs");
    assert_eq!(tiles.len() * LANES, out.len() * 2 * depth, "a place for every product");
    let (out, rest) = out.as_chunks_mut();
    assert!(rest.is_empty(), "whole tiles");
    #[cfg(target_arch = "x86_64")]
    {
        #[expect(unsafe_code, reason = "vpdpwssd has no safe form")]
        if has_wide() {
            // SAFETY: the CPU has what is asked for, and the assertions above are the contract of lengths.
            return unsafe { x86::wide(tiles, [filter, ahead], scales, out) };
        }
        #[expect(unsafe_code, reason = "reads through pointers")]
        if has_middle() {
            // SAFETY: as above.
            return unsafe { x86::middle(tiles, [filter, ahead], scales, out) };
        }
    }
    plain(tiles, filter, scales, out);
}

/// The products without any instructions of their own.
fn plain(tiles: &[i16], filter: &[u32], scales: &[f32; LANES], out: &mut [[f32; LANES]]) {
    let filter = filter.as_chunks::<LANES>().0;
    for (tile, out) in tiles.chunks_exact(2 * filter.len()).zip(out) {
        let mut sums = [0_i32; LANES];
        for (tile, filter) in tile.as_chunks::<2>().0.iter().zip(filter) {
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
    use super::super::super::int16::x86::{middle_sums, wide_sums};
    use super::LANES;
    use std::arch::x86_64::{
        _mm256_cvtepi32_ps, _mm256_loadu_ps, _mm256_mul_ps, _mm256_storeu_ps, _mm512_cvtepi32_ps,
        _mm512_loadu_ps, _mm512_mul_ps, _mm512_storeu_ps,
    };

    /// By parts of 6 tiles, whose sums stay in registers.
    ///
    /// # Safety
    /// The CPU has AVX2, and the lengths are as [`multiply`](super::multiply) asserts.
    #[expect(unsafe_code, reason = "reads through pointers")]
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn middle(
        tiles: &[i16],
        filters: [&[u32]; 2],
        scales: &[f32; LANES],
        out: &mut [[f32; LANES]],
    ) {
        // SAFETY: the contract is the same.
        in_parts([6, 2, 1], tiles, out, |tiles, out| unsafe {
            match out.len() {
                1 => middle_part::<1>(tiles, filters, scales, out),
                2 => middle_part::<2>(tiles, filters, scales, out),
                _ => middle_part::<6>(tiles, filters, scales, out),
            }
        });
    }

    /// Hands tiles to `multiply` in parts of these numbers of them, the largest first; the last number is 1.
    #[inline(always)]
    fn in_parts(
        parts: [usize; 3],
        mut tiles: &[i16],
        mut out: &mut [[f32; LANES]],
        multiply: impl Fn(&[i16], &mut [[f32; LANES]]),
    ) {
        let tile = tiles.len() / out.len().max(1);
        for part in parts {
            while out.len() >= part {
                let (now, later) = out.split_at_mut(part);
                multiply(tiles, now);
                (tiles, out) = (&tiles[part * tile..], later);
            }
        }
    }

    /// The first `TILES` tiles of at least so many.
    ///
    /// # Safety
    /// As [`middle`].
    #[expect(unsafe_code, reason = "reads through pointers")]
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn middle_part<const TILES: usize>(
        tiles: &[i16],
        [filter, ahead]: [&[u32]; 2],
        scales: &[f32; LANES],
        out: &mut [[f32; LANES]],
    ) {
        let tiles = &tiles[..TILES * 2 * filter.len() / LANES];
        let tiles = (tiles.as_ptr().cast(), filter.len() / LANES);
        // SAFETY: two values of a tile are a pair, and each tile has as many as the filter.
        let sums = unsafe { middle_sums::<TILES>(tiles, filter, ahead) };
        let scales = scales.as_chunks::<8>().0;
        for (sums, out) in sums.iter().zip(out) {
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

    /// By parts of 12 tiles, whose sums stay in registers.
    ///
    /// # Safety
    /// The CPU has AVX-512 F and VNNI, and the lengths are as [`multiply`](super::multiply) asserts.
    #[expect(unsafe_code, reason = "vpdpwssd has no safe form")]
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) unsafe fn wide(
        tiles: &[i16],
        filters: [&[u32]; 2],
        scales: &[f32; LANES],
        out: &mut [[f32; LANES]],
    ) {
        // SAFETY: the contract is the same.
        in_parts([12, 4, 1], tiles, out, |tiles, out| unsafe {
            match out.len() {
                1 => wide_part::<1>(tiles, filters, scales, out),
                4 => wide_part::<4>(tiles, filters, scales, out),
                _ => wide_part::<12>(tiles, filters, scales, out),
            }
        });
    }

    /// The first `TILES` tiles of at least so many.
    ///
    /// # Safety
    /// As [`wide`].
    #[expect(unsafe_code, reason = "vpdpwssd has no safe form")]
    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    unsafe fn wide_part<const TILES: usize>(
        tiles: &[i16],
        [filter, ahead]: [&[u32]; 2],
        scales: &[f32; LANES],
        out: &mut [[f32; LANES]],
    ) {
        let tiles = &tiles[..TILES * 2 * filter.len() / LANES];
        let tiles = (tiles.as_ptr().cast(), filter.len() / LANES);
        // SAFETY: two values of a tile are a pair, and each tile has as many as the filter.
        let sums = unsafe { wide_sums::<TILES, 1>(tiles, [filter], [ahead]) };
        for (&[sum], out) in sums.iter().zip(out) {
            // SAFETY: sixteen values each.
            unsafe {
                let scale = _mm512_loadu_ps(scales.as_ptr());
                let product = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale);
                _mm512_storeu_ps(out.as_mut_ptr(), product);
            }
        }
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
        for tiles in [1, 5, 6, 33] {
            let value = |at: usize, step: f32| f32::from(u16::try_from(at).unwrap()) * step;
            let left: Vec<i16> = (0..tiles * 2 * DEPTH)
                .map(|at| {
                    #[expect(clippy::cast_possible_truncation, reason = "at most 9000")]
                    let value = (9e3 * value(at, 0.37).sin()) as i16;
                    value
                })
                .collect();
            let right: Vec<u32> = (0..DEPTH * LANES)
                .map(|at| pair([value(at, 0.73).sin(), value(at, 0.71).cos()], 6e3))
                .collect();
            let scales = std::array::from_fn(|at| value(at + 1, 1e-6));
            let mut want = vec![[0.0; LANES]; tiles];
            plain(&left, &right, &scales, &mut want);
            let mut got = vec![[9.0; LANES]; tiles];
            multiply(&left, &right, &right, &scales, got.as_flattened_mut());
            assert_eq!(got, want);
            assert!(want[0][0] != 0.0, "something is summed");
            #[cfg(target_arch = "x86_64")]
            if has_middle() {
                got.fill([9.0; LANES]);
                // SAFETY: the CPU has what is asked for, the lengths are those asked for.
                #[expect(unsafe_code, reason = "features are found when the program runs")]
                unsafe {
                    x86::middle(&left, [&right, &right], &scales, &mut got);
                }
                assert_eq!(got, want);
            }
        }
    }
}
