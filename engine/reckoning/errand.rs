//! Walks that somebody is sent on: actions that lead from one place to another in time.

use super::Reckoning;
use crate::atlas::turned;
use input::{Action, ActionLayout};
use memory::Pose;

/// Share of the fastest turn that is made at most: who turns faster sees nothing.
const TURN: f32 = 0.5;
/// From so many steps on one turns to where one is to look, and walks the rest sidewards.
const ARRIVING: f32 = 1.5;
/// Points of a way that are looked ahead: six steps.
const AHEAD: usize = 12;
/// Degrees astray from which on one turns before one walks.
const ASTRAY: f32 = 60.0;
/// One is there within so many steps and degrees.
const THERE: (f32, f32) = (0.05, 0.25);
/// The slowest walk that is tried, as a share of the fastest.
const SLOWEST: f32 = 0.1;
/// How often the pace is halved between too slow and fast enough.
const HALVINGS: u32 = 7;
/// Longest walk, in frames: at a pace of a tenth, some hundred rooms.
const FRAMES_MAX: usize = 1 << 14;

/// Why nobody gets there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Astray {
    /// No ground leads there.
    NoWay,
    /// The way takes so many frames.
    Far(usize),
}

impl Reckoning {
    /// Actions that lead to a place, in steps, within `frames` frames, as slowly as that allows, and leave one standing there.
    pub(crate) fn errand(
        &self,
        to: Pose,
        frames: usize,
        layout: &ActionLayout,
    ) -> Result<Vec<Action>, Astray> {
        let (from, (_, ground)) = self.place.zip(self.map.as_ref()).ok_or(Astray::NoWay)?;
        let way = ground.way((from.pose.x, from.pose.y), (to.x, to.y)).ok_or(Astray::NoWay)?;
        let walk = |pace| self.walk_along(&way, to, pace, layout);
        let mut best = walk(1.0).ok_or(Astray::NoWay)?;
        if best.len() > frames {
            return Err(Astray::Far(best.len()));
        }
        let (mut slow, mut fast) = (SLOWEST, 1.0);
        for _ in 0..HALVINGS {
            let pace = f32::midpoint(slow, fast);
            match walk(pace).filter(|actions| actions.len() <= frames) {
                Some(actions) => (best, fast) = (actions, pace),
                None => slow = pace,
            }
        }
        best.resize(frames, Action::NEUTRAL);
        Ok(best)
    }

    /// `None` where one does not get there.
    fn walk_along(
        &self,
        way: &[(f32, f32)],
        to: Pose,
        pace: f32,
        layout: &ActionLayout,
    ) -> Option<Vec<Action>> {
        let (motion, ground) = self.map.as_ref()?;
        let (mut here, mut passed, mut actions) = (self.clone(), 0, Vec::new());
        while actions.len() < FRAMES_MAX {
            let at = here.place?.pose;
            let rest = (to.x - at.x, to.y - at.y);
            let to_turn = turned(at, to);
            // What momentum does by itself, from here on.
            let coast = motion.momentum / (1.0 - motion.momentum);
            let drift = (coast * here.velocity.0, coast * here.velocity.1);
            let off = rest.0.hypot(rest.1).max(drift.0.hypot(drift.1));
            if off < THERE.0 && to_turn.abs() < THERE.1 {
                return Some(actions);
            }
            let arrives = rest.0.hypot(rest.1) < ARRIVING;
            let aim = if arrives {
                rest
            } else {
                let clear = |&point: &usize| ground.is_clear((at.x, at.y), way[point]);
                let ahead = way.len().min(passed + AHEAD);
                passed = (passed..ahead).rev().find(clear).unwrap_or(passed);
                // One who cannot be seen from here is walked to all the same.
                let aim = way[passed.max(nearest(way, (at.x, at.y)) + 2).min(way.len() - 1)];
                (aim.0 - at.x, aim.1 - at.y)
            };
            let heading = aim.1.atan2(aim.0).to_degrees();
            let to_turn = if arrives { to_turn } else { turned(at, Pose { yaw: heading, ..at }) };
            let most = TURN * pace.max(0.4) * layout.turn_degrees;
            let left = to_turn.clamp(-most, most);
            let (sin, cos) = (at.yaw + left).to_radians().sin_cos();
            let wanted = if arrives { (rest.0 - drift.0, rest.1 - drift.1) } else { aim };
            let (ahead, right) = (wanted.0 * cos + wanted.1 * sin, wanted.0 * sin - wanted.1 * cos);
            let length = ahead.hypot(right).max(f32::MIN_POSITIVE);
            let speed =
                if !arrives && (to_turn - left).abs() > ASTRAY { 0.0 } else { pace.min(length) };
            let action = Action {
                turn: -left / layout.turn_degrees,
                forward: speed * ahead / length,
                strafe: speed * right / length,
                ..Action::NEUTRAL
            };
            here = here.after(&action.to_features(layout));
            actions.push(action);
        }
        None
    }
}

/// The point of a way that is nearest to a place.
fn nearest(way: &[(f32, f32)], (x, y): (f32, f32)) -> usize {
    let far = |&(_, at): &(usize, &(f32, f32))| (at.0 - x).hypot(at.1 - y);
    let nearest = way.iter().enumerate().min_by(|a, b| far(a).total_cmp(&far(b)));
    nearest.map_or(0, |(number, _)| number)
}
