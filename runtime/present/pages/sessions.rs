//! Recorded sessions.

use std::path::{Path, PathBuf};

use egui::{RichText, Ui};

use super::card::{self, Pictures};
use super::{Ask, follow_focus, heading, scrolled};
use crate::present::fetch::Fetch;
use crate::present::palette::{ORANGE, QUIET};
use crate::present::window::Goal;
use crate::sessions::{self, Held, Listed};

/// Sessions as they are found.
#[derive(Default)]
pub(super) struct SessionsPage {
    folder: PathBuf,
    found: Option<Fetch<Listed>>,
    pictures: Pictures,
}

impl SessionsPage {
    /// Looks for sessions anew.
    pub(super) fn read(&mut self, wake: impl Fn() + Send + 'static, folder: PathBuf) {
        self.folder.clone_from(&folder);
        self.found = Some(Fetch::begin(wake, move |tell| sessions::list(&folder, tell)));
    }

    /// Shows what was found; pressing a session shows it again.
    pub(super) fn show(&mut self, ui: &mut Ui, fresh: bool) -> Option<Ask> {
        let mut asked = heading(ui, "Sessions").then_some(Ask::Back);
        let Some(found) = self.found.as_ref().map(Fetch::get) else { return asked };
        match (found.complete, found.things.is_empty()) {
            (false, _) => _ = ui.label("looking for sessions ..."),
            (true, true) => _ = ui.label(nothing(&self.folder)),
            (true, false) => _ = ui.label("Enter: watch it again   O: show its folder"),
        }
        scrolled(ui, "sessions", |ui| {
            let none_focused = ui.memory(|memory| memory.focused().is_none());
            for (at, session) in found.things.iter().enumerate() {
                let picture = session.held.as_ref().ok().and_then(|held| held.picture.as_ref());
                let picture = picture.map(|frame| self.pictures.get(ui.ctx(), &session.dir, frame));
                let response = card::show(ui, &session.dir, picture, |ui| describe(ui, session));
                follow_focus(&response, at == 0 && (fresh || none_focused));
                let reveals = response.has_focus()
                    && ui.input(|input| input.key_pressed(egui::Key::O))
                    || response.secondary_clicked();
                if response.clicked() && session.held.is_ok() {
                    asked = Some(Ask::Go(Goal::Session(session.dir.clone())));
                } else if reveals {
                    asked = Some(Ask::Reveal(session.dir.clone()));
                }
            }
        });
        asked
    }
}

fn nothing(folder: &Path) -> String {
    format!("Nothing is recorded yet in {}", folder.display())
}

fn describe(ui: &mut Ui, session: &Listed) {
    match &session.held {
        Ok(held) => {
            ui.label(RichText::new(&held.world).strong().size(16.0));
            ui.label(format!("{}, {}", held.created.replace(['T', 'Z'], " ").trim(), length(held)));
        }
        Err(fault) => {
            ui.label(RichText::new(format!("cannot be read: {fault}")).color(ORANGE));
        }
    }
    let name = session.dir.file_name().unwrap_or_default().to_string_lossy();
    ui.label(RichText::new(name).small().color(QUIET));
}

/// How long a session is: `7.5 s`, `3 min 20 s`.
fn length(held: &Held) -> String {
    let seconds = held.seconds;
    match seconds < 60.0 {
        true => format!("{seconds:.1} s"),
        false => format!("{} min {:.0} s", (seconds / 60.0).floor(), (seconds % 60.0).floor()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_for_people() {
        let held =
            |seconds| Held { world: String::new(), created: String::new(), seconds, picture: None };
        assert_eq!(length(&held(7.54)), "7.5 s");
        assert_eq!(length(&held(200.9)), "3 min 20 s");
    }
}
