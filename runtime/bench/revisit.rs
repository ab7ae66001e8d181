//! Whether memory brings back what was seen: `oneiro bench revisit`.
//!
//! A *walk* is a stretch of a held-out episode whose end shows again what its beginning showed. The
//! outward leg is real history, and all that memory holds; the way back is dreamed from actions
//! alone. Each arm picks history in its own way and dreams the same walks with the same noise, so
//! that arms are compared in pairs, and episodes are what is drawn anew in the bootstrap: walks
//! through one maze have its difficulty in common.
//!
//! Three arms are the hybrid with one thing changed: *reckoned* knows where the actions have led, as
//! worlds are played, *preview* ranks against what the network expects to see instead of the newest
//! frame, and *restarted* goes on in a program started anew, which knows no more than what the file
//! kept and its last moments ([`restart`]).

pub mod dreamed;
mod paired;
pub mod restart;
#[cfg(test)]
mod tests;
mod walks;

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use input::{Action, Episode, Pose};
use serde::Serialize;

pub(super) use self::dreamed::view_of;
pub use self::paired::{Interval, paired_interval};
pub(super) use self::walks::nearness;
pub use self::walks::{Target, Walk, WalkRule, find_walks};
use super::metric::{self, Picture};
use super::strip::Strip;

/// Pictures of a walk in the strip.
const STRIP_PICTURES: usize = 6;
/// Walks in the strip.
const STRIP_WALKS: usize = 4;

/// How history is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The recent window alone; nothing is retrieved.
    None,
    /// The newest frames before the recent window, half a second apart.
    Time,
    /// Cosine with the estimate (eq. 3).
    Cosine,
    /// Cosine and nearness in time (eq. 3-5).
    Hybrid,
    /// The hybrid, and nearness of the places that the actions led to: as the world plays.
    Reckoned,
    /// Greedy cover of the coming view, from recorded poses.
    Pose,
    /// The hybrid, with one evaluation of the network for what is to come.
    Preview,
    /// The hybrid, across a restart of the program.
    Restarted,
}

impl Arm {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::Time,
        Self::Cosine,
        Self::Hybrid,
        Self::Reckoned,
        Self::Pose,
        Self::Preview,
        Self::Restarted,
    ];

    /// Those that change one thing about [`Self::Hybrid`], and are held against it as well.
    pub const VARIANTS: [Self; 3] = [Self::Reckoned, Self::Preview, Self::Restarted];

    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Time => "time only",
            Self::Cosine => "cosine only",
            Self::Hybrid => "hybrid",
            Self::Reckoned => "hybrid, reckoned",
            Self::Pose => "pose overlap",
            Self::Preview => "hybrid, preview",
            Self::Restarted => "hybrid, restarted",
        }
    }

    /// Its place in [`Self::ALL`].
    fn at(self) -> usize {
        Self::ALL.iter().position(|&arm| arm == self).expect("it is one of them")
    }
}

/// A world under test that remembers.
pub trait Revisit {
    /// Width and height of its pictures, where they are always the same: episodes are brought to it.
    fn size(&self) -> Option<(u32, u32)> {
        None
    }

    /// Forgets everything and takes the outward leg as history; entry `i` of each list is of one
    /// frame, pictures being `(height, width, 3)` bytes.
    ///
    /// # Errors
    /// When the world cannot take them.
    fn go_out(&mut self, frames: &[&[u8]], actions: &[Action], poses: &[Pose]) -> Result<()>;

    /// Back at the end of the outward leg, history from now on picked by `arm`.
    ///
    /// # Errors
    /// When nothing was taken before.
    fn turn_back(&mut self, arm: Arm) -> Result<()>;

    /// The frame that follows when this action is applied, which leads to `pose`.
    ///
    /// # Errors
    /// When the world cannot make one.
    fn next(&mut self, action: &Action, pose: Pose) -> Result<Vec<u8>>;
}

/// Options of `bench revisit`.
#[derive(Args, Clone, Debug)]
pub struct RevisitArgs {
    /// Folder of the world, or the name of one that came with the program
    #[arg(long, value_name = "WORLD", default_value = "doom-rooms")]
    pub world: PathBuf,
    /// Held-out episodes with poses that go out and come back
    #[arg(long, value_name = "DIR")]
    pub episodes: PathBuf,
    /// Walks in all, spread evenly over the episodes
    #[arg(long, value_name = "N", default_value_t = 80,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub walks: u32,
    /// Frames dreamed in each walk
    #[arg(long, value_name = "N", default_value_t = 32,
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub dream: u32,
    /// Least frames between a view and its return
    #[arg(long, value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(32..=10_000))]
    pub gap: u32,
    /// Seed of the noise and of the bootstrap
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Write the figures to this file as well, walk by walk
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Draw real frames above the dreamed ones of each arm into this picture
    #[arg(long, value_name = "FILE.png")]
    pub strip: Option<PathBuf>,
}

