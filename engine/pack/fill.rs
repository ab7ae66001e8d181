//! The rules by which frames fill the places of a forward schedule.

use memory::FrameStamp;

use super::kernel::Kernel;
use super::plan::{Group, HistoryView, PlanRules, SLOT_GAP, Slot, SlotKind, TAIL_MAX, WINDOW_MAX};
use super::schedule::Tier;

/// A schedule's tiers on their way to slots.
pub(super) struct Filler<'a> {
    /// Kernel of every group to place, from the newest back; k1 first.
    kernels: Vec<Kernel>,
    /// How many of them are k1.
    fine: usize,
    /// Kernel of the frames beyond all of them, where they are averaged: the coarsest.
    tail: Option<Kernel>,
    view: HistoryView<'a>,
    ranked: &'a [FrameStamp],
    rules: &'a PlanRules,
}

impl<'a> Filler<'a> {
    /// `tiers`: newest first, as [`forward_tiers`](super::Schedule::forward_tiers) gives them; `packs_tail`: whether
    /// frames beyond them are averaged.
    pub(super) fn new(
        tiers: Vec<Tier>,
        packs_tail: bool,
        view: HistoryView<'a>,
        ranked: &'a [FrameStamp],
        rules: &'a PlanRules,
    ) -> Self {
        let groups = |tier: Tier| std::iter::repeat_n(tier.kernel, tier.groups());
        let mut kernels: Vec<Kernel> = tiers.into_iter().flat_map(groups).collect();
        // The finest kernel serves the most important frames, wherever the name puts it.
        kernels.sort_by_key(|kernel| *kernel != Kernel::FINEST);
        let fine = kernels.iter().take_while(|kernel| **kernel == Kernel::FINEST).count();
        let volume = |kernel: &&Kernel| kernel.frames() * kernel.height() * kernel.width();
        let tail = kernels.iter().max_by_key(volume).copied().filter(|_| packs_tail);
        Self { kernels, fine, tail, view, ranked, rules }
    }

    /// Newest frame and ranked frames at k1, time tiers behind the newest.
    ///
    /// Where memory offers too few, recent frames fill the k1 slots and the time tiers move back
    /// behind them, so that no frame is packed twice.
    pub(super) fn fill_default(&self) -> Vec<Slot> {
        for recent in 1..self.fine {
            let chosen = self.choose(recent);
            if chosen.len() == self.fine - recent {
                let mut slots = self.recent_slots(recent);
                slots.extend(self.retrieved_slots(&chosen));
                return slots;
            }
        }
        self.fill_recency()
    }

    /// All tiers contiguous, from the newest frame back.
    pub(super) fn fill_recency(&self) -> Vec<Slot> {
        self.recent_slots(self.fine)
    }

    /// Ranked frames from the finest kernel to the coarsest, positions in rank order.
    ///
    /// A group of several frames takes the best one left and the next best of its branch: unlike
    /// the paper, which has one video, no group mixes branches.
    pub(super) fn fill_permutation(&self) -> Vec<Slot> {
        let mut left: Vec<FrameStamp> = Vec::with_capacity(self.ranked.len());
        for stamp in self.ranked {
            if !left.iter().any(|other| other.frame == stamp.frame) {
                left.push(*stamp);
            }
        }
        let mut slots = Vec::new();
        let mut offset = 0;
        for &kernel in &self.kernels {
            offset += kernel.frames();
            let Some(mut frames) = take_of_one_branch(&mut left, kernel.frames()) else { continue };
            frames.sort_by_key(|stamp| stamp.frame);
            slots.push(self.slot(kernel, &frames, recent_position(offset), SlotKind::Retrieved));
        }
        slots
    }

