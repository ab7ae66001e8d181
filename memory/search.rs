//! The search behind a ranking: the frames with the greatest scores are taken.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use rayon::prelude::*;

use crate::feature::count;
use crate::frame::{FrameId, FrameStamp};
use crate::pose::{Cover, FieldOfView, POINTS, Pose};
use crate::rank::{Hit, Query, Ranking, Selection};
use crate::reckoned::{Reckoned, bell};
use crate::warm::{Remembered, Warm};

/// What a frame that is packed already is ahead of others: where the view moves on, the one next to it soon scores a
/// little higher, shows the same, and would have to be encoded.
const STAYS: f32 = 0.05;

/// Frames whose bounds a core works out at a time.
const TASK: usize = 2048;

/// What a bound is raised by: some ten times as much as floats of this size are rounded by.
const ROUNDING: f32 = 1e-5;

/// What places that the walk itself saw count for on a map: it saw them dreamed, and the map has them as they are.
const OWN: f32 = 0.5;

/// One search through warm memory.
pub(crate) struct Search<'a> {
    warm: &'a Warm,
    query: &'a Query<'a>,
    ranking: Ranking,
    /// Weights of nearness in time and in place, 0 where the ranking has none.
    time_weight: f32,
    place_weight: f32,
}

/// A frame on its way through a search; the greatest is looked at first.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    score: f32,
    frame: FrameId,
    place: usize,
}

impl<'a> Search<'a> {
    pub(crate) fn new(warm: &'a Warm, query: &'a Query<'a>, ranking: Ranking) -> Self {
        let (time_weight, place_weight) = match ranking {
            Ranking::Reckoned { time_weight, place_weight } => (time_weight, place_weight),
            Ranking::Similarity { time_weight } | Ranking::Pooled { time_weight } => {
                (time_weight, 0.0)
            }
            Ranking::Pose(_) | Ranking::Recency | Ranking::Random { .. } => (0.0, 0.0),
        };
        Self { warm, query, ranking, time_weight, place_weight }
    }

    /// Takes the greatest candidates that the selection admits.
    pub(crate) fn select(
        &self,
        selection: &Selection<'_>,
        seen: impl Fn(FrameId) -> bool,
    ) -> Vec<Hit> {
        let (frames, query) = (self.warm.frames(), self.query);
        let scores: Vec<f32> = match self.ranking {
            Ranking::Similarity { .. } | Ranking::Reckoned { .. } => {
                return self.select_alike(selection, seen);
            }
            Ranking::Pooled { .. } => self.warm.looks().pooled_cosines(query.estimate),
            Ranking::Random { seed } => {
                frames.iter().map(|frame| chance(seed, query.tick, frame.stamp.frame)).collect()
            }
            Ranking::Recency | Ranking::Pose(_) => {
                let names = frames.iter().map(|frame| frame.stamp.frame.0);
                let latest = names.max().unwrap_or_default();
                frames.iter().map(|frame| -((latest - frame.stamp.frame.0) as f32)).collect()
            }
        };
        let candidates =
            scores.into_iter().enumerate().map(|(place, score)| self.candidate(place, score));
        self.take(candidates.collect(), selection, seen).0
    }

