//! Figures of one or two pictures, on RGB bytes.
//!
//! Luma is BT.601 on the stored (gamma-encoded) values: `0.299 R + 0.587 G + 0.114 B`.

/// What identical pictures score, in decibels, so that means stay finite.
pub const PSNR_MAX: f64 = 100.0;

/// Bins of [`histogram`]: four levels of red, green and blue each.
pub const HISTOGRAM_BINS: usize = 64;

/// Side of the window of [`ssim`], in pixels, and its standard deviation (Wang et al. 2004).
pub(super) const SSIM_SIDE: usize = 11;
const SSIM_SIGMA: f64 = 1.5;

/// An RGB picture that lies elsewhere, `(height, width, 3)`.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    pixels: &'a [u8],
    width: usize,
    height: usize,
}

impl<'a> Picture<'a> {
    /// A picture `width` pixels wide, as high as its bytes reach.
    ///
    /// # Panics
    /// When the bytes are not whole rows, or none.
    pub fn new(pixels: &'a [u8], width: usize) -> Self {
        assert!(width > 0 && !pixels.is_empty(), "a picture has pixels");
        assert!(pixels.len().is_multiple_of(width * 3), "a picture has whole rows");
        Self { pixels, width, height: pixels.len() / (width * 3) }
    }

    /// The bytes, row by row.
    pub fn pixels(self) -> &'a [u8] {
        self.pixels
    }

    /// Width in pixels.
    pub fn width(self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(self) -> usize {
        self.height
    }

    /// Brightness of every pixel, 0 to 255.
    pub fn luma(self) -> Vec<f64> {
        let weigh =
            |p: &[u8]| 0.299 * f64::from(p[0]) + 0.587 * f64::from(p[1]) + 0.114 * f64::from(p[2]);
        self.pixels.chunks_exact(3).map(weigh).collect()
    }
}

/// Peak signal-to-noise ratio over all bytes, in decibels: `10 log10(255² / MSE)`, at most
/// [`PSNR_MAX`].
///
/// # Panics
/// When the pictures differ in size.
pub fn psnr(a: Picture<'_>, b: Picture<'_>) -> f64 {
    let mse = mean_difference(a, b, |d| d * d);
    if mse == 0.0 { PSNR_MAX } else { (10.0 * (255.0 * 255.0 / mse).log10()).min(PSNR_MAX) }
}

/// Mean absolute difference of all bytes, 0 to 255.
///
/// # Panics
/// When the pictures differ in size.
pub fn change(a: Picture<'_>, b: Picture<'_>) -> f64 {
    mean_difference(a, b, f64::abs)
}

fn mean_difference(a: Picture<'_>, b: Picture<'_>, measure: fn(f64) -> f64) -> f64 {
    assert_eq!((a.width, a.height), (b.width, b.height), "pictures of one size are compared");
    let sum: f64 = a
        .pixels
        .iter()
        .zip(b.pixels)
        .map(|(&a, &b)| measure(f64::from(i16::from(a) - i16::from(b))))
        .sum();
    sum / a.pixels.len() as f64
}

/// Structural similarity of luma, at most 1 (Wang et al. 2004): Gaussian window of 11×11 pixels
/// with σ = 1.5, K1 = 0.01, K2 = 0.03, averaged over the places where the window fits.
///
/// A picture smaller than the window is seen through a window of its own shorter side.
///
/// # Panics
/// When the pictures differ in size.
pub fn ssim(a: Picture<'_>, b: Picture<'_>) -> f64 {
    assert_eq!((a.width, a.height), (b.width, b.height), "pictures of one size are compared");
    let (c1, c2) = ((0.01_f64 * 255.0).powi(2), (0.03_f64 * 255.0).powi(2));
    let (luma_a, luma_b) = (a.luma(), b.luma());
    let product =
        |x: &[f64], y: &[f64]| -> Vec<f64> { x.iter().zip(y).map(|(x, y)| x * y).collect() };
    let kernel = gaussian(SSIM_SIDE.min(a.width).min(a.height));
    let smooth = |plane: &[f64]| blur(plane, a.width, &kernel);

    let (mean_a, mean_b) = (smooth(&luma_a), smooth(&luma_b));
    let squares = [(&luma_a, &luma_a), (&luma_b, &luma_b), (&luma_a, &luma_b)];
    let [aa, bb, ab] = squares.map(|(x, y)| smooth(&product(x, y)));
    let places = mean_a.len();
    let sum: f64 = (0..places)
        .map(|i| {
            let (ma, mb) = (mean_a[i], mean_b[i]);
            let (va, vb, cov) = (aa[i] - ma * ma, bb[i] - mb * mb, ab[i] - ma * mb);
            (2.0 * ma * mb + c1) * (2.0 * cov + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2))
        })
        .sum();
    sum / places as f64
}

