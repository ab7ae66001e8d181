//! What the configurations of all networks have in common.

use crate::error::Error;
use crate::weights::read_text;
use std::path::Path;

/// Most blocks of one kind: far beyond what is published.
const BLOCKS_MAX: usize = 1000;
/// Largest width of anything.
pub(super) const WIDTH_MAX: usize = 1 << 20;

/// Reads `config.json` of `folder` by `parse`.
///
/// # Errors
/// It is missing, damaged, or describes another network; the message names it.
pub(super) fn open<T>(
    folder: &Path,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, Error> {
    let path = folder.join("config.json");
    let text = read_text(&path, "configuration of the network")?;
    parse(&text).map_err(|reason| Error::World { reason, path })
}

/// Whether widths and numbers of blocks are such that a network can be made of them.
pub(super) fn check(widths: &[usize], blocks: &[usize]) -> Result<(), String> {
    if widths.iter().any(|width| !(1..=WIDTH_MAX).contains(width)) {
        return Err(format!("expected widths of 1 to {WIDTH_MAX}"));
    }
    if blocks.iter().any(|&count| count > BLOCKS_MAX) {
        return Err(format!("expected at most {BLOCKS_MAX} blocks of a kind"));
    }
    Ok(())
}

/// Texts that a change of `text` makes are refused, each for its reason.
#[cfg(test)]
pub(super) fn refused<T: std::fmt::Debug>(
    parse: fn(&str) -> Result<T, String>,
    text: &str,
    changes: &[(&str, &str, &str)],
) {
    for (from, to, complaint) in changes {
        let error = parse(&text.replace(from, to)).expect_err("it is refused");
        assert!(error.contains(complaint), "{from} as {to}: {error}");
    }
}
