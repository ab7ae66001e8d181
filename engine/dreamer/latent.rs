//! What worlds can be played, and latents as play keeps, shows and ranks them.

use crate::error::Error;
use crate::model::HistoryAttention;
use crate::pack::{Schedule, Tier};
use crate::world::World;
use candle_core::{DType, Device, Tensor};
use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use memory::{FeatureShape, FrameId};
use std::sync::Arc;

/// Whether a world can be dreamed under a schedule.
pub(super) fn check(schedule: &Schedule, world: &World) -> Result<(), Error> {
    if world.config.model.history == HistoryAttention::Causal {
        return Err(Error::Size {
            expected: "a world whose history attends to itself, for play keeps its keys and values"
                .to_owned(),
            got: format!("causal attention in {}", world.config.title),
        });
    }
    let kernels = &world.config.model.kernels;
    let trained =
        |tier: &Tier| kernels.contains(&tier.kernel.frames()) && tier.kernel.is_simplified();
    if let Some(tier) = schedule.forward_tiers()?.into_iter().find(|tier| !trained(tier)) {
        let expected = format!("a kernel among {kernels:?} in {schedule}");
        return Err(Error::Size { expected, got: tier.to_string() });
    }
    if schedule.is_discrete() && world.codebook.is_none() {
        let got = "a world without".to_owned();
        return Err(Error::Size { expected: format!("a codebook for {schedule}"), got });
    }
    Ok(())
}

/// A latent (C, H, W) as it is kept: 16-bit floats by their bits.
pub(super) fn stored(latent: &Tensor) -> Result<Arc<[u16]>, Error> {
    let halves = latent.to_dtype(DType::F16)?.to_device(&Device::Cpu)?;
    let halves: Vec<f16> = halves.flatten_all()?.to_vec1()?;
    Ok(halves.iter().map(|half| half.to_bits()).collect())
}

/// The values of a latent that is kept.
pub(super) fn restored(stored: &[u16]) -> Vec<f32> {
    stored.reinterpret_cast::<f16>().to_f32_vec()
}

/// (C, P) to (P, C), as the ranking wants it.
pub(super) fn look(latent: &[f32], channels: usize) -> Vec<f32> {
    let positions = latent.len() / channels;
    (0..positions).flat_map(|p| (0..channels).map(move |c| latent[c * positions + p])).collect()
}

pub(super) fn feature_shape(world: &World) -> FeatureShape {
    let model = world.model.config();
    FeatureShape { rows: model.height, columns: model.width, channels: model.channels }
}

pub(super) fn gone(frame: FrameId) -> Error {
    Error::Size { expected: "a remembered frame".to_owned(), got: format!("frame {frame}, let go") }
}
