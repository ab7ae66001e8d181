//! Trained weights as a world's folder.

use super::TrainConfig;
use anyhow::{Context as _, Result, bail};
use engine::train::{Tensor, save_half};
use engine::world::WorldConfig;
use input::Episode;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Real frames a world opens with: more than the default schedule sees.
const OPENING_FRAMES: usize = 32;
/// Openings of a world.
const OPENINGS: usize = 4;

/// Makes `dir` a world of its own: settings, weights in f16, and openings from `episodes`.
///
/// Settings and openings that are there already are left as they are.
pub(super) fn world(
    dir: &Path,
    config: &TrainConfig,
    weights: &BTreeMap<String, Tensor>,
    codec: &Path,
    episodes: &[PathBuf],
) -> Result<()> {
    let starts = dir.join("starts");
    std::fs::create_dir_all(&starts).with_context(|| format!("create {}", starts.display()))?;
    let Some(first) = episodes.first() else { bail!("expected episodes to take openings from") };
    if input::episodes_in(&starts)?.is_empty() {
        let every = (episodes.len() / OPENINGS).max(1);
        for (number, path) in episodes.iter().step_by(every).take(OPENINGS).enumerate() {
            let opening = opening(&Episode::open(path)?);
            input::write_npz(&opening, &starts.join(format!("start_{number:02}.npz")))?;
        }
    }
    let settings = dir.join("world.toml");
    if !settings.exists() {
        let text = toml::to_string(&describe(config, &Episode::open(first)?))?;
        std::fs::write(&settings, text).with_context(|| format!("write {}", settings.display()))?;
    }
    let copied = dir.join("codec.safetensors");
    std::fs::copy(codec, &copied)
        .with_context(|| format!("copy {} to {}", codec.display(), copied.display()))?;
    save_half(weights, &dir.join("model.safetensors"))?;
    Ok(())
}

/// Frames from the middle of an episode.
fn opening(episode: &Episode) -> Episode {
    let count = OPENING_FRAMES.min(episode.len());
    let first = (episode.len() - count) / 2;
    let size = episode.frame_bytes();
    Episode {
        video: episode.video[first * size..(first + count) * size].to_vec(),
        actions: episode.actions[first..first + count].to_vec(),
        poses: episode.poses.as_ref().map(|poses| poses[first..first + count].to_vec()),
        ..episode.clone()
    }
}

fn describe(config: &TrainConfig, episode: &Episode) -> WorldConfig {
    WorldConfig {
        title: "A new world".to_owned(),
        description: format!("Trained on {}.", episode.source),
        credits: vec![episode.source.clone()],
        width: episode.width as usize,
        height: episode.height as usize,
        fps: episode.fps,
        schedule: engine::pack::Schedule::DEFAULT_NAME.to_owned(),
        time_weight: 0.3,
        evaluations: 4,
        shortcut: false,
        layout: episode.layout.clone(),
        codec: config.codec.clone(),
        model: config.model.clone(),
    }
}
