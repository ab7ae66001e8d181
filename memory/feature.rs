//! What a frame looks like, in a form that ranks quickly.
//!
//! A latent has `P` positions of `C` channels. Each position's vector is scaled to length 1 and the
//! whole to `1/√P`, so that the dot product of two features is the mean over positions of the
//! cosine (FramePack eq. 3 sums; the mean makes the weight of time the same at every size).
//!
//! Features are kept in 8 bits a value. That moves a mean of P cosines by about `0.0023/√P`, nothing
//! to a ranking, and makes the product integer: exact, and the same on every machine.
//!
//! Beside it go two [`Sketch`]es, its averages over blocks of 4×4 and of 2×2 positions: they bound how like something a
//! feature can be, and the finer one serves the pooled ranking.

use std::sync::Arc;

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
    /// Most values of a feature: a thousand times those of a 128×96 world.
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

    /// Values of a sketch of blocks of this side.
    pub(crate) fn sketch(self, block: usize) -> usize {
        self.rows.div_ceil(block) * self.columns.div_ceil(block) * self.channels
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

/// Sides of the blocks that sketches average, the coarser first.
pub(crate) const BLOCKS: [usize; 2] = [4, 2];

/// Steps of a stored value, which lies in -1..=1.
const FEATURE_STEPS: f32 = 127.0;
/// Steps of an estimate's value: eight times finer, there being but one.
const ESTIMATE_STEPS: f32 = 1016.0;
/// Values whose products are summed in 32 bits: 4096 · 127 · 1016 is a quarter of what they hold.
const CHUNK: usize = 4096;

/// Averages over blocks, in steps.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sketch<T> {
    /// In [`Looks`](crate::looks::Looks) they lie beside those of all other frames instead.
    pub(crate) steps: Box<[T]>,
    /// Size of a step.
    scale: f32,
    /// Euclidean length of the averages as they are stored.
    length: f32,
    /// Of them unrounded.
    whole: f32,
    /// Of what rounding took from them.
    rounded: f32,
    /// Of what they leave out.
    rest: f32,
}

/// The look of one remembered frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    shape: FeatureShape,
    /// Unit vectors by position, in steps; shared by copies.
    steps: Arc<[i8]>,
}

/// The estimated look of the next section, X̂: the mean over its frames.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    shape: FeatureShape,
    /// Means over the frames of unit vectors by position, in steps.
    steps: Box<[i16]>,
    /// Of these steps, the coarser first.
    pub(crate) sketches: [Sketch<i16>; 2],
}

impl Feature {
    /// The look of a frame from its mean-centred, normalised latent. `latent`: (P, C).
    ///
    /// # Errors
    /// When the shape is unsound, the latent has another size or a value is not finite.
    pub fn new(shape: FeatureShape, latent: &[f32]) -> Result<Self, Error> {
        let to_step = |value: f32| to_steps(value, FEATURE_STEPS).try_into().unwrap_or_default();
        let steps = unit_positions(shape, latent)?.into_iter().map(to_step).collect();
        Ok(Self { shape, steps })
    }

    /// Sketches of the stored steps, the coarser first.
    pub(crate) fn sketches(&self) -> [Sketch<i8>; 2] {
        let scale = 1.0 / (FEATURE_STEPS * root(self.shape.positions()));
        let values: Vec<f32> = self.steps.iter().map(|step| f32::from(*step) * scale).collect();
        BLOCKS.map(|block| Sketch::new(self.shape, block, &values, FEATURE_STEPS))
    }

    /// Size of the latent it was made of.
    #[must_use]
    pub fn shape(&self) -> FeatureShape {
        self.shape
    }

    /// The estimate of a section that looks like this frame, to rank others against it.
    ///
    /// # Errors
    /// Never for a feature that [`Self::new`] made.
    pub fn to_estimate(&self) -> Result<Estimate, Error> {
        let values: Vec<f32> = self.steps.iter().map(|step| f32::from(*step)).collect();
        Estimate::new(self.shape, &[&values])
    }

    /// Mean over positions (and the estimate's frames) of the cosine, in -1..=1 (eq. 3).
    #[must_use]
    pub fn cosine(&self, estimate: &Estimate) -> f32 {
        estimate.cosine(&self.steps)
    }

    /// Its steps, to be kept without it.
    pub(crate) fn steps(&self) -> &[i8] {
        &self.steps
    }

    /// A feature of steps that were kept; there are as many as `shape` has values.
    pub(crate) fn from_steps(shape: FeatureShape, steps: &[i8]) -> Self {
        Self { shape, steps: steps.into() }
    }
}

impl Estimate {
    /// The look of a section from its frames' mean-centred, normalised latents, each (P, C).
    ///
    /// # Errors
    /// When the shape is unsound, there is no frame, a latent has another size or a value is not
    /// finite.
    pub fn new(shape: FeatureShape, latents: &[&[f32]]) -> Result<Self, Error> {
        shape.validate()?;
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
        let sketches = BLOCKS.map(|block| Sketch::new(shape, block, &values, ESTIMATE_STEPS));
        Ok(Self { shape, steps, sketches })
    }

