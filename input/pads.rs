//! Several gamepads, of which the one that was touched last steers.

use std::collections::BTreeMap;

use crate::pad::CLEAR;
use crate::{Notice, PadInput, PadState};

/// Something that happened to a gamepad.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PadEvent {
    /// It is there, under this name.
    Connected(String),
    /// It is gone.
    Disconnected,
    /// A button went down or up.
    Button(PadInput, bool),
    /// A stick or trigger moved to this place.
    Axis(PadAxis, f32),
}

/// What moves gradually.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PadAxis {
    LeftX,
    LeftY,
    RightX,
    RightY,
    LeftTrigger,
    RightTrigger,
}

/// All connected gamepads, as their events tell.
#[derive(Debug, Default)]
pub(crate) struct Pads {
    connected: BTreeMap<usize, Pad>,
    /// The one that steers.
    taken: Option<usize>,
    notices: Vec<Notice>,
    /// Pressed since somebody asked, on whichever pad.
    pressed: PadState,
}

#[derive(Debug, Default)]
struct Pad {
    name: String,
    state: PadState,
    /// Pressed since the last poll, perhaps released again.
    tapped: PadState,
}

impl Pads {
    /// Takes an event of gamepad `id`. Those of a gamepad that is not connected change nothing.
    pub(crate) fn take(&mut self, id: usize, event: PadEvent) {
        match event {
            PadEvent::Connected(name) => self.connect(id, name),
            PadEvent::Disconnected => self.disconnect(id),
            PadEvent::Button(button, down) => {
                let Some(pad) = self.connected.get_mut(&id) else { return };
                if down {
                    pad.state.press(button);
                    pad.tapped.press(button);
                    self.pressed.press(button);
                    self.touch(id);
                } else {
                    pad.state.release(button);
                }
            }
            PadEvent::Axis(axis, value) => {
                let Some(pad) = self.connected.get_mut(&id) else { return };
                let state = &mut pad.state;
                *match axis {
                    PadAxis::LeftX => &mut state.left.0,
                    PadAxis::LeftY => &mut state.left.1,
                    PadAxis::RightX => &mut state.right.0,
                    PadAxis::RightY => &mut state.right.1,
                    PadAxis::LeftTrigger => &mut state.triggers.0,
                    PadAxis::RightTrigger => &mut state.triggers.1,
                } = value;
                // Resting sticks drift: only a clear move takes over.
                if value.abs() > CLEAR {
                    self.touch(id);
                }
            }
        }
    }

    /// How the pad that steers is held, with what was tapped since the last poll; neutral without one.
    pub(crate) fn poll(&mut self) -> PadState {
        let state = self.taken().map_or(PadState::default(), |pad| pad.state.and_held(pad.tapped));
        self.forget_taps();
        state
    }

    /// How the pad that steers is held; neutral without one.
    pub(crate) fn held(&self) -> PadState {
        self.taken().map_or(PadState::default(), |pad| pad.state)
    }

    /// Lets go of what was tapped since the last poll.
    pub(crate) fn forget_taps(&mut self) {
        self.connected.values_mut().for_each(|pad| pad.tapped = PadState::default());
    }

    /// What went down on any pad since this was asked before.
    pub(crate) fn take_pressed(&mut self) -> PadState {
        std::mem::take(&mut self.pressed)
    }

    /// Name and state of the pad that steers.
    pub(crate) fn look(&self) -> Option<(String, PadState)> {
        self.taken().map(|pad| (pad.name.clone(), pad.state))
    }

    /// Whether gamepad `id` is connected.
    pub(crate) fn knows(&self, id: usize) -> bool {
        self.connected.contains_key(&id)
    }

    /// Names of all connected pads.
    pub(crate) fn names(&self) -> Vec<String> {
        self.connected.values().map(|pad| pad.name.clone()).collect()
    }

    /// What the player should be told since the last time.
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    fn taken(&self) -> Option<&Pad> {
        self.connected.get(&self.taken?)
    }

    fn connect(&mut self, id: usize, name: String) {
        self.notices.push(Notice::PadConnected(name.clone()));
        self.connected.insert(id, Pad { name, ..Pad::default() });
        self.taken = self.taken.or(Some(id));
    }

