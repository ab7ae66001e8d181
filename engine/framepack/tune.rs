//! A finetuning under way: an adapter trained on clips of recorded play.

use super::blocks::Residence;
use super::check::Model;
use super::finetune::Sample;
use super::network::{Network, missing_embedders, weights};
use super::told::{Text, Told};
use super::window::Order;
use crate::adapter::{Adapter, AdapterConfig};
use crate::error::Error;
use crate::noise::Random;
use crate::train::{Checkpoint, Muon, MuonConfig, rate_at, save_atomically};
use candle_core::{DType, Device, Result, Tensor, Var, bail};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

/// Steps over which the rate rises from zero.
const WARMUP: u32 = 50;
/// Share of the steps, the last ones, over which it falls to zero.
const COOLDOWN: f64 = 0.2;

/// Settings.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// The adapter.
    pub adapter: AdapterConfig,
    /// The order that sections are to be made in.
    pub order: Order,
    /// Latent frames of a section.
    pub frames: usize,
    /// Rate after warm-up.
    pub rate: f64,
    /// Steps in all.
    pub steps: u32,
    /// The guidance scale that `HunyuanVideo` is told.
    pub guidance: f64,
    /// Of everything random.
    pub seed: u64,
}

/// A clip to learn from.
#[derive(Clone, Debug)]
pub struct Clip {
    /// (1, C, T, H, W): its first frame and whole sections after it.
    pub latents: Tensor,
    /// States of the image encoder for its first frame, where the model has one: (L, D).
    pub states: Option<Tensor>,
}

/// Writes clips to a file, in 16 bits.
///
/// # Errors
/// It cannot be written.
pub fn save_clips(clips: &[Clip], path: &Path) -> Result<()> {
    let mut tensors = HashMap::new();
    for (at, Clip { latents, states }) in clips.iter().enumerate() {
        for (part, tensor) in [("latents", Some(latents)), ("states", states.as_ref())] {
            if let Some(tensor) = tensor {
                let tensor = tensor.to_dtype(DType::F16)?.to_device(&Device::Cpu)?;
                tensors.insert(format!("{at:05}.{part}"), tensor.contiguous()?);
            }
        }
    }
    save_atomically(&tensors, path)
}

/// Reads clips onto a device.
///
/// # Errors
/// The file is missing or damaged; it is named.
pub fn load_clips(path: &Path, device: &Device) -> Result<Vec<Clip>> {
    let read = || -> Result<Vec<Clip>> {
        let tensors = candle_core::safetensors::load(path, device)?;
        let tensors: BTreeMap<_, _> = tensors.into_iter().collect();
        let clips = tensors.iter().filter_map(|(name, latents)| {
            let number = name.strip_suffix(".latents")?;
            let states = tensors.get(&format!("{number}.states"));
            Some((latents, states))
        });
        let clip = |(latents, states): (&Tensor, Option<&Tensor>)| {
            latents.dims5()?;
            Ok(Clip {
                latents: latents.to_dtype(DType::F32)?,
                states: states.map(|states| states.to_dtype(DType::F32)).transpose()?,
            })
        };
        clips.map(clip).collect()
    };
    read().map_err(|error| error.with_path(path))
}

/// A training under way.
#[derive(Debug)]
pub struct Tuner {
    tuning: Tuning,
    network: Network,
    /// Made of the variables.
    adapter: Adapter,
    vars: BTreeMap<String, Var>,
    optimizer: Muon,
    clips: Vec<Clip>,
    text: Text,
    device: Device,
    step: u32,
}

impl Tuner {
    /// A training of a new adapter for the model in a folder, whose clips show what `text` says.
    ///
    /// Projections of packed history that the network lacks start as its own one and are trained whole; those that it
    /// has are trained on.
    ///
    /// # Errors
    /// A file of the model is missing or damaged, or there is no clip of at least one section.
    pub fn new(
        model: Model,
        folder: &Path,
        clips: Vec<Clip>,
        text: Text,
        tuning: Tuning,
        device: &Device,
    ) -> std::result::Result<Self, Error> {
        for clip in &clips {
            let length = clip.latents.dim(2)?;
            if length < 1 + tuning.frames {
                let expected = format!("clips of at least {} latent frames", 1 + tuning.frames);
                return Err(Error::Size { expected, got: length.to_string() });
            }
        }
        if clips.is_empty() {
            let expected = "clips to learn from".to_owned();
            return Err(Error::Size { expected, got: "none".to_owned() });
        }
        let weights = weights(model, folder, device)?;
        let own = missing_embedders(model, &weights)?;
        let (adapter, vars) = Adapter::new(&weights, own, tuning.adapter)?.variables()?;
        let worn = weights.with(Arc::new(adapter.clone()));
        let network = Network::open(model, folder, &worn, Residence::Held)?;
        let optimizer = Muon::without_matrices(&vars, MuonConfig::default())?;
        let device = device.clone();
        Ok(Self { tuning, network, adapter, vars, optimizer, clips, text, device, step: 0 })
    }

