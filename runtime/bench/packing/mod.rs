//! Ways of picking and packing history held against each other: `oneiro bench packing`.
//!
//! A *walk* is one stretch of recorded play (a *trial* of a [`trial::Task`]) dreamed from its real history under one
//! [`arm::Arm`], one packing schedule and one seed. Finished walks are lines of a file ([`mod@unit`]), so that a run that
//! was broken off goes on; all figures ([`figures`]), tables and pictures are functions of these lines and of the
//! filmstrips beside them.
//!
//! The weight of nearness in time (`λ_time`, eq. 5) is chosen on the validation split, which is every second episode;
//! everything is reported on the others. Differences are paired: the same walk with the same noise.
//!
//! Beside `bench revisit`, whose walks and intervals it shares, it compares more arms on more tasks; that one alone
//! looks at a restart of the program and at the preview.

pub mod arm;
pub mod compare;
pub mod features;
pub mod figures;
pub mod film;
mod page;
mod plot;
pub mod report;
#[cfg(test)]
mod tests;
pub mod trial;
pub mod unit;
pub mod walker;
pub mod work;
pub mod worldproof;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use engine::dreamer::DreamOptions;
use engine::lpips::Lpips;
use engine::pack::Schedule;

use self::arm::{Arm, By};
use self::features::Features;
use self::figures::best_weight;
use self::report::Report;
use self::trial::{Catalogue, Split, Task, Trial, TrialRule};
use self::unit::{FORMAT, Header, Unit, Units};
use self::walker::Ground;
use self::work::Order;
use crate::clock::Clock;

/// Options of `bench packing`.
#[derive(Args, Clone, Debug)]
pub struct PackingArgs {
    /// Folder of the world, or the name of one that came with the program
    #[arg(long, value_name = "WORLD", default_value = "doom-rooms")]
    pub world: PathBuf,
    /// Held-out episodes: .npz clips, sessions, or a folder of them
    #[arg(long, value_name = "DIR", required_unless_present = "compare")]
    pub episodes: Option<PathBuf>,
    /// Folder for finished walks and the report; the same again goes on where it was broken off
    #[arg(long, value_name = "DIR", required_unless_present = "compare")]
    pub out: Option<PathBuf>,
    /// Trials of each task, and as many again to choose the weight of nearness in time by
    #[arg(long, value_name = "N", default_value_t = 16,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// Tasks, with commas between
    #[arg(long, value_enum, value_delimiter = ',', value_name = "TASKS",
          default_values_t = Task::ALL)]
    pub tasks: Vec<Task>,
    /// Ways of picking history, with commas between: none (the newest frame alone), time (released FramePack order),
    /// random, cosine (eq. 3), pooled (cosine of 2x2 averages), hybrid (eq. 3-5, its weight chosen) or hybrid@0.3,
    /// reckoned (as the world plays: the hybrid and nearness of places by dead reckoning), features (from --features),
    /// pose (greedy cover of the recorded views), oracle (nearest to the true section: sees the future). Cosine, pooled
    /// and hybrid permute all history; the others fill the retrieved slots of the default rules; +rules or +permuted
    /// behind a name has it the other way
    #[arg(long, value_name = "ARMS", default_value = arm::DEFAULT)]
    pub arms: String,
    /// Weights of nearness in time to choose from
    #[arg(long, value_name = "WEIGHTS", value_delimiter = ',',
          default_values_t = [0.1, 0.3, 1.0], value_parser = arm::parse_weight)]
    pub lambda: Vec<f32>,
    /// Packing schedules, with commas between [default: the world's own]
    #[arg(long, value_name = "SCHEDULES", value_delimiter = ',')]
    pub schedules: Vec<String>,
    /// Seconds of a rollout
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = parse_seconds)]
    pub seconds: f32,
    /// Frames dreamed on a way back
    #[arg(long, value_name = "N", default_value_t = 32,
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub dream: u32,
    /// Least frames between a view and its return
    #[arg(long, value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(32..=10_000))]
    pub gap: u32,
    /// Seeds of the noise that every walk is dreamed with
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(1..=100))]
    pub seeds: u64,
    /// Folder of features to rank by: for the episode a/b.npz the file a/b.npy, f32 (T, D), a row for each frame
    #[arg(long, value_name = "DIR")]
    pub features: Option<PathBuf>,
    /// Weights for LPIPS (.safetensors): AlexNet of torchvision and the published linear layers
    #[arg(long, value_name = "FILE")]
    pub lpips: Option<PathBuf>,
    /// Write every walk into the folder's worldproof/ as worldproof reads it
    #[arg(long)]
    pub export: bool,
    /// Compare two reports (report.json) instead; fails when the second is worse
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"],
          conflicts_with_all = ["episodes", "out"])]
    pub compare: Option<Vec<PathBuf>>,
}

