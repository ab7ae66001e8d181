//! An open window with a walk in it: what events and news do.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use glam::UVec2;
use input::{ActionLayout, Frame, Key};
use winit::event::{ElementState, KeyEvent, MouseButton, WindowEvent};
use winit::keyboard::{KeyCode, ModifiersState, PhysicalKey};

use super::goodbye;
use super::hint::Hint;
use super::keys::{self, Command};
use super::overlay::Overlay;
use super::pad::{self, PadMoves};
use super::pages::{About, Page, Pages, Places, Pressed};
use super::screen::{Drawn, Screen};
use super::start_up::StartUp;
use super::window::{Elsewhere, Options, Waking};
use crate::clock::Clock;
use crate::controls::Controls;
use crate::settings::{Settings, SettingsFile};
use crate::show::Show;
use crate::stage::Stage;
use crate::walk::{Ended, News, Plan, Walk, Walked};

/// How often the figures on the screen change: slow enough to be read.
const FIGURES_PERIOD: Duration = Duration::from_millis(500);

/// An open window with a walk in it.
pub(super) struct Live {
    pub(super) walk: Walk,
    /// What came of the walks before.
    pub(super) ended: Ended,
    /// Plans a walk in another world.
    pub(super) elsewhere: Elsewhere,
    pub(super) controls: Controls,
    /// The window's time; a walk's begins anew with each.
    pub(super) clock: Clock,
    pub(super) screen: Screen,
    pub(super) overlay: Overlay,
    pub(super) pages: Pages,
    pub(super) settings: Settings,
    pub(super) file: SettingsFile,
    /// Settings have changed and are not yet in the file.
    pub(super) unsaved: bool,
    pub(super) waking: Waking,
    /// What actions mean in the world.
    layout: ActionLayout,
    /// The world's name.
    title: String,
    /// The picture on the screen.
    pub(super) newest: Option<Arc<Frame>>,
    pub(super) screenshots: PathBuf,
    modifiers: ModifiersState,
    pub(super) pad_moves: PadMoves,
    /// A part of the pad was to be bound when it was looked at last.
    pub(super) pad_waited: bool,
    /// When gamepads are looked at next.
    pad_at: Duration,
    pub(super) grabbed: bool,
    /// The mouse was taken when a page was opened.
    pub(super) grab_again: bool,
    pub(super) show: Show,
    /// The walk was paused by a page.
    pub(super) held: bool,
    pub(super) figures_at: Duration,
    /// Something other than a frame has to be drawn.
    pub(super) stale: bool,
    /// When the overlay or a page wants to be drawn again.
    again_at: Option<Duration>,
    /// Somebody is there to read why a walk failed.
    attended: bool,
    /// Somebody steers; else a recording is shown.
    pub(super) steered: bool,
    pub(super) failed: Option<anyhow::Error>,
    pub(super) leaving: bool,
}

