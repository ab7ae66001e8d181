//! The network against the reference implementation, stage by stage.

use super::*;
use crate::framepack::packed::Stream;
use candle_core::Device;
use std::collections::BTreeMap;

/// Made by `tests/golden/make_framepack.py`.
const GOLDEN: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/framepack_tiny.safetensors");
/// Names another file of that generator.
const FIXTURE: &str = "ONEIRO_PARITY_FIXTURE";
/// Sums of some hundred products in another order, through a dozen layers, in 32 bits.
const TOLERANCE: f32 = 1e-4;

/// The reference's weights, inputs and results.
pub(crate) struct Golden {
    tensors: BTreeMap<String, Tensor>,
}

impl Golden {
    pub(crate) fn open(path: &str) -> Self {
        let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        Self { tensors: tensors.into_iter().collect() }
    }

    pub(crate) fn get(&self, name: &str) -> &Tensor {
        self.tensors.get(name).unwrap_or_else(|| panic!("the fixture has {name}"))
    }

    pub(crate) fn weights(&self) -> Weights {
        Weights::from_tensors(self.under("w."), DType::F32, &Device::Cpu)
    }

    /// Tensors whose names begin with `prefix`, without it.
    pub(crate) fn under(&self, prefix: &str) -> BTreeMap<String, Tensor> {
        let bare = |(name, tensor): (&String, &Tensor)| {
            Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()))
        };
        self.tensors.iter().filter_map(bare).collect()
    }

    fn cases(&self) -> Vec<String> {
        let case = |name: &String| Some(name.strip_suffix(".in.hidden_states")?.to_owned());
        self.tensors.keys().filter_map(case).collect()
    }

    /// The sizes of the network, from the shapes of its tensors.
    pub(crate) fn config(&self) -> Config {
        let shape = |name: &str| self.get(&format!("w.{name}")).dims().to_vec();
        let count = |blocks: &str| {
            let has = |at: usize| {
                self.tensors.keys().any(|name| name.starts_with(&format!("w.{blocks}.{at}.")))
            };
            (0..).take_while(|&at| has(at)).count()
        };
        let width = shape("x_embedder.proj.bias")[0];
        let head = shape("transformer_blocks.0.attn.norm_q.weight")[0];
        let hidden = shape("transformer_blocks.0.ff.net.0.proj.bias")[0];
        let image = self.tensors.get("w.image_projection.up.weight");
        Config {
            in_channels: shape("x_embedder.proj.weight")[1],
            num_attention_heads: width / head,
            attention_head_dim: head,
            num_layers: count("transformer_blocks"),
            num_single_layers: count("single_transformer_blocks"),
            num_refiner_layers: count("context_embedder.token_refiner.refiner_blocks"),
            // A half more, as the hidden width is rounded down.
            mlp_ratio: (hidden as f64 + 0.5) / width as f64,
            guidance_embeds: self
                .tensors
                .contains_key("w.time_text_embed.guidance_embedder.linear_1.bias"),
            text_embed_dim: shape("context_embedder.proj_in.weight")[1],
            pooled_projection_dim: shape("time_text_embed.text_embedder.linear_1.weight")[1],
            rope_theta: 256.0,
            rope_axes_dim: self.axes(&self.cases()[0]),
            has_image_proj: image.is_some(),
            image_proj_dim: image.map_or(1, |image| image.dims()[1]),
        }
    }

    /// Channels of a head for time, rows and columns: those that differ between tokens one apart.
    fn axes(&self, case: &str) -> [usize; 3] {
        let shape = self.get(&format!("{case}.in.hidden_states")).dims().to_vec();
        let (rows, columns) = (shape[3] / 2, shape[4] / 2);
        let table =
            |part: &str| self.get(&format!("{case}.mid.rope_{part}")).to_vec2::<f32>().unwrap();
        let (cos, sin) = (table("cos"), table("sin"));
        let first = cos.len() - shape[2] * rows * columns;
        let differ = |step: usize| {
            let (a, b) = (first, first + step);
            let differs = |&at: &usize| cos[a][at] != cos[b][at] || sin[a][at] != sin[b][at];
            (0..cos[a].len()).filter(differs).count()
        };
        let (of_rows, of_columns) = (differ(columns), differ(1));
        [cos[first].len() - of_rows - of_columns, of_rows, of_columns]
    }

    pub(crate) fn case(&self, case: &str) -> (Packed, Tensor, Condition) {
        let input = |name: &str| self.get(&format!("{case}.in.{name}")).clone();
        let stream = |latents: &str, times: &str| {
            let times = input(times).to_vec1::<f32>().unwrap();
            Stream {
                latents: input(latents),
                times: times.iter().map(|&time| whole(time)).collect(),
            }
        };
        let packed = Packed {
            history: vec![
                (4, stream("latents_history_4x", "indices_latents_history_4x")),
                (2, stream("latents_history_2x", "indices_latents_history_2x")),
                (1, stream("latents_clean", "indices_latents_clean")),
            ],
            noisy: stream("hidden_states", "indices_latents"),
        };
        let counted = input("encoder_attention_mask").sum(1).unwrap().to_vec1::<f32>().unwrap();
        let guidance = input("guidance").to_vec1::<f32>().unwrap()[0];
        let condition = Condition {
            text: input("encoder_hidden_states"),
            lengths: counted.iter().map(|&count| usize::try_from(whole(count)).unwrap()).collect(),
            pooled: input("pooled_projections"),
            image: Some(input("image_embeds")),
            guidance: f64::from(guidance) / 1000.0,
        };
        (packed, input("timestep"), condition)
    }
}

/// A whole number that the fixture has as a float.
#[expect(clippy::cast_possible_truncation, reason = "times and lengths are small")]
fn whole(number: f32) -> i32 {
    number.round() as i32
}

