//! The window's event loop, on the main thread.
//!
//! It never waits for the dream: it sleeps until a frame is due, a key is pressed or there is
//! news, and shows the newest frame that is due, or the last one again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use glam::UVec2;
use input::Key;
use winit::application::ApplicationHandler;
use winit::dpi::LogicalSize;
use winit::event::{DeviceEvent, DeviceId, ElementState, MouseButton, WindowEvent};
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoop, EventLoopProxy};
use winit::keyboard::{ModifiersState, PhysicalKey};
use winit::window::{CursorGrabMode, Fullscreen, Window, WindowId};

use super::blit::Scaling;
use super::display::{NoWindow, preflight};
use super::keys::{self, Command};
use super::overlay::Overlay;
use super::screen::{Drawn, Screen};
use crate::queue::DueFrame;
use crate::stage::Stage;
use crate::walk::{News, Plan, Walk, Walked};

/// How often the figures on the screen change: slow enough to be read.
const FIGURES_PERIOD: Duration = Duration::from_millis(500);
/// Size the window opens with: the usual picture enlarged a whole number of times.
const OPENING_SIZE: LogicalSize<u32> = LogicalSize::new(640, 480);

/// What was done to the controls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Touch {
    /// A key went down or up.
    Key(Key, bool),
    /// The mouse, while taken, moved by this many pixels.
    Motion {
        /// To the right.
        right: f32,
        /// Down.
        down: f32,
    },
    /// All keys are up: the window lost the focus.
    Release,
}

/// How the window is to be.
#[expect(missing_debug_implementations, reason = "holds a closure")]
pub struct Options {
    /// How pictures are scaled; `None` chooses by what draws.
    pub scaling: Option<Scaling>,
    /// Fill the screen from the beginning.
    pub full_screen: bool,
    /// Record from the beginning.
    pub record: bool,
    /// Where touches of the controls go.
    pub touch: Box<dyn FnMut(Touch)>,
}

/// Opens a window and walks in it until the player leaves.
///
/// # Errors
/// [`NoWindow`] when none can be opened.
pub fn run(plan: Plan, options: Options) -> Result<Result<Walked>, NoWindow> {
    preflight()?;
    let event_loop = EventLoop::<Wake>::with_user_event()
        .build()
        .map_err(|error| NoWindow(format!("no display: {error}")))?;
    let waking = Waking { pending: Arc::default(), proxy: event_loop.create_proxy() };
    let mut app = App { plan: Some(plan), options, waking, state: State::New };
    let ran = event_loop.run_app(&mut app);
    match (app.state, ran) {
        (State::Refused(reason), _) => Err(NoWindow(format!("no window: {reason:#}"))),
        (State::New, Err(error)) => Err(NoWindow(format!("no window: {error}"))),
        (State::New, Ok(())) => Err(NoWindow("no window: the system opened none".into())),
        (State::Over(ended), Ok(())) => Ok(ended),
        (State::Over(ended), Err(error)) => {
            Ok(ended.and_then(|_| Err(error).context("the window's events ended")))
        }
        (State::Open(live), ran) => {
            Ok(live.end().and_then(|it| ran.context("the window's events ended").map(|()| it)))
        }
    }
}

/// Wakes the event loop. At most one wake waits, however much there is to see.
#[derive(Clone, Copy, Debug)]
struct Wake;

#[derive(Clone)]
struct Waking {
    pending: Arc<AtomicBool>,
    proxy: EventLoopProxy<Wake>,
}

impl Waking {
    fn wake(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            // A loop that is gone needs no waking.
            let _ = self.proxy.send_event(Wake);
        }
    }
}

struct App {
    plan: Option<Plan>,
    options: Options,
    waking: Waking,
    state: State,
}

enum State {
    New,
    Refused(anyhow::Error),
    Open(Box<Live>),
    Over(Result<Walked>),
}

/// An open window with a walk in it.
struct Live {
    walk: Walk,
    screen: Screen,
    overlay: Overlay,
    modifiers: ModifiersState,
    grabbed: bool,
    paused_at: Option<Duration>,
    /// Frames asked for by key while paused.
    steps: u32,
    figures_at: Duration,
    /// Something other than a frame has to be drawn.
    stale: bool,
    failed: Option<anyhow::Error>,
    leaving: bool,
}

impl App {
    fn open(&mut self, event_loop: &ActiveEventLoop) -> Result<Live> {
        let full_screen = self.options.full_screen.then_some(Fullscreen::Borderless(None));
        let attributes = Window::default_attributes()
            .with_title("Oneiro")
            .with_inner_size(OPENING_SIZE)
            .with_fullscreen(full_screen);
        let window = Arc::new(event_loop.create_window(attributes)?);
        let display = event_loop.owned_display_handle();
        let screen = Screen::new(window, display, self.options.scaling)?;
        let waking = self.waking.clone();
        let plan = self.plan.take().context("a window is opened once")?;
        let walk = Walk::start(plan, Box::new(move || waking.wake()))?;
        walk.gate.set_recording(self.options.record);
        let mut overlay = Overlay::default();
        overlay.adapter = screen.adapter().to_owned();
        overlay.starting = Some("opening".into());
        Ok(Live {
            walk,
            screen,
            overlay,
            modifiers: ModifiersState::empty(),
            grabbed: false,
            paused_at: None,
            steps: 0,
            figures_at: Duration::ZERO,
            stale: true,
            failed: None,
            leaving: false,
        })
    }

