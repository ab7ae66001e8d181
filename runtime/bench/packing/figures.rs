//! Figures of finished units: nothing but means, differences in pairs and how sure they are.

use std::collections::BTreeMap;

use serde::Serialize;

use super::arm::Arm;
use super::trial::{Split, Task};
use super::unit::{FrameScore, Key, RECALL_AT, Unit};
use crate::bench::metric::mean;
use crate::bench::revisit::{BUCKETS, Interval, paired_interval};

/// The arm that the others are held against.
pub const BASE: &str = "time";

/// One arm in one task under one schedule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What was asked.
    pub task: Task,
    /// The packing schedule.
    pub schedule: String,
    /// The way of picking history.
    pub arm: String,
    /// Walks, every seed counted.
    pub walks: usize,
    /// Episodes they lie in.
    pub episodes: usize,
    /// Mean over walks of the mean over their frames, in decibels.
    pub psnr: f64,
    /// The same of SSIM.
    pub ssim: f64,
    /// The same of MS-SSIM.
    pub ms_ssim: f64,
    /// The same of LPIPS, where it was measured.
    pub lpips: Option<f64>,
    /// Gain in PSNR over [`BASE`] on the same walks with the same noise, drawn by episode.
    pub gain: Option<Interval>,
    /// Share of the sections with a true-overlap frame to be had for which the first one (four) picked are such.
    pub recall: [Option<f64>; RECALL_AT.len()],
    /// Mean tokens of history.
    pub history_tokens: f64,
    /// Tokens of a section.
    pub section_tokens: usize,
    /// Median over walks of the processor milliseconds of a section.
    pub section_ms: Option<f64>,
    /// Share of the groups whose keys and values were there already.
    pub kv_hits: Option<f64>,
    /// Mean PSNR of each seed, where there are several.
    pub seeds: BTreeMap<u64, f64>,
    /// Mean PSNR in each episode.
    pub by_episode: BTreeMap<String, f64>,
}

/// One weight of nearness in time, on the validation split.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Weighed {
    /// The packing schedule.
    pub schedule: String,
    /// The arm with its weight.
    pub arm: String,
    /// The weight.
    pub weight: f32,
    /// Mean PSNR in each task, in decibels.
    pub tasks: BTreeMap<Task, f64>,
    /// Mean over the tasks: what the weight is chosen by.
    pub psnr: f64,
}

/// A line of a plot: mean PSNR of the frames at each place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curve {
    /// The packing schedule.
    pub schedule: String,
    /// The way of picking history.
    pub arm: String,
    /// Place, mean in decibels and frames.
    pub points: Vec<(usize, f64, usize)>,
}

/// All figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Of the test split.
    pub rows: Vec<Row>,
    /// Of the validation split.
    pub weights: Vec<Weighed>,
    /// PSNR of returned views by [`bucket`] of their gap.
    pub by_gap: Vec<Curve>,
    /// PSNR of rollouts by frames after the last real one.
    pub by_ahead: Vec<Curve>,
}

type Group<'a> = BTreeMap<(Task, String, usize, String), Vec<&'a Unit>>;

impl Figures {
    /// The figures of these units; `seed` draws the bootstrap.
    pub fn of(units: &[Unit], seed: u64) -> Self {
        let mut groups = Group::new();
        for unit in units.iter().filter(|unit| unit.key.split == Split::Test) {
            let Key { task, schedule, arm, .. } = &unit.key;
            let place = (*task, schedule.clone(), place_of(arm), arm.clone());
            groups.entry(place).or_default().push(unit);
        }
        let base: BTreeMap<Key, f64> = units
            .iter()
            .filter(|unit| unit.key.arm == BASE)
            .map(|unit| (unit.key.clone(), mean_of(unit, |frame| frame.psnr)))
            .collect();
        let rows = groups.values().map(|units| row(units, &base, seed)).collect();
        let curves = |task: Task, place: &dyn Fn(&FrameScore) -> Option<usize>| {
            let of_task = groups.iter().filter(|((of, ..), _)| *of == task);
            of_task.map(|(_, units)| curve(units, place)).collect()
        };
        Self {
            rows,
            weights: weighed(units),
            by_gap: curves(Task::Revisit, &|frame| frame.gap.map(bucket)),
            by_ahead: curves(Task::Rollout, &|frame| Some(frame.ahead)),
        }
    }
}

/// The bucket of a gap in frames: 0 below the first of `BUCKETS`, then one for each.
pub fn bucket(gap: usize) -> usize {
    BUCKETS.partition_point(|&from| from <= gap)
}

/// What gaps a bucket holds.
pub fn bucket_name(bucket: usize) -> String {
    let from = bucket.checked_sub(1).map_or(0, |before| BUCKETS[before]);
    match BUCKETS.get(bucket) {
        Some(to) => format!("{from}-{}", to - 1),
        None => format!("{from} and more"),
    }
}

/// The weight that does best on the validation split for arms of one arrangement; of equal ones the smallest.
pub fn best_weight(units: &[Unit], schedule: &str, open: Arm) -> Option<f32> {
    let of_arm = |weighed: &&Weighed| {
        weighed.schedule == schedule && weighed.arm == open.weighing(weighed.weight).to_string()
    };
    let weighed = weighed(units);
    let best = weighed
        .iter()
        .filter(of_arm)
        .min_by(|a, b| b.psnr.total_cmp(&a.psnr).then(a.weight.total_cmp(&b.weight)));
    best.map(|best| best.weight)
}

