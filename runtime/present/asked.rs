//! What keys and pages ask of an open window.

use std::path::PathBuf;
use std::process::{Command as Program, Stdio};
use std::thread::Builder;
use std::time::Duration;

use anyhow::anyhow;
use input::{PadInput, PadState};
use winit::window::{CursorGrabMode, Fullscreen};

use super::blit::Scaling;
use super::goodbye;
use super::keys::Command;
use super::live::Live;
use super::overlay::Overlay;
use super::pad::Move;
use super::pages::{Ask, Page, Pressed};
use super::window::Goal;
use crate::gate::Wish;
use crate::screenshot;
use crate::settings::{PictureScaling, Settings};
use crate::show::Show;

impl Live {
    /// Does what a key asks for.
    pub(super) fn obey(&mut self, command: Command) {
        self.stale = true;
        let before = self.settings.clone();
        match command {
            Command::Pause => self.toggle_pause(),
            Command::Next => self.show.step(&self.walk),
            Command::Record => {
                self.walk.gate.toggle_recording();
            }
            Command::Bookmark => self.walk.gate.wish(Wish::Bookmark),
            Command::GoBack => self.walk.gate.wish(Wish::GoBack),
            Command::Memory => {
                let watching = !self.walk.gate.watching();
                self.walk.gate.set_watching(watching);
                self.overlay.watching = watching;
            }
            Command::Help => self.overlay.help = !self.overlay.help,
            Command::Scaling => {
                self.settings.scaling = match self.screen.scaled().next() {
                    Scaling::Nearest => PictureScaling::Nearest,
                    Scaling::Crisp => PictureScaling::Crisp,
                    Scaling::Smooth => PictureScaling::Smooth,
                };
            }
            Command::Figures => {
                self.overlay.figures = !self.overlay.figures;
                self.figures_at = Duration::ZERO;
            }
            Command::FullScreen => {
                self.settings.full_screen = self.screen.window.fullscreen().is_none();
            }
            Command::Screenshot => self.keep_picture(),
            Command::Settings if self.pages.open() == Some(Page::Settings) => self.turn(None),
            Command::Settings => self.turn(Some(Page::Settings)),
            Command::Menu if self.pages.open().is_some() => self.turn(self.pages.back()),
            Command::Menu => self.turn(Some(Page::Menu)),
        }
        self.follow_settings(&before);
    }

    /// Does what a gamepad asks for: Start opens the menu and closes pages, unless the world has a use for it; pages
    /// are gone about on like by keyboard.
    pub(super) fn obey_pad(&mut self, pressed: &PadState, now: Duration) {
        let bound = self.settings.pad.inputs.lists().any(|list| list.contains(&PadInput::Start));
        let starts = pressed.value(PadInput::Start, 0.0) > 0.0;
        if self.pages.open().is_none() {
            if starts && !bound {
                self.turn(Some(Page::Menu));
            }
            return;
        }
        // What is moved then is to be bound, which the page sees to; it asks for nothing besides.
        let waited = std::mem::replace(&mut self.pad_waited, self.pages.waits_for_pad());
        if waited || self.pad_waited {
            return;
        }
        let held = self.controls.pad().map_or(PadState::default(), |(_, pad)| pad);
        let moves = self.pad_moves.take(&held, pressed, now);
        self.stale |= starts || !moves.is_empty();
        if starts {
            return self.turn(self.pages.back());
        }
        for asked in moves {
            let key = match asked {
                Move::Up => egui::Key::ArrowUp,
                Move::Down => egui::Key::ArrowDown,
                Move::Left => egui::Key::ArrowLeft,
                Move::Right => egui::Key::ArrowRight,
                Move::Press => egui::Key::Enter,
                Move::Back if self.pages.waits_for_key() => {
                    self.pages.press(Pressed::Cancel, &mut self.settings);
                    continue;
                }
                Move::Back => return self.turn(self.pages.back()),
            };
            self.screen.type_key(key);
        }
    }

    /// Does what a page asks for.
    pub(super) fn grant(&mut self, ask: Ask) {
        self.stale = true;
        match ask {
            Ask::Continue => self.turn(None),
            Ask::Back => self.turn(self.pages.back()),
            Ask::Turn(page) => self.turn(Some(page)),
            Ask::Go(goal) => self.go(&goal),
            Ask::Reveal(dir) => self.reveal(dir),
            Ask::Leave => self.leaving = true,
        }
    }

