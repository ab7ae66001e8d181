//! Checkpoints that survive a kill at any moment.

use candle_core::{DType, Device, Result, Tensor, bail};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Everything that a training needs to go on.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    /// Weights in training.
    pub weights: BTreeMap<String, Tensor>,
    /// Moving average of the weights: what is played.
    pub average: BTreeMap<String, Tensor>,
    /// State of the optimizer.
    pub optimizer: BTreeMap<String, Tensor>,
    /// Rollouts under way, where the training has any.
    pub rollouts: BTreeMap<String, Tensor>,
    /// Steps made.
    pub step: u32,
}

impl Checkpoint {
    /// Writes all to `path`: either the old file or the new one is there, whatever happens.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut all = HashMap::new();
        for (part, tensors) in [
            ("weights", &self.weights),
            ("average", &self.average),
            ("optimizer", &self.optimizer),
            ("rollouts", &self.rollouts),
        ] {
            for (name, tensor) in tensors {
                all.insert(format!("{part}/{name}"), tensor.to_device(&Device::Cpu)?);
            }
        }
        all.insert("step".to_owned(), Tensor::new(&[self.step], &Device::Cpu)?);
        save_atomically(&all, path)
    }

    /// Reads a checkpoint onto `device`.
    ///
    /// # Errors
    /// The file is missing, damaged, or no checkpoint.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        let mut checkpoint = Self::default();
        let mut step = None;
        let tensors = candle_core::safetensors::load(path, &Device::Cpu).map_err(|error| {
            let path = path.display();
            candle_core::Error::Msg(format!(
                "{path}: {error}; remove it to begin the training anew"
            ))
        })?;
        for (name, tensor) in tensors.into_iter().collect::<BTreeMap<_, _>>() {
            if name == "step" {
                step = tensor.to_vec1::<u32>()?.first().copied();
                continue;
            }
            let parts = [
                ("weights/", &mut checkpoint.weights),
                ("average/", &mut checkpoint.average),
                ("optimizer/", &mut checkpoint.optimizer),
                ("rollouts/", &mut checkpoint.rollouts),
            ];
            let part = parts.into_iter().find_map(|(prefix, part)| {
                name.strip_prefix(prefix).map(|name| (name.to_owned(), part))
            });
            let Some((name, part)) = part else {
                bail!("{}: expected a training checkpoint, got tensor {name}", path.display())
            };
            part.insert(name, tensor.to_device(device)?);
        }
        let Some(step) = step else { bail!("{}: expected a tensor `step`", path.display()) };
        checkpoint.step = step;
        Ok(checkpoint)
    }
}

impl Checkpoint {
    /// Whether every weight is a number.
    pub fn is_finite(&self) -> Result<bool> {
        for tensor in self.weights.values() {
            if !tensor.to_dtype(DType::F32)?.abs()?.sum_all()?.to_scalar::<f32>()?.is_finite() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Writes weights in f16, as worlds are shipped.
pub fn save_half(weights: &BTreeMap<String, Tensor>, path: &Path) -> Result<()> {
    let half = |(name, tensor): (&String, &Tensor)| {
        Ok((name.clone(), tensor.to_dtype(DType::F16)?.to_device(&Device::Cpu)?))
    };
    save_atomically(&weights.iter().map(half).collect::<Result<_>>()?, path)
}

/// Writes weights as they are.
pub fn save_weights(weights: &BTreeMap<String, Tensor>, path: &Path) -> Result<()> {
    let on_cpu =
        |(name, tensor): (&String, &Tensor)| Ok((name.clone(), tensor.to_device(&Device::Cpu)?));
    save_atomically(&weights.iter().map(on_cpu).collect::<Result<_>>()?, path)
}

/// Reads weights of any float type as f32.
pub fn load_weights(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    let tensors = candle_core::safetensors::load(path, device)?;
    tensors.into_iter().map(|(name, tensor)| Ok((name, tensor.to_dtype(DType::F32)?))).collect()
}

/// Writes tensors beside `path`, flushes them to the disk and renames.
pub(crate) fn save_atomically(tensors: &HashMap<String, Tensor>, path: &Path) -> Result<()> {
    let unfinished = path.with_extension("partial");
    // The writer of `safetensors` would make a file that nobody else can read.
    let bytes = safetensors::serialize(tensors, None)?;
    std::fs::write(&unfinished, bytes)?;
    std::fs::File::open(&unfinished)?.sync_all()?;
    Ok(std::fs::rename(&unfinished, path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn weights_may_be_read_by_whom_any_file_may_be() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let (weights, any) = (dir.path().join("weights.safetensors"), dir.path().join("any"));
        let tensor = Tensor::new(&[1.0_f32, -2.0], &Device::Cpu).unwrap();
        save_weights(&BTreeMap::from([("a".to_owned(), tensor)]), &weights).unwrap();
        std::fs::write(&any, "").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&weights), mode(&any));
        let read = load_weights(&weights, &Device::Cpu).unwrap();
        assert_eq!(read["a"].to_vec1::<f32>().unwrap(), [1.0, -2.0]);
    }

    #[test]
    fn a_damaged_checkpoint_is_named_and_one_of_no_numbers_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("world.checkpoint.safetensors");
        let of = |values: &[f32]| Checkpoint {
            weights: BTreeMap::from([("a".to_owned(), Tensor::new(values, &Device::Cpu).unwrap())]),
            step: 3,
            ..Checkpoint::default()
        };
        assert!(of(&[1.0, -2.0]).is_finite().unwrap());
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!of(&[1.0, wrong]).is_finite().unwrap());
        }
        of(&[1.0]).save(&path).unwrap();
        assert_eq!(Checkpoint::load(&path, &Device::Cpu).unwrap().step, 3);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        let error = Checkpoint::load(&path, &Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("world.checkpoint.safetensors: "), "{error}");
        assert!(error.contains("remove it to begin the training anew"), "{error}");
    }
}
