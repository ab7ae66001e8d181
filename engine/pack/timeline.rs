//! Plans at any place of a video: history on either side, with blanks between (FramePack §4.1).
//!
//! Live play knows the past alone and plans by [`Schedule::plan`]. A video made in another order knows frames
//! after a section too, and lacks some before it. Here a section lies at its place among the frames that are
//! known, and the run of a side that is next to it takes the nearest known frames: where they lie beyond a blank, the
//! blank's time indices are skipped, so that all positions are true ones. A second run of a side, beyond a gap, is an
//! anchor: it takes the frames at the far end of what is known there.

use std::ops::Range;

use memory::{BranchId, FrameId};

use super::kernel::{Grid, Kernel};
use super::known::Known;
use super::plan::{Group, PackPlan, PlanError, Slot, SlotKind};
use super::schedule::{Part, Schedule, Tail, Tier};

/// Longest blank by its positions: farther frames are moved up to it, their inner spacing kept. It is what
/// training draws.
pub const BLANK_MAX: u32 = 128;

/// Kernel of a tail frame that is appended: pooled by (1, 32, 32), then embedded at the base patch.
const APPENDED: (u16, u16, u16) = (1, 64, 64);

/// All frames of a video are of one stretch of play.
const BRANCH: BranchId = BranchId(0);

/// What of a schedule lies on one side of the section, from there outward.
struct Side<'a> {
    forward: bool,
    runs: Vec<Vec<Tier>>,
    tail: Tail,
    known: &'a Known,
    section: Range<u32>,
    grid: Grid,
}

/// How far a side is packed.
struct Reach {
    /// What is not packed yet lies beyond this frame: before it, or from it on.
    edge: u32,
    /// Frames by which blanks were shortened.
    shortened: u32,
}

impl Schedule {
    /// What a section of the frames `section` sees of the known ones, by names of any order.
    ///
    /// Frame t of the video has the name `FrameId(t)`. Of two sections in a name only the first counts, and
    /// what lies beyond the second is not seen. Nothing known is packed twice, nothing within the section
    /// at all.
    ///
    /// # Errors
    /// A tier ends within a group.
    pub fn plan_at(
        &self,
        known: &Known,
        section: Range<u32>,
        grid: Grid,
    ) -> Result<PackPlan, PlanError> {
        self.check_whole_groups()?;
        let mut slots = Vec::new();
        for forward in [false, true] {
            let side = Side {
                forward,
                runs: self.runs(forward),
                tail: self.tail_of(forward),
                known,
                section: section.clone(),
                grid,
            };
            side.pack(&mut slots);
        }
        let section_frames = section.len();
        let section_tokens = section_frames * Kernel::FINEST.tokens(grid);
        Ok(PackPlan { slots, section_frames, section_tokens })
    }

    /// Runs before or after the section, each from the section outward.
    fn runs(&self, forward: bool) -> Vec<Vec<Tier>> {
        let is_section = |part: &Part| matches!(part, Part::Generate(_));
        let section = self.parts.iter().position(is_section).unwrap_or_default();
        let run = |part: &Part| match part {
            Part::Run(tiers) if forward => Some(tiers.clone()),
            Part::Run(tiers) => Some(tiers.iter().rev().copied().collect()),
            Part::Skip | Part::Generate(_) => None,
        };
        if forward {
            let after = self.parts[section + 1..].iter();
            after.take_while(|part| !is_section(part)).filter_map(run).collect()
        } else {
            self.parts[..section].iter().rev().filter_map(run).collect()
        }
    }

    /// What becomes of frames beyond the runs of a side.
    fn tail_of(&self, forward: bool) -> Tail {
        let named = if forward { self.foot } else { self.head };
        named.unwrap_or(Tail::Delete)
    }
}

