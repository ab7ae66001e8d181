//! Pictures as PNG files.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Writes RGB `pixels`, row by row, as a picture of `width` by `height`.
///
/// # Errors
/// When the file cannot be written, or the pixels are not that many; it is named.
pub fn write(path: &Path, pixels: &[u8], (width, height): (u32, u32)) -> Result<()> {
    let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    let mut encoder = png::Encoder::new(BufWriter::new(file), width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(pixels)?;
        writer.finish()
    });
    written.with_context(|| format!("write {}", path.display()))
}
