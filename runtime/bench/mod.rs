//! Benchmarks of a world against the game it was learnt from: `oneiro bench rollout`.
//!
//! Held-out episodes say what the game does; a world under test is anything that implements
//! [`Rollout`]. Three parts, each a function of its own, fill one table ([`report`]):
//!
//! * [`rollout`]: real history, then 32 frames from actions alone, against the real ones;
//! * [`steer`]: whether the picture turns the way it is told to;
//! * [`drift`]: whether minutes of random play still look and move like the game.
//!
//! Eight more are benchmarks of their own: [`packing`], ways of picking and packing history held against
//! each other, [`prevention`], ways against drift, [`revisit`], what memory brings back, [`mod@memory`], what it costs, [`pacing`], whether
//! the loop keeps its beat, [`soak`], whether it still does after an hour, [`speed`], how far the stages are from
//! what must be computed, and [`device`], what a GPU is worth.
//!
//! Rollouts run one after the other: the networks use all cores themselves. [`packing`] alone has so
//! many that each core makes its own.

pub mod device;
pub mod dreamed;
pub mod drift;
pub mod held;
pub mod memory;
pub mod metric;
pub mod pacing;
pub mod packing;
pub mod prevention;
pub mod report;
pub mod revisit;
pub mod rollout;
pub mod shift;
pub mod similarity;
pub mod soak;
pub mod speed;
pub mod steer;
pub mod strip;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use input::{Action, Episode, Pose};

use self::held::{Held, Start, StartRule};
use self::report::Report;

/// A world under test.
pub trait Rollout {
    /// Forgets everything and takes real frames as history, oldest first, `(height, width, 3)`
    /// bytes each; `actions[i]` is what was applied before `frames[i]`, `poses[i]` where it was
    /// seen from, in the game's units; no poses where the recording does not tell.
    ///
    /// # Errors
    /// When the world cannot take them.
    fn begin(&mut self, frames: &[&[u8]], actions: &[Action], poses: &[Pose]) -> Result<()>;

    /// The frame that follows when this action is applied.
    ///
    /// # Errors
    /// When the world cannot make one.
    fn next(&mut self, action: &Action) -> Result<Vec<u8>>;

    /// Width and height of its pictures, where they are always the same: episodes are brought to it.
    fn size(&self) -> Option<(u32, u32)> {
        None
    }

    /// A frame through the codec alone, encoded and decoded; history is not touched.
    ///
    /// # Errors
    /// When the codec cannot take it.
    fn reconstruct(&mut self, frame: &[u8]) -> Result<Vec<u8>>;

    /// What recorded views alone show from where the walk is, the network left out; `None` where nothing tells.
    ///
    /// # Errors
    /// When a view cannot be decoded.
    fn shown_by_atlas(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }
}

/// Options of `bench rollout`.
#[derive(Args, Clone, Debug)]
pub struct RolloutArgs {
    /// Folder of the world, or the name of one that came with the program
    #[arg(long, value_name = "WORLD", default_value = "doom-rooms")]
    pub world: PathBuf,
    /// Held-out play: .npz clips, sessions, a public data set, or a folder of them
    #[arg(long, value_name = "DIR")]
    pub episodes: PathBuf,
    /// Starts to roll out from, and to steer from
    #[arg(long, value_name = "N", default_value_t = 200,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// Real frames before each rollout
    #[arg(long, value_name = "N", default_value_t = 32,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub history: u32,
    /// Minutes of random play to look for drift in; 0 leaves that out
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0, value_parser = parse_minutes)]
    pub minutes: f64,
    /// Random play of the game itself, recorded with policy wander, to stand beside
    #[arg(long, value_name = "DIR")]
    pub random_play: Option<PathBuf>,
    /// Seed of the choice of starts and of the random play
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Write the figures to this file as well
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Draw real frames above dreamed ones into this picture
    #[arg(long, value_name = "FILE.png")]
    pub strip: Option<PathBuf>,
}

fn parse_minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse().ok().filter(|minutes| (0.0..=1440.0).contains(minutes));
    minutes.ok_or_else(|| "expected minutes from 0 to 1440".into())
}

/// What a benchmark runs on: the world, the episodes, how to choose, and the time.
pub struct Bench<'a> {
    /// The world under test.
    pub model: &'a mut dyn Rollout,
    /// What the game does.
    pub held: &'a Held,
    /// Starts wanted in each part.
    pub starts: usize,
    /// Real frames before each rollout.
    pub history: usize,
    /// Seed of every choice.
    pub seed: u64,
    /// Time since some fixed moment.
    pub now: &'a dyn Fn() -> Duration,
}

impl std::fmt::Debug for Bench<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bench").field("starts", &self.starts).finish_non_exhaustive()
    }
}

impl Bench<'_> {
    /// The choice of starts with `horizon` real frames after each.
    fn rule(&self, horizon: usize) -> StartRule {
        StartRule { count: self.starts, history: self.history, horizon, seed: self.seed }
    }

    /// Gives the model the real history of a start.
    fn begin(&mut self, episode: &Episode, start: Start) -> Result<()> {
        let real = start.frame + 1 - self.history..start.frame + 1;
        let frames: Vec<&[u8]> = real.clone().map(|t| episode.frame(t)).collect();
        let poses = episode.poses.as_ref().map_or(&[][..], |poses| &poses[real.clone()]);
        self.model.begin(&frames, &episode.actions[real], poses)
    }

    /// The next frame, of the right size.
    fn next(&mut self, action: &Action) -> Result<Vec<u8>> {
        let frame = self.model.next(action)?;
        self.held.picture(&frame)?;
        Ok(frame)
    }
}

/// Runs all parts on `model`, writes the files that were asked for and returns the figures, whose
/// [`Report::table`] is meant for stdout.
///
/// `now` is the time since some fixed moment; the table's rate comes from it.
///
/// # Errors
/// When the episodes or the world cannot be read, do not fit each other, or hold no start.
pub fn run(
    model: &mut dyn Rollout,
    args: &RolloutArgs,
    now: &dyn Fn() -> Duration,
) -> Result<Report> {
    let held = Held::read_sized(&args.episodes, model.size())?;
    let mut bench = Bench {
        model,
        held: &held,
        starts: usize::try_from(args.limit)?,
        history: usize::try_from(args.history)?,
        seed: args.seed,
        now,
    };
    let (rollout, strip) = rollout::measure(&mut bench)?;
    if let Some(path) = &args.strip {
        strip.write(path).with_context(|| format!("write {}", path.display()))?;
    }
    let steer = steer::measure(&mut bench)?;
    let frames = drift::frames_in(args.minutes, held.fps);
    let drift = if frames == 0 {
        None
    } else {
        let size = (u32::try_from(held.width)?, u32::try_from(held.height)?);
        let read = |dir: &PathBuf| Held::read_sized(dir, Some(size));
        let random = args.random_play.as_ref().map(read).transpose()?;
        let wander = &mut input::Wander::new(args.seed);
        Some(drift::measure(&mut bench, wander, frames, random.as_ref())?)
    };
    let report = Report { rollout, steer, drift };
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))?;
    }
    Ok(report)
}

/// A progress bar on stderr; nothing where that is no terminal.
fn progress(length: usize, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}, {per_sec}, {eta} left")
        .expect("the template is sound");
    ProgressBar::new(length as u64).with_message(what).with_style(style)
}

fn some_starts(starts: Vec<Start>, what: &str) -> Result<Vec<Start>> {
    ensure!(
        !starts.is_empty(),
        "expected held-out play with {what}, got none; record longer episodes or lower --history"
    );
    Ok(starts)
}