impl Side<'_> {
    fn pack(&self, slots: &mut Vec<Slot>) {
        let edge = if self.forward { self.section.end } else { self.section.start };
        let mut reach = Reach { edge, shortened: 0 };
        for (at, run) in self.runs.iter().enumerate() {
            if self.skip_blank(&mut reach) && (at == 0 || self.skip_to_anchor(run, &mut reach)) {
                self.pack_run(run, &mut reach, slots);
            }
        }
        match self.tail {
            Tail::Delete => {}
            Tail::Append => self.append_tail(&mut reach, slots),
            Tail::Compress => self.compress_tail(&reach, slots),
        }
    }

    /// Moves on to the nearest known frame; whether there is one.
    fn skip_blank(&self, reach: &mut Reach) -> bool {
        let next = if self.forward {
            self.known.oldest_from(reach.edge)
        } else {
            self.known.newest_before(reach.edge).map(|frame| frame + 1)
        };
        let Some(next) = next else { return false };
        reach.shortened += next.abs_diff(reach.edge).saturating_sub(BLANK_MAX);
        reach.edge = next;
        true
    }

    /// Moves on so far that a run ends where what is known does; whether there are frames for it.
    fn skip_to_anchor(&self, tiers: &[Tier], reach: &mut Reach) -> bool {
        let frames = tiers.iter().map(|tier| u32::from(tier.frames)).sum::<u32>();
        let runs = self.known.runs();
        let far = if self.forward {
            runs.last().map(|run| run.end.saturating_sub(frames)).filter(|far| *far >= reach.edge)
        } else {
            runs.first()
                .map(|run| run.start.saturating_add(frames))
                .filter(|far| *far <= reach.edge)
        };
        let Some(far) = far else { return false };
        reach.shortened += far.abs_diff(reach.edge).saturating_sub(BLANK_MAX);
        reach.edge = far;
        true
    }

    /// One group after another outward; those that would hold unknown frames are left out.
    fn pack_run(&self, tiers: &[Tier], reach: &mut Reach, slots: &mut Vec<Slot>) {
        for tier in tiers {
            let span = u32::try_from(tier.kernel.frames()).expect("kernels span at most 64 frames");
            for _ in 0..tier.groups() {
                let Some(frames) = self.beyond(reach.edge, span) else { return };
                reach.edge = if self.forward { frames.end } else { frames.start };
                if self.known.has(frames.clone()) {
                    let newest = frames.end == self.section.start;
                    let kind = if newest { SlotKind::Newest } else { SlotKind::Recent };
                    slots.push(self.slot(tier.kernel, frames, reach, kind));
                }
            }
        }
    }

    /// The `span` frames beyond an edge; `None` beyond the video's beginning.
    fn beyond(&self, edge: u32, span: u32) -> Option<Range<u32>> {
        if self.forward {
            Some(edge..edge.checked_add(span)?)
        } else {
            Some(edge.checked_sub(span)?..edge)
        }
    }

    /// A slot for each known frame beyond the runs, the nearest first.
    fn append_tail(&self, reach: &mut Reach, slots: &mut Vec<Slot>) {
        let (frames, height, width) = APPENDED;
        let kernel = Kernel::new(frames, height, width).expect("it is within the bounds");
        while self.skip_blank(reach) {
            let Some(frame) = self.beyond(reach.edge, 1) else { return };
            reach.edge = if self.forward { frame.end } else { frame.start };
            slots.push(self.slot(kernel, frame, reach, SlotKind::Tail));
        }
    }

    /// One slot for all known frames beyond the runs, at the side's coarsest kernel and next to its last run.
    fn compress_tail(&self, reach: &Reach, slots: &mut Vec<Slot>) {
        let beyond = |frame: &u32| {
            if self.forward { *frame >= reach.edge } else { *frame < reach.edge }
        };
        let frames: Vec<FrameId> =
            self.known.runs().iter().cloned().flatten().filter(beyond).map(FrameId).collect();
        if frames.is_empty() {
            return;
        }
        let volume = |kernel: &Kernel| kernel.frames() * kernel.height() * kernel.width();
        let kernels = self.runs.iter().flatten().map(|tier| tier.kernel);
        let kernel = kernels.max_by_key(volume).unwrap_or(Kernel::FINEST);
        let span = i64::try_from(kernel.frames()).expect("kernels span at most 64 frames");
        let edge = i64::from(reach.edge);
        let position = self.position(if self.forward { edge } else { edge - span }, reach);
        let group = Group { kernel, branch: BRANCH, frames };
        slots.push(Slot {
            tokens: kernel.tokens(self.grid),
            group,
            position,
            kind: SlotKind::Tail,
        });
    }

    fn slot(&self, kernel: Kernel, frames: Range<u32>, reach: &Reach, kind: SlotKind) -> Slot {
        let position = self.position(i64::from(frames.start), reach);
        let frames = frames.map(FrameId).collect();
        let group = Group { kernel, branch: BRANCH, frames };
        Slot { tokens: kernel.tokens(self.grid), group, position, kind }
    }

    /// Where a frame lies as seen from the section, blanks shortened.
    fn position(&self, frame: i64, reach: &Reach) -> i32 {
        let shortened = i64::from(reach.shortened);
        let shift = if self.forward { -shortened } else { shortened };
        let position = frame - i64::from(self.section.start) + shift;
        i32::try_from(position).unwrap_or(if position < 0 { i32::MIN } else { i32::MAX })
    }
}
