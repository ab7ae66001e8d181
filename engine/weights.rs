//! Published weights: safetensors files, one or many with an index, mapped into memory and read tensor by tensor.
//!
//! A folder of the Hugging Face layout holds `config.json` and either one file of weights or an index,
//! `NAME.safetensors.index.json`, whose `weight_map` says in which of the files beside it a tensor lies.

mod files;
mod random;
mod survey;

pub(crate) use files::{Index, check_sizes, parts, read_text, wrong};
pub use files::{read_config, read_network};

use crate::adapter::{Adapter, LowRank};
use crate::error::Error;
use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::VarBuilder;
use files::Mapped;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The tensors that a network is built from: those of its files, with what was trained laid over them.
///
/// The files are mapped: they must not be changed while this lives.
#[derive(Clone)]
pub struct Weights {
    files: VarBuilder<'static>,
    /// Shape of every tensor of the files.
    shapes: Arc<BTreeMap<String, Vec<usize>>>,
    adapter: Option<Arc<Adapter>>,
    path: PathBuf,
}

impl std::fmt::Debug for Weights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { files, path, .. } = self;
        let prefix = files.prefix();
        f.debug_struct("Weights")
            .field("path", path)
            .field("prefix", &prefix)
            .finish_non_exhaustive()
    }
}

impl Weights {
    /// Maps the weights in a file, or in a folder: its one file, or those that its index names.
    ///
    /// Tensors come out as `dtype` on `device`, whatever they are stored as.
    ///
    /// # Errors
    /// A file is missing, damaged, or lacks a tensor that the index promises; the message names it.
    pub fn open(path: &Path, dtype: DType, device: &Device) -> std::result::Result<Self, Error> {
        let mut tensors = Mapped::default();
        if path.is_dir() {
            for (name, promised) in parts(path)?.files {
                tensors.add(&path.join(name), &promised)?;
            }
        } else {
            tensors.add(path, &[].into())?;
        }
        let shapes = Arc::new(tensors.shapes());
        let files = VarBuilder::from_backend(Box::new(tensors), dtype, device.clone());
        Ok(Self { files, shapes, adapter: None, path: path.to_owned() })
    }

    /// Tensors in memory.
    pub fn from_tensors(tensors: BTreeMap<String, Tensor>, dtype: DType, device: &Device) -> Self {
        let shapes = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.dims().to_vec()));
        let shapes = Arc::new(shapes.collect());
        let files = VarBuilder::from_tensors(tensors.into_iter().collect(), dtype, device);
        Self { files, shapes, adapter: None, path: PathBuf::new() }
    }

    /// The same with an adapter: its low-rank pairs beside their layers, its own tensors in place of the files'.
    #[must_use]
    pub fn with(&self, adapter: Arc<Adapter>) -> Self {
        Self { adapter: Some(adapter), ..self.clone() }
    }

    /// A network made of the files' tensors alone.
    ///
    /// # Errors
    /// `make`'s, a missing tensor or one of another shape, with the file or folder it was looked for in.
    pub fn build<T>(
        &self,
        make: impl FnOnce(&VarBuilder<'static>) -> Result<T>,
    ) -> std::result::Result<T, Error> {
        make(&self.files).map_err(|error| wrong(&self.path, &error))
    }

    /// Shapes of the files' tensors by name.
    pub(crate) fn shapes(&self) -> &BTreeMap<String, Vec<usize>> {
        &self.shapes
    }

    /// Where tensors are to be.
    pub(crate) fn device(&self) -> &Device {
        self.files.device()
    }

    /// Type of the tensors.
    pub(crate) fn dtype(&self) -> DType {
        self.files.dtype()
    }

    /// The tensors under a further part of their path.
    pub(crate) fn pp(&self, name: impl ToString) -> Self {
        Self { files: self.files.pp(name), ..self.clone() }
    }

    /// A tensor of this shape.
    pub(crate) fn get(&self, shape: impl Into<Shape>, name: &str) -> Result<Tensor> {
        let shape = shape.into();
        let own = self.adapter.as_ref().and_then(|adapter| adapter.tensor(&self.name(name)));
        match own {
            Some(tensor) if *tensor.shape() == shape => Ok(tensor.clone()),
            Some(tensor) => candle_core::bail!(
                "adapter: expected {shape:?} for {}, got {:?}",
                self.name(name),
                tensor.shape()
            ),
            None => self.files.get(shape, name),
        }
    }

    /// The low-rank pair of the layer at this prefix.
    pub(crate) fn low_rank(&self, inputs: usize, outputs: usize) -> Result<Option<LowRank>> {
        let path = self.files.prefix();
        self.adapter.as_ref().map_or(Ok(None), |adapter| adapter.low_rank(&path, inputs, outputs))
    }

    /// Whether there is such a tensor.
    pub(crate) fn contains(&self, name: &str) -> bool {
        let own =
            self.adapter.as_ref().is_some_and(|adapter| adapter.tensor(&self.name(name)).is_some());
        own || self.files.contains_tensor(name)
    }

    /// The whole name of a tensor.
    fn name(&self, name: &str) -> String {
        let prefix = self.files.prefix();
        if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
    }
}

#[cfg(test)]
mod tests;
