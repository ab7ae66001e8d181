//! From latents to the bytes of pictures, on a GPU beside the work that makes the next latents.

use super::basis::{self, Basis};
#[cfg(feature = "cuda")]
use super::pinned::{Copying, Pinned};
use super::{AT_ONCE, CodecConfig, Decoder};
use crate::device;
use crate::ops::{Conv2d, Precision, share, vectorized};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use std::collections::BTreeMap;

/// Bytes of a picture that are worth handing to another thread.
const TASK_BYTES: usize = 1 << 12;

/// The decoder, and on a GPU the stream that it has to itself.
#[derive(Clone, Debug)]
pub(super) struct Painter {
    decoder: Decoder,
    basis: Basis,
    device: Device,
    #[cfg(feature = "cuda")]
    buffers: Pinned,
}

/// Pictures that are being made: RGB bytes, one picture after another.
#[derive(Debug)]
pub struct Painting(Vec<Part>);

/// What is decoded at once.
#[derive(Debug)]
enum Part {
    Here(Vec<u8>),
    #[cfg(feature = "cuda")]
    Coming(Copying),
}

impl Painting {
    /// The pictures, once they are there.
    ///
    /// # Errors
    /// The GPU failed.
    pub fn wait(self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        for part in self.0 {
            let bytes = part.wait()?;
            if all.is_empty() {
                all = bytes;
            } else {
                all.extend(bytes);
            }
        }
        Ok(all)
    }
}

impl Part {
    fn wait(self) -> Result<Vec<u8>> {
        match self {
            Self::Here(bytes) => Ok(bytes),
            #[cfg(feature = "cuda")]
            Self::Coming(copying) => copying.wait(),
        }
    }
}

impl Painter {
    pub(super) fn new(config: &CodecConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let device = device::beside(vb.device())?;
        // Neither stream knows what the other has yet to do: weights are there before they are copied, and stay until
        // they were.
        vb.device().synchronize()?;
        let vb = vb.clone().set_device(device.clone());
        let painter = Self {
            decoder: Decoder::new(config, &vb.pp("decoder"))?,
            basis: Basis::new(config.channels, &vb)?,
            device: device.clone(),
            #[cfg(feature = "cuda")]
            buffers: Pinned::default(),
        };
        device.synchronize()?;
        Ok(painter)
    }

    /// Prepares weights that no longer change: for the integer kernels, or on a GPU as 16-bit floats.
    pub(super) fn freeze(&mut self, precision: Precision) -> Result<()> {
        if self.device.is_cpu() {
            self.decoder.convolutions().try_for_each(Conv2d::freeze)
        } else if precision.is_int16() {
            self.halve()
        } else {
            Ok(())
        }
    }

    /// Rounds the weights to 16-bit floats.
    pub(super) fn halve(&mut self) -> Result<()> {
        self.decoder.convolutions().try_for_each(Conv2d::halve)
    }

    /// As [`Codec::fit_basis`](super::Codec::fit_basis).
    pub(super) fn fit_basis(&self, latents: &Tensor) -> Result<BTreeMap<String, Tensor>> {
        let latents = device::across(latents, &self.device)?.permute((0, 2, 3, 1))?;
        basis::fit(&self.decoder, &latents.contiguous()?)
    }

    #[cfg(test)]
    pub(super) fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// latents: (B, C, h, w).
    pub(super) fn begin(&self, latents: &Tensor) -> Result<Painting> {
        let latents = device::across(latents, &self.device)?;
        let count = latents.dim(0)?;
        let parts = (0..count).step_by(AT_ONCE).map(|first| {
            let latents = latents.narrow(0, first, AT_ONCE.min(count - first))?;
            let latents = latents.permute((0, 2, 3, 1))?.contiguous()?;
            self.part(&self.decoder.forward(&self.basis.undo(&latents)?)?)
        });
        Ok(Painting(parts.collect::<Result<_>>()?))
    }

    fn part(&self, pictures: &Tensor) -> Result<Part> {
        #[cfg(feature = "cuda")]
        if self.device.is_cuda() {
            return self.buffers.copy(&rounded(pictures)?).map(Part::Coming);
        }
        bytes(pictures).map(Part::Here)
    }
}

/// Pictures in -1..=1 as RGB bytes.
pub(super) fn bytes(pictures: &Tensor) -> Result<Vec<u8>> {
    let values = pictures.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    let mut out = vec![0; values.len()];
    let parts = out.chunks_mut(TASK_BYTES).zip(values.chunks(TASK_BYTES));
    share(parts, |(out, values)| {
        vectorized(
            #[inline(always)]
            || {
                for (byte, value) in out.iter_mut().zip(values) {
                    let value = ((value + 1.0) * 127.5).round().clamp(0.0, 255.0);
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "clamped"
                    )]
                    let value = value as u8;
                    *byte = value;
                }
            },
        );
    });
    Ok(out)
}

/// The same bytes, where the pictures are.
#[cfg(any(test, feature = "cuda"))]
fn rounded(pictures: &Tensor) -> Result<Tensor> {
    let values = ((pictures.to_dtype(DType::F32)? + 1.0)? * 127.5)?;
    values.round()?.clamp(0.0_f32, 255.0_f32)?.to_dtype(DType::U8)?.flatten_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_rounds_as_a_cpu_does() {
        // Every byte, every half between two, and what lies beyond.
        let values: Vec<f32> = (-8..=520_i16).map(|at| f32::from(at) / 255.0 - 1.0).collect();
        let pictures = Tensor::from_vec(values, 529, &Device::Cpu).unwrap();
        let there = rounded(&pictures).unwrap().to_vec1::<u8>().unwrap();
        assert_eq!(there, bytes(&pictures).unwrap());
        assert_eq!((there[0], there[8], there[518], there[528]), (0, 0, 255, 255));
    }

    #[test]
    fn parts_come_in_their_order() {
        let painting = |parts: &[&[u8]]| {
            Painting(parts.iter().map(|part| Part::Here(part.to_vec())).collect()).wait().unwrap()
        };
        assert_eq!(painting(&[&[1, 2], &[3], &[4]]), [1, 2, 3, 4]);
        assert!(painting(&[]).is_empty());
    }
}
