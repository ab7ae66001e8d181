//! Training of the codec: pictures through noisy latents and back.

mod init;
mod pictures;

pub use init::initial_codec_weights;

use super::{Checkpoint, Muon, MuonConfig};
use crate::codec::{CELL, COLOURS, Codec, CodecConfig, Decoder, Encoder};
use crate::noise::Random;
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::VarBuilder;
use input::{Episode, Frame};
use pictures::Pictures;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Pictures that the basis of the latents is fitted to, at most.
const STATISTICS: usize = 512;

/// Settings of a training.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CodecTraining {
    /// Pictures in a step.
    pub pictures: usize,
    /// Rate after warm-up.
    pub rate: f64,
    /// Steps over which the rate rises from zero.
    pub warmup: u32,
    /// Steps in all; over the last `cooldown` share of them the rate falls to zero.
    pub steps: u32,
    /// Share of the steps that the rate falls over.
    pub cooldown: f64,
    /// Decay of the moving average of the weights.
    pub average: f32,
    /// Noise on latents before they are decoded, in their standard deviations: the world model's are
    /// not exact either.
    pub noise: f64,
    /// Of everything random.
    pub seed: u64,
}

impl Default for CodecTraining {
    fn default() -> Self {
        Self {
            pictures: 16,
            rate: 1e-3,
            warmup: 100,
            steps: 6000,
            cooldown: 0.4,
            average: 0.999,
            noise: 0.1,
            seed: 0,
        }
    }
}

impl CodecTraining {
    /// The rate of step `step`.
    pub fn rate_at(&self, step: u32) -> f64 {
        let steps = f64::from(self.steps.max(1));
        let rise = (f64::from(step) + 1.0) / f64::from(self.warmup.max(1));
        let fall = (steps - f64::from(step)) / (steps * self.cooldown).max(1.0);
        self.rate * rise.min(fall).clamp(0.0, 1.0)
    }
}

/// What one step did.
#[derive(Clone, Copy, Debug)]
pub struct CodecStep {
    /// The loss: absolute and squared errors of the pictures, of their edges and of their grain.
    pub loss: f32,
    /// Norm of the gradients before clipping.
    pub gradient: f64,
}

/// A training under way.
#[derive(Debug)]
pub struct CodecTrainer {
    config: CodecConfig,
    training: CodecTraining,
    encoder: Encoder,
    decoder: Decoder,
    pictures: Pictures,
    vars: BTreeMap<String, Var>,
    average: BTreeMap<String, Vec<f32>>,
    optimizer: Muon,
    step: u32,
    device: Device,
}

