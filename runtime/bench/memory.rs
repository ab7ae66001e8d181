//! Whether a section costs the same however much is remembered: `oneiro bench memory`.
//!
//! Two walks through one world in one run: the first remembers little, the second much. A section of
//! the one is made beside a section of the other, taking turns at going first, so that whatever
//! else the machine does hits both alike, and pairs of sections are what is drawn anew in the
//! bootstrap.

pub mod dreamed;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use engine::noise::Random;
use serde::Serialize;

use super::revisit::Interval;
use crate::clock::Clock;
use crate::resident::rss_mb;

/// Frames that the first walk remembers when it begins.
pub const FEW: usize = 100;
/// Pairs of sections before the first that counts: caches fill.
const WARM_UP: usize = 8;
/// Times that the pairs are drawn anew.
const DRAWS: usize = 2000;
/// Most that remembering may cost, as a ratio of section times.
const AIM_RATIO: f64 = 1.05;
/// Longest that a ranking of 10 000 frames may take on one core, in milliseconds.
const AIM_RANKING_MS: f64 = 2.0;

/// A walk under test.
pub trait Walk {
    /// Makes the next section.
    ///
    /// # Errors
    /// When the world cannot make one.
    fn section(&mut self) -> Result<Times>;

    /// Frames remembered now.
    fn remembered(&self) -> usize;
}

/// What one section took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// All stages, from the estimate to remembering.
    pub section: Duration,
    /// Of that the ranking alone.
    pub ranking: Duration,
    /// Of that the encoding of groups.
    pub encoding: Duration,
    /// Groups that had to be encoded.
    pub encoded: usize,
}

/// Options of `bench memory`.
#[derive(Args, Clone, Debug)]
pub struct MemoryBenchArgs {
    /// Folder of the world, or the name of one that came with the program
    #[arg(long, value_name = "WORLD", default_value = "doom-rooms")]
    pub world: PathBuf,
    /// Frames that the second walk remembers; the first begins with 100
    #[arg(long, value_name = "N", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(200..=100_000))]
    pub frames: u32,
    /// Sections of each walk
    #[arg(long, value_name = "N", default_value_t = 200,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub sections: u32,
    /// Seed of what is remembered, of the noise and of the bootstrap
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Write the figures to this file as well
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Figures of one walk; times in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Frames remembered when it began.
    pub remembered: usize,
    /// And when it ended.
    pub remembered_last: usize,
    /// Median time of a section.
    pub section_ms: f64,
    /// Median time of a ranking.
    pub ranking_ms: f64,
    /// What 95 of 100 rankings stay at or below.
    pub ranking_ms_p95: f64,
    /// Mean time in which groups were encoded for a section.
    pub encoding_ms: f64,
    /// Mean number of groups encoded for a section.
    pub encoded: f64,
}

/// Memory held by the process in MB of a million bytes; `None` where the system does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Resident {
    /// With the world, before the second walk remembered anything.
    pub before: Option<f64>,
    /// With all that it remembers.
    pub filled: Option<f64>,
    /// After the last section; each walk keeps keys and values of its own under a budget.
    pub after: Option<f64>,
}

/// All figures of one run.
#[derive(Clone, Debug, Serialize)]
pub struct MemoryReport {
    /// Of the walk that remembers little, and of the one that remembers much.
    pub walks: [Figures; 2],
    /// Sections of each.
    pub sections: usize,
    /// Median section time of the second over that of the first.
    pub ratio: Interval,
    /// The same of section times less the encoding of groups: who remembers much sees views come back that were not
    /// shown lately, whose groups have to be encoded, however they were found.
    pub ratio_but_encoding: Interval,
    /// Memory over the run.
    pub rss_mb: Resident,
}

/// Runs the benchmark on the world that `args` name.
///
/// # Errors
/// When the world cannot be read or dreamed, or the file not be written.
pub fn run(args: &MemoryBenchArgs, clock: &Clock) -> Result<MemoryReport> {
    let source = dreamed::Source::open(&args.world, args.seed, clock)?;
    let mut few = source.walk(FEW)?;
    let before = rss_mb();
    let mut many = source.walk(usize::try_from(args.frames)?)?;
    let filled = rss_mb();
    let mut report =
        measure(&mut [&mut few, &mut many], usize::try_from(args.sections)?, args.seed)?;
    report.rss_mb = Resident { before, filled, after: rss_mb() };
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))?;
    }
    Ok(report)
}

