//! When to begin a section and when its frames are due.
//!
//! A section is begun so late that it is usually just ready when due: its due time less the
//! 95th percentile of recent section times. What is sampled then is as fresh as can be.

use std::collections::VecDeque;
use std::time::Duration;

/// Sections whose times are kept; at 17.5 frames/s this is the last few seconds.
const KEPT: usize = 64;

/// Longest wait that counts as the system waking late; a longer one was a pause.
const OVERSLEPT: Duration = Duration::from_millis(5);

/// The times of the last sections.
#[derive(Clone, Debug, Default)]
pub struct Recent(VecDeque<Duration>);

impl Recent {
    /// Adds a time; only the last 64 are kept.
    pub fn record(&mut self, time: Duration) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(time);
    }

    /// What `per_cent` of the kept times stay at or below; `None` before the first.
    pub fn percentile(&self, per_cent: usize) -> Option<Duration> {
        let mut sorted: Vec<_> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        let rank = (sorted.len() * per_cent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied()
    }
}

/// When the frames of one section are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// When the first frame is due.
    pub first: Duration,
    /// Time from one frame to the next.
    pub spacing: Duration,
    /// Whether the section came after the time it was promised for.
    pub late: bool,
}

/// The beat of a walk.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Time from frame to frame in the world itself; `None` generates without waiting.
    period: Option<Duration>,
    section_frames: u32,
    next_due: Duration,
    /// When there was nothing left to do but wait.
    idle_at: Duration,
    recent: Recent,
    /// What else sections took, after they were ready.
    ahead: Recent,
}

impl Pace {
    /// The world's own speed: sections of `section_frames` frames at `fps` frames a second.
    ///
    /// # Panics
    /// When a section has no frame or `fps` is not a positive number.
    pub fn at(fps: f32, section_frames: u32) -> Self {
        assert!(fps.is_finite() && fps > 0.0, "frames per second must be above zero, got {fps}");
        Self {
            period: Some(Duration::from_secs_f64(f64::from(fps).recip())),
            ..Self::unpaced(section_frames)
        }
    }

    /// As fast as sections can be made.
    ///
    /// # Panics
    /// When a section has no frame.
    pub fn unpaced(section_frames: u32) -> Self {
        assert!(section_frames > 0, "a section has at least one frame");
        Self {
            period: None,
            section_frames,
            next_due: Duration::ZERO,
            idle_at: Duration::ZERO,
            recent: Recent::default(),
            ahead: Recent::default(),
        }
    }

    /// Takes note of work for the next section before that is begun.
    pub fn anticipated(&mut self, began: Duration, ended: Duration) {
        self.idle_at = ended;
        self.ahead.record(ended.saturating_sub(began));
    }

    /// When to sample the controls for the next section.
    pub fn start(&self) -> Duration {
        // Before anything was measured the section begins at once.
        self.recent.percentile(95).map_or(Duration::ZERO, |lead| self.next_due.saturating_sub(lead))
    }

