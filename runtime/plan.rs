//! `oneiro plan`: what a packing schedule puts where.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use engine::pack::{Grid, Progression, ProgressionError, Ratio, Schedule, ScheduleError, Shape};

use crate::cli::parse_grid;
use crate::commands::Usage;

/// Options of `plan`.
#[derive(Args, Clone, Debug)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["schedule", "rate", "length"])))]
pub struct PlanArgs {
    /// A schedule in the notation of FramePack, such as `td_f16k4f4k2f5k1_g1`
    #[arg(value_name = "SCHEDULE")]
    pub schedule: Option<String>,
    /// Compress frame by frame at this rate instead: 2 halves from frame to frame
    #[arg(long, value_name = "RATE")]
    pub rate: Option<Ratio>,
    /// Pack a context worth so many frames instead, such as 2.625
    #[arg(long, value_name = "FRAMES")]
    pub length: Option<Ratio>,
    /// History frames of such a schedule at most
    #[arg(long, value_name = "N", default_value_t = 16, conflicts_with = "schedule",
          value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub frames: u16,
    /// Kernels of such a schedule
    #[arg(long, value_enum, default_value = "plain", conflicts_with = "schedule")]
    pub shape: KernelShape,
    /// Give the oldest frames as much as the newest
    #[arg(long, conflicts_with = "schedule")]
    pub symmetric: bool,
    /// Frames of its section
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "schedule",
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub generate: u16,
    /// Size of a frame in latent cells, rows by columns
    #[arg(long, value_name = "HxW", default_value = "12x16", value_parser = parse_grid)]
    pub grid: (u16, u16),
    /// Draw it into this file, too
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// Kernels of a schedule that is made from a number.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum KernelShape {
    /// One frame each, the share halved from one to the next
    Plain,
    /// As high as wide, one frame each
    Square,
    /// k1, k2, k4, …: several frames each
    Temporal,
}

/// Prints the schedule as a table, under its name where it was made from a number.
///
/// # Errors
/// When the schedule cannot be read or made, or a file cannot be written.
pub fn run(args: &PlanArgs) -> Result<()> {
    let schedule = match &args.schedule {
        Some(text) => read(text)?,
        None => made(args).map_err(|error| Usage(error.to_string()))?,
    };
    let (height, width) = args.grid;
    let grid = Grid { height, width };
    let mut out = io::stdout();
    if args.schedule.is_none() {
        writeln!(out, "{schedule}\n")?;
    }
    writeln!(out, "{}", schedule.table(grid).trim_end())?;
    if let Some(path) = &args.svg {
        fs::write(path, schedule.svg(grid)).with_context(|| format!("write {}", path.display()))?;
        writeln!(out, "wrote {}", path.display())?;
    }
    Ok(())
}

fn read(text: &str) -> Result<Schedule, Usage> {
    text.parse().map_err(|error: ScheduleError| {
        // The caret stands below the byte; what a terminal shows wide may shift it.
        let column = text.get(..error.at).map_or(error.at, |before| before.chars().count());
        Usage(format!("{error}\n  {text}\n  {:column$}^", ""))
    })
}

fn made(args: &PlanArgs) -> Result<Schedule, ProgressionError> {
    let length = match (args.length, args.rate) {
        (Some(length), _) => length,
        (None, Some(rate)) => rate.worth()?,
        (None, None) => unreachable!("one of the three is required"),
    };
    let shape = match args.shape {
        KernelShape::Plain => Shape::Plain,
        KernelShape::Square => Shape::Square,
        KernelShape::Temporal => Shape::Temporal,
    };
    let PlanArgs { frames, symmetric, generate, .. } = *args;
    Progression { length, frames, shape, symmetric, generate }.schedule()
}
