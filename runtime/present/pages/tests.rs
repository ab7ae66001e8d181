//! Pages walked through by keyboard alone, without a window.

use std::time::Duration;

use egui::{Context, Event, Modifiers, Pos2, RawInput, vec2};
use input::PadInput;

use super::*;
use crate::present::palette;
use crate::sessions::tests::record;

/// Pages in a window of some size, with a keyboard.
struct Desk {
    ctx: Context,
    pages: Pages,
    settings: Settings,
    layout: ActionLayout,
    pad: Option<(String, PadState)>,
    size: egui::Vec2,
}

impl Desk {
    fn new() -> Self {
        let ctx = Context::default();
        palette::dress(&ctx);
        let places = Places { world: None, sessions: PathBuf::new() };
        let buttons = vec!["open doors".to_owned()];
        Self {
            ctx,
            pages: Pages::new(places),
            settings: Settings::default(),
            layout: ActionLayout { buttons, ..ActionLayout::default() },
            pad: None,
            size: vec2(640.0, 480.0),
        }
    }

    fn turn(&mut self, page: Page) {
        self.pages.turn(Some(page), || {});
        self.draw(&[]);
        self.draw(&[]);
    }

    /// Draws once with these keys pressed; answers what was asked for and the words on the page.
    fn draw(&mut self, keys: &[egui::Key]) -> (Option<Ask>, String) {
        let press = |pressed| {
            move |key: &egui::Key| Event::Key {
                key: *key,
                physical_key: None,
                pressed,
                repeat: false,
                modifiers: Modifiers::NONE,
            }
        };
        let events = keys.iter().map(press(true)).chain(keys.iter().map(press(false))).collect();
        let screen_rect = Some(egui::Rect::from_min_size(Pos2::ZERO, self.size));
        let input = RawInput { screen_rect, events, focused: true, ..RawInput::default() };
        let mut asked = None;
        let mut output = self.ctx.run_ui(input, |ui| {
            let mut about = About {
                settings: &mut self.settings,
                layout: &self.layout,
                pad: self.pad.clone(),
                title: "somewhere",
                can_continue: true,
            };
            asked = self.pages.show(ui, &mut about);
        });
        output.textures_delta.clear();
        let mut words = String::new();
        output.shapes.iter().for_each(|shape| collect(&shape.shape, &mut words));
        (asked, words)
    }

    /// Presses one key after the other, each in a drawing of its own; answers the last thing asked for.
    fn press(&mut self, keys: &[egui::Key]) -> Option<Ask> {
        let asked = keys.iter().filter_map(|key| self.draw(&[*key]).0).last();
        asked.or_else(|| self.draw(&[]).0)
    }

    fn words(&mut self) -> String {
        self.draw(&[]).1
    }
}

fn collect(shape: &egui::Shape, words: &mut String) {
    match shape {
        egui::Shape::Text(shape) => *words += &format!("{}\n", shape.galley.text()),
        egui::Shape::Vec(shapes) => shapes.iter().for_each(|shape| collect(shape, words)),
        _ => {}
    }
}

use egui::Key::{
    ArrowDown as DOWN, ArrowUp as UP, Delete as DELETE, Enter as ENTER, Insert as INSERT,
    Tab as TAB,
};

#[test]
fn the_menu_is_walked_with_arrows_and_pressed_with_enter() {
    let expected = [
        Ask::Continue,
        Ask::Turn(Page::Worlds),
        Ask::Turn(Page::Sessions),
        Ask::Turn(Page::Settings),
        Ask::Leave,
    ];
    for (steps, expected) in expected.into_iter().enumerate() {
        let mut desk = Desk::new();
        desk.turn(Page::Menu);
        let asked = desk.press(&[vec![DOWN; steps], vec![ENTER]].concat());
        assert_eq!(asked, Some(expected), "after {steps} steps");
    }
}

#[test]
fn going_back_leads_where_one_came_from() {
    let mut desk = Desk::new();
    desk.turn(Page::Menu);
    assert_eq!(desk.pages.back(), None);
    desk.turn(Page::Settings);
    assert_eq!(desk.pages.back(), Some(Page::Menu));
    desk.turn(Page::Menu);
    let asked = desk.press(&[UP, ENTER]);
    assert_eq!(asked, Some(Ask::Turn(Page::Sessions)), "the focus was on the settings");
    desk.pages.turn(None, || {});
    desk.turn(Page::Settings);
    assert_eq!(desk.pages.back(), None, "opened from the walk");
}

