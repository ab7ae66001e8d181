//! Gamepads, through gilrs.

use gilrs::{Axis, Button, EventType, GamepadId, Gilrs};

use crate::{Action, ActionLayout, Controller, Notice, PadBindings, PadState};

/// Buttons in the order of the bits of [`PadState::buttons`].
const BUTTONS: [Button; 8] = [
    Button::South,
    Button::East,
    Button::West,
    Button::North,
    Button::LeftTrigger,
    Button::RightTrigger,
    Button::LeftTrigger2,
    Button::RightTrigger2,
];

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
    active: Option<GamepadId>,
    bindings: PadBindings,
    layout: ActionLayout,
    notices: Vec<Notice>,
    /// Buttons pressed since the last poll, perhaps released again.
    tapped: u32,
}

impl Gamepads {
    /// Looks for gamepads; those that come later are found too.
    ///
    /// Call it before the program starts threads: where libudev is missing, gilrs can only be told
    /// by an environment variable to watch the device folder instead.
    ///
    /// # Errors
    /// When the system gives no access to gamepads.
    pub fn open(bindings: PadBindings, layout: ActionLayout) -> Result<Self, GamepadError> {
        let gilrs = open_gilrs()?;
        let active = gilrs.gamepads().next().map(|(id, _)| id);
        let connected =
            |(_, pad): (GamepadId, gilrs::Gamepad<'_>)| Notice::PadConnected(pad.name().to_owned());
        let notices = gilrs.gamepads().map(connected).collect();
        Ok(Self { gilrs, active, bindings, layout, notices, tapped: 0 })
    }

    /// Names of the connected gamepads.
    pub fn names(&self) -> Vec<String> {
        self.gilrs.gamepads().map(|(_, pad)| pad.name().to_owned()).collect()
    }

    fn read_events(&mut self) {
        while let Some(event) = self.gilrs.next_event() {
            let name = || self.gilrs.gamepad(event.id).name().to_owned();
            match event.event {
                EventType::Connected => {
                    self.notices.push(Notice::PadConnected(name()));
                    self.active = self.active.or(Some(event.id));
                }
                EventType::Disconnected => {
                    self.notices.push(Notice::PadDisconnected(name()));
                    if self.active == Some(event.id) {
                        self.active = self.gilrs.gamepads().next().map(|(id, _)| id);
                    }
                }
                EventType::ButtonPressed(button, _) => {
                    self.active = Some(event.id);
                    self.tapped |= bit(button);
                }
                // Resting sticks drift: only a clear move makes a pad the one that counts.
                EventType::AxisChanged(_, value, _) if value.abs() > 0.5 => {
                    self.active = Some(event.id);
                }
                _ => {}
            }
        }
    }

    fn state(&self) -> PadState {
        let Some(pad) = self.active.and_then(|id| self.gilrs.connected_gamepad(id)) else {
            return PadState::default();
        };
        let stick = |x, y| (pad.value(x), pad.value(y));
        let pair = |plus, minus| f32::from(pad.is_pressed(plus)) - f32::from(pad.is_pressed(minus));
        let held =
            BUTTONS.into_iter().filter(|&button| pad.is_pressed(button)).map(bit).sum::<u32>();
        PadState {
            left: stick(Axis::LeftStickX, Axis::LeftStickY),
            right: stick(Axis::RightStickX, Axis::RightStickY),
            directions: (
                pair(Button::DPadRight, Button::DPadLeft),
                pair(Button::DPadUp, Button::DPadDown),
            ),
            buttons: held | self.tapped,
        }
    }
}

impl Controller for Gamepads {
    fn poll(&mut self) -> Action {
        self.read_events();
        let action = self.bindings.action(&self.state(), &self.layout);
        self.tapped = 0;
        action
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }
}

/// The bit of a button, or none for those that mean nothing here.
fn bit(button: Button) -> u32 {
    BUTTONS.iter().position(|&known| known == button).map_or(0, |index| 1 << index)
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
        match Gamepads::open(PadBindings::default(), layout) {
            Ok(mut pads) => {
                let connected = pads.names().len();
                assert_eq!(pads.take_notices().len(), connected);
                assert!(pads.poll().is_valid());
            }
            Err(error) => assert!(error.to_string().starts_with("no gamepads: "), "{error}"),
        }
    }

    #[test]
    fn bits_follow_the_documented_order() {
        assert_eq!((bit(Button::South), bit(Button::North)), (1, 8));
        assert_eq!(bit(Button::RightTrigger2), 128);
        assert_eq!(bit(Button::DPadUp), 0, "directions are axes");
    }

    #[test]
    fn pads_may_be_polled_by_another_thread() {
        fn needs_send<T: Send>() {}
        needs_send::<Gamepads>();
    }
}
