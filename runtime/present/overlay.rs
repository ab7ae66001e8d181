//! What is written over the picture: start-up, help, figures, notices.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use egui::{Align2, Context, Frame, Id, RichText, Ui, vec2};
use input::{Acts, Key};

use super::hint::Hint;
use super::memory::MemoryPanel;
use super::palette::{SHADE, TEXT, VERMILLION};
use super::start_up::StartUp;
use crate::stats::Lately;
use crate::view::MemoryView;

/// How long a notice stays.
const NOTICE_TIME: Duration = Duration::from_secs(6);
/// Most notices shown at once; the oldest goes first.
const NOTICES: usize = 4;
/// Distance from the window's edge in points.
const MARGIN: f32 = 10.0;
/// Widest a line gets, in points; longer ones are wrapped.
const LINE: f32 = 420.0;

/// Everything the overlay shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Overlay {
    /// The help is open.
    pub(super) help: bool,
    /// The figures are open.
    pub(super) figures: bool,
    /// The walk is paused.
    pub(super) paused: bool,
    /// Memory at work is shown.
    pub(super) watching: bool,
    /// The newest view of it.
    pub(super) memory: Option<Arc<MemoryView>>,
    panel: MemoryPanel,
    /// The walk is being recorded.
    pub(super) recording: bool,
    /// What is being done before the walk can begin.
    pub(super) starting: Option<StartUp>,
    /// The first walk's hint, and the keys that it draws.
    pub(super) hint: Option<(Hint, Acts<Key>)>,
    /// Why the walk ended, if it failed.
    pub(super) failed: Option<String>,
    /// The last few seconds' figures.
    pub(super) lately: Lately,
    /// Frames that came too late to be shown.
    pub(super) skipped: u64,
    /// Name of what draws.
    pub(super) adapter: String,
    notices: VecDeque<(Duration, String)>,
}

impl Overlay {
    /// Nothing is there yet, and `adapter` draws.
    pub(super) fn opening(adapter: &str) -> Self {
        let starting = Some(StartUp::new());
        Self { starting, adapter: adapter.to_owned(), ..Self::default() }
    }

    /// Shows a notice for a few seconds from `now` on.
    pub(super) fn notice(&mut self, now: Duration, text: String) {
        if self.notices.len() == NOTICES {
            self.notices.pop_front();
        }
        self.notices.push_back((now + NOTICE_TIME, text));
    }

    /// Forgets notices whose time is over; says when the next one's will be.
    pub(super) fn expire(&mut self, now: Duration) -> Option<Duration> {
        self.notices.retain(|(until, _)| *until > now);
        self.notices.front().map(|(until, _)| *until)
    }

    /// Writes everything, at time `now` of the walk.
    pub(super) fn show(&mut self, ctx: &Context, keys: &[(String, String)], now: Duration) {
        if let Some(reason) = &self.failed {
            centre(ctx, |ui| {
                ui.label(RichText::new("The dream ended").heading());
                ui.set_width(LINE);
                ui.style_mut().wrap_mode = Some(egui::TextWrapMode::Wrap);
                ui.label(reason);
                ui.label("Esc opens the menu");
            });
        } else if let Some(start_up) = &self.starting {
            area(ctx, "start-up", StartUp::PLACE, |ui| start_up.show(ui));
        } else if self.paused {
            area(ctx, "paused", Align2::CENTER_TOP, |ui| {
                ui.label("paused");
            });
        }
        if self.recording {
            area(ctx, "recording", Align2::RIGHT_TOP, |ui| {
                ui.horizontal(|ui| {
                    let (dot, _) = ui.allocate_exact_size(vec2(10.0, 10.0), egui::Sense::hover());
                    ui.painter().circle_filled(dot.center(), 5.0, VERMILLION);
                    ui.label(RichText::new("REC").strong());
                });
            });
        }
        if self.figures {
            area(ctx, "figures", Align2::LEFT_TOP, |ui| self.show_figures(ui));
        }
        if let (true, Some(view)) = (self.watching, &self.memory) {
            let panel = &mut self.panel;
            area(ctx, "memory", Align2::RIGHT_BOTTOM, |ui| panel.show(ui, view, now));
        }
        // It says what the help says too, and would lie under memory at work.
        let covered = self.help || self.watching;
        if let (None, false, Some((hint, keys))) = (&self.starting, covered, &self.hint) {
            bare(ctx, "hint", Align2::CENTER_BOTTOM, |ui| hint.show(ui, keys, now));
        }
        if self.help {
            centre(ctx, |ui| show_keys(ui, keys));
        }
        self.show_notices(ctx);
    }

