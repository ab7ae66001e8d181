//! A walk without a window: as fast as it goes, every frame recorded.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::clock::Clock;
use crate::gate::{Gate, Pass};
use crate::hash::FramesHash;
use crate::pace::Pace;
use crate::record::{Full, Opening, Recorder};
use crate::stats::SharedStats;
use crate::stream::{Publish, Section, Stream};
use crate::walk::{Plan, Walked};

/// Walks `plan.frames` frames, rounded up to whole sections, and records them into `out`.
///
/// # Errors
/// When the world cannot be opened, a stage fails or the session cannot be written.
pub fn run(plan: Plan, out: &Path) -> Result<Walked> {
    let frames = plan.frames.context("a walk without a window needs a number of frames")?;
    let clock = Clock::real();
    let spinner = ProgressBar::new_spinner();
    let mut dream = (plan.dream)(&mut |stage| {
        spinner.set_message(stage);
        spinner.tick();
    })?;
    spinner.finish_and_clear();
    let facts = dream.facts().clone();
    let mut steer = plan.steer;
    let opening = Opening { number: 0, frame: dream.opening(), at: clock.now(), shown_at: None };
    let recorder = Recorder::start(out, &facts, opening, Full::Wait)?;
    let stats = SharedStats::default();
    let mut sink = Headless {
        recorder,
        hash: FramesHash::default(),
        stats: stats.clone(),
        clock: clock.clone(),
        progress: progress(frames),
        frames,
    };
    let mut stream = Stream {
        dream: dream.as_mut(),
        steer: steer.as_mut(),
        publish: &mut sink,
        pace: Pace::unpaced(facts.section_frames),
        effort: None,
        gate: Gate::default(),
        clock,
        stats: stats.clone(),
    };
    let ended = stream.run();
    sink.progress.finish_and_clear();
    // A writer that failed knows better why the walk ended than the walk does.
    let recording = sink.recorder.finish()?;
    ended?;
    let figures = stats.lock().figures(sink.hash.finish());
    Ok(Walked { figures, recordings: vec![recording], headless: true })
}

/// Where the sections of a headless walk go.
struct Headless {
    recorder: Recorder,
    hash: FramesHash,
    stats: SharedStats,
    clock: Clock,
    progress: ProgressBar,
    frames: u64,
}

impl Publish for Headless {
    fn publish(&mut self, section: &Section) -> Result<Pass> {
        for frame in &section.frames {
            self.hash.add(frame);
        }
        let made = u64::try_from(section.frames.len())?;
        self.progress.inc(made);
        self.recorder.add(section, |_| None);
        if self.recorder.failed() {
            bail!("the session can no longer be written");
        }
        // Handed on is as shown as it gets here.
        let now = self.clock.now();
        let mut stats = self.stats.lock();
        stats.presented(section.polled_at, now, false);
        stats.resident(now);
        drop(stats);
        let done = section.first + made > self.frames;
        Ok(if done { Pass::Leave } else { Pass::Go })
    }
}

/// A bar on a terminal's standard error; invisible elsewhere.
pub(crate) fn progress(frames: u64) -> ProgressBar {
    let style = "{bar:40} {pos}/{len} frames, {per_sec}, {eta} left";
    let bar = ProgressBar::new(frames);
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar
}
