//! A picture of one's own to begin from, brought to the world's size.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use input::Frame;

/// Largest side accepted: beyond any photograph, and 192 MB once decoded in the worst case.
const MAX_SIDE: u32 = 8192;
/// Most pixels accepted.
const MAX_PIXELS: u64 = 64 << 20;

/// Reads a PNG of any size and colour type; [`fit`] brings it to a world's size.
///
/// # Errors
/// When the file cannot be read, is no PNG, or is larger than 8192 × 8192 pixels.
pub fn read(path: &Path) -> Result<Frame> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    decode(BufReader::new(file)).with_context(|| format!("read the picture {}", path.display()))
}

/// Decodes a PNG of any colour type to RGB; alpha lies over black.
fn decode(reader: impl BufRead + Seek) -> Result<Frame> {
    let limits = png::Limits { bytes: usize::try_from(MAX_PIXELS * 4)? };
    let mut decoder = png::Decoder::new_with_limits(reader, limits);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = match decoder.read_info() {
        Err(error @ png::DecodingError::LimitsExceeded) => {
            let most = format!("expected at most {MAX_SIDE} x {MAX_SIDE} pixels; scale it down");
            return Err(error).context(most);
        }
        read => read.context(
            "expected a PNG picture; convert other formats, e.g. with `magick in.jpg out.png`",
        )?,
    };
    let (width, height) = reader.info().size();
    ensure!(
        width <= MAX_SIDE
            && height <= MAX_SIDE
            && u64::from(width) * u64::from(height) <= MAX_PIXELS,
        "expected at most {MAX_SIDE} x {MAX_SIDE} pixels, got {width} x {height}; scale it down"
    );
    let size = reader.output_buffer_size().context("its size overflows")?;
    let mut bytes = vec![0; size];
    let info = reader.next_frame(&mut bytes).context("the PNG is damaged or cut short")?;
    bytes.truncate(info.buffer_size());
    Ok(Frame { width, height, pixels: to_rgb(&bytes, info.color_type)? })
}

fn to_rgb(bytes: &[u8], colour: png::ColorType) -> Result<Vec<u8>> {
    // The product of two bytes over 255 is a byte.
    let over_black = |value: u8, alpha: u8| {
        u8::try_from(u16::from(value) * u16::from(alpha) / 255).unwrap_or(u8::MAX)
    };
    Ok(match colour {
        png::ColorType::Rgb => bytes.to_vec(),
        png::ColorType::Grayscale => bytes.iter().flat_map(|&grey| [grey; 3]).collect(),
        png::ColorType::GrayscaleAlpha => {
            bytes.chunks_exact(2).flat_map(|p| [over_black(p[0], p[1]); 3]).collect()
        }
        png::ColorType::Rgba => bytes
            .chunks_exact(4)
            .flat_map(|p| [p[0], p[1], p[2]].map(|value| over_black(value, p[3])))
            .collect(),
        png::ColorType::Indexed => bail!("the PNG's palette was not resolved"),
    })
}

/// Cuts the largest middle part of the wanted shape and averages it down (or repeats it up).
pub fn fit(picture: &Frame, width: u32, height: u32) -> Frame {
    let (w, h) = (u64::from(picture.width), u64::from(picture.height));
    let (cut_w, cut_h) = if w * u64::from(height) > h * u64::from(width) {
        ((h * u64::from(width) / u64::from(height)).max(1), h)
    } else {
        (w, (w * u64::from(height) / u64::from(width)).max(1))
    };
    let columns: Vec<_> = spans((w - cut_w) / 2, cut_w, width).collect();
    let mut pixels = Vec::with_capacity(Frame::byte_count(width, height));
    for rows in spans((h - cut_h) / 2, cut_h, height) {
        for column in &columns {
            pixels.extend(mean(picture, column, &rows));
        }
    }
    Frame { width, height, pixels }
}