impl Live {
    /// Begins a walk in a window that has just been opened.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn begin(
        plan: Plan,
        elsewhere: Elsewhere,
        options: Options,
        screen: Screen,
        waking: Waking,
    ) -> Result<Self> {
        let Options { record, steered, controls, kept, world, screenshots, .. } = options;
        controls.bind(&kept.settings);
        let own = Some(world).filter(|world| world.is_dir());
        let pages = Pages::new(Places { world: own, sessions: plan.sessions.clone() });
        // A walk of a set length is nobody's to look at when it fails.
        let attended = plan.frames.is_none();
        let waker = waking.clone();
        let walk = Walk::start(plan, Box::new(move || waker.wake()))?;
        goodbye::guard(&walk.gate);
        walk.gate.set_recording(record);
        let keys = kept.settings.keyboard.keys.clone();
        let mut live = Self {
            walk,
            ended: Ended::default(),
            elsewhere,
            controls,
            clock: Clock::real(),
            overlay: Overlay::opening(screen.adapter()),
            screen,
            pages,
            settings: kept.settings,
            file: kept.file,
            unsaved: false,
            waking,
            layout: ActionLayout::default(),
            title: String::new(),
            newest: None,
            screenshots,
            modifiers: ModifiersState::empty(),
            pad_moves: PadMoves::default(),
            pad_waited: false,
            pad_at: Duration::ZERO,
            grabbed: false,
            grab_again: false,
            show: Show::default(),
            held: false,
            figures_at: Duration::ZERO,
            stale: true,
            again_at: None,
            attended,
            steered,
            failed: None,
            leaving: false,
        };
        live.overlay.hint = kept.first_run.then(|| (Hint::default(), keys));
        kept.notice.into_iter().for_each(|notice| live.notice(notice));
        Ok(live)
    }

    /// Ends the walk; gives what came of all of them.
    pub(super) fn end(self) -> Result<Vec<Walked>> {
        let walked = self.walk.leave();
        goodbye::release();
        let mut all = self.ended.take();
        all.push(walked);
        self.failed.map_or(Ok(all), Err)
    }

    /// Looks at what is new: news of the walk, or something that a page has waited for.
    pub(super) fn wake(&mut self) {
        self.stale |= self.pages.open().is_some();
        while let Ok(news) = self.walk.news.try_recv() {
            self.stale = true;
            match news {
                News::Starting(stage) => {
                    self.overlay.starting.get_or_insert_with(StartUp::new).tell(stage);
                }
                News::Ready(facts, opening) => {
                    self.screen.window.set_title(&format!("Oneiro: {}", facts.name));
                    (self.title, self.layout) = (facts.name, facts.layout);
                    self.screen.set_picture(&opening);
                    self.newest = Some(opening);
                    self.overlay.starting = None;
                    if self.overlay.hint.is_none() {
                        self.notice("Esc: menu   F1: keys".into());
                    }
                }
                News::Notice(text) => self.overlay.notice(self.clock.now(), text),
                News::Ended(Ok(())) => self.leaving = true,
                News::Ended(Err(error)) => {
                    self.overlay.failed = Some(format!("{error:#}"));
                    self.failed = Some(error);
                    self.leaving |= !self.attended;
                }
            }
        }
    }

    pub(super) fn notice(&mut self, text: String) {
        tracing::info!("{text}");
        self.overlay.notice(self.clock.now(), text);
        self.stale = true;
    }

    /// Asks for a drawing when there is something to draw; answers when there will be.
    pub(super) fn sleep_until(&mut self) -> Option<Duration> {
        let (now, walked) = (self.clock.now(), self.walk.clock.now());
        let pad_at = self.controls.has_pads().then(|| self.hear_pad(now));
        let notice_ends = self.overlay.expire(now);
        let figures_at = self.overlay.figures.then_some(self.figures_at);
        let frame_due = self.show.next_due(&self.walk, walked);
        let frame_due = frame_due.map(|due| now + due.saturating_sub(walked));
        let times = [notice_ends, figures_at, frame_due, self.again_at];
        let next = times.into_iter().flatten().min();
        if self.stale || next.is_some_and(|at| at <= now) {
            self.screen.window.request_redraw();
        }
        // A redraw that was asked for ends the sleep by itself.
        next.into_iter().chain(pad_at).filter(|at| *at > now).min()
    }

    /// Does what gamepads ask of the window when it is time to look at them; answers when that is again.
    fn hear_pad(&mut self, now: Duration) -> Duration {
        if now >= self.pad_at {
            self.pad_at = now + pad::LOOK;
            let pressed = self.controls.pad_pressed();
            self.obey_pad(&pressed, now);
        }
        self.pad_at
    }

    fn draw(&mut self) -> Result<()> {
        let (now, began) = (self.clock.now(), self.walk.clock.now());
        let frame = self.show.next_frame(&self.walk, began);
        if let Some(frame) = &frame {
            self.screen.set_picture(&frame.frame);
            self.newest = Some(Arc::clone(&frame.frame));
        }
        self.look(now);
        let _span = Stage::Present.span().entered();
        let drawn = self.lay_over(now)?;
        let again_in = match drawn {
            Drawn::Nothing => None,
            Drawn::Shown(again_in) => again_in,
        };
        self.stale |= again_in.is_some_and(|delay| delay.is_zero());
        self.again_at = again_in.map(|delay| now + delay);
        if let (true, Some(frame)) = (drawn != Drawn::Nothing, frame) {
            let shown = self.walk.clock.now();
            self.walk.stats.lock().stage(Stage::Present, shown.saturating_sub(began));
            self.walk.note_shown(&frame, shown);
        }
        Ok(())
    }

    /// Looks at what the overlay shows of the walk.
    fn look(&mut self, now: Duration) {
        let overlay = &mut self.overlay;
        if overlay.figures && now >= self.figures_at {
            overlay.lately = self.walk.stats.lock().lately();
            overlay.skipped = self.walk.queue.skipped();
            self.figures_at = now + FIGURES_PERIOD;
        }
        overlay.recording = self.walk.gate.recording();
        overlay.paused = self.show.paused();
        if overlay.watching {
            overlay.memory = self.walk.memory.get();
        }
        if let Some((hint, _)) = &mut overlay.hint {
            // The first run is over once the player has moved: the next one needs no hint.
            self.unsaved |= self.controls.moved() && hint.note_move(now);
            if hint.strength(now) == 0.0 {
                overlay.hint = None;
            }
        }
    }

    /// Draws the picture with the overlay or a page over it, and does what the page asks for.
    fn lay_over(&mut self, now: Duration) -> Result<Drawn> {
        let before = self.settings.clone();
        let page = self.pages.open();
        let help = match self.overlay.help {
            true => keys::help(&self.settings, &self.layout),
            false => Vec::new(),
        };
        let mut about = About {
            settings: &mut self.settings,
            layout: &self.layout,
            pad: self.controls.pad().filter(|_| page == Some(Page::Settings)),
            title: &self.title,
            can_continue: self.failed.is_none(),
        };
        let (pages, overlay) = (&mut self.pages, &mut self.overlay);
        let mut asked = None;
        // What is asked for below makes it stale again.
        self.stale = false;
        let drawn = self.screen.draw(now, page.is_some(), |ui| match page {
            Some(_) => {
                asked = pages.show(ui, &mut about);
                overlay.show_notices(ui.ctx());
            }
            None => overlay.show(ui.ctx(), &help, now),
        })?;
        self.follow_settings(&before);
        if let Some(ask) = asked {
            self.grant(ask);
        }
        Ok(drawn)
    }

    pub(super) fn window_event(&mut self, event: &WindowEvent) {
        let paged = self.pages.open().is_some();
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
            WindowEvent::ModifiersChanged(modifiers) => {
                self.modifiers = modifiers.state();
                self.screen.hear(event);
            }
            WindowEvent::Focused(focused) => {
                self.screen.hear(event);
                if !focused {
                    self.controls.release_all();
                    self.grab(false);
                }
            }
            WindowEvent::MouseInput { state, button, .. } => {
                let taken = self.take_mouse(*button, *state == ElementState::Pressed);
                if !taken {
                    self.hear(event);
                }
            }
            WindowEvent::KeyboardInput { event: pressed, .. } => {
                let taken = self.take_key(pressed);
                if !taken {
                    self.hear(event);
                }
            }
            WindowEvent::Occluded(false) | WindowEvent::ScaleFactorChanged { .. } => {
                self.stale = true;
            }
            // Pointers, wheels and fingers are the pages'.
            _ if paged => self.hear(event),
            _ => {}
        }
    }

    /// Lets the open page hear what happened.
    fn hear(&mut self, event: &WindowEvent) {
        self.screen.hear(event);
        self.stale = true;
    }

    /// The first click on the picture takes the mouse; while it is taken, its buttons are keys. Says whether the
    /// click was taken, and is not a page's.
    fn take_mouse(&mut self, button: MouseButton, down: bool) -> bool {
        let key = keys::mouse(button);
        if !down {
            key.into_iter().for_each(|key| self.touch(key, false));
            return self.pages.open().is_none();
        }
        if self.pages.waits_for_key() {
            key.into_iter().for_each(|key| self.bind(Pressed::Key(key)));
            return true;
        }
        if self.pages.open().is_some() {
            return false;
        }
        match key {
            Some(key) if self.grabbed => self.touch(key, true),
            Some(Key::MouseLeft) => self.grab(true),
            Some(_) | None => {}
        }
        true
    }

    /// Does what a key asks for, or holds it for the walk. Says whether the key was taken, and is not a page's.
    fn take_key(&mut self, event: &KeyEvent) -> bool {
        let PhysicalKey::Code(code) = event.physical_key else { return false };
        let (key, paged) = (keys::held(code), self.pages.open().is_some());
        if event.state == ElementState::Released {
            key.into_iter().for_each(|key| self.touch(key, false));
            return false;
        }
        if self.pages.waits_for_key() {
            match code {
                _ if event.repeat => {}
                KeyCode::Escape => self.bind(Pressed::Cancel),
                _ => key.into_iter().for_each(|key| self.bind(Pressed::Key(key))),
            }
            return true;
        }
        let command = keys::command(code, self.modifiers, &self.settings.window, self.steered);
        match command.filter(|command| !paged || on_pages(*command)) {
            Some(command) if !event.repeat => self.obey(command),
            Some(_) => {}
            None if paged => return false,
            None => key.into_iter().for_each(|key| self.touch(key, true)),
        }
        true
    }

    fn touch(&self, key: Key, down: bool) {
        self.controls.key(key, down, self.walk.clock.now());
    }

    fn bind(&mut self, pressed: Pressed) {
        let before = self.settings.clone();
        self.pages.press(pressed, &mut self.settings);
        self.follow_settings(&before);
        self.stale = true;
    }
}

/// Whether a command counts while a page is open too.
fn on_pages(command: Command) -> bool {
    matches!(command, Command::Menu | Command::Settings | Command::Screenshot | Command::FullScreen)
}