fn weighed(units: &[Unit]) -> Vec<Weighed> {
    let mut groups: BTreeMap<(String, String), BTreeMap<Task, Vec<f64>>> = BTreeMap::new();
    for unit in units.iter().filter(|unit| unit.key.split == Split::Validation) {
        let place = (unit.key.schedule.clone(), unit.key.arm.clone());
        let psnr = mean_of(unit, |frame| frame.psnr);
        groups.entry(place).or_default().entry(unit.key.task).or_default().push(psnr);
    }
    let of_group = |((schedule, arm), tasks): ((String, String), BTreeMap<Task, Vec<f64>>)| {
        let weight = arm.parse::<Arm>().ok()?.weight()?;
        let tasks: BTreeMap<Task, f64> =
            tasks.into_iter().map(|(task, psnrs)| (task, mean(&psnrs))).collect();
        let psnr = mean(&tasks.values().copied().collect::<Vec<_>>());
        Some(Weighed { schedule, arm, weight, tasks, psnr })
    };
    let mut weighed: Vec<Weighed> = groups.into_iter().filter_map(of_group).collect();
    weighed.sort_by(|a, b| a.schedule.cmp(&b.schedule).then(a.weight.total_cmp(&b.weight)));
    weighed
}

/// Where an arm stands in tables.
fn place_of(arm: &str) -> usize {
    let order = super::arm::NAMES.map(|(name, _)| name);
    let name = arm.split(['@', '+']).next().unwrap_or(arm);
    order.iter().position(|known| *known == name).unwrap_or(order.len())
}

/// The mean of a walk's frames.
pub fn mean_of(unit: &Unit, value: impl Fn(&FrameScore) -> f64) -> f64 {
    mean(&unit.frames.iter().map(value).collect::<Vec<_>>())
}

fn row(units: &[&Unit], base: &BTreeMap<Key, f64>, seed: u64) -> Row {
    let key = &units[0].key;
    let over = |value: fn(&FrameScore) -> f64| {
        mean(&units.iter().map(|unit| mean_of(unit, value)).collect::<Vec<_>>())
    };
    let psnrs = |unit: &&Unit| mean_of(unit, |frame| frame.psnr);
    let mut episodes = BTreeMap::<String, Vec<f64>>::new();
    let mut seeds = BTreeMap::<u64, Vec<f64>>::new();
    for unit in units {
        episodes.entry(unit.key.episode.clone()).or_default().push(psnrs(unit));
        seeds.entry(unit.key.seed).or_default().push(psnrs(unit));
    }
    let measured = units.iter().all(|unit| unit.frames.iter().all(|frame| frame.lpips.is_some()));
    let sum = |value: fn(&Unit) -> usize| units.iter().map(|unit| value(unit)).sum::<usize>();
    let overlapping = sum(|unit| unit.overlapping);
    let share = |part: usize, all: usize| (all > 0).then(|| part as f64 / all as f64);
    let found = |at: usize| units.iter().map(|unit| unit.found[at]).sum();
    let mut times: Vec<f64> = units.iter().filter_map(|unit| unit.section_ms).collect();
    times.sort_by(f64::total_cmp);
    let means = |(name, psnrs): (String, Vec<f64>)| (name, mean(&psnrs));
    Row {
        task: key.task,
        schedule: key.schedule.clone(),
        arm: key.arm.clone(),
        walks: units.len(),
        episodes: episodes.len(),
        psnr: over(|frame| frame.psnr),
        ssim: over(|frame| frame.ssim),
        ms_ssim: over(|frame| frame.ms_ssim),
        lpips: measured.then(|| over(|frame| frame.lpips.unwrap_or_default())),
        gain: (key.arm != BASE).then(|| gain(units, base, seed)).flatten(),
        recall: std::array::from_fn(|at| share(found(at), overlapping)),
        history_tokens: mean(&units.iter().map(|unit| unit.history_tokens).collect::<Vec<_>>()),
        section_tokens: units[0].section_tokens,
        section_ms: times.get(times.len() / 2).copied(),
        kv_hits: share(sum(|unit| unit.kv_hits), sum(|unit| unit.kv_groups)),
        seeds: if seeds.len() > 1 {
            seeds.into_iter().map(|(seed, psnrs)| (seed, mean(&psnrs))).collect()
        } else {
            BTreeMap::new()
        },
        by_episode: episodes.into_iter().map(means).collect(),
    }
}

fn gain(units: &[&Unit], base: &BTreeMap<Key, f64>, seed: u64) -> Option<Interval> {
    let differences = units.iter().filter_map(|unit| {
        let other = base.get(&Key { arm: BASE.to_owned(), ..unit.key.clone() })?;
        Some((unit.key.episode.clone(), mean_of(unit, |frame| frame.psnr) - other))
    });
    interval_by_episode(differences, seed)
}

/// The mean of values with the episodes they come from, and its interval when episodes are drawn anew.
pub fn interval_by_episode(
    values: impl Iterator<Item = (String, f64)>,
    seed: u64,
) -> Option<Interval> {
    let mut numbers = BTreeMap::<String, usize>::new();
    let values: Vec<(usize, f64)> = values
        .map(|(episode, value)| {
            let next = numbers.len();
            (*numbers.entry(episode).or_insert(next), value)
        })
        .collect();
    (!values.is_empty()).then(|| paired_interval(&values, seed))
}

fn curve(units: &[&Unit], place: &dyn Fn(&FrameScore) -> Option<usize>) -> Curve {
    let mut places = BTreeMap::<usize, Vec<f64>>::new();
    for frame in units.iter().flat_map(|unit| &unit.frames) {
        if let Some(at) = place(frame) {
            places.entry(at).or_default().push(frame.psnr);
        }
    }
    let points = places.into_iter().map(|(at, psnrs)| (at, mean(&psnrs), psnrs.len())).collect();
    Curve { schedule: units[0].key.schedule.clone(), arm: units[0].key.arm.clone(), points }
}
