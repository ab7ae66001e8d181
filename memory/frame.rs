//! Names of frames and of stretches of play.

use std::fmt;

/// Name of one remembered frame, unique within a world's memory; later frames have larger ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameId(pub u32);

/// Name of one unbroken stretch of play: a session, or a branch of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BranchId(pub u32);

/// Where a frame lies in play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameStamp {
    /// The frame.
    pub frame: FrameId,
    /// The stretch of play it was made in.
    pub branch: BranchId,
    /// Tick it was made at, counted within its branch's own clock.
    pub tick: u64,
}

impl FrameStamp {
    /// Ticks between two frames of one branch; `None` where the clocks differ.
    #[must_use]
    pub fn ticks_from(self, other: Self) -> Option<u64> {
        (self.branch == other.branch).then(|| self.tick.abs_diff(other.tick))
    }

    /// Whether both lie in one branch, fewer than `ticks` apart.
    #[must_use]
    pub fn is_near(self, other: Self, ticks: u64) -> bool {
        self.ticks_from(other).is_some_and(|apart| apart < ticks)
    }
}

impl fmt::Display for FrameId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_needs_one_clock() {
        let stamp = |branch, tick| FrameStamp { frame: FrameId(0), branch: BranchId(branch), tick };
        assert_eq!(stamp(1, 30).ticks_from(stamp(1, 42)), Some(12));
        assert_eq!(stamp(1, 30).ticks_from(stamp(2, 30)), None);
        assert!(stamp(1, 30).is_near(stamp(1, 38), 9));
        assert!(!stamp(1, 30).is_near(stamp(1, 39), 9));
        assert!(!stamp(1, 30).is_near(stamp(2, 30), 9));
    }
}
