//! What keys mean in the window, apart from walking.

use input::Key;
use winit::event::MouseButton;
use winit::keyboard::{KeyCode, ModifiersState};

/// What a key asks of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Pause or go on.
    Pause,
    /// Show the next frame while paused.
    Next,
    /// Begin or end recording.
    Record,
    /// Mark this moment.
    Bookmark,
    /// Go back to the marked moment.
    GoBack,
    /// Show or hide memory at work.
    Memory,
    /// Open or close the help.
    Help,
    /// Change between sharp and smooth scaling.
    Scaling,
    /// Open or close the figures.
    Figures,
    /// Fill the screen or go back.
    FullScreen,
    /// Give the mouse back, or leave.
    Leave,
}

/// The help's table: keys and what they do.
pub(super) const HELP: &[(&str, &str)] = &[
    ("W S, up down", "walk ahead, back"),
    ("left right", "turn"),
    ("A D, Q E", "step aside"),
    ("mouse", "click to take it, then turn"),
    ("gamepad", "left stick walks, right stick turns"),
    ("P", "pause"),
    ("N", "next frame while paused"),
    ("R", "record"),
    ("B, Shift+B", "set a bookmark, go back to it"),
    ("M", "memory at work"),
    ("F1", "this help"),
    ("F2", "sharp or smooth picture"),
    ("F3", "figures"),
    ("F11, Alt+Enter", "full screen"),
    ("Esc", "give the mouse back, leave"),
];

/// The command of a key, if it has one, in a walk that is `steered` or is only shown.
pub(super) fn command(key: KeyCode, modifiers: ModifiersState, steered: bool) -> Option<Command> {
    Some(match key {
        KeyCode::KeyP => Command::Pause,
        KeyCode::Space if !steered => Command::Pause,
        KeyCode::KeyR if !steered => return None,
        KeyCode::KeyN => Command::Next,
        KeyCode::KeyR => Command::Record,
        KeyCode::KeyB if modifiers.shift_key() => Command::GoBack,
        KeyCode::KeyB => Command::Bookmark,
        KeyCode::KeyM => Command::Memory,
        KeyCode::F1 => Command::Help,
        KeyCode::F2 => Command::Scaling,
        KeyCode::F3 => Command::Figures,
        KeyCode::F11 => Command::FullScreen,
        KeyCode::Enter if modifiers.alt_key() => Command::FullScreen,
        KeyCode::Escape => Command::Leave,
        _ => return None,
    })
}

/// The key of the controls at this place of the keyboard, if it is one of those that can be bound.
pub(super) fn held(key: KeyCode) -> Option<Key> {
    Some(match key {
        KeyCode::KeyA => Key::A,
        KeyCode::KeyB => Key::B,
        KeyCode::KeyC => Key::C,
        KeyCode::KeyD => Key::D,
        KeyCode::KeyE => Key::E,
        KeyCode::KeyF => Key::F,
        KeyCode::KeyG => Key::G,
        KeyCode::KeyH => Key::H,
        KeyCode::KeyI => Key::I,
        KeyCode::KeyJ => Key::J,
        KeyCode::KeyK => Key::K,
        KeyCode::KeyL => Key::L,
        KeyCode::KeyM => Key::M,
        KeyCode::KeyN => Key::N,
        KeyCode::KeyO => Key::O,
        KeyCode::KeyP => Key::P,
        KeyCode::KeyQ => Key::Q,
        KeyCode::KeyR => Key::R,
        KeyCode::KeyS => Key::S,
        KeyCode::KeyT => Key::T,
        KeyCode::KeyU => Key::U,
        KeyCode::KeyV => Key::V,
        KeyCode::KeyW => Key::W,
        KeyCode::KeyX => Key::X,
        KeyCode::KeyY => Key::Y,
        KeyCode::KeyZ => Key::Z,
        KeyCode::Digit0 => Key::Digit0,
        KeyCode::Digit1 => Key::Digit1,
        KeyCode::Digit2 => Key::Digit2,
        KeyCode::Digit3 => Key::Digit3,
        KeyCode::Digit4 => Key::Digit4,
        KeyCode::Digit5 => Key::Digit5,
        KeyCode::Digit6 => Key::Digit6,
        KeyCode::Digit7 => Key::Digit7,
        KeyCode::Digit8 => Key::Digit8,
        KeyCode::Digit9 => Key::Digit9,
        KeyCode::ArrowUp => Key::Up,
        KeyCode::ArrowDown => Key::Down,
        KeyCode::ArrowLeft => Key::Left,
        KeyCode::ArrowRight => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Space => Key::Space,
        KeyCode::Enter => Key::Enter,
        KeyCode::Tab => Key::Tab,
        KeyCode::ShiftLeft | KeyCode::ShiftRight => Key::Shift,
        KeyCode::ControlLeft | KeyCode::ControlRight => Key::Control,
        _ => return None,
    })
}

/// The key of the controls that a mouse button is.
pub(super) fn mouse(button: MouseButton) -> Option<Key> {
    match button {
        MouseButton::Left => Some(Key::MouseLeft),
        MouseButton::Right => Some(Key::MouseRight),
        MouseButton::Middle => Some(Key::MouseMiddle),
        MouseButton::Back | MouseButton::Forward | MouseButton::Other(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enter_fills_the_screen_only_with_alt() {
        assert_eq!(command(KeyCode::Enter, ModifiersState::empty(), true), None);
        assert_eq!(command(KeyCode::Enter, ModifiersState::ALT, true), Some(Command::FullScreen));
    }

    #[test]
    fn shift_turns_a_mark_into_a_way_back() {
        assert_eq!(command(KeyCode::KeyB, ModifiersState::empty(), true), Some(Command::Bookmark));
        assert_eq!(command(KeyCode::KeyB, ModifiersState::SHIFT, true), Some(Command::GoBack));
    }

    #[test]
    fn what_is_only_shown_is_paused_by_the_space_bar_and_not_recorded_again() {
        let command = |key, steered| command(key, ModifiersState::empty(), steered);
        assert_eq!(command(KeyCode::Space, false), Some(Command::Pause));
        assert_eq!(command(KeyCode::Space, true), None);
        assert_eq!(command(KeyCode::KeyR, false), None);
        assert_eq!(command(KeyCode::KeyR, true), Some(Command::Record));
    }

    #[test]
    fn every_command_key_is_in_the_help() {
        for (key, name) in [
            (KeyCode::KeyP, "P"),
            (KeyCode::KeyN, "N"),
            (KeyCode::KeyR, "R"),
            (KeyCode::KeyB, "B"),
            (KeyCode::KeyM, "M"),
            (KeyCode::F1, "F1"),
            (KeyCode::F2, "F2"),
            (KeyCode::F3, "F3"),
            (KeyCode::F11, "F11"),
            (KeyCode::Escape, "Esc"),
        ] {
            assert!(command(key, ModifiersState::empty(), true).is_some());
            let mut names = HELP.iter().flat_map(|(keys, _)| keys.split([',', ' ']));
            assert!(names.any(|known| known == name), "{name}");
        }
    }
}
