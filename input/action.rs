//! What a player does in one tick: four axes and up to 32 buttons.

use serde::{Deserialize, Serialize};

/// Pressed buttons, one bit each; bit `i` is `ActionLayout::buttons[i]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Buttons(pub u32);

impl Buttons {
    /// No button.
    pub const NONE: Self = Self(0);

    /// Whether button `index` is pressed; no button lies beyond 31.
    pub fn contains(self, index: usize) -> bool {
        index < ActionLayout::MAX_BUTTONS && self.0 >> index & 1 == 1
    }

    /// These buttons and button `index`; an index beyond 31 changes nothing.
    #[must_use]
    pub fn with(self, index: usize) -> Self {
        if index < ActionLayout::MAX_BUTTONS { Self(self.0 | 1 << index) } else { self }
    }
}

/// What was applied between one frame and the next. The axes lie in `-1..=1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Action {
    /// Right (clockwise seen from above) is positive; the unit is `ActionLayout::turn_degrees`.
    pub turn: f32,
    /// Ahead is positive.
    pub forward: f32,
    /// To the right is positive.
    pub strafe: f32,
    /// Up is positive; the unit is `ActionLayout::pitch_degrees`.
    pub pitch: f32,
    /// Pressed buttons.
    pub buttons: Buttons,
}

impl Action {
    /// Nothing is pressed, nothing moves.
    pub const NEUTRAL: Self =
        Self { turn: 0.0, forward: 0.0, strafe: 0.0, pitch: 0.0, buttons: Buttons::NONE };

    /// The four axes in the order of [`Self::to_features`].
    pub fn axes(&self) -> [f32; 4] {
        [self.turn, self.forward, self.strafe, self.pitch]
    }

    /// An action from axes in the order of [`Self::axes`].
    pub fn from_axes([turn, forward, strafe, pitch]: [f32; 4]) -> Self {
        Self { turn, forward, strafe, pitch, buttons: Buttons::NONE }
    }

    /// The same action with every axis brought into `-1..=1`; what is not a number becomes 0.
    #[must_use]
    pub fn clamped(self) -> Self {
        let [turn, forward, strafe, pitch] = self.axes().map(clamp_axis);
        Self { turn, forward, strafe, pitch, buttons: self.buttons }
    }

    /// Whether every axis is a number in `-1..=1`.
    pub fn is_valid(&self) -> bool {
        self.axes().iter().all(|axis| (-1.0..=1.0).contains(axis))
    }

    /// The four axes, then 0 or 1 for each button of the layout.
    pub fn to_features(&self, layout: &ActionLayout) -> Vec<f32> {
        let pressed = |index| if self.buttons.contains(index) { 1.0 } else { 0.0 };
        self.axes().into_iter().chain((0..layout.buttons.len()).map(pressed)).collect()
    }
}

/// What the numbers of an [`Action`] mean in one game.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ActionLayout {
    /// Degrees turned in one tick by `turn = 1`; 0 where the recording does not say.
    pub turn_degrees: f32,
    /// Degrees looked up in one tick by `pitch = 1`; 0 where the game cannot look up.
    #[serde(default)]
    pub pitch_degrees: f32,
    /// Names of the buttons, at most [`Self::MAX_BUTTONS`].
    #[serde(default)]
    pub buttons: Vec<String>,
}

impl ActionLayout {
    /// Bits in [`Buttons`].
    pub const MAX_BUTTONS: usize = 32;

    /// Whether a tick turns by angles: 0 to 360 degrees.
    pub fn has_angles(&self) -> bool {
        [self.turn_degrees, self.pitch_degrees].iter().all(|angle| (0.0..=360.0).contains(angle))
    }

    /// Length of [`Action::to_features`] under this layout.
    pub fn feature_count(&self) -> usize {
        4 + self.buttons.len()
    }
}

fn clamp_axis(value: f32) -> f32 {
    if value.is_nan() { 0.0 } else { value.clamp(-1.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn features_are_axes_then_buttons() {
        let layout = ActionLayout {
            turn_degrees: 15.0,
            pitch_degrees: 0.0,
            buttons: vec!["jump".to_owned(), "use".to_owned()],
        };
        let action =
            Action { buttons: Buttons::NONE.with(1), ..Action::from_axes([0.5, 1.0, -1.0, 0.25]) };
        assert_eq!(action.to_features(&layout), [0.5, 1.0, -1.0, 0.25, 0.0, 1.0]);
        assert_eq!(layout.feature_count(), 6);
    }

    #[test]
    fn clamping_answers_for_every_number() {
        let wild = Action::from_axes([f32::NAN, f32::INFINITY, -7.0, 0.5]);
        assert!(!wild.is_valid());
        assert_eq!(wild.clamped().axes(), [0.0, 1.0, -1.0, 0.5]);
        assert!(wild.clamped().is_valid());
    }

    #[test]
    fn buttons_beyond_the_last_bit_do_not_exist() {
        assert_eq!(Buttons::NONE.with(31).0, 1 << 31);
        assert_eq!(Buttons::NONE.with(32), Buttons::NONE);
        assert!(!Buttons(u32::MAX).contains(32));
    }

    #[test]
    fn a_written_action_may_name_only_what_it_uses() {
        let action: Action = serde_json::from_str(r#"{"turn": -0.5}"#).unwrap();
        assert_eq!(action, Action { turn: -0.5, ..Action::NEUTRAL });
        assert!(serde_json::from_str::<Action>(r#"{"trun": -0.5}"#).is_err());
    }

    proptest! {
        /// Replaying a session to the bit needs this.
        #[test]
        fn json_keeps_every_bit(axes: [f32; 4], buttons: u32) {
            let action = Action { buttons: Buttons(buttons), ..Action::from_axes(axes) }.clamped();
            let text = serde_json::to_string(&action).unwrap();
            let back: Action = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(back.axes().map(f32::to_bits), action.axes().map(f32::to_bits));
            prop_assert_eq!(back.buttons, action.buttons);
        }
    }
}
