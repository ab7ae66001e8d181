//! What is done before a walk begins, as a bar that fills.

use egui::{Align2, Color32, ProgressBar, RichText, Ui};

use super::palette::{GREEN, QUIET};
use crate::walk::ENDING;
use crate::world::STAGES;

/// How far the opening of a world has come.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StartUp {
    /// What is being done.
    stage: String,
    /// Share of the bar that is full.
    share: f32,
}

impl StartUp {
    /// Nothing has been told yet.
    pub(super) fn new() -> Self {
        Self { stage: "opening".into(), share: 0.0 }
    }

    /// Takes what is being done now. Something that is no stage of a world is named, and moves nothing.
    pub(super) fn tell(&mut self, stage: String) {
        self.share = share(&stage).unwrap_or(self.share);
        self.stage = stage;
    }

    /// Shows name, bar and stage.
    pub(super) fn show(&self, ui: &mut Ui) {
        ui.set_width(260.0);
        ui.vertical_centered(|ui| {
            ui.label(RichText::new("Oneiro").heading());
            ui.visuals_mut().extreme_bg_color = Color32::from_gray(60);
            let bar = ProgressBar::new(self.share).fill(GREEN).desired_height(10.0);
            ui.add(bar);
            ui.label(RichText::new(format!("{} ...", self.stage)).color(QUIET));
        });
    }

    /// Where it is shown.
    pub(super) const PLACE: Align2 = Align2::CENTER_CENTER;
}

/// Share of the work that lies before a stage; a stage that is begun is shown as half done, so that the bar moves
/// from the first one on.
fn share(stage: &str) -> Option<f32> {
    if stage == ENDING {
        return Some(0.0);
    }
    let at = STAGES.iter().position(|known| *known == stage)?;
    #[expect(clippy::cast_precision_loss, reason = "a handful of stages")]
    Some((at as f32 + 0.5) / STAGES.len() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_stage_by_stage_and_notices_leave_it_alone() {
        let mut start_up = StartUp::new();
        let mut before = start_up.share;
        for stage in STAGES {
            start_up.tell(stage.into());
            assert!(start_up.share > before && start_up.share < 1.0, "{start_up:?}");
            before = start_up.share;
            start_up.tell("no GPU: using the processor".into());
            assert_eq!(start_up.share, before);
        }
        start_up.tell(ENDING.into());
        assert_eq!(start_up.share, 0.0, "another world is opened from the beginning");
    }
}
