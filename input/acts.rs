//! What a player can do, and a list of something for each: keys, or parts of a gamepad.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ActionLayout, Key, PadInput};

/// One thing that a player can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// Walk ahead.
    Forward,
    /// Walk back.
    Back,
    /// Step to the left.
    StrafeLeft,
    /// Step to the right.
    StrafeRight,
    /// Turn to the left.
    TurnLeft,
    /// Turn to the right.
    TurnRight,
    /// Look up.
    LookUp,
    /// Look down.
    LookDown,
    /// Press the world's button of this index.
    Button(usize),
}

impl Act {
    /// Everything that has an effect in a world of this layout, in the order in which it is listed.
    pub fn all(layout: &ActionLayout) -> Vec<Self> {
        let moves = [Self::Forward, Self::Back, Self::StrafeLeft, Self::StrafeRight];
        let turns = [Self::TurnLeft, Self::TurnRight];
        let looks = [Self::LookUp, Self::LookDown].into_iter();
        let looks = looks.filter(|_| layout.pitch_degrees > 0.0);
        let buttons = (0..layout.buttons.len().min(ActionLayout::MAX_BUTTONS)).map(Self::Button);
        moves.into_iter().chain(turns).chain(looks).chain(buttons).collect()
    }

    /// Its name for people; buttons have the world's own.
    pub fn name(self, layout: &ActionLayout) -> String {
        match self {
            Self::Forward => "Walk ahead".into(),
            Self::Back => "Walk back".into(),
            Self::StrafeLeft => "Step left".into(),
            Self::StrafeRight => "Step right".into(),
            Self::TurnLeft => "Turn left".into(),
            Self::TurnRight => "Turn right".into(),
            Self::LookUp => "Look up".into(),
            Self::LookDown => "Look down".into(),
            Self::Button(index) => {
                let own = layout.buttons.get(index).filter(|name| !name.trim().is_empty());
                own.cloned().unwrap_or_else(|| format!("Button {}", index + 1))
            }
        }
    }
}

/// For each act, what does it; several do it together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, bound(deserialize = "T: Deserialize<'de>, Acts<T>: Default"))]
pub struct Acts<T> {
    /// Walk ahead.
    pub forward: Vec<T>,
    /// Walk back.
    pub back: Vec<T>,
    /// Step to the left.
    pub strafe_left: Vec<T>,
    /// Step to the right.
    pub strafe_right: Vec<T>,
    /// Turn to the left.
    pub turn_left: Vec<T>,
    /// Turn to the right.
    pub turn_right: Vec<T>,
    /// Look up.
    pub look_up: Vec<T>,
    /// Look down.
    pub look_down: Vec<T>,
    /// The world's buttons, in the order of its action layout.
    pub buttons: Vec<Vec<T>>,
}

impl<T> Acts<T> {
    /// What does `act`.
    pub fn get(&self, act: Act) -> &[T] {
        match act {
            Act::Forward => &self.forward,
            Act::Back => &self.back,
            Act::StrafeLeft => &self.strafe_left,
            Act::StrafeRight => &self.strafe_right,
            Act::TurnLeft => &self.turn_left,
            Act::TurnRight => &self.turn_right,
            Act::LookUp => &self.look_up,
            Act::LookDown => &self.look_down,
            Act::Button(index) => self.buttons.get(index).map_or(&[], Vec::as_slice),
        }
    }

    /// What does `act`, to be changed; `None` for a button that no world has.
    pub fn get_mut(&mut self, act: Act) -> Option<&mut Vec<T>> {
        Some(match act {
            Act::Forward => &mut self.forward,
            Act::Back => &mut self.back,
            Act::StrafeLeft => &mut self.strafe_left,
            Act::StrafeRight => &mut self.strafe_right,
            Act::TurnLeft => &mut self.turn_left,
            Act::TurnRight => &mut self.turn_right,
            Act::LookUp => &mut self.look_up,
            Act::LookDown => &mut self.look_down,
            Act::Button(index) if index < ActionLayout::MAX_BUTTONS => {
                let count = self.buttons.len().max(index + 1);
                self.buttons.resize_with(count, Vec::new);
                &mut self.buttons[index]
            }
            Act::Button(_) => return None,
        })
    }

