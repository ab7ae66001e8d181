//! `oneiro memory`: looking after what worlds remember.

use std::io::{self, Write as _};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use engine::world::World;
use indicatif::ProgressBar;
use memory::cold::Cold;
use serde_json::json;

use crate::cli::{MemoryArgs, MemoryCommand, MemoryExportArgs};
use crate::{date, paths, picture, recall, worlds};

/// Does what the command line says.
///
/// # Errors
/// When there is no such memory, another program has it open, or it is damaged.
pub fn run(command: &MemoryCommand) -> Result<()> {
    match command {
        MemoryCommand::Stat(whose) => stat(&open(whose)?.1),
        MemoryCommand::Verify(whose) => verify(&mut open(whose)?.1),
        MemoryCommand::Export(args) => export(args),
        MemoryCommand::Prune(args) => prune(open(&args.whose)?.1, args.budget << 20),
    }
}

fn open(whose: &MemoryArgs) -> Result<(Arc<World>, Cold)> {
    let dir = worlds::find(&whose.world)?;
    let world = Arc::new(World::open(&dir, &engine::device::Device::Cpu, |_| ())?);
    let name = worlds::name(&dir, &world);
    let memory = whose.memory.clone().unwrap_or_else(paths::memory);
    let cold = recall::open_existing(&memory, &world, &name)?;
    Ok((world, cold))
}

fn stat(cold: &Cold) -> Result<()> {
    let stat = cold.stat()?;
    let mut out = io::stdout().lock();
    let when = |seconds: Option<u64>| seconds.map_or("never".to_owned(), date::format);
    let per_run = |count: u64| count as f64 / stat.runs.max(1) as f64;
    writeln!(out, "file      {}", cold.path().display())?;
    writeln!(
        out,
        "frames    {} in {} runs, {} of them pinned",
        stat.frames, stat.runs, stat.pinned
    )?;
    writeln!(out, "sessions  {}", stat.sessions)?;
    writeln!(
        out,
        "payload   {:.1} MB of at most {:.1}",
        megabytes(stat.payload_bytes),
        megabytes(cold.budget_bytes())
    )?;
    writeln!(out, "on disk   {:.1} MB", megabytes(stat.file_bytes))?;
    writeln!(out, "oldest    {}", when(stat.oldest))?;
    writeln!(out, "newest    {}", when(stat.newest))?;
    writeln!(out, "used      {} times, {:.2} a run", stat.uses, per_run(stat.uses))?;
    writeln!(out, "hits      {} from later walks, {:.2} a run", stat.hits, per_run(stat.hits))?;
    Ok(())
}

fn verify(cold: &mut Cold) -> Result<()> {
    let sound = cold.verify()?;
    let mended = if sound.mended { "; the store mended its books after a crash" } else { "" };
    let megabytes = megabytes(sound.payload_bytes);
    writeln!(
        io::stdout(),
        "sound: {} frames in {} runs, {megabytes:.1} MB{mended}",
        sound.frames,
        sound.runs
    )?;
    Ok(())
}

fn prune(mut cold: Cold, budget: u64) -> Result<()> {
    let gone = cold.prune(budget)?;
    let left = cold.stat()?;
    cold.close()?;
    writeln!(
        io::stdout(),
        "let go of {} runs; {:.1} MB are left",
        gone.len(),
        megabytes(left.payload_bytes)
    )?;
    Ok(())
}

/// Every remembered frame as a picture, and a list of them.
fn export(args: &MemoryExportArgs) -> Result<()> {
    let (world, cold) = open(&args.whose)?;
    std::fs::create_dir_all(&args.out).with_context(|| format!("create {}", args.out.display()))?;
    let bar = ProgressBar::new(cold.stat()?.frames);
    let size = (u32::try_from(world.config.width)?, u32::try_from(world.config.height)?);
    let mut listed = Vec::new();
    for run in cold.export()? {
        let run = run?;
        for (at, frame) in run.frames.iter().enumerate() {
            let name = format!("run_{:06}_{at}.png", run.entry.id.0);
            picture::write(&args.out.join(&name), &world.picture(&frame.latent)?, size)?;
            listed.push(json!({
                "file": name,
                "run": run.entry.id.0,
                "session": run.entry.session,
                "tick": frame.tick,
                "action": frame.action.to_vec(),
                "pose": frame.pose.map(|pose| [pose.x, pose.y, pose.yaw]),
                "kept_at": date::format(run.entry.kept_at),
                "uses": run.entry.uses,
                "hits": run.entry.hits,
                "pinned": run.entry.pinned,
            }));
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let list = args.out.join("frames.json");
    std::fs::write(&list, serde_json::to_string_pretty(&listed)? + "\n")
        .with_context(|| format!("write {}", list.display()))?;
    writeln!(io::stdout(), "{} frames in {}", listed.len(), args.out.display())?;
    Ok(())
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
