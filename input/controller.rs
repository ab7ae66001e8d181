//! What every source of actions has in common.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Action;

/// A device, a script or a policy that says what is done in each tick.
pub trait Controller {
    /// The action of this tick. Called once per tick; what is pressed and released between two
    /// calls still counts in the later one.
    fn poll(&mut self) -> Action;

    /// Shows what came of the last action: a picture, RGB, row by row, or nothing where there is none yet, and how much room
    /// there is, where a map tells. Most sources never look.
    fn see(&mut self, _pixels: &[u8], _room: Option<Room>) {}

    /// What the player should be told since the last call; most sources never have anything to say.
    fn take_notices(&mut self) -> Vec<Notice> {
        Vec::new()
    }

    /// Whether only neutral actions will follow: a script at its end. Devices never finish.
    fn is_finished(&self) -> bool {
        false
    }
}

/// How far one can walk, in steps: what walking at full speed covers in a tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Room {
    /// Straight ahead.
    pub ahead: f32,
    /// Half a right angle to the left of that.
    pub left: f32,
    /// And to the right.
    pub right: f32,
}

/// Something worth a line on the screen; its text is meant for the player.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A gamepad of this name can be used now.
    PadConnected(String),
    /// A gamepad of this name is gone; its axes are neutral.
    PadDisconnected(String),
    /// Of several gamepads this one was touched last, so that it steers.
    PadTaken(String),
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PadConnected(name) => write!(f, "{name} connected"),
            Self::PadDisconnected(name) => write!(f, "{name} disconnected"),
            Self::PadTaken(name) => write!(f, "{name} steers now"),
        }
    }
}

/// A source that one thread feeds and another polls, for instance a keyboard.
impl<C: Controller> Controller for Arc<Mutex<C>> {
    fn poll(&mut self) -> Action {
        // A panic of the feeding thread leaves a source that is as good as before.
        self.lock().unwrap_or_else(PoisonError::into_inner).poll()
    }

    fn see(&mut self, pixels: &[u8], room: Option<Room>) {
        self.lock().unwrap_or_else(PoisonError::into_inner).see(pixels, room);
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        self.lock().unwrap_or_else(PoisonError::into_inner).take_notices()
    }

    fn is_finished(&self) -> bool {
        self.lock().unwrap_or_else(PoisonError::into_inner).is_finished()
    }
}

/// Several sources at once: axes add up, buttons join.
#[derive(Default)]
pub struct Merged {
    sources: Vec<Box<dyn Controller + Send>>,
}

impl Merged {
    /// No source yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more source.
    #[must_use]
    pub fn with(mut self, source: impl Controller + Send + 'static) -> Self {
        self.sources.push(Box::new(source));
        self
    }
}

impl fmt::Debug for Merged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merged").field("sources", &self.sources.len()).finish()
    }
}

impl Controller for Merged {
    fn poll(&mut self) -> Action {
        let join = |sum: Action, action: Action| Action {
            turn: sum.turn + action.turn,
            forward: sum.forward + action.forward,
            strafe: sum.strafe + action.strafe,
            pitch: sum.pitch + action.pitch,
            buttons: crate::Buttons(sum.buttons.0 | action.buttons.0),
        };
        self.sources.iter_mut().map(|source| source.poll()).fold(Action::NEUTRAL, join).clamped()
    }

    fn see(&mut self, pixels: &[u8], room: Option<Room>) {
        self.sources.iter_mut().for_each(|source| source.see(pixels, room));
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        self.sources.iter_mut().flat_map(|source| source.take_notices()).collect()
    }

    fn is_finished(&self) -> bool {
        self.sources.iter().all(|source| source.is_finished())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Buttons, Script};

    fn script(action: Action) -> Script {
        Script::from_actions(vec![action])
    }

    #[test]
    fn sources_add_up_within_the_range() {
        let a = Action { buttons: Buttons(1), ..Action::from_axes([0.75, 1.0, 0.0, 0.0]) };
        let b = Action { buttons: Buttons(4), ..Action::from_axes([0.75, -0.5, 0.0, 0.0]) };
        let mut both = Merged::new().with(script(a)).with(Arc::new(Mutex::new(script(b))));
        assert!(!both.is_finished());
        let action = both.poll();
        assert_eq!((action.axes(), action.buttons), ([1.0, 0.5, 0.0, 0.0], Buttons(5)));
        assert_eq!(both.poll(), Action::NEUTRAL);
        assert!(both.is_finished());
        // What one sees all see.
        let walk = || crate::Wander::new(3);
        let mut both = Merged::new().with(walk()).with(Arc::new(Mutex::new(walk())));
        let mut one = walk();
        for _ in 0..200 {
            let half = one.poll().axes().map(|axis| (2.0 * axis).clamp(-1.0, 1.0));
            assert_eq!(both.poll().axes(), half);
            both.see(&[7; 12], None);
            one.see(&[7; 12], None);
        }
    }
}