impl CodecTrainer {
    /// Starts from `weights`, or from a seed where there are none.
    ///
    /// # Errors
    /// There is no picture, or the pictures differ in size or have sides that 8 does not divide.
    pub fn new(
        config: &CodecConfig,
        training: CodecTraining,
        episodes: Vec<Episode>,
        weights: Option<BTreeMap<String, Tensor>>,
        device: &Device,
    ) -> Result<Self> {
        let weights = match weights {
            Some(weights) => weights,
            None => initial_codec_weights(config, training.seed)?,
        };
        // The basis is fitted at the end, not trained.
        let trained = weights.into_iter().filter(|(name, _)| !name.starts_with("normalize."));
        let vars = trained
            .map(|(name, weight)| Ok((name, Var::from_tensor(&weight.to_device(device)?)?)))
            .collect::<Result<BTreeMap<_, _>>>()?;
        let tensors = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone()));
        let vb = VarBuilder::from_tensors(tensors.collect(), DType::F32, device);
        let average = vars.iter().map(|(name, var)| Ok((name.clone(), values(var.as_tensor())?)));
        Ok(Self {
            encoder: Encoder::new(config, &vb.pp("encoder"))?,
            decoder: Decoder::new(config, &vb.pp("decoder"))?,
            pictures: Pictures::new(episodes)?,
            average: average.collect::<Result<_>>()?,
            optimizer: Muon::new(&vars, MuonConfig::default(), config.precision)?,
            config: config.clone(),
            device: device.clone(),
            step: 0,
            training,
            vars,
        })
    }

    /// Goes on from a checkpoint.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        for (name, var) in &self.vars {
            let find = |part: &BTreeMap<String, Tensor>| {
                let tensor = part.get(name).filter(|tensor| tensor.shape() == var.shape());
                let missing = || candle_core::Error::Msg(format!("checkpoint: no fitting {name}"));
                tensor.cloned().ok_or_else(missing)
            };
            var.set(&find(&checkpoint.weights)?.to_device(&self.device)?)?;
            self.average.insert(name.clone(), values(&find(&checkpoint.average)?)?);
        }
        self.step = checkpoint.step;
        let step = i32::try_from(checkpoint.step).map_err(candle_core::Error::wrap)?;
        self.optimizer.restore(&checkpoint.optimizer, step)
    }

    /// Everything needed to go on.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        // Copies: a step changes the variables in place.
        let weights = self.vars.iter().map(|(name, var)| Ok((name.clone(), var.copy()?)));
        Ok(Checkpoint {
            rollouts: BTreeMap::new(),
            weights: weights.collect::<Result<_>>()?,
            average: self.average()?,
            optimizer: self.optimizer.state()?,
            step: self.step,
        })
    }

    /// The moving average of the weights, on the CPU, without the basis of the latents.
    pub fn average(&self) -> Result<BTreeMap<String, Tensor>> {
        let tensor = |(name, values): (&String, &Vec<f32>)| {
            let shape = self.vars[name].shape().clone();
            Ok((name.clone(), Tensor::from_slice(values, shape, &Device::Cpu)?))
        };
        self.average.iter().map(tensor).collect()
    }

    /// Steps made so far.
    pub fn steps(&self) -> u32 {
        self.step
    }

    /// Settings.
    pub fn training(&self) -> &CodecTraining {
        &self.training
    }

    /// One step. Its pictures and noise are functions of the seed and the step alone.
    pub fn step(&mut self) -> Result<CodecStep> {
        let loss = self.loss()?;
        let rate = self.training.rate_at(self.step);
        let gradient = self.optimizer.step(&loss.backward()?, rate)?;
        self.step += 1;
        self.follow()?;
        Ok(CodecStep { loss: loss.to_scalar()?, gradient })
    }

    fn loss(&self) -> Result<Tensor> {
        let mut random = Random::new(self.training.seed, u64::from(self.step) + 1);
        let x = self.pictures.draw(self.training.pictures, &mut random, &self.device)?;
        let latents = self.encoder.forward(&x)?;
        let noise = random.normals(latents.elem_count());
        let noise = Tensor::from_vec(noise, latents.shape(), &self.device)?;
        let noise = (noise * (self.training.noise * deviation(&latents)?))?;
        let decoded = self.decoder.forward(&(latents + noise)?)?;
        let error = (&decoded - &x)?;
        let edges = (edges(&error, 1)? + edges(&error, 2)?)?;
        let grain = (grain(&decoded)? - grain(&x)?)?.abs()?.mean_all()?;
        error.abs()?.mean_all()? + (error.sqr()?.mean_all()? * 4.0)? + (edges * 0.5)? + grain
    }

    /// Moves the average towards the weights; early on faster, so that it forgets the start.
    fn follow(&mut self) -> Result<()> {
        #[expect(clippy::cast_precision_loss, reason = "only the first steps matter")]
        let step = self.step as f32;
        let decay = self.training.average.min((1.0 + step) / (10.0 + step));
        for (name, average) in &mut self.average {
            let weights = values(self.vars[name].as_tensor())?;
            average.par_chunks_mut(1 << 14).zip(weights.par_chunks(1 << 14)).for_each(|(a, w)| {
                a.iter_mut().zip(w).for_each(|(a, w)| *a += (1.0 - decay) * (w - *a));
            });
        }
        Ok(())
    }

    /// The averaged weights with the basis of their latents: what [`Codec::new`] reads.
    pub fn finish(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut weights = self.average()?;
        let codec = self.raw_codec()?;
        let Pictures { height, width, total, .. } = self.pictures;
        let latents = (0..total)
            .step_by(total.div_ceil(STATISTICS))
            .map(|at| codec.encode(self.pictures.picture(at), height, width));
        let latents = Tensor::cat(&latents.collect::<Result<Vec<_>>>()?, 0)?;
        weights.extend(codec.fit_basis(&latents)?);
        Ok(weights)
    }

    /// `count` pictures, always the same ones, over what the averaged codec makes of them.
    pub fn strip(&self, count: usize) -> Result<Frame> {
        let Pictures { height, width, total, .. } = self.pictures;
        let codec = self.raw_codec()?;
        let line = width * COLOURS;
        let mut pixels = vec![0; 2 * height * count * line];
        let mut random = Random::new(self.training.seed, 0);
        for column in 0..count {
            let picture = self.pictures.picture(random.below(total));
            let decoded = codec.decode(&codec.encode(picture, height, width)?)?;
            let lines = picture.chunks_exact(line).chain(decoded.chunks_exact(line));
            for (row, source) in lines.enumerate() {
                pixels[(row * count + column) * line..][..line].copy_from_slice(source);
            }
        }
        let side = |side: usize| u32::try_from(side).map_err(candle_core::Error::wrap);
        Ok(Frame { width: side(count * width)?, height: side(2 * height)?, pixels })
    }

    /// The averaged codec with latents as they are, on the CPU.
    fn raw_codec(&self) -> Result<Codec> {
        let mut weights = self.average()?;
        weights.extend(Codec::no_basis(self.config.channels)?);
        let vb = VarBuilder::from_tensors(weights.into_iter().collect(), DType::F32, &Device::Cpu);
        let mut codec = Codec::new(&self.config, &vb)?;
        codec.freeze()?;
        Ok(codec)
    }
}

/// Mean absolute difference between neighbours along an axis.
fn edges(error: &Tensor, axis: usize) -> Result<Tensor> {
    let rest = error.dim(axis)? - 1;
    (error.narrow(axis, 1, rest)? - error.narrow(axis, 0, rest)?)?.abs()?.mean_all()
}

/// Mean absolute differences of neighbours in each cell, down and across: (B, h, w, 6).
///
/// What a cell has of it is to be kept even where its exact place is lost: errors of single pixels would
/// rather see grain smoothed away.
fn grain(x: &Tensor) -> Result<Tensor> {
    let (batch, height, width, colours) = x.dims4()?;
    let cells = x.reshape(vec![batch, height / CELL, CELL, width / CELL, CELL, colours])?;
    let along = |axis: usize| {
        let (next, here) = (cells.narrow(axis, 1, CELL - 1)?, cells.narrow(axis, 0, CELL - 1)?);
        (next - here)?.abs()?.mean(4)?.mean(2)
    };
    Tensor::cat(&[along(2)?, along(4)?], 3)
}

/// Standard deviation of all values; no gradient flows.
fn deviation(tensor: &Tensor) -> Result<f64> {
    let tensor = tensor.detach();
    let centred = tensor.broadcast_sub(&tensor.mean_all()?)?;
    Ok(f64::from(centred.sqr()?.mean_all()?.to_scalar::<f32>()?).sqrt())
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_device(&Device::Cpu)?.to_vec1()
}

#[cfg(test)]
mod tests;
