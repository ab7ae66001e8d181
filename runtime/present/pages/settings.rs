//! Settings: what keys and gamepads do, the mouse, the picture.

use std::time::Duration;

use egui::{
    Button, Color32, Pos2, Rect, RichText, Sense, Slider, Stroke, StrokeKind, Ui, pos2, vec2,
};
use input::PadState;

use super::binding::{self, How, Line, Slot};
use super::{About, Ask, Pressed, follow_focus, heading, scrolled};
use crate::present::palette::{ORANGE, QUIET, SKY_BLUE, TEXT, YELLOW};
use crate::settings::{PictureScaling, Settings};

/// How often a gamepad is looked at while it is shown: 30 times a second.
const LOOK: Duration = Duration::from_millis(33);
/// Width of the names in a list, in points.
const NAMES: f32 = 110.0;

/// What can be done with a line.
const HELP: &str = "Enter: another key   Insert or +: one more   Delete: none";

/// What is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Tab {
    #[default]
    Keys,
    Mouse,
    Gamepad,
    Picture,
}

impl Tab {
    const ALL: [(Self, &str); 4] = [
        (Self::Keys, "Keys"),
        (Self::Mouse, "Mouse"),
        (Self::Gamepad, "Gamepad"),
        (Self::Picture, "Picture"),
    ];
}

/// Which part is shown, and what waits to be bound.
#[derive(Debug, Default)]
pub(super) struct SettingsPage {
    tab: Tab,
    waiting: Option<Waiting>,
}

/// A slot that takes what is pressed next.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    slot: Slot,
    how: How,
    /// The gamepad has been at rest since: what was held before is not meant.
    rested: bool,
}

impl SettingsPage {
    /// Whether the next key is to be bound.
    pub(super) fn waits_for_key(&self) -> bool {
        self.waiting.is_some()
    }

    /// Whether the next part of a gamepad that is moved is to be bound.
    pub(super) fn waits_for_pad(&self) -> bool {
        self.waiting.is_some_and(|waiting| matches!(waiting.slot, Slot::Pad(_)))
    }

    /// Binds nothing after all.
    pub(super) fn stop_waiting(&mut self) {
        self.waiting = None;
    }

    /// Takes what was pressed; for a gamepad's slot, a key means nothing.
    pub(super) fn press(&mut self, pressed: Pressed, settings: &mut Settings) {
        let Some(Waiting { slot, how, .. }) = self.waiting else { return };
        match pressed {
            Pressed::Key(_) if matches!(slot, Slot::Pad(_)) => return,
            Pressed::Key(key) => binding::bind_key(settings, slot, how, key),
            Pressed::Cancel => {}
        }
        self.waiting = None;
    }

    /// Shows the page; changes go into `about.settings`.
    pub(super) fn show(&mut self, ui: &mut Ui, fresh: bool, about: &mut About<'_>) -> Option<Ask> {
        let asked = heading(ui, "Settings").then_some(Ask::Back);
        ui.horizontal_wrapped(|ui| {
            for (tab, name) in Tab::ALL {
                let response = ui.selectable_label(self.tab == tab, name);
                follow_focus(&response, fresh && self.tab == tab);
                if response.clicked() {
                    (self.tab, self.waiting) = (tab, None);
                }
            }
        });
        ui.separator();
        scrolled(ui, "settings", |ui| match self.tab {
            Tab::Keys => self.keys(ui, about),
            Tab::Mouse => mouse(ui, about.settings),
            Tab::Gamepad => self.gamepad(ui, about),
            Tab::Picture => picture(ui, about.settings),
        });
        asked
    }

    fn keys(&mut self, ui: &mut Ui, about: &mut About<'_>) {
        ui.label(RichText::new(HELP).small().color(QUIET));
        for line in binding::key_lines(about.settings, about.layout) {
            self.line(ui, &line, about.settings);
        }
        let keyboard = &mut about.settings.keyboard;
        let speed = keyboard.turn_speed;
        let slider = Slider::new(&mut keyboard.turn_speed, 0.0..=1.0);
        number(ui, "Turning speed", slider, &format!("{speed:.2} of the full turn"));
        if ui.button("All keys as usual").clicked() {
            about.settings.keyboard = <_>::default();
            about.settings.window = <_>::default();
        }
    }

