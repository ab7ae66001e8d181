//! Files of weights and what lies beside them: which there are, and their tensors.

use super::Weights;
use crate::error::Error;
use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

/// Names that files of weights are published under, the extension left out.
const STEMS: [&str; 2] = ["diffusion_pytorch_model", "model"];
/// Most bytes of an index or a configuration.
const TEXT_BYTES_MAX: u64 = 1 << 26;
/// Most files that an index may name; the largest published networks have a hundred.
const PARTS_MAX: usize = 4096;
/// Largest width or count of a network.
const SIZE_MAX: usize = 1 << 20;

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
    let text = read_text(file, "configuration of a network")?;
    serde_json::from_str(&text).map_err(|error| wrong(file, &error))
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

/// The files of weights in a folder.
pub(crate) struct Parts {
    /// The start of the name of their index.
    stem: &'static str,
    /// Each file with the tensors that an index promises in it; none where there is no index.
    pub(crate) files: BTreeMap<String, BTreeSet<String>>,
}

impl Parts {
    /// Name of the index of such files.
    pub(crate) fn index(&self) -> String {
        index_name(self.stem)
    }
}

fn index_name(stem: &str) -> String {
    format!("{stem}.safetensors.index.json")
}

/// The files of the weights in `folder`.
pub(crate) fn parts(folder: &Path) -> Result<Parts, Error> {
    for stem in STEMS {
        let whole = format!("{stem}.safetensors");
        if folder.join(&whole).is_file() {
            return Ok(Parts { stem, files: BTreeMap::from([(whole, BTreeSet::new())]) });
        }
        let index = folder.join(index_name(stem));
        if index.is_file() {
            let text = read_text(&index, "index of weights")?;
            let files = parse_index(&text).map_err(|reason| wrong(&index, &reason))?;
            return Ok(Parts { stem, files });
        }
    }
    let names = STEMS.map(|stem| format!("{stem}.safetensors"));
    Err(wrong(folder, &format!("expected {}, or an index of such files", names.join(" or "))))
}

/// An index of weights: which file each tensor is in.
#[derive(serde::Deserialize, serde::Serialize)]
pub(crate) struct Index {
    /// File by tensor.
    pub(crate) weight_map: BTreeMap<String, String>,
}

pub(super) fn parse_index(text: &str) -> Result<BTreeMap<String, BTreeSet<String>>, String> {
    let index: Index = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut files = BTreeMap::<String, BTreeSet<String>>::new();
    for (tensor, file) in index.weight_map {
        let plain = file.ends_with(".safetensors")
            && !file.contains(['/', '\\', ':', '\0'])
            && file.len() < 256;
        if !plain {
            return Err(format!("expected names of safetensors files beside it, got {file:?}"));
        }
        files.entry(file).or_default().insert(tensor);
    }
    if files.is_empty() || files.len() > PARTS_MAX {
        return Err(format!("expected 1 to {PARTS_MAX} files of weights, got {}", files.len()));
    }
    Ok(files)
}

/// The text of a small file, which is the `what` of a network.
pub(crate) fn read_text(file: &Path, what: &'static str) -> Result<String, Error> {
    let read = |source| Error::Read { what, source, path: file.to_owned() };
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(read)?;
    opened.take(TEXT_BYTES_MAX + 1).read_to_string(&mut text).map_err(read)?;
    if text.len() as u64 > TEXT_BYTES_MAX {
        return Err(wrong(file, &format!("expected at most {TEXT_BYTES_MAX} bytes")));
    }
    Ok(text)
}

pub(crate) fn wrong(path: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error::World { reason: reason.to_string(), path: path.to_owned() }
}

/// Mapped files, and which holds each tensor.
#[derive(Default)]
pub(super) struct Mapped {
    files: Vec<MmapedSafetensors>,
    file_of: BTreeMap<String, usize>,
}

impl Mapped {
    /// Maps a further file, in which an index promises tensors.
    pub(super) fn add(&mut self, path: &Path, promised: &BTreeSet<String>) -> Result<(), Error> {
        std::fs::metadata(path).map_err(|source| Error::Read {
            what: "weights",
            source,
            path: path.to_owned(),
        })?;
        // SAFETY: the map is read-only. A file that another program cuts short meanwhile ends this one with a bus
        // error, as with every reader of mapped weights.
        #[expect(unsafe_code, reason = "weights larger than memory are mapped")]
        let file = unsafe { MmapedSafetensors::new(path) }
            .map_err(|error| wrong(path, &format!("expected a whole safetensors file: {error}")))?;
        let at = self.files.len();
        for (name, _) in file.tensors() {
            self.file_of.insert(name, at);
        }
        if let Some(name) = promised.iter().find(|&name| self.file_of.get(name) != Some(&at)) {
            let reason = format!("expected tensor {name}, which the index promises here");
            return Err(wrong(path, &reason));
        }
        self.files.push(file);
        Ok(())
    }

    pub(super) fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        let tensors = self.files.iter().flat_map(MmapedSafetensors::tensors);
        tensors.map(|(name, view)| (name, view.shape().to_vec())).collect()
    }
}

impl SimpleBackend for Mapped {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: candle_nn::Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let tensor = self.get_unchecked(name, dtype, device)?;
        if *tensor.shape() != shape {
            candle_core::bail!("expected {shape:?} for {name}, got {:?}", tensor.shape());
        }
        Ok(tensor)
    }

    fn get_unchecked(
        &self,
        name: &str,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let Some(&at) = self.file_of.get(name) else {
            candle_core::bail!("expected a tensor {name}")
        };
        self.files[at].load(name, device)?.to_dtype(dtype)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.file_of.contains_key(name)
    }
}
