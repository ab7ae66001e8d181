//! The innermost product: a few rows by 16 columns, or twice as many, summed in registers.

use super::{LEFT, PAIRS, RIGHT};

/// Where a tile's products with some right panels, whose columns are neighbours, are added: `out[row * width + column]`, for
/// `left.len()` rows and [`RIGHT`] columns of each panel.
pub(super) struct Target<'a, const PANELS: usize> {
    pub(super) out: &'a mut [f32],
    pub(super) width: usize,
    /// What the sums are added to in each row, where that is not what is there.
    pub(super) base: Option<&'a [[f32; RIGHT]; PANELS]>,
    /// Scales of the rows.
    pub(super) left: &'a [f32],
    /// Of the columns.
    pub(super) right: [&'a [f32; RIGHT]; PANELS],
}

impl<const PANELS: usize> Target<'_, PANELS> {
    /// Whether every row and column has its place.
    fn is_whole(&self) -> bool {
        let rows = self.left.len();
        (1..=LEFT).contains(&rows)
            && self.width >= PANELS * RIGHT
            && self.out.len() >= (rows - 1) * self.width + PANELS * RIGHT
    }

    /// Adds the sums of a row and a panel.
    #[inline(always)]
    fn add(&mut self, row: usize, panel: usize, sums: &[i32; RIGHT]) {
        let left = self.left[row];
        let out = &mut self.out[row * self.width + panel * RIGHT..][..RIGHT];
        if let Some(base) = self.base {
            out.copy_from_slice(&base[panel]);
        }
        for ((out, &sum), &right) in out.iter_mut().zip(sums).zip(self.right[panel]) {
            #[expect(clippy::cast_precision_loss, reason = "more than 24 bits are rounded")]
            let sum = sum as f32;
            *out += sum * (left * right);
        }
    }
}

/// Right panels that are multiplied at a time: two, where their sums with a whole left panel find registers, so that what is
/// loaded of the left one serves twice.
pub(super) fn panels_at_once() -> usize {
    #[cfg(target_arch = "x86_64")]
    if x86::has_wide() {
        return 2;
    }
    1
}

