//! Adapters as files: names of other tools, hostile ones.

use super::*;
use proptest::prelude::*;

fn tensor(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|at| at as f32 - 1.5).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn from(tensors: &[(&str, Tensor)]) -> Result<Adapter> {
    Adapter::from_tensors(
        tensors.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone())).collect(),
    )
}

#[test]
fn a_pair_is_worked_into_its_weight() {
    // B · A is an outer product; at α = 6 and rank 1 it counts six times.
    let adapter = from(&[
        (
            "transformer.blocks.0.q.lora_A.weight",
            Tensor::new(&[[1.0_f32, 10.0]], &Device::Cpu).unwrap(),
        ),
        (
            "transformer.blocks.0.q.lora_B.weight",
            Tensor::new(&[[1.0_f32], [2.0], [3.0]], &Device::Cpu).unwrap(),
        ),
        ("transformer.blocks.0.q.alpha", Tensor::new(6.0_f32, &Device::Cpu).unwrap()),
    ]);
    let merged = adapter
        .unwrap()
        .merged("blocks.0.q.weight", &Tensor::ones((3, 2), DType::F32, &Device::Cpu).unwrap());
    assert_eq!(
        merged.unwrap().to_vec2::<f32>().unwrap(),
        [[7.0, 61.0], [13.0, 121.0], [19.0, 181.0]]
    );
}

#[test]
fn names_of_other_tools_are_read() {
    for prefix in ["", "transformer.", "diffusion_model."] {
        let (down, up) = (
            format!("{prefix}blocks.0.q.lora_A.weight"),
            format!("{prefix}blocks.0.q.lora_B.weight"),
        );
        let adapter = from(&[(&down, tensor(&[2, 5])), (&up, tensor(&[3, 2]))]).unwrap();
        // Without α the pair counts as it is.
        assert_eq!(adapter.low_rank("blocks.0.q", 5, 3).unwrap().unwrap().scale, 1.0);
        assert!(adapter.low_rank("blocks.0.k", 5, 3).unwrap().is_none());
        let text = adapter.low_rank("blocks.0.q", 4, 3).unwrap_err().to_string();
        assert!(text.contains("(3, 4) for blocks.0.q"), "{text}");
    }
}

#[test]
fn half_a_pair_is_refused() {
    let text = from(&[("q.lora_A.weight", tensor(&[2, 5]))]).unwrap_err().to_string();
    assert!(text.contains("q: expected .lora_B.weight"), "{text}");
    let text = from(&[("q.lora_B.weight", tensor(&[5, 2]))]).unwrap_err().to_string();
    assert!(text.contains("q: expected .lora_A.weight"), "{text}");
    let pair = [("q.lora_A.weight", tensor(&[2, 5])), ("q.lora_B.weight", tensor(&[5, 3]))];
    let text = from(&pair).unwrap_err().to_string();
    assert!(text.contains("one rank"), "{text}");
    let text = from(&[("q.alpha", tensor(&[1]))]).unwrap_err().to_string();
    assert!(text.contains("q: expected .lora_A.weight"), "{text}");
}

#[test]
fn only_attention_and_projections_of_blocks_are_adapted() {
    let names = [
        "transformer_blocks.0.attn.to_q.weight",
        "single_transformer_blocks.1.proj_mlp.weight",
        "blocks.3.ffn.net.0.proj.weight",
        "transformer_blocks.0.norm1.linear.weight",
        "x_embedder.other.weight",
        "context_embedder.token_refiner.refiner_blocks.0.attn.to_q.weight",
    ];
    let tensors = names.iter().map(|name| ((*name).to_owned(), tensor(&[3, 5])));
    let weights = Weights::from_tensors(tensors.collect(), DType::F32, &Device::Cpu);
    let config = AdapterConfig { rank: 2, alpha: 1.0, seed: 0 };
    let adapter = Adapter::new(&weights, BTreeMap::new(), config).unwrap();
    let adapted: Vec<_> = adapter.alphas.keys().map(|path| format!("{path}.weight")).collect();
    let mut want: Vec<_> = names[..3].to_vec();
    want.sort_unstable();
    assert_eq!(adapted, want);
    assert!(Adapter::new(&weights, BTreeMap::new(), AdapterConfig { rank: 0, ..config }).is_err());
}

proptest! {
    #[test]
    fn damaged_adapters_are_an_error_or_readable(cut in 0_usize..300, at in 0_usize..300, byte: u8) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adapter.safetensors");
        let adapter = from(&[("q.lora_A.weight", tensor(&[2, 5])), ("q.lora_B.weight", tensor(&[3, 2]))]).unwrap();
        adapter.save(&path).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.truncate(bytes.len().saturating_sub(cut));
        if let Some(slot) = bytes.get_mut(at) {
            *slot = byte;
        }
        std::fs::write(&path, &bytes).unwrap();
        match Adapter::open(&path, &Device::Cpu) {
            Ok(adapter) => drop(adapter.low_rank("q", 5, 3)),
            Err(error) => prop_assert!(error.to_string().contains("adapter.safetensors")),
        }
    }
}
