//! First weights, from a seed.

use crate::model::{FILTERS, ModelConfig, WINDOW};
use crate::noise::Random;
use candle_core::{Device, Result, Tensor};
use std::collections::BTreeMap;

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
    for &k in config.kernels.iter().filter(|&&k| k > 1) {
        weights.widened_patch(config, k)?;
    }
    weights.linear("section", patch(1), dim)?;
    weights.motion(config)?;
    weights.zeros("reference.weight", &[dim, patch(1)])?;
    weights.linear("time_in", 128, condition)?;
    weights.linear("time_out", condition, condition)?;
    weights.zeros("step.weight", &[4, condition])?;
    weights.matrix("action_section", 3 * config.action, condition)?;
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
        self.linear("motion.gate", 3 * config.action, FILTERS)
    }

    fn widened_patch(&mut self, config: &ModelConfig, k: usize) -> Result<()> {
        let shape = vec![config.dim, config.channels, 1, 2, 2];
        let mut weight = self.all["patch.k1.weight"].reshape(shape)?;
        for axis in 2..5 {
            let mut wide = weight.dims().to_vec();
            wide.insert(axis + 1, k);
            weight = weight
                .unsqueeze(axis + 1)?
                .broadcast_as(wide)?
                .contiguous()?
                .flatten(axis, axis + 1)?;
        }
        let share =
            (0..3).fold(1.0, |share, _| share / f64::from(u32::try_from(k).expect("small")));
        let weight = (weight.flatten_from(1)? * share)?;
        self.all.insert(format!("patch.k{k}.weight"), weight);
        self.zeros(&format!("patch.k{k}.bias"), &[config.dim])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{WorldModel, patchify};
    use candle_core::DType;

    #[test]
    fn a_packed_token_starts_as_the_token_of_the_mean() {
        let config = ModelConfig::tiny();
        let weights = initial_weights(&config, 3, &Device::Cpu).unwrap();
        let apply = |k: usize, x: &Tensor| {
            let tokens = patchify(x, k).unwrap();
            tokens.matmul(&weights[&format!("patch.k{k}.weight")].t().unwrap()).unwrap()
        };
        // Constant over blocks of (2, 2, 2), so that the mean over time and space is the 2x2 picture.
        let small = Random::new(1, 1).normals(4 * 2 * 4);
        let small = Tensor::from_vec(small, (1, 1, 4, 2, 4), &Device::Cpu).unwrap();
        let wide = small
            .repeat((1, 2, 1, 1, 1))
            .unwrap()
            .reshape(vec![1, 2, 4, 2, 1, 4, 1])
            .unwrap()
            .broadcast_as(vec![1, 2, 4, 2, 2, 4, 2])
            .unwrap()
            .contiguous()
            .unwrap()
            .reshape((1, 2, 4, 4, 8))
            .unwrap();
        let difference = (apply(1, &small) - apply(2, &wide)).unwrap().abs().unwrap();
        assert!(difference.max_all().unwrap().to_scalar::<f32>().unwrap() < 1e-5);
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
