//! First weights, from a seed.

use crate::model::{FILTERS, ModelConfig, WINDOW};
use crate::noise::Random;
use candle_core::{Device, Result, Tensor};
use std::collections::BTreeMap;

/// Where the gate of renderings starts: seven eighths of them pass.
const GATE: f32 = 2.0;

/// Untrained weights of the world model under their names.
///
/// Projections of coarser kernels start as that of k1 read through a block mean, so that a packed
/// token of a block-constant latent equals the token of its mean (`FramePack` §3.1). Modulations and
/// the head start at zero, so that the network starts as the identity that answers zero.
pub fn initial_weights(
    config: &ModelConfig,
    seed: u64,
    device: &Device,
) -> Result<BTreeMap<String, Tensor>> {
    let mut weights = Weights { all: BTreeMap::new(), random: Random::new(seed, 0), device };
    let (dim, condition) = (config.dim, config.condition);
    let patch = |k: usize| config.channels * k * (2 * k) * (2 * k);
    weights.linear("patch.k1", patch(1), dim)?;
    widen_projections(config, &mut weights.all)?;
    weights.linear("section", patch(1), dim)?;
    weights.motion(config)?;
    weights.zeros("reference.weight", &[dim, patch(1)])?;
    weights.linear("time_in", 128, condition)?;
    weights.linear("time_out", condition, condition)?;
    weights.zeros("step.weight", &[4, condition])?;
    weights.matrix("action_section", config.told(), condition)?;
    weights.matrix("action_group", config.action, condition)?;
    for i in 0..config.depth {
        let name = |part: &str| format!("blocks.{i}.{part}");
        weights.zeros(&name("modulation.weight"), &[6 * dim, condition])?;
        weights.zeros(&name("modulation.bias"), &[6 * dim])?;
        for part in ["q", "k", "v", "out"] {
            weights.linear(&name(part), dim, dim)?;
        }
        for part in ["q_norm.weight", "k_norm.weight"] {
            let ones = Tensor::ones(dim / config.heads, candle_core::DType::F32, device)?;
            weights.all.insert(name(part), ones);
        }
        weights.linear(&name("up"), dim, 4 * dim)?;
        weights.linear(&name("down"), 4 * dim, dim)?;
    }
    for (name, inputs, outputs) in
        [("final_modulation", condition, 2 * dim), ("head", dim, 4 * config.channels)]
    {
        weights.zeros(&format!("{name}.weight"), &[outputs, inputs])?;
        weights.zeros(&format!("{name}.bias"), &[outputs])?;
    }
    Ok(weights.all)
}

/// Adds what `weights` of another configuration lack: projections of coarser kernels, each read off that of k1, and what
/// bearings do, which is nothing at first. What bearings did that are not told any more goes.
///
/// # Errors
/// The projection of k1 has another shape than the configuration's.
pub(super) fn widen_projections(
    config: &ModelConfig,
    weights: &mut BTreeMap<String, Tensor>,
) -> Result<()> {
    for name in ["action_section.weight", "motion.gate.weight"] {
        let Some(weight) = weights.get(name) else { continue };
        let (has, wanted) = (weight.dim(1)?, config.told());
        let fitting = match wanted.checked_sub(has) {
            Some(missing) => weight.pad_with_zeros(1, 0, missing)?,
            None => weight.narrow(1, 0, wanted)?.contiguous()?,
        };
        weights.insert(name.to_owned(), fitting);
    }
    widen_renderings(config, weights)?;
    let finest = ["weight", "bias"].map(|part| weights.get(&format!("patch.k1.{part}")).cloned());
    let [Some(weight), Some(bias)] = finest else { return Ok(()) };
    for k in config.kernels.iter().filter(|&&k| k > 1) {
        if !weights.contains_key(&format!("patch.k{k}.weight")) {
            weights.insert(format!("patch.k{k}.weight"), widened(config, &weight, *k)?);
            weights.insert(format!("patch.k{k}.bias"), bias.copy()?);
        }
    }
    Ok(())
}

/// Layers for renderings, where these are shown: they say nothing at first, and most of them passes into answers.
fn widen_renderings(config: &ModelConfig, weights: &mut BTreeMap<String, Tensor>) -> Result<()> {
    let inputs = 4 * (config.channels + 1);
    let device = weights.values().next().map_or(&Device::Cpu, Tensor::device).clone();
    for (name, shape) in [
        ("rendering.embedding.weight", &[config.dim, inputs][..]),
        ("rendering.gate.weight", &[4, config.dim]),
        ("rendering.gate.bias", &[4]),
    ] {
        if !config.rendering {
            weights.remove(name);
        } else if !weights.contains_key(name) {
            let first = if name.ends_with("bias") { GATE } else { 0.0 };
            weights.insert(name.to_owned(), Tensor::full(first, shape, &device)?);
        }
    }
    Ok(())
}

/// The projection of k1 interpolated to kernel `k`, each tap repeated k times along time, rows and columns.
fn widened(config: &ModelConfig, finest: &Tensor, k: usize) -> Result<Tensor> {
    let mut weight = finest.reshape(vec![config.dim, config.channels, 1, 2, 2])?;
    for axis in 2..5 {
        let mut wide = weight.dims().to_vec();
        wide.insert(axis + 1, k);
        weight = weight
            .unsqueeze(axis + 1)?
            .broadcast_as(wide)?
            .contiguous()?
            .flatten(axis, axis + 1)?;
    }
    let share = (0..3).fold(1.0, |share, _| share / f64::from(u32::try_from(k).expect("small")));
    weight.flatten_from(1)? * share
}

struct Weights<'a> {
    all: BTreeMap<String, Tensor>,
    random: Random,
    device: &'a Device,
}

