//! Turns what devices and scripts say into the actions of a section.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use input::{Action, Controller, Frame, Merged, Room, Script, Wander};

use crate::clock::Clock;
use crate::controls::Controls;
use crate::stream::Steer;

/// Steering by hand. Within one section what is held stays held: a tap counts for all of it.
/// Turning is not repeated, because what the mouse did was done once.
pub struct ByHand {
    devices: Merged,
    /// Is told that something was done.
    moved: Box<dyn Fn() + Send>,
    /// Tells, once, when the oldest touch came, in the time of a walk.
    touched: TouchedAt,
}

type TouchedAt = Box<dyn FnMut(&Clock) -> Option<Duration> + Send>;

/// Steering by something written: one action for each frame.
pub struct ByScript(Box<dyn Controller + Send>);

impl ByHand {
    /// Keyboard, mouse and, where there are any, gamepads.
    pub fn new(controls: Controls) -> Self {
        let told = controls.clone();
        Self {
            devices: controls.merged(),
            moved: Box::new(move || told.note_move()),
            touched: Box::new(move |clock| controls.take_touch(clock)),
        }
    }

    /// These devices, of which `touched` tells, once, when the oldest touch came, in the time of a walk.
    pub fn of(
        devices: Merged,
        touched: impl FnMut(&Clock) -> Option<Duration> + Send + 'static,
    ) -> Self {
        Self { devices, moved: Box::new(|| ()), touched: Box::new(touched) }
    }
}

impl Steer for ByHand {
    fn poll(&mut self, frames: u32) -> Vec<Action> {
        let first = self.devices.poll();
        if first != Action::NEUTRAL {
            (self.moved)();
        }
        let held = |_| {
            let Action { turn, pitch, .. } = self.devices.poll();
            Action { turn, pitch, ..first }
        };
        std::iter::once(first).chain((1..frames).map(held)).collect()
    }

    fn touched_at(&mut self, clock: &Clock) -> Option<Duration> {
        (self.touched)(clock)
    }

    fn take_notices(&mut self) -> Vec<String> {
        self.devices.take_notices().iter().map(ToString::to_string).collect()
    }
}

impl ByScript {
    /// A written script.
    pub fn new(script: Script) -> Self {
        Self(Box::new(script))
    }

    /// A walk that needs nobody.
    pub fn wander(seed: u64) -> Self {
        Self(Box::new(Wander::new(seed)))
    }
}

impl Steer for ByScript {
    fn poll(&mut self, frames: u32) -> Vec<Action> {
        (0..frames).map(|_| self.0.poll()).collect()
    }

    fn see(&mut self, frames: &[Arc<Frame>], room: Option<Room>) {
        frames.iter().for_each(|frame| self.0.see(&frame.pixels, room));
    }
}

impl fmt::Debug for ByHand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByHand").field("devices", &self.devices).finish_non_exhaustive()
    }
}

impl fmt::Debug for ByScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByScript").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use input::{ActionLayout, Key};

    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_walk_without_a_player_looks_where_it_goes() {
        let room = Some(Room { ahead: 1.0, left: 0.0, right: 8.0 });
        let walk = |room| {
            let mut walk = ByScript::wander(8);
            let section = |tick: u8| {
                let turn = walk.poll(1)[0].turn;
                // Never the same, so that it does not seem to stand.
                walk.see(&[Arc::new(Frame::filled(4, 4, [20 * tick; 3]))], room);
                turn
            };
            (0..12).map(section).sum::<f32>()
        };
        // Half of the fastest turn from the second tick on, where nobody would turn yet.
        assert!(walk(room) > walk(None) + 2.0, "{} {}", walk(room), walk(None));
    }

    #[test]
    fn a_tap_holds_for_one_section_and_the_mouse_turns_once() {
        let layout = ActionLayout { turn_degrees: 15.0, ..ActionLayout::default() };
        let controls = Controls::without_pads(&layout);
        let mut hand = ByHand::new(controls.clone());
        hand.poll(4);
        assert!(!controls.moved());
        controls.key(Key::W, true, MS(7));
        controls.key(Key::W, false, MS(8));
        controls.move_mouse(30.0, 0.0, MS(9));
        let section = hand.poll(4);
        let clock = Clock::stepped();
        assert_eq!(hand.touched_at(&clock), Some(MS(7)), "the oldest touch counts");
        assert_eq!(hand.touched_at(&clock), None, "once");
        assert!(section.iter().all(|action| action.forward == 1.0), "{section:?}");
        let turned: Vec<_> = section.iter().map(|action| action.turn > 0.0).collect();
        assert_eq!(turned, [true, false, false, false]);
        assert_eq!(hand.poll(4), [Action::NEUTRAL; 4]);
        assert!(controls.moved());
    }

    #[test]
    fn a_script_gives_one_action_for_each_frame() {
        let text = "{\"turn\": 1}\n{\"turn\": 0.5}\n{\"turn\": 0.25}";
        let mut script = ByScript::new(Script::parse(text, "test").unwrap());
        let turns: Vec<_> = script.poll(4).iter().map(|action| action.turn).collect();
        assert_eq!(turns, [1.0, 0.5, 0.25, 0.0]);
    }
}
