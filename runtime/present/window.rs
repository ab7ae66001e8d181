//! The window's event loop, on the main thread.
//!
//! It never waits for the dream: it sleeps until a frame is due, a key is pressed or there is
//! news, and shows the newest frame that is due, or the last one again.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use winit::application::ApplicationHandler;
use winit::dpi::LogicalSize;
use winit::event::{DeviceEvent, DeviceId, WindowEvent};
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoop, EventLoopProxy};
use winit::window::{Fullscreen, Window, WindowId};

use super::display::{NoWindow, preflight};
use super::live::Live;
use super::screen::Screen;
use crate::controls::Controls;
use crate::settings::{Opened, PictureScaling};
use crate::walk::{Plan, Walked};

/// Size the window opens with: the usual picture enlarged a whole number of times.
const OPENING_SIZE: LogicalSize<u32> = LogicalSize::new(640, 480);

/// How the window is to be, and what it works with.
#[derive(Debug)]
pub struct Options {
    /// How pictures are scaled, whatever is set.
    pub scaling: Option<PictureScaling>,
    /// Fill the screen from the beginning, whatever is set.
    pub full_screen: bool,
    /// Record from the beginning.
    pub record: bool,
    /// Whether somebody steers. Else the space bar pauses, and there is nothing to record.
    pub steered: bool,
    /// What is steered with.
    pub controls: Controls,
    /// The settings, as they were read.
    pub kept: Opened,
    /// The world that is walked in first, to be listed with those that came with the program.
    pub world: PathBuf,
    /// Folder for pictures of the screen.
    pub screenshots: PathBuf,
}

/// Somewhere else to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The world in this folder.
    World(PathBuf),
    /// The session in this folder, shown again.
    Session(PathBuf),
}

/// Plans a walk somewhere else.
pub type Elsewhere = Box<dyn FnMut(&Goal) -> Result<Plan>>;

/// Opens a window and walks in it until the player leaves; gives what came of each walk.
///
/// # Errors
/// [`NoWindow`] when none can be opened.
pub fn run(
    plan: Plan,
    elsewhere: Elsewhere,
    options: Options,
) -> Result<Result<Vec<Walked>>, NoWindow> {
    preflight()?;
    let event_loop = EventLoop::<Wake>::with_user_event().build().map_err(|error| {
        // winit's own words begin with a place in its source.
        tracing::debug!("{error}");
        NoWindow(format!("no display: {} cannot be opened", display_name()))
    })?;
    let waking = Waking { pending: Arc::default(), proxy: event_loop.create_proxy() };
    let start = Some(Start { plan, elsewhere, options });
    let mut app = App { start, waking, state: State::New };
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

/// The display that a window is opened on.
pub(super) fn display_name() -> String {
    let name = ["WAYLAND_DISPLAY", "DISPLAY"].into_iter().find_map(|variable| {
        let value = std::env::var(variable).ok().filter(|value| !value.is_empty())?;
        Some(format!("{variable}={value}"))
    });
    name.unwrap_or_else(|| "the system's".into())
}

/// Wakes the event loop. At most one wake waits, however much there is to see.
#[derive(Clone, Copy, Debug)]
struct Wake;

#[derive(Clone)]
pub(super) struct Waking {
    pending: Arc<AtomicBool>,
    proxy: EventLoopProxy<Wake>,
}

impl Waking {
    pub(super) fn wake(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            // A loop that is gone needs no waking.
            let _ = self.proxy.send_event(Wake);
        }
    }
}

struct App {
    /// What is begun with, until the window is open.
    start: Option<Start>,
    waking: Waking,
    state: State,
}

struct Start {
    plan: Plan,
    elsewhere: Elsewhere,
    options: Options,
}

enum State {
    New,
    Refused(anyhow::Error),
    Open(Box<Live>),
    Over(Result<Vec<Walked>>),
}

impl App {
    fn open(&mut self, event_loop: &ActiveEventLoop) -> Result<Live> {
        let Start { plan, elsewhere, options } =
            self.start.take().context("a window is opened once")?;
        let settings = &options.kept.settings;
        let full_screen = options.full_screen || settings.full_screen;
        let attributes = Window::default_attributes()
            .with_title("Oneiro")
            .with_inner_size(OPENING_SIZE)
            .with_fullscreen(full_screen.then_some(Fullscreen::Borderless(None)));
        let window = Arc::new(event_loop.create_window(attributes)?);
        let display = event_loop.owned_display_handle();
        let screen = Screen::new(window, display, options.scaling.unwrap_or(settings.scaling))?;
        Live::begin(plan, elsewhere, options, screen, self.waking.clone())
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
            live.wake();
        }
    }

    fn window_event(&mut self, event_loop: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        let State::Open(live) = &mut self.state else { return };
        live.window_event(&event);
        if live.leaving {
            self.close(event_loop);
        }
    }

    fn device_event(&mut self, _: &ActiveEventLoop, _: DeviceId, event: DeviceEvent) {
        let State::Open(live) = &self.state else { return };
        if let (DeviceEvent::MouseMotion { delta: (x, y) }, true) = (event, live.grabbed) {
            #[expect(clippy::cast_possible_truncation, reason = "pixels are small numbers")]
            live.controls.move_mouse(x as f32, y as f32, live.walk.clock.now());
        }
    }

    fn about_to_wait(&mut self, event_loop: &ActiveEventLoop) {
        let State::Open(live) = &mut self.state else { return };
        if live.leaving {
            return self.close(event_loop);
        }
        let wake_at = live.sleep_until().and_then(|at| live.clock.instant(at));
        event_loop.set_control_flow(wake_at.map_or(ControlFlow::Wait, ControlFlow::WaitUntil));
    }
}
