//! The menu: what can be done.

use egui::{Button, RichText, Ui, vec2};

use super::{About, Ask, Page, follow_focus};
use crate::present::palette::QUIET;

/// Size of a button in points; what is larger than the window shrinks with it.
const SIZE: egui::Vec2 = vec2(240.0, 34.0);

/// Shows the menu. When it has just been turned to, `from` is the page before, whose entry gets the focus.
pub(super) fn show(ui: &mut Ui, from: Option<Option<Page>>, about: &About<'_>) -> Option<Ask> {
    super::scrolled(ui, "menu", |ui| {
        ui.vertical_centered(|ui| {
            let entries = [
                ("Continue", Ask::Continue, about.can_continue),
                ("Worlds", Ask::Turn(Page::Worlds), true),
                ("Sessions", Ask::Turn(Page::Sessions), true),
                ("Settings", Ask::Turn(Page::Settings), true),
                ("Leave", Ask::Leave, true),
            ];
            // In the middle of the window, where there is more room than the menu needs.
            let needed = 70.0 + 5.0 * (SIZE.y + ui.spacing().item_spacing.y);
            ui.add_space(((ui.clip_rect().height() - needed) / 2.0).max(0.0));
            ui.label(RichText::new("Oneiro").heading());
            ui.label(RichText::new(about.title).color(QUIET));
            ui.add_space(8.0);
            let mut asked = None;
            let first = if about.can_continue { Ask::Continue } else { Ask::Turn(Page::Worlds) };
            let focused = from.map(|from| from.map_or(first, Ask::Turn));
            for (name, ask, usable) in entries {
                let size = vec2(SIZE.x.min(ui.available_width()), SIZE.y);
                let response = ui.add_enabled(usable, Button::new(name).min_size(size));
                follow_focus(&response, focused.as_ref() == Some(&ask));
                if response.clicked() {
                    asked = Some(ask);
                }
            }
            asked
        })
        .inner
    })
}
