//! A gamepad held at one moment.

use serde::{Deserialize, Serialize};

/// A part of a gamepad: one side of a stick, a trigger, a button. Face buttons are named by where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum PadInput {
    LeftStickUp,
    LeftStickDown,
    LeftStickLeft,
    LeftStickRight,
    RightStickUp,
    RightStickDown,
    RightStickLeft,
    RightStickRight,
    LeftTrigger,
    RightTrigger,
    DirectionUp,
    DirectionDown,
    DirectionLeft,
    DirectionRight,
    South,
    East,
    West,
    North,
    LeftShoulder,
    RightShoulder,
    LeftStickPress,
    RightStickPress,
    Select,
    Start,
}

impl PadInput {
    /// All of them.
    pub const ALL: [Self; 24] = [
        Self::LeftStickUp,
        Self::LeftStickDown,
        Self::LeftStickLeft,
        Self::LeftStickRight,
        Self::RightStickUp,
        Self::RightStickDown,
        Self::RightStickLeft,
        Self::RightStickRight,
        Self::LeftTrigger,
        Self::RightTrigger,
        Self::DirectionUp,
        Self::DirectionDown,
        Self::DirectionLeft,
        Self::DirectionRight,
        Self::South,
        Self::East,
        Self::West,
        Self::North,
        Self::LeftShoulder,
        Self::RightShoulder,
        Self::LeftStickPress,
        Self::RightStickPress,
        Self::Select,
        Self::Start,
    ];

    /// Its bit among held buttons.
    fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// How a gamepad is held at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PadState {
    /// Left stick, each axis in `-1..=1`, right and up positive.
    pub left: (f32, f32),
    /// Right stick, likewise.
    pub right: (f32, f32),
    /// Left and right trigger, each in `0..=1`.
    pub triggers: (f32, f32),
    /// Held buttons, one bit each; see [`Self::press`].
    pub held: u32,
}

impl PadState {
    /// Says that a button is held; for sticks and triggers it changes nothing.
    pub fn press(&mut self, button: PadInput) {
        self.held |= button.bit();
    }

    /// Says that a button is up.
    pub fn release(&mut self, button: PadInput) {
        self.held &= !button.bit();
    }

    /// The same with what `other` holds held too.
    #[must_use]
    pub fn and_held(self, other: Self) -> Self {
        Self { held: self.held | other.held, ..self }
    }

    /// How far a part of the pad is moved, in `0..=1`: 0 within the dead zone, which the rest begins after.
    pub fn value(&self, input: PadInput, dead_zone: f32) -> f32 {
        let left = || without_dead_zone(self.left, dead_zone);
        let right = || without_dead_zone(self.right, dead_zone);
        let moved = match input {
            PadInput::LeftStickUp => left().1,
            PadInput::LeftStickDown => -left().1,
            PadInput::LeftStickLeft => -left().0,
            PadInput::LeftStickRight => left().0,
            PadInput::RightStickUp => right().1,
            PadInput::RightStickDown => -right().1,
            PadInput::RightStickLeft => -right().0,
            PadInput::RightStickRight => right().0,
            PadInput::LeftTrigger => without_dead_zone((self.triggers.0, 0.0), dead_zone).0,
            PadInput::RightTrigger => without_dead_zone((self.triggers.1, 0.0), dead_zone).0,
            PadInput::DirectionUp
            | PadInput::DirectionDown
            | PadInput::DirectionLeft
            | PadInput::DirectionRight
            | PadInput::South
            | PadInput::East
            | PadInput::West
            | PadInput::North
            | PadInput::LeftShoulder
            | PadInput::RightShoulder
            | PadInput::LeftStickPress
            | PadInput::RightStickPress
            | PadInput::Select
            | PadInput::Start => f32::from(u8::from(self.held & input.bit() != 0)),
        };
        moved.clamp(0.0, 1.0)
    }

    /// The part that is moved furthest, if one is moved clearly: what a player means who is asked for one.
    pub fn clearest(&self, dead_zone: f32) -> Option<PadInput> {
        let value = |input: &PadInput| self.value(*input, dead_zone);
        let furthest = PadInput::ALL.into_iter().max_by(|a, b| value(a).total_cmp(&value(b)))?;
        (value(&furthest) > CLEAR).then_some(furthest)
    }
}

/// From here on a move is no drift and no accident: half of the way.
pub(crate) const CLEAR: f32 = 0.5;

/// Measured along the stick's own direction, so that it leaves the rest evenly all around.
fn without_dead_zone((x, y): (f32, f32), dead_zone: f32) -> (f32, f32) {
    let length = x.hypot(y);
    if length.is_nan() || length <= dead_zone {
        return (0.0, 0.0);
    }
    let scale = ((length - dead_zone) / (1.0 - dead_zone)).min(1.0) / length;
    (x * scale, y * scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_part_that_is_moved_furthest_is_meant() {
        let mut pad = PadState { left: (0.2, -0.1), triggers: (0.0, 0.7), ..<_>::default() };
        assert_eq!(pad.clearest(0.15), Some(PadInput::RightTrigger));
        pad.left = (-0.9, 0.3);
        assert_eq!(pad.clearest(0.15), Some(PadInput::LeftStickLeft));
        assert_eq!(PadState { left: (0.5, 0.0), ..<_>::default() }.clearest(0.15), None);
        pad = PadState::default();
        pad.press(PadInput::Start);
        assert_eq!(pad.clearest(0.15), Some(PadInput::Start));
        pad.release(PadInput::Start);
        assert_eq!(pad.clearest(0.15), None);
    }

    proptest! {
        #[test]
        fn every_value_lies_between_rest_and_the_end(
            left: (f32, f32), right: (f32, f32), triggers: (f32, f32), dead_zone in 0.0..0.9_f32,
        ) {
            let pad = PadState { left, right, triggers, ..<_>::default() };
            for input in PadInput::ALL {
                prop_assert!((0.0..=1.0).contains(&pad.value(input, dead_zone)), "{input:?}");
            }
        }
    }
}
