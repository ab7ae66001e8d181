//! The history of a world: the live branch in order, and everything remembered.

use std::sync::Arc;

use crate::error::Error;
use crate::feature::{Feature, FeatureShape};
use crate::frame::{BranchId, FrameId, FrameStamp};
use crate::pose::Pose;
use crate::rank::{Hit, Query, Ranking, Selection};
use crate::reckoned::Reckoned;
use crate::search::select_by;
use crate::seen::Seen;
use crate::warm::{Record, Warm};

/// What there is to remember of a new frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// Its latent in 16-bit floats, by their bits.
    pub latent: Arc<[u16]>,
    /// Features of the action that led to it.
    pub action: Arc<[f32]>,
    /// What it looks like.
    pub feature: Feature,
    /// Where it was seen from, where that is known.
    pub pose: Option<Pose>,
    /// Where the actions of its branch had led, where they tell.
    pub reckoned: Option<Reckoned>,
}

/// Ticks between charted frames: more than any selection keeps apart.
const CHARTED_APART: u64 = 1 << 32;

/// The live branch's recent frames, and warm memory. Nothing grows with the session.
#[derive(Clone, Debug)]
pub struct History {
    warm: Warm,
    /// Frames leading up to now, the newest last; at most twice the window.
    live: Vec<FrameStamp>,
    window: usize,
    branch: BranchId,
    /// The frames that ranking sees: all but those of futures that were taken back.
    seen: Seen,
    next_frame: u32,
    next_branch: u32,
}

/// A moment of a history that play can go back to. Costs some bytes for each frame of the window;
/// what the frames hold is shared.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Frames leading up to it, the newest last.
    live: Arc<[Record]>,
    branch: BranchId,
    seen: Seen,
}

impl History {
    /// An empty history in its first branch. `window`: frames kept in order and never let go,
    /// at least those that the schedule packs as recent; `capacity`: frames remembered.
    ///
    /// # Errors
    /// When the shape is empty or too large, or the capacity does not exceed the window.
    pub fn new(shape: FeatureShape, capacity: usize, window: usize) -> Result<Self, Error> {
        if capacity <= window {
            return Err(Error::Capacity { window, capacity });
        }
        let warm = Warm::new(shape, capacity)?;
        let branch = BranchId(0);
        let seen = Seen::default();
        Ok(Self { warm, live: Vec::new(), window, branch, seen, next_frame: 0, next_branch: 1 })
    }

    /// Remembers the frame made at `tick` as the newest of the live branch.
    ///
    /// # Errors
    /// When the feature has another shape, or no name is left.
    pub fn remember(&mut self, tick: u64, look: Look) -> Result<FrameStamp, Error> {
        let next_frame = self.next_frame.checked_add(1).ok_or(Error::NamesUsedUp)?;
        let stamp = FrameStamp { frame: FrameId(self.next_frame), branch: self.branch, tick };
        // The window is in use whatever else was retrieved since.
        for recent in recent(&self.live, self.window) {
            self.warm.touch(recent.frame);
        }
        let Look { latent, action, feature, pose, reckoned } = look;
        self.warm.insert(Record { stamp, latent, action, feature, pose, reckoned })?;
        self.next_frame = next_frame;
        if self.live.len() == 2 * self.window {
            self.live.drain(..self.window);
        }
        self.live.push(stamp);
        Ok(stamp)
    }

    /// Takes up a frame of an earlier session; new frames and branches are named after it. Called
    /// before the first checkpoint: earlier ones do not see it.
    ///
    /// # Errors
    /// When the feature has another shape, or no name is left.
    pub fn restore(&mut self, record: Record) -> Result<(), Error> {
        let stamp = record.stamp;
        let next_frame = stamp.frame.0.checked_add(1).ok_or(Error::NamesUsedUp)?;
        let next_branch = stamp.branch.0.checked_add(1).ok_or(Error::NamesUsedUp)?;
        self.warm.insert(record)?;
        self.next_frame = self.next_frame.max(next_frame);
        if self.next_branch < next_branch {
            self.next_branch = next_branch;
        }
        Ok(())
    }

