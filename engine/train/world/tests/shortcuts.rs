//! Long steps: what teaches them, and where they end.

use super::*;

/// Noise levels that a step starts at, passes with half its size, and ends at; steps without a half stay.
fn levels_of(step: StepSize, level: f32) -> (f32, f32, f32) {
    match (step, level) {
        (StepSize::Whole, 1.0) => (1.0, 0.5, 0.0),
        (StepSize::Half, 1.0) => (1.0, 0.75, 0.5),
        (StepSize::Half, 0.5) => (0.5, 0.25, 0.0),
        (StepSize::Flow | StepSize::Quarter, level) => (level, level, level),
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

fn tokens(sections: &Tensor) -> Tensor {
    patchify(&sections.flatten(0, 1).unwrap().unsqueeze(1).unwrap(), 1).unwrap()
}

/// What the average sees in a batch, from noise in steps that know of no guidance led on by it.
fn seen(average: &WorldModel, batch: &Batch, guidance: f32) -> Tensor {
    let clean = average.estimate_batch(batch).unwrap().clean;
    let actions = batch.actions.zeros_like().unwrap();
    let still = average.estimate_batch(&Batch { actions, ..batch.clone() }).unwrap().clean;
    let guided = |(level, step): (&f32, &StepSize)| *level == 1.0 && step.half().is_none();
    let shares = batch.levels.iter().zip(&batch.steps);
    let shares: Vec<f32> = shares.map(|of| if guided(of) { 1.0 + guidance } else { 1.0 }).collect();
    euler(&clean, &still, &shares)
}

/// The average's two steps of half the size, one at a time, as token vectors of where they land.
fn two_steps(average: &WorldModel, batch: &Batch, guidance: f32) -> Tensor {
    let config = ModelConfig::tiny();
    let levels = batch.steps.iter().zip(&batch.levels).map(|(&s, &l)| levels_of(s, l));
    let levels: Vec<_> = levels.collect();
    let half = |step: &StepSize| step.half().unwrap_or(*step);
    let mut batch = Batch { steps: batch.steps.iter().map(half).collect(), ..batch.clone() };
    let shape = batch.sections.shape().clone();
    let mut x = tokens(&batch.sections);
    for second in [false, true] {
        let pairs = levels.iter().map(|&(t, s, r)| if second { (s, r) } else { (t, s) });
        let (from, ratios): (Vec<_>, Vec<_>) = pairs.map(|(from, to)| (from, to / from)).unzip();
        batch.levels = from;
        x = euler(&x, &seen(average, &batch, guidance), &ratios);
        let latents = unpatchify(&x, config.channels, config.grid()).unwrap();
        batch.sections = latents.reshape(&shape).unwrap();
    }
    x
}

/// Rows of the sections whose steps have a half, in the order of the batch.
fn taught_rows(sample: &Sample) -> Vec<std::ops::Range<usize>> {
    let rows = sample.clean.dim(0).unwrap() / sample.batch.steps.len();
    let steps = sample.batch.steps.iter().enumerate();
    let taught = steps.filter(|(_, step)| step.half().is_some());
    taught.map(|(at, _)| at * rows..(at + 1) * rows).collect()
}

#[test]
fn a_shortcut_lands_where_two_half_steps_of_the_average_do() {
    for training in [taught(5), grained(5), WorldTraining { guidance: 0.0, ..taught(5) }] {
        let guidance = training.guidance;
        let mut trainer = start(training, None);
        for _ in 0..6 {
            trainer.step().unwrap();
        }
        let average = average_model(&trainer);
        let mut seen = BTreeSet::new();
        for seed in 0..4 {
            let sample = sampled(&mut trainer, &mut Random::new(seed, 7));
            let batch = &sample.batch;
            let landed = two_steps(&average, batch, guidance).to_vec2::<f32>().unwrap();
            let levels = batch.steps.iter().zip(&batch.levels).map(|(&s, &l)| levels_of(s, l));
            let levels: Vec<_> = levels.collect();
            let ratios: Vec<f32> = levels.iter().map(|(t, _, r)| r / t).collect();
            let once = euler(&tokens(&batch.sections), &sample.clean, &ratios);
            let once = once.to_vec2::<f32>().unwrap();
            for rows in taught_rows(&sample) {
                let pairs = once[rows.clone()].iter().flatten().zip(landed[rows].iter().flatten());
                for (once, twice) in pairs {
                    // Groups are encoded one by one for the one, together for the other.
                    assert!(
                        (once - twice).abs() < 1e-4,
                        "one step lands at {once}, two at {twice}"
                    );
                }
            }
            let long = levels.iter().filter(|(t, s, _)| t > s);
            seen.extend(long.map(|(t, _, r)| format!("{t} to {r}")));
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["0.5 to 0", "1 to 0", "1 to 0.5"]);
    }
}

#[test]
fn along_a_straight_flow_the_target_is_the_clean_latent() {
    let answer = Random::new(6, 0).normals(4 * ModelConfig::tiny().channels);
    let mut trainer = start(taught(6), Some(oracle(&answer)));
    let mut seen = 0;
    for seed in 0..4 {
        let sample = sampled(&mut trainer, &mut Random::new(seed, 7));
        let targets = sample.clean.to_vec2::<f32>().unwrap();
        for target in taught_rows(&sample).into_iter().flat_map(|rows| &targets[rows]) {
            for (target, clean) in target.iter().zip(&answer) {
                assert!((target - clean).abs() < 1e-6, "{target} for {clean}");
            }
            seen += 1;
        }
    }
    assert!(seen > 0, "half of the clips are taught");
}

/// All recorded frames, each as its token vectors.
fn recorded(trainer: &WorldTrainer) -> Vec<Vec<f32>> {
    let (config, episode) = (ModelConfig::tiny(), &trainer.episodes[0]);
    let shape = (1, 1, config.channels, config.height, config.width);
    let frame = |at| Tensor::from_vec(episode.latents(at, 1).collect(), shape, &Device::Cpu);
    (0..episode.frames()).map(|at| flat(&tokens(&frame(at).unwrap()))).collect()
}

#[test]
fn steps_on_the_grid_learn_from_clean_latents_and_no_gradient_reaches_the_teacher() {
    let mut trainer = start(taught(7), None);
    let recorded = recorded(&trainer);
    let (mut quarters, mut longer) = (0, 0);
    for seed in 0..4 {
        let sample = sampled(&mut trainer, &mut Random::new(seed, 7));
        let gradients = sample.clean.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        assert!(trainer.vars.values().all(|var| gradients.get(var).is_none()));
        let steps = &sample.batch.steps;
        let rows = sample.clean.dim(0).unwrap() / steps.len();
        let (clean, weight) = (flat(&sample.clean), flat(&sample.weight));
        for (at, step) in steps.iter().enumerate() {
            let section = &clean[at * clean.len() / steps.len()..][..recorded[0].len()];
            let is_real = recorded.iter().any(|frame| frame == section);
            assert_eq!(is_real, step.half().is_none(), "section {at} makes {step:?}");
            assert!(*step == StepSize::Flow || weight[at * rows] == 1.0);
            quarters += usize::from(*step == StepSize::Quarter);
            longer += usize::from(step.half().is_some());
        }
    }
    assert!(quarters > 0 && longer > 0);
}

#[test]
fn steps_to_the_end_start_where_those_of_play_do() {
    let answer = Random::new(9, 0).normals(4 * ModelConfig::tiny().channels);
    let mut trainer = start(grained(9), Some(oracle(&answer)));
    let recorded = recorded(&trainer);
    let (mut halves, mut wholes) = (0, 0);
    for seed in 0..6 {
        let sample = sampled(&mut trainer, &mut Random::new(seed, 7));
        let noisy = tokens(&sample.batch.sections).to_vec2::<f32>().unwrap();
        let all = sample.batch.steps.len();
        let rows = noisy.len() / all;
        let count = sample.ends.as_ref().map_or(0, |ends| ends.dim(0).unwrap() / rows);
        let is_ending = |at: usize| {
            let (step, level) = (sample.batch.steps[at], sample.batch.levels[at]);
            step.half().is_some() && step.length() >= level
        };
        assert!((0..all).all(|at| is_ending(at) == (at >= all - count)));
        for frame in sample.ends.iter().flat_map(flat).collect::<Vec<_>>().chunks(recorded[0].len())
        {
            assert!(recorded.iter().any(|other| other == frame));
        }
        // Between noise and what this network always sees: nothing of the recording is in it.
        for at in all - count..all {
            let level = sample.batch.levels[at];
            let noise = noisy[at * rows..(at + 1) * rows].iter().flat_map(|token| {
                token.iter().zip(&answer).map(|(x, clean)| (x - (1.0 - level) * clean) / level)
            });
            let squares: Vec<f32> = noise.map(|x| x * x).collect();
            #[expect(clippy::cast_precision_loss, reason = "hundreds")]
            let count = squares.len() as f32;
            let square = squares.iter().sum::<f32>() / count;
            // Five standard errors of √(2 / n).
            assert!((square - 1.0).abs() < 5.0 * (2.0 / count).sqrt(), "{square}");
            if level == 1.0 { wholes += 1 } else { halves += 1 }
        }
    }
    assert!(halves > 0 && wholes > 0);
    assert!(draw(&trainer, 1).ends.is_none());
}

#[test]
fn the_error_in_grain_is_of_what_tokens_hold_however_it_lies() {
    let mut trainer = start(grained(11), None);
    for _ in 0..4 {
        trainer.step().unwrap();
    }
    let samples = (0..6).map(|seed| sampled(&mut trainer, &mut Random::new(seed, 7)));
    let sample = samples.collect::<Vec<_>>().into_iter().find(|sample| sample.ends.is_some());
    let sample = sample.expect("half of the clips are taught");
    let ends = flat(sample.ends.as_ref().unwrap());
    let clean = flat(&trainer.model.estimate_batch(&sample.batch).unwrap().clean);
    let length = |cells: &[f32]| (cells.iter().map(|x| x * x).sum::<f32>() / 4.0 + 1e-4).sqrt();
    let pairs = clean[clean.len() - ends.len()..].chunks(4).zip(ends.chunks(4));
    let error: f32 = pairs.map(|(a, b)| (length(a) - length(b)).powi(2)).sum();
    let total = |grain: f32, trainer: &mut WorldTrainer| -> f32 {
        trainer.training.grain = grain;
        trainer.loss(&sample).unwrap().to_scalar().unwrap()
    };
    let added = total(2.0, &mut trainer) - total(0.0, &mut trainer);
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let expected = 2.0 * error / (clean.len() / 4) as f32;
    assert!((added - expected).abs() < 1e-4 * (1.0 + expected), "{added}, not {expected}");
    assert!(expected > 0.0);
}
