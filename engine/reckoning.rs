//! Dead reckoning: where a walk has come to, by its actions alone.

mod errand;

pub use errand::Astray;

use crate::atlas::{Atlas, Ground, Motion, Walker, command};
use input::{ActionLayout, Room};
use memory::{Pose, Reckoned};
use std::sync::Arc;

/// How far room is looked for, in steps.
const SIGHT: f32 = 8.0;

/// Where the player is.
///
/// Headings are exact, for a game turns as far as it is told. Places are not: who walks into a wall is reckoned to
/// have gone through it, and who slides on is reckoned to have stopped. On the map of an atlas both are known, as far
/// as its recording tells, and what its views show keeps the walk to the place that is reckoned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reckoning {
    /// `None` where nobody said how far a turn goes.
    place: Option<Reckoned>,
    /// East and north, in steps per tick of the game.
    velocity: (f32, f32),
    turn_degrees: f32,
    map: Option<(Motion, Arc<Ground>)>,
}

impl Reckoning {
    /// At the beginning of a walk.
    pub(crate) fn new(layout: &ActionLayout) -> Self {
        let turn_degrees = layout.turn_degrees;
        let place = (turn_degrees > 0.0).then(Reckoned::default);
        Self { place, velocity: (0.0, 0.0), turn_degrees, map: None }
    }

    /// Somewhere on the map of an atlas: [`Self::at`] says where.
    pub(crate) fn on(atlas: &Atlas, layout: &ActionLayout) -> Self {
        let map = Some((atlas.motion, Arc::clone(&atlas.ground)));
        Self { place: None, map, ..Self::new(layout) }
    }

    /// Where the player is.
    pub(crate) fn place(&self) -> Option<Reckoned> {
        self.place
    }

    /// At a place of the map, in the game's units, where the last frame led.
    #[must_use]
    pub(crate) fn at(&self, pose: Pose) -> Self {
        let Some((motion, _)) = self.map.as_ref().filter(|_| self.turn_degrees > 0.0) else {
            return self.clone();
        };
        let pose = motion.in_steps(pose);
        let from = self.place.map_or(pose, |from| from.pose);
        let Walker { velocity, .. } = motion.walker(from, pose);
        Self { place: Some(Reckoned { pose, walked: 0.0 }), velocity, ..self.clone() }
    }

    /// Where an action with these features leads: it turns, then it moves.
    #[must_use]
    pub(crate) fn after(&self, action: &[f32]) -> Self {
        let (Some(from), [turn, ..]) = (self.place, action) else {
            return Self { place: None, ..self.clone() };
        };
        let Pose { x, y, yaw } = from.pose;
        // Headings count counter-clockwise, turns to the right.
        let yaw = (yaw - turn * self.turn_degrees).rem_euclid(360.0);
        let Some((motion, ground)) = &self.map else {
            let command = command(action, yaw, false);
            let pose = Pose { x: x + command.0, y: y + command.1, yaw };
            let walked = from.walked + command.0.hypot(command.1);
            return Self { place: Some(Reckoned { pose, walked }), ..self.clone() };
        };
        let walker = Walker { pose: from.pose, velocity: self.velocity };
        let left = -turn * self.turn_degrees;
        let Walker { pose, velocity } = motion.walk(ground, walker, action, left);
        Self { place: Some(Reckoned { pose, walked: 0.0 }), velocity, ..self.clone() }
    }

    /// How much room there is around, as far as a map tells.
    pub(crate) fn room(&self) -> Option<Room> {
        let (Reckoned { pose, .. }, (_, ground)) = self.place.zip(self.map.as_ref())?;
        let room = |left: f32| {
            let (north, east) = (pose.yaw + left).to_radians().sin_cos();
            let [x, y] = ground.walk((pose.x, pose.y), (SIGHT * east, SIGHT * north)).free;
            SIGHT * x.min(y)
        };
        Some(Room { ahead: room(0.0), left: room(45.0), right: room(-45.0) })
    }

