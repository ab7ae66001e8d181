//! Which keys, sticks and pad buttons mean what. Plain values; files are read elsewhere.

use serde::{Deserialize, Serialize};

use crate::{Action, ActionLayout, Buttons};

/// A key or a mouse button, by its place on an American keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Key {
    A,
    B,
    C,
    D,
    E,
    F,
    G,
    H,
    I,
    J,
    K,
    L,
    M,
    N,
    O,
    P,
    Q,
    R,
    S,
    T,
    U,
    V,
    W,
    X,
    Y,
    Z,
    Digit0,
    Digit1,
    Digit2,
    Digit3,
    Digit4,
    Digit5,
    Digit6,
    Digit7,
    Digit8,
    Digit9,
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Space,
    Enter,
    Tab,
    Shift,
    Control,
    MouseLeft,
    MouseRight,
    MouseMiddle,
}

/// What keys and the mouse do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyBindings {
    /// Walk ahead.
    pub forward: Vec<Key>,
    /// Walk back.
    pub back: Vec<Key>,
    /// Step to the left.
    pub strafe_left: Vec<Key>,
    /// Step to the right.
    pub strafe_right: Vec<Key>,
    /// Turn to the left.
    pub turn_left: Vec<Key>,
    /// Turn to the right.
    pub turn_right: Vec<Key>,
    /// Look up.
    pub look_up: Vec<Key>,
    /// Look down.
    pub look_down: Vec<Key>,
    /// Keys of the world's buttons, in the order of its action layout.
    pub buttons: Vec<Vec<Key>>,
    /// Share of the full turn that a key gives; full speed is for quick mouse and stick moves.
    pub turn_speed: f32,
    /// Degrees turned per pixel of mouse motion.
    pub mouse_degrees_per_pixel: f32,
}

impl Default for KeyBindings {
    fn default() -> Self {
        Self {
            forward: vec![Key::W, Key::Up],
            back: vec![Key::S, Key::Down],
            strafe_left: vec![Key::A, Key::Q],
            strafe_right: vec![Key::D, Key::E],
            turn_left: vec![Key::Left],
            turn_right: vec![Key::Right],
            look_up: vec![Key::PageUp],
            look_down: vec![Key::PageDown],
            buttons: vec![
                vec![Key::Space, Key::MouseLeft],
                vec![Key::F, Key::MouseRight],
                vec![Key::Shift],
                vec![Key::Control],
            ],
            turn_speed: 0.5,
            mouse_degrees_per_pixel: 0.125,
        }
    }
}

impl KeyBindings {
    /// The action of held keys and of the mouse's motion in pixels (right and down positive).
    pub fn action(
        &self,
        is_held: impl Fn(Key) -> bool,
        mouse: (f32, f32),
        layout: &ActionLayout,
    ) -> Action {
        let any = |keys: &[Key]| keys.iter().any(|&key| is_held(key));
        let axis = |plus: &[Key], minus: &[Key]| match (any(plus), any(minus)) {
            (true, false) => 1.0,
            (false, true) => -1.0,
            // Opposite keys cancel each other.
            (true, true) | (false, false) => 0.0,
        };
        let turned = mouse_share(mouse.0 * self.mouse_degrees_per_pixel, layout.turn_degrees);
        let looked = mouse_share(-mouse.1 * self.mouse_degrees_per_pixel, layout.pitch_degrees);
        let count = layout.buttons.len();
        let pressed = self.buttons.iter().take(count).enumerate().filter(|(_, keys)| any(keys));
        Action {
            turn: self.turn_speed * axis(&self.turn_right, &self.turn_left) + turned,
            forward: axis(&self.forward, &self.back),
            strafe: axis(&self.strafe_right, &self.strafe_left),
            pitch: self.turn_speed * axis(&self.look_up, &self.look_down) + looked,
            buttons: pressed.fold(Buttons::NONE, |buttons, (index, _)| buttons.with(index)),
        }
        .clamped()
    }
}

/// Degrees as a share of the most that one tick can turn; 0 where nothing can turn.
fn mouse_share(degrees: f32, most: f32) -> f32 {
    if most > 0.0 { degrees / most } else { 0.0 }
}

/// How a gamepad is held at one moment. Sticks lie in `-1..=1`, right and up positive.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PadState {
    /// Left stick.
    pub left: (f32, f32),
    /// Right stick.
    pub right: (f32, f32),
    /// Directional pad.
    pub directions: (f32, f32),
    /// Held buttons: south, east, west, north, shoulders left and right, triggers left and right.
    pub buttons: u32,
}

/// What a gamepad does: the left stick and the directional pad walk, the right stick turns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PadBindings {
    /// Part of a stick's way in which it counts as at rest. 0.15: twice the drift of a worn pad.
    pub dead_zone: f32,
    /// Exponent of the turn: above 1, small moves of the stick turn finely.
    pub turn_exponent: f32,
    /// Pad buttons of the world's buttons, as bits of [`PadState::buttons`].
    pub buttons: Vec<u32>,
}

impl Default for PadBindings {
    fn default() -> Self {
        Self { dead_zone: 0.15, turn_exponent: 1.5, buttons: vec![0, 1, 2, 3] }
    }
}

