//! The picture size in a stream's sequence parameters (H.264 §7.3.2.1.1).
//!
//! A decoder takes memory by the size that the stream states. Reading that size first means that a
//! hostile stream cannot make it take more than the session's header allows.

/// Width and height in macroblocks of 16×16 pixels, or `None` for streams of other profiles than
/// baseline, which is the one written here.
pub(super) fn macroblocks(unit: &[u8]) -> Option<(u32, u32)> {
    const BASELINE: u8 = 66;
    let [_, BASELINE, _constraints, _level, rest @ ..] = unit else { return None };
    let mut bits = Bits { bytes: rest, at: 0 };
    let _id = bits.number()?;
    let _frame_number_bits = bits.number()?;
    match bits.number()? {
        0 => _ = bits.number()?,
        2 => {}
        _ => return None,
    }
    let _reference_frames = bits.number()?;
    let _gaps_allowed = bits.bit()?;
    let width = bits.number()?.checked_add(1)?;
    let height = bits.number()?.checked_add(1)?;
    let frames_only = bits.bit()?;
    frames_only.then_some((width, height))
}

/// A reader of single bits, the highest of each byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1 == 1;
        self.at += 1;
        Some(bit)
    }

    /// An Exp-Golomb number: n zeros, a one, n bits.
    fn number(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let mut value = 1_u64;
        for _ in 0..zeros {
            value = value << 1 | u64::from(self.bit()?);
        }
        u32::try_from(value - 1).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusty_h264::{Encoder, EncoderConfig, YuvFrame};

    use super::super::nal;
    use super::*;

    #[test]
    fn the_encoders_own_sizes_are_read() {
        for (width, height, blocks) in [(128, 96, (8, 6)), (160, 90, (10, 6)), (2, 2, (1, 1))] {
            let mut encoder = Encoder::new(EncoderConfig::baseline(width, height)).unwrap();
            let stream = encoder.encode(&YuvFrame::black(width, height));
            let unit = nal::units(&stream).find(|unit| nal::kind(unit) == nal::Kind::Sequence);
            assert_eq!(macroblocks(unit.unwrap()), Some(blocks));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes: Vec<u8>) {
            if let Some(profile) = bytes.get_mut(1) {
                *profile = 66;
            }
            let _ = macroblocks(&bytes);
        }
    }
}
