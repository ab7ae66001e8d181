//! Whether a device computes what the CPU does: the operations one by one, then both networks whole.
//!
//! What is agreed with is the CPU's form in 32 bits, of single operations on 16-bit floats its plain form. Both sum in 32
//! bits, in orders of their own.

use crate::codec::{Codec, CodecConfig};
use crate::device::round_products;
use crate::graph::Graphs;
use crate::model::{ModelConfig, StepSize, WorldModel};
use crate::noise::Random;
use crate::ops::{
    Conv2d, Linear, Phases, Precision, Route, Rows, attend, gated_add, gelu, modulate, place,
    rms_norm, silu,
};
use crate::pack::Kernel;
use crate::sampler::{Sampling, Sight, sample_at_once};
use crate::train::{initial_codec_weights, initial_weights};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::VarBuilder;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How far a device is from the CPU in one respect.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Agreement {
    /// What was computed.
    pub what: &'static str,
    /// The largest difference, as a part of the largest value or of 1.
    pub off: f32,
    /// The most that is allowed.
    pub tolerance: f32,
    /// Why it is allowed.
    pub reason: &'static str,
}

impl Agreement {
    /// Whether the device computes what the CPU does.
    pub fn holds(&self) -> bool {
        self.off <= self.tolerance
    }
}

/// Something that a device computes from tensors that are the same everywhere.
struct Check {
    what: &'static str,
    tolerance: f32,
    reason: &'static str,
    compute: fn(&Device) -> Result<Tensor>,
}

