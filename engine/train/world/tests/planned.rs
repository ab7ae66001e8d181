//! Training for videos of any order: what sections see, and that it is what a video shows them.

use super::*;
use crate::model::{HistoryAttention, PlannedGroup, spanned};
use crate::pack::{Group, SlotKind};
use crate::train::DrawnSchedule;
use std::sync::Arc;

/// One schedule alone.
pub(super) fn only(name: &str, sections: usize) -> WorldTraining {
    let one = DrawnSchedule { name: name.to_owned(), sections, share: 1.0 };
    WorldTraining { schedules: vec![one], ..short(3) }
}

/// All orders and tails, with rollouts and shortcuts beside those of play.
fn mixed(seed: u64) -> WorldTraining {
    let names = [
        ("td_f4k4f2k2f2k1_g1", 2),
        ("td_f4k4f2k2f2k1_g2_x_f1k1", 2),
        ("f1k1_x_g2_f2k1f2k2f4k4_td", 2),
        ("tc_f4k4f2k1_g1", 2),
        ("ta_f4k4f2k1_g1", 2),
        ("td_f8k8f2k1_g1+D", 2),
    ];
    let schedules =
        names.map(|(name, sections)| DrawnSchedule { name: name.to_owned(), sections, share: 1.0 });
    WorldTraining { schedules: schedules.to_vec(), codebook: 8, ..taught(seed) }
}

#[test]
fn a_training_of_all_orders_goes_on_as_if_unbroken() {
    goes_on_as_if_unbroken(&mixed(3));
}

#[test]
fn a_training_of_all_orders_learns() {
    let mut trainer = start(mixed(2), None);
    let losses: Vec<f32> = (0..60).map(|_| trainer.step().unwrap().loss).collect();
    let mean = |losses: &[f32]| losses.iter().sum::<f32>() / 10.0;
    let (first, last) = (mean(&losses[..10]), mean(&losses[50..]));
    assert!(last < 0.6 * first, "loss {first} became {last}");
}

/// The clean sections that the network sees in a batch, each alone with its groups encoded one by one, as in a
/// video: (S · g · L, C · 4).
fn one_by_one(
    trainer: &WorldTrainer,
    scene: &mut Scene<'_>,
    batch: &Batch,
    random: &mut Random,
) -> Tensor {
    let model = &trainer.model;
    let config = model.config();
    let sections = scene.planned.clone();
    let estimates = sections.iter().enumerate().map(|(at, section)| {
        let forced = scene.history.clips[section.clip].forcing;
        let share = forced.map_or(0.0, |share| share * batch.levels[at]);
        let of = (section.clip, share);
        let planned: Vec<PlannedGroup> = section
            .plan
            .slots
            .iter()
            .map(|slot| {
                let Group { kernel, frames, .. } = &slot.group;
                let latents: Vec<Vec<f32>> =
                    frames.iter().map(|f| scene.history.shown(of, f.0 as usize, random)).collect();
                let shape = [kernel.frames(), config.channels, config.height, config.width];
                let latents = model.tensor(spanned(*kernel, &latents), &shape).unwrap();
                let action = scene.history.mean_action(section.clip, frames);
                let action = model.tensor(action, &[config.action]).unwrap();
                PlannedGroup { kernel: *kernel, latents, action, position: slot.position }
            })
            .collect();
        let context = if config.history == HistoryAttention::Causal {
            model.encode_causal(&planned, share).unwrap()
        } else {
            let placed =
                planned.iter().map(|PlannedGroup { kernel, latents, action, position }| {
                    let kv = model.encode_at(share, *kernel, latents, action).unwrap();
                    (Arc::new(kv), *kernel, *position)
                });
            model.place(&placed.collect::<Vec<_>>()).unwrap()
        };
        let frames = scene.frames;
        let actions = batch.actions.narrow(0, at * frames, frames).unwrap();
        let noisy = batch.sections.get(at).unwrap();
        let (level, step) = (batch.levels[at], batch.steps[at]);
        let newest = section.plan.before_section().map(|frame| {
            let latent = scene.history.shown(of, frame.0 as usize, random);
            model.tensor(latent, &[config.channels, config.height, config.width]).unwrap()
        });
        let lead = model.lead(newest.as_ref(), None, &actions).unwrap();
        let clean = model.estimate(&noisy, level, step, &lead, &context).unwrap();
        patchify(&clean.unsqueeze(1).unwrap(), 1).unwrap()
    });
    Tensor::cat(&estimates.collect::<Vec<_>>(), 0).unwrap()
}