    /// The same by cosines, which are worked out for those frames alone whose bounds reach the last of the hits.
    fn select_alike(&self, selection: &Selection<'_>, seen: impl Fn(FrameId) -> bool) -> Vec<Hit> {
        let (frames, looks) = (self.warm.frames(), self.warm.looks());
        let estimate = self.query.estimate;
        // What the score of a frame cannot exceed; of those that are scored, nothing is left to come.
        let mut most = looks.bounds(estimate);
        most.par_chunks_mut(TASK).enumerate().for_each(|(task, most)| {
            for (frame, most) in frames[task * TASK..].iter().zip(most) {
                *most += self.extra(frame) + ROUNDING;
            }
        });
        // Those that are packed may follow whatever else is taken.
        let is_packed = |place: &usize| self.is_packed(frames[*place].stamp.frame);
        let mut ahead: Vec<usize> = (0..frames.len()).filter(is_packed).collect();
        let mut scored: Vec<Candidate> = Vec::new();
        // Not all of the first will be admitted.
        let mut next = selection.count.saturating_mul(4).saturating_add(selection.exclude.len());
        loop {
            for (&place, cosine) in ahead.iter().zip(looks.cosines(estimate, &ahead)) {
                scored.push(self.candidate(place, cosine));
                most[place] = f32::NEG_INFINITY;
            }
            let (hits, last) = self.take(scored.clone(), selection, &seen);
            let reach = match last {
                Some(score) => score,
                None if scored.len() == frames.len() => return hits,
                None => {
                    let mut left: Vec<f32> =
                        most.iter().copied().filter(|m| m.is_finite()).collect();
                    let last = next.min(left.len() - 1);
                    next = next.saturating_mul(4);
                    *left.select_nth_unstable_by(last, |a, b| b.total_cmp(a)).1
                }
            };
            let reaches = |most: &[f32], place: usize| most[place] >= reach.max(f32::MIN);
            let mut near: Vec<usize> =
                (0..frames.len()).filter(|place| reaches(&most, *place)).collect();
            if near.is_empty() {
                return hits;
            }
            // Where views are so much alike that most are near, finer averages hardly tell them apart either.
            if 2 * near.len() < frames.len() {
                for (&place, closer) in near.iter().zip(looks.closer_bounds(estimate, &near)) {
                    most[place] = most[place].min(closer + self.extra(&frames[place]) + ROUNDING);
                }
                near.retain(|place| reaches(&most, *place));
            }
            ahead = near;
        }
    }

    /// Takes the greatest candidates that the selection admits, of fresh ones as few as fill it and no more than
    /// [`Self::fresh`] otherwise. With them goes the score that another frame has to reach to change anything, once the
    /// selection is full.
    fn take(
        &self,
        candidates: Vec<Candidate>,
        selection: &Selection<'_>,
        seen: impl Fn(FrameId) -> bool,
    ) -> (Vec<Hit>, Option<f32>) {
        let candidates = BinaryHeap::from(candidates);
        let mut fresh = self.fresh(selection);
        loop {
            let mut left = fresh;
            let may = |frame| {
                let may = seen(frame) && (self.is_packed(frame) || left > 0);
                left -= usize::from(may && !self.is_packed(frame));
                may
            };
            let hits = take(self.warm, candidates.clone(), selection, may);
            let lacking = selection.count - hits.len();
            if lacking > 0 && fresh < selection.count {
                fresh = selection.count.min(fresh + lacking);
                continue;
            }
            // Where no fresh one may follow, what is not ahead of the last of them changes nothing.
            let counts = |hit: &&Hit| left > 0 || !self.is_packed(hit.stamp.frame);
            let last = hits.iter().rfind(counts).map_or(f32::INFINITY, |hit| hit.score);
            return (hits, (lacking == 0).then_some(last));
        }
    }

    /// How many frames may come that are not packed yet, where the others of the selection are.
    fn fresh(&self, selection: &Selection<'_>) -> usize {
        let section = self.query.reckoned.len().max(1);
        let empty = selection.count.saturating_sub(self.query.packed.len());
        if self.query.packed.is_empty() { selection.count } else { empty.max(section) }
    }

    fn is_packed(&self, frame: FrameId) -> bool {
        self.query.packed.contains(&frame)
    }

    /// The frame at `place`, whose looks alone have this score.
    fn candidate(&self, place: usize, score: f32) -> Candidate {
        let frame = &self.warm.frames()[place];
        Candidate { score: score + self.extra(frame), frame: frame.stamp.frame, place }
    }

    /// What a frame has ahead of its looks.
    fn extra(&self, frame: &Remembered) -> f32 {
        let stays = if self.is_packed(frame.stamp.frame) { STAYS } else { 0.0 };
        self.nearness(frame) + stays
    }

    /// What a frame's time and place add; nothing where it has neither in common with the section.
    fn nearness(&self, frame: &Remembered) -> f32 {
        let branch = frame.stamp.branch;
        if branch == self.query.branch {
            let own = if self.query.map.is_some() { OWN } else { 1.0 };
            self.time(frame) + own * self.place(frame)
        } else if Some(branch) == self.query.map {
            self.place(frame)
        } else {
            0.0
        }
    }

