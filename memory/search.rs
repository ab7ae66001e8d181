//! The search behind a ranking: best candidate first, its score made exact only when it comes up.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::feature::{count, slack};
use crate::frame::{FrameId, FrameStamp};
use crate::pose::{Cover, FieldOfView, POINTS, Pose};
use crate::rank::{Hit, Query, Ranking, Selection};
use crate::warm::{Record, Warm};

/// One search through warm memory.
pub(crate) struct Search<'a> {
    warm: &'a Warm,
    query: &'a Query<'a>,
    ranking: Ranking,
    /// Weight of nearness in time, 0 where the ranking has none.
    time_weight: f32,
    slack: f32,
}

/// How closely a candidate's score is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    /// Bounded by the sketch.
    Bounded,
    /// Exactly.
    Exact,
}

/// A frame on its way through a search; the greatest is looked at first.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    /// The score, or a bound that it does not exceed.
    score: f32,
    known: Known,
    frame: FrameId,
    place: usize,
}

impl<'a> Search<'a> {
    pub(crate) fn new(warm: &'a Warm, query: &'a Query<'a>, ranking: Ranking) -> Self {
        let time_weight = match ranking {
            Ranking::Similarity { time_weight } | Ranking::Pooled { time_weight } => time_weight,
            Ranking::Pose(_) | Ranking::Recency | Ranking::Random { .. } => 0.0,
        };
        Self { warm, query, ranking, time_weight, slack: slack(warm.shape()) }
    }

    /// Takes the greatest candidates that the selection admits.
    ///
    /// A frame is scored exactly only when its bound is greater than every score still open, so
    /// what is taken is the greatest of all.
    pub(crate) fn select(
        &self,
        selection: &Selection<'_>,
        seen: impl Fn(FrameId) -> bool,
    ) -> Vec<Hit> {
        let mut hits = Vec::new();
        let mut candidates = self.candidates();
        while hits.len() < selection.count
            && let Some(candidate) = candidates.pop()
        {
            let stamp = self.warm.records()[candidate.place].stamp;
            if !seen(stamp.frame) || !selection.admits(stamp, &hits) {
                continue;
            }
            match candidate.known {
                Known::Exact => hits.push(Hit { stamp, score: candidate.score }),
                Known::Bounded => candidates.push(self.exact(candidate)),
            }
        }
        hits
    }

    /// All frames by the first, cheapest view of their scores.
    fn candidates(&self) -> BinaryHeap<Candidate> {
        let records = self.warm.records();
        let latest = records.iter().map(|record| record.stamp.frame.0).max().unwrap_or_default();
        let candidate = |(place, record): (usize, &Record)| {
            let frame = record.stamp.frame;
            let (score, known) = match self.ranking {
                Ranking::Similarity { .. } => (self.bound(place), Known::Bounded),
                Ranking::Pooled { .. } => (self.pooled_cosine(place), Known::Exact),
                Ranking::Random { seed } => (chance(seed, self.query.tick, frame), Known::Exact),
                Ranking::Recency | Ranking::Pose(_) => (-((latest - frame.0) as f32), Known::Exact),
            };
            Candidate { score: score + self.time(record), known, frame, place }
        };
        records.iter().enumerate().map(candidate).collect::<Vec<_>>().into()
    }

    /// A bounded candidate with its score.
    fn exact(&self, candidate: Candidate) -> Candidate {
        let record = &self.warm.records()[candidate.place];
        let score = record.feature.cosine(self.query.estimate) + self.time(record);
        Candidate { score, known: Known::Exact, ..candidate }
    }

    fn bound(&self, place: usize) -> f32 {
        let (sketch, steps) = self.warm.sketch(place);
        sketch.bound(steps, &self.query.estimate.sketch) + self.slack
    }

    fn pooled_cosine(&self, place: usize) -> f32 {
        let ((sketch, steps), estimate) = (self.warm.sketch(place), &self.query.estimate.sketch);
        let cosine = sketch.dot(steps, estimate) / (sketch.length * estimate.length);
        // A look without any direction is like nothing.
        if cosine.is_finite() { cosine } else { 0.0 }
    }

    /// `λ_time · exp(-Δt²)` with Δt in seconds, 0 where there is no common clock (eq. 4).
    fn time(&self, record: &Record) -> f32 {
        if record.stamp.branch != self.query.branch {
            return 0.0;
        }
        let ticks = record.stamp.tick.abs_diff(self.query.tick);
        let seconds =
            count(usize::try_from(ticks).unwrap_or(usize::MAX)) / self.query.ticks_per_second;
        self.time_weight * (-seconds * seconds).exp()
    }
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
    let covered = |record: &Record| {
        let from = record.pose.filter(near).filter(|_| seen(record.stamp.frame))?;
        Some((record.stamp, view.cover(from, &points)))
    };
    let mut covers: Vec<(FrameStamp, Cover)> = warm.records().iter().filter_map(covered).collect();
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
    /// By score; of equal ones the least known first, so that ties are settled between exact
    /// scores, and then by age.
    fn cmp(&self, other: &Self) -> Ordering {
        self.score
            .total_cmp(&other.score)
            .then(other.known.cmp(&self.known))
            .then(other.frame.cmp(&self.frame))
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
