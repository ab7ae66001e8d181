//! The window of `oneiro compare`: two videos side by side, and keys for what is thought of them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use egui::{Align2, RichText, Ui};
use glam::UVec2;
use winit::application::ApplicationHandler;
use winit::dpi::LogicalSize;
use winit::event::{ElementState, KeyEvent, WindowEvent};
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoop};
use winit::keyboard::{KeyCode, PhysicalKey};
use winit::window::{Window, WindowId};

use super::display::{NoWindow, preflight};
use super::overlay::area;
use super::palette::QUIET;
use super::screen::{Drawn, Screen};
use super::window::display_name;
use crate::clock::Clock;
use crate::compare::pair::Pair;
use crate::compare::poll::{Asked, Poll};
use crate::compare::votes::Liked;
use crate::settings::PictureScaling;

/// Size that the window opens with: two pictures beside each other, and room for words.
const OPENING_SIZE: LogicalSize<u32> = LogicalSize::new(1040, 480);

/// What a key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Liked(Liked),
    Leave,
}

/// Asks in a window until everything is answered or somebody leaves; gives the poll back.
///
/// # Errors
/// When a video cannot be read or a vote cannot be written; inside, [`NoWindow`] when none can be opened.
pub fn compare(poll: Poll) -> Result<Result<Poll, NoWindow>> {
    let Some(asked) = poll.next() else { return Ok(Ok(poll)) };
    if let Err(error) = preflight() {
        return Ok(Err(error));
    }
    let event_loop = match EventLoop::new() {
        Ok(event_loop) => event_loop,
        Err(error) => {
            tracing::debug!("{error}");
            let display = display_name();
            return Ok(Err(NoWindow(format!("no display: {display} cannot be opened"))));
        }
    };
    let mut app =
        App { poll, asked, clock: Clock::real(), open: None, refused: None, failed: None };
    let ran = event_loop.run_app(&mut app);
    if let Some(reason) = app.refused {
        return Ok(Err(NoWindow(format!("no window: {reason:#}"))));
    }
    app.failed.map_or(Ok(()), Err)?;
    ran.context("the window's events ended")?;
    Ok(Ok(app.poll))
}

struct App {
    poll: Poll,
    /// What is shown.
    asked: Asked,
    clock: Clock,
    open: Option<Open>,
    /// Why there is no window.
    refused: Option<anyhow::Error>,
    failed: Option<anyhow::Error>,
}

/// A window with two videos.
struct Open {
    screen: Screen,
    pair: Pair,
    /// Something is to be drawn.
    stale: bool,
    again_at: Option<Duration>,
}

impl App {
    fn begin(&self, event_loop: &ActiveEventLoop) -> Result<Screen> {
        let attributes = Window::default_attributes()
            .with_title("Oneiro: which is better?")
            .with_inner_size(OPENING_SIZE);
        let window = Arc::new(event_loop.create_window(attributes)?);
        Screen::new(window, event_loop.owned_display_handle(), PictureScaling::Auto)
    }

    fn show(&mut self, mut screen: Screen) -> Result<()> {
        let pair = Pair::open(&self.asked.videos, self.clock.now())?;
        screen.set_picture(&pair.picture());
        self.open = Some(Open { screen, pair, stale: true, again_at: None });
        Ok(())
    }

    /// Writes a vote down and goes on to the next question; whether there is one.
    fn vote(&mut self, liked: Liked) -> Result<bool> {
        self.poll.answer(&self.asked, liked)?;
        let Some(asked) = self.poll.next() else { return Ok(false) };
        self.asked = asked;
        if let Some(Open { screen, .. }) = self.open.take() {
            self.show(screen)?;
        }
        Ok(true)
    }

    /// Does what a key says; whether there is more to ask.
    fn hear(&mut self, said: Said) -> Result<bool> {
        match said {
            Said::Liked(liked) => self.vote(liked),
            Said::Leave => Ok(false),
        }
    }

    fn draw(&mut self) -> Result<()> {
        let (now, progress) = (self.clock.now(), self.poll.progress());
        let Some(open) = &mut self.open else { return Ok(()) };
        if let Some(picture) = open.pair.go_on(now)? {
            open.screen.set_picture(&picture);
        }
        let drawn = open.screen.draw(now, false, |ui| words(ui, progress))?;
        let again_in = match drawn {
            Drawn::Nothing => None,
            Drawn::Shown(again_in) => again_in,
        };
        open.stale = again_in.is_some_and(|delay| delay.is_zero());
        open.again_at = again_in.map(|delay| now + delay);
        Ok(())
    }

