use super::*;
use input::{Action, ActionLayout, Buttons};

/// Smooth pictures of 16x16, each another one.
pub(super) fn episode(frames: usize, seed: u64) -> Episode {
    let mut random = Random::new(seed, 9);
    let mut video = Vec::new();
    for _ in 0..frames {
        let waves: Vec<[f32; 3]> =
            (0..3).map(|_| std::array::from_fn(|_| random.uniform())).collect();
        for pixel in 0..256_u16 {
            let (y, x) = (f32::from(pixel / 16), f32::from(pixel % 16));
            for [a, b, c] in &waves {
                let wave = (0.3 * a * x + 0.3 * b * y + 6.0 * c).sin();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "0..=255"
                )]
                video.push((127.5 + 127.0 * wave) as u8);
            }
        }
    }
    let action = Action { turn: 0.0, forward: 0.0, strafe: 0.0, pitch: 0.0, buttons: Buttons(0) };
    Episode {
        width: 16,
        height: 16,
        video,
        actions: vec![action; frames],
        poses: None,
        fps: 10.0,
        layout: ActionLayout { turn_degrees: 1.0, pitch_degrees: 0.0, buttons: Vec::new() },
        source: "waves".to_owned(),
    }
}

fn trainer() -> CodecTrainer {
    let training = CodecTraining { pictures: 4, warmup: 5, rate: 5e-3, ..Default::default() };
    let episodes = vec![episode(2, 1), episode(3, 2)];
    CodecTrainer::new(&CodecConfig::tiny(), training, episodes, None, &Device::Cpu).unwrap()
}

#[test]
fn every_trained_tensor_receives_a_gradient() {
    let trainer = trainer();
    let gradients = trainer.loss().unwrap().backward().unwrap();
    for (name, var) in &trainer.vars {
        let gradient = gradients.get(var).unwrap_or_else(|| panic!("{name} has no gradient"));
        let largest: f32 = gradient.abs().unwrap().max_all().unwrap().to_scalar().unwrap();
        assert!(largest > 0.0, "the gradient of {name} is zero");
    }
    // Seven single filters, and five stacks of one block with two filters.
    assert_eq!(trainer.vars.len(), 2 * (7 + 2 * 5));
}

#[test]
fn the_loss_falls() {
    let mut trainer = trainer();
    let losses: Vec<f32> = (0..60).map(|_| trainer.step().unwrap().loss).collect();
    let mean = |losses: &[f32]| losses.iter().sum::<f32>() / 10.0;
    let (first, last) = (mean(&losses[..10]), mean(&losses[50..]));
    assert!(last < 0.6 * first, "from {first} to {last}");
}

#[test]
fn a_resumed_run_gives_the_weights_of_an_unbroken_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let mut unbroken = trainer();
    unbroken.step().unwrap();
    unbroken.checkpoint().unwrap().save(&path).unwrap();
    let mut resumed = trainer();
    resumed.restore(&Checkpoint::load(&path, &Device::Cpu).unwrap()).unwrap();
    for trainer in [&mut unbroken, &mut resumed] {
        trainer.step().unwrap();
        trainer.step().unwrap();
    }
    assert_eq!(resumed.steps(), 3);
    let (a, b) = (unbroken.checkpoint().unwrap(), resumed.checkpoint().unwrap());
    for (a, b) in [(a.weights, b.weights), (a.average, b.average), (a.optimizer, b.optimizer)] {
        assert_eq!(a.len(), b.len());
        for (name, a) in &a {
            assert!(values(a).unwrap() == values(&b[name]).unwrap(), "{name} differs");
        }
    }
}

#[test]
fn a_checkpoint_of_another_codec_is_refused() {
    let mut trainer = trainer();
    let mut checkpoint = trainer.checkpoint().unwrap();
    let wrong = Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap();
    checkpoint.average.insert("decoder.up1.bias".to_owned(), wrong);
    let error = trainer.restore(&checkpoint).unwrap_err().to_string();
    assert!(error.contains("no fitting decoder.up1.bias"), "{error}");
}

#[test]
fn finished_weights_give_normalised_latents() {
    let trainer = trainer();
    let weights = trainer.finish().unwrap();
    let vb = VarBuilder::from_tensors(weights.into_iter().collect(), DType::F32, &Device::Cpu);
    let codec = Codec::new(&CodecConfig::tiny(), &vb).unwrap();
    let frames: Vec<u8> = (0..5).flat_map(|at| trainer.pictures.picture(at)).copied().collect();
    let latents = codec.encode(&frames, 16, 16).unwrap();
    for channel in latents.transpose(0, 1).unwrap().flatten_from(1).unwrap().to_vec2().unwrap() {
        let channel: Vec<f32> = channel;
        let mean = channel.iter().sum::<f32>() / 20.0;
        let variance = channel.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 20.0;
        assert!(mean.abs() < 1e-3 && (variance - 1.0).abs() < 1e-3, "{mean} {variance}");
    }
}

#[test]
fn a_strip_shows_pictures_over_their_copies() {
    let trainer = trainer();
    let strip = trainer.strip(3).unwrap();
    assert_eq!((strip.width, strip.height, strip.pixels.len()), (48, 32, 48 * 32 * 3));
    let column: Vec<u8> =
        strip.pixels.chunks(48 * 3).take(16).flat_map(|line| &line[48..96]).copied().collect();
    assert!((0..5).any(|at| trainer.pictures.picture(at) == column));
    // An untrained codec copies badly, but something is drawn.
    assert!(strip.pixels[48 * 16 * 3..].iter().any(|&byte| byte != 0));
    assert_eq!(strip, trainer.strip(3).unwrap());
}
