//! The network of either model.

use super::blocks::Residence;
use super::check::Model;
use super::embed::{history_weight, history_weights};
use super::flow::shift_for;
use super::packed::Packed;
use super::told::{Text, Told};
use super::types::Types;
use super::{hunyuan, wan};
use crate::error::Error;
use crate::weights::{Weights, wrong};
use candle_core::{Device, Result, Tensor, bail};
use std::collections::BTreeMap;
use std::path::Path;

/// Kernels of the history that a section is shown.
const KERNELS: [usize; 3] = [1, 2, 4];
/// Shift of Wan's noise levels at 480 lines; that of `HunyuanVideo` goes by the number of tokens.
const WAN_SHIFT: f64 = 3.0;

/// A network with its weights.
#[derive(Clone, Debug)]
pub enum Network {
    /// `HunyuanVideo`'s.
    Hunyuan(Box<hunyuan::Transformer>),
    /// Wan's.
    Wan(Box<wan::Transformer>),
}

/// Maps the weights of the network in a model's folder.
///
/// # Errors
/// A file is missing or damaged; it is named.
pub fn weights(
    model: Model,
    folder: &Path,
    device: &Device,
) -> std::result::Result<Weights, Error> {
    Weights::open(&folder.join("transformer"), Types::of(model, device).network, device)
}

/// The projections of packed history that `weights` lack, made of the network's own projection of patches, by name
/// (`FramePack` §3.1); none where it has them.
///
/// # Errors
/// The network has no projection of patches.
pub fn missing_embedders(model: Model, weights: &Weights) -> Result<BTreeMap<String, Tensor>> {
    let lacks = |k: &usize| !weights.contains(&history_weight(*k));
    let kernels: Vec<usize> = KERNELS.into_iter().filter(lacks).collect();
    let patch = match model {
        Model::Hunyuan => hunyuan::PATCH,
        Model::Wan => wan::PATCH,
    };
    let tensor = |part: &str| {
        let name = format!("{patch}.{part}");
        match weights.shapes().get(&name) {
            Some(shape) => weights.get(shape.clone(), &name),
            None => bail!("expected a tensor {name}"),
        }
    };
    history_weights(&tensor("weight")?, &tensor("bias")?, &kernels)
}

impl Network {
    /// Reads the network in a model's folder, its tensors from `weights`, which may wear an adapter.
    ///
    /// # Errors
    /// A tensor is missing or has another shape, or Wan's network is one that is shown a picture's latent beside the
    /// noise, for which packed history leaves no place.
    pub fn open(
        model: Model,
        folder: &Path,
        weights: &Weights,
        residence: Residence,
    ) -> std::result::Result<Self, Error> {
        let folder = folder.join("transformer");
        let network = match model {
            Model::Hunyuan => {
                let config = hunyuan::Config::open(&folder)?;
                let network = hunyuan::Transformer::new(&config, weights, residence);
                network.map(|network| Self::Hunyuan(Box::new(network)))
            }
            Model::Wan => {
                let config = wan::Config::open(&folder)?;
                if config.in_channels != config.out_channels {
                    let (shown, made) = (config.in_channels, config.out_channels);
                    let reason = format!(
                        "expected Wan 2.1 from text to video, with as many in_channels as out_channels, got {shown} and {made}"
                    );
                    return Err(wrong(&folder.join("config.json"), &reason));
                }
                let network = wan::Transformer::new(&config, weights, residence);
                network.map(|network| Self::Wan(Box::new(network)))
            }
        };
        network.map_err(|error| wrong(&folder, &error))
    }

    /// Channels of a latent.
    pub fn channels(&self) -> usize {
        match self {
            Self::Hunyuan(network) => network.config().in_channels,
            Self::Wan(network) => network.config().in_channels,
        }
    }

    /// The shift of noise levels for sections of this many tokens.
    pub fn shift(&self, tokens: usize) -> f64 {
        match self {
            Self::Hunyuan(_) => shift_for(tokens),
            Self::Wan(_) => WAN_SHIFT,
        }
    }

    /// The velocity of a noisy section (1, C, T, H, W) at a noise level in 0..=1, in 32 bits.
    ///
    /// `HunyuanVideo` is told `guidance`. Wan is asked twice, with the prompt and without, unless it is 1.
    ///
    /// # Errors
    /// The parts do not fit each other, or the prompt was read for another model.
    pub fn velocity(
        &self,
        packed: &Packed,
        level: f64,
        told: &Told,
        guidance: f64,
    ) -> Result<Tensor> {
        #[expect(clippy::cast_possible_truncation, reason = "f32 is what the networks use")]
        let level = (1000.0 * level) as f32;
        let levels = Tensor::full(level, 1, packed.noisy.latents.device())?;
        match (self, &told.text) {
            (Self::Hunyuan(network), Text::Hunyuan(prompt)) => {
                network.forward(packed, &levels, &told.hunyuan(prompt, guidance)?)
            }
            (Self::Wan(network), Text::Wan { prompt, empty }) => {
                let told_prompt = network.forward(packed, &levels, &told.wan(prompt)?)?;
                if (guidance - 1.0).abs() < f64::EPSILON {
                    return Ok(told_prompt);
                }
                let untold = network.forward(packed, &levels, &told.wan(empty)?)?;
                ((told_prompt - &untold)? * guidance)? + untold
            }
            (Self::Hunyuan(_) | Self::Wan(_), _) => {
                bail!("expected a prompt that was read for this model")
            }
        }
    }
}