    fn close(&mut self, event_loop: &ActiveEventLoop) {
        if let State::Open(live) = std::mem::replace(&mut self.state, State::New) {
            live.screen.window.set_visible(false);
            self.state = State::Over(live.end());
        }
        event_loop.exit();
    }
}

impl ApplicationHandler<Wake> for App {
    fn resumed(&mut self, event_loop: &ActiveEventLoop) {
        if matches!(self.state, State::New) {
            self.state = match self.open(event_loop) {
                Ok(live) => State::Open(Box::new(live)),
                Err(error) => {
                    event_loop.exit();
                    State::Refused(error)
                }
            };
        }
    }

    fn user_event(&mut self, _: &ActiveEventLoop, _: Wake) {
        // Cleared before looking, so that what comes while looking wakes again.
        self.waking.pending.store(false, Ordering::Release);
        if let State::Open(live) = &mut self.state {
            live.read_news();
        }
    }

    fn window_event(&mut self, event_loop: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        let State::Open(live) = &mut self.state else { return };
        live.window_event(event, &mut self.options.touch);
        if live.leaving {
            self.close(event_loop);
        }
    }

    fn device_event(&mut self, _: &ActiveEventLoop, _: DeviceId, event: DeviceEvent) {
        let State::Open(live) = &self.state else { return };
        if let (DeviceEvent::MouseMotion { delta: (x, y) }, true) = (event, live.grabbed) {
            #[expect(clippy::cast_possible_truncation, reason = "pixels are small numbers")]
            (self.options.touch)(Touch::Motion { right: x as f32, down: y as f32 });
        }
    }

    fn about_to_wait(&mut self, event_loop: &ActiveEventLoop) {
        let State::Open(live) = &mut self.state else { return };
        if live.leaving {
            return self.close(event_loop);
        }
        let wake_at = live.sleep_until().and_then(|at| live.walk.clock.instant(at));
        event_loop.set_control_flow(wake_at.map_or(ControlFlow::Wait, ControlFlow::WaitUntil));
    }
}

impl Live {
    fn end(self) -> Result<Walked> {
        let walked = self.walk.leave();
        self.failed.map_or(Ok(walked), Err)
    }

    fn read_news(&mut self) {
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
                }
            }
        }
    }

    fn notice(&mut self, text: String) {
        tracing::info!("{text}");
        self.overlay.notice(self.walk.clock.now(), text);
    }

    /// Asks for a drawing when there is something to draw; answers when there will be.
    fn sleep_until(&mut self) -> Option<Duration> {
        let now = self.walk.clock.now();
        let notice_ends = self.overlay.expire(now);
        let figures_at = self.overlay.figures.then_some(self.figures_at);
        let frame_due = match self.paused_at {
            None => self.walk.queue.next_due(),
            Some(_) if self.steps > 0 && !self.walk.queue.is_empty() => Some(now),
            Some(_) => None,
        };
        let next = [notice_ends, figures_at, frame_due].into_iter().flatten().min();
        if self.stale || next.is_some_and(|at| at <= now) {
            self.screen.window.request_redraw();
        }
        // A redraw that was asked for ends the sleep by itself.
        next.filter(|at| *at > now)
    }

    fn draw(&mut self) -> Result<()> {
        let began = self.walk.clock.now();
        let frame = self.next_frame(began);
        if let Some(frame) = &frame {
            self.screen.set_picture(&frame.frame);
        }
        if self.overlay.figures && began >= self.figures_at {
            self.overlay.lately = self.walk.stats.lock().lately();
            self.overlay.skipped = self.walk.queue.skipped();
            self.figures_at = began + FIGURES_PERIOD;
        }
        self.overlay.recording = self.walk.gate.recording();
        let _span = Stage::Present.span().entered();
        let drawn = self.screen.draw(&self.overlay, began)?;
        self.stale = drawn == Drawn::Unsettled;
        if let (true, Some(frame)) = (drawn != Drawn::Nothing, frame) {
            let now = self.walk.clock.now();
            let mut stats = self.walk.stats.lock();
            stats.stage(Stage::Present, now.saturating_sub(began));
            stats.presented(frame.polled_at, now);
        }
        Ok(())
    }

    fn next_frame(&mut self, now: Duration) -> Option<DueFrame> {
        if self.paused_at.is_none() {
            return self.walk.queue.newest_due(now);
        }
        let frame = if self.steps > 0 { self.walk.queue.next() } else { None };
        self.steps -= u32::from(frame.is_some());
        frame
    }

    fn window_event(&mut self, event: WindowEvent, touch: &mut dyn FnMut(Touch)) {
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
                match keys::command(key, self.modifiers) {
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
            Command::Pause => self.pause(),
            Command::Next => self.step(),
            Command::Record => {
                self.walk.gate.toggle_recording();
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

    fn pause(&mut self) {
        let now = self.walk.clock.now();
        self.steps = 0;
        self.overlay.paused = self.walk.gate.toggle_pause();
        self.paused_at = match self.paused_at.take() {
            None => Some(now),
            Some(since) => {
                self.walk.queue.put_off(now.saturating_sub(since));
                None
            }
        };
    }

    /// Shows one more frame of a paused walk, making a section if none is left.
    fn step(&mut self) {
        if self.paused_at.is_some() && self.steps == 0 {
            self.steps = 1;
            if self.walk.queue.is_empty() {
                self.walk.gate.step();
            }
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