    fn end(&mut self, event_loop: &ActiveEventLoop, ended: Result<()>) {
        self.failed = ended.err();
        if let Some(open) = self.open.take() {
            open.screen.window.set_visible(false);
        }
        event_loop.exit();
    }

    /// What an event makes of the window; whether there is more to ask.
    fn take(&mut self, event: &WindowEvent) -> Result<bool> {
        match event {
            WindowEvent::CloseRequested => return Ok(false),
            // A window that is given the keyboard is told of keys that are down already: nobody votes by those.
            WindowEvent::KeyboardInput { event, is_synthetic: false, .. } => {
                if let Some(said) = said(event) {
                    return self.hear(said);
                }
            }
            WindowEvent::RedrawRequested => self.draw()?,
            WindowEvent::Resized(size) => {
                if let Some(open) = &mut self.open {
                    open.screen.resize(UVec2::new(size.width, size.height));
                    open.stale = true;
                }
            }
            _ => {}
        }
        Ok(true)
    }
}

impl ApplicationHandler for App {
    fn resumed(&mut self, event_loop: &ActiveEventLoop) {
        if self.open.is_some() {
            return;
        }
        match self.begin(event_loop) {
            Err(error) => {
                self.refused = Some(error);
                event_loop.exit();
            }
            Ok(screen) => {
                if let Err(error) = self.show(screen) {
                    self.end(event_loop, Err(error));
                }
            }
        }
    }

    fn window_event(&mut self, event_loop: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        match self.take(&event) {
            Ok(true) => {}
            Ok(false) => self.end(event_loop, Ok(())),
            Err(error) => self.end(event_loop, Err(error)),
        }
    }

    fn about_to_wait(&mut self, event_loop: &ActiveEventLoop) {
        let Some(open) = &self.open else { return };
        let now = self.clock.now();
        let next = open.again_at.into_iter().chain([open.pair.next_at()]).min();
        if open.stale || next.is_some_and(|at| at <= now) {
            open.screen.window.request_redraw();
        }
        let wake_at = next.filter(|at| *at > now).and_then(|at| self.clock.instant(at));
        event_loop.set_control_flow(wake_at.map_or(ControlFlow::Wait, ControlFlow::WaitUntil));
    }
}

/// What a key says, when it goes down.
fn said(event: &KeyEvent) -> Option<Said> {
    let PhysicalKey::Code(key) = event.physical_key else { return None };
    let pressed = event.state == ElementState::Pressed && !event.repeat;
    said_by(key).filter(|_| pressed)
}

fn said_by(key: KeyCode) -> Option<Said> {
    match key {
        KeyCode::Digit1 | KeyCode::Numpad1 => Some(Said::Liked(Liked::Left)),
        KeyCode::Digit2 | KeyCode::Numpad2 => Some(Said::Liked(Liked::Right)),
        KeyCode::Digit0 | KeyCode::Numpad0 => Some(Said::Liked(Liked::Neither)),
        KeyCode::Escape => Some(Said::Leave),
        _ => None,
    }
}

/// Keys, and how far the poll has come. No name of an arm is among them.
fn words(ui: &mut Ui, (answered, all): (usize, usize)) {
    area(ui.ctx(), "question", Align2::CENTER_TOP, |ui| {
        ui.label("Which is better?   1 the left   2 the right   0 neither");
    });
    area(ui.ctx(), "progress", Align2::CENTER_BOTTOM, |ui| {
        let text = format!("{answered} of {all} answered   Esc: leave, and go on another time");
        ui.label(RichText::new(text).color(QUIET));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_say_which_is_better() {
        assert_eq!(said_by(KeyCode::Digit1), Some(Said::Liked(Liked::Left)));
        assert_eq!(said_by(KeyCode::Numpad2), Some(Said::Liked(Liked::Right)));
        assert_eq!(said_by(KeyCode::Digit0), Some(Said::Liked(Liked::Neither)));
        assert_eq!(said_by(KeyCode::Escape), Some(Said::Leave));
        assert_eq!(said_by(KeyCode::Digit3), None);
    }
}
