//! Walks in the folders that worldproof 0.1 reads, so that a second tool can score the same pictures.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::film::file_name;
use super::trial::{Catalogue, Task, Trial};
use super::unit::{Header, Key};
use super::walker::Scene;
use crate::picture;

/// Real frames before the first dreamed one that go along.
const CONTEXT: usize = 4;

/// Whether the game's pictures are known for all of a trial's frames, as worldproof wants them.
pub fn takes(trial: &Trial) -> bool {
    trial.task != Task::Turn
}

/// Where a walk's folder lies below that of the run. The seeds of one walk are samples of one folder.
fn folder_of(out: &Path, key: &Key) -> PathBuf {
    let Key { task, episode, cut, schedule, arm, .. } = key;
    out.join("worldproof").join(file_name(&format!("{task}-{episode}-{cut}-{schedule}-{arm}")))
}

fn sample_of(out: &Path, key: &Key) -> PathBuf {
    folder_of(out, key).join("predictions").join(format!("sample_{:02}", key.seed))
}

/// Whether a walk was written out before, to its last frame.
pub fn holds(out: &Path, key: &Key, frames: usize) -> bool {
    sample_of(out, key).join(frame_name(frames.saturating_sub(1))).exists()
        && folder_of(out, key).join("manifest.json").exists()
}

fn frame_name(at: usize) -> String {
    format!("frame_{at:05}.png")
}

/// Writes a walk out: what it began from, what was done, what was dreamed and what the game showed.
///
/// # Errors
/// When a file cannot be written.
pub fn write(
    out: &Path,
    key: &Key,
    header: &Header,
    (catalogue, trial, scene): (&Catalogue, &Trial, &Scene<'_>),
    frames: &[Vec<u8>],
) -> Result<()> {
    let folder = folder_of(out, key);
    let size = (u32::try_from(catalogue.width)?, u32::try_from(catalogue.height)?);
    let horizon =
        (1..=frames.len()).take_while(|&ahead| scene.real_picture(ahead).is_some()).count();
    let episode = scene.episode();
    let context = (trial.cut + 1).saturating_sub(CONTEXT).max(trial.first)..trial.cut + 1;
    pictures(&folder.join("context"), context.map(|t| episode.frame(t)), size)?;
    let truth = (1..=horizon).filter_map(|ahead| scene.real_picture(ahead));
    pictures(&folder.join("ground_truth"), truth, size)?;
    let dreamed = frames[..horizon].iter().map(Vec::as_slice);
    pictures(&sample_of(out, key), dreamed, size)?;
    let actions: Vec<f32> = (1..=horizon)
        .flat_map(|ahead| catalogue.step(trial, ahead).0.to_features(&catalogue.layout))
        .collect();
    let shape = [horizon, catalogue.layout.feature_count()];
    input::write_npy(&folder.join("actions.npy"), &shape, &actions)?;
    let samples = fs::read_dir(folder.join("predictions"))?.count();
    let manifest = json!({
        "format_version": "0.1-provisional",
        "modality": "pixels",
        "storage": "png_sequence",
        "fps": header.fps,
        "resolution": [catalogue.height, catalogue.width],
        "channels": 3,
        "model_id": format!("{} {} {}", header.world, key.schedule, key.arm),
        "seed": key.seed,
        "camera_id": null,
        "lossy_source": false,
        "inference_latency_s": null,
        "context_id": format!("{}-{}-{}", key.task, key.episode, key.cut),
        "is_failure": null,
        "horizon": horizon,
        "n_samples": samples,
        "has_ground_truth": true,
    });
    let path = folder.join("manifest.json");
    fs::write(&path, serde_json::to_string_pretty(&manifest)? + "\n")
        .with_context(|| format!("write {}", path.display()))
}

fn pictures<'a>(
    folder: &Path,
    frames: impl Iterator<Item = &'a [u8]>,
    size: (u32, u32),
) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    for (at, frame) in frames.enumerate() {
        picture::write(&folder.join(frame_name(at)), frame, size)?;
    }
    Ok(())
}
