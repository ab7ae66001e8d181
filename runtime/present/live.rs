//! An open window with a walk in it: what events, keys and news do.

use std::time::Duration;

use anyhow::{Result, anyhow};
use glam::UVec2;
use input::Key;
use winit::event::{ElementState, MouseButton, WindowEvent};
use winit::keyboard::{ModifiersState, PhysicalKey};
use winit::window::{CursorGrabMode, Fullscreen};

use super::keys::{self, Command};
use super::overlay::Overlay;
use super::screen::{Drawn, Screen};
use super::window::Touch;
use crate::gate::Wish;
use crate::show::Show;
use crate::stage::Stage;
use crate::walk::{News, Walk, Walked};

/// How often the figures on the screen change: slow enough to be read.
const FIGURES_PERIOD: Duration = Duration::from_millis(500);

/// An open window with a walk in it.
pub(super) struct Live {
    pub(super) walk: Walk,
    pub(super) screen: Screen,
    overlay: Overlay,
    modifiers: ModifiersState,
    pub(super) grabbed: bool,
    show: Show,
    figures_at: Duration,
    /// Something other than a frame has to be drawn.
    stale: bool,
    /// Somebody is there to read why a walk failed.
    attended: bool,
    /// Somebody steers.
    steered: bool,
    failed: Option<anyhow::Error>,
    pub(super) leaving: bool,
}

impl Live {
    /// A walk that has just begun to open.
    pub(super) fn new(walk: Walk, screen: Screen, attended: bool, steered: bool) -> Self {
        let mut overlay = Overlay::default();
        overlay.adapter = screen.adapter().to_owned();
        overlay.starting = Some("opening".into());
        Self {
            walk,
            screen,
            overlay,
            modifiers: ModifiersState::empty(),
            grabbed: false,
            show: Show::default(),
            figures_at: Duration::ZERO,
            stale: true,
            attended,
            steered,
            failed: None,
            leaving: false,
        }
    }

    pub(super) fn end(self) -> Result<Walked> {
        let walked = self.walk.leave();
        self.failed.map_or(Ok(walked), Err)
    }

    pub(super) fn read_news(&mut self) {
        while let Ok(news) = self.walk.news.try_recv() {
            self.stale = true;
            match news {
                News::Starting(stage) => self.overlay.starting = Some(stage),
                News::Ready(facts, opening) => {
                    self.screen.window.set_title(&format!("Oneiro: {}", facts.name));
                    self.screen.set_picture(&opening);
                    self.overlay.starting = None;
                    self.notice("F1 shows the keys".into());
                }
                News::Notice(text) => self.notice(text),
                News::Ended(Ok(())) => self.leaving = true,
                News::Ended(Err(error)) => {
                    self.overlay.failed = Some(format!("{error:#}"));
                    self.failed = Some(error);
                    self.leaving |= !self.attended;
                }
            }
        }
    }

    fn notice(&mut self, text: String) {
        tracing::info!("{text}");
        self.overlay.notice(self.walk.clock.now(), text);
    }

    /// Asks for a drawing when there is something to draw; answers when there will be.
    pub(super) fn sleep_until(&mut self) -> Option<Duration> {
        let now = self.walk.clock.now();
        let notice_ends = self.overlay.expire(now);
        let figures_at = self.overlay.figures.then_some(self.figures_at);
        let frame_due = self.show.next_due(&self.walk, now);
        let next = [notice_ends, figures_at, frame_due].into_iter().flatten().min();
        if self.stale || next.is_some_and(|at| at <= now) {
            self.screen.window.request_redraw();
        }
        // A redraw that was asked for ends the sleep by itself.
        next.filter(|at| *at > now)
    }

    fn draw(&mut self) -> Result<()> {
        let began = self.walk.clock.now();
        let frame = self.show.next_frame(&self.walk, began);
        if let Some(frame) = &frame {
            self.screen.set_picture(&frame.frame);
        }
        if self.overlay.figures && began >= self.figures_at {
            self.overlay.lately = self.walk.stats.lock().lately();
            self.overlay.skipped = self.walk.queue.skipped();
            self.figures_at = began + FIGURES_PERIOD;
        }
        self.overlay.recording = self.walk.gate.recording();
        if self.overlay.watching {
            self.overlay.memory = self.walk.memory.get();
        }
        let _span = Stage::Present.span().entered();
        let drawn = self.screen.draw(&mut self.overlay, began)?;
        self.stale = drawn == Drawn::Unsettled;
        if let (true, Some(frame)) = (drawn != Drawn::Nothing, frame) {
            let now = self.walk.clock.now();
            let mut stats = self.walk.stats.lock();
            stats.stage(Stage::Present, now.saturating_sub(began));
            stats.presented(frame.polled_at, now);
        }
        Ok(())
    }

    pub(super) fn window_event(&mut self, event: WindowEvent, touch: &mut dyn FnMut(Touch)) {
        match event {
            WindowEvent::CloseRequested => self.leaving = true,
            WindowEvent::Resized(size) => {
                self.screen.resize(UVec2::new(size.width, size.height));
                self.stale = true;
            }
            WindowEvent::RedrawRequested => {
                if let Err(error) = self.draw() {
                    self.failed = Some(error);
                    self.leaving = true;
                }
            }
            WindowEvent::ModifiersChanged(modifiers) => self.modifiers = modifiers.state(),
            WindowEvent::Focused(false) => {
                touch(Touch::Release);
                self.grab(false);
            }
            WindowEvent::MouseInput { state, button, .. } => self.click(state, button, touch),
            WindowEvent::KeyboardInput { event, .. } if !event.repeat => {
                let PhysicalKey::Code(key) = event.physical_key else { return };
                let down = event.state == ElementState::Pressed;
                match keys::command(key, self.modifiers, self.steered) {
                    Some(command) if down => self.obey(command),
                    Some(_) => {}
                    None => {
                        if let Some(key) = keys::held(key) {
                            touch(Touch::Key(key, down));
                        }
                    }
                }
            }
            WindowEvent::Occluded(false) | WindowEvent::ScaleFactorChanged { .. } => {
                self.stale = true;
            }
            // Touch, pen, IME and the like steer nothing here.
            _ => {}
        }
    }

    /// The first click takes the mouse; while it is taken, its buttons are keys.
    fn click(&mut self, state: ElementState, button: MouseButton, touch: &mut dyn FnMut(Touch)) {
        let down = state == ElementState::Pressed;
        match keys::mouse(button) {
            Some(key) if self.grabbed || !down => touch(Touch::Key(key, down)),
            Some(Key::MouseLeft) => self.grab(true),
            Some(_) | None => {}
        }
    }

    fn obey(&mut self, command: Command) {
        self.stale = true;
        match command {
            Command::Pause => self.overlay.paused = self.show.toggle_pause(&self.walk),
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
            Command::Scaling => self.screen.scaling = self.screen.scaling.other(),
            Command::Figures => {
                self.overlay.figures = !self.overlay.figures;
                self.figures_at = Duration::ZERO;
            }
            Command::FullScreen => {
                let window = &self.screen.window;
                let wanted = window.fullscreen().is_none().then_some(Fullscreen::Borderless(None));
                window.set_fullscreen(wanted);
            }
            Command::Leave if self.grabbed => self.grab(false),
            Command::Leave => self.leaving = true,
        }
    }

    fn grab(&mut self, wanted: bool) {
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
