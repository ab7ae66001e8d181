//! Which keys, sticks and pad buttons mean what. Plain values; files are read elsewhere.

use serde::{Deserialize, Serialize};

use crate::pad::CLEAR;
use crate::{Act, Action, ActionLayout, Acts, Buttons, Key, PadInput, PadState};

/// What keys do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyBindings {
    /// Share of the full turn that a key gives; full speed is for quick mouse and stick moves.
    pub turn_speed: f32,
    /// The keys of each act.
    pub keys: Acts<Key>,
}

/// What the mouse does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MouseBindings {
    /// Degrees turned per pixel of motion.
    pub degrees_per_pixel: f32,
    /// Moving the mouse down looks up.
    pub inverted: bool,
}

impl Default for KeyBindings {
    fn default() -> Self {
        Self { turn_speed: 0.5, keys: Acts::default() }
    }
}

impl Default for MouseBindings {
    fn default() -> Self {
        Self { degrees_per_pixel: 0.125, inverted: false }
    }
}

impl KeyBindings {
    /// The action of held keys.
    pub fn action(&self, is_held: impl Fn(Key) -> bool, layout: &ActionLayout) -> Action {
        let strength = |key: Key| f32::from(u8::from(is_held(key)));
        let doing = Doing { acts: &self.keys, strength: &strength };
        let action = doing.action(layout);
        Action {
            turn: self.turn_speed * action.turn,
            pitch: self.turn_speed * action.pitch,
            ..action
        }
    }
}

impl MouseBindings {
    /// The action of a motion in pixels, right and down positive.
    pub fn action(&self, (right, down): (f32, f32), layout: &ActionLayout) -> Action {
        let up = if self.inverted { down } else { -down };
        let share = |pixels: f32, most| share_of(pixels * self.degrees_per_pixel, most);
        let (turn, pitch) = (share(right, layout.turn_degrees), share(up, layout.pitch_degrees));
        Action { turn, pitch, ..Action::NEUTRAL }.clamped()
    }
}

/// Degrees as a share of the most that one tick can turn; 0 where nothing can turn.
fn share_of(degrees: f32, most: f32) -> f32 {
    if most > 0.0 { degrees / most } else { 0.0 }
}

/// What a gamepad does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PadBindings {
    /// Part of the way of a stick or trigger in which it counts as at rest. 0.15: twice the drift of a worn pad.
    pub dead_zone: f32,
    /// Exponent of the turn: above 1, small moves of the stick turn finely.
    pub turn_exponent: f32,
    /// The parts of the pad of each act.
    pub inputs: Acts<PadInput>,
}

impl Default for PadBindings {
    fn default() -> Self {
        Self { dead_zone: 0.15, turn_exponent: 1.5, inputs: Acts::default() }
    }
}

impl PadBindings {
    /// The action of a pad that is held like this.
    pub fn action(&self, pad: &PadState, layout: &ActionLayout) -> Action {
        let strength = |input| pad.value(input, self.dead_zone);
        let action = Doing { acts: &self.inputs, strength: &strength }.action(layout);
        let curved = |axis: f32| axis.abs().powf(self.turn_exponent).copysign(axis);
        Action { turn: curved(action.turn), pitch: curved(action.pitch), ..action }.clamped()
    }
}

/// Bindings and how far each of what is bound is moved, in `0..=1`.
struct Doing<'a, T> {
    acts: &'a Acts<T>,
    strength: &'a dyn Fn(T) -> f32,
}

impl<T: Copy> Doing<'_, T> {
    /// The action: the strongest of an act's list counts, opposites cancel each other.
    fn action(&self, layout: &ActionLayout) -> Action {
        let pairs = 0..layout.buttons.len();
        let pressed = pairs.filter(|&index| self.of(Act::Button(index)) > CLEAR);
        let pitch = self.axis(Act::LookUp, Act::LookDown);
        Action {
            turn: self.axis(Act::TurnRight, Act::TurnLeft),
            forward: self.axis(Act::Forward, Act::Back),
            strafe: self.axis(Act::StrafeRight, Act::StrafeLeft),
            pitch: if layout.pitch_degrees > 0.0 { pitch } else { 0.0 },
            buttons: pressed.fold(Buttons::NONE, Buttons::with),
        }
    }

    fn axis(&self, plus: Act, minus: Act) -> f32 {
        self.of(plus) - self.of(minus)
    }

    fn of(&self, act: Act) -> f32 {
        self.acts.get(act).iter().map(|&bound| (self.strength)(bound)).fold(0.0, f32::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> ActionLayout {
        let buttons = vec!["use".to_owned(), "fire".to_owned()];
        ActionLayout { turn_degrees: 15.0, pitch_degrees: 0.0, buttons }
    }

    fn keys(held: &[Key]) -> Action {
        KeyBindings::default().action(|key| held.contains(&key), &layout())
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
            assert_eq!(keys(held).axes(), wanted, "{held:?}");
        }
    }

    #[test]
    fn mouse_pixels_become_degrees() {
        let mouse = |motion| MouseBindings::default().action(motion, &layout());
        // 60 pixels of an eighth of a degree are half of 15 degrees.
        assert_eq!(mouse((60.0, 0.0)).turn, 0.5);
        assert_eq!(mouse((-5000.0, 0.0)).turn, -1.0);
        assert_eq!(mouse((0.0, 60.0)).pitch, 0.0, "this world cannot look up");
        let pitched = ActionLayout { pitch_degrees: 15.0, ..layout() };
        let mut mouse = MouseBindings::default();
        assert_eq!(mouse.action((0.0, 60.0), &pitched).pitch, -0.5, "down looks down");
        mouse.inverted = true;
        assert_eq!(mouse.action((0.0, 60.0), &pitched).pitch, 0.5);
    }

    #[test]
    fn only_buttons_that_the_world_has_are_pressed() {
        let held = [Key::MouseLeft, Key::F, Key::Shift, Key::Control];
        assert_eq!(keys(&held).buttons, Buttons(0b11));
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
        let mut state = PadState::default();
        for input in
            [PadInput::DirectionLeft, PadInput::DirectionUp, PadInput::South, PadInput::West]
        {
            state.press(input);
        }
        let action = pad(&state);
        assert_eq!((action.forward, action.strafe), (1.0, -1.0));
        assert_eq!(action.buttons, Buttons(0b01), "the third button does not exist here");
    }

    #[test]
    fn a_trigger_may_be_a_button_or_an_axis() {
        let half = PadState { triggers: (0.4, 0.0), ..<_>::default() };
        let full = PadState { triggers: (1.0, 0.0), ..<_>::default() };
        assert_eq!(pad(&half).buttons, Buttons::NONE, "pressed half way");
        assert_eq!(pad(&full).buttons, Buttons(0b10));
        let mut bindings = PadBindings { dead_zone: 0.0, ..<_>::default() };
        bindings.inputs.forward = vec![PadInput::LeftTrigger];
        assert_eq!(bindings.action(&half, &layout()).forward, 0.4);
    }

    #[test]
    fn bindings_may_name_only_what_they_change() {
        let text = r#"{"keys": {"forward": ["up"], "buttons": [["mouse_left"]]}}"#;
        let bindings: KeyBindings = serde_json::from_str(text).unwrap();
        assert_eq!(bindings.keys.forward, [Key::Up]);
        assert_eq!(bindings.keys.back, Acts::<Key>::default().back);
        assert!(serde_json::from_str::<KeyBindings>(r#"{"keys": {"forwards": []}}"#).is_err());
    }
}