/// Adds the products of a left panel, rows that begin [`PAIRS`] after each other, and right panels, (pair, column). `ahead` are the right
/// panels to come after these: they are fetched meanwhile, for the caches fetch nothing on their own from so far ahead.
///
/// # Panics
/// When the panels do not fit, or `target` has no place for all of it.
pub(super) fn add_product<const PANELS: usize>(
    left: &[u32],
    right: [&[u32]; PANELS],
    ahead: [&[u32]; PANELS],
    target: &mut Target<'_, PANELS>,
) {
    let fits = |panel: &[u32]| panel.len() == right[0].len() && panel.len() <= PAIRS * RIGHT;
    assert!(right.iter().chain(&ahead).all(|panel| fits(panel)), "panels over the same pairs");
    assert_eq!(left.len(), LEFT * PAIRS, "size of a left panel");
    assert!(target.is_whole(), "a place for every sum");
    #[cfg(target_arch = "x86_64")]
    {
        #[expect(unsafe_code, reason = "vpdpwssd has no safe form")]
        if x86::has_wide() {
            // SAFETY: the CPU has what is asked for, and the assertions above are the contract of lengths.
            return unsafe {
                // One row is a condition, up to four a coarse group, eight the end of a lane: no need to multiply twelve.
                match target.left.len() {
                    1 => x86::add_wide::<1, PANELS>(left, right, ahead, target),
                    2..=4 => x86::add_wide::<4, PANELS>(left, right, ahead, target),
                    5..=8 => x86::add_wide::<8, PANELS>(left, right, ahead, target),
                    _ => x86::add_wide::<LEFT, PANELS>(left, right, ahead, target),
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
pub(super) fn add_plain<const PANELS: usize>(
    left: &[u32],
    right: [&[u32]; PANELS],
    target: &mut Target<'_, PANELS>,
) {
    for (panel, right) in right.into_iter().enumerate() {
        let (right, _) = right.as_chunks::<RIGHT>();
        for (row, left) in left.chunks_exact(PAIRS).enumerate().take(target.left.len()) {
            let mut sums = [0_i32; RIGHT];
            for (&left, right) in left.iter().zip(right) {
                let [a, b] = both(left);
                for (sum, &right) in sums.iter_mut().zip(right) {
                    let [c, d] = both(right);
                    *sum += a * c + b * d;
                }
            }
            target.add(row, panel, &sums);
        }
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
    use super::{LEFT, PAIRS, RIGHT, Target};
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
    /// The CPU has AVX2, `left` leads to `ROWS` rows of `right.len() / RIGHT` pairs, `next` from each other, and `ahead` is as
    /// long as `right`.
    #[expect(unsafe_code, reason = "reads through pointers")]
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in super::super::super) unsafe fn middle_sums<const ROWS: usize>(
        (left, next): (*const u32, usize),
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
                    let pair = a.add(row * next).read_unaligned();
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

    /// Sums of `ROWS` rows by the columns of each right panel, in registers, while `ahead` are fetched.
    ///
    /// # Safety
    /// The CPU has AVX-512 F and VNNI, `left` leads to `ROWS` rows of `right[0].len() / RIGHT` pairs, `next` from each other,
    /// and all panels of both kinds are of one length.
    #[expect(unsafe_code, reason = "vpdpwssd has no safe form")]
    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(in super::super::super) unsafe fn wide_sums<const ROWS: usize, const PANELS: usize>(
        (left, next): (*const u32, usize),
        right: [&[u32]; PANELS],
        ahead: [&[u32]; PANELS],
    ) -> [[__m512i; PANELS]; ROWS] {
        let pairs = right[0].len() / RIGHT;
        let mut sums = [[_mm512_setzero_si512(); PANELS]; ROWS];
        let [right, ahead] = [right, ahead].map(|panels| panels.map(<[u32]>::as_ptr));
        for pair in 0..pairs {
            // SAFETY: for each pair, the bound of the loop, there is one in each row, and RIGHT columns of each panel.
            unsafe {
                let mut columns = [_mm512_setzero_si512(); PANELS];
                for panel in 0..PANELS {
                    _mm_prefetch::<_MM_HINT_T0>(ahead[panel].add(pair * RIGHT).cast());
                    columns[panel] = _mm512_loadu_si512(right[panel].add(pair * RIGHT).cast());
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let pair = left.add(row * next + pair).read_unaligned();
                    let pair = _mm512_set1_epi32(pair.cast_signed());
                    for (sum, column) in sums.iter_mut().zip(columns) {
                        *sum = _mm512_dpwssd_epi32(*sum, pair, column);
                    }
                }
            }
        }
        sums
    }

    /// Panel after panel, by parts of 6 rows, whose sums stay in registers.
    ///
    /// # Safety
    /// The CPU has AVX2, `left` has `LEFT` rows of `PAIRS` pairs, all panels of both kinds are of one length, of so many pairs or
    /// fewer, and `target` is whole.
    #[expect(unsafe_code, reason = "reads through pointers")]
    #[target_feature(enable = "avx2")]
    pub(in super::super) unsafe fn add_middle<const PANELS: usize>(
        left: &[u32],
        right: [&[u32]; PANELS],
        ahead: [&[u32]; PANELS],
        target: &mut Target<'_, PANELS>,
    ) {
        let rows = target.left.len();
        for panel in 0..PANELS {
            let panels = [right[panel], ahead[panel]];
            // SAFETY: the contract is the same.
            unsafe {
                match rows {
                    1 => add_part::<1, PANELS>(left, panels, [0, panel], target),
                    _ => add_part::<6, PANELS>(left, panels, [0, panel], target),
                }
                if rows > 6 {
                    add_part::<6, PANELS>(left, panels, [6, panel], target);
                }
            }
        }
    }

    /// `ROWS` rows from `first`, as far as there are so many, by one panel.
    ///
    /// # Safety
    /// As [`add_middle`].
    #[expect(unsafe_code, reason = "reads through pointers")]
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add_part<const ROWS: usize, const PANELS: usize>(
        left: &[u32],
        [right, ahead]: [&[u32]; 2],
        [first, panel]: [usize; 2],
        target: &mut Target<'_, PANELS>,
    ) {
        assert!(first + ROWS <= LEFT, "a part of a tile");
        let left = &left[first * PAIRS..];
        // SAFETY: the left panel has LEFT rows of as many pairs and more.
        let sums = unsafe { middle_sums::<ROWS>((left.as_ptr(), PAIRS), right, ahead) };
        let right = target.right[panel].as_chunks::<8>().0;
        for (row, sums) in (first..target.left.len()).zip(&sums) {
            let left = _mm256_set1_ps(target.left[row]);
            let out = &mut target.out[row * target.width + panel * RIGHT..][..RIGHT];
            if let Some(base) = target.base {
                out.copy_from_slice(&base[panel]);
            }
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
    /// The CPU has AVX-512 F and VNNI, `left` has `LEFT` rows of `PAIRS` pairs, all panels of both kinds are of one length, of so
    /// many pairs or fewer, and `target` is whole.
    #[expect(unsafe_code, reason = "vpdpwssd has no safe form")]
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) unsafe fn add_wide<const ROWS: usize, const PANELS: usize>(
        left: &[u32],
        right: [&[u32]; PANELS],
        ahead: [&[u32]; PANELS],
        target: &mut Target<'_, PANELS>,
    ) {
        const { assert!(ROWS <= LEFT) };
        // SAFETY: the left panel has LEFT rows of as many pairs as the right ones, and more.
        let sums = unsafe { wide_sums::<ROWS, PANELS>((left.as_ptr(), PAIRS), right, ahead) };
        // What the sums of a row are added to, and how far from it that of the next one lies.
        let out = target.out.as_mut_ptr();
        let (base, next) =
            target.base.map_or((out.cast_const(), target.width), |base| (base.as_ptr().cast(), 0));
        // SAFETY: `target` has RIGHT columns of each panel in each of its rows, and its base has them once.
        unsafe {
            let right = target.right.map(|right| _mm512_loadu_ps(right.as_ptr()));
            for (row, (sums, &left)) in sums.iter().zip(target.left).enumerate() {
                for (panel, (&sum, right)) in sums.iter().zip(right).enumerate() {
                    let scale = _mm512_mul_ps(_mm512_set1_ps(left), right);
                    let term = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale);
                    let before = _mm512_loadu_ps(base.add(row * next + panel * RIGHT));
                    let out = out.add(row * target.width + panel * RIGHT);
                    _mm512_storeu_ps(out, _mm512_add_ps(before, term));
                }
            }
        }
    }
}
