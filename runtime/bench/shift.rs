//! How far a picture moved: phase correlation of luma (Kuglin and Hines 1975).

use std::f64::consts::TAU;

use super::metric::Picture;

/// Added to every magnitude, in units of the mean one, before dividing by it: frequencies in which
/// a picture has almost nothing (all high ones of a soft picture) would only bring noise.
const MAGNITUDE_FLOOR: f64 = 0.1;

/// A picture that stays closer to its mean is flat: what is left is rounding, as one step of one
/// colour changes luma by at least 0.114.
const FLAT: f64 = 0.01;

/// Finds shifts between pictures of one size.
///
/// Pictures lose their mean and their edges (Hann window), and are padded with zeros to powers of
/// two, so that a shift does not wrap around. Whole pixels; flat pictures never move.
#[derive(Clone, Debug)]
pub struct PhaseCorrelation {
    width: usize,
    height: usize,
    columns: Fourier,
    rows: Fourier,
    window: Vec<f64>,
}

/// The spectrum of one picture, to be compared with another's.
#[derive(Clone, Debug)]
pub struct Spectrum(Vec<Complex>);

impl PhaseCorrelation {
    /// For pictures of this size.
    pub fn new(width: usize, height: usize) -> Self {
        let hann = |i: usize, n: usize| 0.5 - 0.5 * (TAU * (i as f64 + 0.5) / n as f64).cos();
        let window = (0..width * height)
            .map(|at| hann(at % width, width) * hann(at / width, height))
            .collect();
        let (columns, rows) = (width.next_power_of_two(), height.next_power_of_two());
        Self { width, height, columns: Fourier::new(columns), rows: Fourier::new(rows), window }
    }

    /// What [`Self::between`] compares.
    ///
    /// # Panics
    /// When the picture is of another size.
    pub fn spectrum(&self, picture: Picture<'_>) -> Spectrum {
        let size = (picture.width(), picture.height());
        assert_eq!(size, (self.width, self.height), "pictures of one size are compared");
        let luma = picture.luma();
        let total: f64 = self.window.iter().sum();
        let weighted: f64 = luma.iter().zip(&self.window).map(|(l, w)| l * w).sum();
        // The windowed mean, so that the window itself leaves no trace that stands still.
        let mean = weighted / total;
        let (columns, rows) = (self.columns.len(), self.rows.len());
        let mut plane = vec![Complex::default(); columns * rows];
        if luma.iter().all(|value| (value - mean).abs() < FLAT) {
            return Spectrum(plane);
        }
        for (at, (&value, &weight)) in luma.iter().zip(&self.window).enumerate() {
            let (x, y) = (at % self.width, at / self.width);
            plane[y * columns + x].re = (value - mean) * weight;
        }
        self.transform(&mut plane);
        Spectrum(plane)
    }

    /// Pixels to the right and down by which what is seen in `from` has moved in `to`.
    pub fn between(&self, from: &Spectrum, to: &Spectrum) -> (i32, i32) {
        // conj(A) B, conjugated, so that the forward transform serves as the inverse one.
        let cross = from.0.iter().zip(&to.0).map(|(a, b)| a.times(b.conjugate()));
        let mut plane: Vec<Complex> = cross.collect();
        let mean = plane.iter().map(|c| c.magnitude()).sum::<f64>() / plane.len() as f64;
        if mean == 0.0 {
            return (0, 0);
        }
        for value in &mut plane {
            let scale = 1.0 / (value.magnitude() + MAGNITUDE_FLOOR * mean);
            *value = Complex { re: value.re * scale, im: value.im * scale };
        }
        self.transform(&mut plane);
        let mut peak = 0;
        for (at, value) in plane.iter().enumerate() {
            if value.re > plane[peak].re {
                peak = at;
            }
        }
        let columns = self.columns.len();
        (signed(peak % columns, columns), signed(peak / columns, self.rows.len()))
    }

    /// The shift between two pictures; see [`Self::between`].
    ///
    /// # Panics
    /// When a picture is of another size.
    pub fn shift(&self, from: Picture<'_>, to: Picture<'_>) -> (i32, i32) {
        self.between(&self.spectrum(from), &self.spectrum(to))
    }

    /// The two-dimensional Fourier transform of a padded plane.
    fn transform(&self, plane: &mut [Complex]) {
        let (columns, rows) = (self.columns.len(), self.rows.len());
        for row in plane.chunks_exact_mut(columns) {
            self.columns.transform(row);
        }
        let mut column = vec![Complex::default(); rows];
        for x in 0..columns {
            for (y, value) in column.iter_mut().enumerate() {
                *value = plane[y * columns + x];
            }
            self.rows.transform(&mut column);
            for (y, value) in column.iter().enumerate() {
                plane[y * columns + x] = *value;
            }
        }
    }
}

/// An index of a periodic axis as a shift: the upper half is negative.
fn signed(index: usize, period: usize) -> i32 {
    let as_i32 = |n: usize| i32::try_from(n).expect("pictures are at most 4096 pixels wide");
    if index * 2 > period { as_i32(index) - as_i32(period) } else { as_i32(index) }
}

