//! Low-rank adapters: small files that turn a published network into a finetuned one.
//!
//! Beside a layer's weight W stands (α / r) · B · A, of rank r. An adapter also holds tensors of its own, such as the
//! projections of packed history, which a network made for single clips does not have.
//!
//! E. Hu et al., "`LoRA`: Low-Rank Adaptation of Large Language Models", arXiv 2106.09685.

use crate::error::Error;
use crate::noise::Random;
use crate::train::save_atomically;
use crate::weights::Weights;
use candle_core::{DType, Device, Result, Tensor, Var, bail};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Ends of the names of the factors and of the scale, those that the field's other tools write.
const DOWN: &str = ".lora_A.weight";
const UP: &str = ".lora_B.weight";
const ALPHA: &str = ".alpha";
/// What tools put before a network's own names.
const PREFIXES: [&str; 2] = ["transformer.", "diffusion_model."];
/// Blocks whose layers are adapted.
const BLOCKS: [&str; 3] = ["transformer_blocks.", "single_transformer_blocks.", "blocks."];
/// Largest adapter that is read.
const BYTES_MAX: u64 = 16 << 30;

/// Sizes of a new adapter.
#[derive(Clone, Copy, Debug)]
pub struct AdapterConfig {
    /// Rank r of the pairs, at least 1.
    pub rank: usize,
    /// α: at α = r a pair counts as it is.
    pub alpha: f32,
    /// Seed of the first factors; the second ones start at zero.
    pub seed: u64,
}

/// An adapter's tensors by their names in the network.
#[derive(Clone, Debug, Default)]
pub struct Adapter {
    tensors: BTreeMap<String, Tensor>,
    alphas: BTreeMap<String, f32>,
}

impl Adapter {
    /// An adapter that changes nothing yet, of pairs beside the attention and projection layers of all blocks.
    ///
    /// `own`: further tensors to train whole, such as [`history_weights`](crate::framepack::embed::history_weights).
    ///
    /// # Errors
    /// The rank is 0, or the network has no such layers.
    pub fn new(
        weights: &Weights,
        own: BTreeMap<String, Tensor>,
        config: AdapterConfig,
    ) -> Result<Self> {
        if config.rank == 0 || !config.alpha.is_finite() {
            bail!("expected a rank of at least 1 and a finite alpha, got {config:?}");
        }
        let mut adapter = Self { tensors: own, alphas: BTreeMap::new() };
        for (stream, (path, inputs, outputs)) in (0..).zip(layers(weights)) {
            let mut random = Random::new(config.seed, stream);
            #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^24")]
            let bound = (3.0 / inputs as f32).sqrt();
            let values = (0..config.rank * inputs).map(|_| bound * (2.0 * random.uniform() - 1.0));
            let device = weights.device();
            let down = Tensor::from_vec(values.collect(), (config.rank, inputs), device)?;
            let up = Tensor::zeros((outputs, config.rank), DType::F32, device)?;
            adapter.tensors.insert(format!("{path}{DOWN}"), down);
            adapter.tensors.insert(format!("{path}{UP}"), up);
            adapter.alphas.insert(path, config.alpha);
        }
        if adapter.alphas.is_empty() {
            bail!("expected a network with layers in {BLOCKS:?}");
        }
        Ok(adapter)
    }

    /// The same adapter with these tensors of its own too.
    #[must_use]
    pub fn with_own(mut self, own: BTreeMap<String, Tensor>) -> Self {
        self.tensors.extend(own);
        self
    }

