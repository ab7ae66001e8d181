//! What of everything remembered comes back for the section.

use super::Dreamer;
use crate::atlas::{BEARING, bearing};
use crate::error::Error;
use crate::pack::{Arrangement, PackPlan, TAIL_MAX, Tail};
use input::Room;
use memory::{FrameId, FrameStamp, Query, Ranking, Selection};

impl Dreamer {
    /// Ranks everything remembered by the estimate.
    pub fn retrieve(&mut self) -> Result<(), Error> {
        self.account.hits.clear();
        let Some(estimate) = &self.section.estimate else { return Ok(()) };
        let reckoned = self.reckoning.ahead(&self.section.actions);
        let query = Query {
            estimate,
            branch: self.history.branch(),
            tick: self.tick,
            ticks_per_second: self.world.config.fps,
            pose: self.pose,
            reckoned: &reckoned,
            map: self.map,
            // Play's own ranking alone: those of the paper stay as it gives them.
            packed: if let Ranking::Reckoned { .. } = self.ranking { &self.packed } else { &[] },
        };
        let exclude = self.not_retrieved();
        self.account.hits = self.history.rank(&query, self.ranking, &self.selection(&exclude))?;
        Ok(())
    }

    /// Where the frames that a plan retrieves were seen from, as each of the section's frames sees it; nothing where no
    /// map tells, or the network is not told.
    pub(super) fn bearings(&self, plan: &PackPlan) -> Vec<f32> {
        let count = self.world.model.config().bearings;
        let (Some(map), true) = (self.map, count > 0) else { return Vec::new() };
        let branches = [map, self.history.branch()];
        let place = |frame: FrameId| {
            let record = self.history.warm().peek(frame)?;
            record.reckoned.filter(|_| branches.contains(&record.stamp.branch))
        };
        let views: Vec<_> = plan.retrieved().take(count).map(place).collect();
        let mut told = Vec::new();
        for here in self.reckoning.ahead(&self.section.actions) {
            let row = told.len() + count * BEARING;
            for view in &views {
                let seen = view.map(|view| bearing(here.pose, view.pose));
                told.extend(seen.unwrap_or_default());
            }
            told.resize(row, 0.0);
        }
        told
    }

    /// Where the section's frames are seen from, as its actions lead; nothing where no map tells, or the network is not
    /// shown what an atlas shows from there.
    pub(super) fn places(&self) -> Vec<[f32; 3]> {
        if self.map.is_none() || self.world.shown_atlas().is_none() {
            return Vec::new();
        }
        let ahead = self.reckoning.ahead(&self.section.actions);
        ahead.iter().map(|here| [here.pose.x, here.pose.y, here.pose.yaw]).collect()
    }

    /// What the world's atlas shows from where the walk has come to, without the network: RGB, row by row. `None` where no
    /// map tells where that is, or its views cannot be warped.
    pub fn shown_by_atlas(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let (world, place) = (&self.world, self.reckoning.place());
        let Some((atlas, place)) = world.atlas.as_ref().zip(place.filter(|_| self.map.is_some()))
        else {
            return Ok(None);
        };
        let canvas = self.renderer.canvas((atlas, &world.codec), place.pose, |_| false)?;
        Ok(canvas.map(|canvas| canvas.pixels))
    }

    /// What the atlas showed from where the newest frame is, which the network painted over: RGB, row by row. `None` where
    /// it showed nothing.
    #[must_use]
    pub fn painted_over(&self) -> Option<&[u8]> {
        self.section.canvases.last().map(|canvas| canvas.pixels.as_slice())
    }

    /// How much room there is to walk from where the walk has come to; `None` where no map tells.
    #[must_use]
    pub fn room(&self) -> Option<Room> {
        self.map.and_then(|_| self.reckoning.room())
    }

    /// Ranks everything remembered by scores of the caller's, higher first, in place of [`Self::retrieve`]; frames
    /// without one are not retrieved.
    pub fn retrieve_by(&mut self, score: impl Fn(FrameId) -> Option<f32>) {
        let exclude = self.not_retrieved();
        self.account.hits = self.history.rank_by(score, &self.selection(&exclude));
    }

    /// Frames that the ranking leaves out: those that the schedule packs as recent, unless they are ranked as well.
    pub fn not_retrieved(&self) -> Vec<FrameId> {
        let live = self.history.live();
        let tail = if self.schedule.tail() == Tail::Compress { TAIL_MAX } else { 0 };
        let recent = live.len().saturating_sub(self.schedule.history_frames() + tail);
        let names = |stamps: &[FrameStamp]| stamps.iter().map(|stamp| stamp.frame).collect();
        let mut exclude: Vec<FrameId> = match self.options.arrangement {
            Arrangement::Permutation => Vec::new(),
            Arrangement::Default | Arrangement::Recency => names(&live[recent..]),
        };
        let limit = self.retrievable_before.unwrap_or(FrameId(u32::MAX));
        exclude
            .extend(live[..recent].iter().map(|stamp| stamp.frame).filter(|&frame| frame >= limit));
        exclude
    }

    /// As many as the plan has places for: the less is asked for, the less has to be looked at closely.
    fn selection<'a>(&self, exclude: &'a [FrameId]) -> Selection<'a> {
        let (count, apart_ticks) = match self.options.arrangement {
            Arrangement::Permutation => (self.schedule.history_frames(), 0),
            Arrangement::Default | Arrangement::Recency => {
                (self.schedule.finest_groups().saturating_sub(1), self.rules.apart_ticks)
            }
        };
        Selection { count, apart_ticks, exclude }
    }
}
