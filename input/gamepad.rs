//! Gamepads, through gilrs.

use std::time::SystemTime;

use gilrs::{Axis, Button, EventType, Gilrs};

use crate::pads::{PadAxis, PadEvent, Pads};
use crate::{Action, ActionLayout, Controller, Notice, PadBindings, PadInput, PadState};

/// No gamepad can be used on this machine; play goes on without.
#[derive(Debug, thiserror::Error)]
#[error("no gamepads: {reason}")]
pub struct GamepadError {
    /// What the system said.
    pub reason: String,
}

/// All gamepads of the machine, of which the one that was touched last counts.
#[derive(Debug)]
pub struct Gamepads {
    gilrs: Gilrs,
    pads: Pads,
    bindings: PadBindings,
    layout: ActionLayout,
    /// When the oldest move came that nobody has asked about yet.
    touched: Option<SystemTime>,
}

impl Gamepads {
    /// Looks for gamepads; those that come later are found too.
    ///
    /// Call it before the program starts threads: where libudev is missing, gilrs can only be told
    /// by an environment variable to watch the device folder instead.
    ///
    /// # Errors
    /// When the system gives no access to gamepads.
    pub fn open(layout: ActionLayout) -> Result<Self, GamepadError> {
        let gilrs = open_gilrs()?;
        let mut pads = Pads::default();
        for (id, pad) in gilrs.gamepads() {
            pads.take(id.into(), PadEvent::Connected(pad.name().to_owned()));
        }
        Ok(Self { gilrs, pads, bindings: PadBindings::default(), layout, touched: None })
    }

    /// Changes what the parts of a pad do, from the next poll on.
    pub fn bind(&mut self, bindings: PadBindings) {
        self.bindings = bindings;
    }

    /// Steers a world of another layout from the next poll on.
    pub fn suit(&mut self, layout: ActionLayout) {
        self.layout = layout;
    }

    /// Names of the connected gamepads.
    pub fn names(&self) -> Vec<String> {
        self.pads.names()
    }

    /// Name and state of the pad that counts, now; what was tapped until now will not count in a poll.
    pub fn look(&mut self) -> Option<(String, PadState)> {
        self.read_events();
        self.pads.forget_taps();
        self.pads.look()
    }

    /// What went down on any pad since this was asked before. Polls take nothing away from it.
    pub fn take_pressed(&mut self) -> PadState {
        self.read_events();
        self.pads.take_pressed()
    }

    /// When the oldest move came, by the system's word, that changed the action and that this asks about for the
    /// first time. A stick that trembles within its dead zone is no move.
    pub fn take_touched(&mut self) -> Option<SystemTime> {
        self.touched.take()
    }

    fn read_events(&mut self) {
        let mut before = self.bindings.action(&self.pads.held(), &self.layout);
        while let Some(gilrs::Event { id, event, time, .. }) = self.gilrs.next_event() {
            let event = match event {
                // gilrs tells at the start of those that `open` has found.
                EventType::Connected if self.pads.knows(id.into()) => None,
                EventType::Connected => {
                    Some(PadEvent::Connected(self.gilrs.gamepad(id).name().to_owned()))
                }
                EventType::Disconnected => Some(PadEvent::Disconnected),
                EventType::ButtonPressed(button, _) => pressed(button, true),
                EventType::ButtonReleased(button, _) => pressed(button, false),
                EventType::ButtonChanged(button, value, _) => pulled(button, value),
                EventType::AxisChanged(axis, value, _) => moved(axis, value),
                // Repeats of a held button, and effects that nobody asked for.
                _ => None,
            };
            if let Some(event) = event {
                self.pads.take(id.into(), event);
            }
            let action = self.bindings.action(&self.pads.held(), &self.layout);
            if action != before {
                self.touched.get_or_insert(time);
                before = action;
            }
        }
    }
}

impl Controller for Gamepads {
    fn poll(&mut self) -> Action {
        self.read_events();
        self.bindings.action(&self.pads.poll(), &self.layout)
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        self.pads.take_notices()
    }
}

/// A button that went down or up; triggers tell how far they are pulled instead.
fn pressed(button: Button, down: bool) -> Option<PadEvent> {
    let input = match button {
        Button::South => PadInput::South,
        Button::East => PadInput::East,
        Button::West => PadInput::West,
        Button::North => PadInput::North,
        Button::LeftTrigger => PadInput::LeftShoulder,
        Button::RightTrigger => PadInput::RightShoulder,
        Button::LeftThumb => PadInput::LeftStickPress,
        Button::RightThumb => PadInput::RightStickPress,
        Button::Select => PadInput::Select,
        Button::Start => PadInput::Start,
        Button::DPadUp => PadInput::DirectionUp,
        Button::DPadDown => PadInput::DirectionDown,
        Button::DPadLeft => PadInput::DirectionLeft,
        Button::DPadRight => PadInput::DirectionRight,
        Button::LeftTrigger2
        | Button::RightTrigger2
        | Button::C
        | Button::Z
        | Button::Mode
        | Button::Unknown => return None,
    };
    Some(PadEvent::Button(input, down))
}