    /// Where each of these actions leads, one after the other; nothing where that is not known.
    pub(crate) fn ahead(&self, actions: &[Arc<[f32]>]) -> Vec<Reckoned> {
        let follow = |at: &mut Self, action: &Arc<[f32]>| {
            *at = at.after(action);
            at.place
        };
        actions.iter().scan(self.clone(), follow).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use input::Action;

    const LAYOUT: ActionLayout =
        ActionLayout { turn_degrees: 15.0, pitch_degrees: 0.0, buttons: Vec::new() };

    fn walk(from: &Reckoning, action: Action, ticks: usize) -> Reckoning {
        (0..ticks).fold(from.clone(), |at, _| at.after(&action.to_features(&LAYOUT)))
    }

    #[track_caller]
    fn assert_at(reckoning: &Reckoning, x: f32, y: f32, yaw: f32) {
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
        assert_at(&begin, 0.0, 0.0, 0.0);
        assert_at(&walk(&begin, right, 12), 0.0, 0.0, -90.0);
        // Out, to the right, and on: south of the first way's end.
        let out = walk(&begin, ahead, 20);
        assert_at(&walk(&walk(&out, right, 12), ahead, 7), 20.0, -7.0, 270.0);
        assert_at(&walk(&out, aside, 7), 20.0, -7.0, 0.0);
        let aslant = Action { forward: 1.0, strafe: -1.0, ..Action::NEUTRAL };
        assert_at(&walk(&begin, aslant, 10), 50.0_f32.sqrt(), 50.0_f32.sqrt(), 0.0);
        // A whole turn and all the way back.
        let back = Action { forward: -1.0, ..Action::NEUTRAL };
        assert_at(&walk(&walk(&out, right, 48), back, 20), 0.0, 0.0, 0.0);
    }

    #[test]
    fn a_wall_that_nobody_told_of_moves_the_place_alone() {
        let walked = Action { turn: 0.3, forward: 1.0, ..Action::NEUTRAL };
        let stood = Action { forward: 0.0, ..walked };
        let begin = Reckoning::new(&LAYOUT);
        let [walked, stood] =
            [walked, stood].map(|action| walk(&begin, action, 31).place().unwrap());
        assert_eq!(walked.pose.yaw.to_bits(), stood.pose.yaw.to_bits());
        assert!(walked.pose.x.hypot(walked.pose.y) > 1.0);
        assert_eq!((stood.pose.x, stood.pose.y), (0.0, 0.0));
        assert_eq!((walked.walked, stood.walked), (31.0, 0.0));
    }

    #[test]
    fn a_section_leads_on_frame_by_frame() {
        let at = walk(&Reckoning::new(&LAYOUT), Action { forward: 0.5, ..Action::NEUTRAL }, 3);
        let turn: Arc<[f32]> = Action { turn: 1.0, ..Action::NEUTRAL }.to_features(&LAYOUT).into();
        let places = at.ahead(&[Arc::clone(&turn), turn]);
        assert_eq!(places.iter().map(|place| place.pose.yaw).collect::<Vec<_>>(), [345.0, 330.0]);
        assert!(places.iter().all(|place| place.pose.x.to_bits() == 1.5_f32.to_bits()));
    }

    #[test]
    fn where_turns_are_not_told_nothing_is_reckoned() {
        let silent = ActionLayout { turn_degrees: 0.0, ..LAYOUT };
        let begin = Reckoning::new(&silent);
        assert_eq!(walk(&begin, Action::NEUTRAL, 1).place(), None);
        assert!(begin.ahead(&[[0.0; 4].into()]).is_empty());
    }

    /// A room from the origin to ten steps east and four north, at places of 20 units a step.
    fn in_a_room(momentum: f32) -> Reckoning {
        let side = |cells: u8| (0..cells).map(|at| f32::from(at) / 2.0 + 0.1);
        let places = side(20).flat_map(|x| side(8).map(move |y| (x, y)));
        let atlas = Atlas {
            views: Vec::new(),
            motion: Motion { momentum, ..Motion::of_steps(20.0) },
            ground: Arc::new(Ground::under(places)),
            scenery: None,
        };
        Reckoning::on(&atlas, &LAYOUT).at(Pose { x: 40.0, y: 40.0, yaw: 0.0 })
    }

    #[test]
    fn on_a_map_walls_stop_who_walks_into_them() {
        let ahead = Action { forward: 1.0, ..Action::NEUTRAL };
        let there = walk(&in_a_room(0.0), ahead, 5);
        assert_at(&there, 7.0, 2.0, 0.0);
        let place = walk(&there, ahead, 30).place().unwrap();
        assert!((9.5..10.1).contains(&place.pose.x) && place.walked == 0.0, "{place:?}");
        // Aslant into one wall, along it into the other: half a cell is lost at most.
        let left = Action { turn: -0.5, ..Action::NEUTRAL };
        let place = walk(&walk(&there, left, 6), ahead, 5).place().unwrap().pose;
        assert!((9.5..10.1).contains(&place.x) && (3.5..4.1).contains(&place.y), "{place:?}");
    }

    #[test]
    fn on_a_map_it_is_known_how_much_room_there_is() {
        // Ten steps by four, from step two of both on, looking east.
        let room = in_a_room(0.0).room().unwrap();
        // Its last places lie 7.6 steps to the east, 1.6 to the north and 1.9 to the south; a cell is 0.125.
        let (left, right) = (1.6 * 2.0_f32.sqrt(), 1.9 * 2.0_f32.sqrt());
        for (got, expected) in [(room.ahead, 7.6), (room.left, left), (room.right, right)] {
            assert!((got - expected).abs() < 0.2, "{room:?}");
        }
        assert_eq!(Reckoning::new(&LAYOUT).room(), None);
    }

    #[test]
    fn on_a_map_velocities_rise_and_fall_as_they_were_learnt() {
        let ahead = Action { forward: 1.0, ..Action::NEUTRAL };
        let begin = in_a_room(0.5);
        // 1/2, 3/4, 7/8 of a step, then half of the last.
        let there = walk(&begin, ahead, 3);
        assert_at(&there, 2.0 + 2.125, 2.0, 0.0);
        assert_at(&walk(&there, Action::NEUTRAL, 1), 2.0 + 2.125 + 0.4375, 2.0, 0.0);
        // Places that are told carry their velocity too; a first one has none.
        let told = begin.at(Pose { x: 60.0, y: 40.0, yaw: 0.0 });
        assert_at(&walk(&told, Action::NEUTRAL, 1), 3.5, 2.0, 0.0);
        assert_at(&walk(&begin, Action::NEUTRAL, 1), 2.0, 2.0, 0.0);
    }

    #[test]
    fn errands_end_in_time_where_they_lead() {
        for momentum in [0.0, 0.8] {
            let begin = in_a_room(momentum);
            // Across the room, to look back; then on the spot, to look round.
            for to in [Pose { x: 8.5, y: 3.0, yaw: 200.0 }, Pose { x: 2.0, y: 2.0, yaw: 90.0 }] {
                let Err(Astray::Far(soonest)) = begin.errand(to, 3, &LAYOUT) else {
                    panic!("{to:?} is farther than three frames")
                };
                assert!((4..60).contains(&soonest), "{soonest}");
                for frames in [soonest, 90] {
                    let walk = begin.errand(to, frames, &LAYOUT).expect("there is time");
                    assert_eq!(walk.len(), frames);
                    let features = |action: &Action| action.to_features(&LAYOUT).into();
                    let places = begin.ahead(&walk.iter().map(features).collect::<Vec<_>>());
                    let end = places[frames - 1].pose;
                    let off = (end.x - to.x).hypot(end.y - to.y);
                    let turn = (end.yaw - to.yaw + 180.0).rem_euclid(360.0) - 180.0;
                    assert!(off < 0.12 && turn.abs() < 0.3, "{end:?}, not {to:?}");
                    // Nobody runs who has time.
                    let hurry = walk.iter().map(|it| it.forward.hypot(it.strafe));
                    let hurry = hurry.fold(0.0, f32::max);
                    assert!(hurry <= 1.0 + 1e-5 && (frames < 90 || hurry < 0.5), "{hurry}");
                }
            }
        }
        let outside = Pose { x: 60.0, y: 2.0, yaw: 0.0 };
        assert_eq!(in_a_room(0.0).errand(outside, 90, &LAYOUT), Err(Astray::NoWay));
        let lost = Reckoning::new(&LAYOUT).errand(Pose::default(), 90, &LAYOUT);
        assert_eq!(lost, Err(Astray::NoWay), "without a map");
    }
}
