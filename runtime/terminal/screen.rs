//! The terminal while it is ours, and given back as it was however the program ends.

use std::io::{self, Write};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossterm::cursor::{Hide, Show};
use crossterm::event::{
    DisableFocusChange, EnableFocusChange, KeyboardEnhancementFlags, PopKeyboardEnhancementFlags,
    PushKeyboardEnhancementFlags,
};
use crossterm::style::ResetColor;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, SetTitle, disable_raw_mode, enable_raw_mode,
    supports_keyboard_enhancement,
};
use crossterm::{execute, queue};

/// Most log kept while the terminal is ours, in bytes; what comes later is left out.
const LOG_BYTES_MAX: usize = 64 << 10;

/// Whether the terminal is ours.
static OURS: AtomicBool = AtomicBool::new(false);
/// Whether it was asked to tell when keys are let go.
static TELLS_RELEASES: AtomicBool = AtomicBool::new(false);
/// What was logged meanwhile.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// The terminal, taken; given back when dropped, and before a panic is told.
#[derive(Debug)]
pub(super) struct Screen {
    /// The terminal tells when keys are let go.
    pub(super) tells_releases: bool,
}

impl Screen {
    /// Takes the terminal of standard input and output.
    ///
    /// # Errors
    /// When it cannot be drawn on.
    pub(super) fn open() -> io::Result<Self> {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            give_back();
            usual(info);
        }));
        enable_raw_mode()?;
        OURS.store(true, Ordering::SeqCst);
        let screen = Self { tells_releases: supports_keyboard_enhancement().unwrap_or(false) };
        let mut out = io::stdout();
        queue!(out, EnterAlternateScreen, Hide, EnableFocusChange, SetTitle("Oneiro"))?;
        if screen.tells_releases {
            let flags = KeyboardEnhancementFlags::DISAMBIGUATE_ESCAPE_CODES
                | KeyboardEnhancementFlags::REPORT_EVENT_TYPES
                | KeyboardEnhancementFlags::REPORT_ALL_KEYS_AS_ESCAPE_CODES;
            TELLS_RELEASES.store(true, Ordering::SeqCst);
            queue!(out, PushKeyboardEnhancementFlags(flags))?;
        }
        out.flush()?;
        Ok(screen)
    }

    /// Whether the terminal is still ours: a panic elsewhere gives it back.
    pub(super) fn is_ours() -> bool {
        OURS.load(Ordering::SeqCst)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    if !OURS.swap(false, Ordering::SeqCst) {
        return;
    }
    // A terminal that is gone needs nothing back.
    if TELLS_RELEASES.swap(false, Ordering::SeqCst) {
        let _ = execute!(io::stdout(), PopKeyboardEnhancementFlags);
    }
    let _ = execute!(io::stdout(), DisableFocusChange, ResetColor, Show, LeaveAlternateScreen);
    let _ = disable_raw_mode();
    let _ = io::stderr().write_all(&std::mem::take(&mut *log()));
}

fn log() -> MutexGuard<'static, Vec<u8>> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Standard error for the log: kept back while the terminal is ours, so that no line lands in the picture.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !Screen::is_ours() {
            return io::stderr().write(bytes);
        }
        let mut log = log();
        if log.len() + bytes.len() <= LOG_BYTES_MAX {
            log.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
