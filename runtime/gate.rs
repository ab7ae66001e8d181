//! What the window tells the dream between two sections: pause, one more, record, mark, leave.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;

/// Whether the loop goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Make a section.
    Go,
    /// End the walk.
    Leave,
}

/// What the player wants done before the next section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Mark this moment.
    Bookmark,
    /// Go back to the marked moment.
    GoBack,
}

/// The gate the loop passes before each section. Clones are the same gate.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    paused: bool,
    steps: u32,
    recording: bool,
    watching: bool,
    wish: Option<Wish>,
    leaving: bool,
    over: bool,
}

impl Gate {
    /// Waits until it is time `at` and the walk is not paused, or until told to leave.
    ///
    /// A stepped clock is moved to `at` instead of being waited for.
    pub fn pass(&self, clock: &Clock, at: Duration) -> Pass {
        let mut state = self.lock();
        loop {
            if state.leaving {
                return Pass::Leave;
            }
            if state.steps > 0 {
                state.steps -= 1;
                return Pass::Go;
            }
            let left = at.saturating_sub(clock.now());
            if !state.paused && left.is_zero() {
                return Pass::Go;
            }
            state = match (state.paused, clock) {
                (true, _) => self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                (false, Clock::Stepped(_)) => {
                    clock.advance(left);
                    state
                }
                (false, Clock::Real(_)) => {
                    let woken = self.0.changed.wait_timeout(state, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Pauses or resumes; says whether the walk is paused now.
    pub fn toggle_pause(&self) -> bool {
        self.change(|state| {
            state.paused = !state.paused;
            state.steps = 0;
            state.paused
        })
    }

    /// Lets one section through a paused gate; at most one waits to pass.
    pub fn step(&self) {
        self.change(|state| state.steps = u32::from(state.paused));
    }

    /// Starts or ends recording; says whether the walk is recorded now.
    pub fn toggle_recording(&self) -> bool {
        self.change(|state| {
            state.recording = !state.recording;
            state.recording
        })
    }

    /// Sets whether the walk is recorded.
    pub fn set_recording(&self, recording: bool) {
        self.change(|state| state.recording = recording);
    }

    /// Asks for something to be done before the next section; of several wishes the last one counts.
    pub fn wish(&self, wish: Wish) {
        self.change(|state| state.wish = Some(wish));
    }

    /// What is to be done before the next section; it is asked for once.
    pub fn take_wish(&self) -> Option<Wish> {
        self.lock().wish.take()
    }

    /// Sets whether somebody watches memory at work.
    pub fn set_watching(&self, watching: bool) {
        self.change(|state| state.watching = watching);
    }

    /// Whether somebody watches memory at work.
    pub fn watching(&self) -> bool {
        self.lock().watching
    }

    /// Ends the walk before its next section.
    pub fn leave(&self) {
        self.change(|state| state.leaving = true);
    }

    /// Says that the walk is over and its recordings are written.
    pub fn set_over(&self) {
        self.change(|state| state.over = true);
    }

    /// Waits until the walk is over, `at_most` this long; answers whether it is.
    pub fn wait_over(&self, at_most: Duration) -> bool {
        let waiting = self.0.changed.wait_timeout_while(self.lock(), at_most, |state| !state.over);
        waiting.unwrap_or_else(PoisonError::into_inner).0.over
    }

    /// Whether the walk is paused.
    pub fn paused(&self) -> bool {
        self.lock().paused
    }

    /// Whether the walk is recorded.
    pub fn recording(&self) -> bool {
        self.lock().recording
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let answer = change(&mut self.lock());
        self.0.changed.notify_all();
        answer
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_gate_waits_for_its_time_and_no_longer() {
        let (gate, clock) = (Gate::default(), Clock::stepped());
        let at = Duration::from_millis(40);
        assert_eq!(gate.pass(&clock, at), Pass::Go);
        assert_eq!(clock.now(), at);
        assert_eq!(gate.pass(&clock, Duration::ZERO), Pass::Go);
        assert_eq!(clock.now(), at);
    }

    #[test]
    fn a_paused_gate_lets_single_steps_through_and_leaving_ends_the_wait() {
        let (gate, clock) = (Gate::default(), Clock::stepped());
        assert!(gate.toggle_pause());
        gate.step();
        gate.step();
        assert_eq!(gate.pass(&clock, Duration::from_secs(9)), Pass::Go);
        assert_eq!(clock.now(), Duration::ZERO, "a step does not wait for its time");
        let waiting = {
            let gate = gate.clone();
            std::thread::Builder::new().spawn(move || gate.pass(&clock, Duration::ZERO)).unwrap()
        };
        gate.leave();
        assert_eq!(waiting.join().unwrap(), Pass::Leave);
    }

    #[test]
    fn a_wish_is_granted_once_and_the_last_one_counts() {
        let gate = Gate::default();
        assert_eq!(gate.take_wish(), None);
        gate.wish(Wish::Bookmark);
        gate.wish(Wish::GoBack);
        assert_eq!(gate.take_wish(), Some(Wish::GoBack));
        assert_eq!(gate.take_wish(), None);
    }

    #[test]
    fn resuming_forgets_steps_that_were_not_taken() {
        let (gate, clock) = (Gate::default(), Clock::stepped());
        gate.toggle_pause();
        gate.step();
        assert!(!gate.toggle_pause());
        assert_eq!(gate.pass(&clock, Duration::from_millis(7)), Pass::Go);
        assert_eq!(clock.now(), Duration::from_millis(7), "it waited like any other section");
    }
}
