//! An adapter in training beside weights that stay.

use super::*;

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
