//! Training on a tiny network: everything learns, and a checkpoint loses nothing.

mod adapting;
mod charted;
mod planned;
mod rivals;
mod shortcuts;

use super::*;
use crate::model::{Batch, StepSize, patchify, unpatchify};
use half::f16;
use std::collections::BTreeSet;

/// Frames that stay the same but for a little, so that the last ones tell the next.
fn still_episode(config: &ModelConfig, frames: usize) -> LatentEpisode {
    episode_of(config, frames, &Random::new(5, 0).normals(config.latent_len()))
}

/// Frames that are `frame` but for a little.
fn episode_of(config: &ModelConfig, frames: usize, frame: &[f32]) -> LatentEpisode {
    let mut random = Random::new(4, 0);
    let latents: Vec<f32> =
        (0..frames).flat_map(|_| frame).map(|x| x + 0.05 * random.normal()).collect();
    let shape = (frames, config.channels, config.height, config.width);
    let latents = Tensor::from_vec(latents, shape, &Device::Cpu).unwrap();
    let actions = random.normals(frames * config.action);
    let actions = Tensor::from_vec(actions, (frames, config.action), &Device::Cpu).unwrap();
    LatentEpisode::new(&latents, &actions).unwrap()
}

fn short(seed: u64) -> WorldTraining {
    let all = WorldTraining { clips: 2, rate: 5e-3, warmup: 3, steps: 40, ..Default::default() };
    WorldTraining { seed, codebook: 0, ..all }
}

/// Taught by the average, shortcuts and dreams, from the first step on.
fn taught(seed: u64) -> WorldTraining {
    let dreams = WorldTraining { rollout_share: 0.5, rollout_from: 0, ..short(seed) };
    WorldTraining { shortcut_share: 0.5, shortcut_from: 0, ..dreams }
}

/// And by the grain of where long steps end.
fn grained(seed: u64) -> WorldTraining {
    WorldTraining { grain: 2.0, ..taught(seed) }
}

fn start(training: WorldTraining, weights: Option<BTreeMap<String, Tensor>>) -> WorldTrainer {
    start_as(&ModelConfig::tiny(), training, weights)
}

fn start_as(
    config: &ModelConfig,
    training: WorldTraining,
    weights: Option<BTreeMap<String, Tensor>>,
) -> WorldTrainer {
    let episodes = vec![still_episode(config, 260)];
    WorldTrainer::new(config, training, episodes, weights, &Device::Cpu).unwrap()
}

fn trainer(seed: u64) -> WorldTrainer {
    start(short(seed), None)
}

/// Clips drawn as for a step on a CPU.
fn drawn_scene<'a>(
    trainer: &'a WorldTrainer,
    clips: usize,
    rollouts: &[Rollout],
    random: &mut Random,
) -> Scene<'a> {
    trainer.sampler.draw(&trainer.episodes, clips, rollouts, random, &Device::Cpu).unwrap()
}

/// A batch of all clips, as for a step on a GPU.
fn sampled(trainer: &mut WorldTrainer, random: &mut Random) -> Sample {
    trainer.samples(false, random).unwrap().pop().unwrap()
}

