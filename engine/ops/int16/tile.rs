//! The innermost product: a few rows by 16 columns, summed in registers.

use super::{LEFT, RIGHT};

/// Where a tile's product is added: `out[row * width + column]`, for `scales[0].len()` rows and [`RIGHT`] columns.
pub(super) struct Target<'a> {
    pub(super) out: &'a mut [f32],
    pub(super) width: usize,
    /// Of the rows.
    pub(super) left: &'a [f32],
    /// Of the columns.
    pub(super) right: &'a [f32; RIGHT],
}

impl Target<'_> {
    /// Whether every row and column has its place.
    fn is_whole(&self) -> bool {
        let rows = self.left.len();
        (1..=LEFT).contains(&rows)
            && self.width >= RIGHT
            && self.out.len() >= (rows - 1) * self.width + RIGHT
    }

    /// Adds the sums of a row.
    #[inline(always)]
    fn add(&mut self, row: usize, sums: &[i32; RIGHT]) {
        let (left, out) = (self.left[row], &mut self.out[row * self.width..][..RIGHT]);
        for ((out, &sum), &right) in out.iter_mut().zip(sums).zip(self.right) {
            #[expect(clippy::cast_precision_loss, reason = "more than 24 bits are rounded")]
            let sum = sum as f32;
            *out += sum * (left * right);
        }
    }
}

/// Adds the product of a left panel, (row, pair), and a right panel, (pair, column), over the same pairs. `ahead` is the right panel to come after
/// this one: it is fetched meanwhile, for the caches fetch nothing on their own from so far ahead.
///
/// # Panics
/// When the panels do not fit, or `target` has no place for all of it.
pub(super) fn add_product(left: &[u32], right: &[u32], ahead: &[u32], target: &mut Target<'_>) {
    assert_eq!(left.len() * RIGHT, right.len() * LEFT, "panels over the same pairs");
    assert_eq!(right.len(), ahead.len(), "panels over as many pairs");
    assert!(target.is_whole(), "a place for every sum");
    #[cfg(target_arch = "x86_64")]
    {
        #[expect(unsafe_code, reason = "vpdpwssd has no safe form")]
        if x86::has_wide() {
            // SAFETY: the CPU has what is asked for, and the assertions above are the contract of lengths.
            return unsafe {
                // One row is a condition, up to four a coarse group: no need to multiply twelve.
                match target.left.len() {
                    1 => x86::add_wide::<1>(left, right, ahead, target),
                    2..=4 => x86::add_wide::<4>(left, right, ahead, target),
                    _ => x86::add_wide::<LEFT>(left, right, ahead, target),
                }
            };
        }
        #[expect(unsafe_code, reason = "reads through pointers")]
        if x86::has_middle() {
            // SAFETY: as above.
            return unsafe { x86::add_middle(left, right, ahead, target) };
        }
    }
    add_plain(left, right, target);
}

/// The same without any instructions of its own.
pub(super) fn add_plain(left: &[u32], right: &[u32], target: &mut Target<'_>) {
    let (right, _) = right.as_chunks::<RIGHT>();
    for (row, left) in left.chunks_exact(right.len()).enumerate().take(target.left.len()) {
        let mut sums = [0_i32; RIGHT];
        for (&left, right) in left.iter().zip(right) {
            let [a, b] = both(left);
            for (sum, &right) in sums.iter_mut().zip(right) {
                let [c, d] = both(right);
                *sum += a * c + b * d;
            }
        }
        target.add(row, &sums);
    }
}

/// The integers of a pair.
#[inline(always)]
pub(in super::super) fn both(pair: u32) -> [i32; 2] {
    let pair = pair.cast_signed();
    [pair << 16 >> 16, pair >> 16]
}

#[cfg(target_arch = "x86_64")]
pub(in super::super) mod x86 {
    use super::{LEFT, RIGHT, Target};
    use std::arch::x86_64::{
        __m256i, __m512i, _MM_HINT_T0, _mm_prefetch, _mm256_add_epi32, _mm256_add_ps,
        _mm256_cvtepi32_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_mul_ps,
        _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_si256, _mm256_storeu_ps, _mm512_add_ps,
        _mm512_cvtepi32_ps, _mm512_dpwssd_epi32, _mm512_loadu_ps, _mm512_loadu_si512,
        _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_si512, _mm512_storeu_ps,
    };

    /// Whether this CPU multiplies and adds 32 pairs in one instruction.
    #[inline(always)]
    pub(in super::super::super) fn has_wide() -> bool {
        is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni")
    }

    /// Whether this CPU multiplies eight pairs in one instruction.
    #[inline(always)]
    pub(in super::super::super) fn has_middle() -> bool {
        is_x86_feature_detected!("avx2")
    }

