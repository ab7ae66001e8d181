//! The basis that latents are told in.
//!
//! An encoder's own channels repeat each other, and some matter far more to a picture than others. But
//! noise, cosines, squared errors and words treat all alike. So latents are turned and scaled: over the
//! data no two axes go together, and an error of one size changes the picture about equally along any
//! of them. What matters little is then small, and drowns first in noise; what is left first is what
//! a picture is about.

use super::Decoder;
use candle_core::{DType, Device, Result, Tensor, bail};
use candle_nn::VarBuilder;
use nalgebra::{DMatrix, DVector, SymmetricEigen};
use std::collections::BTreeMap;

/// Names of the tensors, beside the weights of the codec.
const MEAN: &str = "normalize.mean";
const MATRIX: &str = "normalize.matrix";
/// Pictures that the decoder's answer to small changes is measured on.
const PROBED: usize = 24;
/// Size of these changes, in standard deviations of a channel.
const PROBE: f64 = 0.1;
/// Least weight of an axis, as a share of the largest: a dead channel must not become noise.
const WEIGHT_MIN: f64 = 1e-4;

/// From raw latents to those that everything else sees, and back.
#[derive(Clone, Debug)]
pub(super) struct Basis {
    mean: Tensor,
    /// Applied from the right: (C, C).
    to: Tensor,
    from: Tensor,
}

impl Basis {
    /// Reads `normalize.mean` (C) and `normalize.matrix` (C, C): z = matrix · (raw - mean).
    ///
    /// # Errors
    /// A tensor is missing, has another shape, or the matrix cannot be undone.
    pub(super) fn new(channels: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let mean = vb.get(channels, MEAN)?;
        let matrix = vb.get((channels, channels), MATRIX)?;
        let finite = |tensor: &Tensor| -> Result<bool> {
            Ok(tensor.flatten_all()?.to_vec1::<f32>()?.into_iter().all(f32::is_finite))
        };
        if !(finite(&mean)? && finite(&matrix)?) {
            bail!("expected finite {MEAN} and {MATRIX} in the codec's weights");
        }
        let inverse = square(&matrix)?.try_inverse().filter(|m| m.iter().all(|x| x.is_finite()));
        let Some(inverse) = inverse else { bail!("expected a {MATRIX} that can be undone") };
        let from = tensor(&inverse)?.to_device(vb.device())?;
        Ok(Self { mean, to: matrix.t()?.contiguous()?, from: from.t()?.contiguous()? })
    }

    /// Raw latents (B, h, w, C) in the basis.
    pub(super) fn apply(&self, raw: &Tensor) -> Result<Tensor> {
        turn(&raw.broadcast_sub(&self.mean)?, &self.to)
    }

    /// Raw latents of latents in the basis (B, h, w, C).
    pub(super) fn undo(&self, latents: &Tensor) -> Result<Tensor> {
        turn(latents, &self.from)?.broadcast_add(&self.mean)
    }

    /// The tensors of a basis that leaves latents as they are.
    pub(super) fn identity(channels: usize) -> Result<BTreeMap<String, Tensor>> {
        named(vec![0.0; channels], &DMatrix::identity(channels, channels))
    }
}

