//! What the subcommands do.

use std::io::{self, Write as _};

use anyhow::Result;

use crate::bench::RolloutArgs;
use crate::bench::device::DeviceArgs;
use crate::bench::dreamed::Dreamed;
use crate::bench::memory::MemoryBenchArgs;
use crate::bench::pacing;
use crate::bench::packing::PackingArgs;
use crate::bench::packing::compare::compare as compare_reports;
use crate::bench::prevention::DriftArgs;
use crate::bench::revisit::RevisitArgs;
use crate::bench::revisit::dreamed::Remembering;
use crate::bench::soak;
use crate::bench::speed::SpeedArgs;
use crate::cli::{BenchCommand, Cli, Command, EpisodesCommand};
use crate::clock::Clock;
use crate::{
    bench, bridge, compare, convert, cores, devices, episodes, inspect, memories, models, plan,
    play, replay, serve, train, video,
};

/// What was typed makes no sense; the program answers with exit code 2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Does what the command line says.
///
/// # Errors
/// Whatever goes wrong, as [`Usage`] where the command line itself is at fault.
pub fn run(cli: Cli) -> Result<()> {
    match cli.command.unwrap_or(Command::Play(cli.play)) {
        Command::Play(args) => play::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Dream(args) => cores::on_all(|| video::run(&args))?,
        Command::Plan(args) => plan::run(&args),
        Command::Episodes(EpisodesCommand::Simulate(args)) => episodes::simulate_into(&args),
        Command::Episodes(EpisodesCommand::Inspect(args)) => inspect::run(&args),
        Command::Episodes(EpisodesCommand::Convert(args)) => convert::run(&args),
        Command::Memory(command) => memories::run(&command),
        Command::Train(train) => cores::on_all(|| train::run(&train))?,
        Command::Bench(BenchCommand::Rollout(args)) => cores::on_all(|| rollout(&args))?,
        Command::Bench(BenchCommand::Packing(args)) => packing(&args),
        Command::Bench(BenchCommand::Drift(args)) => cores::on_all(|| drift(&args))?,
        Command::Bench(BenchCommand::Revisit(args)) => cores::on_all(|| revisit(&args))?,
        Command::Bench(BenchCommand::Loop(args)) => print(&pacing::run(&args)?.table()),
        Command::Bench(BenchCommand::Soak(args)) => soak::run(&args),
        Command::Bench(BenchCommand::Memory(args)) => cores::on_all(|| memory(&args))?,
        Command::Compare(args) => compare::run(&args),
        Command::Bench(BenchCommand::Speed(args)) => cores::on_all(|| speed(&args))?,
        Command::Bench(BenchCommand::Device(args)) => cores::on_all(|| device(&args))?,
        Command::Model(command) => models::run(&command),
        Command::Bridge(args) => cores::on_all_but_one(|| bridge::run(&args))?,
        Command::Devices => devices::list(),
    }
}

/// Prints what a command has found.
///
/// # Errors
/// When standard output cannot be written.
pub fn print(text: &str) -> Result<()> {
    Ok(io::stdout().write_all(text.as_bytes())?)
}

fn rollout(args: &RolloutArgs) -> Result<()> {
    let mut world = Dreamed::open(&args.world, args.seed)?;
    let clock = Clock::real();
    let report = bench::run(&mut world, args, &|| clock.now())?;
    writeln!(io::stdout(), "{}", report.table().trim_end())?;
    Ok(())
}

fn revisit(args: &RevisitArgs) -> Result<()> {
    let mut world = Remembering::open(&args.world, args.seed)?;
    let report = bench::revisit::run(&mut world, args)?;
    writeln!(io::stdout(), "{}", report.table().trim_end())?;
    Ok(())
}

fn packing(args: &PackingArgs) -> Result<()> {
    let Some([before, after]) = args.compare.as_deref() else {
        // Its walkers have a core each.
        let report = bench::packing::run(args)?;
        return Ok(writeln!(io::stdout(), "{}", report.table().trim_end())?);
    };
    let comparison = compare_reports(before, after)?;
    writeln!(io::stdout(), "{}", comparison.table.trim_end())?;
    anyhow::ensure!(comparison.worse.is_empty(), "worse: {}", comparison.worse.join("; "));
    Ok(())
}

fn drift(args: &DriftArgs) -> Result<()> {
    let report = bench::prevention::run(args)?;
    writeln!(io::stdout(), "{}", report.table().trim_end())?;
    Ok(())
}

fn speed(args: &SpeedArgs) -> Result<()> {
    let report = bench::speed::run(args, &Clock::real())?;
    writeln!(io::stdout(), "{}", report.table().trim_end())?;
    Ok(())
}

fn device(args: &DeviceArgs) -> Result<()> {
    let report = bench::device::run(args, &Clock::real())?;
    writeln!(io::stdout(), "{}", report.table().trim_end())?;
    Ok(())
}

fn memory(args: &MemoryBenchArgs) -> Result<()> {
    let report = bench::memory::run(args, &Clock::real())?;
    writeln!(io::stdout(), "{}", report.table().trim_end())?;
    Ok(())
}
