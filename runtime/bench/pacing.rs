//! Whether the loop keeps its beat and answers in time: `oneiro bench loop`.
//!
//! A walk as the window walks it, without the window: this thread presses keys at random moments, and
//! takes each frame when it is due, as a screen would show it. So everything between a touch and the
//! picture is measured but the graphics card and the screen.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use engine::noise::Random;
use input::Key;
use serde::Serialize;

use crate::cli::Steps;
use crate::controls::Controls;
use crate::dream::Facts;
use crate::histogram::{Histogram, Percentiles};
use crate::host;
use crate::recall::Place;
use crate::record::Recording;
use crate::stats::Figures;
use crate::steer::ByHand;
use crate::walk::{News, Plan, Walk};
use crate::world::{self, Beginning};
use crate::worlds;

/// What is pressed.
const KEYS: [Key; 4] = [Key::W, Key::Left, Key::Right, Key::D];
/// Milliseconds between one touch and the next: from quick taps to slow turns.
const TOUCH_MS: (u64, u64) = (60, 400);
/// Sections that nothing new may be shown for.
const STALL_SECTIONS: f64 = 2.0;
/// Longest sleep: how late a due frame is noticed.
const TICK: Duration = Duration::from_millis(1);

/// Options of `bench loop`.
#[derive(Args, Clone, Debug)]
pub struct LoopArgs {
    /// Folder of the world, or the name of one that came with the program
    #[arg(long, value_name = "WORLD", default_value = "doom-rooms")]
    pub world: PathBuf,
    /// Seconds of play
    #[arg(long, value_name = "N", default_value_t = 60,
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Evaluations of the network for each section, or auto [default: the world's own]
    #[arg(long, value_name = "N|auto", value_parser = crate::cli::parse_steps)]
    pub steps: Option<Steps>,
    /// Seed of the noise and of the touches
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Write the figures to this file as well
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// A time without a new picture that players notice.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Stall {
    /// Seconds after the opening, at its end.
    pub at: f64,
    /// How long it was.
    pub ms: f64,
    /// How much of all processors' time the host of this machine took meanwhile; `None` where that is not known.
    pub stolen_ms: Option<f64>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct LoopReport {
    /// Frames a second in the world itself.
    pub world_fps: f32,
    /// Frames made at a time.
    pub section_frames: u32,
    /// Frames shown.
    pub shown: u64,
    /// Frames that came too late to be shown.
    pub skipped: u64,
    /// From one shown frame to the next.
    pub interval_ms: Percentiles,
    /// The longest of these.
    pub interval_longest_ms: f64,
    /// How long none of them may be.
    pub interval_most_ms: f64,
    /// Those that are longer.
    pub stalls: Vec<Stall>,
    /// The walk's own figures; its latency counts from each touch.
    pub figures: Figures,
    /// What was recorded.
    #[serde(skip)]
    pub recordings: Vec<Recording>,
}

/// Plays for so many seconds and measures.
///
/// # Errors
/// When the world cannot be opened or fails, or the file not be written.
pub fn run(args: &LoopArgs) -> Result<LoopReport> {
    let dir = worlds::find(&args.world)?;
    let controls = Controls::without_pads(&worlds::describe(&dir)?.layout);
    let evaluations = match args.steps {
        Some(Steps::Fixed(evaluations)) => Some(evaluations),
        Some(Steps::Auto) | None => None,
    };
    let beginning = Beginning { seed: args.seed, evaluations, start: None, memory: Place::Nowhere };
    let plan = Plan {
        dream: world::opener(dir, beginning),
        steer: Box::new(ByHand::new(controls.clone())),
        frames: None,
        sessions: PathBuf::new(),
        auto_steps: args.steps == Some(Steps::Auto),
    };
    let report = play(plan, &controls, Duration::from_secs(args.seconds), args.seed)?;
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))?;
    }
    Ok(report)
}

/// Walks as `plan` says, touching `controls`, for `lasts` after the opening.
///
/// # Errors
/// When the walk fails.
pub fn play(plan: Plan, controls: &Controls, lasts: Duration, seed: u64) -> Result<LoopReport> {
    walk(Walk::start(plan, Box::new(|| ()))?, controls, lasts, seed)
}

/// The same, recorded from the beginning.
///
/// # Errors
/// When the walk fails.
pub fn record(plan: Plan, controls: &Controls, lasts: Duration, seed: u64) -> Result<LoopReport> {
    let begun = Walk::start(plan, Box::new(|| ()))?;
    begun.gate.set_recording(true);
    walk(begun, controls, lasts, seed)
}

