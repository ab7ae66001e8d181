//! The convolution as a product of pairs of integers, as [`int16`](super::super::int16) multiplies matrices.

use super::super::int16::both;
#[cfg(target_arch = "x86_64")]
use super::super::int16::x86::{has_middle, has_wide};
use super::super::int16::{larger, limit, pair, scale};
use super::super::{exp, vectorized};
use super::{Before, Pictures};
use rayon::prelude::*;
use std::array::from_fn;

/// Positions of a tile: 12 × 2 accumulators leave registers for the filter.
const TILE: usize = 12;
/// Values of a 512-bit register.
const LANES: usize = 16;
/// Outputs of a panel: two registers.
const PANEL: usize = 2 * LANES;
/// Positions given to one task: enough to read a panel of the filter from the L1 cache.
const TASK: usize = 8 * TILE;

/// Sums in f32: of each position with each output.
type Sums = [[f32; PANEL]; TILE];

/// The largest integer of an operand: what a line of the filter sums, stays within 32 bits.
fn largest_integer(channels: usize) -> f32 {
    limit(3 * channels.next_multiple_of(2))
}

/// A filter in the kernel's order: panels of outputs, each (3 lines, 3 columns, input pairs, outputs).
#[derive(Clone, Debug)]
pub(super) struct PackedFilter {
    pairs: Vec<u32>,
    /// Of each output.
    scales: Vec<f32>,
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
        let measure = |output: usize| {
            let of_tap = |tap: usize| (0..inputs).map(move |input| (input, tap));
            let weights = (0..9).flat_map(of_tap).map(|(input, tap)| weight(output, input, tap));
            scale(f32::from_bits(weights.fold(0, larger)), largest_integer(inputs))
        };
        let (scales, inverses): (Vec<_>, Vec<_>) = (0..outputs)
            .into_par_iter()
            .map(measure)
            .map(|[scale, inverse]| (scale, inverse))
            .unzip();
        let mut pairs = vec![0; outputs.div_ceil(LANES) * LANES * depth];
        pairs.par_chunks_mut(PANEL * depth).enumerate().for_each(|(panel, out)| {
            let width = out.len() / depth;
            for (row, out) in out.chunks_exact_mut(width).enumerate() {
                let (tap, input) = (row / input_pairs, 2 * (row % input_pairs));
                for (output, out) in (panel * PANEL..outputs).zip(out) {
                    let has_high = input + 1 < inputs;
                    let high = if has_high { weight(output, input + 1, tap) } else { 0.0 };
                    *out = pair([weight(output, input, tap), high], inverses[output]);
                }
            }
        });
        Self { pairs, scales, inputs, outputs }
    }
}

/// Pictures rounded to integers, each with a border of zeros: (B, H + 2, W + 2, channel pairs).
pub(super) struct PaddedPairs {
    pairs: Vec<u32>,
    /// Of each line: (B, H + 2).
    scales: Vec<f32>,
    pictures: Pictures,
}

