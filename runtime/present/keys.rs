//! What keys mean in the window, apart from walking.

use std::fmt::Display;

use input::{Act, ActionLayout, Key};
use winit::event::MouseButton;
use winit::keyboard::{KeyCode, ModifiersState};

use crate::settings::{Settings, WindowKeys};

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
    /// Go on to the next way of scaling.
    Scaling,
    /// Open or close the figures.
    Figures,
    /// Fill the screen or go back.
    FullScreen,
    /// Open or close the settings.
    Settings,
    /// Keep the picture as a file.
    Screenshot,
    /// Open the menu, or go back from a page.
    Menu,
}

/// The help's table: keys and what they do.
pub(super) fn help(settings: &Settings, layout: &ActionLayout) -> Vec<(String, String)> {
    let keys = &settings.keyboard.keys;
    let both = |one, other| list(keys.get(one).iter().chain(keys.get(other)));
    let mut rows = vec![
        (both(Act::Forward, Act::Back), "walk ahead, back".to_owned()),
        (both(Act::TurnLeft, Act::TurnRight), "turn".to_owned()),
        (both(Act::StrafeLeft, Act::StrafeRight), "step aside".to_owned()),
    ];
    let buttons = Act::all(layout).into_iter().filter(|act| matches!(act, Act::Button(_)));
    rows.extend(buttons.map(|act| (list(keys.get(act)), act.name(layout))));
    let bookmark = list(&settings.window.bookmark);
    let bookmarks = match bookmark.is_empty() {
        true => bookmark,
        false => format!("{bookmark}, with Shift"),
    };
    let window = &settings.window;
    let fixed = |key: &str, meaning: &str| (key.to_owned(), meaning.to_owned());
    rows.extend([
        fixed("mouse", "click to take it, then turn"),
        fixed("gamepad", "as the settings say; Start: menu"),
        (list(&window.pause), "pause".to_owned()),
        (list(&window.next), "next frame while paused".to_owned()),
        (list(&window.record), "record".to_owned()),
        (bookmarks, "set a bookmark, go back to it".to_owned()),
        (list(&window.memory), "memory at work".to_owned()),
        fixed("F1", "this help"),
        fixed("F2", "sharp, crisp or smooth picture"),
        fixed("F3", "figures"),
        fixed("F10", "settings"),
        fixed("F11, Alt+Enter", "full screen"),
        fixed("F12", "keep the picture"),
        fixed("Esc", "menu"),
    ]);
    // What has no key cannot be done by one.
    rows.retain(|(key, _)| !key.is_empty());
    rows
}

/// Names with commas between them.
pub(super) fn list<T: Display>(named: impl IntoIterator<Item = T>) -> String {
    named.into_iter().map(|one| one.to_string()).collect::<Vec<_>>().join(", ")
}

/// The command of a key, if it has one, in a walk that is `steered` or is only shown.
pub(super) fn command(
    key: KeyCode,
    modifiers: ModifiersState,
    bound: &WindowKeys,
    steered: bool,
) -> Option<Command> {
    let command = command_of(key, modifiers, bound);
    match command {
        // What is only shown has its record already.
        Some(Command::Record) if !steered => None,
        None if !steered && key == KeyCode::Space => Some(Command::Pause),
        command => command,
    }
}

fn command_of(key: KeyCode, modifiers: ModifiersState, bound: &WindowKeys) -> Option<Command> {
    Some(match key {
        KeyCode::F1 => Command::Help,
        KeyCode::F2 => Command::Scaling,
        KeyCode::F3 => Command::Figures,
        KeyCode::F10 => Command::Settings,
        KeyCode::F11 => Command::FullScreen,
        KeyCode::F12 => Command::Screenshot,
        KeyCode::Enter if modifiers.alt_key() => Command::FullScreen,
        KeyCode::Escape => Command::Menu,
        _ => {
            let key = held(key)?;
            let is = |keys: &[Key]| keys.contains(&key);
            match () {
                () if is(&bound.pause) => Command::Pause,
                () if is(&bound.next) => Command::Next,
                () if is(&bound.record) => Command::Record,
                () if is(&bound.bookmark) && modifiers.shift_key() => Command::GoBack,
                () if is(&bound.bookmark) => Command::Bookmark,
                () if is(&bound.memory) => Command::Memory,
                () => return None,
            }
        }
    })
}

/// The key of the controls at this place of the keyboard, if it is one of those that can be bound.
pub(super) fn held(key: KeyCode) -> Option<Key> {
    letter(key).or_else(|| other(key))
}

fn letter(key: KeyCode) -> Option<Key> {
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
        _ => return None,
    })
}

