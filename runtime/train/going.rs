//! The loop of every training: steps, checkpoints and curves, going on where it was stopped.

use super::progress::Progress;
use crate::clock::Clock;
use crate::cores;
use anyhow::{Result, bail};
use engine::device::Device;
use engine::train::Checkpoint;
use std::path::Path;
use std::time::Duration;

/// What is trained.
pub(super) trait Trainer {
    /// Steps made so far.
    fn steps(&self) -> u32;

    /// One step: its loss, and samples that it saw.
    fn step(&mut self) -> Result<(f32, usize)>;

    /// Everything needed to go on.
    fn checkpoint(&self) -> Result<Checkpoint>;

    /// Goes on from a checkpoint.
    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()>;

    /// Writes what was learnt so far; answers what there is to see of it.
    fn save(&mut self) -> Result<String>;
}

/// Trains until step `steps`, from the checkpoint where there is one; writes every so many minutes and at the end.
pub(super) fn go_on(
    trainer: &mut dyn Trainer,
    (checkpoint, device): (&Path, &Device),
    steps: u32,
    minutes: u64,
) -> Result<()> {
    if checkpoint.exists() {
        trainer.restore(&Checkpoint::load(checkpoint, device)?)?;
        eprintln!("going on from step {}", trainer.steps());
    }
    if trainer.steps() >= steps {
        eprintln!("all {steps} steps are done; --steps N asks for more");
    }
    let clock = Clock::real();
    let every = Duration::from_secs(60 * minutes.max(1));
    let dir = checkpoint.parent().unwrap_or(Path::new("."));
    let mut progress = Progress::new(dir, trainer.steps(), steps)?;
    let (mut saved, mut started, mut seen) = (clock.now(), clock.now(), 0_usize);
    while trainer.steps() < steps {
        let (loss, samples) = cores::awake(|| trainer.step())?;
        let step = trainer.steps();
        if !loss.is_finite() {
            bail!("the loss is no number at step {step}; lower the rate");
        }
        seen += samples;
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let rate = seen as f64 / (clock.now() - started).as_secs_f64();
        progress.step(step, loss, rate);
        if clock.now() - saved >= every || step == steps {
            let now = trainer.checkpoint()?;
            if !now.is_finite()? {
                bail!("a weight is no number at step {step}; lower the rate");
            }
            now.save(checkpoint)?;
            let shown = trainer.save()?;
            progress.save()?;
            progress.say(&format!("step {step}: wrote {shown}"));
            (saved, started, seen) = (clock.now(), clock.now(), 0);
        }
    }
    Ok(())
}
