//! Which frames a moment sees: the ancestors of its branch, and earlier sessions.

use std::sync::Arc;

use crate::frame::FrameId;

/// Frames by their names, in ranges: frames are named in the order they are remembered, so what
/// lies between two checkpoints is a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Firsts and lasts of ranges that are over, in order and apart; shared by copies.
    past: Arc<[(u32, u32)]>,
    /// All from here on.
    from: u32,
}

impl Default for Seen {
    /// Sees everything.
    fn default() -> Self {
        Self { past: [].into(), from: 0 }
    }
}

impl Seen {
    pub(crate) fn holds(&self, frame: FrameId) -> bool {
        let FrameId(frame) = frame;
        let after = self.past.partition_point(|(_, last)| *last < frame);
        frame >= self.from || self.past.get(after).is_some_and(|(first, _)| *first <= frame)
    }

    /// What is seen now, where `next` is the next frame: nothing that comes.
    pub(crate) fn until(&self, next: u32) -> Self {
        if self.from >= next {
            return Self { past: Arc::clone(&self.past), from: u32::MAX };
        }
        let past = self.past.iter().copied().chain([(self.from, next - 1)]).collect();
        Self { past, from: u32::MAX }
    }

    /// The same, and all that comes, where `next` is the next frame.
    pub(crate) fn and_from(&self, next: u32) -> Self {
        match self.past.split_last() {
            // Nothing came between: the range goes on.
            Some(((first, last), past)) if last + 1 == next => {
                Self { past: past.into(), from: *first }
            }
            _ => Self { past: Arc::clone(&self.past), from: next },
        }
    }
}
