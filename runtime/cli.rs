//! The command line, as typed.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use input::Policy;

use crate::bench::RolloutArgs;
use crate::bench::device::DeviceArgs;
use crate::bench::memory::MemoryBenchArgs;
use crate::bench::pacing::LoopArgs;
use crate::bench::packing::PackingArgs;
use crate::bench::prevention::DriftArgs;
use crate::bench::revisit::RevisitArgs;
use crate::bench::soak::SoakArgs;
use crate::bench::speed::SpeedArgs;
use crate::bridge::BridgeArgs;
use crate::compare::CompareArgs;
use crate::convert::ConvertArgs;
use crate::inspect::InspectArgs;
use crate::models::ModelCommand;
use crate::plan::PlanArgs;
use crate::replay::ReplayArgs;
use crate::serve::ServeArgs;
use crate::settings::PictureScaling;
use crate::train::Train;
use crate::video::VideoArgs;

/// Walk through worlds dreamed by a neural network.
#[derive(Clone, Debug, Parser)]
#[command(name = "oneiro", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; `play` without a word.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of `play`.
    #[command(flatten)]
    pub play: PlayArgs,
}

impl Cli {
    /// Whether it is to train a world.
    pub fn trains_a_world(&self) -> bool {
        matches!(self.command, Some(Command::Train(Train::World(_))))
    }
}

/// What the program can do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Walk in a world (the default)
    Play(PlayArgs),
    /// Walk in a world from a browser, on this machine or another
    Serve(ServeArgs),
    /// Show a session again, or make it again and compare every frame
    Replay(ReplayArgs),
    /// Make a video in any order: forward, towards an endpoint, backwards, past pictures of yours; of a world, or of a
    /// published video model
    Dream(VideoArgs),
    /// Print what a packing schedule puts where, or draw it
    Plan(PlanArgs),
    /// Make or look at recorded play
    #[command(subcommand)]
    Episodes(EpisodesCommand),
    /// Train a codec or a world from recorded play
    #[command(subcommand)]
    Train(Train),
    /// Look after what worlds remember
    #[command(subcommand)]
    Memory(MemoryCommand),
    /// Measure a world
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Ask which of two videos is better, and rank the ways in which they were made
    Compare(CompareArgs),
    /// Look over or merge published video models
    #[command(subcommand)]
    Model(ModelCommand),
    /// Let liveframe measure a world: its world bridge (v1) on standard input and output
    Bridge(BridgeArgs),
    /// List what there is to draw, compute and steer with
    Devices,
}

/// Options of `play`.
#[derive(Args, Clone, Debug)]
pub struct PlayArgs {
    /// Folder of the world, or the name of one that came with the program
    #[arg(long, value_name = "WORLD", default_value = "doom-rooms")]
    pub world: PathBuf,
    /// Seed of the world's noise: the same seed and actions give the same walk
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Evaluations of the network for each section: fewer are faster, more are finer; `auto` takes as
    /// many, up to the world's own, as hold its rate [default: auto by hand, else the world's own]
    #[arg(long, value_name = "N|auto", value_parser = parse_steps)]
    pub steps: Option<Steps>,
    /// Begin from your own picture
    #[arg(long, value_name = "PNG")]
    pub start: Option<PathBuf>,
    /// Folder of what worlds remember between walks, or `none` [default: in your data folder; without a window,
    /// none]
    #[arg(long, value_name = "DIR")]
    pub memory: Option<PathBuf>,
    /// Forget what this world remembers before the walk begins
    #[arg(long)]
    pub forget: bool,
    /// Steer by a file instead of by hand
    #[arg(long, value_name = "FILE")]
    pub actions: Option<PathBuf>,
    /// End the walk after N frames, rounded up to whole sections
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub frames: Option<u64>,
    /// Walk without a window, as fast as it goes; the last line printed is figures in JSON
    #[arg(long)]
    pub headless: bool,
    /// Play in this terminal instead of a window, as where there is no display
    #[arg(long, conflicts_with = "headless")]
    pub terminal: bool,
    /// Folder for the session, or in a window for all sessions [default: in your data folder]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Record from the beginning (without a window this is always so)
    #[arg(long)]
    pub record: bool,
    /// How the picture is brought to the window's size [default: as set]
    #[arg(long, value_enum)]
    pub scaling: Option<PictureScaling>,
    /// Fill the screen
    #[arg(long)]
    pub full_screen: bool,
    /// File of settings: keys, mouse, gamepads, picture [default: in your configuration folder]
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
}

