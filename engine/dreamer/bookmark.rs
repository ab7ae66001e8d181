//! Moments of a walk to go back to.

use super::{Dreamer, Section};
use crate::error::Error;
use crate::reckoning::Reckoning;
use memory::{Checkpoint, FrameId};
use std::sync::Arc;

/// A moment of a walk: its history, its clock and with that the noise to come, its place. Shares what its frames
/// hold with the walk.
#[derive(Clone, Debug)]
pub struct Bookmark {
    history: Checkpoint,
    tick: u64,
    stirred: u64,
    reckoning: Reckoning,
    recent_actions: [Arc<[f32]>; 2],
    packed: Vec<FrameId>,
}

impl Dreamer {
    /// This moment, between two sections.
    #[must_use]
    pub fn bookmark(&self) -> Bookmark {
        Bookmark {
            history: self.history.checkpoint(),
            tick: self.tick,
            stirred: self.stirred,
            reckoning: self.reckoning.clone(),
            recent_actions: self.recent_actions.clone(),
            packed: self.packed.clone(),
        }
    }

    /// Goes back to a moment of this walk, any number of times. From there the same actions lead to
    /// the same frames; what came after it is not seen again.
    ///
    /// # Errors
    /// When the bookmark is of a walk in another world.
    pub fn go_back(&mut self, bookmark: &Bookmark) -> Result<(), Error> {
        self.history.restore_checkpoint(&bookmark.history)?;
        self.tick = bookmark.tick;
        self.stirred = bookmark.stirred;
        self.reckoning = bookmark.reckoning.clone();
        self.recent_actions = bookmark.recent_actions.clone();
        self.packed.clone_from(&bookmark.packed);
        self.section = Section::default();
        Ok(())
    }
}
