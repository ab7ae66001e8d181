//! Structural similarity of colour pictures, at one scale and at several.

use super::metric::{Picture, SSIM_SIDE, blur, gaussian};

/// Weights of the scales, the finest first (Wang, Simoncelli and Bovik 2003).
const WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

/// How like each other two pictures are in structure; both are at most 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    /// SSIM of each colour, the mean of the three: Gaussian window of 11×11 pixels with σ = 1.5, K1 = 0.01,
    /// K2 = 0.03, averaged over the places where the window fits.
    pub ssim: f64,
    /// MS-SSIM of each colour, the mean of the three, over as many of its five scales as the window fits into; their
    /// weights are stretched to sum 1. Pictures of 128×96 have four.
    pub ms_ssim: f64,
}

/// Both similarities of two pictures of one size.
///
/// # Panics
/// When the pictures differ in size.
pub fn similarity(a: Picture<'_>, b: Picture<'_>) -> Similarity {
    assert_eq!(
        (a.width(), a.height()),
        (b.width(), b.height()),
        "pictures of one size are compared"
    );
    let colours = [0, 1, 2].map(|channel| of_planes(plane(a, channel), plane(b, channel)));
    let mean = |value: fn(&Similarity) -> f64| colours.iter().map(value).sum::<f64>() / 3.0;
    Similarity { ssim: mean(|colour| colour.ssim), ms_ssim: mean(|colour| colour.ms_ssim) }
}

/// One colour of a picture, or what is left of it at a coarser scale.
struct Plane {
    values: Vec<f64>,
    width: usize,
}

impl Plane {
    fn height(&self) -> usize {
        self.values.len() / self.width
    }

    /// Means of 2×2 pixels; a last odd row or column is left out.
    fn halved(&self) -> Self {
        let (width, height) = (self.width / 2, self.height() / 2);
        let at = |x: usize, y: usize| self.values[y * self.width + x];
        let mean =
            |x: usize, y: usize| (at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1)) / 4.0;
        let values =
            (0..height).flat_map(|y| (0..width).map(move |x| mean(2 * x, 2 * y))).collect();
        Self { values, width }
    }
}

fn plane(picture: Picture<'_>, channel: usize) -> Plane {
    let values = picture.pixels()[channel..].iter().step_by(3).map(|&byte| f64::from(byte));
    Plane { values: values.collect(), width: picture.width() }
}

fn of_planes(mut a: Plane, mut b: Plane) -> Similarity {
    let mut side = SSIM_SIDE.min(a.width).min(a.height());
    // A window has a middle.
    side -= usize::from(side.is_multiple_of(2));
    let fits = |side: usize, plane: &Plane| plane.width.min(plane.height()) >= side;
    let kernel = gaussian(side);
    let mut scales = Vec::new();
    loop {
        scales.push(at_one_scale(&a, &b, &kernel));
        if scales.len() == WEIGHTS.len() {
            break;
        }
        let (smaller_a, smaller_b) = match fits(2 * side, &a) {
            true => (a.halved(), b.halved()),
            false => break,
        };
        (a, b) = (smaller_a, smaller_b);
    }
    let weights = &WEIGHTS[..scales.len()];
    let all: f64 = weights.iter().sum();
    let last = scales.len() - 1;
    let factor = |(at, (whole, contrast)): (usize, &(f64, f64))| {
        let value = if at == last { whole } else { contrast };
        // Where structures are opposed there is no similarity, and no power of it.
        value.max(0.0).powf(weights[at] / all)
    };
    Similarity { ssim: scales[0].0, ms_ssim: scales.iter().enumerate().map(factor).product() }
}

/// Mean SSIM, and the mean of its contrast and structure alone.
fn at_one_scale(a: &Plane, b: &Plane, kernel: &[f64]) -> (f64, f64) {
    let (c1, c2) = ((0.01_f64 * 255.0).powi(2), (0.03_f64 * 255.0).powi(2));
    let product = |x: &Plane, y: &Plane| -> Vec<f64> {
        x.values.iter().zip(&y.values).map(|(x, y)| x * y).collect()
    };
    let smooth = |plane: &[f64]| blur(plane, a.width, kernel);
    let (mean_a, mean_b) = (smooth(&a.values), smooth(&b.values));
    let [aa, bb, ab] = [(a, a), (b, b), (a, b)].map(|(x, y)| smooth(&product(x, y)));
    let (mut whole, mut contrasts) = (0.0, 0.0);
    for i in 0..mean_a.len() {
        let (ma, mb) = (mean_a[i], mean_b[i]);
        let (va, vb, cov) = (aa[i] - ma * ma, bb[i] - mb * mb, ab[i] - ma * mb);
        let contrast = (2.0 * cov + c2) / (va + vb + c2);
        whole += (2.0 * ma * mb + c1) / (ma * ma + mb * mb + c1) * contrast;
        contrasts += contrast;
    }
    let places = mean_a.len() as f64;
    (whole / places, contrasts / places)
}
