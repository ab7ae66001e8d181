//! Published weights: safetensors files, one or many with an index, mapped into memory and read tensor by tensor.
//!
//! A folder of the Hugging Face layout holds `config.json` and either one file of weights or an index,
//! `NAME.safetensors.index.json`, whose `weight_map` says in which of the files beside it a tensor lies.

use crate::error::Error;
use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Names that files of weights are published under, the extension left out.
const STEMS: [&str; 2] = ["diffusion_pytorch_model", "model"];
/// Most bytes of an index or a configuration.
const JSON_BYTES_MAX: u64 = 1 << 26;
/// Most files that an index may name; the largest published networks have a hundred.
const SHARDS_MAX: usize = 4096;
/// Largest width or count of a network.
const SIZE_MAX: usize = 1 << 20;

/// Weights in files, read when they are asked for.
///
/// The files are mapped: they must not be changed while this lives.
pub struct Weights {
    builder: VarBuilder<'static>,
    path: PathBuf,
}

impl std::fmt::Debug for Weights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Weights").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Weights {
    /// Maps the weights in a file, or in a folder: those its index names, else its one file.
    ///
    /// Tensors come out as `dtype` on `device`, whatever they are stored as.
    ///
    /// # Errors
    /// Nothing is there, a file that the index names is missing, or one is no safetensors file; the file is named.
    pub fn open(path: &Path, dtype: DType, device: &Device) -> Result<Self, Error> {
        let files = if path.is_dir() { files_in(path)? } else { vec![path.to_owned()] };
        for file in &files {
            std::fs::metadata(file).map_err(|source| read_error(file, source))?;
        }
        let mapped = map(&files).map_err(|error| wrong(path, &error))?;
        let builder = VarBuilder::from_backend(Box::new(mapped), dtype, device.clone());
        Ok(Self { builder, path: path.to_owned() })
    }

    /// A network made of these weights.
    ///
    /// # Errors
    /// `make`'s, a missing tensor or one of another shape, with the file or folder it was looked for in.
    pub fn build<T>(
        &self,
        make: impl FnOnce(&VarBuilder<'static>) -> candle_core::Result<T>,
    ) -> Result<T, Error> {
        make(&self.builder).map_err(|error| wrong(&self.path, &error))
    }
}

/// The network published in a folder: made of its `config.json` and its weights.
///
/// # Errors
/// Those of [`read_config`], [`Weights::open`] and [`Weights::build`].
pub fn read_network<C: DeserializeOwned, T>(
    folder: &Path,
    dtype: DType,
    device: &Device,
    make: impl FnOnce(&C, &VarBuilder<'static>) -> candle_core::Result<T>,
) -> Result<T, Error> {
    let config = read_config(&folder.join("config.json"))?;
    Weights::open(folder, dtype, device)?.build(|vb| make(&config, vb))
}

/// The configuration of a network, `file`: what `T` does not know is left out, what is missing takes its default
/// where it has one.
///
/// # Errors
/// It cannot be read or is no configuration of this network; the file is named.
pub fn read_config<T: DeserializeOwned>(file: &Path) -> Result<T, Error> {
    let text = read_text(file)?;
    serde_json::from_str(&text).map_err(|error| wrong(file, &error))
}

#[expect(unsafe_code, reason = "maps files")]
fn map(files: &[PathBuf]) -> candle_core::Result<MmapedSafetensors> {
    // SAFETY: the files are only read, and the documentation of `Weights` asks that nobody writes to them meanwhile.
    unsafe { MmapedSafetensors::multi(files) }
}

/// The files of weights in a folder.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    for stem in STEMS {
        let index = folder.join(format!("{stem}.safetensors.index.json"));
        if index.is_file() {
            let shards = shards(&read_text(&index)?).map_err(|reason| wrong(&index, &reason))?;
            return Ok(shards.iter().map(|name| folder.join(name)).collect());
        }
        let file = folder.join(format!("{stem}.safetensors"));
        if file.is_file() {
            return Ok(vec![file]);
        }
    }
    let names = STEMS.map(|stem| format!("{stem}.safetensors"));
    Err(wrong(folder, &format!("expected {}, or an index of such files", names.join(" or "))))
}

/// That sizes a configuration tells are some that a network can have: 1 to a million, so that products of a few fit.
///
/// # Errors
/// One is not; it is named.
pub(crate) fn check_sizes(sizes: &[(&str, usize)]) -> candle_core::Result<()> {
    match sizes.iter().find(|(_, size)| !(1..=SIZE_MAX).contains(size)) {
        Some((name, size)) => candle_core::bail!("expected {name} of 1 to {SIZE_MAX}, got {size}"),
        None => Ok(()),
    }
}

/// An index as it is published.
#[derive(serde::Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files that an index names, each once.
fn shards(text: &str) -> Result<BTreeSet<String>, String> {
    let index: Index = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    if shards.is_empty() || shards.len() > SHARDS_MAX {
        return Err(format!("expected 1 to {SHARDS_MAX} files of weights, got {}", shards.len()));
    }
    let plain = |name: &str| {
        name.ends_with(".safetensors") && !name.contains(['/', '\\', ':', '\0']) && name.len() < 256
    };
    match shards.iter().find(|name| !plain(name)) {
        Some(odd) => Err(format!("expected names of safetensors files beside it, got {odd:?}")),
        None => Ok(shards),
    }
}

