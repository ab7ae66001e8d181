//! How fast a section is made, and how far that is from what must be computed: `oneiro bench speed`.
//!
//! Each stage stands beside its counted floor ([`engine::cost`]): its multiply-adds at the rate at which this machine
//! multiplies matrices, or its bytes at the rate at which it reads memory, whichever takes longer, both measured in the same
//! run. Beside the walk that reuses keys and values goes one that runs its history through the network at every evaluation, as
//! a network must that lets history see the section; both make the same frames from the same noise.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use engine::cost::{self, Product, Reading, Work};
use engine::dreamer::{DreamOptions, Dreamer};
use engine::ops::Precision;
use engine::world::World;
use input::{Action, Controller as _, Wander};
use serde::Serialize;

use super::dreamed;
use crate::clock::Clock;
use crate::cores;

/// Sections before the first that counts: the recent window and the caches fill.
const WARM_UP: u32 = 24;
/// Products, and readings of memory, of which the fastest tells the machine's rate: others are disturbed.
const TRIES: usize = 12;

/// Options of `bench speed`.
#[derive(Args, Clone, Debug)]
pub struct SpeedArgs {
    /// Folder of the world, or the name of one that came with the program
    #[arg(long, value_name = "WORLD", default_value = "doom-rooms")]
    pub world: PathBuf,
    /// Sections of each walk
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub sections: u32,
    /// Evaluations of the network for each section [default: the world's own]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub steps: Option<u32>,
    /// Seed of the noise and of the walk
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Write the figures to this file as well
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// The stages that take time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Ranking and packing: preview, retrieve, plan, pack. With it go what the atlas shows, noise, and the newest frame moved.
    Retrieve,
    /// Keys and values of new groups.
    Encode,
    /// All evaluations, history placed before them.
    Denoise,
    /// Into the history.
    Remember,
    /// Latents to pictures; of a GPU, which has begun with them before, what is left of that.
    Decode,
}

impl Part {
    const ALL: [Self; 5] =
        [Self::Retrieve, Self::Encode, Self::Denoise, Self::Remember, Self::Decode];

    fn name(self) -> &'static str {
        match self {
            Self::Retrieve => "retrieve",
            Self::Encode => "encode",
            Self::Denoise => "denoise",
            Self::Remember => "remember",
            Self::Decode => "decode",
        }
    }
}

/// One stage of a section, means over all of them.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StageSpeed {
    /// Which.
    pub part: Part,
    /// What it took, in milliseconds.
    pub ms: f64,
    /// What of that a GPU's work took to be handed on, in milliseconds; none on a CPU.
    pub launch_ms: Option<f64>,
    /// Its multiply-adds, in millions.
    pub million_multiply_adds: f64,
    /// What must come from memory or go there, in megabytes.
    pub megabytes: f64,
    /// The least that either takes, in milliseconds.
    pub floor_ms: f64,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct SpeedReport {
    /// Evaluations for each section, one more where guidance needs it.
    pub evaluations: u32,
    /// Threads that work.
    pub threads: usize,
    /// Billions of multiply-adds a second in large products.
    pub rate: f64,
    /// Gigabytes of memory read a second; on a GPU, read and written by a copy.
    pub bandwidth: f64,
    /// Frames a second, all stages included.
    pub fps: f64,
    /// The stages in order.
    pub stages: Vec<StageSpeed>,
    /// Encoding and denoising without reuse over the same with it.
    pub reuse_gain: f64,
    /// The same in counted multiply-adds.
    pub reuse_gain_counted: f64,
}

/// Measures.
///
/// # Errors
/// When the world cannot be opened or fails, or the file not be written.
pub fn run(args: &SpeedArgs, clock: &Clock) -> Result<SpeedReport> {
    let options =
        DreamOptions { seed: args.seed, evaluations: args.steps, ..DreamOptions::default() };
    let report = measure(&dreamed::open(&args.world)?, &options, args.sections, clock)?;
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))?;
    }
    Ok(report)
}

/// Measures a world so many sections long.
///
/// # Errors
/// When it fails.
pub(super) fn measure(
    world: &Arc<World>,
    options: &DreamOptions,
    sections: u32,
    clock: &Clock,
) -> Result<SpeedReport> {
    let rates = Rates::measured(world, clock)?;
    let bar = super::progress(usize::try_from(sections)?, "sections");
    let walk = |reuse| Timed::new(world, DreamOptions { reuse, ..options.clone() }, clock);
    let mut walks = [walk(true)?, walk(false)?];
    for at in 0..WARM_UP + sections {
        for walk in &mut walks {
            if at == WARM_UP {
                walk.spent = Spent::default();
            }
            cores::awake(|| walk.section())?;
        }
        bar.inc(u64::from(at >= WARM_UP));
    }
    bar.finish_and_clear();
    let [with, without] = walks;
    Ok(SpeedReport::new(&with, &without, sections, rates))
}

