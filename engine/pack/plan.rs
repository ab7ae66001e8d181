//! Plans: the schedule's places filled with frames, at positions relative to the section.
//!
//! Nothing here depends on how many frames the session has made: a plan's slots, tokens and
//! positions are bounded by the schedule.

use memory::{BranchId, FrameId, FrameStamp};

use super::fill::Filler;
use super::kernel::{Grid, Kernel};
use super::schedule::{Order, Schedule, Tail, Tier};

/// Farthest recent position: a group older than this is moved up to it, its inner spacing kept.
pub const WINDOW_MAX: i32 = 128;

/// Distance between the positions of retrieved slots: the span of a k4 group, the longest that the
/// default schedule trains.
pub const SLOT_GAP: i32 = 4;

/// Most frames of a compressed tail in live play. Unlike the paper's, which holds all frames of a video, that of a
/// walk without end holds those that training shows at most.
pub const TAIL_MAX: usize = 128;

/// One unit of history: the frames that one kernel embeds together, and the key of their cached
/// keys and values.
///
/// Holds exactly as many frames as the kernel is long, oldest first, all of one branch. Where it holds another
/// number, it is a tail that was compressed: the mean of its frames stands for each that the kernel spans
/// (FramePack §3.1, option 3).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group {
    /// Kernel the frames are embedded with.
    pub kernel: Kernel,
    /// The stretch of play they come from.
    pub branch: BranchId,
    /// The frames in temporal order; consecutive ones, except under [`Arrangement::Permutation`].
    pub frames: Vec<FrameId>,
}

impl Group {
    /// Whether it is a tail that was compressed.
    pub fn is_tail(&self) -> bool {
        self.frames.len() != self.kernel.frames()
    }

    /// The group's frame just before the section, at position -1, where its first one is at `position`.
    ///
    /// A tail, which holds another number of frames than its kernel is long, shows no single one.
    pub fn before_section(&self, position: i32) -> Option<FrameId> {
        let at = usize::try_from(-1 - i64::from(position)).ok()?;
        self.frames.get(at).copied().filter(|_| !self.is_tail())
    }
}

/// How a slot came by its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlotKind {
    /// The frame just before the section.
    Newest,
    /// A group of the recent window.
    Recent,
    /// A group chosen by the ranking.
    Retrieved,
    /// Frames beyond the last tier, appended or compressed.
    Tail,
}

/// One place of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    /// What is packed there.
    pub group: Group,
    /// Tokens it takes.
    pub tokens: usize,
    /// Time index of the group's first frame; the section's first frame has 0.
    pub position: i32,
    /// How it came here.
    pub kind: SlotKind,
}

/// What one section sees of its history. Absent history is absent here: fewer slots, no zeros.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PackPlan {
    /// Recent slots from the newest back, then retrieved ones in rank order.
    pub slots: Vec<Slot>,
    /// Frames of the section, at positions 0, 1, ….
    pub section_frames: usize,
    /// Tokens of the section.
    pub section_tokens: usize,
}

impl PackPlan {
    /// The frames that a ranking chose, best first.
    pub fn retrieved(&self) -> impl Iterator<Item = FrameId> + '_ {
        let retrieved = self.slots.iter().filter(|slot| slot.kind == SlotKind::Retrieved);
        retrieved.flat_map(|slot| slot.group.frames.iter().copied())
    }

    /// The frame just before the section, if the plan holds it.
    pub fn before_section(&self) -> Option<FrameId> {
        self.slots.iter().find_map(|slot| slot.group.before_section(slot.position))
    }
}

/// Which frames go where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Arrangement {
    /// One k1 slot for the newest frame, the others for the best-ranked frames outside the time
    /// tiers; coarser tiers are contiguous runs behind the newest.
    #[default]
    Default,
    /// All tiers contiguous from the newest frame back, as released FramePack.
    Recency,
    /// The ranking's order in place of time, finest kernel first (FramePack §3.2, eq. 3-5); no frame is in a tail.
    Permutation,
}

/// What a plan depends on beside schedule, history and ranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlanRules {
    /// Which frames go where.
    pub arrangement: Arrangement,
    /// Ticks that k1 frames of one branch keep between them: half a second of play.
    pub apart_ticks: u64,
    /// Size of a latent frame.
    pub grid: Grid,
}

/// The live branch's frames in order, the newest last.
#[derive(Clone, Copy, Debug)]
pub struct HistoryView<'a> {
    frames: &'a [FrameStamp],
}

