//! `oneiro episodes`: make recorded play, look at it.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use indicatif::ProgressBar;
use input::{Episode, episodes_in, simulate, write_npz};

use crate::cli::SimulateArgs;

/// Records simulated mazes into a folder. The same arguments give the same files.
///
/// # Errors
/// When a file cannot be written.
pub fn simulate_into(args: &SimulateArgs) -> Result<()> {
    fs::create_dir_all(&args.out).with_context(|| format!("make {}", args.out.display()))?;
    let progress = ProgressBar::new(args.frames.into());
    let (mut left, mut seed) = (args.frames, args.seed);
    while left > 0 {
        // A last episode of one frame would have no motion in it.
        let frames =
            if left == args.episode_frames + 1 { left } else { left.min(args.episode_frames) };
        let episode = simulate(seed, usize::try_from(frames)?, args.policy, args.size, args.fps);
        let path = args.out.join(format!("maze-{seed:06}-{}.npz", args.policy));
        write_npz(&episode, &path)?;
        progress.inc(frames.into());
        left -= frames;
        seed = seed.wrapping_add(1);
    }
    progress.finish_and_clear();
    let episodes = seed.wrapping_sub(args.seed);
    writeln!(
        io::stdout(),
        "{} frames in {episodes} episodes: {}",
        args.frames,
        args.out.display()
    )?;
    Ok(())
}

/// Prints a line for each episode at or below `paths`, and one for all.
///
/// # Errors
/// When an episode cannot be read, or there is none; the others are printed all the same.
pub fn inspect(paths: &[PathBuf]) -> Result<()> {
    let mut out = io::stdout().lock();
    let (mut frames, mut seconds, mut read, mut unreadable) = (0, 0.0, 0, 0);
    for path in paths {
        for episode in found(path)? {
            match Episode::open(&episode) {
                Ok(it) => {
                    let summary = Summary::of(&it);
                    writeln!(out, "{}: {summary}", episode.display())?;
                    frames += summary.frames;
                    seconds += summary.seconds;
                    read += 1;
                }
                Err(error) => {
                    writeln!(io::stderr(), "oneiro: {error}")?;
                    unreadable += 1;
                }
            }
        }
    }
    if read + unreadable == 0 {
        bail!("expected episodes (.npz files or sessions), found none at {}", list(paths));
    }
    writeln!(out, "{read} episodes, {frames} frames, {:.1} minutes", seconds / 60.0)?;
    if unreadable > 0 {
        bail!("{unreadable} of {} episodes could not be read", read + unreadable);
    }
    Ok(())
}

/// The episodes at a path: itself, or those in the folder.
fn found(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_dir() {
        return Ok(episodes_in(path)?);
    }
    Ok(vec![path.to_owned()])
}

fn list(paths: &[PathBuf]) -> String {
    let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    names.join(", ")
}

/// What is worth knowing of an episode.
#[derive(Clone, Debug, PartialEq)]
struct Summary {
    frames: usize,
    width: u32,
    height: u32,
    fps: f32,
    seconds: f64,
    moving: f64,
    turning: f64,
    poses: bool,
    source: String,
}

impl Summary {
    fn of(episode: &Episode) -> Self {
        let share = |wanted: fn(&input::Action) -> bool| {
            let count = episode.actions.iter().filter(|action| wanted(action)).count();
            ratio(count, episode.len())
        };
        Self {
            frames: episode.len(),
            width: episode.width,
            height: episode.height,
            fps: episode.fps,
            seconds: ratio(episode.len(), 1) / f64::from(episode.fps),
            moving: share(|action| action.forward.abs() + action.strafe.abs() > 0.0),
            turning: share(|action| action.turn.abs() > 0.0),
            poses: episode.poses.is_some(),
            source: episode.source.clone(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { frames, width, height, fps, seconds, moving, turning, poses, source } = self;
        let poses = if *poses { "poses" } else { "no poses" };
        write!(
            f,
            "{frames} frames of {width}x{height} at {fps}/s ({seconds:.1} s), \
             {:.0} % moving, {:.0} % turning, {poses}, {source}",
            moving * 100.0,
            turning * 100.0
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of frames are far below 2^52")]
fn ratio(count: usize, of: usize) -> f64 {
    count as f64 / of.max(1) as f64
}
