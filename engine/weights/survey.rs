//! Weights by their shapes alone.

use super::Weights;
use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

impl Weights {
    /// The same tensors by their shapes alone, all zeros that take up no memory; what does not fit is complained of
    /// and not an error.
    pub(crate) fn surveyed(&self) -> (Self, Complaints) {
        let complaints = Complaints::default();
        let survey = Survey { shapes: Arc::clone(&self.shapes), complaints: complaints.clone() };
        let files = VarBuilder::from_backend(Box::new(survey), self.dtype(), self.device().clone());
        (Self { files, ..self.clone() }, complaints)
    }
}

/// What a survey of weights has found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Complaints(Arc<Mutex<Vec<String>>>);

impl Complaints {
    /// What was found so far.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
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
