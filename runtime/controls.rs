//! Keyboard, mouse and gamepads, which the window feeds and looks at and the loop polls.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[cfg(feature = "gamepad")]
use input::Gamepads;
use input::{ActionLayout, Key, Keyboard, Merged, PadState};

use crate::clock::Clock;
use crate::settings::Settings;

/// All devices to steer by hand with. Clones are the same devices.
#[derive(Clone, Debug)]
pub struct Controls {
    keyboard: Arc<Mutex<Keyboard>>,
    #[cfg(feature = "gamepad")]
    pads: Option<Arc<Mutex<Gamepads>>>,
    moved: Arc<AtomicBool>,
    /// When the oldest touch that no section has obeyed yet came, in the time of the walk.
    touched: Arc<Mutex<Option<Duration>>>,
    /// When touches were last asked about.
    asked: Arc<Mutex<Duration>>,
}

impl Controls {
    /// The devices of this machine.
    ///
    /// Call it before other threads are started, as gamepads ask.
    pub fn open(layout: &ActionLayout) -> Self {
        Self {
            #[cfg(feature = "gamepad")]
            pads: open_pads(layout),
            ..Self::without_pads(layout)
        }
    }

    /// Keyboard and mouse alone.
    pub fn without_pads(layout: &ActionLayout) -> Self {
        Self {
            keyboard: Arc::new(Mutex::new(Keyboard::new(layout.clone()))),
            #[cfg(feature = "gamepad")]
            pads: None,
            moved: Arc::default(),
            touched: Arc::default(),
            asked: Arc::default(),
        }
    }

    /// A key or mouse button went down or up, at a time of the walk.
    pub fn key(&self, key: Key, down: bool, at: Duration) {
        self.note_touch(at);
        let mut keyboard = self.keyboard();
        if down { keyboard.press(key) } else { keyboard.release(key) }
    }

    /// The mouse moved by this many pixels, at a time of the walk.
    pub fn move_mouse(&self, right: f32, down: f32, at: Duration) {
        self.note_touch(at);
        self.keyboard().move_mouse(right, down);
    }

    /// No release of a key will be seen: all count as up.
    pub fn release_all(&self) {
        self.forget_touches();
        self.keyboard().release_all();
    }

    /// Binds everything as the settings say, from the next poll on.
    pub fn bind(&self, settings: &Settings) {
        self.keyboard().bind(settings.keyboard.clone(), settings.mouse);
        #[cfg(feature = "gamepad")]
        if let Some(pads) = &self.pads {
            lock(pads).bind(settings.pad.clone());
        }
    }

    /// Steers a world of this layout from the next poll on.
    pub fn suit(&self, layout: &ActionLayout) {
        self.keyboard().suit(layout.clone());
        #[cfg(feature = "gamepad")]
        if let Some(pads) = &self.pads {
            lock(pads).suit(layout.clone());
        }
    }

    /// Name and state of the gamepad that counts, now; `None` without one.
    pub fn pad(&self) -> Option<(String, PadState)> {
        #[cfg(feature = "gamepad")]
        return self.pads.as_ref().and_then(|pads| lock(pads).look());
        #[cfg(not(feature = "gamepad"))]
        None
    }

    /// What went down on gamepads since this was asked before.
    #[cfg(feature = "window")]
    pub(crate) fn pad_pressed(&self) -> PadState {
        #[cfg(feature = "gamepad")]
        return self.pads.as_ref().map_or(PadState::default(), |pads| lock(pads).take_pressed());
        #[cfg(not(feature = "gamepad"))]
        PadState::default()
    }

    /// Whether gamepads can be used on this machine, connected or not.
    #[cfg(feature = "window")]
    pub(crate) fn has_pads(&self) -> bool {
        #[cfg(feature = "gamepad")]
        return self.pads.is_some();
        #[cfg(not(feature = "gamepad"))]
        false
    }

    /// Whether the player has done anything yet.
    pub fn moved(&self) -> bool {
        self.moved.load(Ordering::Relaxed)
    }

    /// Notes that the player has done something.
    pub(crate) fn note_move(&self) {
        self.moved.store(true, Ordering::Relaxed);
    }

    /// Notes that something was touched at a time of the walk; what was touched before it counts still.
    pub(crate) fn note_touch(&self, at: Duration) {
        lock(&self.touched).get_or_insert(at);
    }

    /// What was touched so far does not count any more: nothing was to be seen of it, as in a pause.
    pub(crate) fn forget_touches(&self) {
        lock(&self.touched).take();
        #[cfg(feature = "gamepad")]
        if let Some(pads) = &self.pads {
            lock(pads).take_touched();
        }
    }

    /// When the oldest touch came that this asks about for the first time, in the time of a walk, which `clock`
    /// keeps. Of keys and mouse it is when the window heard of it, of gamepads when the system did.
    pub(crate) fn take_touch(&self, clock: &Clock) -> Option<Duration> {
        let asked = std::mem::replace(&mut *lock(&self.asked), clock.now());
        let touched = lock(&self.touched).take();
        // The calendar may have been set meanwhile; what is told now was not there to be told the last time.
        let moved = self.pad_touched(clock).map(|at| at.max(asked));
        touched.into_iter().chain(moved).min()
    }

    #[cfg(feature = "gamepad")]
    fn pad_touched(&self, clock: &Clock) -> Option<Duration> {
        clock.time_of_date(lock(self.pads.as_ref()?).take_touched()?)
    }

    #[cfg(not(feature = "gamepad"))]
    fn pad_touched(&self, _: &Clock) -> Option<Duration> {
        None
    }

    /// All devices as one source of actions.
    pub(crate) fn merged(&self) -> Merged {
        let devices = Merged::new().with(Arc::clone(&self.keyboard));
        #[cfg(feature = "gamepad")]
        if let Some(pads) = &self.pads {
            return devices.with(Arc::clone(pads));
        }
        devices
    }

    /// The keyboard, to be fed.
    pub(crate) fn keyboard(&self) -> MutexGuard<'_, Keyboard> {
        lock(&self.keyboard)
    }
}

/// A panic of another thread leaves devices that are as good as before.
fn lock<T>(device: &Mutex<T>) -> MutexGuard<'_, T> {
    device.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(feature = "gamepad")]
fn open_pads(layout: &ActionLayout) -> Option<Arc<Mutex<Gamepads>>> {
    match Gamepads::open(layout.clone()) {
        Ok(pads) => Some(Arc::new(Mutex::new(pads))),
        Err(error) => {
            tracing::info!("{error}");
            None
        }
    }
}