fn draw(trainer: &WorldTrainer, seed: u64) -> Sample {
    let mut random = Random::new(seed, 0);
    let scene = drawn_scene(trainer, 4, &[], &mut random);
    scene.sample(None, &mut random).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Weights of a network that answers `answer` for every token, whatever it sees.
fn oracle(answer: &[f32]) -> BTreeMap<String, Tensor> {
    let mut weights = initial_weights(&ModelConfig::tiny(), 1, &Device::Cpu).unwrap();
    let bias = Tensor::new(answer, &Device::Cpu).unwrap();
    weights.insert("head.bias".to_owned(), bias);
    weights
}

#[test]
fn a_gradient_reaches_every_weight() {
    let mut trainer = trainer(1);
    // Modulations and the head start at zero and hold back what lies before them.
    for _ in 0..4 {
        trainer.step().unwrap();
    }
    let mut silent: BTreeSet<&str> = trainer.vars.keys().map(String::as_str).collect();
    // A batch has one schedule, and a young session has no groups of the coarsest kernel.
    for seed in 0..8 {
        let gradients = trainer.loss(&draw(&trainer, seed)).unwrap().backward().unwrap();
        silent.retain(|&name| {
            let gradient = gradients.get(&trainer.vars[name]);
            let total = gradient.map(|g| g.abs().unwrap().sum_all().unwrap());
            total.is_none_or(|total| total.to_scalar::<f32>().unwrap() == 0.0)
        });
    }
    assert!(silent.is_empty(), "no gradient reaches {silent:?}");
}

#[test]
fn the_loss_falls() {
    for training in [short(2), taught(2), grained(2)] {
        let mut trainer = start(training, None);
        // The same sections before and after, because the loss depends on their noise levels.
        let sample = draw(&trainer, 9);
        let loss =
            |trainer: &WorldTrainer| -> f32 { trainer.loss(&sample).unwrap().to_scalar().unwrap() };
        let before = loss(&trainer);
        for _ in 0..40 {
            trainer.step().unwrap();
        }
        let after = loss(&trainer);
        assert!(after < 0.5 * before, "loss {before} became {after}");
    }
}

#[test]
fn a_training_goes_on_from_a_checkpoint_as_if_unbroken() {
    for training in [short(3), taught(3), grained(3)] {
        let [checkpoint, later] = goes_on_as_if_unbroken(&training);
        assert_eq!(checkpoint.rollouts.is_empty(), training.rollout_from > 0);
        for (name, tensor) in &checkpoint.weights {
            assert_ne!(flat(tensor), flat(&later.weights[name]), "{name} stood still");
        }
    }
}

/// Compares an unbroken training with one that goes on from a checkpoint: gives that, and the state some steps later.
fn goes_on_as_if_unbroken(training: &WorldTraining) -> [Checkpoint; 2] {
    let mut unbroken = start(training.clone(), None);
    for _ in 0..3 {
        unbroken.step().unwrap();
    }
    let checkpoint = unbroken.checkpoint().unwrap();
    let mut resumed = start(training.clone(), None);
    resumed.restore(&checkpoint).unwrap();
    for trainer in [&mut unbroken, &mut resumed] {
        for _ in 0..3 {
            trainer.step().unwrap();
        }
    }
    let (unbroken, resumed) = (unbroken.checkpoint().unwrap(), resumed.checkpoint().unwrap());
    assert_eq!((unbroken.step, resumed.step), (6, 6));
    for (part, other) in [
        (&unbroken.weights, &resumed.weights),
        (&unbroken.average, &resumed.average),
        (&unbroken.optimizer, &resumed.optimizer),
        (&unbroken.rollouts, &resumed.rollouts),
    ] {
        for (name, tensor) in part {
            let [tensor, other] = [tensor, &other[name]].map(|t| t.to_dtype(DType::F32).unwrap());
            assert_eq!(flat(&tensor), flat(&other), "{name}");
        }
    }
    [checkpoint, resumed]
}

fn average_model(trainer: &WorldTrainer) -> WorldModel {
    let weights = trainer.average().unwrap().into_iter().collect();
    let vb = VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
    WorldModel::new(&ModelConfig::tiny(), &vb).unwrap()
}

#[test]
fn clips_apart_teach_what_all_of_them_together_do() {
    for training in [short(4), grained(4)] {
        let mut trainer = start(training, None);
        for _ in 0..3 {
            trainer.step().unwrap();
        }
        for seed in 0..3 {
            let samples = trainer.samples(true, &mut Random::new(seed, 7)).unwrap();
            assert_eq!(samples.len(), trainer.training.clips);
            let on_threads = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let loss = |sample: &Sample| trainer.loss(sample);
                pool.install(|| slopes(&samples, &trainer.vars, loss)).unwrap()
            };
            let ((loss, gradients), (other, others)) = (on_threads(1), on_threads(3));
            assert_eq!(loss, other);
            // One pass back from the mean over all section frames.
            let frames: usize = samples.iter().map(|sample| sample.frames).sum();
            let losses = samples.iter().map(|sample| {
                let share = sample.frames as f64 / frames as f64;
                (trainer.loss(sample).unwrap() * share).unwrap()
            });
            let together = losses.reduce(|sum, loss| (sum + loss).unwrap()).unwrap();
            let expected = together.backward().unwrap();
            // Four terms in another order, of seven digits each.
            assert!((loss - together.to_scalar::<f32>().unwrap()).abs() < 1e-5 * loss);
            for (name, var) in &trainer.vars {
                let [got, other, want] =
                    [&gradients, &others, &expected].map(|all| all.get(var).map(flat));
                assert_eq!(got, other, "{name} on one thread and on three");
                assert_eq!(got.is_some(), want.is_some(), "{name}");
                let (got, want) = (got.unwrap_or_default(), want.unwrap_or_default());
                let largest = want.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
                // Sums of at most a few thousand terms in another order.
                let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-4 * largest + 1e-9;
                assert!(got.iter().zip(&want).all(near), "{name}");
            }
        }
    }
}