/// Bounds of the buckets of gaps, in frames: from each to the next.
pub(super) const BUCKETS: [usize; 3] = [64, 128, 256];

/// What one arm made of one walk's return.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Score {
    /// Mean over the walk's returned views of [`metric::psnr`], in decibels.
    pub psnr: f64,
    /// Mean of [`metric::ssim`].
    pub ssim: f64,
    /// PSNR of each returned view, with its gap in frames.
    pub views: Vec<(usize, f64)>,
}

/// One walk under every arm.
#[derive(Clone, Debug, Serialize)]
pub struct Walked {
    /// Index of the episode.
    pub episode: usize,
    /// Its newest real frame.
    pub cut: usize,
    /// In the order of [`Arm::ALL`].
    pub scores: Vec<Score>,
}

/// All figures of one run.
#[derive(Clone, Debug, Serialize)]
pub struct RevisitReport {
    /// Every walk.
    pub walks: Vec<Walked>,
    /// Episodes they lie in.
    pub episodes: usize,
    /// Gain of each arm of [`Arm::ALL`] over [`Arm::Time`] in decibels, with its interval.
    pub gains: Vec<Interval>,
    /// Gain of each arm of [`Arm::VARIANTS`] over [`Arm::Hybrid`].
    pub gains_over_hybrid: Vec<Interval>,
}

/// Runs the benchmark on `model`.
///
/// # Errors
/// When the episodes cannot be read, have no poses or never return, or the world fails.
pub fn run(model: &mut dyn Revisit, args: &RevisitArgs) -> Result<RevisitReport> {
    let paths = input::episodes_in(&args.episodes)?;
    ensure!(!paths.is_empty(), "expected recorded play in {}", args.episodes.display());
    let rule = WalkRule { gap: args.gap as usize, dream: args.dream as usize };
    let wanted = args.walks as usize;
    // Fewer walks than episodes are spread over all of them.
    let paths: Vec<_> = paths.iter().step_by((paths.len() / wanted).max(1)).take(wanted).collect();
    let each = wanted.div_ceil(paths.len());
    let bar = super::progress(paths.len(), "episodes walked");
    let (mut walked, mut strip) = (Vec::new(), None);
    for (number, path) in paths.into_iter().enumerate() {
        let episode = match model.size() {
            Some((width, height)) => Episode::open_sized(path, width, height)?,
            None => Episode::open(path)?,
        };
        let poses = episode.poses.clone();
        let poses = poses.with_context(|| format!("expected poses in {}", path.display()))?;
        for walk in find_walks(&poses, rule, each) {
            let strip = strip
                .get_or_insert_with(|| Strip::new(episode.width as usize, episode.height as usize));
            let shown = walked.len() < STRIP_WALKS;
            let scores = walk_all(model, &episode, &poses, &walk, shown.then_some(strip))?;
            walked.push(Walked { episode: number, cut: walk.cut, scores });
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    ensure!(
        !walked.is_empty(),
        "expected play that comes back to what it saw {} frames before, got none in {}",
        args.gap,
        args.episodes.display()
    );
    if let (Some(path), Some(strip)) = (&args.strip, &strip) {
        strip.write(path).with_context(|| format!("write {}", path.display()))?;
    }
    let report = RevisitReport::new(walked, args.seed);
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))?;
    }
    Ok(report)
}

/// One walk under every arm; real and dreamed frames go into the strip, if there is one.
fn walk_all(
    model: &mut dyn Revisit,
    episode: &Episode,
    poses: &[Pose],
    walk: &Walk,
    mut strip: Option<&mut Strip>,
) -> Result<Vec<Score>> {
    let leg = walk.first..walk.cut + 1;
    let frames: Vec<&[u8]> = leg.clone().map(|t| episode.frame(t)).collect();
    model.go_out(&frames, &episode.actions[leg.clone()], &poses[leg])?;
    let every = walk.dream.div_ceil(STRIP_PICTURES);
    let shown: Vec<usize> = (1..=walk.dream).step_by(every).collect();
    if let Some(strip) = &mut strip {
        strip.row(&shown.iter().map(|ahead| episode.frame(walk.cut + ahead)).collect::<Vec<_>>());
    }
    let mut scores = Vec::new();
    for arm in Arm::ALL {
        model.turn_back(arm)?;
        let mut dreamed = Vec::new();
        let back = walk.cut + 1..walk.cut + 1 + walk.dream;
        for (action, pose) in episode.actions[back.clone()].iter().zip(&poses[back]) {
            dreamed.push(model.next(action, *pose)?);
        }
        scores.push(score(episode, walk, &dreamed)?);
        if let Some(strip) = &mut strip {
            strip.row(&shown.iter().map(|ahead| &dreamed[ahead - 1][..]).collect::<Vec<_>>());
        }
    }
    Ok(scores)
}

