//! The convolution as a product of bf16 pairs.

use super::super::bf16;
use super::super::{exp, vectorized};
use super::{Before, Pictures};
use rayon::prelude::*;

/// Positions of a tile: 12 × 2 accumulators leave registers for the filter.
const TILE: usize = 12;
/// Values of a 512-bit register.
const LANES: usize = 16;
/// Outputs of a panel: two registers.
const PANEL: usize = 2 * LANES;
/// Positions given to one task: enough to read a panel of the filter from the L1 cache.
const TASK: usize = 8 * TILE;

/// Two bf16 values in the order in which the CPU multiplies them, rounded to nearest even.
#[inline(always)]
fn pair(low: f32, high: f32) -> u32 {
    let round = |value: f32| {
        let bits = value.to_bits();
        bits + 0x7fff + ((bits >> 16) & 1)
    };
    (round(low) >> 16) | (round(high) & 0xffff_0000)
}

/// A filter in the kernel's order: panels of outputs, each (3 lines, 3 columns, input pairs, outputs).
#[derive(Clone, Debug)]
pub(super) struct PackedFilter {
    pairs: Vec<u32>,
    inputs: usize,
    outputs: usize,
}

impl PackedFilter {
    /// `weight`: (outputs, inputs, 3, 3).
    pub(super) fn forward(weight: &[f32], inputs: usize, outputs: usize) -> Self {
        Self::new(inputs, outputs, |output, input, tap| weight[(output * inputs + input) * 9 + tap])
    }

    /// The filter that carries gradients back through `weight`: flipped and transposed.
    pub(super) fn backward(weight: &[f32], inputs: usize, outputs: usize) -> Self {
        Self::new(outputs, inputs, |input, output, tap| {
            weight[(output * inputs + input) * 9 + 8 - tap]
        })
    }

    fn new(
        inputs: usize,
        outputs: usize,
        weight: impl Fn(usize, usize, usize) -> f32 + Sync,
    ) -> Self {
        let input_pairs = inputs.div_ceil(2);
        let depth = 9 * input_pairs;
        let mut pairs = vec![0; outputs.div_ceil(LANES) * LANES * depth];
        pairs.par_chunks_mut(PANEL * depth).enumerate().for_each(|(panel, out)| {
            let width = out.len() / depth;
            for (row, out) in out.chunks_exact_mut(width).enumerate() {
                let (tap, input) = (row / input_pairs, 2 * (row % input_pairs));
                for (output, out) in (panel * PANEL..outputs).zip(out) {
                    let has_high = input + 1 < inputs;
                    let high = if has_high { weight(output, input + 1, tap) } else { 0.0 };
                    *out = pair(weight(output, input, tap), high);
                }
            }
        });
        Self { pairs, inputs, outputs }
    }
}

/// Pictures rounded to bf16, each with a border of zeros: (B, H + 2, W + 2, channel pairs).
pub(super) struct PaddedPairs {
    pairs: Vec<u32>,
    pictures: Pictures,
}

impl PaddedPairs {
    pub(super) fn new(x: &[f32], pictures: Pictures, before: Before) -> Self {
        let Pictures { count, height, width, channels } = pictures;
        let pixel = channels.div_ceil(2);
        let line = pictures.padded_width() * pixel;
        // The last tile may reach past the last picture.
        let mut pairs = vec![0; count * (height + 2) * line + TILE * pixel];
        let lines = pairs.par_chunks_mut(line).take(count * (height + 2)).enumerate();
        lines.for_each(|(at, out)| {
            let (picture, y) = (at / (height + 2), at % (height + 2));
            if y == 0 || y > height {
                return;
            }
            let source = &x[(picture * height + y - 1) * width * channels..][..width * channels];
            let out = &mut out[pixel..pixel * (width + 1)];
            // Closures that are not inlined are compiled without the wide instructions.
            match before {
                Before::Nothing => vectorized(
                    #[inline(always)]
                    || round_pixels(source, channels, out),
                ),
                Before::Silu => {
                    let mut values = vec![0.0; source.len()];
                    vectorized(
                        #[inline(always)]
                        || {
                            silu(source, &mut values);
                            round_pixels(&values, channels, out);
                        },
                    );
                }
            }
        });
        Self { pairs, pictures }
    }

    /// The filtered pictures: (B, H, W, outputs).
    ///
    /// # Panics
    /// When the filter takes other channels.
    pub(super) fn convolve(&self, filter: &PackedFilter, bias: &[f32]) -> Vec<f32> {
        assert_eq!(filter.inputs, self.pictures.channels, "channels that the filter takes");
        assert_eq!(filter.outputs, bias.len(), "one bias for each output");
        let Pictures { count, height, width, .. } = self.pictures;
        let mut out = vec![0.0; count * height * width * filter.outputs];
        let task_lines = TASK.div_ceil(self.pictures.padded_width());
        let line = width * filter.outputs;
        let pictures = out.par_chunks_mut((height * line).max(1)).enumerate();
        pictures.for_each(|(picture, out)| {
            out.par_chunks_mut(task_lines * line).enumerate().for_each(|(task, out)| {
                let first = picture * (height + 2) + task * task_lines;
                self.convolve_lines(first, filter, bias, out);
            });
        });
        out
    }