#[test]
fn a_young_network_is_told_no_steps() {
    let training = WorldTraining { shortcut_from: 2, average: 0.5, ..taught(8) };
    let mut trainer = start(training, None);
    let told = |trainer: &mut WorldTrainer| {
        (0..4).any(|seed| {
            let sample = sampled(trainer, &mut Random::new(seed, 7));
            sample.batch.steps.iter().any(|step| *step != StepSize::Flow)
        })
    };
    for (step, expected) in [(0, (false, false)), (2, (true, false)), (4, (true, true))] {
        while trainer.steps() < step {
            trainer.step().unwrap();
        }
        let told = told(&mut trainer);
        assert_eq!((told, trainer.knows_shortcuts()), expected, "after {step} steps");
    }
}

/// The frame that an oracle of `answer` dreams, as it is stored.
fn oracle_frame(answer: &[f32]) -> Vec<f32> {
    let config = ModelConfig::tiny();
    let tokens = answer.repeat(config.frame_tokens());
    let tokens = Tensor::from_vec(tokens, (config.frame_tokens(), answer.len()), &Device::Cpu);
    let frame = unpatchify(&tokens.unwrap(), config.channels, config.grid()).unwrap();
    flat(&frame).into_iter().map(|x| f16::from_f32(x).to_f32()).collect()
}

/// How many frames of the groups of a batch are `frame`.
fn count_in_groups(sample: &Sample, frame: &[f32]) -> usize {
    let count = |latents: &Tensor| {
        flat(latents).chunks(frame.len()).filter(|other| *other == frame).count()
    };
    sample.batch.groups.iter().map(|group| count(&group.latents)).sum()
}

/// How many frames that the sections' groups hold, each group once, lie in `dreamed` of their clip.
fn count_planned(scene: &Scene<'_>, dreamed: impl Fn(usize, usize) -> bool) -> usize {
    let groups = scene.planned.iter().flat_map(|section| {
        let first = |group: &crate::pack::Group| group.frames[0].0 as usize;
        section.plan.groups().map(move |g| (section.clip, first(g), g.kernel.frames()))
    });
    let dreamed = |(clip, first, kernel): (usize, usize, usize)| {
        (first..first + kernel).filter(|&frame| dreamed(clip, frame)).count()
    };
    groups.collect::<BTreeSet<_>>().into_iter().map(dreamed).sum()
}

