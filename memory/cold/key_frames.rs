//! Which runs are worth keeping: those whose view is new.

use std::collections::BTreeSet;

use super::run::RunId;
use crate::error::Error;
use crate::feature::{Feature, FeatureShape};
use crate::frame::{BranchId, FrameId, FrameStamp};
use crate::rank::{Query, Ranking, Selection};
use crate::warm::{Record, Warm};

/// The key frames of all runs that are kept.
#[derive(Debug)]
pub struct KeyFrames {
    /// Named by their runs.
    views: Warm,
    pinned: BTreeSet<RunId>,
    threshold: f32,
}

/// What to do with a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Keep it: its view is new.
    Keep,
    /// Mark the run that shows nearly the same as used.
    Refresh(RunId),
}

impl KeyFrames {
    /// Mean cosine over positions (eq. 3) from which two views count as one.
    ///
    /// Measured over 52 000 pairs of recorded frames of the shipped worlds, doom-rooms and mazes: from
    /// one place, views turned by 1 to 3 degrees have a median of 0.85 and 0.88, by 6 to 10 degrees of
    /// 0.74 and 0.65, by more than 45 degrees of 0.64 and 0.49.
    pub const THRESHOLD_DEFAULT: f32 = 0.8;

    /// No key frames yet. `threshold`: mean cosine, -1 to 1.
    ///
    /// # Errors
    /// When the shape is empty or too large.
    pub fn new(shape: FeatureShape, threshold: f32) -> Result<Self, Error> {
        let views = Warm::new(shape, usize::MAX)?;
        Ok(Self { views, pinned: BTreeSet::new(), threshold })
    }

    /// The frame that stands for a run of so many: the middle one, nearest to all others.
    #[must_use]
    pub fn of_run(frames: usize) -> usize {
        frames / 2
    }

    /// What to do with a run that looks like `view`. One to be pinned is kept unless it would only
    /// repeat another pinned one.
    ///
    /// # Errors
    /// When the view has another shape.
    pub fn choose(&self, view: &Feature, pinned: bool) -> Result<Choice, Error> {
        let query = Query {
            estimate: &view.to_estimate()?,
            branch: OWN,
            tick: 0,
            ticks_per_second: 1.0,
            pose: None,
            reckoned: &[],
            map: None,
            packed: &[],
        };
        let selection = Selection { count: 1, apart_ticks: 0, exclude: &[] };
        let ranking = Ranking::Similarity { time_weight: 0.0 };
        let is_candidate = |frame: FrameId| !pinned || self.pinned.contains(&RunId(frame.0));
        let best = self.views.rank_among(&query, ranking, &selection, is_candidate)?;
        Ok(match best.first() {
            Some(hit) if hit.score >= self.threshold => Choice::Refresh(RunId(hit.stamp.frame.0)),
            _ => Choice::Keep,
        })
    }

    /// Takes up the key frame of a run that was kept.
    ///
    /// # Errors
    /// When the view has another shape.
    pub fn add(&mut self, run: RunId, view: Feature, pinned: bool) -> Result<(), Error> {
        let stamp = FrameStamp { frame: FrameId(run.0), branch: OWN, tick: 0 };
        let (latent, action) = ([].into(), [].into());
        self.views.insert(Record {
            stamp,
            latent,
            action,
            feature: view,
            pose: None,
            reckoned: None,
        })?;
        if pinned {
            self.pinned.insert(run);
        }
        Ok(())
    }

    /// Forgets the key frame of a run that was let go.
    pub fn remove(&mut self, run: RunId) {
        self.views.remove(FrameId(run.0));
        self.pinned.remove(&run);
    }

    /// Runs it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.views.len()
    }

    /// Whether it knows none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.views.is_empty()
    }
}

/// Key frames are compared by look alone; one branch serves all.
const OWN: BranchId = BranchId(0);

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: FeatureShape = FeatureShape { rows: 1, columns: 1, channels: 2 };

    /// A view at an angle: views are as similar as the cosine of the angle between them.
    fn view(degrees: f32) -> Feature {
        let (y, x) = degrees.to_radians().sin_cos();
        Feature::new(SHAPE, &[x, y]).unwrap()
    }

    #[test]
    fn a_run_is_kept_when_its_view_is_new() {
        // 0.9 is the cosine of 25.8 degrees.
        let mut keys = KeyFrames::new(SHAPE, 0.9).unwrap();
        let choose = |keys: &KeyFrames, degrees| keys.choose(&view(degrees), false).unwrap();
        assert_eq!(choose(&keys, 0.0), Choice::Keep);
        keys.add(RunId(4), view(0.0), false).unwrap();
        keys.add(RunId(7), view(40.0), false).unwrap();
        assert_eq!(choose(&keys, 24.0), Choice::Refresh(RunId(7)));
        assert_eq!(choose(&keys, -24.0), Choice::Refresh(RunId(4)));
        assert_eq!(choose(&keys, -28.0), Choice::Keep);
        keys.remove(RunId(4));
        assert_eq!((choose(&keys, -24.0), keys.len()), (Choice::Keep, 1));
    }

    #[test]
    fn a_run_to_be_pinned_is_kept_once() {
        let mut keys = KeyFrames::new(SHAPE, 0.9).unwrap();
        keys.add(RunId(0), view(0.0), false).unwrap();
        assert_eq!(keys.choose(&view(0.0), true).unwrap(), Choice::Keep);
        keys.add(RunId(1), view(10.0), true).unwrap();
        assert_eq!(keys.choose(&view(0.0), true).unwrap(), Choice::Refresh(RunId(1)));
        assert_eq!(keys.choose(&view(0.0), false).unwrap(), Choice::Refresh(RunId(0)));
    }
}
