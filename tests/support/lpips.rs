//! Weights of the right shapes for LPIPS.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};

/// Weights that are the same wherever they are made, as in `worldproof/make.py`.
pub(crate) fn lpips_weights() -> HashMap<String, Tensor> {
    let weight = |name: &str, shape: &[usize], positive: bool| {
        let start = name.bytes().map(f64::from).sum::<f64>();
        let count: usize = shape.iter().product();
        let value = |i: usize| {
            let value = (0.37 * i as f64 + start).sin() * 0.05;
            if positive { value.abs() } else { value }
        };
        let values: Vec<f64> = (0..count).map(value).collect();
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu).expect("a tensor");
        (name.to_owned(), tensor.to_dtype(DType::F32).expect("a tensor"))
    };
    let layers =
        [(0, 3, 64, 11), (3, 64, 192, 5), (6, 192, 384, 3), (8, 384, 256, 3), (10, 256, 256, 3)];
    let mut weights = HashMap::new();
    for (at, (index, inputs, outputs, side)) in layers.into_iter().enumerate() {
        let shape = [outputs, inputs, side, side];
        weights.extend([
            weight(&format!("features.{index}.weight"), &shape, false),
            weight(&format!("features.{index}.bias"), &[outputs], false),
            weight(&format!("lin{at}.model.1.weight"), &[1, outputs, 1, 1], true),
        ]);
    }
    weights
}
