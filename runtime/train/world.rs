//! `oneiro train world`.

use super::progress::Progress;
use super::{TrainConfig, WorldArgs, episode_paths, export, picture, picture_size};
use crate::clock::Clock;
use anyhow::{Context as _, Result, bail, ensure};
use engine::codec::Codec;
use engine::dreamer::{DreamOptions, Dreamer};
use engine::model::{HistoryAttention, ModelConfig};
use engine::train::{Checkpoint, LatentEpisode, WorldTrainer};
use engine::video::{Video, VideoOptions};
use engine::world::World;
use indicatif::{ProgressBar, ProgressIterator as _, ProgressStyle};
use input::{ActionLayout, Episode, Recording};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Frames that the codec encodes together.
const ENCODED_AT_ONCE: usize = 32;

/// Frames of history and of dream in a strip.
const STRIP: (usize, usize) = (26, 32);

/// Trains until the last step, however often it is stopped on the way.
pub(super) fn train(args: &WorldArgs) -> Result<()> {
    let common = &args.common;
    let mut config = TrainConfig::read(common)?;
    let (device, notice) = engine::device::best();
    if let Some(notice) = notice {
        eprintln!("{notice}");
    }
    let latents_dir = common.out.join("latents");
    std::fs::create_dir_all(&latents_dir)
        .with_context(|| format!("create {}", latents_dir.display()))?;
    let paths = episode_paths(&common.episodes)?;
    let layout = match paths.first() {
        Some(first) => Recording::open(first)?.layout,
        None => bail!("expected recorded play"),
    };
    config.model.action = layout.feature_count();
    let codec = Codec::open(&config.codec, &args.codec, &device)?;
    let episodes = encoded(&paths, &layout, &codec, &config.model, &latents_dir)?;
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
            draw_strip(&world, shown, &strip, picture_size(&config.model)?)?;
            progress.say(&format!("step {}: wrote {}", trainer.steps(), strip.display()));
            (saved, started, frames) = (clock.now(), clock.now(), 0);
        }
    }
    Ok(())
}

/// The episodes' latents, each encoded once and kept in `dir`; all have to have actions of this layout.
fn encoded(
    paths: &[PathBuf],
    layout: &ActionLayout,
    codec: &Codec,
    model: &ModelConfig,
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
        let recording = Recording::open(path)?;
        ensure!(
            recording.layout == *layout,
            "expected the actions of {}, got {:?} instead of {layout:?}: {}",
            paths[0].display(),
            recording.layout,
            path.display()
        );
        let latents = encode(recording, codec, model)?;
        latents.save(&kept, (model.channels, model.height, model.width))?;
        episodes.push(latents);
    }
    Ok(episodes)
}

/// A recording's latents, encoded as its pictures are read.
fn encode(recording: Recording, codec: &Codec, model: &ModelConfig) -> Result<LatentEpisode> {
    let (width, height) = picture_size(model)?;
    let mut recording = recording.resized(width, height);
    let (mut parts, mut part, mut frames) = (Vec::new(), Vec::new(), 0);
    loop {
        let frame = recording.next().transpose()?;
        let ended = frame.is_none();
        if let Some(frame) = frame {
            part.extend(frame.pixels);
            frames += 1;
        }
        if !part.is_empty() && (ended || frames % ENCODED_AT_ONCE == 0) {
            parts.push(codec.encode(&part, 8 * model.height, 8 * model.width)?);
            part.clear();
        }
        if ended {
            break;
        }
    }
    ensure!(frames > 0, "expected at least one frame: {}", recording.source);
    let actions = recording.actions.iter().take(frames);
    let actions = actions.flat_map(|action| action.to_features(&recording.layout)).collect();
    Ok(LatentEpisode::from_parts(&parts, actions, model.action)?)
}

