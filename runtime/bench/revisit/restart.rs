//! A walk across a restart of the program.
//!
//! The outward leg goes into a cold memory file as play goes into its own: run by run, and kept
//! only where it shows something new. Then the file is closed and opened again, and a fresh
//! [`Dreamer`] takes up what is in it before it opens with the last frames of the leg. These frames
//! alone stay out of the file, or the next walk would find its own opening there.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use engine::dreamer::{DreamOptions, Dreamer};
use engine::world::World;
use input::{Action, Pose};

use crate::recall::{Place, Recall};

/// Frames that a session opens with.
pub const OPENING: usize = 32;
/// Frames taken up at a time: few enough to be among the recent ones still when they are offered.
const CHUNK: usize = 16;

/// A walk that is real; entry `i` of each list is of one frame, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct Leg<'a> {
    /// Pictures, `(height, width, 3)` bytes each.
    pub frames: &'a [&'a [u8]],
    /// What was applied before each.
    pub actions: &'a [Action],
    /// Where each was seen from.
    pub poses: &'a [Pose],
}

/// Both ends of the outward leg.
#[derive(Debug)]
pub struct Walks {
    /// With all of the leg in memory.
    pub unbroken: Dreamer,
    /// In a program started anew.
    pub restarted: Dreamer,
}

/// Walks the outward leg, once in one go and once across a restart before its last [`OPENING`] frames.
///
/// # Errors
/// When the world cannot take the frames, or memory cannot be kept in a temporary folder.
pub fn walk(world: &Arc<World>, options: &DreamOptions, leg: Leg<'_>) -> Result<Walks> {
    let folder = tempfile::tempdir().context("make a folder for memory")?;
    let fresh = || Dreamer::new(Arc::clone(world), options.clone());
    let cut = leg.frames.len().saturating_sub(OPENING);
    let opening = leg.part(cut..leg.frames.len());

    let mut unbroken = fresh()?;
    let mut recall = open(folder.path(), &mut unbroken)?;
    for from in (0..cut).step_by(CHUNK) {
        let part = leg.part(from..cut.min(from + CHUNK));
        part.open(&mut unbroken)?;
        recall.remember(&unbroken, part.frames.len());
    }
    opening.open(&mut unbroken)?;
    recall.close()?;

    let mut restarted = fresh()?;
    open(folder.path(), &mut restarted)?.close()?;
    restarted.count_from(u64::try_from(cut)?);
    opening.open(&mut restarted)?;
    Ok(Walks { unbroken, restarted })
}

/// Opens the memory in `folder` and takes it up.
fn open(folder: &Path, dreamer: &mut Dreamer) -> Result<Recall> {
    let place = Place::Folder { dir: folder.to_owned(), forget: false };
    let mut told = String::new();
    let recall = place.open(dreamer, "revisit", &mut |line| told = line)?;
    recall.with_context(|| told)
}

impl<'a> Leg<'a> {
    fn part(self, range: Range<usize>) -> Self {
        let Self { frames, actions, poses } = self;
        Self {
            frames: &frames[range.clone()],
            actions: &actions[range.clone()],
            poses: &poses[range],
        }
    }

    fn open(self, dreamer: &mut Dreamer) -> Result<(), engine::error::Error> {
        dreamer.open_with_poses(self.frames, self.actions, self.poses)
    }
}
