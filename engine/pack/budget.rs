//! What a schedule costs: tokens, their bound, and what reusing keys and values saves.

use super::kernel::{Grid, Kernel};
use super::schedule::{Schedule, Tail};

/// Token counts of one section in steady state, all history there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// History tokens attended to, tail included where it is bounded.
    pub history: usize,
    /// Tokens of the section.
    pub section: usize,
    /// History tokens of groups that the section before did not have.
    pub new: usize,
    /// Whether the context grows with the session (tail `ta`).
    pub grows: bool,
}

impl Budget {
    /// Counts for a schedule; `retrieved` of its k1 slots hold a newly retrieved frame whose keys
    /// and values are not cached, and those not counted so far hold ones that are.
    #[must_use]
    pub fn new(schedule: &Schedule, grid: Grid, retrieved: usize) -> Self {
        let coarse = schedule.tiers().filter(|tier| tier.kernel != Kernel::FINEST);
        let new_coarse: usize = coarse
            .map(|tier| {
                tier.kernel.tokens(grid)
                    * new_groups(tier.groups(), tier.kernel, schedule.generate())
            })
            .sum();
        let new_fine = schedule.finest_groups().min(1 + retrieved) * Kernel::FINEST.tokens(grid);
        let tail = match schedule.tail() {
            Tail::Compress => coarsest(schedule).tokens(grid),
            Tail::Delete | Tail::Append => 0,
        };
        Self {
            history: schedule.history_tokens(grid) + tail,
            section: schedule.section_tokens(grid),
            // The average over the tail changes with every section.
            new: new_coarse + new_fine + tail,
            grows: schedule.tail() == Tail::Append,
        }
    }

    /// Most tokens that attend at once, or `None` where that grows with the session
    /// (FramePack eq. 2).
    #[must_use]
    pub fn bound(&self) -> Option<usize> {
        (!self.grows).then_some(self.history + self.section)
    }

    /// Tokens computed for a section when history is run through the network at every evaluation.
    #[must_use]
    pub fn tokens_without_reuse(&self, evaluations: usize) -> usize {
        (self.history + self.section).saturating_mul(evaluations)
    }

    /// Tokens computed for a section when keys and values of known groups are reused.
    #[must_use]
    pub fn tokens_with_reuse(&self, evaluations: usize) -> usize {
        self.section.saturating_mul(evaluations).saturating_add(self.new)
    }

    /// Counted gain of reuse in hundredths: 512 means 5.12 times fewer tokens.
    #[must_use]
    pub fn gain_hundredths(&self, evaluations: usize) -> usize {
        let with = self.tokens_with_reuse(evaluations).max(1);
        self.tokens_without_reuse(evaluations).saturating_mul(100) / with
    }
}

/// New groups a section brings to a time tier of `groups`, when every section moves the window by
/// `generate` frames.
///
/// A group is known when an earlier section had it: when some younger place of the tier, `d` groups
/// nearer, is a whole number of moves away, that is `d · k` a multiple of `generate`. The first such
/// `d` is `generate / gcd(generate, k)`; with a move of one frame only the youngest is new.
fn new_groups(groups: usize, kernel: Kernel, generate: usize) -> usize {
    groups.min(generate / gcd(generate, kernel.frames()))
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The kernel with the largest volume.
fn coarsest(schedule: &Schedule) -> Kernel {
    let volume = |kernel: &Kernel| kernel.frames() * kernel.height() * kernel.width();
    schedule.tiers().map(|tier| tier.kernel).max_by_key(volume).unwrap_or(Kernel::FINEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { height: 12, width: 16 };

    fn budget(name: &str, retrieved: usize) -> Budget {
        Budget::new(&name.parse().unwrap(), GRID, retrieved)
    }

    #[test]
    fn the_default_gains_five_times_at_four_evaluations() {
        let budget = budget(Schedule::DEFAULT_NAME, 0);
        assert_eq!((budget.history, budget.section, budget.new), (280, 48, 48 + 12 + 4));
        assert_eq!(budget.bound(), Some(328));
        assert_eq!((budget.tokens_without_reuse(4), budget.tokens_with_reuse(4)), (1312, 256));
        assert_eq!(budget.gain_hundredths(4), 512);
        assert_eq!(budget.gain_hundredths(1), 292);
    }

    #[test]
    fn newly_retrieved_frames_cost_their_tokens_once() {
        assert_eq!(budget(Schedule::DEFAULT_NAME, 2).new, 64 + 2 * 48);
        assert_eq!(budget(Schedule::DEFAULT_NAME, 9).new, 5 * 48 + 12 + 4);
    }

    #[test]
    fn tails_count() {
        assert_eq!(budget("tc_f16k4f1k1_g1", 0).history, 16 + 48 + 4);
        assert_eq!(budget("td_f16k4f1k1_g1", 0).bound(), Some(16 + 48 + 48));
        assert_eq!(budget("ta_f16k4f1k1_g1", 0).bound(), None);
    }

    #[test]
    fn a_longer_move_brings_more_groups() {
        let new =
            |groups, k, generate| new_groups(groups, Kernel::simplified(k).unwrap(), generate);
        assert_eq!([new(4, 4, 1), new(4, 4, 2), new(4, 4, 4), new(4, 4, 9)], [1, 1, 1, 4]);
        assert_eq!([new(4, 2, 4), new(8, 4, 6), new(0, 4, 1)], [2, 3, 0]);
    }
}
