//! The picture size in a stream's sequence parameters (H.264 §7.3.2.1.1).
//!
//! A decoder takes memory by the size that the stream states. Reading that size first means that a
//! hostile stream cannot make it take more than the session's header allows.

/// Profiles whose parameters have colour format and bit depths before the common part.
const HIGH_PROFILES: [u8; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// Width and height in macroblocks of 16×16 pixels, or `None` for streams of other profiles than
/// baseline, which is the one written here.
pub(super) fn macroblocks(unit: &[u8]) -> Option<(u32, u32)> {
    const BASELINE: u8 = 66;
    (unit.get(1) == Some(&BASELINE)).then(|| macroblocks_of_any_profile(unit)).flatten()
}

/// Width and height in macroblocks of 16×16 pixels of a stream with 8 bits a colour and 4:2:0, or `None` for others
/// and for damaged ones.
pub(super) fn macroblocks_of_any_profile(unit: &[u8]) -> Option<(u32, u32)> {
    let unit = without_escapes(unit);
    let [_, profile, _constraints, _level, rest @ ..] = unit.as_slice() else { return None };
    let mut bits = Bits { bytes: rest, at: 0 };
    let _id = bits.number()?;
    if HIGH_PROFILES.contains(profile) {
        let (colours, luma_depth, chroma_depth) = (bits.number()?, bits.number()?, bits.number()?);
        if (colours, luma_depth, chroma_depth) != (1, 0, 0) {
            return None;
        }
        let _bypass = bits.bit()?;
        if bits.bit()? {
            skip_scaling_lists(&mut bits)?;
        }
    }
    let _frame_number_bits = bits.number()?;
    match bits.number()? {
        0 => _ = bits.number()?,
        1 => {
            let _always_zero = bits.bit()?;
            let (_for_others, _for_bottom) = (bits.number()?, bits.number()?);
            for _ in 0..bits.number()? {
                let _offset = bits.number()?;
            }
        }
        2 => {}
        _ => return None,
    }
    let _reference_frames = bits.number()?;
    let _gaps_allowed = bits.bit()?;
    let width = bits.number()?.checked_add(1)?;
    let rows = bits.number()?.checked_add(1)?;
    let frames_only = bits.bit()?;
    Some((width, if frames_only { rows } else { rows.checked_mul(2)? }))
}

/// The unit without the 3 that stands after two zeros wherever its content looks like a start code.
fn without_escapes(unit: &[u8]) -> Vec<u8> {
    let mut zeros = 0;
    let mut plain = Vec::with_capacity(unit.len());
    for &byte in unit {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        plain.push(byte);
    }
    plain
}

/// Passes over six lists of 16 and two of 64 differences, each ended early by a scale of zero (H.264 §7.3.2.1.1.1).
fn skip_scaling_lists(bits: &mut Bits<'_>) -> Option<()> {
    for list in 0..8 {
        if !bits.bit()? {
            continue;
        }
        let mut scale = 8;
        for _ in 0..if list < 6 { 16 } else { 64 } {
            let number = i64::from(bits.number()?);
            let difference = if number % 2 == 1 { (number + 1) / 2 } else { -number / 2 };
            scale = (scale + difference).rem_euclid(256);
            if scale == 0 {
                break;
            }
        }
    }
    Some(())
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
