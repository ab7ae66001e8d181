//! What is held down in a browser far away, as controls of the walk.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use input::{Action, ActionLayout, Controller, Key, Keyboard, Merged, PadBindings, PadState};

use crate::clock::Clock;
use crate::steer::ByHand;

/// The controls that pages feed and the loop polls. Clones are the same controls.
#[derive(Clone, Debug)]
pub struct Controls {
    keyboard: Arc<Mutex<Keyboard>>,
    pad: Arc<Mutex<Pad>>,
    /// Says when something was touched; the walk has a clock of its own.
    clock: Clock,
    /// When the oldest touch that no section has obeyed yet came.
    touched: Arc<Mutex<Option<Instant>>>,
}

/// A gamepad that says how it is held whenever that changes.
#[derive(Debug)]
struct Pad {
    state: PadState,
    /// What was held since the last poll, perhaps let go again.
    tapped: PadState,
    bindings: PadBindings,
    layout: ActionLayout,
}

impl Controls {
    /// Nothing held, and what steers by these controls.
    pub fn new(layout: &ActionLayout) -> (Self, ByHand) {
        let keyboard = Keyboard::new(layout.clone());
        let pad = Pad {
            state: PadState::default(),
            tapped: PadState::default(),
            bindings: PadBindings::default(),
            layout: layout.clone(),
        };
        let controls = Self {
            keyboard: Arc::new(Mutex::new(keyboard)),
            pad: Arc::new(Mutex::new(pad)),
            clock: Clock::real(),
            touched: Arc::default(),
        };
        let devices =
            Merged::new().with(Arc::clone(&controls.keyboard)).with(Arc::clone(&controls.pad));
        let touched = Arc::clone(&controls.touched);
        let take_touch = move |clock: &Clock| clock.time_of(lock(&touched).take()?);
        (controls, ByHand::of(devices, take_touch))
    }

    /// Notes that something was touched, this long before the page said so. The way to here is not known and not
    /// counted.
    pub(super) fn note_touch(&self, before: Duration) {
        let at = self.clock.now().saturating_sub(before);
        let mut touched = lock(&self.touched);
        *touched = touched.or(self.clock.instant(at));
    }

    /// A key went down or up.
    pub(super) fn key(&self, key: Key, down: bool) {
        let mut keyboard = lock(&self.keyboard);
        if down { keyboard.press(key) } else { keyboard.release(key) }
    }

    /// The mouse moved by this many pixels.
    pub(super) fn look(&self, right: f32, down: f32) {
        lock(&self.keyboard).move_mouse(right, down);
    }

    /// The pad is held like this from now on.
    pub(super) fn hold(&self, state: PadState) {
        let mut pad = lock(&self.pad);
        pad.tapped = pad.tapped.and_held(state);
        pad.state = state;
    }

    /// Whoever held something holds nothing any more.
    pub(super) fn release(&self) {
        self.forget_touches();
        lock(&self.keyboard).release_all();
        let mut pad = lock(&self.pad);
        (pad.state, pad.tapped) = (PadState::default(), PadState::default());
    }

    /// What was touched so far does not count any more: nothing was to be seen of it, as in a pause.
    pub(super) fn forget_touches(&self) {
        lock(&self.touched).take();
    }
}

impl Controller for Pad {
    fn poll(&mut self) -> Action {
        let state = self.state.and_held(std::mem::take(&mut self.tapped));
        self.bindings.action(&state, &self.layout)
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use input::{Buttons, PadInput};

    use super::*;
    use crate::stream::Steer as _;

    #[test]
    fn keys_and_pad_steer_together_until_released() {
        let buttons = vec!["use".to_owned()];
        let layout = ActionLayout { turn_degrees: 15.0, buttons, ..ActionLayout::default() };
        let (controls, mut hand) = Controls::new(&layout);
        controls.key(Key::W, true);
        let turned = PadState { right: (1.0, 0.0), ..PadState::default() };
        let mut pressed = turned;
        pressed.press(PadInput::South);
        controls.hold(pressed);
        controls.hold(turned);
        controls.look(-60.0, 0.0);
        let action = hand.poll(1)[0];
        assert_eq!((action.forward, action.turn), (1.0, 0.5), "mouse and stick add up");
        assert_eq!(action.buttons, Buttons(1), "a button tapped between two polls counts");
        let action = hand.poll(1)[0];
        assert_eq!((action.forward, action.turn, action.buttons), (1.0, 1.0, Buttons::NONE));
        controls.release();
        assert_eq!(hand.poll(2), [Action::NEUTRAL; 2]);
    }

    #[test]
    fn the_oldest_touch_is_told_once_in_the_time_of_the_walk_and_none_from_a_pause() {
        let walk = Clock::real();
        let (controls, mut hand) = Controls::new(&ActionLayout::default());
        std::thread::sleep(Duration::from_millis(5));
        let before = walk.now();
        controls.note_touch(Duration::from_millis(4));
        controls.note_touch(Duration::ZERO);
        let touched = hand.touched_at(&walk).expect("something was touched");
        assert!(touched < before, "the page knew of it earlier");
        assert!(touched + Duration::from_millis(4) >= before, "but not much earlier");
        assert_eq!(hand.touched_at(&walk), None, "once");
        controls.note_touch(Duration::ZERO);
        controls.forget_touches();
        assert_eq!(hand.touched_at(&walk), None);
    }
}
