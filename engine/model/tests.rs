//! Packed for play, the network answers what it answers in training.

use super::{GroupKv, Lead, ModelConfig, PlacedContext, PlannedGroup, StepSize, WorldModel};
use crate::graph::Graphs;
use crate::noise::Random;
use crate::ops::Precision;
use crate::pack::Kernel;
use crate::sampler::{Sampling, Sight, sample, sample_at_once};
use crate::train::initial_weights;
use crate::world::World;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use std::sync::Arc;

/// Larger than one panel of rows, and of a size that no panel divides.
fn config() -> ModelConfig {
    ModelConfig { height: 14, width: 10, precision: Precision::Int16, ..ModelConfig::tiny() }
}

fn random(shape: &[usize], seed: u64) -> Tensor {
    let values = Random::new(seed, 0).normals(shape.iter().product());
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Weights none of which is zero, so that every path matters.
fn model(frozen: bool) -> WorldModel {
    let config = config();
    let mut weights = initial_weights(&config, 3, &Device::Cpu).unwrap();
    for (seed, weight) in (0..).zip(weights.values_mut()) {
        *weight = ((random(weight.dims(), seed) * 0.1).unwrap() + &*weight).unwrap();
    }
    let weights = weights.into_iter().collect();
    let vb = VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
    let mut model = WorldModel::new(&config, &vb).unwrap();
    if frozen {
        model.freeze().unwrap();
        assert_eq!(model.stack.is_some(), config.precision.is_int16());
    }
    model
}

#[test]
fn kept_phases_are_those_of_each_kernel_and_time() {
    let config = config();
    let kept = super::rope::KeptPhases::default();
    // The second time all are there already.
    for _ in 0..2 {
        for (k, time) in [(4, -9), (2, -9), (1, -9), (1, -1)] {
            let kernel = Kernel::simplified(k).unwrap();
            let want = super::group_phases(&config, kernel, time);
            assert_eq!(*kept.of_group(&config, kernel, time), want, "k{k} at {time}");
        }
    }
    let one = || kept.of_group(&config, Kernel::FINEST, -1);
    assert!(Arc::ptr_eq(&one(), &one()), "they are computed once");
}

fn context(model: &WorldModel) -> PlacedContext {
    let ModelConfig { channels, height, width, action, .. } = config();
    let groups = [(4, -9), (2, -5), (1, -3), (1, -1)].map(|(k, time)| {
        let seed = u64::from(k) + 40;
        let latents = random(&[usize::from(k), channels, height, width], seed);
        let kernel = Kernel::simplified(k).unwrap();
        let kv = model.encode(kernel, &latents, &random(&[action], seed + 7)).unwrap();
        (Arc::new(kv), kernel, time)
    });
    model.place(&groups).unwrap()
}

#[test]
#[should_panic(expected = "as many tokens as the kernel makes")]
fn a_group_is_placed_under_its_own_kernel_alone() {
    let model = model(true);
    let ModelConfig { channels, height, width, action, .. } = config();
    let kernel = Kernel::simplified(2).unwrap();
    let latents = random(&[2, channels, height, width], 40);
    let kv = model.encode(kernel, &latents, &random(&[action], 47)).unwrap();
    let _ = model.place(&[(Arc::new(kv), Kernel::FINEST, -1)]);
}

/// A section of two frames, with or without a history.
fn estimate(model: &WorldModel, history: bool) -> Tensor {
    let ModelConfig { channels, height, width, action, .. } = config();
    let noisy = random(&[2, channels, height, width], 90);
    let newest = history.then(|| random(&[channels, height, width], 91));
    let lead = model.lead(newest.as_ref(), None, &random(&[2, 3 * action], 92)).unwrap();
    let context = if history { context(model) } else { model.place(&[]).unwrap() };
    model.estimate(&noisy, 0.7, StepSize::Flow, &lead, &context).unwrap()
}

#[test]
fn packing_the_weights_changes_no_more_than_roundings() {
    let (plain, packed) = (model(false), model(true));
    for history in [true, false] {
        let (a, b) = (estimate(&plain, history), estimate(&packed, history));
        let scale = a.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        let off = (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        // Both round operands to 12 bits; scores over the history and over the section are summed
        // apart here, so that some operands round the other way.
        assert!(off <= 2e-3 * scale, "off by {off} at scale {scale}");
    }
    let seen = (estimate(&packed, true) - estimate(&packed, false)).unwrap();
    let seen = seen.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(seen > 0.05, "the history is seen");
}

#[test]
fn blocks_of_16_bit_floats_change_no_more_than_roundings() {
    let plain = model(false);
    let mut halved = plain.clone();
    halved.halve().unwrap();
    for history in [true, false] {
        let (a, b) = (estimate(&plain, history), estimate(&halved, history));
        let scale = a.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        let off = (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        // Operands of 11 bits against those of 12, and what lies between two products is rounded as well.
        assert!(off > 0.0 && off <= 4e-3 * scale, "off by {off} at scale {scale}");
    }
    let latents = random(&[1, config().channels, config().height, config().width], 40);
    let action = random(&[config().action], 47);
    let bytes =
        |model: &WorldModel| model.encode(Kernel::FINEST, &latents, &action).unwrap().bytes();
    assert_eq!(2 * bytes(&halved), bytes(&plain), "keys and values are kept as they are used");
}

/// What 16-bit floats cannot hold becomes infinite, and nothing in a tiny network is large.
#[test]
fn worlds_that_come_with_the_program_fit_into_16_bit_floats() {
    for name in ["doom-rooms", "mazes", "mazes/off-map"] {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/worlds/").to_owned() + name;
        let world = World::open(dir.as_ref(), &Device::Cpu, |_| ()).unwrap();
        let mut plain = world.model.clone();
        plain.stack = None;
        let mut halved = plain.clone();
        halved.halve().unwrap();
        let start = &world.starts[0];
        let frames = start.frames().take(9).flatten().copied().collect::<Vec<_>>();
        let latents = world.codec.encode(&frames, world.config.height, world.config.width).unwrap();
        let action = Tensor::ones(world.config.model.action, DType::F32, &Device::Cpu).unwrap();
        let told = Tensor::ones((1, world.config.model.told()), DType::F32, &Device::Cpu).unwrap();
        let noisy = random(latents.narrow(0, 8, 1).unwrap().dims(), 3);
        let see = |model: &WorldModel| {
            let groups = [(4, 1, -7), (2, 5, -3), (1, 7, -1)].map(|(k, first, time)| {
                let kernel = Kernel::simplified(k).unwrap();
                let seen = latents.narrow(0, first, usize::from(k)).unwrap();
                (Arc::new(model.encode(kernel, &seen, &action).unwrap()), kernel, time)
            });
            let context = model.place(&groups).unwrap();
            let newest = latents.get(7).unwrap();
            let lead = model.lead(Some(&newest), None, &told).unwrap();
            model.estimate(&noisy, 0.8, StepSize::Flow, &lead, &context).unwrap()
        };
        let (a, b) = (see(&plain), see(&halved));
        let mean = |x: Tensor| x.abs().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap();
        let (off, scale) = (mean((&a - &b).unwrap()), mean(a));
        // Both round operands, to 12 bits and to 11, in eight blocks: a hundredth is 40 dB below what is there.
        assert!(off > 0.0 && off < 0.01 * scale, "{name}: off by {off} of {scale}");
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let packed = model(true);
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let values = pool.install(|| estimate(&packed, true));
        values.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let one = with(1);
    assert!([2, 3, 5].map(with).iter().all(|other| *other == one));
}

#[test]
fn groups_encoded_together_are_what_each_is_alone() {
    let ModelConfig { channels, height, width, action, depth, .. } = config();
    let group = |(at, k): (u64, u16)| {
        let latents = random(&[usize::from(k), channels, height, width], at);
        (Kernel::simplified(k).unwrap(), latents, random(&[action], at + 50))
    };
    let groups: Vec<_> = (0..).zip([4, 1, 2, 1]).map(group).collect();
    for frozen in [false, true] {
        let model = model(frozen);
        let together = model.encode_each(0.3, &groups).unwrap();
        let first = together[0].layer(0).0.to_vec2::<f32>().unwrap();
        for ((kernel, latents, action), together) in groups.iter().zip(&together) {
            let alone = model.encode_at(0.3, *kernel, latents, action).unwrap();
            for at in 0..depth {
                let values = |(keys, values): (&Tensor, &Tensor)| {
                    [keys, values].map(|tensor| tensor.to_vec2::<f32>().unwrap())
                };
                assert_eq!(values(together.layer(at)), values(alone.layer(at)), "{frozen}, {at}");
            }
        }
        assert_ne!(first, together[1].layer(0).0.to_vec2::<f32>().unwrap());
        assert!(model.encode_each(0.3, &[]).unwrap().is_empty());
        for threads in [1, 2, 3, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let again = pool.install(|| model.encode_each(0.3, &groups)).unwrap();
            for (again, together) in again.iter().zip(&together) {
                let values = |kv: &GroupKv| kv.layer(depth - 1).1.to_vec2::<f32>().unwrap();
                assert_eq!(values(again), values(together), "{frozen}, {threads} threads");
            }
        }
    }
}

#[test]
fn sections_led_apart_are_what_each_is_alone() {
    let ModelConfig { channels, height, width, action, .. } = config();
    let noisy = random(&[2, channels, height, width], 90);
    let newest = random(&[channels, height, width], 91);
    for frozen in [false, true] {
        let model = model(frozen);
        let lead =
            |newest, seed| model.lead(newest, None, &random(&[2, 3 * action], seed)).unwrap();
        let leads = [lead(Some(&newest), 92), lead(None, 93), lead(Some(&newest), 94)];
        let context = context(&model);
        let values = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let each = |leads: &[&Lead]| {
            let each = model.estimate_each(&noisy, 0.7, StepSize::Flow, leads, &context).unwrap();
            each.iter().map(values).collect::<Vec<_>>()
        };
        let together = each(&leads.each_ref());
        let alone: Vec<_> = leads.iter().flat_map(|lead| each(&[lead])).collect();
        assert_eq!(together, alone, "frozen: {frozen}");
        assert!(alone[0] != alone[1] && alone[0] != alone[2]);
    }
}

#[test]
fn the_newest_frame_leads_the_section() {
    for frozen in [false, true] {
        let model = model(frozen);
        let ModelConfig { channels, height, width, action, .. } = config();
        let (noisy, actions) =
            (random(&[1, channels, height, width], 90), random(&[1, 3 * action], 92));
        let context = model.place(&[]).unwrap();
        let clean = |newest: Option<&Tensor>| {
            let lead = model.lead(newest, None, &actions).unwrap();
            model.estimate(&noisy, 0.7, StepSize::Flow, &lead, &context).unwrap()
        };
        let led = clean(Some(&random(&[channels, height, width], 91)));
        let apart = (led - clean(None)).unwrap().abs().unwrap().max_all().unwrap();
        assert!(apart.to_scalar::<f32>().unwrap() > 0.05, "frozen: {frozen}");
    }
}

/// Groups of a plan, the newest first.
fn planned() -> Vec<PlannedGroup> {
    let ModelConfig { channels, height, width, action, .. } = config();
    let group = |(k, position): (u16, i32)| {
        let seed = u64::from(k) + 40;
        let latents = random(&[usize::from(k), channels, height, width], seed);
        let (kernel, action) = (Kernel::simplified(k).unwrap(), random(&[action], seed + 7));
        PlannedGroup { kernel, latents, action, position }
    };
    [(1, -1), (2, -3), (4, -7)].map(group).to_vec()
}

/// What a section sees in noise after such a history.
fn after(model: &WorldModel, context: &PlacedContext) -> Vec<f32> {
    let ModelConfig { channels, height, width, action, .. } = config();
    let noisy = random(&[2, channels, height, width], 90);
    let lead = model.lead(None, None, &random(&[2, 3 * action], 92)).unwrap();
    let clean = model.estimate(&noisy, 0.7, StepSize::Flow, &lead, context).unwrap();
    clean.flatten_all().unwrap().to_vec1().unwrap()
}

/// The largest difference as a part of the largest value.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    let largest = |values: &mut dyn Iterator<Item = f32>| values.map(f32::abs).fold(0.0, f32::max);
    largest(&mut a.iter().zip(b).map(|(a, b)| a - b)) / largest(&mut a.iter().copied())
}

#[test]
fn a_lone_group_sees_itself_whatever_the_attention() {
    let (model, groups) = (model(false), planned());
    for group in &groups {
        let PlannedGroup { kernel, latents, action, position } = group;
        let kv = model.encode_at(0.3, *kernel, latents, action).unwrap();
        let own = model.place(&[(Arc::new(kv), *kernel, *position)]).unwrap();
        let causal = model.encode_causal(std::slice::from_ref(group), 0.3).unwrap();
        let off = difference(&after(&model, &own), &after(&model, &causal));
        // Queries and keys are turned by the same angles more, and rounded to 12 bits after.
        assert!(off <= 4e-3, "{kernel}: {off}");
    }
    let told = |level| after(&model, &model.encode_causal(&groups, level).unwrap());
    assert!(difference(&told(0.0), &told(0.9)) > 1e-3, "the level is told");
}

#[test]
fn causal_history_is_the_same_to_a_network_packed_for_play() {
    let [plain, packed] = [false, true].map(|frozen| {
        let model = model(frozen);
        after(&model, &model.encode_causal(&planned(), 0.0).unwrap())
    });
    let off = difference(&plain, &packed);
    // Packed or not, operands are rounded to 12 bits; sums come in another order.
    assert!(off <= 2e-3, "{off}");
}

#[test]
fn a_history_that_lies_elsewhere_gives_the_same_section() {
    let model = model(false);
    let ModelConfig { channels, height, width, action, .. } = config();
    let noise = random(&[2, channels, height, width], 90);
    let newest = random(&[channels, height, width], 91);
    let actions = random(&[2, 3 * action], 92);
    let sampling = Sampling { evaluations: 2, shortcut: false, guidance: 0.5 };
    for context in [context(&model), model.place(&[]).unwrap()] {
        for newest in [None, Some(&newest)] {
            let graphs = Graphs::default();
            let values = |x: Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let sight =
                Sight { context: context.clone(), newest: newest.cloned(), renderings: None };
            let want = sample(&model, &noise, &actions, &sight, sampling).unwrap();
            let got = sample_at_once(&graphs, &model, &noise, &actions, &sight, sampling);
            assert_eq!(values(got.unwrap()), values(want));
        }
    }
}
