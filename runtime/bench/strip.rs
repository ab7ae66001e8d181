//! Rows of pictures in one file, to look at.

use std::path::Path;

use anyhow::Result;

use crate::picture;

/// Pixels between pictures, black.
const GAP: usize = 2;

/// Rows of equally many pictures of one size.
#[derive(Clone, Debug)]
pub struct Strip {
    width: usize,
    height: usize,
    /// Pictures in a row, once there is one.
    columns: usize,
    pixels: Vec<u8>,
}

impl Strip {
    /// An empty strip for pictures of this size.
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, columns: 0, pixels: Vec::new() }
    }

    /// Adds a row, `(height, width, 3)` bytes a picture.
    ///
    /// # Panics
    /// When a picture is of another size, or the row of another length than the first.
    pub fn row(&mut self, pictures: &[&[u8]]) {
        assert!(self.columns == 0 || self.columns == pictures.len(), "rows are equally long");
        self.columns = pictures.len();
        let line = self.width * 3;
        assert!(pictures.iter().all(|p| p.len() == line * self.height), "pictures have one size");
        for y in 0..self.height {
            for picture in pictures {
                self.pixels.extend_from_slice(&picture[y * line..(y + 1) * line]);
                self.pixels.extend_from_slice(&[0; GAP * 3]);
            }
        }
        self.pixels.resize(self.pixels.len() + GAP * self.line_bytes(), 0);
    }

    fn line_bytes(&self) -> usize {
        self.columns * (self.width + GAP) * 3
    }

    /// Writes the rows so far as a PNG.
    ///
    /// # Errors
    /// When the file cannot be written, or there is no row.
    pub fn write(&self, path: &Path) -> Result<()> {
        let width = self.line_bytes() / 3;
        let height = self.pixels.len() / self.line_bytes().max(1);
        picture::write(path, &self.pixels, (u32::try_from(width)?, u32::try_from(height)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_back_where_they_were_put() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("strip.png");
        let mut strip = Strip::new(3, 2);
        let [red, green] = [[255, 0, 0], [0, 255, 0]].map(|colour| colour.repeat(6));
        strip.row(&[&red, &green]);
        strip.row(&[&green, &red]);
        strip.write(&path).unwrap();

        let decoder =
            png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&path).unwrap()));
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (10, 8));
        let at = |x: usize, y: usize| &pixels[(y * 10 + x) * 3..][..3];
        assert_eq!(at(2, 1), [255, 0, 0]);
        assert_eq!(at(5, 0), [0, 255, 0]);
        assert_eq!(at(3, 0), [0, 0, 0]);
        assert_eq!(at(0, 4), [0, 255, 0]);
        assert!(Strip::new(3, 2).write(&path).is_err());
    }
}