    fn gamepad(&mut self, ui: &mut Ui, about: &mut About<'_>) {
        ui.ctx().request_repaint_after(LOOK);
        let dead_zone = about.settings.pad.dead_zone;
        match &about.pad {
            Some((name, pad)) => {
                self.bind_moved(pad, about.settings);
                ui.label(format!("{name}: touch another one to use that"));
                draw_pad(ui, pad, dead_zone);
            }
            None => _ = ui.label(RichText::new("No gamepad is connected.").color(QUIET)),
        }
        let pad = &mut about.settings.pad;
        let (zone, exponent) = (pad.dead_zone, pad.turn_exponent);
        number(ui, "Dead zone", Slider::new(&mut pad.dead_zone, 0.0..=0.9), &format!("{zone:.2}"));
        let slider = Slider::new(&mut pad.turn_exponent, 0.25..=8.0).logarithmic(true);
        number(ui, "Fine turning", slider, &format!("{exponent:.2}"));
        ui.label(RichText::new(HELP).small().color(QUIET));
        for line in binding::pad_lines(about.settings, about.layout) {
            self.line(ui, &line, about.settings);
        }
        if ui.button("Gamepad as usual").clicked() {
            about.settings.pad = <_>::default();
        }
    }

    /// Binds the part of the pad that is moved, when one is waited for.
    fn bind_moved(&mut self, pad: &PadState, settings: &mut Settings) {
        let Some(waiting @ Waiting { slot: Slot::Pad(_), .. }) = &mut self.waiting else { return };
        let moved = pad.clearest(settings.pad.dead_zone);
        match moved {
            Some(input) if waiting.rested => {
                binding::bind_pad(settings, waiting.slot, waiting.how, input);
                self.waiting = None;
            }
            Some(_) => {}
            None => waiting.rested = true,
        }
    }

    /// A name, what is bound to it as a button that binds something else, and one that binds something besides.
    fn line(&mut self, ui: &mut Ui, line: &Line, settings: &mut Settings) {
        let waits = self.waiting.as_ref().is_some_and(|waiting| waiting.slot == line.slot);
        ui.horizontal(|ui| {
            label(ui, &line.name);
            let room = (ui.available_width() - 40.0).max(60.0);
            let (words, colour) = match (waits, &line.slot) {
                (true, Slot::Pad(_)) => ("move or press it ...   Esc: as it was", YELLOW),
                (true, _) => ("press a key ...   Esc: as it was", YELLOW),
                (false, _) if line.bound.is_empty() => ("nothing", QUIET),
                (false, _) => (line.bound.as_str(), TEXT),
            };
            let button = Button::new(RichText::new(words).color(colour)).truncate();
            let instead = ui.add_sized([room, ui.spacing().interact_size.y], button);
            follow_focus(&instead, false);
            // By keyboard there is Insert for it: the focus has half as far to go.
            let besides = ui.add(Button::new("+").sense(Sense::CLICK));
            let pressed =
                |key| instead.has_focus() && ui.input(|input| input.key_pressed(key)) && !waits;
            let how = match () {
                () if instead.clicked() => Some(How::Instead),
                () if besides.clicked() || pressed(egui::Key::Insert) => Some(How::Besides),
                () => None,
            };
            if let Some(how) = how {
                self.waiting = Some(Waiting { slot: line.slot, how, rested: false });
            } else if pressed(egui::Key::Delete) {
                binding::clear(settings, line.slot);
            }
        });
        if !line.clashes.is_empty() {
            ui.horizontal(|ui| {
                label(ui, "");
                let words = format!("! the same as: {}", line.clashes.join(", "));
                ui.label(RichText::new(words).small().color(ORANGE));
            });
        }
    }
}

