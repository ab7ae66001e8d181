//! Latents to tokens: one projection for the noisy section, one for each kernel of history.

use super::layers::{Projection, Rotation};
use super::packed::{Packed, Stream};
use crate::model::{Rotary, patchify};
use crate::ops::Phases;
use crate::weights::Weights;
use candle_core::{Result, Tensor, bail};
use std::collections::BTreeMap;

/// Kernels that have a projection of their own (`FramePack` §3.1), where the weights hold it.
const KERNELS: [usize; 4] = [1, 2, 4, 8];
/// Where the projections of the history are.
const HISTORY: &str = "clean_x_embedder";

/// The projections.
#[derive(Clone, Debug)]
pub(super) struct Embedders {
    noisy: Projection,
    history: BTreeMap<usize, Projection>,
}

impl Embedders {
    /// `noisy`: path of the section's projection.
    pub(super) fn new(
        channels: usize,
        width: usize,
        noisy: &str,
        weights: &Weights,
    ) -> Result<Self> {
        let mut history = BTreeMap::new();
        for k in KERNELS {
            let weights = weights.pp(HISTORY).pp(kernel_name(k));
            if weights.contains("weight") {
                history.insert(k, Projection::patch(channels, k, width, &weights)?);
            }
        }
        Ok(Self { noisy: Projection::patch(channels, 1, width, &weights.pp(noisy))?, history })
    }

    /// Tokens (B, L, D) of the history and then of the section, with their phases.
    pub(super) fn forward(&self, packed: &Packed, rotary: &Rotary) -> Result<(Tensor, Rotation)> {
        packed.check()?;
        let grid = packed.grid()?;
        let mut tokens = Vec::new();
        let mut phases = Vec::new();
        for (k, stream) in &packed.history {
            let Some(projection) = self.history.get(k) else {
                bail!("kernel {k}: expected weights {HISTORY}.{}", kernel_name(*k))
            };
            tokens.push(projection.forward(&patches(stream, *k)?)?);
            phases.push(rotary.phases(&stream.times, grid, *k));
        }
        tokens.push(self.noisy.forward(&patches(&packed.noisy, 1)?)?);
        phases.push(rotary.phases(&packed.noisy.times, grid, 1));
        let tokens = Tensor::cat(&tokens, 1)?;
        let rotation =
            Rotation::new(&Phases::concatenated(rotary.half(), &phases), tokens.device())?;
        Ok((tokens, rotation))
    }
}

fn kernel_name(k: usize) -> String {
    if k == 1 { "proj".to_owned() } else { format!("proj_{k}x") }
}

/// Name of the weight of the history's projection at kernel `k`.
pub(super) fn history_weight(k: usize) -> String {
    format!("{HISTORY}.{}.weight", kernel_name(k))
}

/// Patch vectors of a stream (B, L, C · k · 2k · 2k), its ends padded by their last cells.
fn patches(stream: &Stream, k: usize) -> Result<Tensor> {
    let (batch, channels, frames, height, width) = stream.latents.dims5()?;
    let runs = frames.div_ceil(k);
    let groups = stream
        .latents
        .pad_with_same(2, 0, runs * k - frames)?
        .reshape(vec![batch, channels, runs, k, height, width])?
        .permute(vec![0, 2, 3, 1, 4, 5])? // B, runs, k, C, H, W
        .reshape((batch * runs, k, channels, height, width))?;
    let patches = patchify(&groups, k)?;
    let width = patches.dim(1)?;
    patches.reshape((batch, (), width))
}

/// Weights for the history's kernels `kernels`, made of the pretrained projection of noisy patches, by their names.
///
/// weight: (D, C, 1, 2, 2). Every tap is spread over the k × k × k cells that it stands for, so that a packed token
/// starts as the pretrained token of the averaged latents (`FramePack` §3.1).
pub fn history_weights(
    weight: &Tensor,
    bias: &Tensor,
    kernels: &[usize],
) -> Result<BTreeMap<String, Tensor>> {
    let (d, c, t, h, w) = weight.dims5()?;
    let mut tensors = BTreeMap::new();
    for &k in kernels {
        let name = format!("{HISTORY}.{}", kernel_name(k));
        let spread = weight
            .reshape(vec![d, c, t, 1, h, 1, w, 1])?
            .broadcast_as(vec![d, c, t, k, h, k, w, k])?
            .reshape((d, c, t * k, h * k, w * k))?;
        let cells = f64::from(u32::try_from(k * k * k)?);
        tensors.insert(format!("{name}.weight"), (spread / cells)?);
        tensors.insert(format!("{name}.bias"), bias.copy()?);
    }
    Ok(tensors)
}