/// Splits `length` source pixels from `from` on into `parts` runs of at least one pixel.
fn spans(from: u64, length: u64, parts: u32) -> impl Iterator<Item = std::ops::Range<u64>> {
    let parts = u64::from(parts);
    (0..parts).map(move |part| {
        let start = part * length / parts;
        let end = ((part + 1) * length / parts).max(start + 1);
        from + start..from + end
    })
}

fn mean(picture: &Frame, columns: &std::ops::Range<u64>, rows: &std::ops::Range<u64>) -> [u8; 3] {
    let mut sum = [0_u64; 3];
    for y in rows.clone() {
        for x in columns.clone() {
            let at = usize::try_from((y * u64::from(picture.width) + x) * 3).unwrap_or(usize::MAX);
            for (sum, value) in sum.iter_mut().zip(&picture.pixels[at..at + 3]) {
                *sum += u64::from(*value);
            }
        }
    }
    let count = (columns.end - columns.start) * (rows.end - rows.start);
    // A mean of bytes is a byte.
    sum.map(|sum| u8::try_from((sum + count / 2) / count).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn png(width: u32, height: u32, colour: png::ColorType, bytes: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(colour);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header().unwrap().write_image_data(bytes).unwrap();
        file
    }

    #[test]
    fn every_colour_type_becomes_rgb() {
        let cases = [
            (png::ColorType::Rgb, vec![10, 20, 30], [10, 20, 30]),
            (png::ColorType::Grayscale, vec![9], [9, 9, 9]),
            (png::ColorType::GrayscaleAlpha, vec![200, 0], [0, 0, 0]),
            (png::ColorType::Rgba, vec![10, 20, 30, 255], [10, 20, 30]),
        ];
        for (colour, bytes, expected) in cases {
            let frame = decode(Cursor::new(png(1, 1, colour, &bytes))).unwrap();
            assert_eq!(frame.pixels, expected, "{colour:?}");
        }
    }

    #[test]
    fn the_middle_is_kept_and_averaged() {
        // Six columns on two rows: the outer two columns are cut off for a square of 1 x 1.
        let row = [[255, 0, 0], [255, 0, 0], [0, 0, 10], [0, 0, 20], [255, 0, 0], [255, 0, 0]];
        let frame = Frame { width: 6, height: 2, pixels: [row, row].concat().concat() };
        assert_eq!(fit(&frame, 1, 1).pixels, [0, 0, 15]);
    }

    #[test]
    fn a_small_picture_is_repeated_up() {
        let frame = Frame { width: 2, height: 1, pixels: vec![1, 1, 1, 9, 9, 9] };
        let fitted = fit(&frame, 4, 2);
        let row = [1, 1, 1, 1, 1, 1, 9, 9, 9, 9, 9, 9];
        assert_eq!(fitted.pixels, [row, row].concat());
    }

    #[test]
    fn a_huge_picture_is_refused_before_it_is_decoded() {
        let mut file = png(1, 1, png::ColorType::Grayscale, &[0]);
        file[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]);
        // The size lies in the header chunk: its checksum must fit the lie to be believed.
        let crc = crc(&file[12..29]);
        file[29..33].copy_from_slice(&crc.to_be_bytes());
        let error = format!("{:#}", decode(Cursor::new(file)).unwrap_err());
        assert!(
            error.contains("expected at most 8192 x 8192 pixels, got 16384 x 16384"),
            "{error}"
        );
    }

    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ ((crc & 1) * 0xedb8_8320))
        })
    }

    proptest! {
        #[test]
        fn a_damaged_picture_never_panics(at in 0_usize..400, value: u8) {
            let mut file = png(9, 7, png::ColorType::Rgb, &[77; 9 * 7 * 3]);
            let at = at % file.len();
            file[at] = value;
            let _ = decode(Cursor::new(file));
        }

        #[test]
        fn fitting_gives_the_wanted_size(w in 1_u32..40, h in 1_u32..40, width in 1_u32..40, height in 1_u32..40) {
            let frame = Frame::filled(w, h, [3, 2, 1]);
            prop_assert_eq!(fit(&frame, width, height), Frame::filled(width, height, [3, 2, 1]));
        }
    }
}
