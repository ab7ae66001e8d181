//! Published video models by the command line.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};

use crate::cli::said;
use crate::support::models::hunyuan_config;

const NETWORK: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/framepack_tiny.safetensors");

const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";
const LAYER: &str = "transformer_blocks.0.attn.to_q";

/// The tiny network in a folder of its own.
fn network(folder: &Path) {
    fs::create_dir_all(folder).expect("folders can be made");
    fs::write(folder.join("config.json"), hunyuan_config([8, 12]).to_string())
        .expect("files can be written");
    let tensors =
        candle_core::safetensors::load(NETWORK, &Device::Cpu).expect("the fixture is there");
    let weight =
        |(name, tensor): (String, Tensor)| Some((name.strip_prefix("w.")?.to_owned(), tensor));
    let weights: HashMap<_, _> = tensors.into_iter().filter_map(weight).collect();
    candle_core::safetensors::save(&weights, folder.join(WEIGHTS)).expect("files can be written");
}

#[test]
fn a_folder_is_looked_over() {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let (code, text) = said(dir.path(), "model check here");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("here/transformer/config.json"), "{text}");

    network(&dir.path().join("here/transformer"));
    let (code, text) = said(dir.path(), "model check here");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("here/vae: expected config.json of the codec; published at "), "{text}");
    assert!(!text.contains("here/transformer"), "{text}");
}

#[test]
fn an_adapter_is_merged() {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let folder = dir.path().join("network");
    network(&folder);
    let ones =
        |shape| Tensor::ones(shape, candle_core::DType::F32, &Device::Cpu).expect("a small tensor");
    let pair = HashMap::from([
        (format!("transformer.{LAYER}.lora_A.weight"), ones((1, 32))),
        (format!("transformer.{LAYER}.lora_B.weight"), ones((32, 1))),
    ]);
    candle_core::safetensors::save(&pair, dir.path().join("a.safetensors"))
        .expect("files can be written");
    let words = "model merge network --adapter a.safetensors --out merged";
    let (code, text) = said(dir.path(), words);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = said(dir.path(), words);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("expected a folder that is not there yet: merged"), "{text}");

    let read = |folder: &Path| -> BTreeMap<String, Tensor> {
        candle_core::safetensors::load(folder.join(WEIGHTS), &Device::Cpu)
            .expect("weights are there")
            .into_iter()
            .collect()
    };
    let (before, after) = (read(&folder), read(&dir.path().join("merged")));
    assert_eq!(before.len(), after.len());
    for (name, tensor) in &before {
        let change = (&after[name] - tensor).expect("of one shape").abs().expect("numbers");
        let values =
            change.flatten_all().and_then(|values| values.to_vec1::<f32>()).expect("numbers");
        let want = if *name == format!("{LAYER}.weight") { 1.0 } else { 0.0 };
        assert!(values.iter().all(|value| (value - want).abs() < 1e-6), "{name}");
    }
    assert_eq!(
        fs::read_to_string(dir.path().join("merged/config.json")).ok().as_deref(),
        Some(&hunyuan_config([8, 12]).to_string()[..])
    );
}
