//! Weights in one file and in parts, of several types, and hostile ones.

use super::files::parse_index;
use super::*;
use proptest::prelude::*;
use std::collections::HashMap;
use std::fs;

fn save(path: &Path, tensors: &[(&str, Tensor)]) {
    let tensors: HashMap<_, _> =
        tensors.iter().map(|(name, tensor)| (*name, tensor.clone())).collect();
    candle_core::safetensors::save(&tensors, path).unwrap();
}

fn tensor(values: &[f32], dtype: DType) -> Tensor {
    Tensor::new(values, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

fn open(folder: &Path) -> std::result::Result<Weights, Error> {
    Weights::open(folder, DType::F32, &Device::Cpu)
}

fn complaint(folder: &Path) -> String {
    open(folder).map(|_| ()).unwrap_err().to_string()
}

const INDEX: &str = "diffusion_pytorch_model.safetensors.index.json";

/// Two parts and their index.
fn in_parts(folder: &Path) {
    save(&folder.join("a.safetensors"), &[("x.half", tensor(&[1.5, -2.0], DType::F16))]);
    save(
        &folder.join("b.safetensors"),
        &[("x.brain", tensor(&[3.0], DType::BF16)), ("y", tensor(&[0.1], DType::F32))],
    );
    let map = r#"{"weight_map": {"x.half": "a.safetensors", "x.brain": "b.safetensors", "y": "b.safetensors"}}"#;
    fs::write(folder.join(INDEX), map).unwrap();
}

#[test]
fn parts_of_all_types_are_read_as_one() {
    let folder = tempfile::tempdir().unwrap();
    in_parts(folder.path());
    let weights = open(folder.path()).unwrap();
    let values = |tensor: Result<Tensor>| tensor.unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(values(weights.pp("x").get(2, "half")), [1.5, -2.0]);
    assert_eq!(values(weights.pp("x").get(1, "brain")), [3.0]);
    assert_eq!(values(weights.get(1, "y")), [0.1]);
    assert!(weights.contains("y") && !weights.contains("half"));
    assert_eq!(weights.shapes()["x.half"], [2]);

    let narrow = Weights::open(folder.path(), DType::BF16, &Device::Cpu).unwrap();
    assert_eq!(narrow.get(1, "y").unwrap().dtype(), DType::BF16);
}

#[test]
fn what_is_wrong_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text = complaint(folder);
    assert!(
        text.contains("expected diffusion_pytorch_model.safetensors or model.safetensors"),
        "{text}"
    );
    let text = complaint(&folder.join("none"));
    assert!(text.contains("cannot read weights") && text.contains("none"), "{text}");

    in_parts(folder);
    let weights = open(folder).unwrap();
    let text = weights.pp("x").get(3, "half").unwrap_err().to_string();
    assert!(text.contains("expected [3] for x.half, got [2]"), "{text}");
    let text = weights.get(3, "z").unwrap_err().to_string();
    assert!(text.contains("expected a tensor z"), "{text}");

    save(&folder.join("b.safetensors"), &[("y", tensor(&[0.1], DType::F32))]);
    let text = complaint(folder);
    assert!(text.contains("expected tensor x.brain") && text.contains("b.safetensors"), "{text}");

    let whole = fs::read(folder.join("a.safetensors")).unwrap();
    fs::write(folder.join("a.safetensors"), &whole[..whole.len() - 1]).unwrap();
    let text = complaint(folder);
    assert!(
        text.contains("expected a whole safetensors file") && text.contains("a.safetensors"),
        "{text}"
    );

    fs::remove_file(folder.join("a.safetensors")).unwrap();
    let text = complaint(folder);
    assert!(text.contains("cannot read weights") && text.contains("a.safetensors"), "{text}");
}

#[test]
fn a_network_is_its_configuration_and_its_weights() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let twos = Tensor::full(2.0_f32, (2, 3), &Device::Cpu).unwrap();
    save(&folder.join("model.safetensors"), &[("a", twos)]);
    let read = || {
        read_network(folder, DType::F32, &Device::Cpu, |sizes: &[usize; 2], vb| {
            vb.get((sizes[0], sizes[1]), "a")?.sum_all()?.to_scalar::<f32>()
        })
    };
    assert!(read().unwrap_err().to_string().contains("config.json"));
    fs::write(folder.join("config.json"), "[2, 3]").unwrap();
    assert_eq!(read().unwrap(), 12.0);
    fs::write(folder.join("config.json"), "[2]").unwrap();
    let error = read().unwrap_err().to_string();
    assert!(error.contains("invalid length 1") && error.contains("config.json"), "{error}");
    fs::write(folder.join("config.json"), "[3, 2]").unwrap();
    assert!(read().unwrap_err().to_string().contains("expected [3, 2] for a, got [2, 3]"));
}

#[test]
fn an_index_leads_nowhere_else() {
    for part in [
        "../a.safetensors",
        "/etc/a.safetensors",
        "c\\\\b.safetensors",
        "a.bin",
        "",
        "..",
        "sub/a.safetensors",
    ] {
        let text = format!(r#"{{"weight_map": {{"x": "{part}"}}}}"#);
        assert!(parse_index(&text).is_err(), "{part}");
    }
    assert!(parse_index(r#"{"weight_map": {}}"#).unwrap_err().contains("1 to 4096"));
    assert!(parse_index("[]").is_err());
}

proptest! {
    #[test]
    fn damaged_weights_are_an_error_or_readable(cut in 0_usize..200, at in 0_usize..200, byte: u8) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("diffusion_pytorch_model.safetensors");
        save(&path, &[("x", tensor(&[1.0, 2.0], DType::F32))]);
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(bytes.len().saturating_sub(cut));
        if let Some(slot) = bytes.get_mut(at) {
            *slot = byte;
        }
        fs::write(&path, &bytes).unwrap();
        if let Ok(weights) = open(folder.path()) {
            // Whatever the header says now, asking for a tensor is safe.
            drop(weights.get(2, "x"));
        }
    }

    #[test]
    fn any_index_is_an_error_or_names_plain_files(text in ".{0,200}", map in proptest::collection::btree_map(".{0,8}", ".{0,16}", 0..5)) {
        drop(parse_index(&text));
        let index = serde_json::to_string(&Index { weight_map: map }).unwrap();
        if let Ok(parts) = parse_index(&index) {
            for part in parts.keys() {
                prop_assert!(!part.contains('/') && part.ends_with(".safetensors"));
            }
        }
    }
}
