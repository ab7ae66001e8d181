//! Folders that lack something.

use super::*;
use crate::framepack::hunyuan::tests::Golden;
use candle_core::Tensor;
use std::collections::{BTreeMap, HashMap};
use std::fs;

const HUNYUAN_TINY: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/framepack_tiny.safetensors");
const WAN_TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/wan_tiny.safetensors");

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn save(folder: &Path, tensors: &BTreeMap<String, Tensor>) {
    let tensors: HashMap<_, _> = tensors.clone().into_iter().collect();
    let path = folder.join("transformer/diffusion_pytorch_model.safetensors");
    candle_core::safetensors::save(&tensors, path).unwrap();
}

fn config(config: &impl serde::Serialize, more: &serde_json::Value) -> String {
    let mut all = serde_json::to_value(config).unwrap();
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all.to_string()
}

/// A folder with the network of a tiny model, and nothing else.
fn hunyuan(folder: &Path) -> BTreeMap<String, Tensor> {
    let golden = Golden::open(HUNYUAN_TINY);
    let fixed = serde_json::json!({
        "_class_name": "HunyuanVideoTransformer3DModelPacked", "patch_size": 2, "patch_size_t": 1,
    });
    write(folder, "transformer/config.json", &config(&golden.config(), &fixed));
    let tensors = golden.under("w.");
    save(folder, &tensors);
    tensors
}

fn faults(folder: &Path) -> Vec<String> {
    let model = Model::of(folder).unwrap();
    model.faults(folder, true).iter().map(ToString::to_string).collect()
}

#[test]
fn missing_files_are_named_with_where_they_are_published() {
    let folder = tempfile::tempdir().unwrap();
    hunyuan(folder.path());
    assert_eq!(Model::of(folder.path()).unwrap(), Model::Hunyuan);
    let faults = faults(folder.path());
    assert!(faults.iter().all(|fault| !fault.contains("transformer")), "{faults:?}");
    for want in [
        "vae: expected config.json of the codec; published at huggingface.co/hunyuanvideo-community",
        "image_encoder: expected config.json of SigLIP",
        "model.safetensors or model.safetensors.index.json of SigLIP; published at huggingface.co/lllyasviel/flux_redux_bfl",
        "tokenizer_2: expected tokenizer.json or vocab.json of CLIP-L's words",
    ] {
        assert!(faults.iter().any(|fault| fault.contains(want)), "{want} is not among {faults:?}");
    }
}

#[test]
fn all_wrong_tensors_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut tensors = hunyuan(folder.path());
    tensors.remove("proj_out.bias");
    tensors.remove("clean_x_embedder.proj_4x.weight");
    let transposed =
        tensors["transformer_blocks.1.ff.net.2.weight"].t().unwrap().contiguous().unwrap();
    tensors.insert("transformer_blocks.1.ff.net.2.weight".to_owned(), transposed);
    save(folder.path(), &tensors);
    let mut faults = faults(folder.path());
    faults.retain(|fault| fault.contains("transformer"));
    let text = faults.join("\n");
    for want in [
        "expected [32, 64] for tensor transformer_blocks.1.ff.net.2.weight, got [64, 32]",
        "expected a tensor proj_out.bias of [16]",
        "expected a tensor clean_x_embedder.proj_4x.weight",
        "FramePackI2V_HY",
    ] {
        assert!(text.contains(want), "{want} is not among\n{text}");
    }
    assert_eq!(text.lines().count(), 3, "{text}");
}

#[test]
fn wan_is_told_by_its_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let golden = Golden::open(WAN_TINY);
    let fixed = serde_json::json!({
        "patch_size": [1, 2, 2], "freq_dim": 256, "cross_attn_norm": true, "eps": 1e-6,
        "qk_norm": "rms_norm_across_heads", "_class_name": "WanTransformer3DModel",
    });
    let text = config(&wan::tests::config(false), &fixed);
    write(folder.path(), "transformer/config.json", &text);
    save(folder.path(), &golden.under("t2v.w."));
    assert_eq!(Model::of(folder.path()).unwrap(), Model::Wan);
    let faults = faults(folder.path());
    assert!(faults.iter().all(|fault| !fault.contains("transformer")), "{faults:?}");
    assert!(
        faults.iter().any(|fault| fault.contains("text_encoder: expected config.json of UMT5")),
        "{faults:?}"
    );
}

#[test]
fn a_folder_of_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = Model::of(folder.path()).unwrap_err().to_string();
    for want in ["transformer", "config.json", "FramePackI2V_HY", "Wan2.1-T2V"] {
        assert!(text.contains(want), "{want} is not in {text}");
    }
    write(folder.path(), "transformer/config.json", r#"{"_class_name": "FluxTransformer2DModel"}"#);
    let text = Model::of(folder.path()).unwrap_err().to_string();
    assert!(text.contains("got \"FluxTransformer2DModel\""), "{text}");
}