impl Weights<'_> {
    fn zeros(&mut self, name: &str, shape: &[usize]) -> Result<()> {
        let zeros = Tensor::zeros(shape, candle_core::DType::F32, self.device)?;
        self.all.insert(name.to_owned(), zeros);
        Ok(())
    }

    /// Uniform in ±1/sqrt(inputs), as the field's linear layers start.
    fn matrix(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<()> {
        #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^24")]
        let bound = 1.0 / (inputs as f32).sqrt();
        let values = (0..inputs * outputs).map(|_| bound * (2.0 * self.random.uniform() - 1.0));
        let weight = Tensor::from_vec(values.collect(), (outputs, inputs), self.device)?;
        self.all.insert(format!("{name}.weight"), weight);
        Ok(())
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<()> {
        self.matrix(name, inputs, outputs)?;
        self.zeros(&format!("{name}.bias"), &[outputs])
    }

    /// Filters that leave a frame as it is, mixed at random.
    fn motion(&mut self, config: &ModelConfig) -> Result<()> {
        let (channels, cells) = (config.channels, WINDOW.0 * WINDOW.1);
        let mut filter = vec![0.0_f32; cells * channels * channels];
        let middle = cells / 2 * channels * channels;
        (0..channels).for_each(|at| filter[middle + at * channels + at] = 1.0);
        let filters = Tensor::from_vec(
            filter.repeat(FILTERS),
            (FILTERS, cells * channels * channels),
            self.device,
        )?;
        self.all.insert("motion.filters".to_owned(), filters);
        self.zeros("motion.bias", &[FILTERS, channels])?;
        self.linear("motion.gate", config.told(), FILTERS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{WorldModel, embed_cells};
    use crate::pack::Kernel;
    use candle_core::DType;

    /// A frame's latent of one value to a block of `blocks` (frames, rows, columns), and the frame of these values.
    fn blocks(channels: usize, [frames, rows, columns]: [usize; 3]) -> [Tensor; 2] {
        let small = Random::new(1, 1).normals(channels * 2 * 4);
        let small = Tensor::from_vec(small, (1, 1, channels, 2, 4), &Device::Cpu).unwrap();
        let wide = small
            .reshape(vec![1, 1, channels, 2, 1, 4, 1])
            .unwrap()
            .broadcast_as(vec![1, frames, channels, 2, rows, 4, columns])
            .unwrap()
            .contiguous()
            .unwrap()
            .reshape((1, frames, channels, 2 * rows, 4 * columns))
            .unwrap();
        [small, wide]
    }

    fn assert_near(a: &Tensor, b: &Tensor) {
        let difference = (a - b).unwrap().abs().unwrap().max_all().unwrap();
        // Sums of up to 4 · 4 · 8 · 8 products of size 1 in f32.
        assert!(difference.to_scalar::<f32>().unwrap() < 1e-5);
    }

    #[test]
    fn a_packed_token_starts_as_the_token_of_the_mean() {
        let config = ModelConfig { kernels: vec![1, 2, 4], ..ModelConfig::tiny() };
        let mut weights = initial_weights(&config, 3, &Device::Cpu).unwrap();
        let bias = Random::new(2, 0).normals(config.dim);
        weights.insert("patch.k1.bias".to_owned(), Tensor::new(bias, &Device::Cpu).unwrap());
        for part in ["k2.weight", "k2.bias", "k4.weight", "k4.bias"] {
            weights.remove(&format!("patch.{part}"));
        }
        widen_projections(&config, &mut weights).unwrap();
        let apply = |kernel: Kernel, x: &Tensor| {
            let embedding = config.embedding(kernel).unwrap();
            let [weight, bias] =
                ["weight", "bias"].map(|part| &weights[&format!("patch.k{}.{part}", embedding.k)]);
            let tokens = embed_cells(x, embedding).unwrap().matmul(&weight.t().unwrap()).unwrap();
            tokens.broadcast_add(bias).unwrap()
        };
        // Those of a projection of their own, and those that are pooled first.
        for (frames, rows, columns) in
            [(2, 2, 2), (4, 4, 4), (8, 8, 8), (16, 16, 16), (1, 32, 32), (2, 1, 4), (4, 2, 8)]
        {
            let kernel = Kernel::new(frames, 2 * rows, 2 * columns).unwrap();
            let [small, wide] = blocks(config.channels, [frames, rows, columns].map(usize::from));
            assert_near(&apply(Kernel::FINEST, &small), &apply(kernel, &wide));
        }
    }

    #[test]
    fn projections_that_are_there_stay() {
        let config = ModelConfig::tiny();
        let mut weights = initial_weights(&config, 3, &Device::Cpu).unwrap();
        let own = (weights["patch.k2.weight"].clone() + 1.0).unwrap();
        weights.insert("patch.k2.weight".to_owned(), own.clone());
        let wider = ModelConfig { kernels: vec![1, 2, 4, 8], ..config };
        widen_projections(&wider, &mut weights).unwrap();
        assert_near(&weights["patch.k2.weight"], &own);
        assert_eq!(weights["patch.k8.weight"].dims(), [32, 4 * 8 * 16 * 16]);
    }

    #[test]
    fn the_names_are_those_the_model_reads() {
        let config = ModelConfig::tiny();
        let weights = initial_weights(&config, 3, &Device::Cpu).unwrap();
        let read = |weights: &BTreeMap<String, Tensor>| {
            let tensors = weights.clone().into_iter().collect();
            let vb = candle_nn::VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
            WorldModel::new(&config, &vb)
        };
        read(&weights).unwrap();
        for name in weights.keys() {
            let mut others = weights.clone();
            others.remove(name);
            assert!(read(&others).is_err(), "{name} is not read");
        }
    }
}
