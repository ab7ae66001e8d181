//! Pages over a walk that waits: the menu, worlds, sessions, settings.
//!
//! All can be reached by keyboard alone: arrows and Tab move the focus, Enter and Space press.

mod binding;
mod card;
mod menu;
mod sessions;
mod settings;
mod worlds;

use std::path::PathBuf;

use egui::{Frame, RichText, ScrollArea, Ui, vec2};
use input::{ActionLayout, Key, PadState};

use self::sessions::SessionsPage;
use self::settings::SettingsPage;
use self::worlds::WorldsPage;
use super::palette::PAGE;
use super::window::Goal;
use crate::settings::Settings;

/// Widest that the contents of a page get, in points.
const WIDEST: f32 = 620.0;

/// A page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// What can be done.
    Menu,
    /// Where to walk.
    Worlds,
    /// What was recorded.
    Sessions,
    /// What can be set.
    Settings,
}

/// What a page asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Close the page and walk on.
    Continue,
    /// Go back to where this page was opened from.
    Back,
    /// Open another page.
    Turn(Page),
    /// End this walk and go there.
    Go(Goal),
    /// Show this folder in the system's own way.
    Reveal(PathBuf),
    /// End everything.
    Leave,
}

/// What pages know about the walk.
pub(super) struct About<'a> {
    /// The settings, to be changed.
    pub(super) settings: &'a mut Settings,
    /// What actions mean in the world.
    pub(super) layout: &'a ActionLayout,
    /// Name and state of the gamepad that counts.
    pub(super) pad: Option<(String, PadState)>,
    /// The walk's title.
    pub(super) title: &'a str,
    /// There is a walk to go on with.
    pub(super) can_continue: bool,
}

/// Where pages find what they list.
pub(super) struct Places {
    /// A world that did not come with the program.
    pub(super) world: Option<PathBuf>,
    /// Folder of the sessions.
    pub(super) sessions: PathBuf,
}

/// Which page is open, and what each has to keep.
pub(super) struct Pages {
    open: Option<Page>,
    /// The first widget gets the focus when a page has just been turned to.
    fresh: bool,
    /// Going back from here leads to the menu.
    from_menu: bool,
    /// The page before: the menu gives its entry the focus.
    before: Option<Page>,
    places: Places,
    worlds: WorldsPage,
    sessions: SessionsPage,
    settings: SettingsPage,
}

/// Something pressed while a page waits for something to bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pressed {
    /// This key.
    Key(Key),
    /// Everything stays as it is.
    Cancel,
}

impl Pages {
    /// No page is open.
    pub(super) fn new(places: Places) -> Self {
        Self {
            open: None,
            fresh: false,
            from_menu: false,
            before: None,
            places,
            worlds: WorldsPage::default(),
            sessions: SessionsPage::default(),
            settings: SettingsPage::default(),
        }
    }

    /// Which page is open.
    pub(super) fn open(&self) -> Option<Page> {
        self.open
    }

    /// Turns to a page, or closes all; `wake` is called when something that was read can be shown.
    pub(super) fn turn(&mut self, page: Option<Page>, wake: impl Fn() + Send + 'static) {
        self.from_menu = page != Some(Page::Menu) && self.open == Some(Page::Menu);
        (self.fresh, self.before) = (true, self.open);
        self.settings.stop_waiting();
        match page {
            Some(Page::Worlds) => self.worlds.read(wake, self.places.world.clone()),
            Some(Page::Sessions) => self.sessions.read(wake, self.places.sessions.clone()),
            Some(Page::Menu | Page::Settings) | None => {}
        }
        self.open = page;
    }

    /// Where going back leads: to the menu, or to the walk.
    pub(super) fn back(&self) -> Option<Page> {
        self.from_menu.then_some(Page::Menu)
    }

    /// Whether the next key is to be bound.
    pub(super) fn waits_for_key(&self) -> bool {
        self.open == Some(Page::Settings) && self.settings.waits_for_key()
    }

    /// Whether the next part of a gamepad that is moved is to be bound.
    pub(super) fn waits_for_pad(&self) -> bool {
        self.open == Some(Page::Settings) && self.settings.waits_for_pad()
    }

    /// Takes what was pressed while [`Self::waits_for_key`].
    pub(super) fn press(&mut self, pressed: Pressed, settings: &mut Settings) {
        self.settings.press(pressed, settings);
    }

    /// Shows the open page, if any, and answers what it asks for.
    pub(super) fn show(&mut self, ui: &mut Ui, about: &mut About<'_>) -> Option<Ask> {
        let page = self.open?;
        let fresh = std::mem::take(&mut self.fresh);
        step_focus(ui);
        let frame = Frame::new().fill(PAGE).inner_margin(12);
        let shown = egui::CentralPanel::default().frame(frame).show(ui, |ui| {
            let free = ((ui.available_width() - WIDEST) / 2.0).max(0.0);
            let mut inside = ui.available_rect_before_wrap();
            inside.min.x += free;
            inside.max.x -= free;
            let builder = egui::UiBuilder::new().max_rect(inside);
            ui.scope_builder(builder, |ui| match page {
                Page::Menu => menu::show(ui, fresh.then_some(self.before), about),
                Page::Worlds => self.worlds.show(ui, fresh),
                Page::Sessions => self.sessions.show(ui, fresh),
                Page::Settings => self.settings.show(ui, fresh, about),
            })
            .inner
        });
        shown.inner
    }
}

/// Makes the arrows go from one widget to the next, whatever their places: egui's own way skips long lines.
fn step_focus(ui: &Ui) {
    let pressed = |key| ui.input(|input| input.key_pressed(key));
    let direction = match () {
        () if pressed(egui::Key::ArrowDown) => egui::FocusDirection::Next,
        () if pressed(egui::Key::ArrowUp) => egui::FocusDirection::Previous,
        () => return,
    };
    ui.memory_mut(|memory| memory.move_focus(direction));
}

/// A page's heading with a button that goes back; `true` when that was pressed.
fn heading(ui: &mut Ui, title: &str) -> bool {
    let mut back = false;
    ui.horizontal(|ui| {
        ui.label(RichText::new(title).heading());
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            back = ui.button("Back (Esc)").clicked();
        });
    });
    ui.add_space(6.0);
    back
}

/// What does not fit the window can be scrolled to.
fn scrolled<R>(ui: &mut Ui, name: &str, contents: impl FnOnce(&mut Ui) -> R) -> R {
    let area = ScrollArea::vertical().id_salt(name).auto_shrink(false);
    let shown = area.show(ui, |ui| {
        ui.spacing_mut().item_spacing = vec2(8.0, 5.0);
        contents(ui)
    });
    shown.inner
}

/// Gives a widget the focus when `fresh`, and scrolls to one that has just got it.
fn follow_focus(response: &egui::Response, fresh: bool) {
    if fresh {
        response.request_focus();
    }
    if response.gained_focus() {
        response.scroll_to_me(None);
    }
}

#[cfg(test)]
mod tests;