/// A Gaussian of `side` weights that sum to 1.
pub(super) fn gaussian(side: usize) -> Vec<f64> {
    let middle = (side as f64 - 1.0) / 2.0;
    let weight = |i: usize| (-((i as f64 - middle) / SSIM_SIGMA).powi(2) / 2.0).exp();
    let weights: Vec<f64> = (0..side).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// `plane` blurred along both axes, kept where the whole kernel lies inside.
pub(super) fn blur(plane: &[f64], width: usize, kernel: &[f64]) -> Vec<f64> {
    let inner = width + 1 - kernel.len();
    let mut rows = Vec::with_capacity(plane.len() / width * inner);
    for row in plane.chunks_exact(width) {
        rows.extend(row.windows(kernel.len()).map(|window| {
            let products = window.iter().zip(kernel).map(|(value, weight)| value * weight);
            products.sum::<f64>()
        }));
    }
    let height = rows.len() / inner + 1 - kernel.len();
    let mut blurred = vec![0.0; height * inner];
    for (y, line) in blurred.chunks_exact_mut(inner).enumerate() {
        for (row, weight) in rows[y * inner..].chunks_exact(inner).zip(kernel) {
            line.iter_mut().zip(row).for_each(|(sum, value)| *sum += value * weight);
        }
    }
    blurred
}

/// How much detail there is: mean squared difference of horizontal neighbours plus that of
/// vertical ones, over all three colours.
pub fn gradient_energy(picture: Picture<'_>) -> f64 {
    let row = picture.width * 3;
    let across = picture.pixels.chunks_exact(row).flat_map(|line| line.iter().zip(&line[3..]));
    let down = picture.pixels.iter().zip(&picture.pixels[row..]);
    mean_square(across) + mean_square(down)
}

fn mean_square<'a>(pairs: impl Iterator<Item = (&'a u8, &'a u8)>) -> f64 {
    let (mut sum, mut count) = (0_u64, 0_u64);
    for (&a, &b) in pairs {
        let difference = u64::from(a.abs_diff(b));
        sum += difference * difference;
        count += 1;
    }
    if count == 0 { 0.0 } else { sum as f64 / count as f64 }
}

/// Variance of the Laplacian of luma (four neighbours), over the inner pixels: a picture out of
/// focus has little of it, noise has much. 0 where there is no inner pixel.
pub fn sharpness(picture: Picture<'_>) -> f64 {
    let (width, height, luma) = (picture.width, picture.height, picture.luma());
    let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            let at = y * width + x;
            let around = luma[at - 1] + luma[at + 1] + luma[at - width] + luma[at + width];
            let laplacian = around - 4.0 * luma[at];
            sum += laplacian;
            squares += laplacian * laplacian;
            count += 1.0;
        }
    }
    if count == 0.0 { 0.0 } else { squares / count - (sum / count).powi(2) }
}

/// Shares of the pixels in each of 4×4×4 boxes of colour; they sum to 1.
pub fn histogram(picture: Picture<'_>) -> [f64; HISTOGRAM_BINS] {
    let mut bins = [0.0; HISTOGRAM_BINS];
    let one = 3.0 / picture.pixels.len() as f64;
    for pixel in picture.pixels.chunks_exact(3) {
        let [r, g, b] = [0, 1, 2].map(|channel| usize::from(pixel[channel] >> 6));
        bins[r * 16 + g * 4 + b] += one;
    }
    bins
}

/// Share of the pixels that would have to change colour: half the sum of absolute differences,
/// 0 to 1.
pub fn histogram_distance(a: &[f64; HISTOGRAM_BINS], b: &[f64; HISTOGRAM_BINS]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>() / 2.0
}

/// The value that the share `part` of `values` stay at or below; 0 where there is none.
pub fn percentile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let wanted = part * sorted.len() as f64;
    let at = (1..=sorted.len()).find(|&count| count as f64 >= wanted).unwrap_or(1);
    sorted.get(at - 1).copied().unwrap_or(0.0)
}

