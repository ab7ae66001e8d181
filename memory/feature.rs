//! What a frame looks like, in a form that ranks quickly.
//!
//! A latent has `P` positions of `C` channels. Each position's vector is scaled to length 1 and the
//! whole to `1/√P`, so that the dot product of two features is the mean over positions of the
//! cosine (FramePack eq. 3 sums; the mean makes the weight of time the same at every size).
//!
//! Features are kept in 8 bits a value. That moves a mean of P cosines by about `0.0023/√P`, nothing
//! to a ranking, and makes the product integer: exact, and the same on every machine.
//!
//! Beside it goes an orthonormal projection, onto averages over 4×4 blocks of positions, and the
//! length of what that leaves out. By Cauchy-Schwarz the full dot product is at most that of the
//! projections plus the product of the remainders.

use crate::error::Error;

/// Size of the latents that features are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureShape {
    /// Rows of positions.
    pub rows: usize,
    /// Columns of positions.
    pub columns: usize,
    /// Values at each position.
    pub channels: usize,
}

impl FeatureShape {
    /// Most values of a feature: a thousand times that of a game-sized latent's row.
    pub const VALUES_MAX: usize = 1 << 22;

    /// `P`, the number of positions.
    #[must_use]
    pub fn positions(self) -> usize {
        self.rows * self.columns
    }

    /// Values of a feature, `P · C`.
    #[must_use]
    pub fn values(self) -> usize {
        self.positions() * self.channels
    }

    /// Values left when blocks of `side` × `side` positions are averaged.
    pub(crate) fn pooled(self, side: usize) -> usize {
        self.rows.div_ceil(side) * self.columns.div_ceil(side) * self.channels
    }

    /// Checks that the size is neither empty nor absurd.
    ///
    /// # Errors
    /// [`Error::Shape`] otherwise.
    pub fn validate(self) -> Result<(), Error> {
        let values = self
            .rows
            .checked_mul(self.columns)
            .and_then(|positions| positions.checked_mul(self.channels))
            .filter(|values| (1..=Self::VALUES_MAX).contains(values));
        values.map(|_| ()).ok_or(Error::Shape { shape: self })
    }
}

/// Side of the blocks of the coarse projection.
pub(crate) const COARSE: usize = 4;

/// Steps of a stored value, which lies in -1..=1.
const FEATURE_STEPS: f32 = 127.0;
/// Steps of an estimate's value: eight times finer, there being but one.
const ESTIMATE_STEPS: f32 = 1016.0;
/// Values whose products are summed in 32 bits: 4096 · 127 · 1016 is a quarter of what they hold.
const CHUNK: usize = 4096;

/// A projection of a feature and the length of what it leaves out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Projection {
    pub(crate) values: Box<[f32]>,
    pub(crate) rest: f32,
}

/// The look of one remembered frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    shape: FeatureShape,
    /// Unit vectors by position, in steps.
    steps: Box<[i8]>,
    /// Length of what the coarse projection leaves out; the projection lies in [`Warm`](crate::Warm),
    /// beside those of all other frames.
    pub(crate) coarse_rest: f32,
}

/// The estimated look of the next section, X̂: the mean over its frames.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    shape: FeatureShape,
    /// Means over the frames of unit vectors by position, in steps.
    steps: Box<[i16]>,
    pub(crate) coarse: Projection,
}

impl Feature {
    /// The look of a frame from its mean-centred, normalised latent. `latent`: (P, C).
    ///
    /// # Errors
    /// When the latent has another size or a value is not finite.
    pub fn new(shape: FeatureShape, latent: &[f32]) -> Result<Self, Error> {
        let to_step = |value: f32| to_steps(value, FEATURE_STEPS).try_into().unwrap_or_default();
        let steps = unit_positions(shape, latent)?.into_iter().map(to_step).collect();
        let mut feature = Self { shape, steps, coarse_rest: 0.0 };
        feature.coarse_rest = feature.coarse().rest;
        Ok(feature)
    }

    /// The coarse projection, of the stored steps so that its bound holds for them.
    pub(crate) fn coarse(&self) -> Projection {
        let scale = 1.0 / (FEATURE_STEPS * root(self.shape.positions()));
        let values: Vec<f32> = self.steps.iter().map(|step| f32::from(*step) * scale).collect();
        Projection::new(self.shape, &values, COARSE)
    }

    /// Size of the latent it was made of.
    #[must_use]
    pub fn shape(&self) -> FeatureShape {
        self.shape
    }

