//! Training on a tiny network: everything learns, and a checkpoint loses nothing.

mod planned;
mod rivals;

use super::super::scene::Scene;
use super::*;
use crate::model::{Batch, StepSize, patchify, unpatchify};
use half::f16;
use std::collections::BTreeSet;

/// Frames that stay the same but for a little, so that the last ones tell the next.
fn still_episode(config: &ModelConfig, frames: usize) -> LatentEpisode {
    let mut random = Random::new(4, 0);
    let frame = random.normals(config.latent_len());
    let latents: Vec<f32> =
        (0..frames).flat_map(|_| frame.clone()).map(|x| x + 0.05 * random.normal()).collect();
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

fn draw(trainer: &WorldTrainer, seed: u64) -> Sample {
    let mut random = Random::new(seed, 0);
    let scene = trainer.sampler.draw(&trainer.episodes, 4, &[], &mut random, &Device::Cpu);
    scene.sample(0.0, &mut random).unwrap()
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
    for training in [short(2), taught(2)] {
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
    for training in [short(3), taught(3)] {
        let [checkpoint, later] = goes_on_as_if_unbroken(&training);
        assert_eq!(checkpoint.rollouts.is_empty(), training.rollout_from > 0);
        for (name, tensor) in &checkpoint.weights {
            assert_ne!(flat(tensor), flat(&later.weights[name]), "{name} stood still");
        }
    }
}

/// Beside weights of another training.
fn adapting(training: WorldTraining) -> WorldTrainer {
    let config = ModelConfig::tiny();
    let mut weights = initial_weights(&config, 5, &Device::Cpu).unwrap();
    let mut random = Random::new(6, 0);
    for weight in weights.values_mut() {
        let noise = random.normals(weight.elem_count());
        let noise = Tensor::from_vec(noise, weight.shape(), &Device::Cpu).unwrap();
        *weight = (&*weight + (noise * 0.1).unwrap()).unwrap();
    }
    let episodes = vec![still_episode(&config, 260)];
    let adapter = AdapterConfig { rank: 4, alpha: 4.0, seed: 1 };
    let device = &Device::Cpu;
    WorldTrainer::adapting(&config, training, episodes, weights, adapter, device).unwrap()
}

#[test]
fn an_adapter_learns_and_its_weights_stay() {
    let training = WorldTraining { steps: 60, rate: 2e-2, ..short(4) };
    let mut trainer = adapting(training.clone());
    let before = trainer.average().unwrap();
    let sample = draw(&trainer, 9);
    let loss =
        |trainer: &WorldTrainer| -> f32 { trainer.loss(&sample).unwrap().to_scalar().unwrap() };
    let first = loss(&trainer);
    for _ in 0..30 {
        trainer.step().unwrap();
    }
    let mut resumed = adapting(training);
    resumed.restore(&trainer.checkpoint().unwrap()).unwrap();
    for _ in 0..30 {
        trainer.step().unwrap();
        resumed.step().unwrap();
    }
    let last = loss(&trainer);
    assert!(last < 0.8 * first, "loss {first} became {last}");
    let after = trainer.average().unwrap();
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (name, weight) in &after {
        let adapted = name.starts_with("blocks.") && weight.rank() == 2;
        assert_eq!(flat(weight) != flat(&before[name]), adapted, "{name}");
        assert_eq!(flat(weight), flat(&resumed.average().unwrap()[name]), "{name}, resumed");
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

/// Noise levels that a step starts at, passes with half its size, and ends at.
fn levels_of(step: StepSize, level: f32) -> (f32, f32, f32) {
    match (step, level) {
        (StepSize::Whole, 1.0) => (1.0, 0.5, 0.0),
        (StepSize::Half, 1.0) => (1.0, 0.75, 0.5),
        (StepSize::Half, 0.5) => (0.5, 0.25, 0.0),
        other => panic!("no shortcut starts like {other:?}"),
    }
}

/// `clean + ratio · (noisy - clean)` with a ratio for each section.
fn euler(noisy: &Tensor, clean: &Tensor, ratios: &[f32]) -> Tensor {
    let rows = clean.dim(0).unwrap() / ratios.len();
    let ratios = ratios.iter().flat_map(|&ratio| std::iter::repeat_n(ratio, rows)).collect();
    let ratios = Tensor::from_vec(ratios, (clean.dim(0).unwrap(), 1), &Device::Cpu).unwrap();
    (clean + (noisy - clean).unwrap().broadcast_mul(&ratios).unwrap()).unwrap()
}

/// The average's two steps of half the size, one at a time, as token vectors of where they land.
fn two_steps(average: &WorldModel, batch: &Batch, levels: &[(f32, f32, f32)]) -> Tensor {
    let config = ModelConfig::tiny();
    let half = |step: &StepSize| match step {
        StepSize::Whole => StepSize::Half,
        _ => StepSize::Quarter,
    };
    let mut batch = Batch { steps: batch.steps.iter().map(half).collect(), ..batch.clone() };
    let shape = batch.sections.shape().clone();
    let mut x = patchify(&batch.sections.flatten(0, 1).unwrap().unsqueeze(1).unwrap(), 1).unwrap();
    for second in [false, true] {
        let pairs = levels.iter().map(|&(t, s, r)| if second { (s, r) } else { (t, s) });
        let (from, ratios): (Vec<_>, Vec<_>) = pairs.map(|(from, to)| (from, to / from)).unzip();
        batch.levels = from;
        x = euler(&x, &average.estimate_batch(&batch).unwrap().clean, &ratios);
        let latents = unpatchify(&x, config.channels, config.grid()).unwrap();
        batch.sections = latents.reshape(&shape).unwrap();
    }
    x
}

#[test]
fn a_shortcut_lands_where_two_half_steps_of_the_average_do() {
    let mut trainer = start(taught(5), None);
    for _ in 0..6 {
        trainer.step().unwrap();
    }
    let average = average_model(&trainer);
    let mut seen = BTreeSet::new();
    for seed in 0..4 {
        let sample = trainer.sample(&mut Random::new(seed, 7)).unwrap();
        let Some(batch) = &sample.taught else { continue };
        let levels: Vec<_> =
            batch.steps.iter().zip(&batch.levels).map(|(&s, &l)| levels_of(s, l)).collect();
        let landed = two_steps(&average, batch, &levels);
        let rows = landed.dim(0).unwrap();
        let all = sample.clean.dim(0).unwrap();
        let target = sample.clean.narrow(0, all - rows, rows).unwrap();
        let start = batch.sections.flatten(0, 1).unwrap().unsqueeze(1).unwrap();
        let ratios: Vec<f32> = levels.iter().map(|(t, _, r)| r / t).collect();
        let once = euler(&patchify(&start, 1).unwrap(), &target, &ratios);
        for (once, twice) in flat(&once).into_iter().zip(flat(&landed)) {
            assert!((once - twice).abs() < 1e-5, "one step lands at {once}, two at {twice}");
        }
        seen.extend(levels.iter().map(|(t, _, r)| format!("{t} to {r}")));
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["0.5 to 0", "1 to 0", "1 to 0.5"]);
}

#[test]
fn along_a_straight_flow_the_target_is_the_clean_latent() {
    let answer = Random::new(6, 0).normals(4 * ModelConfig::tiny().channels);
    let mut trainer = start(taught(6), Some(oracle(&answer)));
    let samples = (0..4).map(|seed| trainer.sample(&mut Random::new(seed, 7)).unwrap());
    let batch = samples.filter_map(|sample| sample.taught).next().expect("half of the clips are");
    let targets = trainer.teacher().unwrap().targets(&batch).unwrap();
    for target in targets.to_vec2::<f32>().unwrap() {
        for (target, clean) in target.iter().zip(&answer) {
            assert!((target - clean).abs() < 1e-6, "{target} for {clean}");
        }
    }
}

#[test]
fn steps_on_the_grid_learn_from_clean_latents_and_no_gradient_reaches_the_teacher() {
    let training = WorldTraining { rollout_share: 0.0, ..taught(7) };
    let mut trainer = start(training, None);
    let plain = |trainer: &WorldTrainer, seed| {
        let mut random = Random::new(seed, 7);
        let clips = trainer.training.clips;
        let scene = trainer.sampler.draw(&trainer.episodes, clips, &[], &mut random, &Device::Cpu);
        scene.sample(trainer.training.shortcut_share, &mut random).unwrap()
    };
    let (mut quarters, mut longer) = (0, 0);
    for seed in 0..4 {
        let sample = trainer.sample(&mut Random::new(seed, 7)).unwrap();
        let gradients = sample.clean.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        assert!(trainer.vars.values().all(|var| gradients.get(var).is_none()));
        let steps = &sample.batch.steps;
        let rows = sample.clean.dim(0).unwrap() / steps.len();
        let (clean, weight) = (flat(&sample.clean), flat(&sample.weight));
        let real = flat(&plain(&trainer, seed).clean);
        let width = sample.clean.dim(1).unwrap();
        for (at, step) in steps.iter().enumerate() {
            let values = at * rows * width..(at + 1) * rows * width;
            let is_real = clean[values.clone()] == real[values];
            assert_eq!(is_real, step.half().is_none(), "section {at} makes {step:?}");
            assert!(*step == StepSize::Flow || weight[at * rows] == 1.0);
            quarters += usize::from(*step == StepSize::Quarter);
            longer += usize::from(step.half().is_some());
        }
    }
    assert!(quarters > 0 && longer > 0);
}

#[test]
fn a_young_network_is_told_no_steps() {
    let training = WorldTraining { shortcut_from: 2, average: 0.5, ..taught(8) };
    let mut trainer = start(training, None);
    let told = |trainer: &mut WorldTrainer| {
        (0..4).any(|seed| {
            let sample = trainer.sample(&mut Random::new(seed, 7)).unwrap();
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

/// As a world is played that knows no shortcuts.
const PLAYED: Sampling = Sampling { evaluations: 4, shortcut: false, guidance: 1.0 };

#[test]
fn a_rollout_goes_on_from_its_dreams_and_learns_what_was_recorded() {
    let answer = Random::new(9, 0).normals(4 * ModelConfig::tiny().channels);
    let trainer = start(short(9), Some(oracle(&answer)));
    let teacher = trainer.teacher().unwrap();
    let (mut total, mut went_on) = (0, 0);
    for seed in 0..6 {
        let mut random = Random::new(seed, 7);
        let mut rollouts: Vec<Rollout> = Vec::new();
        // Dreamed frames of the one clip that is a rollout, from its beginning on.
        let mut first = None;
        for _ in 0..4 {
            let mut scene =
                trainer.sampler.draw(&trainer.episodes, 2, &rollouts, &mut random, &Device::Cpu);
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
            let sample = scene.sample(0.0, &mut random).unwrap();
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
    let sound = Rollout { episode: 0, next: 100, known: 100, dreams: vec![vec![0.5; len]; 8] };
    let goes_on = |rollout: &Rollout| {
        (0..8).any(|seed| {
            let mut random = Random::new(seed, 7);
            let scene = trainer.sampler.draw(
                &trainer.episodes,
                1,
                std::slice::from_ref(rollout),
                &mut random,
                &Device::Cpu,
            );
            !scene.history.clips[0].dreams.is_empty()
        })
    };
    assert!(goes_on(&sound));
    let others = [
        Rollout { episode: 7, ..sound.clone() },
        Rollout { next: 259, ..sound.clone() },
        Rollout { next: 3, ..sound.clone() },
        Rollout { dreams: vec![vec![0.5; len + 1]], ..sound },
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
    let trainer = start(training, Some(oracle(&answer)));
    let teacher = trainer.teacher().unwrap();
    let dreamed = oracle_frame(&answer);
    let mut words = dreamed.clone();
    trainer.sampler.codebook.as_ref().unwrap().quantise(&mut words);
    let mut total = 0;
    for seed in 0..4 {
        let mut random = Random::new(seed, 7);
        let mut scene = trainer.sampler.draw(&trainer.episodes, 2, &[], &mut random, &Device::Cpu);
        scene.dream(&teacher, PLAYED, 2, &mut random).unwrap();
        let sample = scene.sample(0.0, &mut random).unwrap();
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
    let mut trainer = start(training, Some(oracle(&answer)));
    for (step, expected) in [(0, false), (1, false), (2, true)] {
        trainer.step = step;
        let dreams = (0..4).any(|seed| {
            let sample = trainer.sample(&mut Random::new(seed, 7)).unwrap();
            count_in_groups(&sample, &oracle_frame(&answer)) > 0
        });
        assert_eq!(dreams, expected, "at step {step}");
    }
}
