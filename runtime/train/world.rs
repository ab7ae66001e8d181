//! `oneiro train world`.

use super::progress::Progress;
use super::{TrainConfig, WorldArgs, episode_paths, export, picture};
use crate::clock::Clock;
use anyhow::{Context as _, Result, bail};
use engine::codec::Codec;
use engine::dreamer::{DreamOptions, Dreamer};
use engine::train::{Checkpoint, LatentEpisode, WorldTrainer};
use engine::world::World;
use indicatif::{ProgressBar, ProgressIterator as _, ProgressStyle};
use input::Episode;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Frames of history and of dream in a strip.
const STRIP: (usize, usize) = (26, 32);

/// Trains until the last step, however often it is stopped on the way.
pub(super) fn train(args: &WorldArgs) -> Result<()> {
    let common = &args.common;
    let config = TrainConfig::read(common)?;
    let (device, notice) = engine::device::best();
    if let Some(notice) = notice {
        eprintln!("{notice}");
    }
    let latents_dir = common.out.join("latents");
    std::fs::create_dir_all(&latents_dir)
        .with_context(|| format!("create {}", latents_dir.display()))?;
    let paths = episode_paths(&common.episodes)?;
    let codec = Codec::open(&config.codec, &args.codec, &device)?;
    let episodes = encoded(&paths, &codec, &config, &latents_dir)?;
    let mut training = config.world_training.clone();
    training.steps = common.steps.unwrap_or(training.steps);
    let from = common.from.as_deref().map(|path| engine::train::load_weights(path, &device));
    let mut trainer =
        WorldTrainer::new(&config.model, training, episodes, from.transpose()?, &device)?;
    let checkpoint = common.out.join("world.checkpoint.safetensors");
    if checkpoint.exists() {
        trainer.restore(&Checkpoint::load(&checkpoint, &device)?)?;
        eprintln!("going on from step {}", trainer.steps());
    }
    let clock = Clock::real();
    let every = Duration::from_secs(60 * common.checkpoint_minutes.max(1));
    let mut progress = Progress::new(&common.out, trainer.steps(), trainer.training().steps)?;
    let (mut saved, mut started, mut frames) = (clock.now(), clock.now(), 0_usize);
    while trainer.steps() < trainer.training().steps {
        let step = trainer.step()?;
        if !step.loss.is_finite() {
            bail!("the loss is no number at step {}; lower the rate", trainer.steps());
        }
        frames += step.frames;
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let rate = frames as f64 / (clock.now() - started).as_secs_f64();
        progress.step(trainer.steps(), step.loss, rate);
        if clock.now() - saved >= every || trainer.steps() == trainer.training().steps {
            trainer.checkpoint()?.save(&checkpoint)?;
            let world = common.out.join("world");
            export::world(&world, &config, &trainer, &args.codec, &paths)?;
            progress.save()?;
            let shown = args.held_out.as_deref().unwrap_or(&common.episodes);
            let strip = common.out.join(format!("strip_{:06}.png", trainer.steps()));
            draw_strip(&world, shown, &strip)?;
            progress.say(&format!("step {}: wrote {}", trainer.steps(), strip.display()));
            (saved, started, frames) = (clock.now(), clock.now(), 0);
        }
    }
    Ok(())
}

/// The episodes' latents, each encoded once and kept in `dir`.
fn encoded(
    paths: &[PathBuf],
    codec: &Codec,
    config: &TrainConfig,
    dir: &Path,
) -> Result<Vec<LatentEpisode>> {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} episodes encoded, {eta} left")?;
    let bar = ProgressBar::new(paths.len() as u64).with_style(style);
    let mut episodes = Vec::with_capacity(paths.len());
    for path in paths.iter().progress_with(bar) {
        // The whole path is in the name: files of one name in two folders are two episodes.
        let name: String = path
            .to_string_lossy()
            .chars()
            .map(|c| if c.is_alphanumeric() { c } else { '_' })
            .collect();
        let kept = dir.join(format!("{name}.safetensors"));
        if kept.exists() {
            episodes.push(LatentEpisode::load(&kept)?);
            continue;
        }
        let episode = Episode::open(path)?;
        let (width, height) = (episode.width as usize, episode.height as usize);
        let model = &config.model;
        if (width, height) != (8 * model.width, 8 * model.height) {
            let (want_width, want_height) = (8 * model.width, 8 * model.height);
            bail!("expected {want_width}x{want_height}, got {width}x{height}: {}", path.display());
        }
        let size = episode.frame_bytes();
        let parts = episode.video.chunks(32 * size).map(|part| codec.encode(part, height, width));
        let actions = episode.actions.iter().flat_map(|a| a.to_features(&episode.layout)).collect();
        let latents = LatentEpisode::from_parts(
            &parts.collect::<Result<Vec<_>, _>>()?,
            actions,
            model.action,
        )?;
        latents.save(&kept, (model.channels, model.height, model.width))?;
        episodes.push(latents);
    }
    Ok(episodes)
}

/// Real frames above, dreamed ones below, from the first episode of `dir` that is long enough.
fn draw_strip(world: &Path, dir: &Path, out: &Path) -> Result<()> {
    let (before, count) = STRIP;
    let world = Arc::new(World::open(world, &engine::device::Device::Cpu, |_| ())?);
    for path in episode_paths(dir)? {
        let episode = Episode::open(&path)?;
        if episode.len() < before + count {
            continue;
        }
        let mut dreamer = Dreamer::new(Arc::clone(&world), DreamOptions::default())?;
        let history: Vec<&[u8]> = (0..before).map(|t| episode.frame(t)).collect();
        dreamer.open_with(&history, &episode.actions[..before])?;
        let shown: Vec<usize> = (before..before + count).step_by(4).collect();
        let mut dreamed = Vec::new();
        for t in before..before + count {
            let frames = dreamer.section(&episode.actions[t..=t])?;
            if shown.contains(&t) {
                dreamed.extend(frames);
            }
        }
        let rows = [
            shown.iter().map(|&t| episode.frame(t)).collect(),
            dreamed.iter().map(Vec::as_slice).collect(),
        ];
        return picture::write_strip(out, &rows, (episode.width, episode.height));
    }
    bail!("expected an episode of at least {} frames in {}", before + count, dir.display())
}
