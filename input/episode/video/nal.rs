//! Units of an H.264 stream: their kinds, and splitting what the encoder gives.

/// Kinds of unit that matter here, by their number in the standard (H.264 table 7-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A picture that needs earlier ones.
    Picture,
    /// A picture that stands alone.
    KeyPicture,
    /// Sequence parameters: size and profile.
    Sequence,
    /// Picture parameters.
    PictureParameters,
    /// Anything else.
    Other,
}

/// The kind of a unit, from its first byte.
pub(super) fn kind(unit: &[u8]) -> Kind {
    match unit.first().map(|first| first & 31) {
        Some(1) => Kind::Picture,
        Some(5) => Kind::KeyPicture,
        Some(7) => Kind::Sequence,
        Some(8) => Kind::PictureParameters,
        _ => Kind::Other,
    }
}

/// The units of a byte stream, without their start codes `00 00 01`.
pub(super) fn units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start_code(stream);
    std::iter::from_fn(move || {
        let unit = rest?;
        let end = start_code(unit).unwrap_or(unit.len());
        rest = after_start_code(&unit[end..]);
        // A start code of four bytes leaves its first zero at the end of the unit before.
        let trailing = unit[..end].iter().rev().take_while(|&&byte| byte == 0).count();
        Some(&unit[..end - trailing])
    })
}

fn start_code(bytes: &[u8]) -> Option<usize> {
    bytes.windows(3).position(|three| three == [0, 0, 1])
}

fn after_start_code(bytes: &[u8]) -> Option<&[u8]> {
    start_code(bytes).map(|at| &bytes[at + 3..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_split_at_start_codes_of_both_lengths() {
        let stream = [0, 0, 0, 1, 0x67, 9, 0, 0, 1, 0x68, 8, 0, 0, 0, 1, 0x65, 0, 7];
        let split: Vec<&[u8]> = units(&stream).collect();
        assert_eq!(split, [&[0x67, 9][..], &[0x68, 8], &[0x65, 0, 7]]);
        let kinds: Vec<Kind> = split.into_iter().map(kind).collect();
        assert_eq!(kinds, [Kind::Sequence, Kind::PictureParameters, Kind::KeyPicture]);
    }
}
