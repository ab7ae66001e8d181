//! Two reports held against each other, walk by walk.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::figures::{interval_by_episode, mean_of};
use super::report::interval;
use super::trial::Split;
use super::unit::{FORMAT, FrameScore, Header, Key, Unit};
use crate::bench::revisit::Interval;

/// Loss that counts, in decibels of PSNR: less cannot be seen.
const PSNR_LOSS: f64 = 0.1;
/// Loss that counts, of SSIM.
const SSIM_LOSS: f64 = 0.005;
/// Largest report that is read.
const BYTES_MAX: u64 = 4 << 30;

/// What came of a comparison.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The table, in Markdown.
    pub table: String,
    /// Arms that are worse, by task and schedule.
    pub worse: Vec<String>,
}

/// The part of a report that is compared.
#[derive(Deserialize)]
struct Stored {
    header: Header,
    units: Vec<Unit>,
}

impl Stored {
    fn read(path: &Path) -> Result<Self> {
        let name = path.display();
        let bytes = std::fs::metadata(path).with_context(|| format!("open {name}"))?.len();
        ensure!(bytes <= BYTES_MAX, "expected at most {BYTES_MAX} bytes, got {bytes}: {name}");
        let text = std::fs::read(path).with_context(|| format!("read {name}"))?;
        let stored: Self = serde_json::from_slice(&text)
            .with_context(|| format!("expected a report.json of `bench packing`: {name}"))?;
        let format = &stored.header.format;
        ensure!(format == FORMAT, "expected a report of {FORMAT}, got {format}: {name}");
        Ok(stored)
    }
}

/// Compares the walks that both reports hold. An arm is worse where the whole 95 % interval of its differences lies
/// below zero and their mean below -0.1 dB of PSNR, or -0.005 of SSIM.
///
/// # Errors
/// When a report cannot be read, or they hold no walk in common.
pub fn compare(before: &Path, after: &Path) -> Result<Comparison> {
    let (old, new) = (Stored::read(before)?, Stored::read(after)?);
    let known: BTreeMap<&Key, &Unit> = old.units.iter().map(|unit| (&unit.key, unit)).collect();
    let mut pairs: BTreeMap<[String; 3], Vec<(&Unit, &Unit)>> = BTreeMap::new();
    for unit in new.units.iter().filter(|unit| unit.key.split == Split::Test) {
        let Some(&other) = known.get(&unit.key) else { continue };
        let places = |unit: &Unit| unit.frames.iter().map(|frame| frame.ahead).collect::<Vec<_>>();
        ensure!(
            places(unit) == places(other),
            "expected walks of one length, got others: {} and {} were made with other settings",
            before.display(),
            after.display()
        );
        let Key { task, schedule, arm, .. } = &unit.key;
        let place = [task.to_string(), schedule.clone(), arm.clone()];
        pairs.entry(place).or_default().push((other, unit));
    }
    ensure!(
        !pairs.is_empty(),
        "expected the same walks in both reports, got none: {} and {}",
        before.display(),
        after.display()
    );
    Ok(Comparison::of(&pairs))
}

impl Comparison {
    fn of(pairs: &BTreeMap<[String; 3], Vec<(&Unit, &Unit)>>) -> Self {
        let mut table = String::from(
            "| task | schedule | history by | PSNR, dB | SSIM | walks | |\n|---|---|---|---|---|---|---|\n",
        );
        let mut worse = Vec::new();
        for (place, pairs) in pairs {
            let [psnr, ssim] =
                [difference(pairs, |frame| frame.psnr), difference(pairs, |frame| frame.ssim)];
            let lost = |gain: Interval, loss: f64| gain.high < 0.0 && gain.mean < -loss;
            let is_worse = lost(psnr, PSNR_LOSS) || lost(ssim, SSIM_LOSS);
            let [task, schedule, arm] = place;
            let _ = writeln!(
                table,
                "| {task} | {schedule} | {arm} | {} | {:+.3} ({:+.3} to {:+.3}) | {} | {} |",
                interval(psnr),
                ssim.mean,
                ssim.low,
                ssim.high,
                pairs.len(),
                if is_worse { "worse" } else { "" }
            );
            if is_worse {
                worse.push(format!("{arm} in {task} under {schedule}"));
            }
        }
        Self { table, worse }
    }
}

fn difference(pairs: &[(&Unit, &Unit)], value: fn(&FrameScore) -> f64) -> Interval {
    let differences = pairs
        .iter()
        .map(|(old, new)| (new.key.episode.clone(), mean_of(new, value) - mean_of(old, value)));
    interval_by_episode(differences, 0).expect("every place has walks")
}
