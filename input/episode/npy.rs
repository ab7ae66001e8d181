//! `NumPy`'s array format, as far as recorded play needs it: numbers, little-endian, C order.
//!
//! The header is a Python dictionary. It is read here by hand rather than by a general parser of
//! Python literals, because it comes from outside: its length, its nesting and the product of its
//! shape are checked before anything is believed.

use std::io::{self, Read};

/// Longest header accepted; `NumPy` writes 118 bytes for an array of four dimensions.
const MAX_HEADER: usize = 4096;

/// Most dimensions accepted; no layout here has more than four.
const MAX_DIMENSIONS: usize = 8;

/// Element type of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl Number {
    /// From the type text of `NumPy`, for instance `<f4`.
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "|u1" | "|b1" | "<u1" => Self::U8,
            "|i1" | "<i1" => Self::I8,
            "<u2" => Self::U16,
            "<i2" => Self::I16,
            "<u4" => Self::U32,
            "<i4" => Self::I32,
            "<u8" => Self::U64,
            "<i8" => Self::I64,
            "<f4" => Self::F32,
            "<f8" => Self::F64,
            _ => return None,
        })
    }

    /// Bytes of one element.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Whether elements are whole numbers.
    pub(super) fn is_integer(self) -> bool {
        !matches!(self, Self::F32 | Self::F64)
    }

    /// The element at the start of `bytes`, which holds at least [`Self::bytes`].
    ///
    /// Whole numbers beyond 2^53 lose their last bits; nothing recorded here is that large.
    fn read(self, bytes: &[u8]) -> f64 {
        let at = |i: usize| bytes[i];
        match self {
            Self::U8 => f64::from(at(0)),
            Self::I8 => f64::from(i8::from_le_bytes([at(0)])),
            Self::U16 => f64::from(u16::from_le_bytes([at(0), at(1)])),
            Self::I16 => f64::from(i16::from_le_bytes([at(0), at(1)])),
            Self::U32 => f64::from(u32::from_le_bytes(std::array::from_fn(at))),
            Self::I32 => f64::from(i32::from_le_bytes(std::array::from_fn(at))),
            Self::F32 => f64::from(f32::from_le_bytes(std::array::from_fn(at))),
            Self::U64 => u64::from_le_bytes(std::array::from_fn(at)) as f64,
            Self::I64 => i64::from_le_bytes(std::array::from_fn(at)) as f64,
            Self::F64 => f64::from_le_bytes(std::array::from_fn(at)),
        }
    }
}

/// What stands before the elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Element type.
    pub(super) number: Number,
    /// Lengths of the dimensions.
    pub(super) shape: Vec<usize>,
    /// Bytes of all elements.
    pub(super) data_bytes: usize,
    /// Bytes of the header itself.
    pub(super) header_bytes: usize,
}

/// An array in memory.
#[derive(Clone, Debug)]
pub(super) struct Array {
    /// Its type and shape.
    pub(super) header: Header,
    /// Its elements as stored.
    pub(super) bytes: Vec<u8>,
}

impl Array {
    /// All elements in order.
    pub(super) fn numbers(&self) -> impl ExactSizeIterator<Item = f64> {
        let number = self.header.number;
        self.bytes.chunks_exact(number.bytes()).map(move |bytes| number.read(bytes))
    }
}

/// Reads a header and leaves `reader` at the first element.
pub(super) fn read_header(reader: &mut impl Read) -> io::Result<Header> {
    let mut start = [0; 8];
    reader.read_exact(&mut start)?;
    if start[..6] != *b"\x93NUMPY" {
        return Err(malformed("no NumPy magic"));
    }
    let width = match start[6] {
        1 => 2,
        2 | 3 => 4,
        _ => return Err(malformed("unknown NumPy version")),
    };
    let mut length = [0; 4];
    reader.read_exact(&mut length[..width])?;
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_HEADER {
        return Err(malformed("NumPy header too long"));
    }
    let mut text = vec![0; length];
    reader.read_exact(&mut text)?;
    let text = std::str::from_utf8(&text).map_err(|error| malformed(&error.to_string()))?;
    parse_header(text, 8 + width + length)
}

