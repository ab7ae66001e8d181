//! What a world remembers between walks: its file, opened before a walk and written beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use engine::dreamer::Dreamer;
use engine::world::World;
use memory::cold::{Cold, ColdError, ColdWriter, Header, Offer, Opened, RUN_FRAMES, Restored};
use memory::{FrameId, FrameStamp, Record};

use crate::date;

/// Where memory lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// In this walk alone.
    #[default]
    Nowhere,
    /// In a file of this folder, for walks to come.
    Folder {
        /// The folder.
        dir: PathBuf,
        /// Whether what was remembered is let go first.
        forget: bool,
    },
}

/// The memory of a walk on disk.
#[derive(Debug)]
pub struct Recall {
    writer: ColdWriter,
    restored: Restored,
    /// Frames that wait to make up a run.
    run: Vec<Record>,
}

impl Place {
    /// Opens the world's memory and takes it up into `dreamer`, which has no history yet; `None` where the walk
    /// remembers by itself alone, `tell` having said why.
    ///
    /// # Errors
    /// When the file can be neither used nor set aside.
    pub fn open(
        &self,
        dreamer: &mut Dreamer,
        name: &str,
        tell: &mut dyn FnMut(String),
    ) -> Result<Option<Recall>> {
        let Self::Folder { dir, forget } = self else { return Ok(None) };
        let header = header(dreamer.world(), name)?;
        let path = dir.join(header.file_name());
        let mut cold = match open(&path, &header) {
            Ok(Opened { cold, aside }) => {
                if let Some(aside) = aside {
                    warn(aside.to_string(), tell);
                }
                cold
            }
            Err(error) if error.is::<ColdError>() => {
                warn(format!("{error:#}; this walk remembers by itself alone"), tell);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        for other in Cold::of_other_weights(&path, &header).unwrap_or_default() {
            let other = other.display();
            warn(format!("other weights of this world left their memory: {other}"), tell);
        }
        if *forget {
            cold.forget().with_context(|| format!("forget {}", path.display()))?;
        }
        let (restored, key_frames) = dreamer.recall(&cold)?;
        if restored.frames > 0 {
            tell(format!("{} frames remembered from earlier walks", restored.frames));
        }
        let writer = ColdWriter::start(cold, key_frames).context("start the memory's thread")?;
        Ok(Some(Recall { writer, restored, run: Vec::new() }))
    }
}

impl Recall {
    /// Offers the frames the walk begins with, which are never let go for others.
    pub fn pin(&self, dreamer: &Dreamer) {
        let live = dreamer.history().live();
        let newest = &live[live.len().saturating_sub(RUN_FRAMES)..];
        self.offer(newest.iter().filter_map(|stamp| record(dreamer, *stamp)).collect(), true);
    }

    /// Offers what was dreamed, a run at a time: the newest `frames` frames.
    pub fn remember(&mut self, dreamer: &Dreamer, frames: usize) {
        let live = dreamer.history().live();
        let newest = &live[live.len().saturating_sub(frames)..];
        for stamp in newest {
            self.run.extend(record(dreamer, *stamp));
            if self.run.len() == RUN_FRAMES {
                let run = std::mem::take(&mut self.run);
                self.offer(run, false);
            }
        }
    }

    /// The next frame does not follow the last one: what is not yet a run will be none.
    pub fn break_off(&mut self) {
        self.run.clear();
    }

    /// Whether a frame was made in an earlier walk.
    pub fn is_earlier(&self, frame: FrameId) -> bool {
        self.restored.origin(frame).is_some()
    }

    /// Notes which earlier frames a section is made from; answers how many they are.
    pub fn note_use(&self, dreamer: &Dreamer) -> usize {
        let slots = dreamer.account().plan.iter().flat_map(|plan| &plan.slots);
        let frames = slots.flat_map(|slot| slot.group.frames.iter().copied());
        let earlier: Vec<_> = frames.filter(|frame| self.is_earlier(*frame)).collect();
        let runs = self.restored.runs_of(earlier.iter().copied());
        if !runs.is_empty() {
            self.writer.touch(runs);
        }
        earlier.len()
    }

    /// Messages to the writer that came to nothing.
    pub fn lost(&self) -> u64 {
        self.writer.lost()
    }

    /// What the player should be told since the last time.
    pub fn take_notice(&self) -> Option<String> {
        self.writer.notice()
    }

    /// Waits until all that was offered is in the file, and closes it.
    ///
    /// # Errors
    /// When part of it came to nothing.
    pub fn close(self) -> Result<()> {
        let lost = self.writer.lost();
        if let Some(notice) = self.writer.close() {
            bail!("{notice}");
        }
        ensure!(
            lost == 0,
            "expected all of the walk to be offered to memory, lost {lost} messages"
        );
        Ok(())
    }

    fn offer(&self, records: Vec<Record>, pinned: bool) {
        if !records.is_empty() {
            self.writer.keep(Offer { records, kept_at: date::seconds(), pinned });
        }
    }
}

/// The memory of a world in a folder, for those who look after it.
///
/// # Errors
/// When it is not there, is damaged, or another program has it open; nothing of it is changed.
pub fn open_existing(dir: &Path, world: &Arc<World>, name: &str) -> Result<Cold> {
    let header = header(world, name)?;
    let path = dir.join(header.file_name());
    ensure!(path.exists(), "expected a memory of {name}, got none: {}", path.display());
    let cold = Cold::open_sound(&path, &header, Cold::BUDGET_DEFAULT);
    cold.with_context(|| format!("open {}; a walk sets aside what it cannot use", path.display()))
}

/// The memory of a world in a folder, begun where it is not there.
///
/// # Errors
/// When another program has it open, or it cannot be written.
pub fn open_or_begin(dir: &Path, world: &World, name: &str) -> Result<Cold> {
    let header = header(world, name)?;
    let Opened { cold, aside } = open(&dir.join(header.file_name()), &header)?;
    if let Some(aside) = aside {
        tracing::warn!("{aside}");
    }
    Ok(cold)
}

/// What is told while a walk begins the next stage covers, and nobody sees it without a window: the log keeps it.
fn warn(notice: String, tell: &mut dyn FnMut(String)) {
    tracing::warn!("{notice}");
    tell(notice);
}

fn open(path: &Path, header: &Header) -> Result<Opened> {
    Ok(Cold::open(path, header, Cold::BUDGET_DEFAULT)?)
}

fn record(dreamer: &Dreamer, stamp: FrameStamp) -> Option<Record> {
    dreamer.history().warm().record(stamp.frame)
}

fn header(world: &World, name: &str) -> Result<Header> {
    let mut weights = [0; 32];
    ensure!(world.hash.len() == 64, "expected a hash of 64 digits, got {}", world.hash);
    for (byte, at) in weights.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&world.hash[at..at + 2], 16)?;
    }
    let model = &world.config.model;
    let shape =
        memory::FeatureShape { rows: model.height, columns: model.width, channels: model.channels };
    Ok(Header { world: name.to_owned(), weights, shape, action: model.action })
}