fn walk(walk: Walk, controls: &Controls, lasts: Duration, seed: u64) -> Result<LoopReport> {
    let facts = loop {
        match walk.news.recv().context("the walk ended before it began")? {
            News::Ready(facts, _) => break facts,
            News::Ended(Err(error)) => return Err(error),
            News::Starting(_) | News::Notice(_) | News::Ended(Ok(())) => {}
        }
    };
    let bar = super::progress(usize::try_from(lasts.as_secs())?, "seconds of play");
    let (mut random, mut intervals) = (Random::new(seed, 0), Histogram::default());
    let began = walk.clock.now();
    let (mut touch_at, mut held) = (began, None);
    let (mut shown, mut last, mut longest) = (0, None, Duration::ZERO);
    let (most, mut stalls) = (stall(&facts), Vec::new());
    while walk.clock.now() < began + lasts {
        let now = walk.clock.now();
        while let Ok(news) = walk.news.try_recv() {
            match news {
                News::Ended(Err(error)) => return Err(error),
                News::Ended(Ok(())) => bail!("the walk ended by itself"),
                News::Starting(_) | News::Notice(_) | News::Ready(..) => {}
            }
        }
        if now >= touch_at {
            touch(controls, &mut held, &mut random, now);
            let span = usize::try_from(TOUCH_MS.1 - TOUCH_MS.0)?;
            let wait = TOUCH_MS.0 + u64::try_from(random.below(span))?;
            touch_at = now + Duration::from_millis(wait);
        }
        if let Some(frame) = walk.queue.newest_due(now) {
            walk.note_shown(&frame, now);
            let stolen = host::stolen();
            if let Some((before, stolen_before)) = last.replace((now, stolen)) {
                let interval = now.saturating_sub(before);
                intervals.record(interval);
                longest = longest.max(interval);
                if interval > most {
                    let stolen_ms =
                        stolen.zip(stolen_before).map(|(after, before): (Duration, _)| {
                            1e3 * after.saturating_sub(before).as_secs_f64()
                        });
                    let at = now.saturating_sub(began).as_secs_f64();
                    stalls.push(Stall { at, ms: 1e3 * interval.as_secs_f64(), stolen_ms });
                }
            }
            shown += 1;
            walk.stats.lock().resident(now);
        }
        bar.set_position(now.saturating_sub(began).as_secs());
        std::thread::sleep(TICK);
    }
    bar.finish_and_clear();
    let skipped = walk.queue.skipped();
    let walked = walk.leave();
    Ok(LoopReport {
        world_fps: facts.fps,
        section_frames: facts.section_frames,
        shown,
        skipped,
        interval_ms: intervals.percentiles(),
        interval_longest_ms: longest.as_secs_f64() * 1e3,
        interval_most_ms: most.as_secs_f64() * 1e3,
        stalls,
        figures: walked.figures,
        recordings: walked.recordings,
    })
}

/// How long a time without a new picture may be.
fn stall(facts: &Facts) -> Duration {
    Duration::from_secs_f64(STALL_SECTIONS * f64::from(facts.section_frames) / f64::from(facts.fps))
}

/// Lets go of the key that is held, or presses another.
fn touch(controls: &Controls, held: &mut Option<Key>, random: &mut Random, now: Duration) {
    match held.take() {
        Some(key) => controls.key(key, false, now),
        None => {
            let key = KEYS[random.below(KEYS.len())];
            controls.key(key, true, now);
            *held = Some(key);
        }
    }
}

impl LoopReport {
    /// Most that 95 of 100 touches may wait for their picture: a section and one and a half ticks.
    pub fn aim_ms(&self) -> f64 {
        let tick = 1e3 / f64::from(self.world_fps);
        (f64::from(self.section_frames) + 1.5) * tick
    }

    /// The tables in Markdown.
    pub fn table(&self) -> String {
        let figures = &self.figures;
        let mut text = String::from("| figure | p50 | p95 | p99 |\n|---|---|---|---|\n");
        let mut line = |name: &str, Percentiles { p50, p95, p99 }: &Percentiles| {
            let _ = writeln!(text, "| {name} | {p50:.1} ms | {p95:.1} ms | {p99:.1} ms |");
        };
        line("from frame to frame", &self.interval_ms);
        line("from touch to picture", &figures.touch_to_present_ms);
        for (name, times) in figures.stages_ms.iter().filter(|(name, _)| *name != "present") {
            line(name, times);
        }
        let _ = writeln!(
            text,
            "\n{} frames shown, {} skipped, {} sections late, longest interval {:.0} ms; \
             {:.1} frames/s made, {:.1} in the worst ten seconds (the world's own rate: {})\n\
             touch to picture: {:.1} ms at p95 (aim: at most {:.1})",
            self.shown,
            self.skipped,
            figures.late_sections,
            self.interval_longest_ms,
            figures.fps,
            figures.fps_worst_10s,
            self.world_fps,
            figures.touch_to_present_ms.p95,
            self.aim_ms(),
        );
        text
    }
}
