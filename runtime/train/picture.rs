//! Strips of frames.

use crate::picture;
use anyhow::Result;
use std::path::Path;

/// Rows of equally large RGB frames, written one below the other as a PNG.
pub(crate) fn write_strip(
    path: &Path,
    rows: &[Vec<&[u8]>],
    (width, height): (u32, u32),
) -> Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let line = 3 * width as usize;
    let mut pixels = Vec::with_capacity(rows.len() * columns * line * height as usize);
    let black = vec![0; line * height as usize];
    for row in rows {
        for y in 0..height as usize {
            for column in 0..columns {
                let frame = row.get(column).copied().unwrap_or(&black);
                pixels.extend_from_slice(&frame[y * line..(y + 1) * line]);
            }
        }
    }
    let size = (width * u32::try_from(columns)?, height * u32::try_from(rows.len())?);
    picture::write(path, &pixels, size)
}
