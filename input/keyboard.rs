//! Keyboard and mouse: what is held between events and polls.

use std::collections::BTreeSet;

use crate::{Action, ActionLayout, Controller, Key, KeyBindings, MouseBindings};

/// Collects events of keys and mouse; each poll turns them into one action.
#[derive(Clone, Debug)]
pub struct Keyboard {
    keys: KeyBindings,
    mouse: MouseBindings,
    layout: ActionLayout,
    held: BTreeSet<Key>,
    /// Pressed since the last poll, perhaps released again.
    tapped: BTreeSet<Key>,
    /// Pixels since the last poll, right and down positive.
    motion: (f32, f32),
}

impl Keyboard {
    /// Nothing held, everything bound as usual.
    pub fn new(layout: ActionLayout) -> Self {
        let (keys, mouse) = (KeyBindings::default(), MouseBindings::default());
        let (held, tapped) = (BTreeSet::new(), BTreeSet::new());
        Self { keys, mouse, layout, held, tapped, motion: (0.0, 0.0) }
    }

    /// Changes what keys and mouse do, from the next poll on.
    pub fn bind(&mut self, keys: KeyBindings, mouse: MouseBindings) {
        (self.keys, self.mouse) = (keys, mouse);
    }

    /// Steers a world of another layout from the next poll on.
    pub fn suit(&mut self, layout: ActionLayout) {
        self.layout = layout;
    }

    /// A key went down; repeats of a held key change nothing.
    pub fn press(&mut self, key: Key) {
        self.held.insert(key);
        self.tapped.insert(key);
    }

    /// A key went up. It still counts in the next poll when it went down after the last one.
    pub fn release(&mut self, key: Key) {
        self.held.remove(&key);
    }

    /// The mouse moved by this many pixels, right and down positive; motions between polls add up.
    pub fn move_mouse(&mut self, right: f32, down: f32) {
        self.motion.0 += right;
        self.motion.1 += down;
    }

    /// The window lost the focus: no release will be seen, so that all keys count as up.
    pub fn release_all(&mut self) {
        self.held.clear();
        self.tapped.clear();
        self.motion = (0.0, 0.0);
    }
}

impl Controller for Keyboard {
    fn poll(&mut self) -> Action {
        let is_down = |key| self.held.contains(&key) || self.tapped.contains(&key);
        let keys = self.keys.action(is_down, &self.layout);
        let mouse = self.mouse.action(self.motion, &self.layout);
        let (turn, pitch) = (keys.turn + mouse.turn, keys.pitch + mouse.pitch);
        let action = Action { turn, pitch, ..keys }.clamped();
        self.tapped.clear();
        self.motion = (0.0, 0.0);
        action
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyboard() -> Keyboard {
        let layout = ActionLayout { turn_degrees: 15.0, ..<_>::default() };
        Keyboard::new(layout)
    }

    #[test]
    fn held_keys_last_and_released_ones_end() {
        let mut keyboard = keyboard();
        keyboard.press(Key::W);
        assert_eq!((keyboard.poll().forward, keyboard.poll().forward), (1.0, 1.0));
        keyboard.release(Key::W);
        assert_eq!(keyboard.poll(), Action::NEUTRAL);
    }

    #[test]
    fn a_tap_between_two_polls_counts_once() {
        let mut keyboard = keyboard();
        keyboard.press(Key::D);
        keyboard.release(Key::D);
        assert_eq!((keyboard.poll().strafe, keyboard.poll().strafe), (1.0, 0.0));
    }

    #[test]
    fn mouse_motion_adds_up_between_polls() {
        let mut keyboard = keyboard();
        for _ in 0..5 {
            keyboard.move_mouse(12.0, 0.0);
        }
        assert_eq!((keyboard.poll().turn, keyboard.poll().turn), (0.5, 0.0));
    }

    #[test]
    fn losing_the_focus_releases_everything() {
        let mut keyboard = keyboard();
        keyboard.press(Key::W);
        keyboard.press(Key::Left);
        keyboard.move_mouse(30.0, 0.0);
        keyboard.release_all();
        assert_eq!(keyboard.poll(), Action::NEUTRAL);
    }

    #[test]
    fn new_bindings_and_layouts_count_from_the_next_poll_on() {
        let mut keyboard = keyboard();
        keyboard.press(Key::X);
        assert_eq!(keyboard.poll(), Action::NEUTRAL);
        let mut keys = KeyBindings::default();
        keys.keys.forward = vec![Key::X];
        keyboard.bind(keys, MouseBindings { degrees_per_pixel: 1.0, inverted: false });
        keyboard.move_mouse(3.0, 0.0);
        let action = keyboard.poll();
        assert_eq!((action.forward, action.turn), (1.0, 0.2));
        keyboard.suit(ActionLayout { turn_degrees: 30.0, ..<_>::default() });
        keyboard.move_mouse(3.0, 0.0);
        assert_eq!(keyboard.poll().turn, 0.1);
    }
}
