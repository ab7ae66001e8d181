//! The innermost product: a few rows by 32 columns, summed in registers.

use super::super::wide::has_fused_multiply_add;
use super::{LEFT, RIGHT, in_hardware};

/// Product of the first `rows` rows of a left panel and a right panel over the same pairs.
pub(super) fn tile_product(left: &[u32], right: &[u32], rows: usize) -> [[f32; RIGHT]; LEFT] {
    assert_eq!(left.len() * RIGHT, right.len() * LEFT, "panels over the same pairs");
    #[cfg(target_arch = "x86_64")]
    if in_hardware() {
        // SAFETY: the CPU has what is asked for, and the assertion above is the contract of lengths.
        #[expect(unsafe_code, reason = "vdpbf16ps has no safe form")]
        return unsafe {
            // One row is a condition, up to four a coarse group: no need to multiply twelve.
            match rows {
                1 => x86::tile::<1>(left, right),
                2..=4 => x86::tile::<4>(left, right),
                _ => x86::tile::<LEFT>(left, right),
            }
        };
    }
    #[cfg(target_arch = "x86_64")]
    {
        assert!(has_fused_multiply_add(), "products of pairs need AVX2 and FMA");
        // SAFETY: the CPU has what is asked for, and the assertion above is the contract of lengths.
        #[expect(unsafe_code, reason = "reads through pointers")]
        return unsafe { x86::widened_tile(left, right, rows) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    unreachable!("asked for only where it is available")
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    use super::{LEFT, RIGHT};
    use std::arch::x86_64::{
        __m256, __m256i, __m512bh, __m512i, _mm256_and_si256, _mm256_castsi256_ps, _mm256_fmadd_ps,
        _mm256_loadu_si256, _mm256_set1_epi32, _mm256_setzero_ps, _mm256_slli_epi32,
        _mm256_storeu_ps, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_set1_epi32,
        _mm512_setzero_ps, _mm512_storeu_ps,
    };

    /// Both numbers of eight pairs.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn widened(pairs: __m256i) -> [__m256; 2] {
        let high = _mm256_set1_epi32(0xffff_0000_u32.cast_signed());
        [
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(pairs)),
            _mm256_castsi256_ps(_mm256_and_si256(pairs, high)),
        ]
    }

    /// The product in f32: parts of 4 rows and 16 columns, whose sums stay in registers.
    ///
    /// # Safety
    /// The CPU has AVX2 and FMA, and `left.len() / LEFT == right.len() / RIGHT`.
    #[expect(unsafe_code, reason = "reads through pointers")]
    #[target_feature(enable = "avx2,fma")]
    pub(crate) unsafe fn widened_tile(
        left: &[u32],
        right: &[u32],
        rows: usize,
    ) -> [[f32; RIGHT]; LEFT] {
        const ROWS: usize = 4;
        let mut out = [[0.0; RIGHT]; LEFT];
        for row in (0..rows.min(LEFT)).step_by(ROWS) {
            for column in (0..RIGHT).step_by(16) {
                let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
                let (mut a, mut b) = (left.as_ptr(), right.as_ptr());
                for _ in 0..right.len() / RIGHT {
                    // SAFETY: both slices hold LEFT and RIGHT values for each pair, the bound of the loop.
                    unsafe {
                        let first = widened(_mm256_loadu_si256(b.add(column).cast()));
                        let second = widened(_mm256_loadu_si256(b.add(column + 8).cast()));
                        for (at, sums) in sums.iter_mut().enumerate() {
                            let pair = _mm256_set1_epi32((*a.add(row + at)).cast_signed());
                            for (half, value) in widened(pair).into_iter().enumerate() {
                                sums[0] = _mm256_fmadd_ps(value, first[half], sums[0]);
                                sums[1] = _mm256_fmadd_ps(value, second[half], sums[1]);
                            }
                        }
                        a = a.add(LEFT);
                        b = b.add(RIGHT);
                    }
                }
                for (at, sums) in sums.iter().enumerate() {
                    let out = out[row + at][column..][..16].as_mut_ptr();
                    // SAFETY: there is room for two vectors of 8.
                    unsafe {
                        _mm256_storeu_ps(out, sums[0]);
                        _mm256_storeu_ps(out.add(8), sums[1]);
                    }
                }
            }
        }
        out
    }

    /// The product's first `ROWS` rows, at most [`LEFT`].
    ///
    /// # Safety
    /// The CPU has AVX-512 F, BW, VL and BF16, and `left.len() / LEFT == right.len() / RIGHT`.
    #[expect(unsafe_code, reason = "vdpbf16ps has no safe form")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub(super) unsafe fn tile<const ROWS: usize>(
        left: &[u32],
        right: &[u32],
    ) -> [[f32; RIGHT]; LEFT] {
        const { assert!(ROWS <= LEFT) };
        let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
        let (mut a, mut b) = (left.as_ptr(), right.as_ptr());
        for _ in 0..right.len() / RIGHT {
            // SAFETY: both slices hold LEFT and RIGHT values for each pair, the bound of the loop;
            // vectors of the same width are reinterpreted.
            unsafe {
                let first: __m512bh = transmute(_mm512_loadu_si512(b.cast()));
                let second: __m512bh = transmute(_mm512_loadu_si512(b.add(16).cast()));
                for (row, sums) in sums.iter_mut().enumerate() {
                    let pair = transmute(_mm512_set1_epi32((*a.add(row)).cast_signed()));
                    sums[0] = _mm512_dpbf16_ps(sums[0], pair, first);
                    sums[1] = _mm512_dpbf16_ps(sums[1], pair, second);
                }
                a = a.add(LEFT);
                b = b.add(RIGHT);
            }
        }
        let mut out = [[0.0; RIGHT]; LEFT];
        for (out, sums) in out.iter_mut().zip(&sums) {
            // SAFETY: each row has room for two vectors of 16.
            unsafe {
                _mm512_storeu_ps(out.as_mut_ptr(), sums[0]);
                _mm512_storeu_ps(out.as_mut_ptr().add(16), sums[1]);
            }
        }
        out
    }

    /// # Safety
    /// Any 512 bits are a valid vector of bf16.
    #[expect(unsafe_code, reason = "the intrinsics have no cast from integer vectors")]
    #[inline(always)]
    unsafe fn transmute(bits: __m512i) -> __m512bh {
        // SAFETY: same size, every bit pattern valid.
        unsafe { std::mem::transmute(bits) }
    }
}