pub(crate) fn worst(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

#[test]
fn parity() {
    let golden = Golden::open(&std::env::var(FIXTURE).unwrap_or_else(|_| GOLDEN.to_owned()));
    let config = golden.config();
    let network = Transformer::new(&config, &golden.weights(), Residence::Held).unwrap();
    for case in golden.cases() {
        let (packed, levels, condition) = golden.case(&case);
        let mut seen = Vec::new();
        let mut watch = |stage: &str, got: &Tensor| {
            let off = worst(got, golden.get(&format!("{case}.mid.{stage}")));
            println!("{case} {stage}: {off:e}");
            assert!(off <= TOLERANCE, "{case} {stage}: off by {off}");
            seen.push(stage.to_owned());
        };
        let got = network.watched(&packed, &levels, &condition, &mut watch).unwrap();
        let off = worst(&got, golden.get(&format!("{case}.out")));
        println!("{case} end: {off:e}");
        assert!(off <= TOLERANCE, "{case}: off by {off} at the end");
        let stages =
            golden.tensors.keys().filter_map(|name| name.strip_prefix(&format!("{case}.mid.")));
        let missed: Vec<_> = stages
            .filter(|stage| !stage.starts_with("rope_") && !seen.iter().any(|s| s == stage))
            .collect();
        assert!(missed.is_empty(), "{case}: not compared {missed:?}");
    }
}

#[test]
fn parity_of_phases() {
    let golden = Golden::open(&std::env::var(FIXTURE).unwrap_or_else(|_| GOLDEN.to_owned()));
    let rotary = golden.config().rotary();
    for case in golden.cases() {
        let (packed, ..) = golden.case(&case);
        let grid = packed.grid().unwrap();
        let streams =
            packed.history.iter().map(|(k, stream)| (*k, stream)).chain([(1, &packed.noisy)]);
        let parts: Vec<_> =
            streams.map(|(k, stream)| rotary.phases(&stream.times, grid, k)).collect();
        let phases = crate::ops::Phases::concatenated(rotary.half(), &parts);
        for (part, got) in [("cos", &phases.real), ("sin", &phases.imaginary)] {
            // The reference writes every number twice, once for each channel of a pair.
            let want = golden.get(&format!("{case}.mid.rope_{part}")).flatten_all().unwrap();
            let want: Vec<f32> = want.to_vec1::<f32>().unwrap().into_iter().step_by(2).collect();
            assert_eq!(got.len(), want.len(), "{case} {part}");
            let off = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // The reference takes angles of up to some tens in 32 bits.
            assert!(off < 1e-5, "{case} {part}: off by {off}");
        }
    }
}

#[test]
fn streamed_blocks_make_the_same() {
    let golden = Golden::open(GOLDEN);
    let (packed, levels, condition) = golden.case("b2");
    let made = |residence| {
        let network = Transformer::new(&golden.config(), &golden.weights(), residence).unwrap();
        network.forward(&packed, &levels, &condition).unwrap()
    };
    // Of two blocks of each kind none are held, one, all of one kind, and some of the other.
    for first in 0..4 {
        assert_eq!(worst(&made(Residence::Held), &made(Residence::First(first))), 0.0);
    }

    let mut tensors = golden.under("w.");
    tensors.remove("single_transformer_blocks.1.proj_mlp.bias");
    let weights = Weights::from_tensors(tensors, DType::F32, &Device::Cpu);
    let network = Transformer::new(&golden.config(), &weights, Residence::First(3)).unwrap();
    let error = network.forward(&packed, &levels, &condition).unwrap_err().to_string();
    assert!(error.contains("single_transformer_blocks.1.proj_mlp.bias"), "{error}");
}

#[test]
fn in_16_bits_it_is_nearly_the_same() {
    let golden = Golden::open(GOLDEN);
    let weights = Weights::from_tensors(golden.under("w."), DType::F16, &Device::Cpu);
    let network = Transformer::new(&golden.config(), &weights, Residence::Held).unwrap();
    let (packed, levels, condition) = golden.case("inv");
    let got = network.forward(&packed, &levels, &condition).unwrap();
    let off = worst(&got, golden.get("inv.out"));
    // 11 bits of mantissa through some dozen layers, at values of up to 3.
    assert!(off > 1e-5 && off < 3e-2, "off by {off}");
}

#[test]
fn what_does_not_fit_is_an_error() {
    let golden = Golden::open(GOLDEN);
    let network = Transformer::new(&golden.config(), &golden.weights(), Residence::Held).unwrap();
    let (packed, levels, condition) = golden.case("f1");
    let complaint = |packed: &Packed, condition: &Condition| {
        network.forward(packed, &levels, condition).unwrap_err().to_string()
    };
    let mut odd = packed.clone();
    odd.noisy.latents = odd.noisy.latents.narrow(3, 0, 9).unwrap();
    assert!(complaint(&odd, &condition).contains("even sides, got 14x9"));
    let mut short = packed.clone();
    short.history[0].1.times.pop();
    assert!(complaint(&short, &condition).contains("kernel 4: expected as many times as frames"));
    let mut other = packed.clone();
    other.history[1].1.latents = other.history[1].1.latents.narrow(4, 0, 12).unwrap();
    assert!(complaint(&other, &condition).contains("kernel 2: expected (1, 4, T, 10, 14)"));
    let mut unknown = packed.clone();
    unknown.history[0].0 = 8;
    assert!(complaint(&unknown, &condition).contains("clean_x_embedder.proj_8x"));
    let longer = Condition { lengths: vec![6], ..condition };
    assert!(complaint(&packed, &longer).contains("expected 1 texts of 1 to 5 states"));
}