/// Makes `sections` sections of both walks, side by side.
///
/// # Errors
/// When one of them fails.
fn measure(walks: &mut [&mut dyn Walk; 2], sections: usize, seed: u64) -> Result<MemoryReport> {
    let remembered = [walks[0].remembered(), walks[1].remembered()];
    let bar = super::progress(sections, "pairs of sections");
    let mut pairs = Vec::with_capacity(sections);
    for number in 0..WARM_UP + sections {
        let mut pair = [Times::default(); 2];
        let first = number % 2;
        for walk in [first, 1 - first] {
            pair[walk] = walks[walk].section()?;
        }
        if number >= WARM_UP {
            pairs.push(pair);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let figures = [0, 1].map(|walk| {
        let times: Vec<Times> = pairs.iter().map(|pair| pair[walk]).collect();
        Figures::new(&times, [remembered[walk], walks[walk].remembered()])
    });
    let but_encoding = |times: Times| times.section.saturating_sub(times.encoding);
    Ok(MemoryReport {
        walks: figures,
        sections,
        ratio: ratio(&pairs, seed, |times| times.section),
        ratio_but_encoding: ratio(&pairs, seed, but_encoding),
        rss_mb: Resident::default(),
    })
}

impl Figures {
    fn new(times: &[Times], [remembered, remembered_last]: [usize; 2]) -> Self {
        let of = |part: fn(&Times) -> Duration| times.iter().map(part).map(ms).collect::<Vec<_>>();
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        Self {
            remembered,
            remembered_last,
            section_ms: percentile(&mut of(|times| times.section), 50),
            ranking_ms: percentile(&mut of(|times| times.ranking), 50),
            ranking_ms_p95: percentile(&mut of(|times| times.ranking), 95),
            encoding_ms: mean(of(|times| times.encoding)),
            encoded: mean(times.iter().map(|times| times.encoded as f64).collect()),
        }
    }
}

/// The ratio of both walks' median times, and its percentile interval when whole pairs are drawn
/// with replacement.
fn ratio(pairs: &[[Times; 2]], seed: u64, part: impl Fn(Times) -> Duration) -> Interval {
    let pairs: Vec<[f64; 2]> = pairs.iter().map(|pair| pair.map(|times| ms(part(times)))).collect();
    let of = |drawn: &mut dyn Iterator<Item = [f64; 2]>| {
        let (mut few, mut many): (Vec<_>, Vec<_>) = drawn.map(|[few, many]| (few, many)).unzip();
        percentile(&mut many, 50) / percentile(&mut few, 50)
    };
    let mut random = Random::new(seed, 0);
    let mut ratios: Vec<f64> = (0..DRAWS)
        .map(|_| of(&mut (0..pairs.len()).map(|_| pairs[random.below(pairs.len())])))
        .collect();
    ratios.sort_by(f64::total_cmp);
    Interval {
        mean: of(&mut pairs.iter().copied()),
        low: ratios[DRAWS / 40],
        high: ratios[DRAWS - 1 - DRAWS / 40],
    }
}

/// The smallest of the values that `per_cent` of them stay at or below.
fn percentile(values: &mut [f64], per_cent: usize) -> f64 {
    let at = (values.len() * per_cent).div_ceil(100).max(1) - 1;
    *values.select_nth_unstable_by(at, f64::total_cmp).1
}

fn ms(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e6
}

impl MemoryReport {
    /// The table in Markdown.
    pub fn table(&self) -> String {
        let mut text = String::from(
            "| frames remembered | section, median | ranking, median | ranking, p95 | encoded for a section, mean |\n|---|---|---|---|---|\n",
        );
        for walk in &self.walks {
            let Figures { remembered, remembered_last, .. } = walk;
            let _ = writeln!(
                text,
                "| {remembered} to {remembered_last} | {:.2} ms | {:.3} ms | {:.3} ms | {:.1} groups in {:.2} ms |",
                walk.section_ms,
                walk.ranking_ms,
                walk.ranking_ms_p95,
                walk.encoded,
                walk.encoding_ms
            );
        }
        let Interval { mean, low, high } = self.ratio;
        let _ = writeln!(
            text,
            "\nsection time, much over little: {mean:.3} ({low:.3} to {high:.3}, 95 % interval; aim: at most {AIM_RATIO})"
        );
        let Interval { mean, low, high } = self.ratio_but_encoding;
        let _ = writeln!(
            text,
            "without the encoding of groups, which what comes back anew brings: {mean:.3} ({low:.3} to {high:.3})"
        );
        let [_, many] = &self.walks;
        let _ = writeln!(
            text,
            "ranking {} frames: {:.3} ms (aim: 10000 in less than {AIM_RANKING_MS} ms on one core)",
            many.remembered, many.ranking_ms
        );
        let mb = |mb: Option<f64>| mb.map_or("unknown".to_owned(), |mb| format!("{mb:.0} MB"));
        let Resident { before, filled, after } = self.rss_mb;
        let _ = writeln!(
            text,
            "resident memory: {} before, {} with {} frames, {} after {} sections of each walk",
            mb(before),
            mb(filled),
            many.remembered,
            mb(after),
            self.sections
        );
        text
    }
}