    /// Takes note of a section made between `began` and `ready`, and says when to show it.
    pub fn place(&mut self, began: Duration, ready: Duration) -> Due {
        // The system wakes a little late, and that belongs to the lead a section needs.
        let woken_at = self.start();
        let waited = woken_at > self.idle_at;
        let overslept =
            if waited { began.saturating_sub(woken_at).min(OVERSLEPT) } else { Duration::ZERO };
        self.idle_at = ready;
        self.recent.record(ready.saturating_sub(began) + overslept);
        let Some(period) = self.period else {
            return Due { first: ready, spacing: Duration::ZERO, late: false };
        };
        // Too slow a machine shows its frames evenly, further apart, not in bursts.
        let usual = |times: &Recent| times.percentile(50).unwrap_or_default();
        let whole = usual(&self.recent) + usual(&self.ahead);
        let spacing = period.max(whole / self.section_frames);
        // A little late keeps the beat; later than a frame, the beat starts anew.
        let late = ready > self.next_due;
        let first = if ready > self.next_due + period { ready } else { self.next_due };
        self.next_due = first + spacing * self.section_frames;
        Due { first, spacing, late }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// Runs `times` as sections of a world at 20 frames/s; answers (start, due) of each.
    fn run(section_frames: u32, times: &[u64]) -> Vec<(Duration, Due)> {
        let mut pace = Pace::at(20.0, section_frames);
        let mut now = Duration::ZERO;
        let place = |time: &u64| {
            let began = now.max(pace.start());
            now = began + MS(*time);
            (began, pace.place(began, now))
        };
        times.iter().map(place).collect()
    }

    #[test]
    fn a_fast_section_begins_just_before_it_is_due() {
        let placed = run(1, &[10; 20]);
        for pair in placed.windows(2) {
            let ((_, before), (start, due)) = (pair[0], pair[1]);
            assert_eq!(due.first - before.first, MS(50), "the world's own speed");
            assert_eq!(due.first - start, MS(10), "sampled one section time before it is due");
            assert!(!due.late);
        }
    }

    #[test]
    fn a_slow_machine_spreads_its_frames_evenly_and_never_waits() {
        let placed = run(4, &[400; 12]);
        for pair in placed[2..].windows(2) {
            let ((began, before), (start, due)) = (pair[0], pair[1]);
            assert_eq!(start - began, MS(400), "begun as soon as the one before was ready");
            assert_eq!(due.spacing, MS(100));
            assert_eq!(due.first - before.first, MS(400));
        }
    }

    #[test]
    fn work_for_the_next_section_is_part_of_a_slow_machines_beat_and_of_no_ones_lead() {
        let mut pace = Pace::at(20.0, 4);
        let mut now = Duration::ZERO;
        let mut placed = |take: [u64; 2]| {
            let began = now.max(pace.start());
            let ready = began + MS(take[0]);
            let due = pace.place(began, ready);
            now = ready + MS(take[1]);
            pace.anticipated(ready, now);
            (began, due)
        };
        let fast: Vec<_> = (0..20).map(|_| placed([60, 30])).collect();
        for (began, due) in &fast[1..] {
            assert_eq!((due.first - *began, due.spacing), (MS(60), MS(50)));
        }
        // Begun late because there was work to do, not because the system woke late.
        for _ in 0..100 {
            placed([150, 80]);
        }
        let busy = placed([150, 80]);
        assert_eq!(busy.1.first - busy.0, MS(150), "no more lead than a section takes");
        let slow: Vec<_> = (0..100).map(|_| placed([300, 100])).collect();
        for pair in slow[70..].windows(2) {
            assert_eq!(pair[1].1.first - pair[0].1.first, MS(400), "evenly");
            assert_eq!(pair[1].1.spacing, MS(100));
        }
    }

    #[test]
    fn one_slow_section_keeps_the_beat_and_a_stall_starts_a_new_one() {
        let mut times = [10; 40];
        times[20] = 30;
        let placed = run(1, &times);
        assert!(placed[20].1.late);
        assert_eq!(placed[39].1.first - placed[19].1.first, MS(50 * 20), "no frame was lost");

        times[20] = 500;
        let placed = run(1, &times);
        let stalled = placed[20];
        assert_eq!(stalled.1.first, stalled.0 + MS(500), "shown when ready");
        assert_eq!(placed[21].1.first - stalled.1.first, MS(50), "and on from there");
    }

    #[test]
    fn a_system_that_wakes_late_is_woken_earlier() {
        let mut pace = Pace::at(20.0, 1);
        let mut now = Duration::ZERO;
        let mut late = 0;
        for _ in 0..40 {
            let began = now.max(pace.start() + MS(2));
            now = began + MS(10);
            late += u32::from(pace.place(began, now).late);
        }
        assert_eq!(late, 2, "the first, and one to learn from");
    }

    #[test]
    fn unpaced_sections_are_due_when_ready() {
        let mut pace = Pace::unpaced(1);
        let due = pace.place(MS(3), MS(8));
        assert_eq!(due, Due { first: MS(8), spacing: Duration::ZERO, late: false });
        assert!(pace.start() <= MS(8), "and the next begins at once");
    }
}
