//! The end of the program from within a library: Xlib ends it when the display is gone.
//!
//! No error comes back to the window then. What the system calls at every end lets the walk end as it would have:
//! its recordings are whole.

use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use crate::gate::Gate;

/// Longest that the end waits for the walk: a section, and the last second of a recording.
const PATIENCE: Duration = Duration::from_secs(10);

/// The gate of the walk that is on, if one is.
static WALK: Mutex<Option<Gate>> = Mutex::new(None);

/// From now on this walk is ended when a library ends the program, in the place of the one before.
#[expect(unsafe_code, reason = "the C library has no safe door")]
pub(super) fn guard(gate: &Gate) {
    static ASKED: Once = Once::new();
    ASKED.call_once(|| {
        // SAFETY: the function is there for as long as the program is and takes nothing. A refusal, which it
        // answers by a number, leaves everything as it was before.
        let refused = unsafe { libc::atexit(end_walk) };
        tracing::debug!(refused, "the end of the program");
    });
    *walk() = Some(gate.clone());
}

/// The window ends its walk itself.
pub(super) fn release() {
    *walk() = None;
}

fn walk() -> MutexGuard<'static, Option<Gate>> {
    WALK.lock().unwrap_or_else(PoisonError::into_inner)
}

extern "C" fn end_walk() {
    // The lock is held for moments only, and never by the thread that ends the program.
    let Some(gate) = walk().take() else { return };
    let _ = writeln!(io::stderr(), "oneiro: the window is gone; ending the walk");
    gate.leave();
    gate.wait_over(PATIENCE);
}
