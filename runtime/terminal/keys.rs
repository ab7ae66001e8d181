//! Keys of a terminal: which are held, and what else they mean.
//!
//! Most terminals say that a key was pressed and repeat that while it is held, but never that it was let go. There a
//! key counts as held until its repeats stop. Terminals of the kitty keyboard protocol tell both.

use std::collections::BTreeMap;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers, ModifierKeyCode};
use input::{Key, Keyboard};
use serde::Deserialize as _;
use serde::de::value::{Error, StrDeserializer};

use crate::settings::{WindowAct, WindowKeys};

/// How long a key lasts after its first press: until repeats begin, half a second later at most systems' settings.
const UNTIL_REPEATS: Duration = Duration::from_millis(500);
/// How long a key lasts after a repeat: repeats come every 30 to 100 ms.
const BETWEEN_REPEATS: Duration = Duration::from_millis(150);

/// What a key asks of the terminal player, apart from walking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Pause,
    Next,
    Record,
    Bookmark,
    GoBack,
    Leave,
}

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Held(Key),
    Asked(Command),
}

/// The keys that are held.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// The terminal tells when keys are let go.
    tells_releases: bool,
    /// Held keys, and until when.
    until: BTreeMap<Key, Duration>,
    /// Keys that are no controls.
    commands: WindowKeys,
}

impl Held {
    /// Nothing held, at a terminal that tells when keys are let go, or does not; `commands` are what the window's are.
    pub(super) fn new(tells_releases: bool, commands: WindowKeys) -> Self {
        Self { tells_releases, until: BTreeMap::new(), commands }
    }

    /// Feeds the keyboard with a key's event at time `now`; answers what else the key asks for.
    pub(super) fn feed(
        &mut self,
        event: KeyEvent,
        now: Duration,
        keyboard: &mut Keyboard,
    ) -> Option<Command> {
        let down = event.kind != KeyEventKind::Release;
        match self.meaning(event)? {
            Meaning::Asked(command) => (event.kind == KeyEventKind::Press).then_some(command),
            Meaning::Held(key) => {
                match (self.tells_releases, down) {
                    (true, true) => keyboard.press(key),
                    (true, false) => keyboard.release(key),
                    (false, true) => self.press(key, now, keyboard),
                    (false, false) => {}
                }
                None
            }
        }
    }

    fn meaning(&self, event: KeyEvent) -> Option<Meaning> {
        let with = |modifier| event.modifiers.contains(modifier);
        if event.code == KeyCode::Esc
            || (with(KeyModifiers::CONTROL) && matches!(event.code, KeyCode::Char('c' | 'C')))
        {
            return Some(Meaning::Asked(Command::Leave));
        }
        let key = key(event.code)?;
        let act = WindowAct::ALL.into_iter().find(|&act| self.commands.get(act).contains(&key));
        // Without the kitty protocol a capital is all that tells of Shift.
        let capital = matches!(event.code, KeyCode::Char('A'..='Z'));
        Some(match act {
            Some(WindowAct::Pause) => Meaning::Asked(Command::Pause),
            Some(WindowAct::Next) => Meaning::Asked(Command::Next),
            Some(WindowAct::Record) => Meaning::Asked(Command::Record),
            Some(WindowAct::Bookmark) if capital || with(KeyModifiers::SHIFT) => {
                Meaning::Asked(Command::GoBack)
            }
            Some(WindowAct::Bookmark) => Meaning::Asked(Command::Bookmark),
            // Nothing shows it here.
            Some(WindowAct::Memory) => return None,
            None => Meaning::Held(key),
        })
    }

    fn press(&mut self, key: Key, now: Duration, keyboard: &mut Keyboard) {
        let lasts = match self.until.contains_key(&key) {
            false => {
                keyboard.press(key);
                UNTIL_REPEATS
            }
            true => BETWEEN_REPEATS,
        };
        self.until.insert(key, now + lasts);
    }

    /// Lets go of keys whose repeats have stopped.
    pub(super) fn expire(&mut self, now: Duration, keyboard: &mut Keyboard) {
        self.until.retain(|&key, until| {
            let lasts = *until > now;
            if !lasts {
                keyboard.release(key);
            }
            lasts
        });
    }

    /// When the next key counts as let go, unless it repeats.
    pub(super) fn next(&self) -> Option<Duration> {
        self.until.values().min().copied()
    }

    /// Lets go of everything: the terminal lost the focus.
    pub(super) fn release(&mut self, keyboard: &mut Keyboard) {
        self.until.clear();
        keyboard.release_all();
    }
}

/// The key of an event by what it types: a terminal does not tell where it lies.
fn key(code: KeyCode) -> Option<Key> {
    Some(match code {
        KeyCode::Char(typed) => return typed_by(typed.to_ascii_lowercase()),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Insert => Key::Insert,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Enter => Key::Enter,
        KeyCode::Tab => Key::Tab,
        KeyCode::Modifier(ModifierKeyCode::LeftShift | ModifierKeyCode::RightShift) => Key::Shift,
        KeyCode::Modifier(ModifierKeyCode::LeftControl | ModifierKeyCode::RightControl) => {
            Key::Control
        }
        KeyCode::Modifier(ModifierKeyCode::LeftAlt | ModifierKeyCode::RightAlt) => Key::Alt,
        _ => return None,
    })
}

/// The key that types a character on an American keyboard.
fn typed_by(character: char) -> Option<Key> {
    let name = match character {
        'a'..='z' => character.to_string(),
        '0'..='9' => format!("digit{character}"),
        ' ' => "space".to_owned(),
        '-' => "minus".to_owned(),
        '=' => "equal".to_owned(),
        '[' => "left_bracket".to_owned(),
        ']' => "right_bracket".to_owned(),
        ';' => "semicolon".to_owned(),
        '\'' => "quote".to_owned(),
        '`' => "backquote".to_owned(),
        '\\' => "backslash".to_owned(),
        ',' => "comma".to_owned(),
        '.' => "period".to_owned(),
        '/' => "slash".to_owned(),
        _ => return None,
    };
    // The names of a settings file.
    Key::deserialize(StrDeserializer::<Error>::new(&name)).ok()
}