#[test]
fn a_batch_shows_sections_what_a_video_shows_them() {
    for name in [
        "td_f4k4f2k2f2k1_g2_x_f1k1",
        "f1k1_x_g2_f2k1f2k2f4k4_td",
        "tc_f4k4f2k1_g2",
        "ta_f4k4f2k1_g2",
        "td_f8k8f1k1h4w8f2k1_g2",
    ] {
        let mut trainer = start(only(name, 2), None);
        // Away from the identity, so that every path matters.
        for _ in 0..6 {
            trainer.step().unwrap();
        }
        check_batch(&trainer, name);
    }
}

/// A batch shows every section what a video would.
pub(super) fn check_batch(trainer: &WorldTrainer, name: &str) {
    let mut random = Random::new(8, 1);
    let mut scene = drawn_scene(trainer, 2, &[], &mut random);
    assert!(scene.planned.iter().any(|section| !section.plan.slots.is_empty()), "{name}");
    let planned = scene.planned.clone();
    let len = scene.frames * ModelConfig::tiny().latent_len();
    let noisy = random.normals(planned.len() * len);
    let levels = (0_u8..).take(planned.len()).map(|at| 0.7 - 0.01 * f32::from(at)).collect();
    let batch = scene.batch(&planned, noisy, levels, &mut random).unwrap();
    let together = trainer.model.estimate_batch(&batch).unwrap().clean;
    let alone = one_by_one(trainer, &mut scene, &batch, &mut random);
    for (a, b) in flat(&together).into_iter().zip(flat(&alone)) {
        // Sums in another order, over two blocks of width 32.
        assert!((a - b).abs() < 2e-4, "{name}: {a} together, {b} alone");
    }
}

#[test]
fn no_group_holds_a_frame_of_its_section_or_spans_it() {
    for name in ["td_f4k4f2k2f2k1_g2_x_f1k1", "f1k1_x_g2_f2k1f2k2f4k4_td", "ta_f2k1_g2"] {
        let trainer = start(only(name, 4), None);
        let (mut before, mut after, mut tails) = (0, 0, 0);
        for seed in 0..20 {
            let mut random = Random::new(seed, 0);
            let scene = drawn_scene(&trainer, 2, &[], &mut random);
            for section in &scene.planned {
                for slot in &section.plan.slots {
                    let frames = slot.group.frames.iter().map(|frame| frame.0 as usize);
                    let earlier = frames.clone().all(|frame| frame < section.first);
                    let later = frames.clone().all(|frame| frame >= section.first + 2);
                    assert!(earlier != later, "{name}: {slot:?} at {}", section.first);
                    before += usize::from(earlier);
                    after += usize::from(later);
                    tails += usize::from(slot.kind == SlotKind::Tail);
                }
            }
        }
        assert!(before > 0 && (after > 0) == name.contains("_x_"), "{name}");
        assert_eq!(tails > 0, name.starts_with("ta"), "{name}");
    }
}

#[test]
fn words_are_all_that_a_discrete_schedule_shows() {
    let training = WorldTraining { codebook: 8, discrete_odds: 0.0, ..only("td_f2k1_g1+D", 2) };
    let trainer = start(training, None);
    let sample = draw(&trainer, 1);
    let codebook = trainer.sampler.codebook.as_ref().unwrap();
    let frames = sample.batch.groups.iter().flat_map(|group| flat(&group.latents));
    let frames: Vec<f32> = frames.collect();
    let mut words = frames.clone();
    words.chunks_mut(ModelConfig::tiny().latent_len()).for_each(|frame| codebook.quantise(frame));
    assert!(!frames.is_empty() && frames == words);
    let config = ModelConfig::tiny();
    let none = WorldTraining { codebook: 0, ..only("td_f2k1_g1+D", 2) };
    let episodes = vec![still_episode(&config, 100)];
    let error = WorldTrainer::new(&config, none, episodes, None, &Device::Cpu).unwrap_err();
    assert!(error.to_string().starts_with("expected a codebook"), "{error}");
}

#[test]
fn weights_without_a_coarser_kernel_are_gone_on_with() {
    let config = ModelConfig { kernels: vec![1, 2, 4, 8], ..ModelConfig::tiny() };
    let weights = initial_weights(&ModelConfig::tiny(), 1, &Device::Cpu).unwrap();
    let episodes = vec![still_episode(&config, 260)];
    let training = only("td_f16k8f2k1_g1", 2);
    let mut trainer =
        WorldTrainer::new(&config, training, episodes, Some(weights), &Device::Cpu).unwrap();
    let before = flat(&trainer.average().unwrap()["patch.k8.weight"]);
    for _ in 0..3 {
        trainer.step().unwrap();
    }
    assert_ne!(before, flat(&trainer.average().unwrap()["patch.k8.weight"]));
}
