//! What is bound to what, as the settings page lists and changes it.

use std::fmt::Display;

use input::{Act, ActionLayout, Key, PadInput};

use crate::present::keys;
use crate::settings::{MAX_BOUND, Settings, WindowAct};

/// Something that keys or parts of a gamepad are bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Keys of something done in the world.
    Key(Act),
    /// Keys of something done in the window.
    Window(WindowAct),
    /// Parts of the gamepad, of something done in the world.
    Pad(Act),
}

/// A line of the list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    /// Whose line it is.
    pub(super) slot: Slot,
    /// What is done.
    pub(super) name: String,
    /// What does it.
    pub(super) bound: String,
    /// What else is done by the same.
    pub(super) clashes: Vec<String>,
}

/// The lines of all that keys do.
pub(super) fn key_lines(settings: &Settings, layout: &ActionLayout) -> Vec<Line> {
    let acts = Act::all(layout)
        .into_iter()
        .map(|act| (Slot::Key(act), act.name(layout), settings.keyboard.keys.get(act)));
    let window = WindowAct::ALL
        .into_iter()
        .map(|act| (Slot::Window(act), act.name().to_owned(), settings.window.get(act)));
    lines(&acts.chain(window).collect::<Vec<_>>())
}

/// The lines of all that a gamepad does.
pub(super) fn pad_lines(settings: &Settings, layout: &ActionLayout) -> Vec<Line> {
    let acts = Act::all(layout).into_iter();
    let acts = acts.map(|act| (Slot::Pad(act), act.name(layout), settings.pad.inputs.get(act)));
    lines(&acts.collect::<Vec<_>>())
}

fn lines<T: PartialEq + Display>(bound: &[(Slot, String, &[T])]) -> Vec<Line> {
    let line = |(slot, name, own): &(Slot, String, &[T])| {
        let others = bound.iter().filter(|(other, ..)| other != slot);
        let clash = others.filter(|(.., theirs)| theirs.iter().any(|one| own.contains(one)));
        Line {
            slot: *slot,
            name: name.clone(),
            bound: keys::list(*own),
            clashes: clash.map(|(_, name, _)| name.clone()).collect(),
        }
    };
    bound.iter().map(line).collect()
}

/// How something is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// In the place of what was bound.
    Instead,
    /// Beside it.
    Besides,
}

/// Binds a key; nothing happens where the slot is of gamepads.
pub(super) fn bind_key(settings: &mut Settings, slot: Slot, how: How, key: Key) {
    let bound = match slot {
        Slot::Key(act) => settings.keyboard.keys.get_mut(act),
        Slot::Window(act) => Some(settings.window.get_mut(act)),
        Slot::Pad(_) => None,
    };
    if let Some(bound) = bound {
        bind(bound, how, key);
    }
}

/// Binds a part of the gamepad; nothing happens where the slot is of keys.
pub(super) fn bind_pad(settings: &mut Settings, slot: Slot, how: How, input: PadInput) {
    if let Slot::Pad(act) = slot
        && let Some(bound) = settings.pad.inputs.get_mut(act)
    {
        bind(bound, how, input);
    }
}

/// Leaves a slot without anything.
pub(super) fn clear(settings: &mut Settings, slot: Slot) {
    match slot {
        Slot::Key(act) => _ = settings.keyboard.keys.get_mut(act).map(Vec::clear),
        Slot::Window(act) => settings.window.get_mut(act).clear(),
        Slot::Pad(act) => _ = settings.pad.inputs.get_mut(act).map(Vec::clear),
    }
}

fn bind<T: PartialEq>(bound: &mut Vec<T>, how: How, new: T) {
    if how == How::Instead {
        bound.clear();
    }
    if !bound.contains(&new) && bound.len() < MAX_BOUND {
        bound.push(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> ActionLayout {
        ActionLayout { buttons: vec!["open doors".into()], ..ActionLayout::default() }
    }

    fn line(lines: &[Line], slot: Slot) -> &Line {
        lines.iter().find(|line| line.slot == slot).unwrap()
    }

    #[test]
    fn the_usual_bindings_do_not_clash_and_say_what_the_world_calls_its_button() {
        let settings = Settings::default();
        let all = [key_lines(&settings, &layout()), pad_lines(&settings, &layout())].concat();
        assert!(all.iter().all(|line| line.clashes.is_empty()), "{all:?}");
        let button = line(&all, Slot::Key(Act::Button(0)));
        assert_eq!(
            (button.name.as_str(), button.bound.as_str()),
            ("open doors", "Space, Mouse left")
        );
        let button = line(&all, Slot::Pad(Act::Button(0)));
        assert_eq!(button.bound, "South, Right trigger");
    }

    #[test]
    fn keys_are_bound_instead_or_besides_and_clashes_are_told_on_both_sides() {
        let mut settings = Settings::default();
        let (ahead, pause) = (Slot::Key(Act::Forward), Slot::Window(WindowAct::Pause));
        bind_key(&mut settings, ahead, How::Instead, Key::P);
        let lines = key_lines(&settings, &layout());
        assert_eq!(line(&lines, ahead).clashes, ["Pause"]);
        assert_eq!(line(&lines, pause).clashes, ["Walk ahead"]);

        bind_key(&mut settings, pause, How::Instead, Key::X);
        bind_key(&mut settings, pause, How::Besides, Key::Y);
        bind_key(&mut settings, pause, How::Besides, Key::X);
        let lines = key_lines(&settings, &layout());
        assert_eq!(line(&lines, pause).bound, "X, Y");
        assert!(line(&lines, ahead).clashes.is_empty());

        clear(&mut settings, pause);
        assert_eq!(line(&key_lines(&settings, &layout()), pause).bound, "");
        for key in [Key::A, Key::B, Key::C, Key::D, Key::E, Key::F, Key::G, Key::H, Key::I, Key::J]
        {
            bind_key(&mut settings, pause, How::Besides, key);
        }
        assert_eq!(settings.window.pause.len(), MAX_BOUND);
        let text = settings.to_text().unwrap();
        assert_eq!(Settings::parse(&text).unwrap(), settings, "what can be bound can be read back");
    }

    #[test]
    fn a_trigger_can_walk() {
        let mut settings = Settings::default();
        let ahead = Slot::Pad(Act::Forward);
        bind_pad(&mut settings, ahead, How::Instead, PadInput::RightTrigger);
        let lines = pad_lines(&settings, &layout());
        assert_eq!(line(&lines, ahead).bound, "Right trigger");
        assert_eq!(line(&lines, ahead).clashes, ["open doors"]);
        bind_key(&mut settings, ahead, How::Instead, Key::X);
        assert_eq!(settings.pad.inputs.forward, [PadInput::RightTrigger]);
    }
}
