//! Training with an atlas: sections retrieve its views, and learn from where these were seen.

use super::*;
use crate::atlas::{Atlas, BEARING, Camera, Ground, Motion, Pose, Scenery, View};
use crate::codec::Codec;
use std::sync::Arc;

/// A training on two walks along a row of places a step apart, half of those of the first views of an atlas.
fn charted(training: WorldTraining) -> WorldTrainer {
    let config = ModelConfig { bearings: 2, rendering: true, ..ModelConfig::tiny() };
    let episode = still_episode(&config, 260);
    let place =
        |frame: usize| Pose { x: f32::from(u16::try_from(frame).unwrap()), ..Pose::default() };
    let episode = episode.with_poses((0..260).map(place).collect()).unwrap();
    let view = |frame: usize| View {
        latent: episode.latents(frame, 1).map(|x| f16::from_f32(x).to_bits()).collect(),
        picture: None,
        action: episode.action(frame).into(),
        pose: place(frame),
    };
    let hall = (0..1200_u16).map(|at| f32::from(at) / 4.0);
    let ground = Ground::under(hall.flat_map(|x| [(x, 0.0), (x, 0.25), (x, -0.25)]));
    let camera = Camera { focal: 1.0, eye: 3.0, ceiling: 3.0, margin: 8 };
    let atlas = Atlas {
        views: (0..260).step_by(2).map(view).collect(),
        motion: Motion::of_steps(1.0),
        scenery: Scenery::new(camera, &ground).map(Arc::new),
        ground: Arc::new(ground),
    };
    // Through the same hall, but none of its frames is a view.
    let aside = |frame: usize| Pose { x: place(frame).x + 0.5, ..place(frame) };
    let other = still_episode(&config, 260).with_poses((0..260).map(aside).collect()).unwrap();
    let training = WorldTraining { retrieval: 1.0, ..training };
    let weights = None;
    let mut trainer =
        WorldTrainer::new(&config, training, vec![episode, other], weights, &Device::Cpu).unwrap();
    trainer.chart(atlas, &Codec::tiny());
    trainer
}

#[test]
fn sections_are_told_where_their_views_lie() {
    let mut trainer = charted(short(3));
    let config = trainer.model.config().clone();
    let (mut all, mut told) = (0, 0);
    for seed in 0..40 {
        let sample = sampled(&mut trainer, &mut Random::new(seed, 0));
        let rows = sample.batch.actions.to_vec2::<f32>().unwrap();
        for row in rows {
            let (_, bearings) = row.split_at(3 * config.action);
            assert_eq!(bearings.len(), 2 * BEARING);
            all += 1;
            if bearings[0] == 1.0 {
                told += 1;
                // Views lie ahead and behind in one line: near the first of at most nine frames.
                let [_, ahead, left, turn] = bearings[..BEARING] else { panic!("{bearings:?}") };
                assert!(ahead.abs() < 2.8 && left == 0.0 && turn == 0.0, "{bearings:?}");
            } else {
                assert_eq!(bearings, [0.0; 2 * BEARING]);
            }
        }
    }
    // Some clips have no atlas, and some schedules no room for what is retrieved.
    assert!((all / 4..all * 9 / 10).contains(&told), "{told} of {all}");
}

#[test]
fn sections_are_shown_what_the_views_of_others_show() {
    let mut trainer = charted(short(3));
    let config = trainer.model.config().clone();
    let cells = config.height * config.width;
    let (mut all, mut shown) = (0, 0);
    for seed in 0..40 {
        let scene = drawn_scene(&trainer, 2, &[], &mut Random::new(seed, 0));
        for section in scene.planned {
            all += 1;
            let Some(renderings) = section.renderings else { continue };
            shown += 1;
            for frame in renderings.chunks(config.latent_len() + cells) {
                let seen = frame[config.latent_len()..].iter().sum::<f32>();
                assert_eq!(frame.len(), config.latent_len() + cells);
                assert!(seen >= 0.0 && seen <= cells as f32 + 0.1, "{seen}");
            }
            // All views are of the first episode, and it is not shown its own.
            let seen = renderings.chunks(cells).skip(config.channels).step_by(config.channels + 1);
            let seen: f32 = seen.flatten().sum();
            let clip_is_first = seen == 0.0;
            assert!(clip_is_first || seen > 0.5 * cells as f32, "{seen}");
            shown += usize::from(!clip_is_first) * 1000;
        }
        let sample = sampled(&mut trainer, &mut Random::new(seed, 0));
        let (sections, frames, ..) = sample.batch.sections.dims5().unwrap();
        let shape = [sections * frames, config.channels + 1, config.height, config.width];
        assert_eq!(sample.batch.renderings.unwrap().dims(), shape);
    }
    // Some clips have no atlas; of those that do, about half are of the other episode.
    let (other, shown) = (shown / 1000, shown % 1000);
    assert!(
        (all / 3..all).contains(&shown) && (shown / 4..shown).contains(&other),
        "{other} {shown} {all}"
    );
}