impl Default for PlayArgs {
    /// As when nothing is typed.
    fn default() -> Self {
        Cli::parse_from(["oneiro"]).play
    }
}

/// Evaluations of the network for each section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steps {
    /// Always so many.
    Fixed(u32),
    /// The world's own, fewer where the machine is too slow for them.
    Auto,
}

/// What `memory` can do.
#[derive(Clone, Debug, Subcommand)]
pub enum MemoryCommand {
    /// Say how much is remembered, how old it is and how often it was used
    Stat(MemoryArgs),
    /// Recompute every checksum and total
    Verify(MemoryArgs),
    /// Write the remembered frames as pictures with a JSON file that lists them, or take them over into the memory
    /// of other weights
    Export(MemoryExportArgs),
    /// Let go of what was not used for longest, down to a budget
    Prune(MemoryPruneArgs),
}

/// Whose memory is meant.
#[derive(Args, Clone, Debug)]
pub struct MemoryArgs {
    /// Folder of the world, or the name of one that came with the program
    #[arg(long, value_name = "WORLD", default_value = "doom-rooms")]
    pub world: PathBuf,
    /// Folder of what worlds remember [default: in your data folder]
    #[arg(long, value_name = "DIR")]
    pub memory: Option<PathBuf>,
}

/// Options of `memory export`.
#[derive(Args, Clone, Debug)]
#[command(group(clap::ArgGroup::new("where").required(true).multiple(true).args(["out", "to"])))]
pub struct MemoryExportArgs {
    /// Whose memory
    #[command(flatten)]
    pub whose: MemoryArgs,
    /// Folder for the pictures
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// World whose memory takes the frames over, their pictures encoded anew: this one with other weights
    #[arg(long, value_name = "WORLD")]
    pub to: Option<PathBuf>,
}

/// Options of `memory prune`.
#[derive(Args, Clone, Debug)]
pub struct MemoryPruneArgs {
    /// Whose memory
    #[command(flatten)]
    pub whose: MemoryArgs,
    /// Megabytes (2^20 bytes) to shrink to
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u64).range(0..1 << 20))]
    pub budget: u64,
}

/// What `bench` can do.
#[derive(Clone, Debug, Subcommand)]
pub enum BenchCommand {
    /// Hold a world against held-out play: likeness, steering, drift, rate
    Rollout(RolloutArgs),
    /// Hold ways of picking and packing history against each other, and write a report
    Packing(PackingArgs),
    /// Hold ways against drift against each other on long videos, and write a report
    Drift(DriftArgs),
    /// See what memory brings back: walks that return, history picked in several ways
    Revisit(RevisitArgs),
    /// Walk at the world's own rate, touching keys: how even the frames, how late the answers
    Loop(LoopArgs),
    /// Play for an hour, remembering and recording: memory held, stalls, clocks, the recording
    Soak(SoakArgs),
    /// See what memory costs: sections of a walk that remembers much beside one that remembers little
    Memory(MemoryBenchArgs),
    /// See how fast sections are made, each stage beside the least that its counted work can take
    Speed(SpeedArgs),
    /// See what a CUDA GPU is worth: whether it computes what the CPU does, and how fast sections are there
    Device(DeviceArgs),
}

/// What `episodes` can do.
#[derive(Clone, Debug, Subcommand)]
pub enum EpisodesCommand {
    /// Record simulated mazes as training data, one .npz file an episode
    Simulate(SimulateArgs),
    /// Say what is in recorded play: our own, or a public data set
    Inspect(InspectArgs),
    /// Write recorded play in a form that others train on
    Convert(ConvertArgs),
}