/// Real frames above, dreamed ones below, from the first episode of `dir` that is long enough.
fn draw_strip(world: &Path, dir: &Path, out: &Path, (width, height): (u32, u32)) -> Result<()> {
    let (before, count) = STRIP;
    let world = Arc::new(World::open(world, &engine::device::Device::Cpu, |_| ())?);
    for path in episode_paths(dir)? {
        let episode = Episode::open_sized(&path, width, height)?;
        if episode.len() < before + count {
            continue;
        }
        let dreamed = match world.config.model.history {
            HistoryAttention::Own => walked(&world, &episode)?,
            // It cannot be played.
            HistoryAttention::Causal => filmed(&world, &episode)?,
        };
        let shown = (before..before + count).step_by(4);
        let rows = [
            shown.map(|t| episode.frame(t)).collect(),
            dreamed.iter().step_by(4).map(Vec::as_slice).collect(),
        ];
        return picture::write_strip(out, &rows, (episode.width, episode.height));
    }
    bail!("expected an episode of at least {} frames in {}", before + count, dir.display())
}

/// The frames of a strip as play dreams them.
fn walked(world: &Arc<World>, episode: &Episode) -> Result<Vec<Vec<u8>>> {
    let (before, count) = STRIP;
    let mut dreamer = Dreamer::new(Arc::clone(world), DreamOptions::default())?;
    let history: Vec<&[u8]> = (0..before).map(|t| episode.frame(t)).collect();
    dreamer.open_with(&history, &episode.actions[..before])?;
    let mut dreamed = Vec::with_capacity(count);
    for t in before..before + count {
        dreamed.extend(dreamer.section(&episode.actions[t..=t])?);
    }
    Ok(dreamed)
}

/// The same as a video.
fn filmed(world: &Arc<World>, episode: &Episode) -> Result<Vec<Vec<u8>>> {
    let (before, count) = STRIP;
    let (known, frames) = (u32::try_from(before)?, u32::try_from(before + count)?);
    let options = VideoOptions::new(world.schedule.clone(), 0);
    let mut video = Video::new(Arc::clone(world), frames, options)?;
    for (at, t) in (0..frames).zip(0..) {
        video.tell(at, &episode.actions[t])?;
        if at < known {
            video.give(at, episode.frame(t))?;
        }
    }
    (known..frames).try_for_each(|at| video.make(at..at + 1).map(|_| ()))?;
    let picture = |at| video.picture(at)?.context("every frame was made");
    (known..frames).map(picture).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::device::Device;
    use engine::train::{CodecTrainer, save_weights};
    use input::{Buttons, Policy, simulate, write_npz};

    #[test]
    fn actions_and_their_layout_come_from_the_data_and_pictures_at_the_models_size() {
        let config: TrainConfig =
            toml::from_str(include_str!("../../assets/configs/tiny.toml")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let paths = ["plain", "pressed"].map(|name| dir.path().join(format!("{name}.npz")));
        let mut episode = simulate(3, 40, Policy::Explore, (128, 96), 17.5);
        write_npz(&episode, &paths[0]).unwrap();
        episode.layout.buttons = vec!["jump".to_owned()];
        episode.actions[7].buttons = Buttons(1);
        write_npz(&episode, &paths[1]).unwrap();

        let pictures = vec![Episode::open_sized(&paths[0], 64, 48).unwrap()];
        let training = config.codec_training.clone();
        let mut trainer =
            CodecTrainer::new(&config.codec, training, pictures, None, &Device::Cpu).unwrap();
        trainer.step().unwrap();
        let weights = dir.path().join("codec.safetensors");
        save_weights(&trainer.finish().unwrap(), &weights).unwrap();
        let codec = Codec::open(&config.codec, &weights, &Device::Cpu).unwrap();

        let model = ModelConfig { action: 5, ..config.model };
        let latents = encoded(&paths[1..], &episode.layout, &codec, &model, dir.path()).unwrap();
        assert_eq!(latents[0].frames(), 40);
        for t in [6, 7] {
            let wanted = episode.actions[t].to_features(&episode.layout);
            assert_eq!(latents[0].action(t), wanted);
        }
        assert_eq!(latents[0].action(7)[4], 1.0);
        let error = encoded(&paths, &episode.layout, &codec, &model, dir.path()).unwrap_err();
        assert!(error.to_string().ends_with("plain.npz"), "{error}");
    }
}