    /// Writes the notices alone.
    pub(super) fn show_notices(&self, ctx: &Context) {
        if self.notices.is_empty() {
            return;
        }
        area(ctx, "notices", Align2::LEFT_BOTTOM, |ui| {
            ui.style_mut().wrap_mode = Some(egui::TextWrapMode::Wrap);
            ui.set_max_width(LINE.min(ui.ctx().content_rect().width() - 4.0 * MARGIN));
            for (_, text) in &self.notices {
                ui.label(text);
            }
        });
    }

    fn show_figures(&self, ui: &mut Ui) {
        let lately = &self.lately;
        ui.monospace(format!("{:6.1} frames/s", lately.fps));
        ui.monospace("   p50    p95    p99 ms");
        for (name, [median, p95, p99]) in [
            ("touch to screen", lately.touch_to_present),
            ("controls to screen", lately.input_to_present),
        ] {
            ui.monospace(format!("{} {:6.1} {name}", times(median, p95), p99.as_secs_f64() * 1e3));
        }
        ui.monospace(format!("{} late, {} skipped", lately.late, self.skipped));
        ui.monospace(format!("{} memories lost", lately.memory_lost));
        ui.separator();
        ui.monospace("   p50    p95 ms");
        for (name, median, p95) in &lately.stages {
            ui.monospace(format!("{} {name}", times(*median, *p95)));
        }
        ui.separator();
        ui.monospace(&self.adapter);
    }
}

fn times(median: Duration, p95: Duration) -> String {
    format!("{:6.1} {:6.1}", median.as_secs_f64() * 1e3, p95.as_secs_f64() * 1e3)
}

fn show_keys(ui: &mut Ui, keys: &[(String, String)]) {
    egui::Grid::new("keys").num_columns(2).spacing(vec2(24.0, 0.0)).show(ui, |ui| {
        for (key, meaning) in keys {
            ui.strong(key);
            ui.label(meaning);
            ui.end_row();
        }
    });
}

fn centre(ctx: &Context, contents: impl FnOnce(&mut Ui)) {
    area(ctx, "centre", Align2::CENTER_CENTER, contents);
}

/// A dark, see-through panel at one side of the window.
pub(super) fn area(ctx: &Context, name: &str, side: Align2, contents: impl FnOnce(&mut Ui)) {
    bare(ctx, name, side, |ui| {
        Frame::new().fill(SHADE).corner_radius(4).inner_margin(8).show(ui, |ui| {
            ui.style_mut().wrap_mode = Some(egui::TextWrapMode::Extend);
            ui.visuals_mut().override_text_color = Some(TEXT);
            contents(ui);
        });
    });
}

/// Contents at one side of the window, without anything behind them.
fn bare(ctx: &Context, name: &str, side: Align2, contents: impl FnOnce(&mut Ui)) {
    let to_sign = side.to_sign();
    let area = egui::Area::new(Id::unique(name)).anchor(side, to_sign * -MARGIN);
    area.interactable(false).show(ctx, contents);
}

#[cfg(test)]
mod tests {
    use input::Frame;
    use memory::FrameId;

    use super::*;
    use crate::view::{PackedGroup, Seen};

    /// The words an overlay puts on a screen of 800 by 600 points.
    fn words(overlay: &mut Overlay) -> String {
        let ctx = Context::default();
        let screen = egui::Rect::from_min_size(egui::Pos2::ZERO, vec2(800.0, 600.0));
        let mut text = String::new();
        // The first pass only measures the areas; the second one shows them.
        for _ in 0..2 {
            let input = egui::RawInput { screen_rect: Some(screen), ..Default::default() };
            let mut output = ctx.run_ui(input, |ui| {
                overlay.show(ui.ctx(), &[("F1".into(), "this help".into())], Duration::ZERO);
            });
            text.clear();
            for shape in &output.shapes {
                collect(&shape.shape, &mut text);
            }
            output.textures_delta.clear();
        }
        text
    }