fn score(episode: &Episode, walk: &Walk, dreamed: &[Vec<u8>]) -> Result<Score> {
    let mut score = Score::default();
    let count = walk.targets.len() as f64;
    for target in &walk.targets {
        let (real, dreamed) = (episode.frame(target.frame), &dreamed[target.frame - walk.cut - 1]);
        ensure!(real.len() == dreamed.len(), "expected a world of the episodes' picture size");
        let width = episode.width as usize;
        let (real, dreamed) = (Picture::new(real, width), Picture::new(dreamed, width));
        let psnr = metric::psnr(dreamed, real);
        score.psnr += psnr / count;
        score.ssim += metric::ssim(dreamed, real) / count;
        score.views.push((target.frame - target.seen, psnr));
    }
    Ok(score)
}

impl RevisitReport {
    fn new(walks: Vec<Walked>, seed: u64) -> Self {
        let gain = |arm: Arm, base: Arm| {
            let psnr = |walk: &Walked, arm: Arm| walk.scores[arm.at()].psnr;
            let gains = walks.iter().map(|walk| (walk.episode, psnr(walk, arm) - psnr(walk, base)));
            paired_interval(&gains.collect::<Vec<_>>(), seed)
        };
        let gains = Arm::ALL.map(|arm| gain(arm, Arm::Time)).to_vec();
        let gains_over_hybrid = Arm::VARIANTS.map(|arm| gain(arm, Arm::Hybrid)).to_vec();
        let mut episodes: Vec<usize> = walks.iter().map(|walk| walk.episode).collect();
        episodes.dedup();
        Self { episodes: episodes.len(), gains, gains_over_hybrid, walks }
    }

    /// The table in Markdown.
    pub fn table(&self) -> String {
        let mut text = String::from(
            "| history by | PSNR | SSIM | gap 64-127 | 128-255 | 256 and more | over time only, 95 % interval | over hybrid |\n|---|---|---|---|---|---|---|---|\n",
        );
        for (at, arm) in Arm::ALL.iter().enumerate() {
            let scores: Vec<&Score> = self.walks.iter().map(|walk| &walk.scores[at]).collect();
            let mean = |value: fn(&Score) -> f64| {
                scores.iter().map(|score| value(score)).sum::<f64>() / scores.len() as f64
            };
            let _ = write!(
                text,
                "| {} | {:.2} dB | {:.3} |",
                arm.name(),
                mean(|s| s.psnr),
                mean(|s| s.ssim)
            );
            for (bucket, &from) in BUCKETS.iter().enumerate() {
                let to = BUCKETS.get(bucket + 1).copied().unwrap_or(usize::MAX);
                let views = scores.iter().flat_map(|score| &score.views);
                let psnrs: Vec<f64> = views
                    .filter(|(gap, _)| (from..to).contains(gap))
                    .map(|(_, psnr)| *psnr)
                    .collect();
                let _ = match psnrs.len() {
                    0 => write!(text, " – |"),
                    count => {
                        write!(
                            text,
                            " {:.2} dB ({count}) |",
                            psnrs.iter().sum::<f64>() / count as f64
                        )
                    }
                };
            }
            let over_time = Some(self.gains[at]).filter(|_| *arm != Arm::Time);
            let variant = Arm::VARIANTS.iter().position(|variant| variant == arm);
            let over_hybrid = variant.map(|variant| self.gains_over_hybrid[variant]);
            let _ = writeln!(text, " {} | {} |", cell(over_time), cell(over_hybrid));
        }
        let _ = writeln!(
            text,
            "\n{} walks in {} episodes; views that came back are counted in brackets.",
            self.walks.len(),
            self.episodes
        );
        text
    }
}

fn cell(gain: Option<Interval>) -> String {
    gain.map_or_else(String::new, |Interval { mean, low, high }| {
        format!("{mean:+.2} dB ({low:+.2} to {high:+.2})")
    })
}
