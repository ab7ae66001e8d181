//! One picture.

/// A picture in 8-bit sRGB, row by row from the top left, red, green, blue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `height * width * 3` bytes.
    pub pixels: Vec<u8>,
}

impl Frame {
    /// A picture of one colour.
    pub fn filled(width: u32, height: u32, colour: [u8; 3]) -> Self {
        let count = width as usize * height as usize;
        Self { width, height, pixels: colour.repeat(count) }
    }

    /// Bytes that a picture of this size has.
    pub fn byte_count(width: u32, height: u32) -> usize {
        width as usize * height as usize * 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filled_pictures_have_the_bytes_of_their_size() {
        let frame = Frame::filled(4, 2, [1, 2, 3]);
        assert_eq!(frame.pixels.len(), Frame::byte_count(4, 2));
        assert_eq!(frame.pixels[3..6], [1, 2, 3]);
    }
}
