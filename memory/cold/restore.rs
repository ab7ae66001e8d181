//! Start-up: what earlier sessions saw, back in a history.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Cold;
use super::error::ColdError;
use super::key_frames::KeyFrames;
use super::run::{ColdFrame, Run, RunId};
use crate::error::Error;
use crate::feature::Feature;
use crate::frame::{BranchId, FrameId, FrameStamp};
use crate::history::History;
use crate::warm::Record;

/// What a history took up from disk.
#[derive(Debug)]
pub struct Restored {
    /// Frames taken up.
    pub frames: usize,
    origins: HashMap<FrameId, Origin>,
}

/// Where a frame of an earlier session came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The run it lies in.
    pub run: RunId,
    /// The session it was made in.
    pub session: u32,
}

impl Restored {
    /// Where a frame came from; `None` for those of this session.
    #[must_use]
    pub fn origin(&self, frame: FrameId) -> Option<Origin> {
        self.origins.get(&frame).copied()
    }

    /// The runs that hold any of `frames`, each once: what to [touch](super::ColdWriter::touch)
    /// after these were hit.
    pub fn runs_of(&self, frames: impl IntoIterator<Item = FrameId>) -> Vec<RunId> {
        let runs = frames.into_iter().filter_map(|frame| self.origin(frame));
        runs.map(|origin| origin.run).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// A run with the looks of its frames.
struct Seen {
    run: Run,
    looks: Vec<Feature>,
}

impl Cold {
    /// Takes the last used runs up into a history before its first frame, pinned ones first, as
    /// many as have at most `frames` frames; no more than the history holds beside its window.
    ///
    /// Frames get fresh names in the order they were made in, each session a branch of its own;
    /// the last used are the last to be let go. `look` makes of a latent's 16-bit floats what it
    /// looks like. The key frames are those of all runs, for a
    /// [`ColdWriter`](super::ColdWriter).
    ///
    /// # Errors
    /// Where the file cannot be read, `look` refuses a latent, or the history a frame.
    pub fn restore(
        &self,
        history: &mut History,
        frames: usize,
        mut look: impl FnMut(&[u16]) -> Result<Feature, Error>,
    ) -> Result<(Restored, KeyFrames), ColdError> {
        let mut key_frames = KeyFrames::new(self.shape, KeyFrames::THRESHOLD_DEFAULT)?;
        let mut seen = Vec::new();
        let mut room = frames.min(history.room());
        let mut entries = self.entries()?;
        // Stable: the last used first among each.
        entries.sort_by_key(|entry| !entry.pinned);
        for entry in entries {
            let run = Run { entry, frames: self.frames(entry.id)? };
            let key = KeyFrames::of_run(run.frames.len());
            let taken = run.frames.len() <= room;
            if taken {
                let looks = run.frames.iter().map(|frame| look(&frame.latent));
                let looks = looks.collect::<Result<Vec<_>, _>>()?;
                key_frames.add(entry.id, looks[key].clone(), entry.pinned)?;
                room -= run.frames.len();
                seen.push(Seen { run, looks });
            } else {
                // No smaller one follows in its place: what is restored is the last used.
                room = 0;
                key_frames.add(entry.id, look(&run.frames[key].latent)?, entry.pinned)?;
            }
        }
        let origins = take_up(history, seen)?;
        Ok((Restored { frames: origins.len(), origins }, key_frames))
    }
}

/// Names the frames in the order they were made, then takes them up in the order of their use.
fn take_up(history: &mut History, mut seen: Vec<Seen>) -> Result<HashMap<FrameId, Origin>, Error> {
    let (FrameId(mut next_frame), BranchId(mut next_branch)) = history.next_names();
    let mut names: BTreeMap<(u32, RunId), (u32, u32)> = BTreeMap::new();
    let count = |seen: &Seen| u32::try_from(seen.looks.len()).unwrap_or_default();
    for seen in &seen {
        names.insert((seen.run.entry.session, seen.run.entry.id), (count(seen), 0));
    }
    let mut session = None;
    for ((of, _), name) in &mut names {
        if session.replace(*of).is_some_and(|before| before != *of) {
            next_branch = next_branch.checked_add(1).ok_or(Error::NamesUsedUp)?;
        }
        let frames = name.0;
        *name = (next_frame, next_branch);
        next_frame = next_frame.checked_add(frames).ok_or(Error::NamesUsedUp)?;
    }

    let mut origins = HashMap::new();
    seen.reverse();
    for Seen { run: Run { entry, frames }, looks } in seen {
        let origin = Origin { run: entry.id, session: entry.session };
        let (first, branch) = names[&(entry.session, entry.id)];
        for ((frame, feature), name) in frames.into_iter().zip(looks).zip(first..) {
            let ColdFrame { tick, latent, action, pose } = frame;
            let stamp = FrameStamp { frame: FrameId(name), branch: BranchId(branch), tick };
            // What an earlier session's actions led to has no origin in common with this one's.
            let reckoned = None;
            history.restore(Record { stamp, latent, action, feature, pose, reckoned })?;
            origins.insert(stamp.frame, origin);
        }
    }
    Ok(origins)
}