/// A training of an oracle on recorded frames that are nearly what it dreams.
fn near_oracle(training: WorldTraining, answer: &[f32]) -> WorldTrainer {
    let config = ModelConfig::tiny();
    let episodes = vec![episode_of(&config, 260, &oracle_frame(answer))];
    let weights = Some(oracle(answer));
    WorldTrainer::new(&config, training, episodes, weights, &Device::Cpu).unwrap()
}

#[test]
fn nothing_is_learnt_from_what_a_dream_has_strayed_from() {
    let answer = Random::new(9, 0).normals(4 * ModelConfig::tiny().channels);
    let training = || WorldTraining { rollout_share: 1.0, rollout_from: 0, ..short(10) };
    let trainers = [
        (near_oracle(training(), &answer), false),
        (start(training(), Some(oracle(&answer))), true),
    ];
    for (mut trainer, strays) in trainers {
        let mut all = BTreeSet::new();
        for seed in 0..4 {
            let mut random = Random::new(seed, 7);
            let sample = sampled(&mut trainer, &mut random);
            // Of two clips, the first section of each still follows.
            let (left, clips) = (sample.batch.steps.len(), 2);
            all.insert(left);
            assert!(left == clips || !strays, "{left} sections");
        }
        assert!(strays || all.contains(&16), "{all:?}");
        let goes_on = trainer.rollouts.iter().any(|rollout| {
            let random = &mut Random::new(1, 1);
            trainer.sampler.go_on(&trainer.episodes, rollout, 1, random).is_some()
        });
        assert_eq!(goes_on, !strays);
    }
}

/// As a world is played that knows no shortcuts.
const PLAYED: Sampling = Sampling { evaluations: 4, shortcut: false, guidance: 1.0 };

#[test]
fn a_rollout_goes_on_from_its_dreams_and_learns_what_was_recorded() {
    let answer = Random::new(9, 0).normals(4 * ModelConfig::tiny().channels);
    let trainer = near_oracle(short(9), &answer);
    let teacher = trainer.teacher().unwrap();
    let (mut total, mut went_on) = (0, 0);
    for seed in 0..6 {
        let mut random = Random::new(seed, 7);
        let mut rollouts: Vec<Rollout> = Vec::new();
        // Dreamed frames of the one clip that is a rollout, from its beginning on.
        let mut first = None;
        for _ in 0..4 {
            let mut scene = drawn_scene(&trainer, 2, &rollouts, &mut random);
            let start = scene.history.clips[0].first;
            if rollouts.first().is_none_or(|rollout| rollout.next != start) {
                first = None;
            }
            went_on += usize::from(first.is_some());
            let (begin, end) =
                (*first.get_or_insert(start), start + scene.planned.len() / 2 * scene.frames);
            rollouts = scene.dream(&teacher, PLAYED, 1, &mut random).unwrap();
            assert_eq!((rollouts[0].next, rollouts[0].dreams.len()), (end, (end - begin).min(32)));
            let expected =
                count_planned(&scene, |clip, frame| clip == 0 && (begin..end).contains(&frame));
            let sample = scene.sample(None, &mut random).unwrap();
            assert_eq!(count_in_groups(&sample, &oracle_frame(&answer)), expected);
            let real = flat(&sample.clean);
            assert!(real.chunks(answer.len()).all(|token| token != answer), "targets stay real");
            total += expected;
        }
    }
    assert!(total > 20 && went_on > 6, "{total} dreamed frames, {went_on} times gone on");
}

#[test]
fn a_rollout_that_no_longer_fits_begins_anew() {
    let trainer = start(short(9), None);
    let len = ModelConfig::tiny().latent_len();
    let near: Vec<f32> = trainer.episodes[0].latents(50, 1).collect();
    let sound = Rollout { episode: 0, next: 100, known: 100, dreams: vec![near; 8] };
    let goes_on = |rollout: &Rollout| {
        (0..8).any(|seed| {
            let mut random = Random::new(seed, 7);
            let scene = drawn_scene(&trainer, 1, std::slice::from_ref(rollout), &mut random);
            !scene.history.clips[0].dreams.is_empty()
        })
    };
    assert!(goes_on(&sound));
    let others = [
        Rollout { episode: 7, ..sound.clone() },
        Rollout { next: 259, ..sound.clone() },
        Rollout { next: 3, ..sound.clone() },
        Rollout { dreams: vec![vec![0.5; len + 1]], ..sound.clone() },
        Rollout { dreams: vec![vec![0.5; len]; 8], ..sound },
    ];
    for other in &others {
        assert!(!goes_on(other), "{} at {}", other.episode, other.next);
    }
}