fn mouse(ui: &mut Ui, settings: &mut Settings) {
    let speed = settings.mouse.degrees_per_pixel;
    let slider = Slider::new(&mut settings.mouse.degrees_per_pixel, 0.0..=10.0);
    let slider = slider.logarithmic(true).smallest_positive(0.01);
    number(ui, "Speed", slider, &format!("{speed:.3} degrees a pixel"));
    let response = ui.checkbox(&mut settings.mouse.inverted, "Moving it down looks up");
    follow_focus(&response, false);
    ui.label(
        RichText::new("A click on the picture takes the mouse; Esc gives it back.").color(QUIET),
    );
    if ui.button("Mouse as usual").clicked() {
        settings.mouse = <_>::default();
    }
}

fn picture(ui: &mut Ui, settings: &mut Settings) {
    for (scaling, name) in [
        (PictureScaling::Auto, "By itself: smooth on a graphics card, else sharp"),
        (PictureScaling::Nearest, "Sharp"),
        (PictureScaling::Crisp, "Crisp: sharp, and all pixels of one size"),
        (PictureScaling::Smooth, "Smooth"),
    ] {
        let response = ui.radio_value(&mut settings.scaling, scaling, name);
        follow_focus(&response, false);
    }
    ui.add_space(6.0);
    let response = ui.checkbox(&mut settings.full_screen, "Full screen (F11)");
    follow_focus(&response, false);
}

/// A name in a column of its own.
fn label(ui: &mut Ui, name: &str) {
    let size = vec2(NAMES.min(ui.available_width() / 3.0), ui.spacing().interact_size.y);
    let layout = egui::Layout::left_to_right(egui::Align::Center);
    ui.allocate_ui_with_layout(size, layout, |ui| {
        ui.set_min_width(size.x);
        ui.add(egui::Label::new(name).truncate());
    });
}

/// A number by its slider, which arrows to the side move; its value stands beside it.
fn number(ui: &mut Ui, name: &str, slider: Slider<'_>, value: &str) {
    ui.horizontal(|ui| {
        label(ui, name);
        let response = ui.add(slider.show_value(false));
        follow_focus(&response, false);
        ui.label(value);
    });
}

/// Sticks with their dead zone, triggers as bars, and what is pressed in words.
fn draw_pad(ui: &mut Ui, pad: &PadState, dead_zone: f32) {
    let (place, _) = ui.allocate_exact_size(vec2(230.0, 64.0), Sense::hover());
    let line = Stroke::new(1.5, TEXT);
    let painter = ui.painter();
    for (x, (right, up)) in [(32.0, pad.left), (110.0, pad.right)] {
        let (centre, radius) = (place.min + vec2(x, 32.0), 28.0);
        painter.circle_stroke(centre, radius, line);
        painter.circle_filled(centre, radius * dead_zone, Color32::from_gray(90));
        let tip: Pos2 = centre + vec2(right, -up) * radius;
        painter.line_segment([centre, tip], line);
        painter.circle_filled(tip, 5.0, SKY_BLUE);
    }
    for (x, pulled) in [(160.0, pad.triggers.0), (190.0, pad.triggers.1)] {
        let bar = Rect::from_min_size(place.min + vec2(x, 4.0), vec2(14.0, 56.0));
        painter.rect_stroke(bar, 2.0, line, StrokeKind::Inside);
        let top = bar.max.y - bar.height() * pulled.clamp(0.0, 1.0);
        painter.rect_filled(Rect::from_min_max(pos2(bar.min.x, top), bar.max), 2.0, SKY_BLUE);
        let rest = bar.max.y - bar.height() * dead_zone;
        painter.hline(bar.x_range(), rest, Stroke::new(1.0, Color32::from_gray(140)));
    }
    let moved = pad.clearest(dead_zone).map(|input| input.to_string()).unwrap_or_default();
    ui.label(format!("moved: {moved}"));
}