const CHECKS: &[Check] = &[
    Check {
        what: "place",
        tolerance: 1e-6,
        reason: "one product of two is not rounded on its own",
        compute: |device| place(&random(&[90, 256], 1, device)?, &mixed(120, 90), &phases(60, 32)),
    },
    Check {
        what: "modulate",
        tolerance: 1e-5,
        reason: "sums of 256 in another order",
        compute: |device| {
            let x = random(&[96, 256], 1, device)?;
            let (shift, scale) = (random(&[3, 256], 2, device)?, random(&[3, 256], 3, device)?);
            modulate(&x, &shift, &scale, &Rows::new(&[40, 50, 6]), DType::F32)
        },
    },
    Check {
        what: "rms_norm",
        tolerance: 1e-5,
        reason: "sums of 64 in another order",
        compute: |device| rms_norm(&random(&[96, 256], 1, device)?, &random(&[64], 2, device)?),
    },
    Check {
        what: "attend",
        tolerance: 1e-4,
        reason: "scores up to 16 in another order, before an exponential",
        compute: |device| attended(Precision::F32, DType::F32, device),
    },
    Check {
        what: "attend, rounded",
        tolerance: 1e-2,
        reason: "factors of 13 bits there, of 11 here, before an exponential",
        compute: |device| attended(Precision::Int16, DType::F32, device),
    },
    Check {
        what: "attend, of 16-bit floats",
        tolerance: 1e-2,
        reason: "scores rounded to 11 bits here, before an exponential",
        compute: |device| attended(Precision::Int16, DType::F16, device),
    },
    Check {
        what: "gelu, of 16-bit floats",
        tolerance: 1e-3,
        reason: "a result may round to the next of 11 bits",
        compute: |device| gelu(&halves(&[96, 256], 1, device)?),
    },
    Check {
        what: "gelu, silu and gate",
        tolerance: 1e-5,
        reason: "exponentials of other libraries",
        compute: |device| {
            let (x, gate) = (random(&[96, 256], 1, device)?, random(&[2, 256], 2, device)?);
            gated_add(&gelu(&x)?, &silu(&x)?, &gate, &Rows::new(&[40, 56]))
        },
    },
    Check {
        what: "place, of 16-bit floats",
        tolerance: 1e-3,
        reason: "a result may round to the next of 11 bits",
        compute: |device| place(&halves(&[90, 256], 1, device)?, &mixed(120, 90), &phases(60, 32)),
    },
    Check {
        what: "modulate, to 16-bit floats",
        tolerance: 2e-3,
        reason: "rounded after each step there or here, at the end alone elsewhere",
        compute: |device| {
            let x = random(&[96, 256], 1, device)?;
            let (shift, scale) = (random(&[3, 256], 2, device)?, random(&[3, 256], 3, device)?);
            modulate(&x, &shift, &scale, &Rows::new(&[40, 50, 6]), DType::F16)
        },
    },
    Check {
        what: "rms_norm, of 16-bit floats",
        tolerance: 2e-3,
        reason: "rounded after each step here, at the end alone there",
        compute: |device| rms_norm(&halves(&[96, 256], 1, device)?, &random(&[64], 2, device)?),
    },
    Check {
        what: "gate, of 16-bit floats",
        tolerance: 1e-6,
        reason: "one product is not rounded on its own",
        compute: |device| {
            let (x, gate) = (random(&[96, 256], 1, device)?, random(&[2, 256], 2, device)?);
            gated_add(&x, &halves(&[96, 256], 3, device)?, &gate, &Rows::new(&[40, 56]))
        },
    },
    Check {
        what: "product",
        tolerance: 2e-5,
        reason: "sums of 1024 in another order",
        compute: |device| {
            let weight = random(&[256, 1024], 1, device)?;
            let layer = Linear::from_tensors(weight, random(&[256], 2, device)?, Precision::F32);
            layer.forward(&random(&[96, 1024], 3, device)?)
        },
    },
    Check {
        what: "convolution",
        tolerance: 2e-5,
        reason: "sums of 432 in another order",
        compute: |device| {
            let weights = BTreeMap::from([
                ("weight".to_owned(), random(&[32, 48, 3, 3], 1, device)?),
                ("bias".to_owned(), random(&[32], 2, device)?),
            ]);
            let vb = builder(weights, device);
            convolution(&vb, &random(&[2, 12, 16, 48], 3, device)?)
        },
    },
    Check {
        what: "gradients of a block's attention",
        tolerance: 1e-4,
        reason: "sums of as many as a thousand in another order, squared on the way",
        compute: gradients,
    },
    Check {
        what: "a section of the network",
        tolerance: 1e-3,
        reason: "eight blocks, each off by some 1e-5 and each carrying on what came before",
        compute: |device| {
            section(device, Precision::F32, |model, sight, noisy, actions| {
                let lead = sight.lead(model, actions)?;
                model.estimate(noisy, 0.7, StepSize::Flow, &lead, &sight.context)
            })
        },
    },
    Check {
        what: "a section of the network, in 16-bit floats",
        tolerance: 2e-2,
        reason: "operands of 11 bits there, of 24 here, through eight blocks",
        compute: |device| {
            section(device, coarse(device), |model, sight, noisy, actions| {
                let lead = sight.lead(model, actions)?;
                model.estimate(noisy, 0.7, StepSize::Flow, &lead, &sight.context)
            })
        },
    },
    Check {
        what: "a section made for the third time, by one captured graph",
        tolerance: 4e-2,
        reason: "as the network's in 16-bit floats, twice",
        compute: |device| {
            section(device, coarse(device), |model, sight, noisy, actions| {
                let graphs = Graphs::default();
                let sampling = Sampling { evaluations: 2, shortcut: false, guidance: 0.0 };
                let make = |noisy: &Tensor| {
                    sample_at_once(&graphs, model, noisy, actions, sight, sampling)
                };
                // Done, captured and launched; then launched with what was not there when it was captured.
                make(&(noisy * 0.5)?)?;
                make(&(noisy * 2.0)?)?;
                make(noisy)
            })
        },
    },
    Check {
        what: "pictures of the codec",
        tolerance: 1e-2,
        reason: "a value may round to the next of 255",
        compute: |device| pictures(device, Precision::F32),
    },
    Check {
        what: "pictures of the codec, in 16-bit floats",
        tolerance: 3e-2,
        reason: "ten convolutions with operands of 11 bits",
        compute: |device| pictures(device, coarse(device)),
    },
];

/// What 48 queries see in 328 keys, by heads of 64.
fn attended(precision: Precision, dtype: DType, device: &Device) -> Result<Tensor> {
    let [q, k, v] = [1, 2, 3].map(|seed| random(&[328, 256], seed, device)?.to_dtype(dtype));
    let route = Route {
        queries: mixed(48, 328),
        keys: mixed(328, 328),
        query_phases: phases(48, 32),
        key_phases: phases(328, 32),
    };
    attend(&q?, &k?, &v?, &[route].into(), precision)
}