/// The arithmetic mean; 0 of nothing.
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Grey pixels from a function of column and row.
    fn grey(width: usize, height: usize, level: impl Fn(usize, usize) -> u8) -> Vec<u8> {
        let at = |i: usize| [level(i % width, i / width); 3];
        (0..width * height).flat_map(at).collect()
    }

    fn noise(width: usize, height: usize) -> Vec<u8> {
        grey(width, height, |x, y| {
            u8::try_from((x * 7919 + y * 104_729 + x * y * 31) % 256).unwrap()
        })
    }

    #[test]
    fn psnr_follows_its_formula() {
        let (black, ten) = (grey(8, 4, |_, _| 0), grey(8, 4, |_, _| 10));
        let (black, ten) = (Picture::new(&black, 8), Picture::new(&ten, 8));
        // MSE 100: 20 log10(255) - 20.
        assert!((psnr(black, ten) - 28.130_803_6).abs() < 1e-6);
        assert_eq!(psnr(ten, ten).to_bits(), PSNR_MAX.to_bits());
        assert_eq!(change(ten, black).to_bits(), 10.0_f64.to_bits());

        // One byte of 96 off by 255: MSE is 255² / 96.
        let mut spoilt = ten.pixels().to_vec();
        spoilt[5] = 255;
        let expected = 10.0 * (255.0_f64.powi(2) * 96.0 / 245.0_f64.powi(2)).log10();
        assert!((psnr(Picture::new(&spoilt, 8), ten) - expected).abs() < 1e-9);
    }

    #[test]
    fn ssim_of_flat_pictures_is_its_luminance_term() {
        let (dark, bright) = (grey(16, 16, |_, _| 100), grey(16, 16, |_, _| 150));
        let (dark, bright) = (Picture::new(&dark, 16), Picture::new(&bright, 16));
        let c1 = 2.55_f64.powi(2);
        let expected = (2.0 * 100.0 * 150.0 + c1) / (100.0_f64.powi(2) + 150.0_f64.powi(2) + c1);
        assert!((ssim(dark, bright) - expected).abs() < 1e-6);
        assert!((ssim(dark, dark) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn ssim_sees_structure_that_psnr_does_not() {
        let wave = |x: usize, y: usize| u8::try_from(60 + 20 * ((x / 2 + y / 3) % 6)).unwrap();
        let sharp = grey(40, 30, wave);
        let brighter = grey(40, 30, |x, y| wave(x, y) + 20);
        let checked = grey(40, 30, |x, y| wave(x, y) + if (x + y) % 2 == 0 { 20 } else { 0 });
        let [sharp, brighter, checked] = [&sharp, &brighter, &checked].map(|p| Picture::new(p, 40));
        assert!(psnr(sharp, brighter) < psnr(sharp, checked));
        assert!(ssim(sharp, brighter) > ssim(sharp, checked) + 0.05);
        // Smaller than the window: still a number, still 1 for itself.
        let small = noise(5, 4);
        assert!((ssim(Picture::new(&small, 5), Picture::new(&small, 5)) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn gradient_energy_adds_both_directions() {
        let across = grey(4, 3, |x, _| u8::try_from(x * 10).unwrap());
        let both = grey(4, 3, |x, y| u8::try_from(x * 10 + y * 20).unwrap());
        assert!((gradient_energy(Picture::new(&across, 4)) - 100.0).abs() < 1e-9);
        assert!((gradient_energy(Picture::new(&both, 4)) - 500.0).abs() < 1e-9);
        assert_eq!(gradient_energy(Picture::new(&[9, 9, 9], 1)).to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn blur_loses_sharpness_and_detail() {
        let sharp = noise(32, 24);
        let soft = grey(32, 24, |x, y| {
            let near = |dx, dy| u32::from(sharp[(((y + dy) % 24) * 32 + (x + dx) % 32) * 3]);
            u8::try_from((near(0, 0) + near(1, 0) + near(0, 1) + near(1, 1)) / 4).unwrap()
        });
        let (sharp, soft) = (Picture::new(&sharp, 32), Picture::new(&soft, 32));
        assert!(sharpness(soft) < 0.5 * sharpness(sharp));
        assert!(gradient_energy(soft) < 0.5 * gradient_energy(sharp));
        // A plane has no second derivative; a single dot of 1 has Laplacians -4, 1, 1, 1, 1.
        let plane = grey(9, 9, |x, y| u8::try_from(3 * x + 5 * y).unwrap());
        assert!(sharpness(Picture::new(&plane, 9)) < 1e-9);
        let dot = grey(7, 7, |x, y| u8::from(x == 3 && y == 3));
        assert!((sharpness(Picture::new(&dot, 7)) - 20.0 / 25.0).abs() < 1e-9);
    }

    #[test]
    fn histograms_count_colours_wherever_they_are() {
        let half = [[255, 0, 0], [0, 0, 255]].concat();
        let turned = [[0, 0, 255], [255, 0, 0]].concat();
        let red = [255, 0, 0].repeat(2);
        let [half, turned, red] = [&half, &turned, &red].map(|p| histogram(Picture::new(p, 2)));
        assert!(histogram_distance(&half, &turned) < 1e-12);
        assert!((histogram_distance(&half, &red) - 0.5).abs() < 1e-12);
        assert!((half.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn percentiles_are_values_that_occur() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        let at = |part| percentile(&values, part);
        assert_eq!([0.0, 0.01, 0.5, 0.99, 1.0].map(at), [1.0, 2.0, 100.0, 198.0, 200.0]);
        assert_eq!(percentile(&[], 0.5).to_bits(), 0.0_f64.to_bits());
        assert_eq!(mean(&values).to_bits(), 100.5_f64.to_bits());
    }
}
