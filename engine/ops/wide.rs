//! Loops compiled for the widest vectors of the CPU, which is asked when the program runs.
//!
//! Every level gives the same bits: sums go by lanes of a fixed number, and a product is fused with
//! a sum where the code says `mul_add` and nowhere else.

/// Runs `work` compiled for the widest vectors this CPU has.
///
/// Write the closure as `#[inline(always)] || ...`: one that is not inlined into the function of
/// each level stays compiled for the oldest CPU, where `mul_add` is a call into the C library. So
/// do the closures given to `for_each`, `fold` and the like: write `for` loops inside.
#[inline(always)]
pub(crate) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        if x86::has_wide() {
            // SAFETY: the CPU has every feature that the function is compiled for.
            #[expect(unsafe_code, reason = "features are found when the program runs")]
            return unsafe { x86::wide(work) };
        }
        if x86::has_middle() {
            // SAFETY: the CPU has every feature that the function is compiled for.
            #[expect(unsafe_code, reason = "features are found when the program runs")]
            return unsafe { x86::middle(work) };
        }
    }
    work()
}

/// Has the caches fetch values that are soon to be read: on their own they follow what is read to the end of a page at most.
#[inline(always)]
pub(super) fn fetch(values: &[f32]) {
    #[cfg(not(target_arch = "x86_64"))]
    let _not_fetched = values;
    #[cfg(target_arch = "x86_64")]
    for line in values.chunks(16) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which reads nothing that the program sees.
        #[expect(unsafe_code, reason = "prefetching has no safe form")]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast());
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    #[inline(always)]
    pub(super) fn has_wide() -> bool {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && has_middle()
    }

    #[inline(always)]
    pub(super) fn has_middle() -> bool {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    pub(super) fn wide<R>(work: impl FnOnce() -> R) -> R {
        work()
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn middle<R>(work: impl FnOnce() -> R) -> R {
        work()
    }
}

/// Sum of `map` over `x` in sixteen lanes, so that it vectorises in one fixed order.
#[inline(always)]
pub(super) fn sum(x: &[f32], map: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let (chunks, rest) = x.as_chunks::<16>();
    for chunk in chunks {
        for i in 0..16 {
            lanes[i] += map(chunk[i]);
        }
    }
    let mut total = 0.0;
    for lane in lanes {
        total += lane;
    }
    for &x in rest {
        total += map(x);
    }
    total
}

/// Sum of products, in the same fixed order.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    for (a, b) in a.iter().zip(b) {
        for i in 0..16 {
            lanes[i] = a[i].mul_add(b[i], lanes[i]);
        }
    }
    let mut total = 0.0;
    for lane in lanes {
        total += lane;
    }
    for (a, b) in a_rest.iter().zip(b_rest) {
        total = a.mul_add(*b, total);
    }
    total
}

/// e^x, to about 2 units in the last place, without branches.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // 1.5 · 2^23: adding it rounds to the nearest integer and leaves that in the lowest bits.
    const TO_INTEGER: f32 = 12_582_912.0;
    // Cody-Waite reduction to [-ln 2 / 2, ln 2 / 2], then a polynomial of degree 6.
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + TO_INTEGER;
    let n = shifted - TO_INTEGER;
    let r = n.mul_add(-0.693_359_4, x);
    let r = n.mul_add(2.121_944_4e-4, r);
    let p = r.mul_add(1.0 / 720.0, 1.0 / 120.0);
    let p = r.mul_add(p, 1.0 / 24.0);
    let p = r.mul_add(p, 1.0 / 6.0);
    let p = r.mul_add(p, 0.5);
    let p = r.mul_add(p, 1.0);
    let p = r.mul_add(p, 1.0);
    p * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_follows_the_library() {
        for i in -8_000..8_000_i16 {
            let x = f32::from(i) / 100.0;
            let (got, want) = (f64::from(exp(x)), f64::from(x).exp());
            // Degree 6 leaves a relative error of about 2e-7 at the ends of the interval.
            assert!((got - want).abs() <= 1e-6 * want, "exp({x}) = {got}, not {want}");
        }
    }

    #[test]
    fn every_level_gives_the_same_bits() {
        let x: Vec<f32> = (0..1_003_i16).map(|i| f32::from(i % 501) / 77.0 - 3.0).collect();
        let y: Vec<f32> = x.iter().rev().copied().collect();
        let work = |(x, y): (&[f32], &[f32])| {
            let exps: Vec<u32> = x.iter().map(|&x| exp(x).to_bits()).collect();
            (exps, dot(x, y).to_bits(), sum(x, |x| x * x).to_bits())
        };
        let plain = work((&x, &y));
        assert_eq!(
            vectorized(
                #[inline(always)]
                || work((&x, &y))
            ),
            plain
        );
        #[cfg(target_arch = "x86_64")]
        if x86::has_middle() {
            // SAFETY: the CPU has every feature that the function is compiled for.
            #[expect(unsafe_code, reason = "features are found when the program runs")]
            let middle = unsafe { x86::middle(|| work((&x, &y))) };
            assert_eq!(middle, plain);
        }
    }
}
