//! Filmstrips: what each arm dreamed, below what the game showed.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::trial::Trial;
use super::unit::Key;
use crate::bench::strip::Strip;

/// Pictures in a strip, at most.
const PICTURES: usize = 8;
/// What stands where the game's picture is not known.
const UNKNOWN: u8 = 96;

/// The dreamed frames that are shown, counted from 1: evenly spread, the last one among them.
pub fn shown(frames: usize) -> Vec<usize> {
    let count = frames.min(PICTURES);
    (1..=count).map(|at| at * frames / count).collect()
}

/// Where a unit's strip lies below the folder of the run.
pub fn path_of(out: &Path, key: &Key) -> PathBuf {
    let Key { task, episode, cut, schedule, arm, seed, .. } = key;
    film(out, &format!("{task}-{episode}-{cut}-{schedule}-{arm}-{seed}"))
}

/// Where the strip of what the game showed lies.
pub fn truth_path(out: &Path, key: &Key) -> PathBuf {
    let Key { task, episode, cut, .. } = key;
    film(out, &format!("{task}-{episode}-{cut}-game"))
}

fn film(out: &Path, name: &str) -> PathBuf {
    out.join("film").join(file_name(name) + ".png")
}

/// A name that every file system takes.
pub fn file_name(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_@+".contains(c);
    text.chars().map(|c| if plain(c) { c } else { '-' }).collect()
}

/// Draws the strip of a trial's frames: `picture` gives the frame so many ahead, or nothing where it is not known.
///
/// # Errors
/// When it cannot be written.
pub fn draw<'a>(
    path: &Path,
    trial: &Trial,
    (width, height): (usize, usize),
    picture: impl Fn(usize) -> Option<&'a [u8]>,
) -> Result<()> {
    let unknown = vec![UNKNOWN; width * height * 3];
    let shown = shown(trial.frames);
    let pictures: Vec<&[u8]> =
        shown.into_iter().map(|ahead| picture(ahead).unwrap_or(&unknown)).collect();
    let mut strip = Strip::new(width, height);
    strip.row(&pictures);
    let folder = path.parent().context("a strip lies in a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    strip.write(path)
}
