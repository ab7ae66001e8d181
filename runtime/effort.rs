//! How many evaluations a section may take, so that the world keeps its rate: `--steps auto`.
//!
//! A machine that is too slow for the world's own evaluations gets as many as fit, at least two; one
//! that has time to spare gets them back, one after another. The picture is finer with more.

use std::time::Duration;

use crate::pace::Recent;

/// Sections between two changes, so that what is seen belongs to the last one: about a second.
const SETTLED: u32 = 16;
/// Part of the time there is that a section may take, at its 95th percentile: beyond, others suffer.
const FULL: f64 = 0.9;
/// Part that one evaluation more may bring it to: well below, so that nothing swings.
const ROOM: f64 = 0.75;

/// Fewest evaluations of a world that has more: a single one shows the mean of all that may come, and a few
/// seconds of that are a grey fog.
const LEAST: u32 = 2;

/// Watches how long sections take, and says when to change.
#[derive(Clone, Debug)]
pub struct Effort {
    /// The world's own evaluations.
    most: u32,
    now: u32,
    /// Time there is for a section.
    period: Duration,
    recent: Recent,
    seen: u32,
}

impl Effort {
    /// Begins with the world's own evaluations. `period`: the time that a section lasts on the screen.
    pub fn new(evaluations: u32, period: Duration) -> Self {
        let most = evaluations.max(1);
        Self { most, now: most, period, recent: Recent::default(), seen: 0 }
    }

    /// Takes note of how long a section took; answers the evaluations of those to come where they change.
    pub fn observe(&mut self, took: Duration) -> Option<u32> {
        self.recent.record(took);
        self.seen += 1;
        if self.seen < SETTLED {
            return None;
        }
        let used = self.recent.percentile(95)?.as_secs_f64() / self.period.as_secs_f64();
        // What else there is in a section is counted as if it grew with the evaluations: it does not,
        // and so there is time to spare after either change.
        let now = f64::from(self.now);
        let wanted = if used > FULL {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "below `now`"
            )]
            let fitting = (now * FULL / used) as u32;
            fitting.max(LEAST.min(self.most))
        } else if used * (now + 1.0) / now < ROOM {
            (self.now + 1).min(self.most)
        } else {
            self.now
        };
        if wanted == self.now {
            return None;
        }
        self.now = wanted;
        (self.recent, self.seen) = (Recent::default(), 0);
        Some(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// Evaluations after each of `sections` sections on a machine where one evaluation takes `each` ms
    /// and all else 6 ms.
    fn run(effort: &mut Effort, sections: usize, each: u64) -> Vec<u32> {
        let mut now = effort.now;
        let section = |_| {
            now = effort.observe(MS(6 + each * u64::from(now))).unwrap_or(now);
            now
        };
        (0..sections).map(section).collect()
    }

    #[test]
    fn a_slow_machine_gets_fewer_until_the_rate_holds() {
        let mut effort = Effort::new(4, MS(57));
        assert_eq!(run(&mut effort, 100, 11).last(), Some(&4), "50 ms fit");
        // 86 ms do not, nor do 46 ms of two leave more than is asked for.
        let evaluations = run(&mut effort, 100, 20);
        assert_eq!(evaluations.last(), Some(&2));
        assert_eq!(run(&mut effort, 100, 60).last(), Some(&2), "no fewer than two");
        assert_eq!(run(&mut Effort::new(1, MS(57)), 100, 60).last(), Some(&1), "its own is one");
    }

    #[test]
    fn time_to_spare_brings_them_back_and_nothing_swings() {
        let mut effort = Effort::new(4, MS(57));
        assert_eq!(run(&mut effort, 100, 60).last(), Some(&2));
        assert_eq!(run(&mut effort, 200, 7).last(), Some(&4), "no more than the world's own");
        for each in 1..60 {
            let evaluations = run(&mut effort, 400, each);
            let changes = evaluations[200..].windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert_eq!(changes, 0, "{each} ms an evaluation");
        }
    }

    #[test]
    fn one_stall_changes_nothing() {
        let mut effort = Effort::new(4, MS(57));
        run(&mut effort, 64, 9);
        assert_eq!(effort.observe(MS(500)), None);
        assert_eq!(run(&mut effort, 64, 9).last(), Some(&4));
    }
}