    /// The best-ranked frames for the k1 slots that `recent` recent ones leave: outside the recent
    /// window, apart from each other and from the newest.
    fn choose(&self, recent: usize) -> Vec<FrameStamp> {
        let coarse: usize = self.kernels[self.fine..].iter().map(|kernel| kernel.frames()).sum();
        let tail = self.tail.map_or(0, |_| TAIL_MAX);
        let window = self.view.window(recent + coarse + tail);
        let newest = self.view.newest();
        let mut chosen: Vec<FrameStamp> = Vec::new();
        for stamp in self.ranked {
            if chosen.len() == self.fine - recent {
                break;
            }
            let near = |other: &FrameStamp| {
                other.frame == stamp.frame || other.is_near(*stamp, self.rules.apart_ticks)
            };
            let packed = window.iter().any(|other| other.frame == stamp.frame);
            if !packed && !newest.iter().chain(&chosen).any(near) {
                chosen.push(*stamp);
            }
        }
        chosen
    }

    /// The recent window: `fine` k1 slots, then every coarser tier. Groups that the history does
    /// not reach, or that would span two branches, are left out.
    fn recent_slots(&self, fine: usize) -> Vec<Slot> {
        let mut slots = Vec::new();
        let mut offset = 0;
        for &kernel in self.kernels[..fine].iter().chain(&self.kernels[self.fine..]) {
            if !self.view.reaches(offset + kernel.frames()) {
                break;
            }
            offset += kernel.frames();
            let Some(run) = self.view.run(offset, kernel.frames()) else { continue };
            let kind = if offset == 1 { SlotKind::Newest } else { SlotKind::Recent };
            slots.push(self.slot(kernel, run, recent_position(offset), kind));
        }
        slots.extend(self.tail_slot(offset));
        slots
    }

    /// The frames that lie more than `offset` frames before the section, averaged, next to the last tier.
    fn tail_slot(&self, offset: usize) -> Option<Slot> {
        let kernel = self.tail?;
        let frames = self.view.beyond(offset, TAIL_MAX);
        let position = recent_position(offset + kernel.frames());
        (!frames.is_empty()).then(|| self.slot(kernel, frames, position, SlotKind::Tail))
    }

    /// Retrieved frames lie beyond the longest recent window of the schedule, in rank order: the
    /// same places whatever fills the window.
    fn retrieved_slots(&self, chosen: &[FrameStamp]) -> Vec<Slot> {
        let window: usize =
            self.kernels.iter().chain(&self.tail).map(|kernel| kernel.frames()).sum();
        let mut position = recent_position(window);
        let place = |stamp: &FrameStamp| {
            position -= SLOT_GAP;
            self.slot(Kernel::FINEST, &[*stamp], position, SlotKind::Retrieved)
        };
        chosen.iter().map(place).collect()
    }

    fn slot(&self, kernel: Kernel, frames: &[FrameStamp], position: i32, kind: SlotKind) -> Slot {
        Slot {
            group: Group {
                kernel,
                branch: frames[0].branch,
                frames: frames.iter().map(|stamp| stamp.frame).collect(),
            },
            tokens: kernel.tokens(self.rules.grid),
            position,
            kind,
        }
    }
}

/// Position of a recent group that starts `offset` frames before the section.
pub(super) fn recent_position(offset: usize) -> i32 {
    i32::try_from(offset).map_or(-WINDOW_MAX, |offset| -offset.min(WINDOW_MAX))
}

/// Takes the first frame whose branch has `count` frames left, and the next ones of that branch.
fn take_of_one_branch(left: &mut Vec<FrameStamp>, count: usize) -> Option<Vec<FrameStamp>> {
    let of_branch = |leader: &FrameStamp| {
        left.iter().filter(|stamp| stamp.branch == leader.branch).count() >= count
    };
    let branch = left.iter().find(|leader| of_branch(leader))?.branch;
    let mut taken = Vec::with_capacity(count);
    left.retain(|stamp| {
        let take = stamp.branch == branch && taken.len() < count;
        if take {
            taken.push(*stamp);
        }
        !take
    });
    Some(taken)
}
