//! Tensors of memory-mapped safetensors files, in one or many parts.

use super::adapter::{Adapter, LowRank};
use crate::error::Error;
use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Name of the weights when they are one file, and the start of the names of their parts.
const STEM: &str = "diffusion_pytorch_model";
/// Largest index or configuration that is read.
const TEXT_BYTES_MAX: u64 = 16 << 20;
/// Most parts of one set of weights.
const PARTS_MAX: usize = 1000;

/// The tensors that a network is built from: those of its files, with what was trained laid over them.
#[derive(Clone)]
pub struct Weights {
    files: VarBuilder<'static>,
    /// Shape of every tensor of the files.
    shapes: Arc<BTreeMap<String, Vec<usize>>>,
    adapter: Option<Arc<Adapter>>,
}

impl std::fmt::Debug for Weights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Weights").field("prefix", &self.files.prefix()).finish_non_exhaustive()
    }
}

impl Weights {
    /// Maps the weights in `folder`: `diffusion_pytorch_model.safetensors`, or parts with their index
    /// `diffusion_pytorch_model.safetensors.index.json`. Tensors of any float type are read as `dtype`.
    ///
    /// # Errors
    /// A file is missing, damaged, or lacks a tensor that the index promises; the message names it.
    pub fn open(folder: &Path, dtype: DType, device: &Device) -> std::result::Result<Self, Error> {
        let mut tensors = Mapped::default();
        for (name, promised) in parts(folder)? {
            tensors.add(&folder.join(name), &promised)?;
        }
        let shapes = Arc::new(tensors.shapes());
        let files = VarBuilder::from_backend(Box::new(tensors), dtype, device.clone());
        Ok(Self { files, shapes, adapter: None })
    }

    /// Tensors in memory.
    pub fn from_tensors(tensors: BTreeMap<String, Tensor>, dtype: DType, device: &Device) -> Self {
        let shapes = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.dims().to_vec()));
        let shapes = Arc::new(shapes.collect());
        let files = VarBuilder::from_tensors(tensors.into_iter().collect(), dtype, device);
        Self { files, shapes, adapter: None }
    }

    /// The same with an adapter: its low-rank pairs beside their layers, its own tensors in place of the files'.
    #[must_use]
    pub fn with(&self, adapter: Arc<Adapter>) -> Self {
        Self { adapter: Some(adapter), ..self.clone() }
    }

    /// The same tensors by their shapes alone, all zeros that take up no memory; what does not fit is complained of
    /// and not an error.
    pub(super) fn surveyed(&self) -> (Self, Complaints) {
        let complaints = Complaints::default();
        let survey = Survey { shapes: Arc::clone(&self.shapes), complaints: complaints.clone() };
        let files = VarBuilder::from_backend(Box::new(survey), self.dtype(), self.device().clone());
        (Self { files, ..self.clone() }, complaints)
    }

    /// Shapes of the files' tensors by name.
    pub(super) fn shapes(&self) -> &BTreeMap<String, Vec<usize>> {
        &self.shapes
    }

    /// Where tensors are to be.
    pub(super) fn device(&self) -> &Device {
        self.files.device()
    }

    /// Type of the tensors.
    pub(super) fn dtype(&self) -> DType {
        self.files.dtype()
    }

    /// The tensors under a further part of their path.
    pub(super) fn pp(&self, name: impl ToString) -> Self {
        Self { files: self.files.pp(name), ..self.clone() }
    }

    /// A tensor of this shape.
    pub(super) fn get(&self, shape: impl Into<Shape>, name: &str) -> Result<Tensor> {
        let shape = shape.into();
        let own = self.adapter.as_ref().and_then(|adapter| adapter.tensor(&self.path(name)));
        match own {
            Some(tensor) if *tensor.shape() == shape => Ok(tensor.clone()),
            Some(tensor) => candle_core::bail!(
                "adapter: expected {shape:?} for {}, got {:?}",
                self.path(name),
                tensor.shape()
            ),
            None => self.files.get(shape, name),
        }
    }

    /// The low-rank pair of the layer at this prefix.
    pub(super) fn low_rank(&self, inputs: usize, outputs: usize) -> Result<Option<LowRank>> {
        let path = self.files.prefix();
        self.adapter.as_ref().map_or(Ok(None), |adapter| adapter.low_rank(&path, inputs, outputs))
    }

    /// Whether there is such a tensor.
    pub(super) fn contains(&self, name: &str) -> bool {
        let own =
            self.adapter.as_ref().is_some_and(|adapter| adapter.tensor(&self.path(name)).is_some());
        own || self.files.contains_tensor(name)
    }

    fn path(&self, name: &str) -> String {
        let prefix = self.files.prefix();
        if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
    }
}

/// Files of weights, each with the tensors that an index promises in it; none where there is no index.
pub(super) type Parts = BTreeMap<String, BTreeSet<String>>;

