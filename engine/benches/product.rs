//! The linear layer, forwards and with its gradients, in both precisions.

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::noise::Random;
use engine::ops::{Linear, Precision};
use std::collections::HashMap;
use std::hint::black_box;

/// (rows, inputs, outputs): one section, then a training batch, through both sides of the
/// perceptron of the base model.
const SIZES: [(usize, usize, usize); 4] =
    [(48, 256, 1024), (48, 1024, 256), (3072, 256, 1024), (3072, 1024, 256)];

fn random(shape: (usize, usize), seed: u64) -> Tensor {
    let values = Random::new(seed, 0).normals(shape.0 * shape.1);
    Tensor::from_vec(values, shape, &Device::Cpu).expect("the shape fits")
}

fn product(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("product");
    group.sample_size(10);
    for (rows, inputs, outputs) in SIZES {
        let x = Var::from_tensor(&random((rows, inputs), 1)).expect("the CPU has room");
        let weight = Var::from_tensor(&random((outputs, inputs), 2)).expect("the CPU has room");
        let weights = HashMap::from([("weight".to_owned(), weight.as_tensor().clone())]);
        let vb = VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
        for precision in [Precision::F32, Precision::Int16] {
            let linear = Linear::without_bias(inputs, outputs, precision, &vb).expect("it fits");
            let name = format!("{precision:?}").to_lowercase();
            let size = format!("{rows}x{inputs}x{outputs}");
            let forward = || linear.forward(&x).expect("the CPU computes");
            // Operations count as elements: a multiplication and an addition each.
            let operations = 2 * (rows * inputs * outputs) as u64;
            group.throughput(Throughput::Elements(operations));
            group.bench_function(BenchmarkId::new(format!("{name}/forward"), &size), |bencher| {
                bencher.iter(|| black_box(forward()));
            });
            group.throughput(Throughput::Elements(3 * operations));
            group.bench_function(BenchmarkId::new(format!("{name}/gradients"), &size), |bencher| {
                bencher.iter(|| black_box(forward().backward().expect("it has a gradient")));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, product);
criterion_main!(benches);
