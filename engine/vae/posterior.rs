//! What an encoder says about a video: a Gaussian for every latent value.

use candle_core::{DType, Device, Result, Tensor};

/// Means and standard deviations of latents, (B, C, T, H, W), as the transformer sees latents.
#[derive(Clone, Debug)]
pub struct Posterior {
    mean: Tensor,
    deviation: Tensor,
}

impl Posterior {
    /// The likeliest latents.
    pub fn mode(&self) -> &Tensor {
        &self.mean
    }

    /// The latents that standard normal `noise` of their shape picks.
    ///
    /// # Errors
    /// The noise has another shape.
    pub fn sample(&self, noise: &Tensor) -> Result<Tensor> {
        &self.mean + (&self.deviation * noise)?
    }
}

/// How an autoencoder's latents are told to the transformer: (x - shift) · scale, channel by channel.
#[derive(Clone, Debug)]
pub(super) struct Units {
    /// (1, C, 1, 1, 1); with C of 1, the same for all channels.
    shift: Tensor,
    scale: Tensor,
}

impl Units {
    pub(super) fn new(shift: &[f64], scale: &[f64], dtype: DType, device: &Device) -> Result<Self> {
        let tensor = |values: &[f64]| {
            Tensor::new(values, device)?.to_dtype(dtype)?.reshape((1, values.len(), 1, 1, 1))
        };
        Ok(Self { shift: tensor(shift)?, scale: tensor(scale)? })
    }

    /// From `moments` (B, 2 C, T, H, W): means before logarithms of variances, in the encoder's units.
    pub(super) fn posterior(&self, moments: &Tensor) -> Result<Posterior> {
        let channels = moments.dim(1)? / 2;
        let mean = moments.narrow(1, 0, channels)?;
        let mean = mean.broadcast_sub(&self.shift)?.broadcast_mul(&self.scale)?;
        // Bounds as in every autoencoder of this family: a variance neither vanishes nor overflows.
        let logarithm = moments.narrow(1, channels, channels)?.clamp(-30_f32, 20_f32)?;
        let deviation = (logarithm * 0.5)?.exp()?.broadcast_mul(&self.scale)?;
        Ok(Posterior { mean, deviation })
    }

    /// `latents` (B, C, T, H, W) in the decoder's units.
    pub(super) fn undo(&self, latents: &Tensor) -> Result<Tensor> {
        latents.broadcast_div(&self.scale)?.broadcast_add(&self.shift)
    }
}
