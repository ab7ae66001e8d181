//! Training with an atlas: sections retrieve its views, and learn from where these were seen.

use super::*;
use crate::atlas::{Atlas, BEARING, Ground, Motion, Pose, View};
use std::sync::Arc;

/// A training on a walk along a row of places a step apart, half of them views of an atlas.
fn charted(training: WorldTraining) -> WorldTrainer {
    let config = ModelConfig { bearings: 2, ..ModelConfig::tiny() };
    let episode = still_episode(&config, 260);
    let place =
        |frame: usize| Pose { x: f32::from(u16::try_from(frame).unwrap()), ..Pose::default() };
    let episode = episode.with_poses((0..260).map(place).collect()).unwrap();
    let view = |frame: usize| View {
        latent: episode.latents(frame, 1).map(|x| f16::from_f32(x).to_bits()).collect(),
        action: episode.action(frame).into(),
        pose: place(frame),
    };
    let atlas = Atlas {
        views: (0..260).step_by(2).map(view).collect(),
        motion: Motion { step: 1.0, momentum: 0.0 },
        ground: Arc::new(Ground::under([])),
    };
    let training = WorldTraining { retrieval: 1.0, ..training };
    let weights = None;
    let mut trainer =
        WorldTrainer::new(&config, training, vec![episode], weights, &Device::Cpu).unwrap();
    trainer.chart(atlas);
    trainer
}

#[test]
fn sections_are_told_where_their_views_lie() {
    let mut trainer = charted(short(3));
    let config = trainer.model.config().clone();
    let (mut all, mut told) = (0, 0);
    for seed in 0..40 {
        let sample = trainer.sample(&mut Random::new(seed, 0)).unwrap();
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
