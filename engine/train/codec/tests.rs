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
    // Five single filters, and three stacks of one block with two filters.
    assert_eq!(trainer.vars.len(), 2 * (5 + 2 * 3));
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
fn finished_weights_tell_latents_by_what_they_do_to_pictures() {
    let mut trainer = trainer();
    for _ in 0..30 {
        trainer.step().unwrap();
    }
    let weights = trainer.finish().unwrap();
    let vb = VarBuilder::from_tensors(weights.into_iter().collect(), DType::F32, &Device::Cpu);
    let codec = Codec::new(&CodecConfig::tiny(), &vb).unwrap();
    let frames: Vec<u8> = (0..5).flat_map(|at| trainer.pictures.picture(at)).copied().collect();
    let latents = codec.encode(&frames, 16, 16).unwrap();
    let axes = latents.transpose(0, 1).unwrap().flatten_from(1).unwrap(); // C, cells
    let centred = axes.broadcast_sub(&axes.mean_keepdim(1).unwrap()).unwrap();
    assert!(values(&axes.mean(1).unwrap()).unwrap().iter().all(|mean| mean.abs() < 1e-3));
    let covariance = (centred.matmul(&centred.t().unwrap()).unwrap() / 20.0).unwrap();
    let covariance = covariance.to_vec2::<f32>().unwrap();
    let variances: Vec<f32> = (0..4).map(|axis| covariance[axis][axis]).collect();
    assert!((variances.iter().sum::<f32>() - 4.0).abs() < 0.05, "{variances:?}");
    assert!(variances.windows(2).all(|pair| pair[0] >= pair[1]), "{variances:?}");
    assert!(variances[0] > 1.5 * variances[3], "these channels matter unequally: {variances:?}");
    for (a, row) in covariance.iter().enumerate() {
        for (b, value) in row.iter().enumerate().filter(|(b, _)| *b != a) {
            let bound = 0.02 * (variances[a] * variances[b]).sqrt();
            assert!(value.abs() < bound, "axes {a} and {b} go together: {value}");
        }
    }
    // The same small error along any axis moves the pictures about equally.
    let before = codec.decode(&latents).unwrap();
    let errors: Vec<f32> = (0..4)
        .map(|axis| {
            let mut change = vec![0.0_f32; latents.elem_count()];
            let mut random = Random::new(axis, 1);
            for (at, value) in change.iter_mut().enumerate() {
                if at / 4 % 4 == usize::try_from(axis).unwrap() {
                    *value = if random.chance(0.5) { 0.2 } else { -0.2 };
                }
            }
            let change = Tensor::from_vec(change, latents.shape(), &Device::Cpu).unwrap();
            let after = codec.decode(&(&latents + change).unwrap()).unwrap();
            let apart = |(a, b): (&u8, &u8)| (f32::from(*a) - f32::from(*b)).powi(2);
            before.iter().zip(&after).map(apart).sum()
        })
        .collect();
    let (least, most) = errors.iter().fold((f32::MAX, 0.0_f32), |(l, m), &e| (l.min(e), m.max(e)));
    // Differences of bytes, from one draw of signs.
    assert!(most < 2.5 * least, "{errors:?}");
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

#[test]
fn grain_is_seen_and_its_place_is_not() {
    let picture = |value: fn(usize, usize) -> f32| {
        let pixels = (0..16 * 16).flat_map(|at| [value(at / 16, at % 16); COLOURS]).collect();
        Tensor::from_vec(pixels, (1, 16, 16, COLOURS), &Device::Cpu).unwrap()
    };
    let grain = |value| values(&grain(&picture(value)).unwrap()).unwrap();
    let chequered = grain(|row, column| if (row + column) % 2 == 0 { 0.5 } else { -0.5 });
    assert_eq!(chequered.len(), 4 * 2 * COLOURS);
    assert!(chequered.iter().all(|grain| (grain - 1.0).abs() < 1e-6), "{chequered:?}");
    let moved = grain(|row, column| if (row + column) % 2 == 0 { -0.5 } else { 0.5 });
    assert_eq!(chequered, moved);
    // Steps from one cell to the next are none of a cell's own.
    let flat = grain(|row, column| if row / 8 == column / 8 { 1.0 } else { -1.0 });
    assert!(flat.iter().all(|grain| *grain == 0.0), "{flat:?}");
}