#[test]
fn renderings_do_nothing_where_nobody_saw_anything_and_are_learnt() {
    let config = ModelConfig { rendering: true, ..ModelConfig::tiny() };
    let weights = initial_weights(&config, 5, &Device::Cpu).unwrap();
    let model = network(&config, weights, &Device::Cpu).unwrap();
    let shape = [2, config.channels, config.height, config.width];
    let noisy = model.tensor(Random::new(1, 0).normals(shape.iter().product()), &shape).unwrap();
    let actions = model.tensor(vec![0.0; 2 * config.told()], &[2, config.told()]).unwrap();
    let context = model.place(&[]).unwrap();
    let answer = |renderings: Option<&Tensor>, level: f32| {
        let lead = model.lead(None, renderings, &actions).unwrap();
        let clean = model.estimate(&noisy, level, StepSize::Flow, &lead, &context).unwrap();
        clean.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let latents = Tensor::full(3.0_f32, &shape, &Device::Cpu).unwrap();
    let with = |seen: f32| {
        let seen = Tensor::full(seen, (2, 1, config.height, config.width), &Device::Cpu).unwrap();
        Tensor::cat(&[&latents, &seen], 1).unwrap()
    };
    assert_eq!(answer(Some(&with(0.0)), 0.5), answer(None, 0.5));
    // The untrained network answers zero; the gate lets most through, less where there is little noise.
    let passes = 3.0 / (1.0 + (-2.0_f32).exp());
    for (seen, level, share) in [(1.0, 1.0, 1.0), (0.5, 1.0, 0.5), (1.0, 0.5, 1.0 / 1.2)] {
        let (got, expected) = (answer(Some(&with(seen)), level), share * passes);
        assert!(got.iter().all(|x| (x - expected).abs() < 1e-5), "{seen} {level}: {}", got[0]);
    }
    let mut trainer = charted(taught(4));
    let gate = |trainer: &WorldTrainer| {
        let weights = trainer.average().unwrap();
        let of = |name: &str| weights[name].abs().unwrap().sum_all().unwrap();
        ["rendering.gate.bias", "rendering.gate.weight", "rendering.embedding.weight"]
            .map(|name| of(name).to_scalar::<f32>().unwrap())
    };
    for _ in 0..8 {
        trainer.step().unwrap();
    }
    assert!(gate(&trainer).iter().all(|&size| size > 0.0), "{:?}", gate(&trainer));
}

#[test]
fn bearings_do_nothing_at_first_and_are_learnt() {
    let mut trainer = charted(taught(4));
    let config = trainer.model.config().clone();
    let bearings = |trainer: &WorldTrainer| {
        let weights = trainer.average().unwrap();
        let columns = weights["action_section.weight"].narrow(1, 3 * config.action, 2 * BEARING);
        columns.unwrap().abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap()
    };
    let narrow = ModelConfig { bearings: 0, ..config.clone() };
    let mut weights = initial_weights(&narrow, 5, &Device::Cpu).unwrap();
    let before = weights["action_section.weight"].clone();
    widen_projections(&config, &mut weights).unwrap();
    let after = &weights["action_section.weight"];
    assert_eq!(after.dims(), [config.condition, config.told()]);
    let (old, new) =
        (after.narrow(1, 0, narrow.told()).unwrap(), after.narrow(1, narrow.told(), 2 * BEARING));
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(values(&old), values(&before));
    assert!(values(&new.unwrap()).iter().all(|&x| x == 0.0));
    // And the other way about: who is told less forgets what the rest did.
    widen_projections(&narrow, &mut weights).unwrap();
    assert_eq!(values(&weights["action_section.weight"]), values(&before));
    let first = bearings(&trainer);
    for _ in 0..8 {
        trainer.step().unwrap();
    }
    assert_ne!(bearings(&trainer), first);
}

#[test]
fn a_training_with_an_atlas_goes_on_as_if_unbroken() {
    let run = |stops: bool| {
        let mut trainer = charted(taught(6));
        for step in 0..6 {
            if stops && step == 3 {
                let checkpoint = trainer.checkpoint().unwrap();
                trainer = charted(taught(6));
                trainer.restore(&checkpoint).unwrap();
            }
            trainer.step().unwrap();
        }
        let average = trainer.average().unwrap();
        average["head.weight"].flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(run(false), run(true));
}
