//! Whether long play stays as it begins: `oneiro bench soak`.
//!
//! The walk of [`pacing`], remembered and recorded as a player's may be, then looked at: memory held, stalls, clocks,
//! and whether the recording is whole.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use input::{FrameRecord, SessionReader};

use super::pacing::{self, LoopReport, Stall};
use crate::commands;
use crate::controls::Controls;
use crate::recall::Place;
use crate::record::Recording;
use crate::steer::ByHand;
use crate::walk::Plan;
use crate::world::{self, Beginning};
use crate::worlds;

/// Most that memory may grow from the second quarter of the walk to the last, as a share of what is held.
const GROWTH_MAX: f64 = 0.05;

/// Options of `bench soak`.
#[derive(Args, Clone, Debug)]
pub struct SoakArgs {
    /// Folder of the world, or the name of one that came with the program
    #[arg(long, value_name = "WORLD", default_value = "doom-rooms")]
    pub world: PathBuf,
    /// Minutes of play
    #[arg(long, value_name = "N", default_value_t = 60,
          value_parser = clap::value_parser!(u64).range(1..=1440))]
    pub minutes: u64,
    /// Seed of the noise and of the touches
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Keep the session in this folder [default: it is deleted]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct SoakReport {
    /// How the walk went.
    pub played: LoopReport,
    /// What was found, and whether it is as it should be.
    pub checks: Vec<(String, bool)>,
}

/// Plays for so many minutes and looks at what it left.
///
/// # Errors
/// When the world cannot be opened, the walk fails, or something is not as it should be.
pub fn run(args: &SoakArgs) -> Result<()> {
    let dir = worlds::find(&args.world)?;
    let controls = Controls::without_pads(&worlds::describe(&dir)?.layout);
    let passing = tempfile::tempdir().context("a folder for what is remembered and recorded")?;
    let memory = Place::Folder { dir: passing.path().join("memory"), forget: false };
    let beginning = Beginning { seed: args.seed, evaluations: None, start: None, memory };
    let plan = Plan {
        dream: world::opener(dir, beginning),
        steer: Box::new(ByHand::new(controls.clone())),
        frames: None,
        sessions: args.out.clone().unwrap_or_else(|| passing.path().join("sessions")),
        auto_steps: false,
    };
    let lasts = Duration::from_secs(60 * args.minutes);
    let report = soak(plan, &controls, lasts, args.seed)?;
    commands::print(&report.table())?;
    ensure!(report.passed(), "not everything is as it should be");
    Ok(())
}

/// Walks as `plan` says, recording, for `lasts`, and looks at what came of it.
///
/// # Errors
/// When the walk fails, or nothing was recorded.
pub fn soak(plan: Plan, controls: &Controls, lasts: Duration, seed: u64) -> Result<SoakReport> {
    let played = pacing::record(plan, controls, lasts, seed)?;
    let recording = played.recordings.first().context("nothing was recorded")?;
    let session = SessionReader::open(&recording.dir)?;
    let mut checks = vec![memory(&played), stalls(&played), whole(recording, &session)?];
    checks.extend(clocks(session.records()));
    Ok(SoakReport { played, checks })
}

fn memory(played: &LoopReport) -> (String, bool) {
    match played.figures.rss_mb.levels() {
        Some((early, late)) => {
            let growth = late / early - 1.0;
            let text = format!(
                "memory held: {early:.0} MB in the second quarter, {late:.0} MB in the last \
                 ({:+.1} %, at most {:.0} %)",
                100.0 * growth,
                100.0 * GROWTH_MAX
            );
            (text, growth <= GROWTH_MAX)
        }
        None => ("memory held: the system does not tell".to_owned(), true),
    }
}

fn stalls(played: &LoopReport) -> (String, bool) {
    let (longest, most) = (played.interval_longest_ms, played.interval_most_ms);
    let mut text = format!(
        "longest time without a new picture: {longest:.0} ms; {} longer than {most:.0} ms (none may be)",
        played.stalls.len()
    );
    for &Stall { at, ms, stolen_ms } in &played.stalls {
        let _ = write!(text, "\n       {ms:.0} ms, {at:.0} s after the opening");
        if let Some(stolen) = stolen_ms {
            let _ = write!(text, "; the host of this machine took {stolen:.0} ms meanwhile");
        }
    }
    (text, played.stalls.is_empty())
}

fn whole(recording: &Recording, session: &SessionReader) -> Result<(String, bool)> {
    let mut frames = 0;
    for frame in session.video()? {
        frame?;
        frames += 1;
    }
    let Recording { frames: told, lost, .. } = recording;
    let text = format!("recorded: {told} frames, {frames} of them read back, {lost} left out");
    Ok((text, *told == frames && *lost == 0))
}

/// Ticks follow each other, and times run one way: from picture to picture, and from each touch to its picture.
fn clocks(records: &[FrameRecord]) -> [(String, bool); 2] {
    let ticks = records.windows(2).all(|pair| pair[0].tick + 1 == pair[1].tick);
    let shown: Vec<_> = records.iter().filter_map(|record| record.present_time_us).collect();
    let after = |record: &FrameRecord| {
        record.present_time_us.is_none_or(|shown| record.device_time_us <= shown)
    };
    let forward = shown.is_sorted() && records.iter().all(after);
    [
        (format!("ticks: {} in order", records.len()), ticks),
        (format!("clocks: {} pictures shown, each after its touch", shown.len()), forward),
    ]
}

impl SoakReport {
    /// Whether all is as it should be.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|(_, good)| *good)
    }

    /// The tables in Markdown, and what was found below them.
    pub fn table(&self) -> String {
        let mut text = self.played.table();
        let _ = writeln!(text, "\nmemory held {}\n", self.played.figures.rss_mb.text());
        for (found, good) in &self.checks {
            let _ = writeln!(text, "{} {found}", if *good { "ok    " } else { "FAILED" });
        }
        text
    }
}