/// A schedule that cannot be played forward.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The section lacks the past-only form.
    #[error("expected a forward schedule such as td_f16k4f4k2f5k1_g1 for live play, got {0}")]
    NotForward(String),
    /// The tail grows without end.
    #[error(
        "expected tail td or tc for live play, got ta in {0}: its context grows with every frame, and play has no end"
    )]
    Grows(String),
    /// A tier ends within a group.
    #[error("expected a multiple of {kernel_frames} frames, got {tier} in {schedule}")]
    Ragged {
        /// The tier's text.
        tier: String,
        /// Frames of one of its groups.
        kernel_frames: usize,
        /// The schedule.
        schedule: String,
    },
}

impl<'a> HistoryView<'a> {
    /// Frames of the live branch in order, the newest last. Where the branch goes on from an older
    /// one, that one's frames may come before; no group will span the two.
    #[must_use]
    pub fn new(frames: &'a [FrameStamp]) -> Self {
        Self { frames }
    }

    /// The newest frame.
    #[must_use]
    pub fn newest(self) -> Option<FrameStamp> {
        self.frames.last().copied()
    }

    /// The newest `count` frames, or all where there are fewer.
    pub(super) fn window(self, count: usize) -> &'a [FrameStamp] {
        &self.frames[self.frames.len().saturating_sub(count)..]
    }

    /// At most `count` frames that lie more than `offset` frames before the section, the newest of them and those
    /// of its branch.
    pub(super) fn beyond(self, offset: usize, count: usize) -> &'a [FrameStamp] {
        let end = self.frames.len().saturating_sub(offset);
        let frames = &self.frames[end.saturating_sub(count)..end];
        let newest = frames.last().map(|stamp| stamp.branch);
        let apart = frames.iter().rposition(|stamp| Some(stamp.branch) != newest);
        &frames[apart.map_or(0, |at| at + 1)..]
    }

    /// Whether there are so many frames.
    pub(super) fn reaches(self, count: usize) -> bool {
        self.frames.len() >= count
    }

    /// The `count` frames whose oldest lies `offset` frames before the section, if they are all
    /// there and of one branch.
    pub(super) fn run(self, offset: usize, count: usize) -> Option<&'a [FrameStamp]> {
        let start = self.frames.len().checked_sub(offset)?;
        let run = self.frames.get(start..start + count)?;
        let branch = run.first()?.branch;
        run.iter().all(|stamp| stamp.branch == branch).then_some(run)
    }
}

impl Schedule {
    /// Fills the schedule with frames; `ranked` is best first.
    ///
    /// Under [`Arrangement::Permutation`] the ranking should hold every frame that may be packed,
    /// under [`Arrangement::Default`] frames of the recent window are passed over.
    ///
    /// # Errors
    /// When the schedule is not one that plays forward with a bounded context: see
    /// [`Schedule::forward_tiers`].
    pub fn plan(
        &self,
        view: HistoryView<'_>,
        ranked: &[FrameStamp],
        rules: &PlanRules,
    ) -> Result<PackPlan, PlanError> {
        let packs_tail = self.tail() == Tail::Compress;
        let filler = Filler::new(self.forward_tiers()?, packs_tail, view, ranked, rules);
        let slots = match rules.arrangement {
            Arrangement::Default => filler.fill_default(),
            Arrangement::Recency => filler.fill_recency(),
            Arrangement::Permutation => filler.fill_permutation(),
        };
        Ok(PackPlan {
            slots,
            section_frames: self.generate(),
            section_tokens: self.section_tokens(rules.grid),
        })
    }

    /// The tiers from the newest back, of a schedule that plays forward.
    ///
    /// # Errors
    /// When the parts are not `td_…_g…` or `tc_…_g…`, or a tier ends within a group.
    pub fn forward_tiers(&self) -> Result<Vec<Tier>, PlanError> {
        if self.order() != Order::Forward || self.foot.is_some() {
            return Err(PlanError::NotForward(self.to_string()));
        }
        if self.tail() == Tail::Append {
            return Err(PlanError::Grows(self.to_string()));
        }
        self.check_whole_groups()?;
        let mut tiers: Vec<Tier> = self.tiers().collect();
        tiers.reverse();
        Ok(tiers)
    }

    /// Whether every tier is a whole number of groups.
    ///
    /// # Errors
    /// When one ends within a group.
    pub fn check_whole_groups(&self) -> Result<(), PlanError> {
        let ragged = |tier: &Tier| !usize::from(tier.frames).is_multiple_of(tier.kernel.frames());
        let Some(tier) = self.tiers().find(ragged) else { return Ok(()) };
        Err(PlanError::Ragged {
            tier: tier.to_string(),
            kernel_frames: tier.kernel.frames(),
            schedule: self.to_string(),
        })
    }
}

impl PackPlan {
    /// Tokens of the history.
    #[must_use]
    pub fn history_tokens(&self) -> usize {
        self.slots.iter().map(|slot| slot.tokens).sum()
    }

    /// The groups, in slot order.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.slots.iter().map(|slot| &slot.group)
    }
}