    /// Mean over positions (and the estimate's frames) of the cosine, in -1..=1 (eq. 3).
    #[must_use]
    pub fn cosine(&self, estimate: &Estimate) -> f32 {
        let mut sum = 0_i64;
        for (a, b) in self.steps.chunks(CHUNK).zip(estimate.steps.chunks(CHUNK)) {
            let products = a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b));
            sum += i64::from(products.sum::<i32>());
        }
        sum as f32 / (FEATURE_STEPS * ESTIMATE_STEPS * count(self.shape.positions()))
    }
}

impl Estimate {
    /// The look of a section from its frames' mean-centred, normalised latents, each (P, C).
    ///
    /// # Errors
    /// When there is no frame, a latent has another size or a value is not finite.
    pub fn new(shape: FeatureShape, latents: &[&[f32]]) -> Result<Self, Error> {
        if latents.is_empty() {
            return Err(Error::NoEstimate);
        }
        let mut means = vec![0.0_f32; shape.values()];
        for latent in latents {
            for (mean, value) in means.iter_mut().zip(unit_positions(shape, latent)?) {
                *mean += value / count(latents.len());
            }
        }
        let steps: Box<[i16]> =
            means.into_iter().map(|value| to_steps(value, ESTIMATE_STEPS)).collect();
        let scale = 1.0 / (ESTIMATE_STEPS * root(shape.positions()));
        let values: Vec<f32> = steps.iter().map(|step| f32::from(*step) * scale).collect();
        Ok(Self { shape, steps, coarse: Projection::new(shape, &values, COARSE) })
    }

    /// Size of the latents it was made of.
    #[must_use]
    pub fn shape(&self) -> FeatureShape {
        self.shape
    }
}

impl Projection {
    /// Projects `values` (P, C) onto averages over blocks of `side` × `side` positions, smaller at
    /// the far edges. A block of n positions has the basis vector with `1/√n` at each.
    fn new(shape: FeatureShape, values: &[f32], side: usize) -> Self {
        let columns = shape.columns.div_ceil(side);
        let mut pooled = vec![0.0_f32; shape.pooled(side)];
        let place = |position: usize| {
            let (row, column) = (position / shape.columns, position % shape.columns);
            let cells = side.min(shape.rows - row / side * side)
                * side.min(shape.columns - column / side * side);
            ((row / side * columns + column / side) * shape.channels, 1.0 / root(cells))
        };
        for (position, cell) in values.chunks_exact(shape.channels).enumerate() {
            let (start, scale) = place(position);
            for (sum, value) in pooled[start..].iter_mut().zip(cell) {
                *sum += value * scale;
            }
        }
        let mut rest = 0.0;
        for (position, cell) in values.chunks_exact(shape.channels).enumerate() {
            let (start, scale) = place(position);
            for (average, value) in pooled[start..].iter().zip(cell) {
                rest += (value - average * scale).powi(2);
            }
        }
        Self { values: pooled.into(), rest: rest.sqrt() }
    }
}

/// Dot product, as sixteen sums side by side in an order that does not depend on the machine.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    let (a_lanes, b_lanes) = (a.chunks_exact(16), b.chunks_exact(16));
    let tail: f32 = a_lanes.remainder().iter().zip(b_lanes.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_lanes.zip(b_lanes) {
        for lane in 0..16 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + tail
}

/// Most by which rounding can leave a computed bound below the score: a sum of n products of vectors
/// of about length 1 is off by at most n/2 units in the last place, and four such sums go into it.
pub(crate) fn slack(shape: FeatureShape) -> f32 {
    2.0 * count(shape.values()) * f32::EPSILON
}

fn unit_positions(shape: FeatureShape, latent: &[f32]) -> Result<Vec<f32>, Error> {
    if latent.len() != shape.values() {
        return Err(Error::LatentSize { shape, expected: shape.values(), got: latent.len() });
    }
    let mut units = Vec::with_capacity(latent.len());
    for cell in latent.chunks_exact(shape.channels) {
        let length = cell.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        if !length.is_finite() {
            return Err(Error::NotFinite);
        }
        // A position without a direction is like nothing: cosine 0.
        let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
        units.extend(cell.iter().map(|value| narrow(f64::from(*value) * scale)));
    }
    Ok(units)
}

#[expect(clippy::cast_possible_truncation, reason = "a component of a unit vector, within -1..=1")]
fn narrow(value: f64) -> f32 {
    value as f32
}

#[expect(clippy::cast_possible_truncation, reason = "at most 1016 by the clamp")]
fn to_steps(value: f32, steps: f32) -> i16 {
    (value.clamp(-1.0, 1.0) * steps).round() as i16
}

/// A count as a float; shapes are checked to be far below 2^24.
pub(crate) fn count(count: usize) -> f32 {
    u32::try_from(count).map_or(f32::MAX, |count| count as f32)
}

fn root(cells: usize) -> f32 {
    count(cells).sqrt()
}
