//! `oneiro train codec`.

use super::going::{Trainer, go_on};
use super::{TrainArgs, TrainConfig, episode_paths, picture, picture_size};
use anyhow::{Context as _, Result};
use engine::train::{Checkpoint, CodecTrainer, load_weights, save_weights};
use indicatif::{ProgressBar, ProgressIterator as _, ProgressStyle};
use input::{Action, Episode, Frame, Recording};
use std::path::{Path, PathBuf};

/// Pictures of a strip.
const STRIP: usize = 8;

/// Most bytes of pictures that are trained on: some hundred thousand of 128×96. Of more, an even share is taken.
const MOST_BYTES: usize = 4 << 30;

/// Trains until the last step, however often it is stopped on the way.
pub(super) fn train(args: &TrainArgs) -> Result<()> {
    let config = TrainConfig::read(args)?;
    let (device, notice) = engine::device::best();
    if let Some(notice) = notice {
        eprintln!("{notice}");
    }
    std::fs::create_dir_all(&args.out).with_context(|| format!("create {}", args.out.display()))?;
    let episodes = some_pictures(&episode_paths(&args.episodes)?, &config, MOST_BYTES)?;
    let mut training = config.codec_training.clone();
    training.steps = args.steps.unwrap_or(training.steps);
    let from = args.from.as_deref().map(|path| load_weights(path, &device)).transpose()?;
    let (steps, minutes) = (training.steps, args.checkpoint_minutes);
    let trainer = CodecTrainer::new(&config.codec, training, episodes, from, &device)?;
    let checkpoint = args.out.join("codec.checkpoint.safetensors");
    let mut trained = Trained { trainer, out: &args.out };
    go_on(&mut trained, (&checkpoint, &device), steps, minutes)
}

/// A codec in training, with its folder.
struct Trained<'a> {
    trainer: CodecTrainer,
    out: &'a Path,
}

impl Trainer for Trained<'_> {
    fn steps(&self) -> u32 {
        self.trainer.steps()
    }

    fn step(&mut self) -> Result<(f32, usize)> {
        let step = self.trainer.step()?;
        Ok((step.loss, self.trainer.training().pictures))
    }

    fn checkpoint(&self) -> Result<Checkpoint> {
        Ok(self.trainer.checkpoint()?)
    }

    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        Ok(self.trainer.restore(checkpoint)?)
    }

    /// The weights, and pictures that went through them.
    fn save(&mut self) -> Result<String> {
        save_weights(&self.trainer.finish()?, &self.out.join("codec.safetensors"))?;
        let strip = self.trainer.strip(STRIP)?;
        let path = self.out.join(format!("codec_{:06}.png", self.steps()));
        picture::write_strip(&path, &[vec![&strip.pixels]], (strip.width, strip.height))?;
        Ok(path.display().to_string())
    }
}

/// The recordings' pictures at the model's size; only every so many of each where all take more than `most_bytes`.
fn some_pictures(
    paths: &[PathBuf],
    config: &TrainConfig,
    most_bytes: usize,
) -> Result<Vec<Episode>> {
    let (width, height) = picture_size(&config.model)?;
    let mut frames = 0;
    for path in paths {
        frames += Recording::open(path)?.actions.len();
    }
    let every = (frames * Frame::byte_count(width, height)).div_ceil(most_bytes).max(1);
    if every > 1 {
        eprintln!("training on one in {every} of {frames} pictures, as many as are held in memory");
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} episodes read, {eta} left")?;
    let bar = ProgressBar::new(paths.len() as u64).with_style(style);
    let read = |path: &PathBuf| some_of(path, (width, height), every).transpose();
    paths.iter().progress_with(bar).filter_map(read).collect()
}

/// Every so many of a recording's pictures as an episode without actions; nothing where there is no picture.
fn some_of(path: &Path, (width, height): (u32, u32), every: usize) -> Result<Option<Episode>> {
    let mut recording = Recording::open(path)?;
    let mut video = Vec::new();
    // Damage between the pictures that are taken is damage all the same; only these are brought to size.
    for (number, frame) in recording.by_ref().enumerate() {
        let frame = frame?;
        if number % every == 0 {
            video.extend(frame.resized(width, height).pixels);
        }
    }
    let actions = vec![Action::NEUTRAL; video.len() / Frame::byte_count(width, height)];
    let Recording { fps, layout, source, .. } = recording;
    let episode = Episode { width, height, video, actions, poses: None, fps, layout, source };
    Ok(if episode.is_empty() { None } else { Some(episode.checked()?) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use input::{Policy, simulate, write_npz};

    #[test]
    fn of_too_many_pictures_every_second_is_taken_at_the_models_size() {
        let config: TrainConfig =
            toml::from_str(include_str!("../../assets/configs/tiny.toml")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let paths = [(3, 10), (4, 6)].map(|(seed, frames)| {
            let path = dir.path().join(format!("{seed}.npz"));
            let episode = simulate(seed, frames, Policy::Explore, (128, 96), 17.5);
            write_npz(&episode, &path).unwrap();
            path
        });
        let bytes = 8 * Frame::byte_count(64, 48);
        let episodes = some_pictures(&paths, &config, bytes).unwrap();
        assert_eq!(episodes.iter().map(Episode::len).collect::<Vec<_>>(), [5, 3]);
        let whole = Episode::open_sized(&paths[1], 64, 48).unwrap();
        assert_eq!(episodes[1].frame(2), whole.frame(4));
        let all = some_pictures(&paths, &config, 2 * bytes).unwrap();
        assert_eq!(all[1].video, whole.video);
    }
}
