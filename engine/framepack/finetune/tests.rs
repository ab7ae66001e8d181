//! Finetuning of tiny random networks.

use super::*;
use crate::adapter::{Adapter, AdapterConfig, merge};
use crate::framepack::blocks::Residence;
use crate::framepack::embed::history_weights;
use crate::framepack::hunyuan::tests::{Golden, worst};
use crate::framepack::{hunyuan, wan};
use crate::weights::Weights;
use candle_core::{DType, Device, Var};
use candle_nn::{AdamW, Optimizer as _, ParamsAdamW};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const HUNYUAN: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/framepack_tiny.safetensors");
const WAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/wan_tiny.safetensors");
const CONFIG: AdapterConfig = AdapterConfig { rank: 4, alpha: 8.0, seed: 3 };

/// A network as training sees it: its weights, projections of history to begin with, and how it is asked.
struct Case {
    tensors: BTreeMap<String, Tensor>,
    weights: Weights,
    own: BTreeMap<String, Tensor>,
    predict: Predict,
}

type Predict = fn(&Weights, &Sample) -> Result<Tensor>;

impl Case {
    fn new(
        tensors: BTreeMap<String, Tensor>,
        own: BTreeMap<String, Tensor>,
        predict: Predict,
    ) -> Self {
        let weights = Weights::from_tensors(tensors.clone(), DType::F32, &Device::Cpu);
        Self { tensors, weights, own, predict }
    }
}

