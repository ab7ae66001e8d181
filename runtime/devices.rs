//! `oneiro devices`: what there is to draw, compute and steer with.

use std::io::{self, Write as _};

use anyhow::Result;

/// Prints one line for each device.
///
/// # Errors
/// When the lines cannot be printed.
pub fn list() -> Result<()> {
    let mut out = io::stdout().lock();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    writeln!(out, "compute: processor, {cores} threads")?;
    #[cfg(feature = "window")]
    for line in crate::present::adapters() {
        writeln!(out, "draw: {line}")?;
    }
    Ok(())
}