/// What the machine can do in a second.
#[derive(Clone, Copy, Debug)]
struct Rates {
    /// Multiply-adds in large products: the best of both precisions.
    multiply_adds: f64,
    /// Bytes of memory read.
    bytes: f64,
}

impl Rates {
    fn measured(world: &World, clock: &Clock) -> Result<Self> {
        let fastest = |run: &dyn Fn() -> Result<()>| -> Result<f64> {
            let mut best = Duration::MAX;
            for _ in 0..TRIES {
                let began = clock.now();
                run()?;
                best = best.min(clock.now().saturating_sub(began));
            }
            Ok(best.as_secs_f64().max(1e-9))
        };
        let mut product = f64::INFINITY;
        for precision in [world.config.model.precision, Precision::F32] {
            let of_precision = Product::new(precision, &world.device)?;
            product = product.min(fastest(&|| Ok(of_precision.run()?))?);
        }
        let reading = Reading::new(&world.device)?;
        Ok(Self {
            multiply_adds: Product::MULTIPLY_ADDS as f64 / product,
            bytes: reading.bytes() as f64 / fastest(&|| Ok(reading.run()?))?,
        })
    }
}

/// Time and work so far.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    time: [Duration; Part::ALL.len()],
    launch: [Duration; Part::ALL.len()],
    work: [Work; Part::ALL.len()],
}

/// A walk that is timed, stage by stage.
struct Timed {
    world: Arc<World>,
    dreamer: Dreamer,
    reuse: bool,
    steer: Wander,
    clock: Clock,
    spent: Spent,
}

impl Timed {
    fn new(world: &Arc<World>, options: DreamOptions, clock: &Clock) -> Result<Self> {
        let (reuse, seed) = (options.reuse, options.seed);
        let mut dreamer = Dreamer::new(Arc::clone(world), options)?;
        let start = &world.starts[0];
        let frames: Vec<&[u8]> = start.frames().collect();
        let poses = start.poses.as_deref().unwrap_or_default();
        dreamer.open_on_map(&frames, &start.actions, poses)?;
        Ok(Self {
            world: Arc::clone(world),
            dreamer,
            reuse,
            steer: Wander::new(seed),
            clock: clock.clone(),
            spent: Spent::default(),
        })
    }

    /// Runs of the network for each section.
    fn evaluations(&self) -> u32 {
        self.dreamer.runs()
    }

    fn section(&mut self) -> Result<()> {
        let actions: Vec<Action> =
            (0..self.dreamer.section_frames()).map(|_| self.steer.poll()).collect();
        self.timed(Part::Retrieve, |dreamer| {
            dreamer.preview(&actions)?;
            dreamer.retrieve()?;
            dreamer.plan()?;
            dreamer.pack()
        })?;
        // What is not kept is made anew for every evaluation.
        let encodings = if self.reuse { 1 } else { self.evaluations() };
        self.timed(Part::Encode, Dreamer::encode)?;
        for _ in 1..encodings {
            self.dreamer.pack()?;
            self.timed(Part::Encode, Dreamer::encode)?;
        }
        self.count(encodings);
        self.timed(Part::Denoise, Dreamer::denoise)?;
        self.timed(Part::Remember, Dreamer::remember)?;
        self.timed(Part::Decode, |dreamer| dreamer.decode().map(|_| ()))
    }

    fn timed(
        &mut self,
        part: Part,
        work: impl FnOnce(&mut Dreamer) -> Result<(), engine::Error>,
    ) -> Result<()> {
        let began = self.clock.now();
        work(&mut self.dreamer)?;
        // A GPU is given its work, and does it later.
        self.spent.launch[part as usize] += self.clock.now().saturating_sub(began);
        self.world.device.synchronize()?;
        self.spent.time[part as usize] += self.clock.now().saturating_sub(began);
        Ok(())
    }