    fn disconnect(&mut self, id: usize) {
        let Some(pad) = self.connected.remove(&id) else { return };
        self.notices.push(Notice::PadDisconnected(pad.name));
        if self.taken == Some(id) {
            self.taken = self.connected.keys().next().copied();
            self.tell_taken();
        }
    }

    fn touch(&mut self, id: usize) {
        if self.taken != Some(id) {
            self.taken = Some(id);
            self.tell_taken();
        }
    }

    fn tell_taken(&mut self) {
        let taken = self.taken().map(|pad| Notice::PadTaken(pad.name.clone()));
        self.notices.extend(taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Pads {
        let mut pads = Pads::default();
        pads.take(0, PadEvent::Connected("first".into()));
        pads.take(1, PadEvent::Connected("second".into()));
        pads.take_notices();
        pads
    }

    #[test]
    fn the_pad_that_was_touched_last_steers_and_is_named_once() {
        let mut pads = two();
        pads.take(0, PadEvent::Axis(PadAxis::LeftY, 0.9));
        assert_eq!(pads.poll().left, (0.0, 0.9));
        assert_eq!(pads.take_notices(), [], "it steered before");
        // The second one's stick drifts, then moves.
        pads.take(1, PadEvent::Axis(PadAxis::LeftX, 0.2));
        assert_eq!(pads.poll().left, (0.0, 0.9));
        pads.take(1, PadEvent::Axis(PadAxis::LeftX, -0.8));
        pads.take(1, PadEvent::Axis(PadAxis::LeftX, -1.0));
        assert_eq!(pads.poll().left, (-1.0, 0.0));
        assert_eq!(pads.take_notices(), [Notice::PadTaken("second".into())]);
        pads.take(0, PadEvent::Button(PadInput::South, true));
        assert_eq!(pads.look().map(|(name, _)| name), Some("first".into()));
    }

    #[test]
    fn a_pad_that_is_gone_is_neutral_and_comes_back_at_rest() {
        let mut pads = Pads::default();
        pads.take(3, PadEvent::Connected("only".into()));
        pads.take(3, PadEvent::Axis(PadAxis::LeftY, 1.0));
        pads.take(3, PadEvent::Axis(PadAxis::RightTrigger, 1.0));
        pads.take(3, PadEvent::Button(PadInput::East, true));
        pads.take(3, PadEvent::Disconnected);
        assert_eq!((pads.poll(), pads.look()), (PadState::default(), None));
        // Events that were still under way, and a second goodbye, mean nothing.
        pads.take(3, PadEvent::Axis(PadAxis::LeftY, 1.0));
        pads.take(3, PadEvent::Disconnected);
        pads.take(3, PadEvent::Connected("only".into()));
        assert_eq!(pads.poll(), PadState::default());
        let [only, gone] = ["only", "only"].map(str::to_owned);
        let expected = [
            Notice::PadConnected(only.clone()),
            Notice::PadDisconnected(gone),
            Notice::PadConnected(only),
        ];
        assert_eq!(pads.take_notices(), expected);
    }

    #[test]
    fn another_pad_steers_when_the_one_that_did_is_gone() {
        let mut pads = two();
        pads.take(1, PadEvent::Axis(PadAxis::RightX, 0.25));
        pads.take(0, PadEvent::Disconnected);
        assert_eq!(pads.poll().right, (0.25, 0.0));
        let notices = pads.take_notices();
        assert_eq!(notices[1..], [Notice::PadTaken("second".into())]);
    }

    #[test]
    fn a_tap_between_two_polls_counts_once_and_can_be_forgotten() {
        let mut pads = two();
        let tap = |pads: &mut Pads| {
            pads.take(0, PadEvent::Button(PadInput::North, true));
            pads.take(0, PadEvent::Button(PadInput::North, false));
        };
        tap(&mut pads);
        assert_eq!(pads.poll().value(PadInput::North, 0.0), 1.0);
        assert_eq!(pads.poll(), PadState::default());
        let mut pressed = PadState::default();
        pressed.press(PadInput::North);
        assert_eq!(pads.take_pressed(), pressed, "whether it was polled or not");
        assert_eq!(pads.take_pressed(), PadState::default());
        tap(&mut pads);
        pads.forget_taps();
        assert_eq!(pads.poll(), PadState::default());
    }
}
