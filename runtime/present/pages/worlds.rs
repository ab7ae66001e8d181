//! Worlds to walk in.

use std::path::PathBuf;

use egui::{RichText, Ui};

use super::card::{self, Pictures};
use super::{Ask, follow_focus, heading, scrolled};
use crate::present::fetch::Fetch;
use crate::present::palette::{ORANGE, QUIET};
use crate::present::window::Goal;
use crate::worlds::{self, Listed};

/// Worlds as they are found.
#[derive(Default)]
pub(super) struct WorldsPage {
    found: Option<Fetch<Listed>>,
    pictures: Pictures,
}

impl WorldsPage {
    /// Looks for worlds anew: those that came with the program and this one.
    pub(super) fn read(&mut self, wake: impl Fn() + Send + 'static, own: Option<PathBuf>) {
        let own: Vec<_> = own.into_iter().collect();
        self.found = Some(Fetch::begin(wake, move |tell| worlds::list(&own, tell)));
    }

    /// Shows what was found.
    pub(super) fn show(&mut self, ui: &mut Ui, fresh: bool) -> Option<Ask> {
        let mut asked = heading(ui, "Worlds").then_some(Ask::Back);
        let Some(found) = self.found.as_ref().map(Fetch::get) else { return asked };
        if !found.complete && found.things.is_empty() {
            ui.label("looking for worlds ...");
        }
        scrolled(ui, "worlds", |ui| {
            let none_focused = ui.memory(|memory| memory.focused().is_none());
            for (at, world) in found.things.iter().enumerate() {
                let picture = world.picture.as_ref();
                let picture = picture.map(|frame| self.pictures.get(ui.ctx(), &world.dir, frame));
                let response = card::show(ui, &world.dir, picture, |ui| describe(ui, world));
                follow_focus(&response, at == 0 && (fresh || none_focused));
                if response.clicked() && world.described.is_ok() {
                    asked = Some(Ask::Go(Goal::World(world.dir.clone())));
                }
            }
        });
        asked
    }
}

fn describe(ui: &mut Ui, world: &Listed) {
    match &world.described {
        Ok(about) => {
            ui.label(RichText::new(&about.title).strong().size(16.0));
            ui.label(&about.description);
            let size = size(world.bytes);
            let (width, height, fps) = (about.width, about.height, about.fps);
            ui.label(format!("{width} x {height}, {fps} frames/s, {size}"));
            for credit in &about.credits {
                ui.label(RichText::new(credit).small().color(QUIET));
            }
        }
        Err(fault) => {
            ui.label(RichText::new(&world.name).strong().size(16.0));
            ui.label(RichText::new(format!("cannot be used: {fault}")).color(ORANGE));
        }
    }
}

/// A number of bytes for people.
fn size(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1 << 20))
}