    fn collect(shape: &egui::Shape, text: &mut String) {
        match shape {
            egui::Shape::Text(shape) => {
                text.push_str(shape.galley.text());
                text.push('\n');
            }
            egui::Shape::Vec(shapes) => shapes.iter().for_each(|shape| collect(shape, text)),
            _ => {}
        }
    }

    #[test]
    fn an_overlay_at_rest_writes_nothing() {
        assert_eq!(words(&mut Overlay::default()), "");
    }

    #[test]
    fn each_state_is_written_in_words() {
        let base = Overlay::default();
        let mut start_up = StartUp::new();
        start_up.tell("reading weights".into());
        let cases = [
            (Overlay { starting: Some(start_up), ..base.clone() }, "reading weights ..."),
            (
                Overlay { failed: Some("stage encode: no".into()), ..base.clone() },
                "stage encode: no",
            ),
            (Overlay { paused: true, ..base.clone() }, "paused"),
            (Overlay { recording: true, ..base.clone() }, "REC"),
            (Overlay { help: true, ..base.clone() }, "this help"),
            (Overlay { figures: true, adapter: "llvmpipe".into(), ..base }, "llvmpipe"),
        ];
        for (mut overlay, expected) in cases {
            let words = words(&mut overlay);
            assert!(words.contains(expected), "{expected:?} is not in {words:?}");
        }
    }

    #[test]
    fn the_hint_draws_the_keys_that_are_bound_once_the_world_is_there() {
        let keys = Acts { forward: vec![Key::I], ..Acts::default() };
        let hint = Some((Hint::default(), keys));
        let mut overlay = Overlay { hint, starting: Some(StartUp::new()), ..Overlay::default() };
        assert!(!words(&mut overlay).contains("I\n"));
        overlay.starting = None;
        let shown = words(&mut overlay);
        for key in ["I\n", "A\n", "S\n", "D\n"] {
            assert!(shown.contains(key), "{key:?} is not in {shown:?}");
        }
    }

    #[test]
    fn memory_is_told_by_kernel_age_and_score() {
        let group = |kernel, frame, seen, score| PackedGroup {
            kernel,
            frame: FrameId(frame),
            seen,
            score,
            reused: frame % 2 == 0,
            picture: Some(Arc::new(Frame::filled(4, 3, [9; 3]))),
        };
        let groups = vec![
            group(1, 90, Seen::Ago(0.06), None),
            group(4, 70, Seen::Ago(90.0), None),
            group(1, 5, Seen::Earlier, Some(0.875)),
            group(1, 6, Seen::Recorded, Some(2.5)),
        ];
        let painted_over = Some(Arc::new(Frame::filled(4, 3, [7; 3])));
        let memory = Some(Arc::new(MemoryView { remembered: 1234, painted_over, groups }));
        let mut overlay = Overlay { memory, watching: true, ..Overlay::default() };
        let shown = words(&mut overlay);
        for expected in [
            "1234 frames",
            "the atlas from here",
            "k1",
            "k4",
            "0.1 s",
            "2 min",
            "earlier 0.88",
            "atlas 2.50",
        ] {
            assert!(shown.contains(expected), "{expected:?} is not in {shown:?}");
        }
        overlay.watching = false;
        assert_eq!(words(&mut overlay), "");
    }

    #[test]
    fn notices_come_few_and_go_in_time() {
        let mut overlay = Overlay::default();
        for number in 0..=NOTICES {
            overlay.notice(Duration::from_secs(1), format!("notice {number}"));
        }
        let shown = words(&mut overlay);
        assert!(!shown.contains("notice 0") && shown.contains("notice 4"), "{shown}");
        assert_eq!(overlay.expire(Duration::from_secs(2)), Some(Duration::from_secs(7)));
        assert_eq!(overlay.expire(Duration::from_secs(7)), None);
        assert_eq!(words(&mut overlay), "");
    }
}