fn randn(shape: &[usize], seed: u64) -> Tensor {
    let values = Random::new(seed, 9).normals(shape.iter().product());
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// `HunyuanVideo` without the projections of history, as before `FramePack`.
fn hunyuan() -> Case {
    let golden = Golden::open(HUNYUAN);
    let mut tensors = golden.under("w.");
    tensors.retain(|name, _| !name.starts_with("clean_x_embedder"));
    let own = golden.under(&format!("w.{}.", hunyuan::PATCH));
    let own = history_weights(&own["weight"], &own["bias"], &[1, 2, 4]).unwrap();
    let predict = |weights: &Weights, sample: &Sample| {
        let condition = hunyuan::Condition {
            text: randn(&[1, 5, 16], 1),
            lengths: vec![5],
            pooled: randn(&[1, 8], 2),
            image: Some(randn(&[1, 4, 12], 3)),
            guidance: 10.0,
        };
        let network =
            hunyuan::Transformer::new(&Golden::open(HUNYUAN).config(), weights, Residence::Held)?;
        network.forward(&sample.packed, &sample.levels()?, &condition)
    };
    Case::new(tensors, own, predict)
}

fn wan() -> Case {
    let golden = Golden::open(WAN);
    let own = golden.under(&format!("t2v.w.{}.", wan::PATCH));
    let own = history_weights(&own["weight"], &own["bias"], &[1, 2, 4]).unwrap();
    let predict = |weights: &Weights, sample: &Sample| {
        let condition = wan::Condition { text: randn(&[1, 7, 8], 1), image: None };
        let network = wan::Transformer::new(&wan::tests::config(false), weights, Residence::Held)?;
        network.forward(&sample.packed, &sample.levels()?, &condition)
    };
    Case::new(golden.under("t2v.w."), own, predict)
}

fn clip() -> Tensor {
    randn(&[1, 4, 9, 6, 6], 7)
}

fn adapter(case: &Case) -> Adapter {
    Adapter::new(&case.weights, case.own.clone(), CONFIG).unwrap()
}

/// Trains on two sections of one clip under fixed noise; answers the first and the last loss.
fn train(case: &Case, steps: usize) -> (f32, f32, Adapter, BTreeMap<String, Var>) {
    let (trained, vars) = adapter(case).variables().unwrap();
    let weights = case.weights.with(Arc::new(trained.clone()));
    let params = ParamsAdamW { lr: 5e-3, weight_decay: 0.0, ..ParamsAdamW::default() };
    let mut optimizer = AdamW::new(vars.values().cloned().collect(), params).unwrap();
    let mut random = Random::new(1, 2);
    let samples = [0, 1]
        .map(|section| Sample::new(Order::Forward, &clip(), section, 4, &mut random).unwrap());
    let mut losses = Vec::new();
    for _ in 0..steps {
        let loss = |sample: &Sample| sample.loss(&(case.predict)(&weights, sample)?);
        let loss =
            ((loss(&samples[0]).unwrap() + loss(&samples[1]).unwrap()).unwrap() / 2.0).unwrap();
        losses.push(loss.to_scalar::<f32>().unwrap());
        optimizer.backward_step(&loss).unwrap();
    }
    (losses[0], losses[steps - 1], trained, vars)
}

/// The network's weights in two files with their index.
fn in_parts(case: &Case, folder: &Path) -> PathBuf {
    let folder = folder.join("network");
    std::fs::create_dir(&folder).unwrap();
    let mut files = [HashMap::new(), HashMap::new()];
    let mut index = serde_json::Map::new();
    for (at, (name, tensor)) in case.tensors.iter().enumerate() {
        files[at % 2].insert(name.clone(), tensor.clone());
        index.insert(name.clone(), format!("part{}.safetensors", at % 2).into());
    }
    for (at, tensors) in files.iter().enumerate() {
        candle_core::safetensors::save(tensors, folder.join(format!("part{at}.safetensors")))
            .unwrap();
    }
    let index = serde_json::json!({ "weight_map": index }).to_string();
    std::fs::write(folder.join("diffusion_pytorch_model.safetensors.index.json"), index).unwrap();
    folder
}

fn check_training(case: &Case) {
    let (first, last, trained, vars) = train(case, 25);
    println!("loss {first} to {last}");
    assert!(last < 0.7 * first, "loss fell from {first} to {last} only");

    // Every tensor gets a gradient; the first factors only now that the second ones are not zero.
    let weights = case.weights.with(Arc::new(trained.clone()));
    let sample = Sample::new(Order::Forward, &clip(), 1, 4, &mut Random::new(5, 5)).unwrap();
    let predicted = (case.predict)(&weights, &sample).unwrap();
    let gradients = sample.loss(&predicted).unwrap().backward().unwrap();
    for (name, var) in &vars {
        let gradient = gradients.get(var).unwrap_or_else(|| panic!("{name} has a gradient"));
        let size: f32 = gradient.abs().unwrap().max_all().unwrap().to_scalar().unwrap();
        assert!(size > 0.0, "the gradient of {name} is zero");
    }

    // Saved and read again, and worked into the weights, it is the same network.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapter.safetensors");
    trained.save(&path).unwrap();
    let read = Adapter::open(&path, &Device::Cpu).unwrap();
    let again = (case.predict)(&case.weights.with(Arc::new(read.clone())), &sample).unwrap();
    assert_eq!(worst(&again, &predicted), 0.0);
    let merged = folder.path().join("merged");
    merge(&in_parts(case, folder.path()), &read, &merged).unwrap();
    let merged = Weights::open(&merged, DType::F32, &Device::Cpu).unwrap();
    let off = worst(&(case.predict)(&merged, &sample).unwrap(), &predicted);
    assert!(off < 1e-4, "merged, it is off by {off}");
    let untrained = case.weights.with(Arc::new(adapter(case)));
    let off = worst(&(case.predict)(&untrained, &sample).unwrap(), &predicted);
    assert!(off > 1e-2, "training changes what is predicted");
}

#[test]
fn hunyuan_video_is_finetuned() {
    check_training(&hunyuan());
}

#[test]
fn wan_is_finetuned() {
    check_training(&wan());
}

/// What a sample is shown is what the loop over sections shows when it gets there.
#[test]
fn samples_are_shown_what_sampling_shows() {
    use crate::framepack::generate::Generation;
    let clip = randn(&[1, 4, 13, 6, 6], 8);
    let section = |at: usize| clip.narrow(2, 1 + 4 * at, 4).unwrap();
    for order in [Order::Forward, Order::Inverted] {
        let start = clip.narrow(2, 0, 1).unwrap();
        let mut video = Generation::new(order, &start, 3, 4).unwrap();
        for made in 0..3 {
            let at = if order == Order::Forward { made } else { 2 - made };
            let sample = Sample::new(order, &clip, at, 4, &mut Random::new(1, 1)).unwrap();
            let packed = video.packed(&sample.packed.noisy.latents).unwrap();
            for ((k, want), (_, got)) in packed.history.iter().zip(&sample.packed.history) {
                assert_eq!(worst(&got.latents, &want.latents), 0.0, "{order:?} {at} k{k}");
                assert_eq!(got.times, want.times, "{order:?} {at} k{k}");
            }
            assert_eq!(sample.packed.noisy.times, packed.noisy.times);
            video.push(&section(at)).unwrap();
        }
    }
}