fn convolution(vb: &VarBuilder<'_>, x: &Tensor) -> Result<Tensor> {
    Conv2d::new(48, 32, Precision::F32, vb)?.forward(x)
}

/// Compares a device with the CPU. `begin` is told what comes next: a device may take its time.
///
/// # Errors
/// When one of them fails.
pub fn agreement(device: &Device, begin: impl Fn(&'static str)) -> Result<Vec<Agreement>> {
    let compare = |check: &Check| {
        begin(check.what);
        round_products(device, false);
        let want = (check.compute)(&Device::Cpu)?.to_dtype(DType::F32)?;
        let got = (check.compute)(device)?.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        let Check { what, tolerance, reason, .. } = *check;
        Ok(Agreement { what, off: difference(&got, &want)?, tolerance, reason })
    };
    CHECKS.iter().map(compare).collect()
}

/// The largest difference, as a part of the largest value or of 1; infinite where one is no number.
fn difference(got: &Tensor, want: &Tensor) -> Result<f32> {
    let largest = |x: Tensor| x.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>();
    let off = largest((got - want)?)? / largest(want.clone())?.max(1.0);
    // A maximum may pass over what is no number; a sum does not.
    let sum = got.sum_all()?.to_scalar::<f32>()?;
    Ok(if off.is_finite() && sum.is_finite() { off } else { f32::INFINITY })
}

/// What the sum of squares of attention, between norms, tells queries, keys, values and modulation.
fn gradients(device: &Device) -> Result<Tensor> {
    let var = |rows: usize, seed| Var::from_tensor(&random(&[rows, 256], seed, device)?);
    let [x, k, v, shift] = [var(328, 1)?, var(328, 2)?, var(328, 3)?, var(2, 4)?];
    let rows = Rows::new(&[300, 28]);
    let gain = random(&[64], 5, device)?;
    let q = rms_norm(&modulate(&x, &shift, &shift, &rows, DType::F32)?, &gain)?;
    let route = Route {
        queries: mixed(48, 328),
        keys: mixed(328, 328),
        query_phases: phases(48, 32),
        key_phases: phases(328, 32),
    };
    let seen = attend(&q, &k, &v, &[route].into(), Precision::F32)?;
    let seen = gated_add(&seen, &seen, &shift, &Rows::new(&[40, 8]))?;
    // As large as the tolerance takes for granted.
    let slopes = (seen.sqr()?.sum_all()? * 300.0)?.backward()?;
    let of = |var: &Var| slopes.get(var).ok_or_else(|| candle_core::Error::msg("no gradient"));
    Tensor::cat(&[of(&x)?, of(&k)?, of(&v)?, of(&shift)?], 0)
}

/// How worlds compute on a GPU; a CPU answers as finely as it can.
fn coarse(device: &Device) -> Precision {
    if device.is_cpu() { Precision::F32 } else { Precision::Int16 }
}

/// A section after four groups of history, by a network of the shipped size none of whose weights is zero.
fn section(
    device: &Device,
    precision: Precision,
    make: impl Fn(&WorldModel, &Sight, &Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let config = ModelConfig { precision, ..ModelConfig::base() };
    let mut weights = initial_weights(&config, 3, &Device::Cpu)?;
    for (seed, weight) in (100..).zip(weights.values_mut()) {
        *weight = (&*weight + (random(weight.dims(), seed, &Device::Cpu)? * 0.02)?)?;
    }
    let mut model = WorldModel::new(&config, &builder(weights, device))?;
    model.freeze()?;
    let ModelConfig { channels, height, width, action, .. } = config;
    let groups = [(4, -9), (2, -5), (1, -3), (1, -1)].map(|(k, time)| {
        let latents = random(&[usize::from(k), channels, height, width], k.into(), device)?;
        let kernel = Kernel::simplified(k).expect("powers of two");
        let group = model.encode(kernel, &latents, &random(&[action], 50, device)?)?;
        Ok((Arc::new(group), kernel, time))
    });
    let context = model.place(&groups.into_iter().collect::<Result<Vec<_>>>()?)?;
    let newest = Some(random(&[channels, height, width], 51, device)?);
    let actions = random(&[2, 3 * action], 52, device)?;
    let noisy = random(&[2, channels, height, width], 53, device)?;
    make(&model, &Sight { context, newest, renderings: None }, &noisy, &actions)
}

/// Values of pictures over 255: of two sets that are on their way at once, the second more than go through the network
/// together.
fn pictures(device: &Device, precision: Precision) -> Result<Tensor> {
    let config = CodecConfig { precision, ..CodecConfig::base() };
    let mut weights = initial_codec_weights(&config, 7)?;
    let mean = Tensor::zeros(config.channels, DType::F32, &Device::Cpu)?;
    weights.insert("normalize.mean".to_owned(), mean);
    let matrix = Tensor::eye(config.channels, DType::F32, &Device::Cpu)?;
    weights.insert("normalize.matrix".to_owned(), matrix);
    let mut codec = Codec::new(&config, &builder(weights, device))?;
    codec.freeze()?;
    let latents = |count: usize| random(&[count, config.channels, 6, 8], 5, device)? * 4.0;
    let [first, second] = [1, 9].map(|count| codec.begin_decode(&latents(count)?));
    let bytes = [first?.wait()?, second?.wait()?].concat();
    let values: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect();
    Tensor::from_vec(values, bytes.len(), &Device::Cpu)
}

fn builder(weights: BTreeMap<String, Tensor>, device: &Device) -> VarBuilder<'static> {
    VarBuilder::from_tensors(weights.into_iter().collect(), DType::F32, device)
}

/// Normal numbers, the same on every device.
fn random(shape: &[usize], seed: u64, device: &Device) -> Result<Tensor> {
    let values = Random::new(seed, 0).normals(shape.iter().product());
    Tensor::from_vec(values, shape, &Device::Cpu)?.to_device(device)
}

fn halves(shape: &[usize], seed: u64, device: &Device) -> Result<Tensor> {
    random(shape, seed, device)?.to_dtype(DType::F16)
}

/// Rows in an order of their own, some of them twice.
fn mixed(count: usize, of: u32) -> Arc<[u32]> {
    (0_u32..).map(|at| (7 * at + at / 3) % of).take(count).collect()
}

/// Phases whose moduli are below 1, as of pooled tokens.
fn phases(tokens: usize, half: usize) -> Arc<Phases> {
    let normals = Random::new(9, 0).normals(2 * tokens * half);
    let (real, imaginary) = normals.split_at(tokens * half);
    let part = |part: &[f32]| part.iter().map(|x| (0.5 * x).tanh()).collect();
    Arc::new(Phases { real: part(real), imaginary: part(imaginary), half })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_agrees_with_itself_and_checks_something() {
        for check in agreement(&Device::Cpu, |_| ()).unwrap() {
            assert!(check.holds() && check.off == 0.0, "{check:?}");
        }
        for check in CHECKS {
            let values = (check.compute)(&Device::Cpu).unwrap().flatten_all().unwrap();
            let values = values.to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
            let mean = values.iter().sum::<f32>() / values.len() as f32;
            let spread = values.iter().map(|x| (x - mean).abs()).sum::<f32>() / values.len() as f32;
            assert!(spread > 0.02, "{}: nothing there that could be wrong", check.what);
        }
    }

    #[test]
    fn what_is_off_is_told() {
        let want = random(&[40], 1, &Device::Cpu).unwrap();
        let off = difference(&(&want + 0.5).unwrap(), &want).unwrap();
        assert!(off > 0.1, "{off}");
        let nan = (&want * f64::NAN).unwrap();
        assert_eq!(difference(&nan, &want).unwrap(), f32::INFINITY);
        let check = Agreement { what: "", off, tolerance: 1e-5, reason: "" };
        assert!(!check.holds() && Agreement { off: 0.0, ..check }.holds());
    }

    #[test]
    fn cuda_agrees_with_the_cpu() {
        let device = match crate::device::cuda() {
            Ok(device) => device,
            Err(reason) => return println!("skipped: no CUDA ({reason})"),
        };
        for check in agreement(&device, |_| ()).unwrap() {
            println!("{}: off by {:e}, allowed {:e}", check.what, check.off, check.tolerance);
            assert!(check.holds(), "{check:?}");
        }
    }
}
