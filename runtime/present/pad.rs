//! What a gamepad asks of the window: the menu, and ways about on pages.

use std::time::Duration;

use input::{PadInput, PadState};

/// How often gamepads are looked at: fast enough for a tap to be felt at once.
pub(super) const LOOK: Duration = Duration::from_millis(30);
/// How long a direction is held until it counts again, and from then on how often.
const REPEATS: (Duration, Duration) = (Duration::from_millis(400), Duration::from_millis(120));
/// How far a stick is moved before it is a direction.
const CLEAR: f32 = 0.5;

/// What a gamepad asks for on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    Up,
    Down,
    Left,
    Right,
    /// Press what has the focus.
    Press,
    /// Go back to where the page was opened from.
    Back,
}

impl Move {
    /// The direction that is held, if one is.
    fn held(pad: &PadState) -> Option<Self> {
        let ways = [
            (Self::Up, PadInput::DirectionUp, PadInput::LeftStickUp),
            (Self::Down, PadInput::DirectionDown, PadInput::LeftStickDown),
            (Self::Left, PadInput::DirectionLeft, PadInput::LeftStickLeft),
            (Self::Right, PadInput::DirectionRight, PadInput::LeftStickRight),
        ];
        let way = |input| pad.value(input, 0.0);
        let furthest =
            ways.into_iter().map(|(it, button, stick)| (it, way(button).max(way(stick))));
        let furthest = furthest.max_by(|(_, a), (_, b)| a.total_cmp(b));
        furthest.filter(|(_, way)| *way > CLEAR).map(|(it, _)| it)
    }
}

/// Turns what is held into single moves, which repeat while a direction is held.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PadMoves {
    /// The direction that is held, and when it counts again.
    held: Option<(Move, Duration)>,
}

impl PadMoves {
    /// What is asked for at time `now` by a pad that is held like this and on which `pressed` went down since the
    /// last time.
    pub(super) fn take(&mut self, pad: &PadState, pressed: &PadState, now: Duration) -> Vec<Move> {
        let is_pressed = |input| pressed.value(input, 0.0) > CLEAR;
        let mut moves = Vec::new();
        // A direction that was pressed and let go again since is found in `pressed` alone.
        let held = Move::held(pad);
        match (held, self.held) {
            (Some(way), Some((before, again_at))) if way == before => {
                if now >= again_at {
                    moves.push(way);
                    self.held = Some((way, now + REPEATS.1));
                }
            }
            (Some(way), _) => {
                moves.push(way);
                self.held = Some((way, now + REPEATS.0));
            }
            (None, _) => {
                self.held = None;
                moves.extend(Move::held(pressed));
            }
        }
        moves.extend(is_pressed(PadInput::South).then_some(Move::Press));
        moves.extend(is_pressed(PadInput::East).then_some(Move::Back));
        moves
    }

    /// Forgets what is held: it counts anew when a page is turned.
    pub(super) fn rest(&mut self) {
        self.held = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn pressed(inputs: &[PadInput]) -> PadState {
        let mut pad = PadState::default();
        inputs.iter().for_each(|input| pad.press(*input));
        pad
    }

    #[test]
    fn a_held_direction_moves_once_then_waits_then_repeats() {
        let mut moves = PadMoves::default();
        let (down, none) = (PadState { left: (0.1, -0.9), ..<_>::default() }, PadState::default());
        let counts =
            (0..1000).step_by(30).filter(|&ms| !moves.take(&down, &none, MS(ms)).is_empty());
        let at: Vec<_> = counts.collect();
        assert_eq!(at[..4], [0, 420, 540, 660]);
        assert_eq!(moves.take(&none, &none, MS(1000)), []);
        assert_eq!(moves.take(&down, &none, MS(1030)), [Move::Down], "anew");
    }

    #[test]
    fn a_tap_between_two_looks_counts_and_resting_sticks_do_not() {
        let mut moves = PadMoves::default();
        let none = PadState::default();
        let tapped = pressed(&[PadInput::DirectionUp, PadInput::South]);
        assert_eq!(moves.take(&none, &tapped, MS(0)), [Move::Up, Move::Press]);
        let worn = PadState { left: (0.3, 0.2), ..none };
        assert_eq!(moves.take(&worn, &none, MS(30)), []);
        assert_eq!(moves.take(&none, &pressed(&[PadInput::East]), MS(60)), [Move::Back]);
        // One that is held still when it is looked at counts once, not twice.
        let up = pressed(&[PadInput::DirectionUp]);
        assert_eq!(moves.take(&up, &up, MS(90)), [Move::Up]);
    }
}