    /// Steps made so far.
    pub fn steps(&self) -> u32 {
        self.step
    }

    /// One step on one section; answers its loss. What is random in it is a function of the seed and the step alone.
    ///
    /// # Errors
    /// The clips do not fit the network.
    pub fn step(&mut self) -> Result<f32> {
        let Tuning { order, frames, rate, steps, guidance, seed, .. } = self.tuning;
        let mut random = Random::new(seed, u64::from(self.step) + 1);
        let clip = &self.clips[random.below(self.clips.len())];
        let section = random.below((clip.latents.dim(2)? - 1) / frames);
        let latents = clip.latents.to_device(&self.device)?;
        let sample = Sample::new(order, &latents, section, frames, &mut random)?;
        let told = Told { text: self.text.clone(), image: clip.states.clone() };
        // A network that is asked with the prompt and without learns with it.
        let guidance = if let Text::Wan { .. } = told.text { 1.0 } else { guidance };
        let velocity = self.network.velocity(&sample.packed, sample.level, &told, guidance)?;
        let loss = sample.loss(&velocity)?;
        let rate = rate_at(rate, (WARMUP, steps, COOLDOWN), self.step);
        self.optimizer.step(&loss.backward()?, rate)?;
        self.step += 1;
        loss.to_scalar()
    }

    /// The adapter as it is now.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// Everything needed to go on.
    ///
    /// # Errors
    /// Memory has run out.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        // Copies, because steps write in place.
        let weights = self.vars.iter().map(|(name, var)| Ok((name.clone(), var.copy()?)));
        Ok(Checkpoint {
            weights: weights.collect::<Result<_>>()?,
            optimizer: self.optimizer.state()?,
            step: self.step,
            ..Checkpoint::default()
        })
    }

    /// Goes on from a checkpoint.
    ///
    /// # Errors
    /// It is of another adapter.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        for (name, var) in &self.vars {
            match checkpoint.weights.get(name) {
                Some(weight) if weight.shape() == var.shape() => var.set(weight)?,
                Some(_) | None => bail!("checkpoint: no fitting {name}"),
            }
        }
        self.step = checkpoint.step;
        let step = i32::try_from(checkpoint.step).map_err(candle_core::Error::wrap)?;
        self.optimizer.restore(&checkpoint.optimizer, step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn clips_are_kept_as_they_are_within_16_bits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clips.safetensors");
        let tensor = |shape: &[usize]| {
            let values = Random::new(1, 1).normals(shape.iter().product());
            Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
        };
        let clips = [
            Clip { latents: tensor(&[1, 2, 10, 2, 2]), states: Some(tensor(&[3, 4])) },
            Clip { latents: tensor(&[1, 2, 19, 2, 2]), states: None },
        ];
        save_clips(&clips, &path).unwrap();
        let read = load_clips(&path, &Device::Cpu).unwrap();
        for (read, clip) in read.iter().zip(&clips) {
            let off = (&read.latents - &clip.latents).unwrap().abs().unwrap().max_all().unwrap();
            // Normal numbers are below 8, where 11 bits are steps of 1/256.
            assert!(off.to_scalar::<f32>().unwrap() <= 1.0 / 512.0);
            assert_eq!(read.states.is_some(), clip.states.is_some());
        }
        assert_eq!(read.len(), 2);
    }

    proptest! {
        #[test]
        fn damaged_clips_are_an_error_that_names_them(cut in 1_usize..300) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("clips.safetensors");
            let latents = Tensor::zeros((1, 2, 3, 2, 2), DType::F32, &Device::Cpu).unwrap();
            save_clips(&[Clip { latents, states: None }], &path).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() - cut.min(bytes.len())]).unwrap();
            let error = load_clips(&path, &Device::Cpu).unwrap_err().to_string();
            prop_assert!(error.contains("clips.safetensors"), "{}", error);
        }
    }
}