#[test]
fn discretized_history_is_made_of_words_and_what_is_learnt_is_not() {
    let nearest = |codebook: &Codebook, latent: &[f32]| {
        let mut words = latent.to_vec();
        codebook.quantise(&mut words);
        words == latent
    };
    for (odds, expected) in [(1.0, true), (0.0, false)] {
        let training = WorldTraining { codebook: 8, discrete_odds: odds, ..short(12) };
        let trainer = start(training, None);
        let codebook = trainer.sampler.codebook.as_ref().unwrap();
        for seed in 0..4 {
            let sample = draw(&trainer, seed);
            for group in &sample.batch.groups {
                let len = ModelConfig::tiny().latent_len();
                for frame in flat(&group.latents).chunks(len) {
                    assert_eq!(nearest(codebook, frame), expected, "odds {odds}");
                }
            }
            let config = ModelConfig::tiny();
            let clean = unpatchify(&sample.clean, config.channels, config.grid()).unwrap();
            let clean = flat(&clean.get(0).unwrap());
            assert!(!nearest(codebook, &clean), "targets stay as they are");
        }
    }
}

#[test]
fn dreams_are_discretized_too() {
    let training = WorldTraining { codebook: 8, discrete_odds: 1.0, ..short(9) };
    let answer = Random::new(9, 0).normals(4 * ModelConfig::tiny().channels);
    let trainer = near_oracle(training, &answer);
    let teacher = trainer.teacher().unwrap();
    let dreamed = oracle_frame(&answer);
    let mut words = dreamed.clone();
    trainer.sampler.codebook.as_ref().unwrap().quantise(&mut words);
    let mut total = 0;
    for seed in 0..4 {
        let mut random = Random::new(seed, 7);
        let mut scene = drawn_scene(&trainer, 2, &[], &mut random);
        scene.dream(&teacher, PLAYED, 2, &mut random).unwrap();
        let sample = scene.sample(None, &mut random).unwrap();
        assert_eq!(count_in_groups(&sample, &dreamed), 0);
        total += count_in_groups(&sample, &words);
    }
    assert!(total > 0, "nothing was dreamed");
}

#[test]
fn a_checkpoint_keeps_the_words() {
    let training = |seed| WorldTraining { codebook: 8, ..short(seed) };
    let (first, mut second) = (start(training(1), None), start(training(2), None));
    assert_ne!(first.sampler.codebook, second.sampler.codebook);
    second.restore(&first.checkpoint().unwrap()).unwrap();
    assert_eq!(first.sampler.codebook, second.sampler.codebook);
    let kept = flat(&second.average().unwrap()["codebook"]);
    assert_eq!(kept, flat(&first.sampler.codebook.unwrap().tensor().unwrap()));
}

#[test]
fn a_young_network_does_not_dream() {
    let answer = Random::new(9, 0).normals(4 * ModelConfig::tiny().channels);
    let training = WorldTraining { rollout_share: 1.0, rollout_from: 2, ..short(9) };
    let mut trainer = near_oracle(training, &answer);
    for (step, expected) in [(0, false), (1, false), (2, true)] {
        trainer.step = step;
        let dreams = (0..4).any(|seed| {
            let sample = sampled(&mut trainer, &mut Random::new(seed, 7));
            count_in_groups(&sample, &oracle_frame(&answer)) > 0
        });
        assert_eq!(dreams, expected, "at step {step}");
    }
}
