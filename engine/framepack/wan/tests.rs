//! The network against the reference implementation, stage by stage.

use super::*;
use crate::adapter::{Adapter, AdapterConfig};
use crate::framepack::embed::history_weights;
use crate::framepack::hunyuan::tests::{Golden, worst};
use crate::framepack::packed::Stream;
use candle_core::Device;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Made by `tests/golden/make_wan.py`.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/wan_tiny.safetensors");
/// Sums of some hundred products in another order, through a dozen layers, in 32 bits.
const TOLERANCE: f32 = 1e-4;

pub(crate) fn config(image: bool) -> Config {
    Config {
        in_channels: if image { 9 } else { 4 },
        out_channels: 4,
        num_attention_heads: 2,
        attention_head_dim: 16,
        num_layers: 2,
        ffn_dim: 48,
        text_dim: 8,
        image_dim: image.then_some(12),
    }
}

fn weights(golden: &Golden, name: &str) -> Weights {
    let tensors = golden.under(&format!("{name}.w."));
    Weights::from_tensors(tensors, DType::F32, &Device::Cpu)
}

/// The fixture's clip without history, its noise levels and its conditions.
fn given(golden: &Golden, name: &str) -> (Packed, Tensor, Condition) {
    let input = golden.under(&format!("{name}.in."));
    let latents = input["hidden_states"].clone();
    let times = (0..).take(latents.dim(2).unwrap()).collect();
    let packed = Packed { history: Vec::new(), noisy: Stream { latents, times } };
    let image = input.get("encoder_hidden_states_image").cloned();
    let condition = Condition { text: input["encoder_hidden_states"].clone(), image };
    (packed, input["timestep"].clone(), condition)
}

#[test]
fn without_history_it_is_the_reference() {
    let golden = Golden::open(GOLDEN);
    for (name, image) in [("t2v", false), ("i2v", true)] {
        let network =
            Transformer::new(&config(image), &weights(&golden, name), Residence::Held).unwrap();
        let (packed, levels, condition) = given(&golden, name);
        let mut stages = 0;
        let mut watch = |stage: &str, got: &Tensor| {
            let off = worst(got, golden.get(&format!("{name}.mid.{stage}")));
            assert!(off <= TOLERANCE, "{name} {stage}: off by {off}");
            stages += 1;
        };
        let got = network.watched(&packed, &levels, &condition, &mut watch).unwrap();
        let off = worst(&got, golden.get(&format!("{name}.out")));
        println!("{name} end: {off:e}");
        assert!(off <= TOLERANCE, "{name}: off by {off} at the end");
        assert_eq!(stages, golden.under(&format!("{name}.mid.")).len(), "all stages are compared");
    }
}

/// Projections of history that start from the network's own, in an adapter.
fn with_history(weights: &Weights, golden: &Golden, name: &str) -> Weights {
    let own = golden.under(&format!("{name}.w.{PATCH}."));
    let own = history_weights(&own["weight"], &own["bias"], &[1, 2, 4]).unwrap();
    let config = AdapterConfig { rank: 2, alpha: 2.0, seed: 1 };
    weights.with(Arc::new(Adapter::new(weights, own, config).unwrap()))
}

/// History at k1 starts as frames of the clip itself, as all tokens share one noise level and look at one another.
#[test]
fn with_fresh_embedders_fine_history_is_part_of_the_clip() {
    let golden = Golden::open(GOLDEN);
    for (name, image) in [("t2v", false), ("i2v", true)] {
        let weights = with_history(&weights(&golden, name), &golden, name);
        let network = Transformer::new(&config(image), &weights, Residence::Held).unwrap();
        let (clip, levels, condition) = given(&golden, name);
        let part = |first: usize, length: usize| Stream {
            latents: clip.noisy.latents.narrow(2, first, length).unwrap(),
            times: clip.noisy.times[first..first + length].to_vec(),
        };
        let packed = Packed { history: vec![(1, part(0, 2))], noisy: part(2, 3) };
        let got = network.forward(&packed, &levels, &condition).unwrap();
        let want = golden.get(&format!("{name}.out")).narrow(2, 2, 3).unwrap();
        let off = worst(&got, &want);
        assert!(off <= TOLERANCE, "{name}: off by {off}");
    }
}

#[test]
fn coarse_history_is_seen_and_needs_its_projection() {
    let golden = Golden::open(GOLDEN);
    let plain = weights(&golden, "t2v");
    let (mut packed, levels, condition) = given(&golden, "t2v");
    packed.history = vec![(
        4,
        Stream { latents: packed.noisy.latents.clone(), times: vec![-5, -4, -3, -2, -1] },
    )];
    let network = Transformer::new(&config(false), &plain, Residence::Held).unwrap();
    let error = network.forward(&packed, &levels, &condition).unwrap_err().to_string();
    assert!(error.contains("clean_x_embedder.proj_4x"), "{error}");

    let network =
        Transformer::new(&config(false), &with_history(&plain, &golden, "t2v"), Residence::Held)
            .unwrap();
    let got = network.forward(&packed, &levels, &condition).unwrap();
    assert!(worst(&got, golden.get("t2v.out")) > 1e-2, "history changes what is made");
}

#[test]
fn a_packed_token_starts_as_the_token_of_the_averaged_latents() {
    let golden = Golden::open(GOLDEN);
    let own: BTreeMap<_, _> = golden.under(&format!("t2v.w.{PATCH}."));
    let packed = history_weights(&own["weight"], &own["bias"], &[2]).unwrap();
    let weight = &packed["clean_x_embedder.proj_2x.weight"];
    assert_eq!(weight.dims(), [32, 4, 2, 4, 4]);
    let patch =
        golden.get("t2v.in.hidden_states").narrow(0, 0, 1).unwrap().narrow(2, 0, 2).unwrap();
    let patch = patch.narrow(3, 0, 4).unwrap().narrow(4, 0, 4).unwrap().contiguous().unwrap();
    let averaged = patch.reshape(vec![4, 2, 2, 2, 2, 2]).unwrap(); // C, T, rows, 2, columns, 2
    let averaged = averaged.mean(vec![1, 3, 5]).unwrap(); // C, rows, columns
    let token = |weight: &Tensor, patch: &Tensor| {
        let row = patch.flatten_all().unwrap().unsqueeze(0).unwrap();
        row.matmul(&weight.flatten_from(1).unwrap().t().unwrap()).unwrap()
    };
    let off = worst(&token(weight, &patch), &token(&own["weight"], &averaged));
    assert!(off < 1e-5, "off by {off}");
}