    /// `λ_time · exp(-Δt²)` with Δt in seconds (eq. 4).
    fn time(&self, frame: &Remembered) -> f32 {
        let ticks = frame.stamp.tick.abs_diff(self.query.tick);
        let seconds =
            count(usize::try_from(ticks).unwrap_or(usize::MAX)) / self.query.ticks_per_second;
        self.time_weight * bell(seconds * seconds)
    }

    /// `λ_place` times the mean nearness to the places of the section's frames.
    fn place(&self, frame: &Remembered) -> f32 {
        let places = self.query.reckoned;
        let (Some(from), false) = (frame.reckoned, places.is_empty()) else { return 0.0 };
        let nearness = |place: &Reckoned| match self.query.map {
            Some(_) => place.nearness_on_map(from),
            None => place.nearness(from),
        };
        let sum: f32 = places.iter().map(nearness).sum();
        self.place_weight * sum / count(places.len())
    }
}

/// The greatest frames by scores that come from elsewhere; those without one do not take part.
pub(crate) fn select_by(
    warm: &Warm,
    score: impl Fn(FrameId) -> Option<f32>,
    selection: &Selection<'_>,
    seen: impl Fn(FrameId) -> bool,
) -> Vec<Hit> {
    let candidate = |(place, remembered): (usize, &Remembered)| {
        let frame = remembered.stamp.frame;
        score(frame).map(|score| Candidate { score, frame, place })
    };
    let candidates: Vec<Candidate> =
        warm.frames().iter().enumerate().filter_map(candidate).collect();
    take(warm, candidates.into(), selection, seen)
}

/// Takes the greatest candidates that the selection admits; of each that it does, `may` is asked at last.
fn take(
    warm: &Warm,
    mut candidates: BinaryHeap<Candidate>,
    selection: &Selection<'_>,
    mut may: impl FnMut(FrameId) -> bool,
) -> Vec<Hit> {
    let mut hits = Vec::new();
    while hits.len() < selection.count
        && let Some(candidate) = candidates.pop()
    {
        let stamp = warm.frames()[candidate.place].stamp;
        if !selection.admits(stamp, &hits) || !may(stamp.frame) {
            continue;
        }
        hits.push(Hit { stamp, score: candidate.score });
    }
    hits
}

/// Greedy cover of the view from `pose`: what each hit shows that none before it did.
pub(crate) fn cover(
    warm: &Warm,
    pose: Pose,
    view: FieldOfView,
    selection: &Selection<'_>,
    seen: impl Fn(FrameId) -> bool,
) -> Vec<Hit> {
    let points = view.points(pose);
    let near = |from: &Pose| (from.x - pose.x).hypot(from.y - pose.y) <= 2.0 * view.reach;
    let covered = |frame: &Remembered| {
        let from = frame.pose.filter(near).filter(|_| seen(frame.stamp.frame))?;
        Some((frame.stamp, view.cover(from, &points)))
    };
    let mut covers: Vec<(FrameStamp, Cover)> = warm.frames().iter().filter_map(covered).collect();
    let (mut hits, mut left) = (Vec::new(), Cover::MAX);
    while hits.len() < selection.count {
        covers.retain(|(stamp, cover)| cover & left != 0 && selection.admits(*stamp, &hits));
        let gain = |(stamp, cover): &&(FrameStamp, Cover)| {
            ((cover & left).count_ones(), Reverse(stamp.frame))
        };
        let Some(&(stamp, cover)) = covers.iter().max_by_key(gain) else { break };
        let score = (cover & left).count_ones() as f32 / f32::from(POINTS);
        hits.push(Hit { stamp, score });
        left &= !cover;
    }
    hits
}

impl Ord for Candidate {
    /// By score; of equal ones the oldest first.
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.frame.cmp(&self.frame))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate {}

/// A number in 0..1 drawn from seed, tick and frame (the mixing function of `SplitMix64`).
fn chance(seed: u64, tick: u64, frame: FrameId) -> f32 {
    let mix = |value: u64| {
        let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    };
    let key = mix(seed).wrapping_add(tick.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let drawn = mix(mix(key).wrapping_add(u64::from(frame.0)));
    // 24 bits fill the precision of the float.
    (drawn >> 40) as f32 / (1_u32 << 24) as f32
}