impl PadBindings {
    /// The action of a pad that is held like this.
    pub fn action(&self, pad: &PadState, layout: &ActionLayout) -> Action {
        let (strafe, forward) = self.without_dead_zone(pad.left);
        let (turn, pitch) = self.without_dead_zone(pad.right);
        let curved = |axis: f32| axis.abs().powf(self.turn_exponent).copysign(axis);
        let pairs = self.buttons.iter().take(layout.buttons.len()).enumerate();
        let pressed = pairs.filter(|&(_, &bit)| pad.buttons.checked_shr(bit).unwrap_or(0) & 1 == 1);
        Action {
            turn: curved(turn),
            forward: forward + pad.directions.1,
            strafe: strafe + pad.directions.0,
            pitch: if layout.pitch_degrees > 0.0 { curved(pitch) } else { 0.0 },
            buttons: pressed.fold(Buttons::NONE, |buttons, (index, _)| buttons.with(index)),
        }
        .clamped()
    }

    /// Measured along the stick's own direction, so that it leaves the rest evenly all around.
    fn without_dead_zone(&self, (x, y): (f32, f32)) -> (f32, f32) {
        let length = x.hypot(y);
        if length.is_nan() || length <= self.dead_zone {
            return (0.0, 0.0);
        }
        let scale = ((length - self.dead_zone) / (1.0 - self.dead_zone)).min(1.0) / length;
        (x * scale, y * scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> ActionLayout {
        let buttons = vec!["use".to_owned(), "fire".to_owned()];
        ActionLayout { turn_degrees: 15.0, pitch_degrees: 0.0, buttons }
    }

    fn keys(held: &[Key], mouse: (f32, f32)) -> Action {
        KeyBindings::default().action(|key| held.contains(&key), mouse, &layout())
    }

    #[test]
    fn keys_walk_step_and_turn() {
        let cases: [(&[Key], [f32; 4]); 8] = [
            (&[], [0.0, 0.0, 0.0, 0.0]),
            (&[Key::W], [0.0, 1.0, 0.0, 0.0]),
            (&[Key::Down], [0.0, -1.0, 0.0, 0.0]),
            (&[Key::A], [0.0, 0.0, -1.0, 0.0]),
            (&[Key::E], [0.0, 0.0, 1.0, 0.0]),
            (&[Key::Left], [-0.5, 0.0, 0.0, 0.0]),
            (&[Key::Right, Key::Up], [0.5, 1.0, 0.0, 0.0]),
            (&[Key::W, Key::S, Key::Q, Key::D], [0.0, 0.0, 0.0, 0.0]),
        ];
        for (held, wanted) in cases {
            assert_eq!(keys(held, (0.0, 0.0)).axes(), wanted, "{held:?}");
        }
    }

    #[test]
    fn mouse_pixels_become_degrees() {
        // 60 pixels of an eighth of a degree are half of 15 degrees.
        assert_eq!(keys(&[], (60.0, 0.0)).turn, 0.5);
        assert_eq!(keys(&[], (-5000.0, 0.0)).turn, -1.0);
        assert_eq!(keys(&[], (0.0, 60.0)).pitch, 0.0, "this world cannot look up");
        let pitched = ActionLayout { pitch_degrees: 15.0, ..layout() };
        let action = KeyBindings::default().action(|_| false, (0.0, 60.0), &pitched);
        assert_eq!(action.pitch, -0.5, "moving the mouse down looks down");
    }

    #[test]
    fn only_buttons_that_the_world_has_are_pressed() {
        let held = [Key::MouseLeft, Key::F, Key::Shift, Key::Control];
        assert_eq!(keys(&held, (0.0, 0.0)).buttons, Buttons(0b11));
    }

    fn pad(state: &PadState) -> Action {
        PadBindings::default().action(state, &layout())
    }

    #[test]
    fn sticks_rest_in_the_dead_zone_and_reach_the_full_range() {
        assert_eq!(pad(&PadState { left: (0.1, 0.1), ..<_>::default() }), Action::NEUTRAL);
        assert_eq!(pad(&PadState { left: (0.0, 1.0), ..<_>::default() }).forward, 1.0);
        assert_eq!(pad(&PadState { right: (-1.0, 0.0), ..<_>::default() }).turn, -1.0);
        let slight = pad(&PadState { right: (0.2, 0.0), ..<_>::default() }).turn;
        assert!(slight > 0.0 && slight < 0.05, "{slight}");
        let broken = PadState { left: (f32::NAN, 1.0), right: (f32::NAN, 0.0), ..<_>::default() };
        assert!(pad(&broken).is_valid());
    }

    #[test]
    fn the_directional_pad_walks_and_buttons_press() {
        let state = PadState { directions: (-1.0, 1.0), buttons: 0b101, ..<_>::default() };
        let action = pad(&state);
        assert_eq!((action.forward, action.strafe), (1.0, -1.0));
        assert_eq!(action.buttons, Buttons(0b01), "the third button does not exist here");
    }

    #[test]
    fn bindings_may_name_only_what_they_change() {
        let text = r#"{"forward": ["up"], "buttons": [["mouse_left"]]}"#;
        let bindings: KeyBindings = serde_json::from_str(text).unwrap();
        assert_eq!(bindings.forward, [Key::Up]);
        assert_eq!(bindings.back, KeyBindings::default().back);
    }
}