    /// Opens a page, for which the walk waits, or closes it.
    fn turn(&mut self, page: Option<Page>) {
        match (self.pages.open(), page) {
            (None, Some(_)) => {
                self.controls.release_all();
                self.grab_again = self.grabbed;
                self.grab(false);
                self.held = !self.show.paused();
                if self.held {
                    self.toggle_pause();
                }
            }
            (Some(_), None) => {
                if std::mem::take(&mut self.held) {
                    self.toggle_pause();
                }
                if std::mem::take(&mut self.grab_again) {
                    self.grab(true);
                }
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        // What was done to the pad on the page is not done in the world.
        _ = self.controls.pad();
        self.pad_moves.rest();
        let waking = self.waking.clone();
        self.pages.turn(page, move || waking.wake());
    }

    /// Pauses or goes on. What was touched in a pause has waited for its end, not for the dream.
    fn toggle_pause(&mut self) {
        self.show.toggle_pause(&self.walk);
        self.controls.forget_touches();
    }

    /// Goes somewhere else: the walk so far is ended, its recordings are kept.
    fn go(&mut self, goal: &Goal) {
        let waking = self.waking.clone();
        let begun = (self.elsewhere)(goal).and_then(|plan| {
            Ok(self.walk.follow(plan, Box::new(move || waking.wake()), &self.ended)?)
        });
        if let Err(error) = begun {
            return self.notice(format!("{error:#}"));
        }
        goodbye::guard(&self.walk.gate);
        (self.show, self.held, self.failed) = (Show::default(), false, None);
        self.steered = matches!(goal, Goal::World(_));
        self.overlay = Overlay::opening(self.screen.adapter());
        self.turn(None);
    }

    /// Takes over what has changed in the settings, and keeps them once nothing is being dragged.
    pub(super) fn follow_settings(&mut self, before: &Settings) {
        let settings = &self.settings;
        if settings != before {
            self.controls.bind(settings);
            if settings.scaling != before.scaling {
                self.screen.scaling = settings.scaling;
            }
            if settings.full_screen != before.full_screen {
                let wanted = settings.full_screen.then_some(Fullscreen::Borderless(None));
                self.screen.window.set_fullscreen(wanted);
            }
            (self.unsaved, self.stale) = (true, true);
        }
        if self.unsaved && !self.screen.dragging() {
            self.unsaved = false;
            if let Err(error) = self.file.save(&self.settings) {
                self.notice(format!("{error:#}"));
            }
        }
    }

    fn keep_picture(&mut self) {
        let Some(frame) = &self.newest else { return };
        let notice = match screenshot::save(frame, &self.screenshots) {
            Ok(path) => format!("picture kept: {}", path.display()),
            Err(error) => format!("no picture kept: {error:#}"),
        };
        self.notice(notice);
    }

    /// Shows a folder by the program that the system has for it.
    fn reveal(&mut self, dir: PathBuf) {
        let program = match () {
            () if cfg!(target_os = "macos") => "open",
            () if cfg!(target_os = "windows") => "explorer",
            () => "xdg-open",
        };
        self.notice(dir.display().to_string());
        let show = move || {
            // Where there is no such program, the notice says where the folder is.
            let mut program = Program::new(program);
            program.arg(&dir).stdout(Stdio::null()).stderr(Stdio::null());
            if let Err(error) = program.status() {
                tracing::debug!("{program:?}: {error}");
            }
        };
        if let Err(error) = Builder::new().name("reveal".into()).spawn(show) {
            tracing::debug!("{error}");
        }
    }

    /// Takes the mouse, or gives it back.
    pub(super) fn grab(&mut self, wanted: bool) {
        let window = &self.screen.window;
        let grabbed = match wanted {
            // Not every system can lock the pointer in place; those that cannot can confine it.
            true => window
                .set_cursor_grab(CursorGrabMode::Locked)
                .or_else(|_| window.set_cursor_grab(CursorGrabMode::Confined)),
            false => window.set_cursor_grab(CursorGrabMode::None),
        };
        self.grabbed = wanted && grabbed.is_ok();
        window.set_cursor_visible(!self.grabbed);
        if let (true, Err(error)) = (wanted, grabbed) {
            self.notice(anyhow!(error).context("the mouse cannot be taken").to_string());
        }
    }
}
