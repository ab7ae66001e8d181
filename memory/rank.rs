//! Ranking: which remembered frames matter for the next section.
//!
//! `score(F) = mean over p of cos(F_p, X̂_p) + λ_time · exp(-Δt²)`, Δt in seconds of play
//! (FramePack eq. 3-5, with a mean where the paper has a sum). Frames of other sessions and
//! branches have no time in common with the section: their second term is 0. For a section of
//! several frames the first term is the mean over them; Δt is taken to its first.
//!
//! Play adds a third term, `λ_place · nearness` ([`Ranking::Reckoned`]): the mean over the section's
//! frames of [`Reckoned::nearness`] between where their own actions lead and where those up to F had
//! led. Unlike the paper's videos, play has a player, whose actions tell which view comes back before
//! anything of it is seen; X̂ shows the view before it, and a dreamed one at that. Other sessions and
//! branches began elsewhere: their third term is 0 as well, but for [charted](crate::History::chart)
//! frames where it is known where on their map the walk began.

use crate::error::Error;
use crate::feature::Estimate;
use crate::frame::{BranchId, FrameId, FrameStamp};
use crate::pose::{FieldOfView, Pose};
use crate::reckoned::Reckoned;
use crate::search::{Search, cover};
use crate::warm::Warm;

/// How frames are ranked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ranking {
    /// Mean cosine over positions, and nearness in time (eq. 5).
    Similarity {
        /// `λ_time`, the weight of nearness in time.
        time_weight: f32,
    },
    /// The same, and nearness of reckoned places: how worlds are played.
    Reckoned {
        /// `λ_time`, the weight of nearness in time.
        time_weight: f32,
        /// `λ_place`, the weight of nearness in place.
        place_weight: f32,
    },
    /// One cosine over averages over 2×2 blocks of positions, and nearness in time.
    Pooled {
        /// `λ_time`, the weight of nearness in time.
        time_weight: f32,
    },
    /// Greedy cover of the view: each frame is the one that shows most of what none before it did.
    /// Ends when no frame adds anything; frames without a pose do not take part.
    Pose(FieldOfView),
    /// The latest first.
    Recency,
    /// A different order every tick, the same for the same seed.
    Random {
        /// Seed of the order.
        seed: u64,
    },
}

/// The section that frames are ranked for.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Its estimated look, X̂.
    pub estimate: &'a Estimate,
    /// The stretch of play it continues.
    pub branch: BranchId,
    /// Tick of its first frame.
    pub tick: u64,
    /// Ticks in a second of play.
    pub ticks_per_second: f32,
    /// Where it will be seen from, where that is known.
    pub pose: Option<Pose>,
    /// Where the actions of its branch will have led at each of its frames; empty where they do not
    /// tell.
    pub reckoned: &'a [Reckoned],
    /// The branch of charted frames, where these places are of their map.
    pub map: Option<BranchId>,
    /// Frames that the section before it saw; empty where they are to have no advantage. Otherwise those that it did not see
    /// come one at a time, as many as the section has frames: each has to be encoded, and all sections should take as long.
    pub packed: &'a [FrameId],
}

/// Which of the ranked frames are taken.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    /// How many.
    pub count: usize,
    /// Ticks that frames of one branch keep between them, so that not all show one view.
    pub apart_ticks: u64,
    /// Frames left out, such as those of the recent window.
    pub exclude: &'a [FrameId],
}

/// A ranked frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// The frame.
    pub stamp: FrameStamp,
    /// Its score; higher is nearer.
    pub score: f32,
}

impl Warm {
    /// The best frames for the next section, best first; equal scores by age, oldest first.
    ///
    /// Exact: no frame is left out that could be among them, and cosines are summed in integers.
    ///
    /// # Errors
    /// When the estimate has another shape than the memory, or a ranking by pose has no pose.
    pub fn rank(
        &self,
        query: &Query<'_>,
        ranking: Ranking,
        selection: &Selection<'_>,
    ) -> Result<Vec<Hit>, Error> {
        self.rank_among(query, ranking, selection, |_| true)
    }

    /// The same among the frames that are `seen`.
    pub(crate) fn rank_among(
        &self,
        query: &Query<'_>,
        ranking: Ranking,
        selection: &Selection<'_>,
        seen: impl Fn(FrameId) -> bool,
    ) -> Result<Vec<Hit>, Error> {
        if query.estimate.shape() != self.shape() {
            let got = query.estimate.shape();
            return Err(Error::OtherShape { expected: self.shape(), got });
        }
        if let Ranking::Pose(view) = ranking {
            let pose = query.pose.ok_or(Error::NoPose)?;
            return Ok(cover(self, pose, view, selection, seen));
        }
        Ok(Search::new(self, query, ranking).select(selection, seen))
    }
}

impl Selection<'_> {
    /// Whether a frame may follow the hits before it.
    pub(crate) fn admits(&self, stamp: FrameStamp, hits: &[Hit]) -> bool {
        let near = |hit: &Hit| hit.stamp.is_near(stamp, self.apart_ticks);
        !hits.iter().any(near) && !self.exclude.contains(&stamp.frame)
    }
}