fn other(key: KeyCode) -> Option<Key> {
    Some(match key {
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
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Insert => Key::Insert,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Space => Key::Space,
        KeyCode::Enter => Key::Enter,
        KeyCode::Tab => Key::Tab,
        KeyCode::ShiftLeft | KeyCode::ShiftRight => Key::Shift,
        KeyCode::ControlLeft | KeyCode::ControlRight => Key::Control,
        KeyCode::AltLeft | KeyCode::AltRight => Key::Alt,
        KeyCode::Minus => Key::Minus,
        KeyCode::Equal => Key::Equal,
        KeyCode::BracketLeft => Key::LeftBracket,
        KeyCode::BracketRight => Key::RightBracket,
        KeyCode::Semicolon => Key::Semicolon,
        KeyCode::Quote => Key::Quote,
        KeyCode::Backquote => Key::Backquote,
        KeyCode::Backslash => Key::Backslash,
        KeyCode::Comma => Key::Comma,
        KeyCode::Period => Key::Period,
        KeyCode::Slash => Key::Slash,
        KeyCode::Numpad0 => Key::Numpad0,
        KeyCode::Numpad1 => Key::Numpad1,
        KeyCode::Numpad2 => Key::Numpad2,
        KeyCode::Numpad3 => Key::Numpad3,
        KeyCode::Numpad4 => Key::Numpad4,
        KeyCode::Numpad5 => Key::Numpad5,
        KeyCode::Numpad6 => Key::Numpad6,
        KeyCode::Numpad7 => Key::Numpad7,
        KeyCode::Numpad8 => Key::Numpad8,
        KeyCode::Numpad9 => Key::Numpad9,
        _ => return None,
    })
}

/// The key of the controls that a mouse button is.
pub(super) fn mouse(button: MouseButton) -> Option<Key> {
    match button {
        MouseButton::Left => Some(Key::MouseLeft),
        MouseButton::Right => Some(Key::MouseRight),
        MouseButton::Middle => Some(Key::MouseMiddle),
        MouseButton::Back => Some(Key::MouseBack),
        MouseButton::Forward => Some(Key::MouseForward),
        MouseButton::Other(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual(key: KeyCode, modifiers: ModifiersState) -> Option<Command> {
        command(key, modifiers, &WindowKeys::default(), true)
    }

    #[test]
    fn enter_fills_the_screen_only_with_alt() {
        assert_eq!(usual(KeyCode::Enter, ModifiersState::empty()), None);
        assert_eq!(usual(KeyCode::Enter, ModifiersState::ALT), Some(Command::FullScreen));
    }

    #[test]
    fn shift_turns_a_mark_into_a_way_back() {
        assert_eq!(usual(KeyCode::KeyB, ModifiersState::empty()), Some(Command::Bookmark));
        assert_eq!(usual(KeyCode::KeyB, ModifiersState::SHIFT), Some(Command::GoBack));
    }

    #[test]
    fn what_is_only_shown_is_paused_by_the_space_bar_and_not_recorded_again() {
        let bound = WindowKeys::default();
        let command = |key, steered| command(key, ModifiersState::empty(), &bound, steered);
        assert_eq!(command(KeyCode::Space, false), Some(Command::Pause));
        assert_eq!(command(KeyCode::Space, true), None);
        assert_eq!(command(KeyCode::KeyR, false), None);
        assert_eq!(command(KeyCode::KeyR, true), Some(Command::Record));
    }

    #[test]
    fn commands_have_the_keys_that_were_chosen() {
        let bound = WindowKeys { pause: vec![Key::X, Key::Comma], ..WindowKeys::default() };
        let empty = ModifiersState::empty();
        assert_eq!(command(KeyCode::Comma, empty, &bound, true), Some(Command::Pause));
        assert_eq!(command(KeyCode::KeyP, empty, &bound, true), None);
        let settings = Settings { window: bound, ..Settings::default() };
        let rows = help(&settings, &ActionLayout::default());
        assert!(rows.contains(&("X, Comma".into(), "pause".into())), "{rows:?}");
    }

    #[test]
    fn the_help_has_the_worlds_own_words_and_leaves_out_what_has_no_key() {
        let buttons = vec!["open doors".to_owned()];
        let layout = ActionLayout { buttons, ..ActionLayout::default() };
        let mut settings = Settings::default();
        let rows = help(&settings, &layout);
        assert!(rows.contains(&("Space, Mouse left".into(), "open doors".into())), "{rows:?}");
        settings.keyboard.keys.buttons.clear();
        let rows = help(&settings, &layout);
        assert!(rows.iter().all(|(_, meaning)| meaning != "open doors"), "{rows:?}");
    }

    #[test]
    fn every_command_key_is_in_the_help() {
        let rows = help(&Settings::default(), &ActionLayout::default());
        for (key, name) in [
            (KeyCode::KeyP, "P"),
            (KeyCode::KeyN, "N"),
            (KeyCode::KeyR, "R"),
            (KeyCode::KeyB, "B"),
            (KeyCode::KeyM, "M"),
            (KeyCode::F1, "F1"),
            (KeyCode::F2, "F2"),
            (KeyCode::F3, "F3"),
            (KeyCode::F10, "F10"),
            (KeyCode::F11, "F11"),
            (KeyCode::F12, "F12"),
            (KeyCode::Escape, "Esc"),
        ] {
            assert!(usual(key, ModifiersState::empty()).is_some());
            let mut names = rows.iter().flat_map(|(keys, _)| keys.split([',', ' ']));
            assert!(names.any(|known| known == name), "{name}");
        }
    }
}