impl PaddedPairs {
    pub(super) fn new(x: &[f32], pictures: Pictures, before: Before) -> Self {
        let Pictures { count, height, width, channels } = pictures;
        let pixel = channels.div_ceil(2);
        let line = pictures.padded_width() * pixel;
        // The last tile may reach past the last picture.
        let mut pairs = vec![0; count * (height + 2) * line + TILE * pixel];
        let mut scales = vec![0.0; count * (height + 2)];
        let lines = pairs.par_chunks_mut(line).zip(&mut scales).enumerate();
        lines.for_each(|(at, (out, scale))| {
            let (picture, y) = (at / (height + 2), at % (height + 2));
            if y == 0 || y > height {
                return;
            }
            let source = &x[(picture * height + y - 1) * width * channels..][..width * channels];
            let out = &mut out[pixel..pixel * (width + 1)];
            // Closures that are not inlined are compiled without the wide instructions.
            *scale = match before {
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
                            round_pixels(&values, channels, out)
                        },
                    )
                }
            };
        });
        Self { pairs, scales, pictures }
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
                // What lies past the last line is dropped.
                let scale =
                    |line: usize| self.scales.get(first + line).copied().unwrap_or_default();
                let scales = from_fn(|row| from_fn(|at| scale((tile + at) / padded + row)));
                tile_product(left, pixel, padded * pixel, panel.1, &scales, &mut sums);
                for (position, sums) in (tile..positions).zip(&sums) {
                    let (y, x) = (position / padded, position % padded);
                    if x < width {
                        let out = &mut out[(y * width + x) * outputs..][columns.clone()];
                        let (scales, bias) =
                            (&filter.scales[columns.clone()], &bias[columns.clone()]);
                        for (((out, sum), scale), bias) in
                            out.iter_mut().zip(sums).zip(scales).zip(bias)
                        {
                            *out = sum * scale + bias;
                        }
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

/// Rounds the pixels of a line to pairs; answers their scale.
#[inline(always)]
fn round_pixels(values: &[f32], channels: usize, out: &mut [u32]) -> f32 {
    let mut largest = 0;
    for &value in values {
        largest = larger(largest, value);
    }
    let [scale, inverse] = scale(f32::from_bits(largest), largest_integer(channels));
    // Pairs of an even number of channels never straddle pixels: one run for the whole line.
    let run = if channels.is_multiple_of(2) { values.len() } else { channels };
    for (values, out) in values.chunks(run.max(1)).zip(out.chunks_mut(run.div_ceil(2).max(1))) {
        let whole = values.chunks_exact(2);
        if let ([last], Some(out)) = (whole.remainder(), out.last_mut()) {
            *out = pair([*last, 0.0], inverse);
        }
        whole.zip(out).for_each(|(values, out)| *out = pair([values[0], values[1]], inverse));
    }
    scale
}

/// Products of [`TILE`] adjacent positions with a panel of 16 or 32 outputs.
///
/// `left` starts at the first position's top left pixel; pixels are `pixel` pairs, lines `line`. `scales` are those of
/// the three lines under the filter, for each position.
fn tile_product(
    left: &[u32],
    pixel: usize,
    line: usize,
    right: &[u32],
    scales: &[[f32; TILE]; 3],
    sums: &mut Sums,
) {
    let wide = right.len() == PANEL * 9 * pixel;
    assert!(wide || right.len() == LANES * 9 * pixel, "a panel of the filter");
    assert!(left.len() >= 2 * line + (TILE + 2) * pixel, "pixels under the filter");
    #[cfg(target_arch = "x86_64")]
    {
        #[expect(unsafe_code, reason = "vpdpwssd has no safe form")]
        if has_wide() {
            // SAFETY: the CPU has what is asked for, and the assertions above are the contract of lengths.
            unsafe {
                if wide {
                    x86::wide_tile::<2>(left, pixel, line, right, scales, sums);
                } else {
                    x86::wide_tile::<1>(left, pixel, line, right, scales, sums);
                }
            }
            return;
        }
        #[expect(unsafe_code, reason = "reads through pointers")]
        if has_middle() {
            // SAFETY: as above.
            unsafe { x86::middle_tile(left, pixel, line, right, scales, sums) };
            return;
        }
    }
    plain_tile(left, pixel, line, right, scales, sums);
}

/// The products without any instructions of their own.
fn plain_tile(
    left: &[u32],
    pixel: usize,
    line: usize,
    right: &[u32],
    scales: &[[f32; TILE]; 3],
    out: &mut Sums,
) {
    let outputs = right.len() / (9 * pixel);
    *out = [[0.0; PANEL]; TILE];
    for (row, (right, scales)) in right.chunks_exact(3 * pixel * outputs).zip(scales).enumerate() {
        for (position, (out, scale)) in out.iter_mut().zip(scales).enumerate() {
            let left = &left[row * line + position * pixel..][..3 * pixel];
            let mut sums = [0_i32; PANEL];
            for (&left, right) in left.iter().zip(right.chunks_exact(outputs)) {
                for (sum, &right) in sums.iter_mut().zip(right) {
                    let ([a, b], [c, d]) = (both(left), both(right));
                    *sum += a * c + b * d;
                }
            }
            for (out, sum) in out.iter_mut().zip(sums).take(outputs) {
                #[expect(clippy::cast_precision_loss, reason = "more than 24 bits are rounded")]
                let sum = sum as f32;
                *out += sum * scale;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{LANES, PANEL, Sums, TILE};
    use std::arch::x86_64::{
        _mm256_add_epi32, _mm256_add_ps, _mm256_cvtepi32_ps, _mm256_loadu_ps, _mm256_loadu_si256,
        _mm256_madd_epi16, _mm256_mul_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_si256,
        _mm256_storeu_ps, _mm512_add_ps, _mm512_cvtepi32_ps, _mm512_dpwssd_epi32, _mm512_loadu_ps,
        _mm512_loadu_si512, _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_si512,
        _mm512_storeu_ps,
    };

    /// The products by parts of 6 positions and 16 outputs, whose sums stay in registers.
    ///
    /// # Safety
    /// The CPU has AVX2; `left` holds `2 * line + (TILE + 2) * pixel` pairs and `right` `9 * pixel` of 16 or 32
    /// outputs.
    #[expect(unsafe_code, reason = "reads through pointers")]
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn middle_tile(
        left: &[u32],
        pixel: usize,
        line: usize,
        right: &[u32],
        scales: &[[f32; TILE]; 3],
        out: &mut Sums,
    ) {
        const POSITIONS: usize = 6;
        *out = [[0.0; PANEL]; TILE];
        let outputs = right.len() / (9 * pixel);
        for position in (0..TILE).step_by(POSITIONS) {
            for column in (0..outputs).step_by(LANES) {
                let mut b = right[column..].as_ptr();
                for (row, scales) in scales.iter().enumerate() {
                    let mut sums = [[_mm256_setzero_si256(); 2]; POSITIONS];
                    let mut a = left[row * line + position * pixel..].as_ptr();
                    for _ in 0..3 * pixel {
                        // SAFETY: as in `wide_tile`; each pair meets `outputs` of `right`, 16 of them from `column`.
                        unsafe {
                            let filter = [0, 8].map(|at| _mm256_loadu_si256(b.add(at).cast()));
                            for (at, sums) in sums.iter_mut().enumerate() {
                                let pair = _mm256_set1_epi32((*a.add(at * pixel)).cast_signed());
                                for (sum, filter) in sums.iter_mut().zip(filter) {
                                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pair, filter));
                                }
                            }
                        }
                        a = a.wrapping_add(1);
                        b = b.wrapping_add(outputs);
                    }
                    for (at, sums) in sums.iter().enumerate() {
                        let scale = _mm256_set1_ps(scales[position + at]);
                        let out = &mut out[position + at][column..][..LANES];
                        for (sum, out) in sums.iter().zip(out.as_chunks_mut::<8>().0) {
                            let term = _mm256_mul_ps(_mm256_cvtepi32_ps(*sum), scale);
                            // SAFETY: eight values of f32.
                            unsafe {
                                let sum = _mm256_add_ps(_mm256_loadu_ps(out.as_ptr()), term);
                                _mm256_storeu_ps(out.as_mut_ptr(), sum);
                            }
                        }
                    }
                }
            }
        }
    }

    /// # Safety
    /// The CPU has AVX-512 F and VNNI; `left` holds `2 * line + (TILE + 2) * pixel` pairs and `right`
    /// `9 * pixel * VECTORS * LANES`; `VECTORS` is at most 2.
    #[expect(unsafe_code, reason = "vpdpwssd has no safe form")]
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) unsafe fn wide_tile<const VECTORS: usize>(
        left: &[u32],
        pixel: usize,
        line: usize,
        right: &[u32],
        scales: &[[f32; TILE]; 3],
        out: &mut Sums,
    ) {
        *out = [[0.0; PANEL]; TILE];
        let mut b = right.as_ptr();
        for (row, scales) in scales.iter().enumerate() {
            let mut sums = [[_mm512_setzero_si512(); VECTORS]; TILE];
            let mut a = left[row * line..].as_ptr();
            // SAFETY: position `i` of the tile reads the three pixels from `i` on, on each of three
            // lines: the last one ends at 2 * line + (TILE + 2) * pixel. Each pair of them meets
            // VECTORS vectors of `right`.
            unsafe {
                for _ in 0..3 * pixel {
                    let mut filter = [_mm512_setzero_si512(); VECTORS];
                    for (vector, filter) in filter.iter_mut().enumerate() {
                        *filter = _mm512_loadu_si512(b.add(vector * LANES).cast());
                    }
                    for (position, sums) in sums.iter_mut().enumerate() {
                        let pair = _mm512_set1_epi32((*a.add(position * pixel)).cast_signed());
                        for (sum, filter) in sums.iter_mut().zip(filter) {
                            *sum = _mm512_dpwssd_epi32(*sum, pair, filter);
                        }
                    }
                    a = a.wrapping_add(1);
                    b = b.wrapping_add(VECTORS * LANES);
                }
            }
            for ((out, sums), &scale) in out.iter_mut().zip(&sums).zip(scales) {
                for (sum, out) in sums.iter().zip(out.as_chunks_mut::<LANES>().0) {
                    let term = _mm512_mul_ps(_mm512_cvtepi32_ps(*sum), _mm512_set1_ps(scale));
                    // SAFETY: sixteen values of f32.
                    unsafe {
                        let sum = _mm512_add_ps(_mm512_loadu_ps(out.as_ptr()), term);
                        _mm512_storeu_ps(out.as_mut_ptr(), sum);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cpu_gives_the_same_bits() {
        const PIXEL: usize = 5;
        let line = (TILE + 2) * PIXEL;
        let packed = |count: usize, step: f32| -> Vec<u32> {
            let values = (0..count).map(|i| f32::from(u16::try_from(i).unwrap()) * step);
            values
                .map(|x| pair([x.sin(), 0.5 - x.sin()], largest_integer(2 * PIXEL) / 1.5))
                .collect()
        };
        let left = packed(3 * line, 0.37);
        let scales: [[f32; TILE]; 3] =
            from_fn(|row| from_fn(|at| f32::from(u8::try_from(1 + row + at).unwrap()) * 1e-6));
        for outputs in [LANES, PANEL] {
            let right = packed(9 * PIXEL * outputs, 0.73);
            let (mut got, mut want) = ([[9.0; PANEL]; TILE], [[0.0; PANEL]; TILE]);
            tile_product(&left, PIXEL, line, &right, &scales, &mut got);
            plain_tile(&left, PIXEL, line, &right, &scales, &mut want);
            assert_eq!(got, want);
            assert!(want[0][0] != 0.0, "something is summed");
            #[cfg(target_arch = "x86_64")]
            if has_middle() {
                // SAFETY: the CPU has what is asked for, the lengths are those asked for.
                #[expect(unsafe_code, reason = "features are found when the program runs")]
                unsafe {
                    x86::middle_tile(&left, PIXEL, line, &right, &scales, &mut got);
                }
                assert_eq!(got, want);
            }
        }
    }
}