#[cfg(test)]
mod tests {
    use input::{ActionLayout, Controller as _};

    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn keyboard() -> Keyboard {
        let layout = ActionLayout { turn_degrees: 15.0, ..ActionLayout::default() };
        Keyboard::new(layout)
    }

    fn press(code: KeyCode) -> KeyEvent {
        KeyEvent::new(code, KeyModifiers::NONE)
    }

    #[test]
    fn a_key_lasts_until_its_repeats_stop() {
        let (mut held, mut keyboard) = (Held::new(false, WindowKeys::default()), keyboard());
        let forward = |held: &mut Held, keyboard: &mut Keyboard, at| {
            held.expire(MS(at), keyboard);
            keyboard.poll().forward
        };
        let w = press(KeyCode::Char('w'));
        assert_eq!(held.feed(w, MS(0), &mut keyboard), None);
        assert_eq!(forward(&mut held, &mut keyboard, 10), 1.0);
        assert_eq!(held.next(), Some(MS(500)));
        assert_eq!(forward(&mut held, &mut keyboard, 499), 1.0, "repeats may still begin");
        for at in [490, 530, 570] {
            held.feed(w, MS(at), &mut keyboard);
        }
        assert_eq!(forward(&mut held, &mut keyboard, 719), 1.0);
        assert_eq!(forward(&mut held, &mut keyboard, 720), 0.0);
        assert_eq!(held.next(), None);

        // A tap between two polls counts once, as everywhere.
        held.feed(press(KeyCode::Left), MS(800), &mut keyboard);
        held.expire(MS(1300), &mut keyboard);
        assert_eq!((keyboard.poll().turn, keyboard.poll().turn), (-0.5, 0.0));
    }

    #[test]
    fn a_terminal_that_tells_releases_is_believed() {
        let (mut held, mut keyboard) = (Held::new(true, WindowKeys::default()), keyboard());
        let event = |kind| KeyEvent::new_with_kind(KeyCode::Up, KeyModifiers::NONE, kind);
        held.feed(event(KeyEventKind::Press), MS(0), &mut keyboard);
        held.expire(MS(5000), &mut keyboard);
        assert_eq!((keyboard.poll().forward, keyboard.poll().forward), (1.0, 1.0));
        held.feed(event(KeyEventKind::Release), MS(5001), &mut keyboard);
        assert_eq!(keyboard.poll().forward, 0.0);
    }

    #[test]
    fn losing_the_focus_releases_everything() {
        let (mut held, mut keyboard) = (Held::new(false, WindowKeys::default()), keyboard());
        held.feed(press(KeyCode::Char('W')), MS(0), &mut keyboard);
        held.release(&mut keyboard);
        assert_eq!((keyboard.poll().forward, held.next()), (0.0, None));
    }

    #[test]
    fn commands_are_given_once_however_long_their_key_is_held() {
        let (mut held, mut keyboard) = (Held::new(false, WindowKeys::default()), keyboard());
        let mut ask = |code, modifiers, kind| {
            held.feed(KeyEvent::new_with_kind(code, modifiers, kind), MS(0), &mut keyboard)
        };
        let (none, down) = (KeyModifiers::NONE, KeyEventKind::Press);
        assert_eq!(ask(KeyCode::Char('p'), none, down), Some(Command::Pause));
        assert_eq!(ask(KeyCode::Char('p'), none, KeyEventKind::Repeat), None);
        assert_eq!(ask(KeyCode::Char('p'), none, KeyEventKind::Release), None);
        assert_eq!(ask(KeyCode::Esc, none, down), Some(Command::Leave));
        assert_eq!(ask(KeyCode::Char('c'), KeyModifiers::CONTROL, down), Some(Command::Leave));
        assert_eq!(ask(KeyCode::Char('b'), none, down), Some(Command::Bookmark));
        assert_eq!(ask(KeyCode::Char('B'), KeyModifiers::SHIFT, down), Some(Command::GoBack));
        assert_eq!(ask(KeyCode::Char('z'), none, down), None);
    }

    #[test]
    fn keys_are_those_of_the_settings() {
        let settings = "[keyboard.keys]\nforward = [\"z\"]\n[window]\npause = [\"enter\"]\n";
        let settings = crate::settings::Settings::parse(settings).unwrap();
        let (mut held, mut keyboard) = (Held::new(false, settings.window), keyboard());
        keyboard.bind(settings.keyboard, settings.mouse);
        assert_eq!(held.feed(press(KeyCode::Enter), MS(0), &mut keyboard), Some(Command::Pause));
        assert_eq!(held.feed(press(KeyCode::Char('p')), MS(0), &mut keyboard), None);
        assert_eq!(held.feed(press(KeyCode::Char('z')), MS(0), &mut keyboard), None);
        assert_eq!(keyboard.poll().forward, 1.0);
    }

    #[test]
    fn every_character_of_the_keyboard_is_a_key_of_its_own() {
        let typed = "abcdefghijklmnopqrstuvwxyz0123456789 -=[];'`\\,./";
        let keys: std::collections::BTreeSet<Key> = typed.chars().filter_map(typed_by).collect();
        assert_eq!(keys.len(), typed.chars().count());
        assert_eq!(key(KeyCode::Char('Q')), Some(Key::Q));
        assert_eq!(key(KeyCode::F(5)), None);
    }
}