/// The tensors of the basis for raw latents (B, h, w, C) of recorded pictures, at least one.
///
/// With Σ their covariance and G = `E[JᵀJ]`, J the decoder's Jacobian, the axes are the generalised
/// eigenvectors of the two, largest first: along them a change of one standard deviation moves the
/// pictures by λ, squared. Each is scaled to that, and all to variance 1 on the average.
pub(crate) fn fit(decoder: &Decoder, raw: &Tensor) -> Result<BTreeMap<String, Tensor>> {
    let channels = raw.dim(3)?;
    let cells = raw.flatten(0, 2)?.to_dtype(DType::F64)?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 cells")]
    let count = cells.dim(0)? as f64;
    let mean = cells.mean(0)?;
    let centred = cells.broadcast_sub(&mean)?;
    let mut covariance = square(&(centred.t()?.matmul(&centred)? / count)?)?;
    // A channel that never changes gets a little variance, or nothing could be divided by it.
    let floor = 1e-6 * (covariance.trace() / f64::from(u32::try_from(channels)?)).max(1e-6);
    for at in 0..channels {
        covariance[(at, at)] += floor;
    }
    let gram = sensitivity(decoder, raw, &covariance.diagonal().map(f64::sqrt))?;
    let Some(cholesky) = covariance.cholesky() else { bail!("latents have no covariance") };
    let lower = cholesky.l();
    let SymmetricEigen { eigenvalues, eigenvectors } =
        SymmetricEigen::new(lower.transpose() * gram * &lower);
    let mut order: Vec<usize> = (0..channels).collect();
    order.sort_by(|&a, &b| eigenvalues[b].total_cmp(&eigenvalues[a]));
    let least = WEIGHT_MIN * eigenvalues[order[0]].max(f64::MIN_POSITIVE);
    let weights =
        DVector::from_iterator(channels, order.iter().map(|&k| eigenvalues[k].max(least)));
    let Some(whiten) = lower.try_inverse() else { bail!("latents have no covariance") };
    let mut matrix = eigenvectors.select_columns(&order).transpose() * whiten;
    for (mut row, weight) in matrix.row_iter_mut().zip(weights.iter()) {
        // An axis has no sign of its own; its largest share is positive.
        let largest = row.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()));
        row *= largest.map_or(1.0, f64::signum) * (weight / weights.mean()).sqrt();
    }
    named(mean.to_vec1()?, &matrix)
}

/// `E[JᵀJ]` of the decoder over some of the latents, by one-sided differences: (C, C).
///
/// All cells change at once by random signs, so that on the average only a cell's own products are left.
fn sensitivity(decoder: &Decoder, raw: &Tensor, deviation: &DVector<f64>) -> Result<DMatrix<f64>> {
    let (count, height, width, channels) = raw.dims4()?;
    let mut random = crate::noise::Random::new(0, 0);
    let mut gram = Tensor::zeros((channels, channels), DType::F64, &Device::Cpu)?;
    let probed: Vec<usize> = (0..count).step_by(count.div_ceil(PROBED)).collect();
    for &at in &probed {
        let latent = raw.narrow(0, at, 1)?;
        let before = decoder.forward(&latent)?;
        let signs: Vec<f32> =
            (0..height * width).map(|_| if random.chance(0.5) { 1.0 } else { -1.0 }).collect();
        let mut answers = Vec::with_capacity(channels);
        for channel in 0..channels {
            let size = PROBE * deviation[channel];
            #[expect(clippy::cast_possible_truncation, reason = "f32 is what the networks use")]
            let change = size as f32;
            let mut values = vec![0.0_f32; height * width * channels];
            for (cell, sign) in values.chunks_exact_mut(channels).zip(&signs) {
                cell[channel] = change * sign;
            }
            let change = Tensor::from_vec(values, latent.shape(), latent.device())?;
            let answer = (decoder.forward(&(&latent + change)?)? - &before)?;
            answers.push((answer.flatten_all()?.to_dtype(DType::F64)? / size)?);
        }
        let answers = Tensor::stack(&answers, 0)?.to_device(&Device::Cpu)?;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let scale = 1.0 / (answers.dim(1)? * probed.len()) as f64;
        gram = (gram + (answers.matmul(&answers.t()?)? * scale)?)?;
    }
    square(&gram)
}

/// x: (B, h, w, C), matrix: (C, C).
fn turn(x: &Tensor, matrix: &Tensor) -> Result<Tensor> {
    x.flatten(0, 2)?.matmul(matrix)?.reshape(x.shape())
}

fn named(mean: Vec<f64>, matrix: &DMatrix<f64>) -> Result<BTreeMap<String, Tensor>> {
    let channels = mean.len();
    let mean = Tensor::from_vec(mean, channels, &Device::Cpu)?.to_dtype(DType::F32)?;
    Ok(BTreeMap::from([(MEAN.to_owned(), mean), (MATRIX.to_owned(), tensor(matrix)?)]))
}

fn square(tensor: &Tensor) -> Result<DMatrix<f64>> {
    let (rows, columns) = tensor.dims2()?;
    let values = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?;
    Ok(DMatrix::from_row_slice(rows, columns, &values.to_vec1::<f64>()?))
}

fn tensor(matrix: &DMatrix<f64>) -> Result<Tensor> {
    let rows: Vec<f64> = matrix.transpose().as_slice().to_vec();
    Tensor::from_vec(rows, matrix.shape(), &Device::Cpu)?.to_dtype(DType::F32)
}
