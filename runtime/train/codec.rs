//! `oneiro train codec`.

use super::progress::Progress;
use super::{TrainArgs, TrainConfig, episode_paths, picture};
use crate::clock::Clock;
use anyhow::{Context as _, Result, bail};
use engine::train::{Checkpoint, CodecTrainer, load_weights, save_weights};
use input::Episode;
use std::time::Duration;

/// Pictures of a strip.
const STRIP: usize = 8;

/// Trains until the last step, however often it is stopped on the way.
pub(super) fn train(args: &TrainArgs) -> Result<()> {
    let config = TrainConfig::read(args)?;
    let (device, notice) = engine::device::best();
    if let Some(notice) = notice {
        eprintln!("{notice}");
    }
    std::fs::create_dir_all(&args.out).with_context(|| format!("create {}", args.out.display()))?;
    let episodes = episode_paths(&args.episodes)?;
    let episodes = episodes.iter().map(|path| Episode::open(path)).collect::<Result<_, _>>()?;
    let mut training = config.codec_training.clone();
    training.steps = args.steps.unwrap_or(training.steps);
    let pictures = training.pictures;
    let from = args.from.as_deref().map(|path| load_weights(path, &device)).transpose()?;
    let mut trainer = CodecTrainer::new(&config.codec, training, episodes, from, &device)?;
    let checkpoint = args.out.join("codec.checkpoint.safetensors");
    if checkpoint.exists() {
        trainer.restore(&Checkpoint::load(&checkpoint, &device)?)?;
        eprintln!("going on from step {}", trainer.steps());
    }
    let clock = Clock::real();
    let every = Duration::from_secs(60 * args.checkpoint_minutes.max(1));
    let mut progress = Progress::new(&args.out, trainer.steps(), trainer.training().steps)?;
    let (mut saved, mut started, mut seen) = (clock.now(), clock.now(), 0_usize);
    while trainer.steps() < trainer.training().steps {
        let step = trainer.step()?;
        if !step.loss.is_finite() {
            bail!("the loss is no number at step {}; lower the rate", trainer.steps());
        }
        seen += pictures;
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let rate = seen as f64 / (clock.now() - started).as_secs_f64();
        progress.step(trainer.steps(), step.loss, rate);
        if clock.now() - saved >= every || trainer.steps() == trainer.training().steps {
            trainer.checkpoint()?.save(&checkpoint)?;
            save_weights(&trainer.finish()?, &args.out.join("codec.safetensors"))?;
            progress.save()?;
            let strip = trainer.strip(STRIP)?;
            let path = args.out.join(format!("codec_{:06}.png", trainer.steps()));
            picture::write_strip(&path, &[vec![&strip.pixels]], (strip.width, strip.height))?;
            progress.say(&format!("step {}: wrote {}", trainer.steps(), path.display()));
            (saved, started, seen) = (clock.now(), clock.now(), 0);
        }
    }
    Ok(())
}