    /// The same mean over positions with the steps of a feature. Inlined, so that it is compiled for
    /// the vectors of the caller.
    #[inline(always)]
    pub(crate) fn cosine(&self, steps: &[i8]) -> f32 {
        let sum = products(steps, &self.steps);
        sum as f32 / (FEATURE_STEPS * ESTIMATE_STEPS * count(self.shape.positions()))
    }

    /// Size of the latents it was made of.
    #[must_use]
    pub fn shape(&self) -> FeatureShape {
        self.shape
    }
}

impl<T: Copy + Default + TryFrom<i16> + Into<f32>> Sketch<T> {
    /// Projects `values` (P, C) onto averages over blocks of positions, smaller at the far edges: a
    /// block of n positions has the basis vector with `1/√n` at each. Rounds to `steps` steps.
    fn new(shape: FeatureShape, block: usize, values: &[f32], steps: f32) -> Self {
        let columns = shape.columns.div_ceil(block);
        let mut averages = vec![0.0_f32; shape.sketch(block)];
        let place = |position: usize| {
            let (row, column) = (position / shape.columns, position % shape.columns);
            let cells = block.min(shape.rows - row / block * block)
                * block.min(shape.columns - column / block * block);
            ((row / block * columns + column / block) * shape.channels, 1.0 / root(cells))
        };
        for (position, cell) in values.chunks_exact(shape.channels).enumerate() {
            let (start, scale) = place(position);
            for (sum, value) in averages[start..].iter_mut().zip(cell) {
                *sum += value * scale;
            }
        }
        let square = |values: &[f32]| values.iter().map(|value| value * value).sum::<f32>();
        let (whole, all) = (square(&averages), square(values));
        let rest = (all - whole).max(0.0).sqrt();
        Self { rest, whole: whole.sqrt(), ..Self::rounded(&averages, steps) }
    }

    fn rounded(averages: &[f32], steps: f32) -> Self {
        let largest = averages.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let scale = if largest > 0.0 { largest / steps } else { 1.0 };
        let (mut length, mut rounded) = (0.0_f32, 0.0_f32);
        let round = |value: &f32| {
            let step = T::try_from(to_steps(value / largest.max(f32::MIN_POSITIVE), steps));
            let step = step.unwrap_or_default();
            let stored: f32 = step.into() * scale;
            length += stored * stored;
            rounded += (value - stored) * (value - stored);
            step
        };
        let steps = averages.iter().map(round).collect();
        let (length, rounded) = (length.sqrt(), rounded.sqrt());
        Self { steps, scale, length, whole: length, rounded, rest: 0.0 }
    }
}

impl Sketch<i8> {
    /// The cosine of the stored averages; `sum` is that of the products of steps.
    pub(crate) fn cosine(&self, sum: f32, other: &Sketch<i16>) -> f32 {
        let cosine = self.dot(sum, other) / (self.length * other.length);
        // A look without any direction is like nothing.
        if cosine.is_finite() { cosine } else { 0.0 }
    }

    /// What the mean cosine of the features behind both is at most; `sum` is that of the products of steps.
    ///
    /// With averages A and their stored form A', and a rest R at right angles to all averages, the product of x and y is
    /// `A'x·A'y + (Ax - A'x)·A'y + Ax·(Ay - A'y) + Rx·Ry`, the last three of which their lengths bound (Cauchy and
    /// Schwarz).
    pub(crate) fn bound(&self, sum: f32, other: &Sketch<i16>) -> f32 {
        let rounded = self.rounded * other.length + self.whole * other.rounded;
        self.dot(sum, other) + rounded + self.rest * other.rest
    }

    fn dot(&self, sum: f32, other: &Sketch<i16>) -> f32 {
        sum * (self.scale * other.scale)
    }
}

/// Sum of products, exact. Inlined, so that it is compiled for the vectors of the caller.
#[inline(always)]
pub(crate) fn products(a: &[i8], b: &[i16]) -> i64 {
    let mut total = 0;
    for (a, b) in a.chunks(CHUNK).zip(b.chunks(CHUNK)) {
        let mut sum = 0_i32;
        for (a, b) in a.iter().zip(b) {
            // It fits, as [`CHUNK`] says; a check of each sum would keep it from being a vector's.
            sum = sum.wrapping_add(i32::from(*a) * i32::from(*b));
        }
        total += i64::from(sum);
    }
    total
}

/// Runs `work` compiled for the widest vectors that this CPU has: write it `#[inline(always)] || ...`
/// around plain loops.
#[inline(always)]
pub(crate) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// The latent with every position's vector at length 1.
fn unit_positions(shape: FeatureShape, latent: &[f32]) -> Result<Vec<f32>, Error> {
    shape.validate()?;
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