    /// The same adapter made of variables, with these by name: what is built from it can be trained.
    pub fn variables(&self) -> Result<(Self, BTreeMap<String, Var>)> {
        let vars = self.tensors.iter().map(|(name, tensor)| {
            Ok((name.clone(), Var::from_tensor(&tensor.to_dtype(DType::F32)?)?))
        });
        let vars: BTreeMap<_, _> = vars.collect::<Result<_>>()?;
        let tensors = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone()));
        Ok((Self { tensors: tensors.collect(), alphas: self.alphas.clone() }, vars))
    }

    /// Writes the adapter, α of each pair as a tensor beside it.
    pub fn save(&self, path: &Path) -> Result<()> {
        let name = |name: &str| format!("{}{name}", PREFIXES[0]);
        let mut all = HashMap::new();
        for (key, tensor) in &self.tensors {
            all.insert(name(key), tensor.detach().to_device(&Device::Cpu)?);
        }
        for (key, &alpha) in &self.alphas {
            all.insert(name(&format!("{key}{ALPHA}")), Tensor::new(alpha, &Device::Cpu)?);
        }
        save_atomically(&all, path)
    }

    /// Reads an adapter, with or without the prefixes that tools put before names. Without α, it is the rank.
    ///
    /// # Errors
    /// The file is missing or damaged, or half of a pair is missing; the message names it.
    pub fn open(path: &Path, device: &Device) -> std::result::Result<Self, Error> {
        let read = |source| Error::Read { what: "adapter", source, path: path.to_owned() };
        let wrong = |error: &dyn std::fmt::Display| Error::World {
            reason: format!("expected an adapter: {error}"),
            path: path.to_owned(),
        };
        let bytes = std::fs::metadata(path).map_err(read)?.len();
        if bytes > BYTES_MAX {
            return Err(wrong(&format!("got {bytes} bytes")));
        }
        let tensors =
            candle_core::safetensors::load(path, device).map_err(|error| wrong(&error))?;
        Self::from_tensors(tensors).map_err(|error| wrong(&error))
    }

    fn from_tensors(tensors: HashMap<String, Tensor>) -> Result<Self> {
        let mut adapter = Self::default();
        for (name, tensor) in tensors.into_iter().collect::<BTreeMap<_, _>>() {
            let bare =
                PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(&name);
            match bare.strip_suffix(ALPHA) {
                Some(layer) => {
                    let alpha = tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
                    let [alpha] = alpha[..] else { bail!("{name}: expected one number") };
                    adapter.alphas.insert(layer.to_owned(), alpha);
                }
                None => _ = adapter.tensors.insert(bare.to_owned(), tensor.to_dtype(DType::F32)?),
            }
        }
        let pairs: Vec<String> = adapter
            .tensors
            .keys()
            .filter_map(|name| Some(name.strip_suffix(DOWN)?.to_owned()))
            .collect();
        for layer in &pairs {
            let down = adapter.tensors[&format!("{layer}{DOWN}")].dims2()?;
            let up = adapter.tensors.get(&format!("{layer}{UP}"));
            let Some(up) = up else { bail!("{layer}: expected {UP} beside {DOWN}") };
            if up.dims2()?.1 != down.0 {
                bail!("{layer}: expected factors of one rank, got {down:?} and {up:?}");
            }
            #[expect(clippy::cast_precision_loss, reason = "ranks are small")]
            let rank = down.0 as f32;
            adapter.alphas.entry(layer.clone()).or_insert(rank);
        }
        let alone = adapter.tensors.keys().filter_map(|name| name.strip_suffix(UP));
        if let Some(layer) = alone
            .chain(adapter.alphas.keys().map(String::as_str))
            .find(|&l| !pairs.iter().any(|p| p == l))
        {
            bail!("{layer}: expected {DOWN}");
        }
        Ok(adapter)
    }

    /// A tensor of the adapter's own.
    pub(crate) fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// The names of the adapter's own tensors, those that belong to no pair.
    pub(crate) fn own(&self) -> impl Iterator<Item = (&String, &Tensor)> {
        self.tensors.iter().filter(|(name, _)| !name.ends_with(DOWN) && !name.ends_with(UP))
    }

    /// The pair of the layer at `path`.
    pub(crate) fn low_rank(
        &self,
        path: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<Option<LowRank>> {
        let Some(&alpha) = self.alphas.get(path) else { return Ok(None) };
        let (down, up) =
            (&self.tensors[&format!("{path}{DOWN}")], &self.tensors[&format!("{path}{UP}")]);
        let rank = down.dim(0)?;
        if down.dims() != [rank, inputs] || up.dims() != [outputs, rank] {
            bail!(
                "adapter: expected factors of ({outputs}, {inputs}) for {path}, got {down:?} and {up:?}"
            );
        }
        #[expect(clippy::cast_precision_loss, reason = "ranks are small")]
        let scale = f64::from(alpha) / rank as f64;
        Ok(Some(LowRank { down: down.clone(), up: up.clone(), scale }))
    }

    /// The same adapter with other values.
    pub(crate) fn of(&self, tensors: BTreeMap<String, Tensor>) -> Self {
        Self { tensors, alphas: self.alphas.clone() }
    }

    /// The tensor `name` of the network with the adapter worked into it, of the tensor's type.
    ///
    /// # Errors
    /// The adapter's factors have another shape.
    pub fn merged(&self, name: &str, tensor: &Tensor) -> Result<Tensor> {
        self.applied(name, tensor)?.detach().to_dtype(tensor.dtype())
    }

    /// The same in 32 bits where the adapter changes it; gradients lead through it to the factors.
    pub(crate) fn applied(&self, name: &str, tensor: &Tensor) -> Result<Tensor> {
        if let Some(own) = self.tensor(name) {
            return Ok(own.clone());
        }
        let path = name.strip_suffix(".weight").filter(|path| self.alphas.contains_key(*path));
        let Some(path) = path else { return Ok(tensor.clone()) };
        let (outputs, inputs) = tensor.dims2()?;
        match self.low_rank(path, inputs, outputs)? {
            Some(pair) => tensor.to_dtype(DType::F32)? + pair.product()?,
            None => Ok(tensor.clone()),
        }
    }
}

/// The layers of a network that are adapted: path, inputs, outputs. Those of norms are left as they are.
fn layers(weights: &Weights) -> impl Iterator<Item = (String, usize, usize)> {
    weights.shapes().iter().filter_map(|(name, shape)| {
        let path = name.strip_suffix(".weight")?;
        let &[outputs, inputs] = &shape[..] else { return None };
        let adapted =
            BLOCKS.iter().any(|blocks| path.starts_with(blocks)) && !path.contains("norm");
        adapted.then(|| (path.to_owned(), inputs, outputs))
    })
}

/// (α / r) · B · A beside a layer.
#[derive(Clone, Debug)]
pub(crate) struct LowRank {
    /// A: (r, in).
    down: Tensor,
    /// B: (out, r).
    up: Tensor,
    scale: f64,
}

impl LowRank {
    /// x: (R, in) to (R, out), in 32 bits.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let narrow = x.to_dtype(DType::F32)?.matmul(&self.down.t()?)?;
        narrow.matmul(&self.up.t()?)? * self.scale
    }

    /// What is added to the layer's weight: (out, in).
    fn product(&self) -> Result<Tensor> {
        self.up.matmul(&self.down)? * self.scale
    }
}

mod merge;

pub use merge::merge;

#[cfg(test)]
mod tests;
