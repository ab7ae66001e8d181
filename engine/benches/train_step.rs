//! One training step of the world model, optimizer and all.

use criterion::{Criterion, criterion_group, criterion_main};
use engine::device::Device;
use engine::model::ModelConfig;
use engine::noise::Random;
use engine::train::{LatentEpisode, Tensor, WorldTrainer, WorldTraining};
use std::hint::black_box;

fn trainer(config: &ModelConfig) -> WorldTrainer {
    let frames = 300;
    let device = Device::Cpu;
    let latents = Random::new(1, 0).normals(frames * config.latent_len());
    let shape = (frames, config.channels, config.height, config.width);
    let latents = Tensor::from_vec(latents, shape, &device).expect("the shape fits");
    let actions = vec![0.0; frames * config.action];
    let episode = LatentEpisode::from_parts(&[latents], actions, config.action).expect("fits");
    let training = WorldTraining::default();
    WorldTrainer::new(config, training, vec![episode], None, &device).expect("it can start")
}

/// Four clips of mostly eight sections, as a real training draws them.
fn step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("train_step");
    group.sample_size(10);
    for (name, config) in [("tiny", ModelConfig::tiny()), ("base", ModelConfig::base())] {
        let mut trainer = trainer(&config);
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(trainer.step().expect("the CPU computes")));
        });
    }
    group.finish();
}

criterion_group!(benches, step);
criterion_main!(benches);
