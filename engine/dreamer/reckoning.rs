//! Dead reckoning: where a walk has come to, by its actions alone.

use input::ActionLayout;
use memory::{Pose, Reckoned};
use std::sync::Arc;

/// Where the player is.
///
/// Headings are exact, for a game turns as far as it is told. Places are not: who walks into a wall is reckoned to
/// have gone through it, and who slides on is reckoned to have stopped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reckoning {
    /// `None` where nobody said how far a turn goes.
    place: Option<Reckoned>,
    turn_degrees: f32,
}

impl Reckoning {
    /// At the beginning of a walk.
    pub(super) fn new(layout: &ActionLayout) -> Self {
        let turn_degrees = layout.turn_degrees;
        let place = (turn_degrees > 0.0).then(Reckoned::default);
        Self { place, turn_degrees }
    }

    /// Where the player is.
    pub(super) fn place(self) -> Option<Reckoned> {
        self.place
    }

    /// Where an action with these features leads: it turns, then it moves.
    #[must_use]
    pub(super) fn after(self, action: &[f32]) -> Self {
        let (Some(from), [turn, forward, strafe, ..]) = (self.place, action) else {
            return Self { place: None, ..self };
        };
        let Pose { x, y, yaw } = from.pose;
        // Headings count counter-clockwise, turns to the right.
        let yaw = (yaw - turn * self.turn_degrees).rem_euclid(360.0);
        let (ahead_y, ahead_x) = yaw.to_radians().sin_cos();
        // Walking aslant is not faster than walking straight.
        let pace = forward.hypot(*strafe).max(1.0);
        let (ahead, right) = (forward / pace, strafe / pace);
        let x = x + ahead * ahead_x + right * ahead_y;
        let y = y + ahead * ahead_y - right * ahead_x;
        let walked = from.walked + ahead.hypot(right);
        Self { place: Some(Reckoned { pose: Pose { x, y, yaw }, walked }), ..self }
    }

    /// Where each of these actions leads, one after the other; nothing where that is not known.
    pub(super) fn ahead(self, actions: &[Arc<[f32]>]) -> Vec<Reckoned> {
        let follow = |at: &mut Self, action: &Arc<[f32]>| {
            *at = at.after(action);
            at.place
        };
        actions.iter().scan(self, follow).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use input::Action;

    const LAYOUT: ActionLayout =
        ActionLayout { turn_degrees: 15.0, pitch_degrees: 0.0, buttons: Vec::new() };

    fn walk(from: Reckoning, action: Action, ticks: usize) -> Reckoning {
        (0..ticks).fold(from, |at, _| at.after(&action.to_features(&LAYOUT)))
    }

    #[track_caller]
    fn assert_at(reckoning: Reckoning, x: f32, y: f32, yaw: f32) {
        let place = reckoning.place().expect("turns are known").pose;
        let turned = (place.yaw - yaw).rem_euclid(360.0);
        // Some tens of sums of numbers below a hundred, in 32 bits.
        let near = (place.x - x).abs().max((place.y - y).abs()) < 1e-4;
        assert!(near && turned.min(360.0 - turned) < 1e-3, "{place:?}, expected {x} {y} {yaw}");
    }

    #[test]
    fn places_and_headings_follow_the_actions() {
        let right = Action { turn: 0.5, ..Action::NEUTRAL };
        let ahead = Action { forward: 1.0, ..Action::NEUTRAL };
        let aside = Action { strafe: 1.0, ..Action::NEUTRAL };
        let begin = Reckoning::new(&LAYOUT);
        assert_at(begin, 0.0, 0.0, 0.0);
        assert_at(walk(begin, right, 12), 0.0, 0.0, -90.0);
        // Out, to the right, and on: south of the first way's end.
        let out = walk(begin, ahead, 20);
        assert_at(walk(walk(out, right, 12), ahead, 7), 20.0, -7.0, 270.0);
        assert_at(walk(out, aside, 7), 20.0, -7.0, 0.0);
        let aslant = Action { forward: 1.0, strafe: -1.0, ..Action::NEUTRAL };
        assert_at(walk(begin, aslant, 10), 50.0_f32.sqrt(), 50.0_f32.sqrt(), 0.0);
        // A whole turn and all the way back.
        let back = Action { forward: -1.0, ..Action::NEUTRAL };
        assert_at(walk(walk(out, right, 48), back, 20), 0.0, 0.0, 0.0);
    }

    #[test]
    fn a_wall_that_nobody_told_of_moves_the_place_alone() {
        let walked = Action { turn: 0.3, forward: 1.0, ..Action::NEUTRAL };
        let stood = Action { forward: 0.0, ..walked };
        let begin = Reckoning::new(&LAYOUT);
        let [walked, stood] =
            [walked, stood].map(|action| walk(begin, action, 31).place().unwrap());
        assert_eq!(walked.pose.yaw.to_bits(), stood.pose.yaw.to_bits());
        assert!(walked.pose.x.hypot(walked.pose.y) > 1.0);
        assert_eq!((stood.pose.x, stood.pose.y), (0.0, 0.0));
        assert_eq!((walked.walked, stood.walked), (31.0, 0.0));
    }

    #[test]
    fn a_section_leads_on_frame_by_frame() {
        let at = walk(Reckoning::new(&LAYOUT), Action { forward: 0.5, ..Action::NEUTRAL }, 3);
        let turn: Arc<[f32]> = Action { turn: 1.0, ..Action::NEUTRAL }.to_features(&LAYOUT).into();
        let places = at.ahead(&[Arc::clone(&turn), turn]);
        assert_eq!(places.iter().map(|place| place.pose.yaw).collect::<Vec<_>>(), [345.0, 330.0]);
        assert!(places.iter().all(|place| place.pose.x.to_bits() == 1.5_f32.to_bits()));
    }

    #[test]
    fn where_turns_are_not_told_nothing_is_reckoned() {
        let silent = ActionLayout { turn_degrees: 0.0, ..LAYOUT };
        let begin = Reckoning::new(&silent);
        assert_eq!(walk(begin, Action::NEUTRAL, 1).place(), None);
        assert!(begin.ahead(&[[0.0; 4].into()]).is_empty());
    }
}
