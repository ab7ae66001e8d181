//! Something to choose, as a picture with words beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use egui::{
    Color32, ColorImage, Context, Frame, Rect, Response, Sense, Stroke, StrokeKind, TextureHandle,
    TextureOptions, Ui, Vec2, pos2, vec2,
};

use crate::present::palette::{QUIET, YELLOW};

/// Size of a picture in points, at most.
const PICTURE: Vec2 = vec2(128.0, 96.0);

/// Pictures of what is listed, by its folder.
#[derive(Default)]
pub(super) struct Pictures(BTreeMap<PathBuf, TextureHandle>);

impl Pictures {
    /// The picture of `folder`, which is `frame`.
    pub(super) fn get(
        &mut self,
        ctx: &Context,
        folder: &Path,
        frame: &input::Frame,
    ) -> &TextureHandle {
        self.0.entry(folder.to_owned()).or_insert_with(|| {
            let size = [frame.width as usize, frame.height as usize];
            let image = ColorImage::from_rgb(size, &frame.pixels);
            ctx.load_texture(folder.display().to_string(), image, TextureOptions::LINEAR)
        })
    }
}

/// Shows a card; it is pressed like a button.
pub(super) fn show(
    ui: &mut Ui,
    folder: &Path,
    picture: Option<&TextureHandle>,
    words: impl FnOnce(&mut Ui),
) -> Response {
    let inside = Frame::new().inner_margin(6).show(ui, |ui| {
        ui.horizontal_top(|ui| {
            // Words need room too.
            let scale = (ui.available_width() / 3.0 / PICTURE.x).clamp(0.3, 1.0);
            let (place, _) = ui.allocate_exact_size(PICTURE * scale, Sense::hover());
            draw(ui, place, picture);
            ui.vertical(|ui| {
                ui.style_mut().wrap_mode = Some(egui::TextWrapMode::Wrap);
                ui.spacing_mut().item_spacing.y = 2.0;
                ui.set_min_width(ui.available_width());
                words(ui);
            });
        });
    });
    let area = inside.response.rect;
    let response = ui.interact(area, ui.scope_id().with(folder), Sense::click());
    let line = match (response.has_focus(), response.hovered()) {
        (true, _) => Stroke::new(2.0, YELLOW),
        (false, true) => Stroke::new(1.0, Color32::WHITE),
        (false, false) => Stroke::new(1.0, Color32::from_gray(70)),
    };
    ui.painter().rect_stroke(area, 4.0, line, StrokeKind::Inside);
    response
}

/// The picture in its own shape, in the middle of `place`; without one, an empty frame.
fn draw(ui: &Ui, place: Rect, picture: Option<&TextureHandle>) {
    let Some(picture) = picture else {
        ui.painter().rect_stroke(place, 2.0, Stroke::new(1.0, QUIET), StrokeKind::Inside);
        return;
    };
    let size = picture.size_vec2();
    let scale = (place.size() / size).min_elem();
    let area = Rect::from_center_size(place.center(), size * scale);
    let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
    ui.painter().image(picture.id(), area, whole, Color32::WHITE);
}