    /// Takes up frames of a map as a branch of their own: they stay remembered, whatever else is let go, and no two of
    /// them are near in time. Called before the first checkpoint: earlier ones do not see them.
    ///
    /// # Errors
    /// When they and the window take all room, a feature has another shape, or no name is left.
    pub fn chart(&mut self, looks: impl ExactSizeIterator<Item = Look>) -> Result<BranchId, Error> {
        let (capacity, fixed) = (self.warm.capacity(), self.warm.fixed() + looks.len());
        if capacity <= self.window + fixed {
            return Err(Error::Capacity { window: self.window + fixed, capacity });
        }
        let branch = BranchId(self.next_branch);
        self.next_branch = self.next_branch.checked_add(1).ok_or(Error::NamesUsedUp)?;
        for (number, look) in (0..).zip(looks) {
            let frame = FrameId(self.next_frame);
            self.next_frame = self.next_frame.checked_add(1).ok_or(Error::NamesUsedUp)?;
            let stamp = FrameStamp { frame, branch, tick: CHARTED_APART * number };
            let Look { latent, action, feature, pose, reckoned } = look;
            self.warm.insert(Record { stamp, latent, action, feature, pose, reckoned })?;
            self.warm.fix(frame);
        }
        Ok(branch)
    }

    /// Begins a session: a new branch without any recent frame.
    ///
    /// # Errors
    /// When no name is left.
    pub fn begin(&mut self) -> Result<BranchId, Error> {
        let next_branch = self.next_branch.checked_add(1).ok_or(Error::NamesUsedUp)?;
        self.branch = BranchId(self.next_branch);
        self.next_branch = next_branch;
        self.live.clear();
        Ok(self.branch)
    }

    /// This moment, to go back to with [`Self::restore_checkpoint`].
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        let record = |stamp: &FrameStamp| self.warm.record(stamp.frame);
        let live = self.live().iter().filter_map(record).collect();
        Checkpoint { live, branch: self.branch, seen: self.seen.until(self.next_frame) }
    }

    /// Goes back to a moment of this history. Its branch goes on from there, and its ranking sees
    /// what it saw then, less what was let go since: nothing that came after it, in this branch or
    /// another. Those frames stay remembered for checkpoints that saw them, as long as there is
    /// room. Any checkpoint can be restored, in any order, any number of times.
    ///
    /// # Errors
    /// When the checkpoint is of a history with features of another shape.
    pub fn restore_checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), Error> {
        for record in checkpoint.live.iter() {
            self.warm.insert(record.clone())?;
        }
        self.live = checkpoint.live.iter().map(|record| record.stamp).collect();
        self.branch = checkpoint.branch;
        self.seen = checkpoint.seen.and_from(self.next_frame);
        Ok(())
    }

    /// The best of the frames that are seen from here, best first; see [`Warm::rank`].
    ///
    /// # Errors
    /// When the estimate has another shape than the memory, or a ranking by pose has no pose.
    pub fn rank(
        &self,
        query: &Query<'_>,
        ranking: Ranking,
        selection: &Selection<'_>,
    ) -> Result<Vec<Hit>, Error> {
        self.warm.rank_among(query, ranking, selection, |frame| self.seen.holds(frame))
    }

    /// The best of the frames that are seen from here by scores of the caller's, best first; equal scores by age,
    /// oldest first. Frames without a score do not take part.
    #[must_use]
    pub fn rank_by(
        &self,
        score: impl Fn(FrameId) -> Option<f32>,
        selection: &Selection<'_>,
    ) -> Vec<Hit> {
        select_by(&self.warm, score, selection, |frame| self.seen.holds(frame))
    }

    /// Recent frames in order, the newest last; at least the window where there are as many.
    #[must_use]
    pub fn live(&self) -> &[FrameStamp] {
        recent(&self.live, self.window)
    }

    /// Frames that fit beside the window.
    pub(crate) fn room(&self) -> usize {
        self.warm.capacity() - self.window
    }

    /// Names that no frame and no branch has had.
    pub(crate) fn next_names(&self) -> (FrameId, BranchId) {
        (FrameId(self.next_frame), BranchId(self.next_branch))
    }

    /// The branch that new frames belong to.
    #[must_use]
    pub fn branch(&self) -> BranchId {
        self.branch
    }

    /// All that is remembered.
    #[must_use]
    pub fn warm(&self) -> &Warm {
        &self.warm
    }

    /// All that is remembered, to mark what is used.
    pub fn warm_mut(&mut self) -> &mut Warm {
        &mut self.warm
    }
}

