//! Pictures of views, as JPEG: turning brings up new views all the time, and a codec's decoder is a network.

use candle_core::{Error, Result};
use jpeg_decoder::{Decoder, PixelFormat};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

/// Of frames of Doom, 36 dB in three kilobytes: about what the shipped codec leaves of them.
const QUALITY: u8 = 80;

/// A picture, RGB, row by row.
pub(super) fn taken(pixels: &[u8], (width, height): (usize, usize)) -> Result<Vec<u8>> {
    if pixels.len() != 3 * width * height {
        candle_core::bail!("expected a view of {width}x{height}, got {} bytes", pixels.len());
    }
    let side = |side: usize| u16::try_from(side).map_err(Error::wrap);
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_1_1);
    encoder.set_optimized_huffman_tables(true);
    encoder.encode(pixels, side(width)?, side(height)?, ColorType::Rgb).map_err(Error::wrap)?;
    Ok(bytes)
}

/// The pixels of a picture of this size.
///
/// # Errors
/// It is damaged, or has another size.
pub(super) fn developed(picture: &[u8], (width, height): (usize, usize)) -> Result<Vec<u8>> {
    let mut decoder = Decoder::new(picture);
    decoder.read_info().map_err(Error::wrap)?;
    let info = decoder.info().map(|info| (info.width, info.height, info.pixel_format));
    let fits = |(w, h, format): (u16, u16, _)| {
        (usize::from(w), usize::from(h), format) == (width, height, PixelFormat::RGB24)
    };
    if !info.is_some_and(fits) {
        candle_core::bail!("expected views of {width}x{height} in colour, got {info:?}");
    }
    let pixels = decoder.decode().map_err(Error::wrap)?;
    if pixels.len() != 3 * width * height {
        candle_core::bail!("expected a view of {width}x{height}, got {} bytes", pixels.len());
    }
    Ok(pixels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slope() -> Vec<u8> {
        (0..48_u8).flat_map(|y| (0..64_u8).flat_map(move |x| [2 * x, 4 * y, x + y])).collect()
    }

    #[test]
    fn a_picture_is_nearly_what_was_taken() {
        let pixels = developed(&taken(&slope(), (64, 48)).unwrap(), (64, 48)).unwrap();
        let off = pixels.iter().zip(slope()).map(|(a, b)| f64::from(a.abs_diff(b)).powi(2));
        let mean = off.sum::<f64>() / pixels.len() as f64;
        assert!(mean < 4.0, "{mean}");
        let error = developed(&taken(&slope(), (64, 48)).unwrap(), (48, 64)).unwrap_err();
        assert!(error.to_string().contains("expected views of 48x64"), "{error}");
    }

    proptest! {
        #[test]
        fn a_damaged_picture_is_an_error_or_a_picture(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut picture = taken(&slope(), (64, 48)).unwrap();
            for (at, with) in changes {
                let at = at.index(picture.len());
                picture[at] = with;
            }
            picture.truncate(picture.len() / 2 + cut.index(picture.len()));
            if let Ok(pixels) = developed(&picture, (64, 48)) {
                prop_assert_eq!(pixels.len(), 3 * 64 * 48);
            }
        }
    }
}