    /// Fills the lines `out`, whose topmost filter row lies on padded line `first`.
    fn convolve_lines(&self, first: usize, filter: &PackedFilter, bias: &[f32], out: &mut [f32]) {
        let pixel = self.pictures.channels.div_ceil(2);
        let (width, padded) = (self.pictures.width, self.pictures.padded_width());
        let outputs = filter.outputs;
        let positions = out.len() / (width * outputs) * padded - 2;
        let mut sums = [[0.0; PANEL]; TILE];
        for panel in filter.pairs.chunks(PANEL * 9 * pixel).enumerate() {
            let columns = panel.0 * PANEL..outputs.min((panel.0 + 1) * PANEL);
            for tile in (0..positions).step_by(TILE) {
                let left = &self.pairs[(first * padded + tile) * pixel..];
                tile_product(left, pixel, padded * pixel, panel.1, &mut sums);
                for (position, sums) in (tile..positions).zip(&sums) {
                    let (y, x) = (position / padded, position % padded);
                    if x < width {
                        let out = &mut out[(y * width + x) * outputs..][columns.clone()];
                        let terms = sums.iter().zip(&bias[columns.clone()]);
                        out.iter_mut().zip(terms).for_each(|(out, (sum, bias))| *out = sum + bias);
                    }
                }
            }
        }
    }
}

/// silu(x), x · sigmoid(x).
#[inline(always)]
pub(super) fn silu(x: &[f32], out: &mut [f32]) {
    x.iter().zip(out).for_each(|(&x, out)| *out = x / (1.0 + exp(-x)));
}

#[inline(always)]
fn round_pixels(values: &[f32], channels: usize, out: &mut [u32]) {
    // Pairs of an even number of channels never straddle pixels: one run for the whole line.
    let run = if channels.is_multiple_of(2) { values.len() } else { channels };
    for (values, out) in values.chunks(run.max(1)).zip(out.chunks_mut(run.div_ceil(2).max(1))) {
        let whole = values.chunks_exact(2);
        if let ([last], Some(out)) = (whole.remainder(), out.last_mut()) {
            *out = pair(*last, 0.0);
        }
        whole.zip(out).for_each(|(values, out)| *out = pair(values[0], values[1]));
    }
}

