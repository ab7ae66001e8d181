//! The innermost product: a few rows by 32 columns, summed in registers.

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

/// Adds the product of a left panel and a right panel over the same pairs.
///
/// # Panics
/// When the panels do not fit, or `target` has no place for all of it.
pub(super) fn add_product(left: &[u32], right: &[u32], target: &mut Target<'_>) {
    assert_eq!(left.len() * RIGHT, right.len() * LEFT, "panels over the same pairs");
    assert!(target.is_whole(), "a place for every sum");
    #[cfg(target_arch = "x86_64")]
    {
        #[expect(unsafe_code, reason = "vpdpwssd has no safe form")]
        if x86::has_wide() {
            // SAFETY: the CPU has what is asked for, and the assertions above are the contract of lengths.
            return unsafe {
                // One row is a condition, up to four a coarse group: no need to multiply twelve.
                match target.left.len() {
                    1 => x86::add_wide::<1>(left, right, target),
                    2..=4 => x86::add_wide::<4>(left, right, target),
                    _ => x86::add_wide::<LEFT>(left, right, target),
                }
            };
        }
        #[expect(unsafe_code, reason = "reads through pointers")]
        if x86::has_middle() {
            // SAFETY: as above.
            return unsafe { x86::add_middle(left, right, target) };
        }
    }
    add_plain(left, right, target);
}

/// The same without any instructions of its own.
pub(super) fn add_plain(left: &[u32], right: &[u32], target: &mut Target<'_>) {
    let ((left, _), (right, _)) = (left.as_chunks::<LEFT>(), right.as_chunks::<RIGHT>());
    for row in 0..target.left.len() {
        let mut sums = [0_i32; RIGHT];
        for (left, right) in left.iter().zip(right) {
            let [a, b] = both(left[row]);
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
        __m256i, _mm256_add_epi32, _mm256_add_ps, _mm256_cvtepi32_ps, _mm256_loadu_ps,
        _mm256_loadu_si256, _mm256_madd_epi16, _mm256_mul_ps, _mm256_set1_epi32, _mm256_set1_ps,
        _mm256_setzero_si256, _mm256_storeu_ps, _mm512_add_ps, _mm512_cvtepi32_ps,
        _mm512_dpwssd_epi32, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mul_ps, _mm512_set1_epi32,
        _mm512_set1_ps, _mm512_setzero_si512, _mm512_storeu_ps,
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

    /// By parts of 6 rows and 16 columns, whose sums stay in registers.
    ///
    /// # Safety
    /// The CPU has AVX2, `left.len() / LEFT == right.len() / RIGHT`, and `target` is whole.
    #[expect(unsafe_code, reason = "reads through pointers")]
    #[target_feature(enable = "avx2")]
    pub(in super::super) unsafe fn add_middle(
        left: &[u32],
        right: &[u32],
        target: &mut Target<'_>,
    ) {
        let rows = target.left.len();
        // SAFETY: the contract is the same.
        unsafe {
            for column in (0..RIGHT).step_by(16) {
                match rows {
                    1 => add_part::<1>(left, right, [0, column], target),
                    _ => add_part::<6>(left, right, [0, column], target),
                }
                if rows > 6 {
                    add_part::<6>(left, right, [6, column], target);
                }
            }
        }
    }

    /// `ROWS` rows from `first`, as far as there are so many, and 16 columns from `column`.
    ///
    /// # Safety
    /// As [`add_middle`].
    #[expect(unsafe_code, reason = "reads through pointers")]
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add_part<const ROWS: usize>(
        left: &[u32],
        right: &[u32],
        [first, column]: [usize; 2],
        target: &mut Target<'_>,
    ) {
        assert!(first + ROWS <= LEFT && column + 16 <= RIGHT, "a part of a tile");
        let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
        let (mut a, mut b) = (left[first..].as_ptr(), right[column..].as_ptr());
        for _ in 0..right.len() / RIGHT {
            // SAFETY: both slices hold LEFT and RIGHT values for each pair, the bound of the loop.
            unsafe {
                let columns = [0, 8].map(|at| _mm256_loadu_si256(b.add(at).cast::<__m256i>()));
                for (row, sums) in sums.iter_mut().enumerate() {
                    let pair = _mm256_set1_epi32((*a.add(row)).cast_signed());
                    for (sum, column) in sums.iter_mut().zip(columns) {
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pair, column));
                    }
                }
            }
            a = a.wrapping_add(LEFT);
            b = b.wrapping_add(RIGHT);
        }
        for (row, sums) in (first..target.left.len()).zip(&sums) {
            let left = _mm256_set1_ps(target.left[row]);
            let out = &mut target.out[row * target.width + column..][..16];
            let right = target.right[column..][..16].as_chunks::<8>().0;
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
    /// The CPU has AVX-512 F and VNNI, `left.len() / LEFT == right.len() / RIGHT`, and `target` is whole.
    #[expect(unsafe_code, reason = "vpdpwssd has no safe form")]
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) unsafe fn add_wide<const ROWS: usize>(
        left: &[u32],
        right: &[u32],
        target: &mut Target<'_>,
    ) {
        const { assert!(ROWS <= LEFT) };
        let mut sums = [[_mm512_setzero_si512(); 2]; ROWS];
        let (mut a, mut b) = (left.as_ptr(), right.as_ptr());
        for _ in 0..right.len() / RIGHT {
            // SAFETY: both slices hold LEFT and RIGHT values for each pair, the bound of the loop.
            unsafe {
                let columns = [0, 16].map(|at| _mm512_loadu_si512(b.add(at).cast()));
                for (row, sums) in sums.iter_mut().enumerate() {
                    let pair = _mm512_set1_epi32((*a.add(row)).cast_signed());
                    for (sum, column) in sums.iter_mut().zip(columns) {
                        *sum = _mm512_dpwssd_epi32(*sum, pair, column);
                    }
                }
            }
            a = a.wrapping_add(LEFT);
            b = b.wrapping_add(RIGHT);
        }
        let right = target.right.as_chunks::<16>().0;
        for ((row, &left), sums) in target.left.iter().enumerate().zip(&sums) {
            let left = _mm512_set1_ps(left);
            let out = &mut target.out[row * target.width..][..RIGHT];
            for ((sum, right), out) in sums.iter().zip(right).zip(out.as_chunks_mut::<16>().0) {
                // SAFETY: sixteen values each.
                unsafe {
                    let scale = _mm512_mul_ps(left, _mm512_loadu_ps(right.as_ptr()));
                    let term = _mm512_mul_ps(_mm512_cvtepi32_ps(*sum), scale);
                    let sum = _mm512_add_ps(_mm512_loadu_ps(out.as_ptr()), term);
                    _mm512_storeu_ps(out.as_mut_ptr(), sum);
                }
            }
        }
    }
}
