//! Keys of a terminal: which are held, and what else they mean.
//!
//! Most terminals say that a key was pressed and repeat that while it is held, but never that it was let go. There a
//! key counts as held until its repeats stop. Terminals of the kitty keyboard protocol tell both.

use std::collections::BTreeMap;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers, ModifierKeyCode};
use input::{Key, Keyboard};

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
}

impl Held {
    /// Nothing held, at a terminal that tells when keys are let go, or does not.
    pub(super) fn new(tells_releases: bool) -> Self {
        Self { tells_releases, until: BTreeMap::new() }
    }

    /// Feeds the keyboard with a key's event at time `now`; answers what else the key asks for.
    pub(super) fn feed(
        &mut self,
        event: KeyEvent,
        now: Duration,
        keyboard: &mut Keyboard,
    ) -> Option<Command> {
        let down = event.kind != KeyEventKind::Release;
        match meaning(event)? {
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

fn meaning(event: KeyEvent) -> Option<Meaning> {
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    let command = match event.code {
        KeyCode::Esc => Command::Leave,
        KeyCode::Char('c' | 'C') if control => Command::Leave,
        KeyCode::Char('p' | 'P') => Command::Pause,
        KeyCode::Char('n' | 'N') => Command::Next,
        KeyCode::Char('r' | 'R') => Command::Record,
        KeyCode::Char('B') => Command::GoBack,
        KeyCode::Char('b') if event.modifiers.contains(KeyModifiers::SHIFT) => Command::GoBack,
        KeyCode::Char('b') => Command::Bookmark,
        code => return held(code).map(Meaning::Held),
    };
    Some(Meaning::Asked(command))
}

/// The key of the controls, if it is one of those that mean something.
fn held(code: KeyCode) -> Option<Key> {
    Some(match code {
        KeyCode::Char(letter) => match letter.to_ascii_lowercase() {
            'w' => Key::W,
            'a' => Key::A,
            's' => Key::S,
            'd' => Key::D,
            'q' => Key::Q,
            'e' => Key::E,
            'f' => Key::F,
            ' ' => Key::Space,
            _ => return None,
        },
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Modifier(ModifierKeyCode::LeftShift | ModifierKeyCode::RightShift) => Key::Shift,
        KeyCode::Modifier(ModifierKeyCode::LeftControl | ModifierKeyCode::RightControl) => {
            Key::Control
        }
        _ => return None,
    })
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
        let (mut held, mut keyboard) = (Held::new(false), keyboard());
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
        let (mut held, mut keyboard) = (Held::new(true), keyboard());
        let event = |kind| KeyEvent::new_with_kind(KeyCode::Up, KeyModifiers::NONE, kind);
        held.feed(event(KeyEventKind::Press), MS(0), &mut keyboard);
        held.expire(MS(5000), &mut keyboard);
        assert_eq!((keyboard.poll().forward, keyboard.poll().forward), (1.0, 1.0));
        held.feed(event(KeyEventKind::Release), MS(5001), &mut keyboard);
        assert_eq!(keyboard.poll().forward, 0.0);
    }

    #[test]
    fn losing_the_focus_releases_everything() {
        let (mut held, mut keyboard) = (Held::new(false), keyboard());
        held.feed(press(KeyCode::Char('W')), MS(0), &mut keyboard);
        held.release(&mut keyboard);
        assert_eq!((keyboard.poll().forward, held.next()), (0.0, None));
    }

    #[test]
    fn commands_are_given_once_however_long_their_key_is_held() {
        let (mut held, mut keyboard) = (Held::new(false), keyboard());
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
}
