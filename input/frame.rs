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

    /// The picture at another size: each pixel is the mean of the area that it covers, so that detail too fine for the
    /// new size does not shimmer. Another shape stretches the picture; nothing is cut off.
    #[must_use]
    pub fn resized(&self, width: u32, height: u32) -> Self {
        if (width, height) == (self.width, self.height) {
            return self.clone();
        }
        let (columns, rows) = (shares(self.width, width), shares(self.height, height));
        let row_bytes = self.width as usize * 3;
        let narrowed: Vec<Vec<u64>> = self
            .pixels
            .chunks_exact(row_bytes.max(1))
            .map(|row| {
                let pixel = |share: &Vec<(usize, u64)>| {
                    [0, 1, 2].map(|c| {
                        share.iter().map(|(x, weight)| u64::from(row[3 * x + c]) * weight).sum()
                    })
                };
                columns.iter().flat_map(pixel).collect()
            })
            .collect();
        let whole = u64::from(self.width) * u64::from(self.height);
        let mut pixels = Vec::with_capacity(Self::byte_count(width, height));
        for share in &rows {
            let mut sums = vec![0; width as usize * 3];
            for (y, weight) in share {
                sums.iter_mut().zip(&narrowed[*y]).for_each(|(sum, value)| *sum += value * weight);
            }
            // A mean of bytes is a byte.
            pixels.extend(
                sums.iter()
                    .map(|sum: &u64| u8::try_from((sum + whole / 2) / whole).unwrap_or(u8::MAX)),
            );
        }
        Self { width, height, pixels }
    }

    /// Bytes that a picture of this size has.
    pub fn byte_count(width: u32, height: u32) -> usize {
        width as usize * height as usize * 3
    }
}

/// For each of `to` equal parts of a side of `from` pixels, the pixels that it covers and how much of each, in `to`ths
/// of a pixel: the shares of a part add up to `from`.
fn shares(from: u32, to: u32) -> Vec<Vec<(usize, u64)>> {
    let (from, to) = (u64::from(from), u64::from(to));
    let part = |part: u64| {
        let (start, end) = (part * from, (part + 1) * from);
        let overlap = |pixel: u64| ((pixel + 1) * to).min(end) - (pixel * to).max(start);
        let pixels = start / to..end.div_ceil(to);
        pixels.map(|pixel| (usize::try_from(pixel).unwrap_or(usize::MAX), overlap(pixel))).collect()
    };
    (0..to).map(part).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shrinking_is_the_mean_of_the_area() {
        let row = |values: &[u8]| Frame {
            width: u32::try_from(values.len()).unwrap(),
            height: 1,
            pixels: values.iter().flat_map(|value| [*value; 3]).collect(),
        };
        assert_eq!(row(&[0, 10, 20, 30]).resized(2, 1), row(&[5, 25]));
        // Two thirds of a pixel count for two thirds: (2 * 0 + 1 * 90) / 3.
        assert_eq!(row(&[0, 90, 0]).resized(2, 1), row(&[30, 30]));
        assert_eq!(row(&[7, 9]).resized(4, 2).pixels[..12], [7, 7, 7, 7, 7, 7, 9, 9, 9, 9, 9, 9]);
    }

    proptest! {
        #[test]
        fn one_colour_stays_at_any_size(colour: [u8; 3], w in 1_u32..9, h in 1_u32..9, to_w in 1_u32..20, to_h in 1_u32..20) {
            prop_assert_eq!(Frame::filled(w, h, colour).resized(to_w, to_h), Frame::filled(to_w, to_h, colour));
        }
    }

    #[test]
    fn filled_pictures_have_the_bytes_of_their_size() {
        let frame = Frame::filled(4, 2, [1, 2, 3]);
        assert_eq!(frame.pixels.len(), Frame::byte_count(4, 2));
        assert_eq!(frame.pixels[3..6], [1, 2, 3]);
    }
}