    /// Sums of `ROWS` rows by the columns of a right panel, in registers, while `ahead` is fetched.
    ///
    /// # Safety
    /// The CPU has AVX2, `left` leads to `ROWS` rows of `right.len() / RIGHT` pairs, and `ahead` is as long as `right`.
    #[expect(unsafe_code, reason = "reads through pointers")]
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in super::super::super) unsafe fn middle_sums<const ROWS: usize>(
        left: *const u32,
        right: &[u32],
        ahead: &[u32],
    ) -> [[__m256i; 2]; ROWS] {
        let pairs = right.len() / RIGHT;
        let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
        let (mut a, mut b, mut c) = (left, right.as_ptr(), ahead.as_ptr());
        for _ in 0..pairs {
            // SAFETY: for each pair, the bound of the loop, there is one in each row, and RIGHT columns.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(c.cast());
                let columns = [0, 8].map(|at| _mm256_loadu_si256(b.add(at).cast::<__m256i>()));
                for (row, sums) in sums.iter_mut().enumerate() {
                    let pair = a.add(row * pairs).read_unaligned();
                    let pair = _mm256_set1_epi32(pair.cast_signed());
                    for (sum, column) in sums.iter_mut().zip(columns) {
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pair, column));
                    }
                }
            }
            (a, b, c) = (a.wrapping_add(1), b.wrapping_add(RIGHT), c.wrapping_add(RIGHT));
        }
        sums
    }

    /// Sums of `ROWS` rows by the columns of a right panel, in registers, while `ahead` is fetched.
    ///
    /// # Safety
    /// The CPU has AVX-512 F and VNNI; the rest is as for [`middle_sums`].
    #[expect(unsafe_code, reason = "vpdpwssd has no safe form")]
    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(in super::super::super) unsafe fn wide_sums<const ROWS: usize>(
        left: *const u32,
        right: &[u32],
        ahead: &[u32],
    ) -> [__m512i; ROWS] {
        let pairs = right.len() / RIGHT;
        let mut sums = [_mm512_setzero_si512(); ROWS];
        let (mut a, mut b, mut c) = (left, right.as_ptr(), ahead.as_ptr());
        for _ in 0..pairs {
            // SAFETY: for each pair, the bound of the loop, there is one in each row, and RIGHT columns.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(c.cast());
                let columns = _mm512_loadu_si512(b.cast());
                for (row, sum) in sums.iter_mut().enumerate() {
                    let pair = a.add(row * pairs).read_unaligned();
                    *sum =
                        _mm512_dpwssd_epi32(*sum, _mm512_set1_epi32(pair.cast_signed()), columns);
                }
            }
            (a, b, c) = (a.wrapping_add(1), b.wrapping_add(RIGHT), c.wrapping_add(RIGHT));
        }
        sums
    }

    /// By parts of 6 rows, whose sums stay in registers.
    ///
    /// # Safety
    /// The CPU has AVX2, `left.len() / LEFT == right.len() / RIGHT`, `ahead` is as long as `right`, and `target` is whole.
    #[expect(unsafe_code, reason = "reads through pointers")]
    #[target_feature(enable = "avx2")]
    pub(in super::super) unsafe fn add_middle(
        left: &[u32],
        right: &[u32],
        ahead: &[u32],
        target: &mut Target<'_>,
    ) {
        let rows = target.left.len();
        // SAFETY: the contract is the same.
        unsafe {
            match rows {
                1 => add_part::<1>(left, right, ahead, 0, target),
                _ => add_part::<6>(left, right, ahead, 0, target),
            }
            if rows > 6 {
                add_part::<6>(left, right, ahead, 6, target);
            }
        }
    }

    /// `ROWS` rows from `first`, as far as there are so many.
    ///
    /// # Safety
    /// As [`add_middle`].
    #[expect(unsafe_code, reason = "reads through pointers")]
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add_part<const ROWS: usize>(
        left: &[u32],
        right: &[u32],
        ahead: &[u32],
        first: usize,
        target: &mut Target<'_>,
    ) {
        assert!(first + ROWS <= LEFT, "a part of a tile");
        let pairs = right.len() / RIGHT;
        // SAFETY: the left panel has LEFT rows of so many pairs.
        let sums = unsafe { middle_sums::<ROWS>(left[first * pairs..].as_ptr(), right, ahead) };
        let right = target.right.as_chunks::<8>().0;
        for (row, sums) in (first..target.left.len()).zip(&sums) {
            let left = _mm256_set1_ps(target.left[row]);
            let out = &mut target.out[row * target.width..][..RIGHT];
            for ((sum, right), out) in sums.iter().zip(right).zip(out.as_chunks_mut::<8>().0) {
                // SAFETY: eight values each.
                unsafe {
                    let scale = _mm256_mul_ps(left, _mm256_loadu_ps(right.as_ptr()));
                    let term = _mm256_mul_ps(_mm256_cvtepi32_ps(*sum), scale);
                    let sum = _mm256_add_ps(_mm256_loadu_ps(out.as_ptr()), term);
                    _mm256_storeu_ps(out.as_mut_ptr(), sum);
                }
            }
        }
    }

    /// At most `ROWS` rows, whose sums stay in registers.
    ///
    /// # Safety
    /// The CPU has AVX-512 F and VNNI, `left.len() / LEFT == right.len() / RIGHT`, `ahead` is as long as `right`, and
    /// `target` is whole.
    #[expect(unsafe_code, reason = "vpdpwssd has no safe form")]
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) unsafe fn add_wide<const ROWS: usize>(
        left: &[u32],
        right: &[u32],
        ahead: &[u32],
        target: &mut Target<'_>,
    ) {
        const { assert!(ROWS <= LEFT) };
        // SAFETY: the left panel has LEFT rows of as many pairs as the right one.
        let sums = unsafe { wide_sums::<ROWS>(left.as_ptr(), right, ahead) };
        for ((row, &left), &sum) in target.left.iter().enumerate().zip(&sums) {
            let out = &mut target.out[row * target.width..][..RIGHT];
            // SAFETY: sixteen values each.
            unsafe {
                let right = _mm512_loadu_ps(target.right.as_ptr());
                let scale = _mm512_mul_ps(_mm512_set1_ps(left), right);
                let term = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale);
                let sum = _mm512_add_ps(_mm512_loadu_ps(out.as_ptr()), term);
                _mm512_storeu_ps(out.as_mut_ptr(), sum);
            }
        }
    }
}
