//! Pictures as PNG files.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context as _, Result};
use input::Frame;

use crate::start;

/// Longest side of a picture in a list, in pixels.
const SMALL: u32 = 512;

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

/// A picture for a list: one with a side longer than 512 pixels is shrunk, so that many of any size can be shown.
pub fn small(picture: Frame) -> Frame {
    let longest = picture.width.max(picture.height);
    if longest <= SMALL {
        return picture;
    }
    let share = f64::from(SMALL) / f64::from(longest);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and 512"
    )]
    let side = |length: u32| (f64::from(length) * share).round().max(1.0) as u32;
    start::fit(&picture, side(picture.width), side(picture.height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_in_a_list_keep_their_shape_and_are_never_large() {
        let shade = [7, 8, 9];
        let small_one = Frame::filled(512, 3, shade);
        assert_eq!(small(small_one.clone()), small_one);
        assert_eq!(small(Frame::filled(2048, 1024, shade)), Frame::filled(512, 256, shade));
        assert_eq!(small(Frame::filled(1, 4096, shade)), Frame::filled(1, 512, shade));
    }
}
