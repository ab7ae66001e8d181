//! The colours of all that is written over the picture, and how pages look.
//!
//! They are those of M. Okabe and K. Ito, *Color Universal Design*, 2008
//! (<https://jfly.uni-koeln.de/color/>), which the colour-blind tell apart. Nothing is told by
//! colour alone: words or shapes say the same.

use egui::{Color32, Context, FontFamily, FontId, Stroke, TextStyle, vec2};

/// Something to look at first: what is chosen, what came from an earlier walk.
pub(super) const YELLOW: Color32 = Color32::from_rgb(240, 228, 66);
/// Something new, or a clash.
pub(super) const ORANGE: Color32 = Color32::from_rgb(230, 159, 0);
/// Something kept, or moved.
pub(super) const SKY_BLUE: Color32 = Color32::from_rgb(86, 180, 233);
/// Recording.
pub(super) const VERMILLION: Color32 = Color32::from_rgb(213, 94, 0);
/// Progress.
pub(super) const GREEN: Color32 = Color32::from_rgb(0, 158, 115);
/// Text.
pub(super) const TEXT: Color32 = Color32::from_gray(235);
/// Text of less weight.
pub(super) const QUIET: Color32 = Color32::from_gray(170);
/// What lies under text that is over the picture.
pub(super) const SHADE: Color32 = Color32::from_black_alpha(210);
/// What lies under pages: the picture is there, and does not disturb.
pub(super) const PAGE: Color32 = Color32::from_black_alpha(225);

/// Makes widgets large enough for a game's pages, and the one with the focus plain to see.
pub(super) fn dress(ctx: &Context) {
    ctx.set_theme(egui::Theme::Dark);
    ctx.all_styles_mut(|style| {
        let font = |size| FontId::new(size, FontFamily::Proportional);
        style.text_styles.insert(TextStyle::Heading, font(22.0));
        style.text_styles.insert(TextStyle::Body, font(14.0));
        style.text_styles.insert(TextStyle::Button, font(14.0));
        style.text_styles.insert(TextStyle::Small, font(11.0));
        style.spacing.button_padding = vec2(8.0, 4.0);
        style.spacing.interact_size.y = 24.0;
        style.interaction.selectable_labels = false;
        let visuals = &mut style.visuals;
        visuals.override_text_color = Some(TEXT);
        visuals.widgets.active.bg_stroke = Stroke::new(2.0, YELLOW);
        visuals.widgets.hovered.bg_stroke = Stroke::new(1.0, TEXT);
        visuals.selection.bg_fill = Color32::from_rgb(0, 90, 140);
        visuals.slider_trailing_fill = true;
    });
    // One pass for each drawing: what is asked for on a page is asked once.
    ctx.options_mut(|options| options.max_passes = std::num::NonZero::<usize>::MIN);
}