fn parse_seconds(text: &str) -> Result<f32, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=600.0).contains(seconds));
    seconds.ok_or_else(|| "expected 0.1 to 600 seconds".into())
}

/// Measures what is missing and writes the report.
///
/// # Errors
/// When the episodes or the world cannot be read or do not fit each other, or the folder holds another run.
pub fn run(args: &PackingArgs) -> Result<Report> {
    let (episodes, out) = (args.episodes.as_deref(), args.out.as_deref());
    measure(args, episodes.context("expected --episodes")?, out.context("expected --out")?)
}

fn measure(args: &PackingArgs, episodes: &Path, out: &Path) -> Result<Report> {
    let (arms, schedules) = (parse_arms(args)?, &args.schedules);
    let world = super::dreamed::open(&args.world)?;
    let schedules: Vec<Schedule> = if schedules.is_empty() {
        vec![world.schedule.clone()]
    } else {
        schedules.iter().map(|text| parse_schedule(text)).collect::<Result<_>>()?
    };
    for schedule in &schedules {
        // A schedule that the world cannot be dreamed under is better known now than after minutes.
        let options = DreamOptions { schedule: Some(schedule.clone()), ..DreamOptions::default() };
        engine::dreamer::Dreamer::new(std::sync::Arc::clone(&world), options)?;
    }
    let catalogue = Catalogue::read(episodes)?;
    let size = (catalogue.width, catalogue.height);
    ensure!(
        size == (world.config.width, world.config.height)
            && catalogue.layout == world.config.layout,
        "expected episodes of {}x{} with the actions of {}, got {}x{} or other actions: {}",
        world.config.width,
        world.config.height,
        world.config.title,
        size.0,
        size.1,
        episodes.display()
    );
    let lpips = args.lpips.as_deref().map(|path| Lpips::open(path, &world.device)).transpose()?;
    let rule = rule(args, catalogue.fps);
    let header = header(&world, &catalogue, rule, lpips.as_ref());
    std::fs::create_dir_all(out).with_context(|| format!("create {}", out.display()))?;
    let ledger = Mutex::new(Units::open(&out.join("units.jsonl"), &header)?);
    let features = args.features.as_deref().map(Features::new).transpose()?;
    let ground = Ground { world, catalogue: &catalogue, features, lpips, clock: Clock::real() };
    let trials = trials(args, &catalogue, rule)?;
    let of_split = |split| -> Vec<Trial> {
        trials.iter().filter(|trial| trial.split == split).cloned().collect()
    };
    let order = |trials, arms| Order {
        trials,
        arms,
        seeds: args.seeds,
        out,
        header: &header,
        export: args.export,
    };
    let grid = grid(&arms, &schedules, &args.lambda);
    let validation = of_split(Split::Validation);
    let mut units = order(&validation, &grid).fill(&ground, &ledger, "walks to choose λ by")?;
    let chosen = choose(&arms, &schedules, &units)?;
    units.extend(order(&of_split(Split::Test), &chosen).fill(&ground, &ledger, "walks")?);
    let report = Report::new(header, units);
    report.write(out)?;
    Ok(report)
}