/// How far a trigger is pulled; gilrs counts them as buttons, and tells 0 or 1 where the pad has nothing between.
fn pulled(button: Button, value: f32) -> Option<PadEvent> {
    match button {
        Button::LeftTrigger2 => Some(PadEvent::Axis(PadAxis::LeftTrigger, value)),
        Button::RightTrigger2 => Some(PadEvent::Axis(PadAxis::RightTrigger, value)),
        _ => None,
    }
}

/// A stick that moved.
fn moved(axis: Axis, value: f32) -> Option<PadEvent> {
    let axis = match axis {
        Axis::LeftStickX => PadAxis::LeftX,
        Axis::LeftStickY => PadAxis::LeftY,
        Axis::RightStickX => PadAxis::RightX,
        Axis::RightStickY => PadAxis::RightY,
        // The directional pad comes as buttons.
        Axis::LeftZ | Axis::RightZ | Axis::DPadX | Axis::DPadY | Axis::Unknown => return None,
    };
    Some(PadEvent::Axis(axis, value))
}

fn open_gilrs() -> Result<Gilrs, GamepadError> {
    #[cfg(target_os = "linux")]
    watch_folder_without_libudev();
    match Gilrs::new() {
        // Systems that gilrs does not know get pads that never do anything.
        Ok(gilrs) | Err(gilrs::Error::NotImplemented(gilrs)) => Ok(gilrs),
        Err(error) => Err(GamepadError { reason: error.to_string() }),
    }
}

/// Tells gilrs to watch the device folder itself where libudev is missing and that is safe to tell.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the environment is gilrs's only switch")]
fn watch_folder_without_libudev() {
    let threads = std::fs::read_dir("/proc/self/task").map_or(usize::MAX, Iterator::count);
    if libudev_sys::is_present() || threads != 1 {
        return;
    }
    // SAFETY: the system lists one thread, this one, so that nobody else reads or writes the
    // environment meanwhile.
    unsafe { std::env::set_var("GILRS_DISABLE_UDEV", "1") };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_pads_gives_neutral_actions_or_says_why() {
        let layout = ActionLayout { turn_degrees: 15.0, ..<_>::default() };
        match Gamepads::open(layout) {
            Ok(mut pads) => {
                let connected = pads.names().len();
                assert_eq!(pads.take_notices().len(), connected);
                assert!(pads.poll().is_valid());
                assert_eq!(pads.look().is_some(), connected > 0);
            }
            Err(error) => assert!(error.to_string().starts_with("no gamepads: "), "{error}"),
        }
    }

    #[test]
    fn what_gilrs_tells_moves_the_part_that_it_names() {
        let one = || {
            let mut pads = Pads::default();
            pads.take(0, PadEvent::Connected("pad".into()));
            pads
        };
        let check = |event: Option<PadEvent>, input: PadInput| {
            let mut pads = one();
            pads.take(0, event.expect("it means something"));
            assert_eq!(pads.poll().clearest(0.1), Some(input));
        };
        check(moved(Axis::LeftStickY, 0.7), PadInput::LeftStickUp);
        check(moved(Axis::LeftStickX, -0.8), PadInput::LeftStickLeft);
        check(moved(Axis::RightStickX, 0.9), PadInput::RightStickRight);
        check(moved(Axis::RightStickY, -0.95), PadInput::RightStickDown);
        check(pulled(Button::RightTrigger2, 1.0), PadInput::RightTrigger);
        let mut pads = one();
        for (button, input) in [
            (Button::South, PadInput::South),
            (Button::LeftTrigger, PadInput::LeftShoulder),
            (Button::DPadUp, PadInput::DirectionUp),
            (Button::Start, PadInput::Start),
        ] {
            pads.take(0, pressed(button, true).expect("it means something"));
            assert_eq!(pads.poll().clearest(0.1), Some(input));
            pads.take(0, pressed(button, false).expect("it means something"));
            assert_eq!(pads.poll(), PadState::default());
        }
        assert_eq!(
            (pressed(Button::RightTrigger2, true), pulled(Button::South, 1.0)),
            (None, None)
        );
    }

    #[test]
    fn pads_may_be_polled_by_another_thread() {
        fn needs_send<T: Send>() {}
        needs_send::<Gamepads>();
    }
}