#[derive(Clone, Copy, Debug, Default)]
struct Complex {
    re: f64,
    im: f64,
}

impl Complex {
    fn times(self, other: Self) -> Self {
        Self {
            re: self.re * other.re - self.im * other.im,
            im: self.re * other.im + self.im * other.re,
        }
    }

    fn conjugate(self) -> Self {
        Self { re: self.re, im: -self.im }
    }

    fn magnitude(self) -> f64 {
        self.re.hypot(self.im)
    }
}

/// The Fourier transform of a power of two of values, in place (Cooley and Tukey 1965).
#[derive(Clone, Debug)]
struct Fourier {
    /// The upper half circle, `exp(-2πi k / n)`.
    roots: Vec<Complex>,
    /// Where each value goes first: its index with the bits reversed.
    order: Vec<usize>,
}

impl Fourier {
    fn new(n: usize) -> Self {
        assert!(n.is_power_of_two(), "halves must be whole");
        let root = |k: usize| {
            let (im, re) = (-TAU * k as f64 / n as f64).sin_cos();
            Complex { re, im }
        };
        let bits = n.trailing_zeros();
        let reverse =
            |i: usize| if bits == 0 { 0 } else { i.reverse_bits() >> (usize::BITS - bits) };
        Self { roots: (0..n / 2).map(root).collect(), order: (0..n).map(reverse).collect() }
    }

    fn len(&self) -> usize {
        self.order.len()
    }

    fn transform(&self, values: &mut [Complex]) {
        for (i, &j) in self.order.iter().enumerate() {
            if i < j {
                values.swap(i, j);
            }
        }
        let mut half = 1;
        while half < values.len() {
            let step = self.len() / (2 * half);
            for block in values.chunks_exact_mut(2 * half) {
                let (low, high) = block.split_at_mut(half);
                for (k, (a, b)) in low.iter_mut().zip(high).enumerate() {
                    let turned = b.times(self.roots[k * step]);
                    *b = Complex { re: a.re - turned.re, im: a.im - turned.im };
                    *a = Complex { re: a.re + turned.re, im: a.im + turned.im };
                }
            }
            half *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A window of a texture too large to repeat, `(width, height)` at `(x, y)`.
    fn view(x: usize, y: usize, soft: usize) -> Vec<u8> {
        let cell = |x: usize, y: usize| {
            let mixed = (x / 3 * 7919) ^ (y / 2 * 104_729) ^ (x / 3 * (y / 2) * 31);
            mixed % 251
        };
        let level = |x: usize, y: usize| {
            let sum: usize = (0..soft * soft).map(|i| cell(x + i % soft, y + i / soft)).sum();
            u8::try_from(sum / (soft * soft)).unwrap()
        };
        (0..48 * 36).flat_map(|i| [level(x + i % 48, y + i / 48); 3]).collect()
    }

    /// Where one looks for what is seen to move by `shift`: the other way.
    fn at(shift: i32) -> usize {
        usize::try_from(100 - shift).unwrap()
    }

    fn shift_of(from: &[u8], to: &[u8]) -> (i32, i32) {
        PhaseCorrelation::new(48, 36).shift(Picture::new(from, 48), Picture::new(to, 48))
    }

    #[test]
    fn known_shifts_are_found() {
        let middle = view(100, 100, 1);
        for (dx, dy) in [(0, 0), (1, 0), (-1, 0), (5, -3), (-11, 2), (14, 6), (0, -9)] {
            let moved = view(at(dx), at(dy), 1);
            assert_eq!(shift_of(&middle, &moved), (dx, dy));
        }
    }

    #[test]
    fn a_soft_picture_of_a_sharp_one_still_moves_the_right_way() {
        for dx in [-8_i32, -3, 4, 9] {
            let found = shift_of(&view(100, 100, 1), &view(at(dx), 100, 4)).0;
            // A box of four pixels looks up to three ahead.
            assert!((found - dx).abs() <= 3 && found.signum() == dx.signum(), "{found} for {dx}");
        }
    }

    #[test]
    fn flat_pictures_never_move() {
        let (grey, white) = ([90; 48 * 36 * 3], [255; 48 * 36 * 3]);
        assert_eq!(shift_of(&grey, &white), (0, 0));
        assert_eq!(shift_of(&grey, &view(7, 7, 1)), (0, 0));
    }

    #[test]
    fn the_transform_is_the_sum_it_stands_for() {
        let values: Vec<Complex> = (0..8_i32)
            .map(|i| Complex { re: f64::from(i * i % 5), im: f64::from(i % 3) - 1.0 })
            .collect();
        let mut fast = values.clone();
        Fourier::new(8).transform(&mut fast);
        for (k, found) in fast.iter().enumerate() {
            let mut sum = Complex::default();
            for (n, value) in values.iter().enumerate() {
                let (im, re) = (-TAU * (k * n) as f64 / 8.0).sin_cos();
                let term = value.times(Complex { re, im });
                (sum.re, sum.im) = (sum.re + term.re, sum.im + term.im);
            }
            assert!((sum.re - found.re).abs() < 1e-9 && (sum.im - found.im).abs() < 1e-9);
        }
    }
}
