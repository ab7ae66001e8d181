//! Training on a tiny network: everything learns, and a checkpoint loses nothing.

use super::*;
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

fn trainer(seed: u64) -> WorldTrainer {
    let config = ModelConfig::tiny();
    let training = WorldTraining {
        clips: 2,
        rate: 5e-3,
        warmup: 3,
        steps: 40,
        seed,
        ..WorldTraining::default()
    };
    let episodes = vec![still_episode(&config, 260)];
    WorldTrainer::new(&config, training, episodes, None, &Device::Cpu).unwrap()
}

fn draw(trainer: &WorldTrainer, seed: u64) -> Sample {
    let mut random = Random::new(seed, 0);
    trainer.sampler.sample(&trainer.episodes, 4, &mut random, &Device::Cpu).unwrap()
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
    let mut trainer = trainer(2);
    // The same sections before and after, because the loss depends on their noise levels.
    let sample = draw(&trainer, 9);
    let loss = |trainer: &WorldTrainer| trainer.loss(&sample).unwrap().to_scalar::<f32>().unwrap();
    let before = loss(&trainer);
    for _ in 0..40 {
        trainer.step().unwrap();
    }
    let after = loss(&trainer);
    assert!(after < 0.5 * before, "loss {before} became {after}");
}

#[test]
fn a_training_goes_on_from_a_checkpoint_as_if_unbroken() {
    let mut unbroken = trainer(3);
    for _ in 0..3 {
        unbroken.step().unwrap();
    }
    let checkpoint = unbroken.checkpoint().unwrap();
    let mut resumed = trainer(3);
    resumed.restore(&checkpoint).unwrap();
    for trainer in [&mut unbroken, &mut resumed] {
        for _ in 0..3 {
            trainer.step().unwrap();
        }
    }
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (unbroken, resumed) = (unbroken.checkpoint().unwrap(), resumed.checkpoint().unwrap());
    assert_eq!((unbroken.step, resumed.step), (6, 6));
    for (part, other) in [
        (&unbroken.weights, &resumed.weights),
        (&unbroken.average, &resumed.average),
        (&unbroken.optimizer, &resumed.optimizer),
    ] {
        for (name, tensor) in part {
            assert_eq!(flat(tensor), flat(&other[name]), "{name}");
        }
    }
    for (name, tensor) in &checkpoint.weights {
        assert_ne!(flat(tensor), flat(&resumed.weights[name]), "{name} stood still");
    }
}
