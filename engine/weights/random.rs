//! Random weights, made when they are asked for.

use super::Weights;
use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Spread of the weights: as published networks start, and small enough that sixty blocks stay finite.
const SPREAD: f32 = 0.02;

impl Weights {
    /// Weights of whatever names and shapes a network asks for, drawn by the device itself.
    ///
    /// What a network costs does not depend on them.
    pub(crate) fn random(dtype: DType, device: &Device) -> Self {
        let files = VarBuilder::from_backend(Box::new(Random), dtype, device.clone());
        let shapes = Arc::new(BTreeMap::new());
        Self { files, shapes, adapter: None, path: PathBuf::from("random weights") }
    }
}

struct Random;

impl SimpleBackend for Random {
    fn get(
        &self,
        shape: Shape,
        _: &str,
        _: candle_nn::Init,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        Tensor::randn(0.0, SPREAD, shape, device)?.to_dtype(dtype)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("expected {name} to be asked for by its shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}
