//! `oneiro memory`: looking after what worlds remember.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use engine::world::World;
use indicatif::ProgressBar;
use memory::cold::{Cold, ColdFrame, Entry, NewRun, Run};
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
    writeln!(out, "on disk   {:.1} MB", megabytes(stat.disk_bytes))?;
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

/// Every remembered frame's picture: into a folder with a list of them, into another memory, or both.
fn export(args: &MemoryExportArgs) -> Result<()> {
    let (world, cold) = open(&args.whose)?;
    let mut folder = args.out.as_deref().map(|out| Folder::new(out, &world)).transpose()?;
    let mut heir = args.to.as_deref().map(|to| Heir::open(to, &args.whose, &world)).transpose()?;
    let bar = ProgressBar::new(cold.stat()?.frames);
    let mut entries = cold.entries()?;
    // What was used last is taken over last, and so stays what was used last.
    entries.reverse();
    for entry in entries {
        let run = Run { entry, frames: cold.frames(entry.id)? };
        let pictures = run.frames.iter().map(|frame| world.picture(&frame.latent));
        let pictures: Vec<Vec<u8>> = pictures.collect::<Result<_, _>>()?;
        if let Some(folder) = &mut folder {
            folder.take(&run, &pictures)?;
        }
        if let Some(heir) = &mut heir {
            heir.take(&run, &pictures)?;
        }
        bar.inc(run.frames.len() as u64);
    }
    bar.finish_and_clear();
    if let Some(folder) = folder {
        folder.finish()?;
    }
    heir.map_or(Ok(()), Heir::finish)
}

/// A folder of pictures.
struct Folder {
    dir: PathBuf,
    size: (u32, u32),
    listed: Vec<serde_json::Value>,
}

impl Folder {
    fn new(dir: &Path, world: &World) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        let size = (u32::try_from(world.config.width)?, u32::try_from(world.config.height)?);
        Ok(Self { dir: dir.to_owned(), size, listed: Vec::new() })
    }

    fn take(&mut self, run: &Run, pictures: &[Vec<u8>]) -> Result<()> {
        let Run { entry, frames } = run;
        for (at, (frame, pixels)) in frames.iter().zip(pictures).enumerate() {
            let name = format!("run_{:06}_{at}.png", entry.id.0);
            picture::write(&self.dir.join(&name), pixels, self.size)?;
            self.listed.push(json!({
                "file": name,
                "run": entry.id.0,
                "session": entry.session,
                "tick": frame.tick,
                "action": frame.action.to_vec(),
                "pose": frame.pose.map(|pose| [pose.x, pose.y, pose.yaw]),
                "kept_at": date::format(entry.kept_at),
                "uses": entry.uses,
                "hits": entry.hits,
                "pinned": entry.pinned,
            }));
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        let list = self.dir.join("frames.json");
        std::fs::write(&list, serde_json::to_string_pretty(&self.listed)? + "\n")
            .with_context(|| format!("write {}", list.display()))?;
        writeln!(io::stdout(), "{} frames in {}", self.listed.len(), self.dir.display())?;
        Ok(())
    }
}

/// The memory of other weights, which takes frames over.
struct Heir {
    world: World,
    cold: Cold,
    runs: usize,
}

impl Heir {
    fn open(to: &Path, whose: &MemoryArgs, from: &World) -> Result<Self> {
        let dir = worlds::find(to)?;
        let world = World::open(&dir, &engine::device::Device::Cpu, |_| ())?;
        ensure!(world.hash != from.hash, "these are the same weights: {}", dir.display());
        let fits = |world: &World| {
            let config = &world.config;
            (config.width, config.height, config.layout.feature_count())
        };
        let (want, got) = (fits(from), fits(&world));
        ensure!(want == got, "expected pictures and actions of {want:?}, got {got:?}");
        let memory = whose.memory.clone().unwrap_or_else(paths::memory);
        let cold = recall::open_or_begin(&memory, &world, &worlds::name(&dir, &world))?;
        Ok(Self { world, cold, runs: 0 })
    }

    fn take(&mut self, run: &Run, pictures: &[Vec<u8>]) -> Result<()> {
        let (width, height) = (self.world.config.width, self.world.config.height);
        let latents = self.world.latents(&pictures.concat(), height, width)?;
        let frames = run.frames.iter().zip(latents);
        let frames = frames.map(|(frame, latent)| ColdFrame { latent, ..frame.clone() }).collect();
        let Entry { kept_at, pinned, .. } = run.entry;
        self.cold.keep(&NewRun { frames, kept_at, pinned })?;
        self.runs += 1;
        Ok(())
    }

    fn finish(self) -> Result<()> {
        let path = self.cold.path().to_owned();
        self.cold.close()?;
        writeln!(io::stdout(), "{} runs taken over by {}", self.runs, path.display())?;
        Ok(())
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