/// The files of the weights in `folder`.
pub(super) fn parts(folder: &Path) -> std::result::Result<Parts, Error> {
    let whole = format!("{STEM}.safetensors");
    if folder.join(&whole).is_file() {
        return Ok(BTreeMap::from([(whole, BTreeSet::new())]));
    }
    let path = folder.join(index_name());
    let text = read_text(
        &path,
        "index of weights (or one file of them, diffusion_pytorch_model.safetensors)",
    )?;
    parse_index(&text).map_err(|reason| Error::World { reason, path })
}

/// Name of the index of weights in many parts.
pub(super) fn index_name() -> String {
    format!("{STEM}.safetensors.index.json")
}

/// Reads a small text file.
pub(super) fn read_text(path: &Path, what: &'static str) -> std::result::Result<String, Error> {
    let read = |source| Error::Read { what, source, path: path.to_owned() };
    let bytes = std::fs::metadata(path).map_err(read)?.len();
    if bytes > TEXT_BYTES_MAX {
        let reason = format!("expected at most {TEXT_BYTES_MAX} bytes, got {bytes}");
        return Err(Error::World { reason, path: path.to_owned() });
    }
    std::fs::read_to_string(path).map_err(read)
}

/// An index of weights: which file each tensor is in.
#[derive(serde::Deserialize, serde::Serialize)]
pub(super) struct Index {
    /// File by tensor.
    pub(super) weight_map: BTreeMap<String, String>,
}

fn parse_index(text: &str) -> std::result::Result<Parts, String> {
    let index: Index =
        serde_json::from_str(text).map_err(|error| format!("index of weights: {error}"))?;
    let mut parts = Parts::new();
    for (tensor, part) in index.weight_map {
        let plain = Path::new(&part).file_name().is_some_and(|name| name == part.as_str());
        if !plain || !part.ends_with(".safetensors") {
            return Err(format!(
                "index of weights: expected the name of a safetensors file, got {part:?}"
            ));
        }
        parts.entry(part).or_default().insert(tensor);
    }
    if parts.is_empty() || parts.len() > PARTS_MAX {
        return Err(format!(
            "index of weights: expected 1 to {PARTS_MAX} files, got {}",
            parts.len()
        ));
    }
    Ok(parts)
}

/// Mapped files, and which holds each tensor.
#[derive(Default)]
struct Mapped {
    files: Vec<MmapedSafetensors>,
    file_of: BTreeMap<String, usize>,
}

impl Mapped {
    fn add(&mut self, path: &Path, promised: &BTreeSet<String>) -> std::result::Result<(), Error> {
        let wrong = |reason: String| Error::World { reason, path: path.to_owned() };
        std::fs::metadata(path).map_err(|source| Error::Read {
            what: "weights",
            source,
            path: path.to_owned(),
        })?;
        // SAFETY: the map is read-only. A file that another program cuts short meanwhile ends this one with a bus
        // error, as with every reader of mapped weights.
        #[expect(unsafe_code, reason = "weights larger than memory are mapped")]
        let file = unsafe { MmapedSafetensors::new(path) }
            .map_err(|error| wrong(format!("expected a whole safetensors file: {error}")))?;
        let at = self.files.len();
        for (name, _) in file.tensors() {
            self.file_of.insert(name, at);
        }
        if let Some(name) = promised.iter().find(|&name| self.file_of.get(name) != Some(&at)) {
            return Err(wrong(format!("expected tensor {name}, which the index promises here")));
        }
        self.files.push(file);
        Ok(())
    }

    fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
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
    ) -> Result<Tensor> {
        let tensor = self.get_unchecked(name, dtype, device)?;
        if *tensor.shape() != shape {
            candle_core::bail!("expected {shape:?} for {name}, got {:?}", tensor.shape());
        }
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        let Some(&at) = self.file_of.get(name) else {
            candle_core::bail!("expected a tensor {name}")
        };
        self.files[at].load(name, device)?.to_dtype(dtype)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.file_of.contains_key(name)
    }
}

/// What a survey of weights has found.
#[derive(Clone, Debug, Default)]
pub(super) struct Complaints(Arc<Mutex<Vec<String>>>);

impl Complaints {
    /// What was found so far.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Complains where `weights` lack the tensor `name`.
    pub(super) fn expect(&self, weights: &Weights, name: &str) {
        if !weights.contains(name) {
            self.add(format!("expected a tensor {name}"));
        }
    }

    fn add(&self, complaint: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(complaint);
    }
}

/// Shapes in place of tensors.
struct Survey {
    shapes: Arc<BTreeMap<String, Vec<usize>>>,
    complaints: Complaints,
}

impl SimpleBackend for Survey {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: candle_nn::Init,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        match self.shapes.get(name) {
            Some(found) if *found == shape.dims() => (),
            Some(found) => {
                self.complaints.add(format!("expected {shape:?} for tensor {name}, got {found:?}"));
            }
            None => self.complaints.add(format!("expected a tensor {name} of {shape:?}")),
        }
        Tensor::zeros((), dtype, device)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("expected {name} to be asked for by its shape")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.shapes.contains_key(name)
    }
}

#[cfg(test)]
mod tests;
