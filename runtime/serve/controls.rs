//! What is held down in a browser far away, as controls of the walk.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use input::{Action, ActionLayout, Controller, Key, Keyboard, Merged, PadBindings, PadState};

use crate::steer::ByHand;

/// The controls that pages feed and the loop polls. Clones are the same controls.
#[derive(Clone, Debug)]
pub struct Controls {
    keyboard: Arc<Mutex<Keyboard>>,
    pad: Arc<Mutex<Pad>>,
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
        let controls =
            Self { keyboard: Arc::new(Mutex::new(keyboard)), pad: Arc::new(Mutex::new(pad)) };
        let devices =
            Merged::new().with(Arc::clone(&controls.keyboard)).with(Arc::clone(&controls.pad));
        (controls, ByHand::of(devices))
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
        lock(&self.keyboard).release_all();
        let mut pad = lock(&self.pad);
        (pad.state, pad.tapped) = (PadState::default(), PadState::default());
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
}
