//! Which frame is shown when: the newest one that is due, or in a pause one for each step.

use std::time::Duration;

use crate::queue::DueFrame;
use crate::walk::Walk;

/// The showing of a walk, with its pauses.
#[derive(Clone, Debug, Default)]
pub struct Show {
    paused_at: Option<Duration>,
    /// Frames asked for while paused.
    steps: u32,
}

impl Show {
    /// Whether the walk is paused.
    pub fn paused(&self) -> bool {
        self.paused_at.is_some()
    }

    /// The frame to show at time `now`, if there is a new one.
    pub fn next_frame(&mut self, walk: &Walk, now: Duration) -> Option<DueFrame> {
        if self.paused_at.is_none() {
            return walk.queue.newest_due(now);
        }
        let frame = if self.steps > 0 { walk.queue.next() } else { None };
        self.steps -= u32::from(frame.is_some());
        frame
    }

    /// When there will be a frame to show, as far as is known; not after `now` when there is one.
    pub fn next_due(&self, walk: &Walk, now: Duration) -> Option<Duration> {
        match self.paused_at {
            None => walk.queue.next_due(),
            Some(_) if self.steps > 0 && !walk.queue.is_empty() => Some(now),
            Some(_) => None,
        }
    }

    /// Pauses or resumes; says whether the walk is paused now. A pause is left out of all rates.
    pub fn toggle_pause(&mut self, walk: &Walk) -> bool {
        let now = walk.clock.now();
        self.steps = 0;
        let paused = walk.gate.toggle_pause();
        self.paused_at = match self.paused_at.take() {
            None => Some(now),
            Some(since) => {
                let pause = now.saturating_sub(since);
                walk.queue.put_off(pause);
                walk.stats.lock().leave_out(pause);
                None
            }
        };
        paused
    }

    /// Shows one more frame of a paused walk, making a section if none is left.
    pub fn step(&mut self, walk: &Walk) {
        if self.paused_at.is_some() && self.steps == 0 {
            self.steps = 1;
            if walk.queue.is_empty() {
                walk.gate.step();
            }
        }
    }
}