    /// Counts what the section that is packed cannot do without.
    fn count(&mut self, encodings: u32) {
        let evaluations = self.evaluations();
        let config = &self.world.config;
        let frames = self.dreamer.section_frames();
        let account = self.dreamer.account();
        let slots = account.plan.iter().flat_map(|plan| &plan.slots);
        let history = slots.clone().map(|slot| slot.tokens).sum();
        let new = slots.zip(&account.reused).filter(|(_, reused)| !**reused);
        let new: Vec<_> = new.map(|(slot, _)| slot.group.kernel).collect();
        let (model, device) = (&config.model, &self.world.device);
        let cells = (model.height, model.width);
        let rendered = account.places.len() as u64;
        let work = &mut self.spent.work;
        work[Part::Retrieve as usize] += cost::rendering(&config.codec, cells) * rendered;
        work[Part::Encode as usize] += cost::groups(model, &new, device) * u64::from(encodings);
        let evaluation = cost::evaluation(model, frames, history, device);
        work[Part::Denoise as usize] += cost::placing(model, history, device)
            // What guidance adds sees the same weights and history, which are read once for both.
            + Work { multiply_adds: 0, ..evaluation } * u64::from(self.dreamer.evaluations())
            + Work { bytes: 0, ..evaluation } * u64::from(evaluations);
        work[Part::Remember as usize] += cost::remembering(model, frames);
        work[Part::Decode as usize] += cost::pictures(&config.codec, cells, frames);
    }
}

impl SpeedReport {
    fn new(with: &Timed, without: &Timed, sections: u32, rates: Rates) -> Self {
        let sections = f64::from(sections);
        let stages = Part::ALL.map(|part| {
            let Work { multiply_adds, bytes } = with.spent.work[part as usize];
            let [multiply_adds, bytes] = [multiply_adds, bytes].map(|all| all as f64 / sections);
            let ms = |time: Duration| time.as_secs_f64() * 1e3 / sections;
            let launch_ms = ms(with.spent.launch[part as usize]);
            StageSpeed {
                part,
                ms: ms(with.spent.time[part as usize]),
                launch_ms: (!with.world.device.is_cpu()).then_some(launch_ms),
                million_multiply_adds: multiply_adds / 1e6,
                megabytes: bytes / 1e6,
                floor_ms: (multiply_adds / rates.multiply_adds).max(bytes / rates.bytes) * 1e3,
            }
        });
        let networks = [Part::Encode as usize, Part::Denoise as usize];
        let time = |walk: &Timed| -> f64 {
            networks.iter().map(|&part| walk.spent.time[part].as_secs_f64()).sum()
        };
        let counted = |walk: &Timed| -> f64 {
            networks.iter().map(|&part| walk.spent.work[part].multiply_adds as f64).sum()
        };
        let all: f64 = stages.iter().map(|stage| stage.ms).sum();
        Self {
            evaluations: with.evaluations(),
            threads: rayon::current_num_threads(),
            rate: rates.multiply_adds / 1e9,
            bandwidth: rates.bytes / 1e9,
            fps: with.dreamer.section_frames() as f64 * 1e3 / all,
            stages: stages.to_vec(),
            reuse_gain: time(without) / time(with),
            reuse_gain_counted: counted(without) / counted(with),
        }
    }

    /// The table in Markdown.
    pub fn table(&self) -> String {
        let mut text = String::from(
            "| stage | time | multiply-adds | bytes | floor | time over floor |\n|---|---|---|---|---|---|\n",
        );
        let (mut ms, mut floor) = (0.0, 0.0);
        for stage in &self.stages {
            let millions = stage.million_multiply_adds;
            ms += stage.ms;
            floor += stage.floor_ms;
            let _ = write!(text, "| {} | {:.2} ms", stage.part.name(), stage.ms);
            if let Some(launch) = stage.launch_ms {
                let _ = write!(text, ", {launch:.2} of them to launch it");
            }
            let _ = if millions > 0.0 {
                write!(text, " | {millions:.0} million")
            } else {
                write!(text, " | ")
            };
            let _ =
                writeln!(text, " | {:.2} MB{}", stage.megabytes, over(stage.ms, stage.floor_ms));
        }
        let _ = writeln!(text, "| section | {ms:.2} ms | | {}", over(ms, floor));
        let _ = writeln!(
            text,
            "\nFilters are counted as they are defined; in integers, on a CPU, four of nine products are made.\n\n{:.1} frames/s with {} runs of the network for each section; large products: {:.1} billion multiply-adds/s on {} threads, memory: {:.1} GB/s",
            self.fps, self.evaluations, self.rate, self.threads, self.bandwidth
        );
        let share = self.reuse_gain / self.reuse_gain_counted;
        let _ = writeln!(
            text,
            "reuse of keys and values: {:.2} times faster to encode and denoise, counted {:.2}: {:.0} % of that (aim: 85 %)",
            self.reuse_gain,
            self.reuse_gain_counted,
            100.0 * share
        );
        text
    }
}

/// The cells of a floor; a ratio to next to nothing tells nothing.
fn over(ms: f64, floor: f64) -> String {
    match floor {
        0.01.. => format!(" | {floor:.2} ms | {:.2} |", ms / floor),
        _ => " | below 0.01 ms | |".to_owned(),
    }
}