/// Options of `episodes simulate`.
#[derive(Args, Clone, Debug)]
pub struct SimulateArgs {
    /// Frames in all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    pub frames: u32,
    /// Frames of one episode, each in a maze of its own unless --maze names one
    #[arg(long, value_name = "N", default_value_t = 2000,
          value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub episode_frames: u32,
    /// Picture size, width by height
    #[arg(long, value_name = "WxH", default_value = "128x96", value_parser = parse_size)]
    pub size: (u32, u32),
    /// Frames a second
    #[arg(long, value_name = "RATE", default_value_t = 17.5, value_parser = parse_rate)]
    pub fps: f32,
    /// How the mazes are walked: `explore` sees every room, `revisit` goes out and back
    #[arg(long, value_name = "POLICY", default_value = "explore")]
    pub policy: Policy,
    /// Seed of the first maze, or of the first walk through the one of --maze; each episode takes the next
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// One maze for all episodes, by its seed: then they are of one map, of which training makes an atlas
    #[arg(long, value_name = "SEED")]
    pub maze: Option<u64>,
    /// Folder for the episodes
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Most cells on a side of a grid: that of a picture of 8192 pixels at 8 pixels a cell.
const MAX_CELLS: u16 = 1024;
/// Most evaluations of a section: beyond, nothing gets finer.
const MAX_STEPS: u32 = 64;
/// Most pixels on a side of a simulated picture.
const MAX_SIDE: u32 = 2048;

/// A number of evaluations, or `auto`.
pub(crate) fn parse_steps(text: &str) -> Result<Steps, String> {
    if text == "auto" {
        return Ok(Steps::Auto);
    }
    let number = text.parse().ok().filter(|number| (1..=MAX_STEPS).contains(number));
    number.map(Steps::Fixed).ok_or(format!("expected 1 to {MAX_STEPS}, or auto"))
}

pub(crate) fn parse_grid(text: &str) -> Result<(u16, u16), String> {
    two(text, 1..=MAX_CELLS).ok_or(format!("expected rows x columns up to {MAX_CELLS}: 12x16"))
}

pub(crate) fn parse_size(text: &str) -> Result<(u32, u32), String> {
    two(text, 2..=MAX_SIDE).ok_or(format!("expected width x height, 2 to {MAX_SIDE}: 128x96"))
}

/// Two numbers within bounds with an x between them.
fn two<T: FromStr + PartialOrd>(text: &str, bounds: RangeInclusive<T>) -> Option<(T, T)> {
    let (a, b) = text.split_once('x')?;
    let number = |text: &str| text.parse().ok().filter(|number| bounds.contains(number));
    Some((number(a)?, number(b)?))
}

fn parse_rate(text: &str) -> Result<f32, String> {
    let rate = text.parse().ok().filter(|rate| (1.0..=1000.0).contains(rate));
    rate.ok_or_else(|| "expected frames per second from 1 to 1000".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_and_rates_are_bounded() {
        assert_eq!(parse_size("128x96"), Ok((128, 96)));
        assert!(parse_size("1x96").is_err() && parse_size("128x4294967296").is_err());
        assert_eq!(parse_rate("17.5"), Ok(17.5));
        for wrong in ["0", "-3", "nan", "inf", "fast"] {
            assert!(parse_rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn steps_are_a_number_or_auto() {
        assert_eq!(parse_steps("auto"), Ok(Steps::Auto));
        assert_eq!(parse_steps("4"), Ok(Steps::Fixed(4)));
        for wrong in ["0", "65", "-1", "Auto", ""] {
            assert!(parse_steps(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn grids_are_two_numbers_within_bounds() {
        assert_eq!(parse_grid("12x16"), Ok((12, 16)));
        for wrong in ["", "12", "12x", "0x3", "3x1025", "-1x4", "1x2x3"] {
            assert!(parse_grid(wrong).is_err(), "{wrong}");
        }
    }
}