/// Products of [`TILE`] adjacent positions with a panel of 16 or 32 outputs.
///
/// `left` starts at the first position's top left pixel; pixels are `pixel` pairs, lines `line`.
fn tile_product(
    left: &[u32],
    pixel: usize,
    line: usize,
    right: &[u32],
    sums: &mut [[f32; PANEL]; TILE],
) {
    let wide = right.len() == PANEL * 9 * pixel;
    assert!(wide || right.len() == LANES * 9 * pixel, "a panel of the filter");
    assert!(left.len() >= 2 * line + (TILE + 2) * pixel, "pixels under the filter");
    #[cfg(target_arch = "x86_64")]
    if bf16::in_hardware() {
        // SAFETY: the CPU has what is asked for, and the assertions above are the contract of lengths.
        #[expect(unsafe_code, reason = "vdpbf16ps has no safe form")]
        unsafe {
            if wide {
                x86::tile::<2>(left, pixel, line, right, sums);
            } else {
                x86::tile::<1>(left, pixel, line, right, sums);
            }
        }
        return;
    }
    #[cfg(target_arch = "x86_64")]
    {
        assert!(bf16::available(), "products of pairs need AVX2 and FMA");
        // SAFETY: the CPU has what is asked for, and the assertions above are the contract of lengths.
        #[expect(unsafe_code, reason = "reads through pointers")]
        unsafe {
            x86::widened_tile(left, pixel, line, right, sums);
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    unreachable!("asked for only where it is available")
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::bf16::x86::widened;
    use super::{LANES, PANEL, TILE};
    use std::arch::x86_64::{
        __m512bh, __m512i, _mm256_fmadd_ps, _mm256_loadu_si256, _mm256_set1_epi32,
        _mm256_setzero_ps, _mm256_storeu_ps, _mm512_dpbf16_ps, _mm512_loadu_si512,
        _mm512_set1_epi32, _mm512_setzero_ps, _mm512_storeu_ps,
    };

    /// The product in f32: parts of 4 positions and 16 outputs, whose sums stay in registers.
    ///
    /// # Safety
    /// The CPU has AVX2 and FMA; `left` holds `2 * line + (TILE + 2) * pixel` pairs and `right` `9 * pixel` of 16
    /// or 32 outputs.
    #[expect(unsafe_code, reason = "reads through pointers")]
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn widened_tile(
        left: &[u32],
        pixel: usize,
        line: usize,
        right: &[u32],
        out: &mut [[f32; PANEL]; TILE],
    ) {
        const POSITIONS: usize = 4;
        let outputs = right.len() / (9 * pixel);
        for position in (0..TILE).step_by(POSITIONS) {
            for column in (0..outputs).step_by(LANES) {
                let mut sums = [[_mm256_setzero_ps(); 2]; POSITIONS];
                let mut b = right[column..].as_ptr();
                for row in 0..3 {
                    let mut a = left[row * line + position * pixel..].as_ptr();
                    for _ in 0..3 * pixel {
                        // SAFETY: as in `tile`; each pair meets `outputs` of `right`, 16 of them from `column`.
                        unsafe {
                            let first = widened(_mm256_loadu_si256(b.cast()));
                            let second = widened(_mm256_loadu_si256(b.add(8).cast()));
                            for (at, sums) in sums.iter_mut().enumerate() {
                                let pair = _mm256_set1_epi32((*a.add(at * pixel)).cast_signed());
                                for (half, value) in widened(pair).into_iter().enumerate() {
                                    sums[0] = _mm256_fmadd_ps(value, first[half], sums[0]);
                                    sums[1] = _mm256_fmadd_ps(value, second[half], sums[1]);
                                }
                            }
                            a = a.add(1);
                            b = b.wrapping_add(outputs);
                        }
                    }
                }
                for (at, sums) in sums.iter().enumerate() {
                    let out = out[position + at][column..][..LANES].as_mut_ptr();
                    // SAFETY: there is room for two vectors of 8.
                    unsafe {
                        _mm256_storeu_ps(out, sums[0]);
                        _mm256_storeu_ps(out.add(8), sums[1]);
                    }
                }
            }
        }
    }

    /// # Safety
    /// The CPU has AVX-512 F, BW, VL and BF16; `left` holds `2 * line + (TILE + 2) * pixel` pairs
    /// and `right` `9 * pixel * VECTORS * LANES`; `VECTORS` is at most 2.
    #[expect(unsafe_code, reason = "vdpbf16ps has no safe form")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub(super) unsafe fn tile<const VECTORS: usize>(
        left: &[u32],
        pixel: usize,
        line: usize,
        right: &[u32],
        out: &mut [[f32; PANEL]; TILE],
    ) {
        let mut sums = [[_mm512_setzero_ps(); VECTORS]; TILE];
        let mut b = right.as_ptr();
        for row in 0..3 {
            // SAFETY: position `i` of the tile reads the three pixels from `i` on, on each of three
            // lines: the last one ends at 2 * line + (TILE + 2) * pixel. Each pair of them meets
            // VECTORS vectors of `right`. Vectors of the same width are reinterpreted.
            unsafe {
                let mut a = left.as_ptr().add(row * line);
                for _ in 0..3 * pixel {
                    let mut filter = [transmute(_mm512_set1_epi32(0)); VECTORS];
                    for (vector, filter) in filter.iter_mut().enumerate() {
                        *filter = transmute(_mm512_loadu_si512(b.add(vector * LANES).cast()));
                    }
                    for (position, sums) in sums.iter_mut().enumerate() {
                        let value = (*a.add(position * pixel)).cast_signed();
                        let value = transmute(_mm512_set1_epi32(value));
                        for (sum, filter) in sums.iter_mut().zip(filter) {
                            *sum = _mm512_dpbf16_ps(*sum, value, filter);
                        }
                    }
                    a = a.add(1);
                    b = b.add(VECTORS * LANES);
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(&sums) {
            for (vector, sum) in sums.iter().enumerate() {
                // SAFETY: each row of `out` has room for two vectors.
                unsafe { _mm512_storeu_ps(out.as_mut_ptr().add(vector * LANES), *sum) };
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn widened_pairs_give_the_same_product() {
        if !bf16::in_hardware() {
            println!("skipped: this CPU has no AVX-512 BF16");
            return;
        }
        const PIXEL: usize = 5;
        let line = (TILE + 2) * PIXEL;
        let packed = |count: u16, step: f32| -> Vec<u32> {
            (0..count).map(|i| (f32::from(i) * step).sin()).map(|x| pair(x, 0.5 - x)).collect()
        };
        let left = packed(u16::try_from(3 * line).unwrap(), 0.37);
        for outputs in [LANES, PANEL] {
            let right = packed(u16::try_from(9 * PIXEL * outputs).unwrap(), 0.73);
            let (mut got, mut want) = ([[0.0; PANEL]; TILE], [[0.0; PANEL]; TILE]);
            // SAFETY: a CPU with AVX-512 has AVX2 and FMA; the lengths are those asked for.
            #[expect(unsafe_code, reason = "features are found when the program runs")]
            unsafe {
                x86::widened_tile(&left, PIXEL, line, &right, &mut got);
            }
            tile_product(&left, PIXEL, line, &right, &mut want);
            for (got, want) in got.iter().flatten().zip(want.iter().flatten()) {
                // Sums of 90 products of magnitude 1, in another order.
                assert!((got - want).abs() < 1e-4, "{got} for {want}");
            }
        }
    }

    #[test]
    fn pairs_round_to_nearest_even() {
        for i in 0..2000_u16 {
            let (low, high) = (f32::from(i).sin(), f32::from(i) / 777.0 - 1.0);
            let bits = |value: f32| u32::from(half::bf16::from_f32(value).to_bits());
            assert_eq!(pair(low, high), bits(low) | (bits(high) << 16));
        }
    }
}