fn recent(live: &[FrameStamp], window: usize) -> &[FrameStamp] {
    &live[live.len().saturating_sub(window)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: FeatureShape = FeatureShape { rows: 2, columns: 2, channels: 1 };

    fn look(value: u16) -> Look {
        let feature = Feature::new(SHAPE, &[f32::from(value); 4]).unwrap();
        Look {
            latent: vec![value; 4].into(),
            action: [0.0].into(),
            feature,
            pose: None,
            reckoned: None,
        }
    }

    fn play(history: &mut History, ticks: std::ops::Range<u64>) -> Vec<FrameStamp> {
        ticks.map(|tick| history.remember(tick, look(7)).unwrap()).collect()
    }

    fn ids(stamps: &[FrameStamp]) -> Vec<u32> {
        stamps.iter().map(|stamp| stamp.frame.0).collect()
    }

    #[test]
    fn the_window_is_bounded_and_in_order() {
        let mut history = History::new(SHAPE, 100, 4).unwrap();
        for tick in 0..50 {
            play(&mut history, tick..tick + 1);
            let newest = u32::try_from(tick).unwrap();
            let expected: Vec<u32> = (newest.saturating_sub(3)..=newest).collect();
            assert_eq!(ids(history.live()), expected);
            assert!(history.live.len() <= 8);
        }
    }

    #[test]
    fn recent_frames_are_never_let_go() {
        let mut history = History::new(SHAPE, 6, 4).unwrap();
        for tick in 0..40 {
            play(&mut history, tick..tick + 1);
            // Retrieval keeps the oldest frames in use.
            let old: Vec<_> = history.warm().frames().iter().map(|f| f.stamp.frame).collect();
            let oldest = old.iter().min().copied().unwrap();
            history.warm_mut().touch(oldest);
            for stamp in history.live() {
                assert!(history.warm().peek(stamp.frame).is_some(), "{stamp:?} is gone");
            }
            assert!(history.warm().len() <= 6);
        }
        assert!(history.warm().peek(FrameId(0)).is_some(), "the one in use stays");
    }

    #[test]
    fn restored_frames_keep_their_names() {
        let mut history = History::new(SHAPE, 100, 8).unwrap();
        let Look { latent, action, feature, pose, reckoned } = look(3);
        let stamp = FrameStamp { frame: FrameId(40), branch: BranchId(9), tick: 5 };
        history.restore(Record { stamp, latent, action, feature, pose, reckoned }).unwrap();
        assert_eq!(history.begin().unwrap(), BranchId(10));
        assert_eq!(play(&mut history, 0..1)[0].frame, FrameId(41));
        assert_eq!(ids(history.live()), [41]);
        assert_eq!(history.warm().peek(FrameId(40)).map(|r| r.latent[0]), Some(3));
    }

    #[test]
    fn scores_from_elsewhere_rank_under_the_same_rules() {
        let mut history = History::new(SHAPE, 100, 4).unwrap();
        play(&mut history, 0..20);
        let best = |apart_ticks, exclude: &[FrameId]| {
            let selection = Selection { count: 3, apart_ticks, exclude };
            // Frames below 3 are not known; 9 and 10 are equally good.
            let score = |frame: FrameId| {
                (frame.0 >= 3).then(|| -(f32::from(u16::try_from(frame.0).unwrap()) - 9.5).abs())
            };
            let hits = history.rank_by(score, &selection);
            hits.iter().map(|hit| hit.stamp.frame.0).collect::<Vec<_>>()
        };
        assert_eq!(best(0, &[]), [9, 10, 8]);
        assert_eq!(best(4, &[]), [9, 13, 5]);
        assert_eq!(best(0, &[FrameId(9)]), [10, 8, 11]);
        assert!(
            history
                .rank_by(|_| None, &Selection { count: 3, apart_ticks: 0, exclude: &[] })
                .is_empty()
        );
    }

    #[test]
    fn a_memory_smaller_than_the_window_is_refused() {
        let error = History::new(SHAPE, 4, 4).expect_err("too small");
        assert_eq!(error, Error::Capacity { window: 4, capacity: 4 });
    }
}