fn parse_header(text: &str, header_bytes: usize) -> io::Result<Header> {
    let value = |key: &str| {
        let (_, rest) = text.split_once(&format!("'{key}'"))?;
        rest.trim_start().strip_prefix(':').map(str::trim_start)
    };
    let order = value("fortran_order").ok_or_else(|| malformed("no 'fortran_order'"))?;
    if !order.starts_with("False") {
        return Err(malformed("Fortran order; save np.ascontiguousarray(array)"));
    }
    let number = value("descr")
        .and_then(|rest| rest.strip_prefix('\''))
        .and_then(|rest| rest.split_once('\''))
        .and_then(|(name, _)| Number::parse(name))
        .ok_or_else(|| malformed("not an array of little-endian numbers"))?;
    let shape = value("shape")
        .and_then(|rest| rest.strip_prefix('('))
        .and_then(|rest| rest.split_once(')'))
        .and_then(|(shape, _)| parse_shape(shape))
        .ok_or_else(|| malformed("no 'shape' of whole numbers"))?;
    let data_bytes = shape
        .iter()
        .try_fold(number.bytes(), |bytes, &side| bytes.checked_mul(side))
        .ok_or_else(|| malformed("more elements than fit in memory"))?;
    Ok(Header { number, shape, data_bytes, header_bytes })
}

fn parse_shape(text: &str) -> Option<Vec<usize>> {
    let sides = text.split(',').map(str::trim).filter(|side| !side.is_empty());
    let shape = sides.map(|side| side.parse().ok()).collect::<Option<Vec<usize>>>()?;
    (shape.len() <= MAX_DIMENSIONS).then_some(shape)
}

/// The header `NumPy` would write for a C-order array; `descr` for instance `<f4`.
pub(super) fn write_header(descr: &str, shape: &[usize]) -> Vec<u8> {
    let mut sides = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    if shape.len() == 1 {
        sides.push(',');
    }
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sides}), }}");
    // Elements start at a multiple of 64 bytes, as NumPy wants it for memory maps.
    while (10 + text.len() + 1) % 64 != 0 {
        text.push(' ');
    }
    text.push('\n');
    let length = u16::try_from(text.len()).expect("eight dimensions take less than 64 KiB of text");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(text: &str) -> io::Result<Header> {
        parse_header(text, 0)
    }

    #[test]
    fn headers_of_numpy_are_understood() {
        let text = "{'descr': '|u1', 'fortran_order': False, 'shape': (5, 96, 128, 3), }   \n";
        let read = header(text).unwrap();
        assert_eq!((read.number, read.data_bytes), (Number::U8, 5 * 96 * 128 * 3));
        assert_eq!(read.shape, [5, 96, 128, 3]);
        let one = header("{'descr': '<f4', 'fortran_order': False, 'shape': (7,), }").unwrap();
        assert_eq!((one.shape, one.data_bytes), (vec![7], 28));
    }

    #[test]
    fn hostile_headers_are_refused() {
        let cases = [
            ("{'descr': '|O', 'fortran_order': False, 'shape': (5,), }", "little-endian numbers"),
            ("{'descr': '>f4', 'fortran_order': False, 'shape': (5,), }", "little-endian numbers"),
            ("{'descr': '<f4', 'fortran_order': True, 'shape': (5,), }", "ascontiguousarray"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (-5,), }", "whole numbers"),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999, 9999999999), }",
                "more elements",
            ),
            ("{'fortran_order': False}", "little-endian numbers"),
            ("((((((((((", "fortran_order"),
        ];
        for (text, wanted) in cases {
            let message = header(text).unwrap_err().to_string();
            assert!(message.contains(wanted), "{text}: {message}");
        }
    }

    #[test]
    fn whole_numbers_keep_their_sign() {
        let header = Header { number: Number::I32, shape: vec![2], data_bytes: 8, header_bytes: 0 };
        let bytes = [(-3_i32).to_le_bytes(), 4_i32.to_le_bytes()].concat();
        assert_eq!(Array { header, bytes }.numbers().collect::<Vec<_>>(), [-3.0, 4.0]);
    }

    proptest! {
        #[test]
        fn written_headers_read_back(shape in prop::collection::vec(0_usize..1000, 1..4)) {
            let bytes = write_header("<f4", &shape);
            prop_assert_eq!(bytes.len() % 64, 0);
            let header = read_header(&mut bytes.as_slice()).unwrap();
            prop_assert_eq!(header.header_bytes, bytes.len());
            prop_assert_eq!(header.shape, shape);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[{}()':, a-z0-9|<]{0,80}") {
            let _ = header(&text);
        }
    }
}