fn parse_arms(args: &PackingArgs) -> Result<Vec<Arm>> {
    let usage = |text| anyhow::Error::new(crate::commands::Usage(text));
    let mut arms = arm::parse_list(&args.arms).map_err(usage)?;
    if args.features.is_some() && args.arms == arm::DEFAULT {
        arms.push(Arm::usual(By::Features));
    }
    if args.features.is_none() && arms.iter().any(|arm| arm.by == By::Features) {
        return Err(usage("expected --features DIR for the arm `features`".to_owned()));
    }
    if args.lambda.is_empty() && arms.iter().any(|arm| arm.is_open()) {
        return Err(usage("expected weights to choose from, got none".to_owned()));
    }
    Ok(arms)
}

fn parse_schedule(text: &str) -> Result<Schedule> {
    let schedule = text.parse();
    schedule.map_err(|error: engine::pack::ScheduleError| {
        crate::commands::Usage(format!("{error}: {text}")).into()
    })
}

fn rule(args: &PackingArgs, fps: f32) -> TrialRule {
    let frames = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 600 000")]
    let rollout = (args.seconds * fps).round().max(1.0) as usize;
    TrialRule {
        limit: frames(args.limit),
        rollout,
        back: frames(args.dream),
        gap: frames(args.gap),
    }
}

fn header(
    world: &engine::world::World,
    catalogue: &Catalogue,
    rule: TrialRule,
    lpips: Option<&Lpips>,
) -> Header {
    Header {
        format: FORMAT.to_owned(),
        world: world.config.title.clone(),
        weights: world.hash.clone(),
        evaluations: world.config.evaluations,
        fps: catalogue.fps,
        size: [catalogue.width, catalogue.height],
        rollout_frames: rule.rollout,
        back_frames: rule.back,
        gap: rule.gap,
        episodes: catalogue.entries.iter().map(|entry| entry.name.clone()).collect(),
        lpips: lpips.map(|lpips| lpips.hash().to_owned()),
    }
}

/// The trials of all tasks, those of one episode together.
fn trials(args: &PackingArgs, catalogue: &Catalogue, rule: TrialRule) -> Result<Vec<Trial>> {
    let mut all = Vec::new();
    for &task in &args.tasks {
        let trials = catalogue.trials(task, rule);
        if trials.is_empty() {
            eprintln!("no trial of `{task}` in these episodes: {}", task.needs());
        }
        all.extend(trials);
    }
    ensure!(
        all.iter().any(|trial| trial.split == Split::Test),
        "expected longer episodes, got no trial of any task"
    );
    all.sort_by_key(|trial| trial.episode);
    Ok(all)
}

/// Every arm without a weight under each of the weights.
fn grid(arms: &[Arm], schedules: &[Schedule], weights: &[f32]) -> Vec<(Schedule, Vec<Arm>)> {
    let open = arms.iter().filter(|arm| arm.is_open());
    let arms: Vec<Arm> =
        open.flat_map(|arm| weights.iter().map(|&weight| arm.weighing(weight))).collect();
    schedules.iter().map(|schedule| (schedule.clone(), arms.clone())).collect()
}

/// The arms with the weight that did best under each schedule.
fn choose(
    arms: &[Arm],
    schedules: &[Schedule],
    units: &[Unit],
) -> Result<Vec<(Schedule, Vec<Arm>)>> {
    let mut chosen = Vec::new();
    for schedule in schedules {
        let mut under = Vec::new();
        for &arm in arms {
            let arm = if arm.is_open() {
                let weight = best_weight(units, &schedule.to_string(), arm);
                let weight = weight.with_context(|| {
                    format!(
                        "expected trials to choose the weight of {arm} by, got none: give {arm}@0.3"
                    )
                })?;
                arm.weighing(weight)
            } else {
                arm
            };
            if !under.contains(&arm) {
                under.push(arm);
            }
        }
        chosen.push((schedule.clone(), under));
    }
    Ok(chosen)
}
