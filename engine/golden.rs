//! Reference tensors for the tests.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use std::collections::HashMap;

/// Weights, inputs and outputs of a reference implementation.
pub(crate) struct Golden {
    pub(crate) tensors: HashMap<String, Tensor>,
}

/// Reads a file of `tests/golden`.
pub(crate) fn golden(name: &str) -> Golden {
    let path = format!("{}/../tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    Golden { tensors: candle_core::safetensors::load(path, &Device::Cpu).expect("it is kept") }
}

impl Golden {
    /// The tensor of this name, in f32.
    pub(crate) fn get(&self, name: &str) -> Tensor {
        self.tensors[name].to_dtype(DType::F32).expect("numbers")
    }

    /// The videos, kept as bytes, in -1..=1.
    pub(crate) fn videos(&self) -> Tensor {
        self.get("videos").affine(1.0 / 127.5, -1.0).expect("numbers")
    }

    pub(crate) fn builder(&self) -> VarBuilder<'static> {
        VarBuilder::from_tensors(self.tensors.clone(), DType::F32, &Device::Cpu)
    }
}

/// The largest difference of two tensors.
pub(crate) fn farthest(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let apart = a.sub(b).and_then(|apart| apart.abs()?.max_all()?.to_scalar());
    apart.expect("tensors of f32")
}
