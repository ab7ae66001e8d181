//! Memory at work, drawn: what a section is made from, the finer the kernel the larger.

use std::collections::BTreeMap;
use std::time::Duration;

use egui::{
    Color32, ColorImage, Context, Rect, RichText, Sense, Stroke, StrokeKind, TextureHandle,
    TextureOptions, Ui, pos2, vec2,
};
use input::Frame;
use memory::FrameId;

use super::palette::{ORANGE as ENCODED, SKY_BLUE as REUSED, YELLOW as EARLIER};
use crate::view::{MemoryView, PackedGroup, Seen};

/// Width of a picture of kernel 1 in points.
const FINEST: f32 = 52.0;
/// How long a frame of an earlier walk flashes when it comes back.
const FLASH: Duration = Duration::from_millis(900);
/// All of a texture.
const WHOLE: Rect = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));

/// The panel's pictures, and which of them flash.
#[derive(Clone, Default)]
pub(super) struct MemoryPanel {
    textures: BTreeMap<FrameId, TextureHandle>,
    /// What was painted over.
    painted_over: Option<TextureHandle>,
    /// Frames of earlier walks that are packed now, and since when.
    back_since: BTreeMap<FrameId, Duration>,
}

impl MemoryPanel {
    /// Lays the panel out.
    pub(super) fn show(&mut self, ui: &mut Ui, view: &MemoryView, now: Duration) {
        self.follow(ui.ctx(), view, now);
        ui.label(format!("{} frames remembered; this picture is made from", view.remembered));
        if let Some(texture) = &self.painted_over {
            ui.horizontal(|ui| {
                let (place, _) =
                    ui.allocate_exact_size(vec2(FINEST, 0.75 * FINEST), Sense::hover());
                ui.painter().image(texture.id(), place, WHOLE, Color32::WHITE);
                ui.label(RichText::new("the atlas from here, painted over").small());
            });
        }
        let mut kernels: Vec<usize> = view.groups.iter().map(|group| group.kernel).collect();
        kernels.sort_unstable();
        kernels.dedup();
        for kernel in kernels {
            ui.horizontal(|ui| {
                ui.monospace(format!("k{kernel}"));
                for group in view.groups.iter().filter(|group| group.kernel == kernel) {
                    self.show_group(ui, group, now);
                }
            });
        }
        ui.horizontal(|ui| {
            for (colour, meaning) in
                [(REUSED, "kept"), (ENCODED, "encoded anew"), (EARLIER, "from an earlier walk")]
            {
                let (patch, _) = ui.allocate_exact_size(vec2(8.0, 8.0), Sense::hover());
                ui.painter().rect_filled(patch, 0.0, colour);
                ui.label(RichText::new(meaning).small());
            }
        });
    }

    /// Lets go of what is no longer packed, takes up what is new.
    fn follow(&mut self, ctx: &Context, view: &MemoryView, now: Duration) {
        self.painted_over = view.painted_over.as_ref().map(|picture| load(ctx, picture));
        let packed = |frame: &FrameId| view.groups.iter().any(|group| group.frame == *frame);
        self.textures.retain(|frame, _| packed(frame));
        self.back_since.retain(|frame, _| packed(frame));
        for group in &view.groups {
            if group.seen == Seen::Earlier {
                self.back_since.entry(group.frame).or_insert(now);
            }
            if let Some(picture) = &group.picture {
                self.textures.entry(group.frame).or_insert_with(|| load(ctx, picture));
            }
        }
    }

    fn show_group(&self, ui: &mut Ui, group: &PackedGroup, now: Duration) {
        ui.vertical(|ui| {
            ui.spacing_mut().item_spacing.y = 1.0;
            // Coarser kernels see less, and are drawn smaller, though not so small that nothing is seen.
            #[expect(clippy::cast_precision_loss, reason = "kernels are short")]
            let width = FINEST / (group.kernel as f32).powf(0.4);
            let (place, _) = ui.allocate_exact_size(vec2(width, 0.75 * width), Sense::hover());
            match self.textures.get(&group.frame) {
                Some(texture) => ui.painter().image(texture.id(), place, WHOLE, Color32::WHITE),
                None => ui.painter().rect_filled(place, 0.0, Color32::DARK_GRAY),
            };
            let (colour, thick) = if group.reused { (REUSED, 1.0) } else { (ENCODED, 2.0) };
            let line = Stroke::new(thick, colour);
            ui.painter().rect_stroke(place, 0.0, line, StrokeKind::Outside);
            if let Some(since) = self.back_since.get(&group.frame) {
                let left = 1.0 - now.saturating_sub(*since).as_secs_f32() / FLASH.as_secs_f32();
                let flash = EARLIER.gamma_multiply(0.6 * left.max(0.0));
                ui.painter().rect_filled(place, 0.0, flash);
                let line = Stroke::new(2.0, EARLIER);
                ui.painter().rect_stroke(place.expand(2.0), 0.0, line, StrokeKind::Outside);
            }
            ui.label(RichText::new(caption(group)).small());
        });
    }
}

impl std::fmt::Debug for MemoryPanel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryPanel").field("back_since", &self.back_since).finish_non_exhaustive()
    }
}

/// How old a group is, and what the ranking gave it.
fn caption(group: &PackedGroup) -> String {
    let age = match group.seen {
        Seen::Earlier => "earlier".to_owned(),
        Seen::Recorded => "atlas".to_owned(),
        Seen::Ago(seconds) if seconds < 60.0 => format!("{seconds:.1} s"),
        Seen::Ago(seconds) => format!("{:.0} min", seconds / 60.0),
    };
    group.score.map_or(age.clone(), |score| format!("{age} {score:.2}"))
}

fn load(ctx: &Context, picture: &Frame) -> TextureHandle {
    let size = [picture.width as usize, picture.height as usize];
    let image = ColorImage::from_rgb(size, &picture.pixels);
    ctx.load_texture("memory", image, TextureOptions::LINEAR)
}
