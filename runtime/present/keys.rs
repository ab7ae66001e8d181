//! What keys mean in the window, apart from walking.

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
    ("A D, left right", "turn; with the mouse taken: step aside"),
    ("Q E", "step aside"),
    ("mouse", "turn (click to take the mouse)"),
    ("gamepad", "left stick walks, right stick turns"),
    ("P", "pause"),
    ("N", "next frame while paused"),
    ("R", "record"),
    ("F1", "this help"),
    ("F2", "sharp or smooth picture"),
    ("F3", "figures"),
    ("F11, Alt+Enter", "full screen"),
    ("Esc", "give the mouse back, leave"),
];

/// The command of a key, if it has one.
pub(super) fn command(key: KeyCode, modifiers: ModifiersState) -> Option<Command> {
    Some(match key {
        KeyCode::KeyP => Command::Pause,
        KeyCode::KeyN => Command::Next,
        KeyCode::KeyR => Command::Record,
        KeyCode::F1 => Command::Help,
        KeyCode::F2 => Command::Scaling,
        KeyCode::F3 => Command::Figures,
        KeyCode::F11 => Command::FullScreen,
        KeyCode::Enter if modifiers.alt_key() => Command::FullScreen,
        KeyCode::Escape => Command::Leave,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enter_fills_the_screen_only_with_alt() {
        assert_eq!(command(KeyCode::Enter, ModifiersState::empty()), None);
        assert_eq!(command(KeyCode::Enter, ModifiersState::ALT), Some(Command::FullScreen));
    }

    #[test]
    fn every_command_key_is_in_the_help() {
        for (key, name) in [
            (KeyCode::KeyP, "P"),
            (KeyCode::KeyN, "N"),
            (KeyCode::KeyR, "R"),
            (KeyCode::F1, "F1"),
            (KeyCode::F2, "F2"),
            (KeyCode::F3, "F3"),
            (KeyCode::F11, "F11"),
            (KeyCode::Escape, "Esc"),
        ] {
            assert!(command(key, ModifiersState::empty()).is_some());
            let mut names = HELP.iter().flat_map(|(keys, _)| keys.split([',', ' ']));
            assert!(names.any(|known| known == name), "{name}");
        }
    }
}