#[test]
fn a_key_is_bound_by_keyboard_alone_and_a_clash_is_told() {
    let mut desk = Desk::new();
    desk.turn(Page::Settings);
    assert!(desk.words().contains("open doors"), "the world's own word");
    // From the first of four tabs down to the first line.
    desk.press(&[DOWN, DOWN, DOWN, DOWN, ENTER]);
    assert!(desk.pages.waits_for_key() && desk.words().contains("press a key"));
    desk.pages.press(Pressed::Key(Key::P), &mut desk.settings);
    assert_eq!(desk.settings.keyboard.keys.forward, [Key::P]);
    assert!(!desk.pages.waits_for_key());
    let words = desk.words();
    assert!(words.contains("the same as: Pause") && words.contains("the same as: Walk ahead"));
    // The focus is still there: once more, and think better of it.
    desk.press(&[ENTER]);
    desk.pages.press(Pressed::Cancel, &mut desk.settings);
    assert_eq!(desk.settings.keyboard.keys.forward, [Key::P]);
    desk.press(&[INSERT]);
    desk.pages.press(Pressed::Key(Key::I), &mut desk.settings);
    assert_eq!(desk.settings.keyboard.keys.forward, [Key::P, Key::I]);
    desk.press(&[DOWN, DELETE]);
    assert_eq!(desk.settings.keyboard.keys.back, []);
    assert_eq!(desk.settings.keyboard.keys.forward, [Key::P, Key::I]);
}

#[test]
fn a_gamepads_part_is_bound_when_it_moves_after_a_rest() {
    let mut desk = Desk::new();
    let mut state = PadState::default();
    state.press(PadInput::Start);
    desk.pad = Some(("Pad".into(), state));
    desk.turn(Page::Settings);
    desk.press(&[TAB, TAB, ENTER]);
    let words = desk.words();
    assert!(words.contains("Pad: touch") && words.contains("Dead zone"), "{words}");
    assert!(words.contains("moved: Start"), "{words}");
    // Down over another tab and two sliders to the first line.
    desk.press(&[DOWN, DOWN, DOWN, DOWN, ENTER]);
    assert!(desk.words().contains("move or press it"), "{}", desk.words());
    assert_ne!(desk.settings.pad.inputs.forward, [PadInput::Start], "it was held before");
    desk.pad = Some(("Pad".into(), PadState::default()));
    desk.words();
    desk.pad = Some(("Pad".into(), PadState { triggers: (0.0, 1.0), ..PadState::default() }));
    desk.words();
    assert_eq!(desk.settings.pad.inputs.forward, [PadInput::RightTrigger]);
    assert!(!desk.pages.waits_for_key());
}

#[test]
fn every_page_shows_in_a_tiny_window() {
    for page in [Page::Menu, Page::Worlds, Page::Sessions, Page::Settings] {
        let mut desk = Desk::new();
        desk.size = vec2(90.0, 60.0);
        desk.turn(page);
        desk.press(&[DOWN, UP, DOWN, TAB, DOWN]);
    }
}

#[test]
fn worlds_and_sessions_are_chosen_with_enter() {
    let dir = tempfile::tempdir().unwrap();
    let session = dir.path().join("2026-01-01T00-00-00Z");
    std::fs::create_dir(&session).unwrap();
    std::fs::write(session.join("session.json"), "{").unwrap();
    let mut desk = Desk::new();
    desk.pages.places.sessions = dir.path().to_owned();
    desk.turn(Page::Sessions);
    wait(|| desk.words().contains("cannot be read"));
    desk.words();
    assert_eq!(desk.press(&[ENTER]), None, "what cannot be read cannot be watched");
    assert_eq!(desk.press(&[egui::Key::O]), Some(Ask::Reveal(session)));
    let session = dir.path().join("2026-01-02T00-00-00Z");
    record(&session, "2026-01-02T00:00:00Z");
    desk.turn(Page::Sessions);
    wait(|| desk.words().contains("2026-01-02 00:00:00, 2.5 s"));
    desk.words();
    assert_eq!(desk.press(&[ENTER]), Some(Ask::Go(Goal::Session(session))));

    desk.turn(Page::Worlds);
    wait(|| desk.words().contains("Mazes"));
    let words = desk.words();
    for expected in ["Doom rooms", "128 x 96, 17.5 frames/s, ", " MB\n", "MIT licence"] {
        assert!(words.contains(expected), "{expected:?} is not in {words:?}");
    }
    let asked = desk.press(&[DOWN, ENTER]);
    assert!(
        matches!(&asked, Some(Ask::Go(Goal::World(dir))) if dir.ends_with("mazes")),
        "{asked:?}"
    );
}

/// Waits for another thread, at most twenty seconds.
fn wait(mut done: impl FnMut() -> bool) {
    let (_sender, never) = std::sync::mpsc::sync_channel::<()>(0);
    for _ in 0..2000 {
        if done() {
            return;
        }
        let _ = never.recv_timeout(Duration::from_millis(10));
    }
    panic!("it did not come");
}