/// The text of a small file that belongs to a network.
pub(crate) fn read_text(file: &Path) -> Result<String, Error> {
    let read = |source| read_error(file, source);
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(read)?;
    opened.take(JSON_BYTES_MAX + 1).read_to_string(&mut text).map_err(read)?;
    if text.len() as u64 > JSON_BYTES_MAX {
        return Err(wrong(file, &format!("expected at most {JSON_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn read_error(file: &Path, source: std::io::Error) -> Error {
    Error::Read { what: "weights", source, path: file.to_owned() }
}

pub(crate) fn wrong(path: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error::World { reason: reason.to_string(), path: path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Tensor;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn save(file: &Path, tensors: &[(&str, f32)]) {
        let one = |&(name, value): &(&str, f32)| {
            (name.to_owned(), Tensor::full(value, (2, 3), &Device::Cpu).unwrap())
        };
        let tensors: HashMap<_, _> = tensors.iter().map(one).collect();
        candle_core::safetensors::save(&tensors, file).unwrap();
    }

    fn sum(weights: &Weights, name: &str) -> Result<f32, Error> {
        weights.build(|vb| vb.get((2, 3), name)?.sum_all()?.to_scalar::<f32>())
    }

    fn open(path: &Path) -> Result<Weights, Error> {
        Weights::open(path, DType::F32, &Device::Cpu)
    }

    const INDEX: &str = r#"{"metadata": {"total_size": 48}, "weight_map": {
        "a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#;

    #[test]
    fn tensors_are_found_in_one_file_and_in_many() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        save(&folder.join("diffusion_pytorch_model.safetensors"), &[("a", 1.0), ("b", 2.0)]);
        let whole = open(folder).unwrap();
        assert_eq!(sum(&whole, "b").unwrap(), 12.0);
        std::fs::remove_file(folder.join("diffusion_pytorch_model.safetensors")).unwrap();
        save(&folder.join("model-00001-of-00002.safetensors"), &[("a", 1.0)]);
        save(&folder.join("model-00002-of-00002.safetensors"), &[("b", 3.0)]);
        std::fs::write(folder.join("model.safetensors.index.json"), INDEX).unwrap();
        let sharded = open(folder).unwrap();
        assert_eq!((sum(&sharded, "a").unwrap(), sum(&sharded, "b").unwrap()), (6.0, 18.0));
        let one = open(&folder.join("model-00002-of-00002.safetensors")).unwrap();
        assert_eq!(sum(&one, "b").unwrap(), 18.0);
    }

    #[test]
    fn what_is_missing_is_named_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let message = |error: Error| error.to_string();
        let error = message(open(folder).unwrap_err());
        assert!(
            error.contains("expected diffusion_pytorch_model.safetensors or model.safetensors")
        );
        assert!(message(open(&folder.join("none")).unwrap_err()).contains("none"));
        std::fs::write(folder.join("model.safetensors.index.json"), INDEX).unwrap();
        save(&folder.join("model-00001-of-00002.safetensors"), &[("a", 1.0)]);
        let error = message(open(folder).unwrap_err());
        assert!(error.contains("model-00002-of-00002.safetensors"), "{error}");
        std::fs::write(folder.join("model-00002-of-00002.safetensors"), b"{}").unwrap();
        let error = message(open(folder).unwrap_err());
        assert!(error.contains("model-00002-of-00002.safetensors"), "{error}");
        save(&folder.join("model-00002-of-00002.safetensors"), &[("b", 1.0)]);
        let error = message(sum(&open(folder).unwrap(), "c").unwrap_err());
        assert!(error.contains('c') && error.contains(&folder.display().to_string()), "{error}");
        let other = open(folder).unwrap().build(|vb| vb.get((3, 2), "a")).unwrap_err();
        assert!(message(other).contains("shape mismatch for a"));
    }

    #[test]
    fn a_network_is_its_configuration_and_its_weights() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        save(&folder.join("model.safetensors"), &[("a", 2.0)]);
        let read = || {
            read_network(folder, DType::F32, &Device::Cpu, |sizes: &[usize; 2], vb| {
                vb.get((sizes[0], sizes[1]), "a")?.sum_all()?.to_scalar::<f32>()
            })
        };
        assert!(read().unwrap_err().to_string().contains("config.json"));
        std::fs::write(folder.join("config.json"), "[2, 3]").unwrap();
        assert_eq!(read().unwrap(), 12.0);
        std::fs::write(folder.join("config.json"), "[2]").unwrap();
        let error = read().unwrap_err().to_string();
        assert!(error.contains("invalid length 1") && error.contains("config.json"), "{error}");
        std::fs::write(folder.join("config.json"), "[3, 2]").unwrap();
        assert!(read().unwrap_err().to_string().contains("shape mismatch for a"));
    }

    #[test]
    fn an_index_cannot_lead_elsewhere() {
        for name in ["../b.safetensors", "/etc/b.safetensors", "c\\b.safetensors", "b.bin"] {
            let text = serde_json::json!({"weight_map": {"a": name}}).to_string();
            assert!(shards(&text).unwrap_err().contains("beside it"), "{name}");
        }
        assert!(shards(r#"{"weight_map": {}}"#).unwrap_err().contains("1 to 4096"));
        assert!(shards("[]").is_err());
    }

    proptest! {
        #[test]
        fn no_index_panics(text in "\\PC{0,200}", names in prop::collection::vec("\\PC{0,40}", 0..4)) {
            let _ = shards(&text);
            let map: BTreeMap<_, _> = names.iter().map(|name| (name, name)).collect();
            if let Ok(shards) = shards(&serde_json::json!({"weight_map": map}).to_string()) {
                prop_assert!(shards.iter().all(|name| Path::new(name).components().count() == 1));
            }
        }

        #[test]
        fn no_file_of_weights_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("model.safetensors");
            std::fs::write(&file, &bytes).unwrap();
            if let Err(error) = open(folder.path()) {
                prop_assert!(error.to_string().contains("model.safetensors"));
            }
        }
    }
}