    /// Every list there is.
    pub fn lists(&self) -> impl Iterator<Item = &Vec<T>> {
        let moves = [&self.forward, &self.back, &self.strafe_left, &self.strafe_right];
        let turns = [&self.turn_left, &self.turn_right, &self.look_up, &self.look_down];
        moves.into_iter().chain(turns).chain(&self.buttons)
    }
}

impl Default for Acts<Key> {
    fn default() -> Self {
        Self {
            forward: vec![Key::W, Key::Up],
            back: vec![Key::S, Key::Down],
            strafe_left: vec![Key::A, Key::Q],
            strafe_right: vec![Key::D, Key::E],
            turn_left: vec![Key::Left],
            turn_right: vec![Key::Right],
            look_up: vec![Key::PageUp],
            look_down: vec![Key::PageDown],
            buttons: vec![
                vec![Key::Space, Key::MouseLeft],
                vec![Key::F, Key::MouseRight],
                vec![Key::Shift],
                vec![Key::Control],
            ],
        }
    }
}

impl Default for Acts<PadInput> {
    fn default() -> Self {
        Self {
            forward: vec![PadInput::LeftStickUp, PadInput::DirectionUp],
            back: vec![PadInput::LeftStickDown, PadInput::DirectionDown],
            strafe_left: vec![PadInput::LeftStickLeft, PadInput::DirectionLeft],
            strafe_right: vec![PadInput::LeftStickRight, PadInput::DirectionRight],
            turn_left: vec![PadInput::RightStickLeft],
            turn_right: vec![PadInput::RightStickRight],
            look_up: vec![PadInput::RightStickUp],
            look_down: vec![PadInput::RightStickDown],
            buttons: vec![
                vec![PadInput::South, PadInput::RightTrigger],
                vec![PadInput::East, PadInput::LeftTrigger],
                vec![PadInput::West],
                vec![PadInput::North],
            ],
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(words(&format!("{self:?}")).trim_start_matches("Digit "))
    }
}

impl fmt::Display for PadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&words(&format!("{self:?}")))
    }
}

/// A name as the source writes it, as words: `PageUp` is `Page up`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        let begins = letter.is_ascii_uppercase() || letter.is_ascii_digit();
        match begins && !words.is_empty() {
            true => words.extend([' ', letter.to_ascii_lowercase()]),
            false => words.push(letter),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> ActionLayout {
        let buttons = vec!["use".to_owned(), " ".to_owned()];
        ActionLayout { turn_degrees: 15.0, pitch_degrees: 0.0, buttons }
    }

    #[test]
    fn a_world_lists_what_it_knows_by_its_own_names() {
        let names = |layout: &ActionLayout| {
            Act::all(layout).into_iter().map(|act| act.name(layout)).collect::<Vec<_>>()
        };
        let flat = names(&layout());
        assert_eq!(flat[4..], ["Turn left", "Turn right", "use", "Button 2"]);
        let pitched = names(&ActionLayout { pitch_degrees: 5.0, ..layout() });
        assert_eq!(pitched[6..], ["Look up", "Look down", "use", "Button 2"]);
    }

    #[test]
    fn every_act_can_be_read_and_changed() {
        let layout = ActionLayout { pitch_degrees: 5.0, ..layout() };
        let mut acts = Acts::<Key>::default();
        for (at, act) in Act::all(&layout).into_iter().enumerate() {
            let key = [Key::X, Key::Y][at % 2];
            *acts.get_mut(act).unwrap() = vec![key];
            assert_eq!(acts.get(act), [key], "{act:?}");
        }
        acts.get_mut(Act::Button(7)).unwrap().push(Key::Z);
        assert_eq!((acts.get(Act::Button(7)), acts.get(Act::Button(6))), (&[Key::Z][..], &[][..]));
        assert!(acts.get_mut(Act::Button(ActionLayout::MAX_BUTTONS)).is_none());
        assert_eq!(acts.lists().flatten().count(), 8 + 2 + 2 + 1, "two buttons had more keys");
    }

    #[test]
    fn names_are_words() {
        let keys = [Key::W, Key::Digit7, Key::PageUp, Key::MouseLeft, Key::Numpad3];
        let names = keys.map(|key| key.to_string());
        assert_eq!(names, ["W", "7", "Page up", "Mouse left", "Numpad 3"]);
        assert_eq!(PadInput::LeftStickUp.to_string(), "Left stick up");
    }
}
