//! Motion JPEG in AVI files, as OpenCV and others write it.
//!
//! The file is walked chunk by chunk; its index is not needed. Beyond the first gigabyte it goes on in further `RIFF`
//! parts (OpenDML), which are walked alike.

use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::Frame;
use crate::episode::{EpisodeError, MAX_SIDE};

/// Most bytes of one coded picture: an uncompressed one of the largest size has 48 MiB.
const MAX_PICTURE: u32 = 64 << 20;

/// What the head of an AVI file says of its pictures.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Head {
    /// Four letters that name the codec.
    pub(super) codec: [u8; 4],
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) fps: Option<f32>,
}

/// Gives the pictures of a file in order.
pub(super) struct AviFrames {
    path: PathBuf,
    file: BufReader<File>,
    file_bytes: u64,
    head: Head,
    /// Set after the end or an error: nothing more is given.
    done: bool,
}

impl AviFrames {
    /// Opens a file and reads its head.
    pub(super) fn open(path: &Path) -> Result<Self, EpisodeError> {
        let file = File::open(path).map_err(|e| EpisodeError::io("open", path, e))?;
        let file_bytes = file.metadata().map_err(|e| EpisodeError::io("read", path, e))?.len();
        let head = Head { codec: *b"none", width: 0, height: 0, fps: None };
        let file = BufReader::new(file);
        let mut this = Self { path: path.to_owned(), file, file_bytes, head, done: false };
        this.read_head()?;
        Ok(this)
    }

    /// What the head says.
    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// Reads on to the beginning of the pictures (`movi`).
    fn read_head(&mut self) -> Result<(), EpisodeError> {
        let (mut scale, mut rate) = (0, 0);
        while let Some((kind, length, at)) = self.next_chunk()? {
            if at == 0 && kind != *b"RIFF" {
                return Err(self.fault("an AVI file", "another kind of file", 0));
            }
            match &kind {
                b"RIFF" => self.skip(4)?,
                b"LIST" => {
                    let mut kind = [0; 4];
                    self.file.read_exact(&mut kind).map_err(|e| self.io(e))?;
                    match &kind {
                        b"movi" => return self.check_head(scale, rate, at),
                        b"hdrl" | b"strl" => {}
                        _ => self.skip(u64::from(length).saturating_sub(4).next_multiple_of(2))?,
                    }
                }
                b"strh" | b"strf" => {
                    let content = self.take(length.min(1 << 16), at)?;
                    self.skip(u64::from(length - length.min(1 << 16)) + u64::from(length % 2))?;
                    let number = |at: usize| {
                        let four = content.get(at..).and_then(<[u8]>::first_chunk::<4>);
                        four.map_or(0, |four| u32::from_le_bytes(*four))
                    };
                    if kind == *b"strh" && content.starts_with(b"vids") {
                        (scale, rate) = (number(20), number(24));
                    } else if kind == *b"strf" && self.head.width == 0 && scale > 0 {
                        (self.head.width, self.head.height) = (number(4), number(8));
                        self.head.codec = number(16).to_le_bytes();
                    }
                }
                _ => self.skip(u64::from(length).next_multiple_of(2))?,
            }
        }
        Err(self.fault("an AVI file with pictures (`movi`)", "none", self.file_bytes))
    }

    fn check_head(&mut self, scale: u32, rate: u32, at: u64) -> Result<(), EpisodeError> {
        let Head { width, height, .. } = self.head;
        if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
            let expected = format!("pictures of 1 to {MAX_SIDE} pixels a side");
            return Err(self.fault(&expected, format!("{width}x{height}"), at));
        }
        #[expect(clippy::cast_possible_truncation, reason = "a rate of a few digits")]
        let fps = (f64::from(rate) / f64::from(scale)) as f32;
        self.head.fps = (fps > 0.0 && fps <= 1000.0).then_some(fps);
        Ok(())
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, EpisodeError> {
        while let Some((kind, length, at)) = self.next_chunk()? {
            match &kind {
                // Lists and further parts are entered: their chunks follow at once.
                b"RIFF" | b"LIST" => self.skip(4)?,
                [_, _, b'd', b'c' | b'b'] => {
                    let bytes = self.take(length, at)?;
                    self.skip(u64::from(length % 2))?;
                    // An empty chunk repeats the picture before; none of the writers makes one.
                    return self.decode(&bytes, at).map(Some);
                }
                _ => self.skip(u64::from(length).next_multiple_of(2))?,
            }
        }
        Ok(None)
    }

    fn decode(&self, bytes: &[u8], at: u64) -> Result<Frame, EpisodeError> {
        let frame = decode_jpeg(bytes).map_err(|got| self.fault("a JPEG picture", got, at))?;
        let (width, height) = (self.head.width, self.head.height);
        if (frame.width, frame.height) != (width, height) {
            let got = format!("{}x{}", frame.width, frame.height);
            return Err(self.fault(&format!("a picture of {width}x{height}"), got, at));
        }
        Ok(frame)
    }

    /// Kind, length and place of the next chunk; `None` at the end of the file.
    fn next_chunk(&mut self) -> Result<Option<([u8; 4], u32, u64)>, EpisodeError> {
        let at = self.file.stream_position().map_err(|e| self.io(e))?;
        if at >= self.file_bytes {
            return Ok(None);
        }
        let mut head = [0; 8];
        if self.file.read_exact(&mut head).is_err() {
            return Err(self.fault("a chunk of AVI", "the end of the file", at));
        }
        let [a, b, c, d, length @ ..] = head;
        let length = u32::from_le_bytes(length);
        let enters = matches!(&[a, b, c, d], b"RIFF" | b"LIST");
        if !enters && at + 8 + u64::from(length) > self.file_bytes {
            return Err(self.fault("a chunk within the file", format!("{length} bytes"), at));
        }
        Ok(Some(([a, b, c, d], length, at)))
    }

    fn take(&mut self, length: u32, at: u64) -> Result<Vec<u8>, EpisodeError> {
        if length > MAX_PICTURE {
            return Err(self.fault("at most 64 MiB", format!("{length} bytes"), at));
        }
        let mut bytes = vec![0; length as usize];
        self.file.read_exact(&mut bytes).map_err(|e| self.io(e))?;
        Ok(bytes)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), EpisodeError> {
        let moved = self.file.seek(SeekFrom::Current(bytes.cast_signed()));
        moved.map(|_| ()).map_err(|e| self.io(e))
    }

    fn io(&self, error: std::io::Error) -> EpisodeError {
        EpisodeError::io("read", &self.path, error)
    }

    fn fault(&self, expected: &str, got: impl std::fmt::Display, at: u64) -> EpisodeError {
        EpisodeError::invalid(expected, got, format!("{}, byte {at}", self.path.display()))
    }
}

impl Iterator for AviFrames {
    type Item = Result<Frame, EpisodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let frame = self.next_frame().transpose();
        self.done = !matches!(frame, Some(Ok(_)));
        frame
    }
}

/// The picture in JPEG `bytes`, or what is wrong with them.
pub(in crate::episode) fn decode_jpeg(bytes: &[u8]) -> Result<Frame, String> {
    use jpeg_decoder::{Decoder, PixelFormat};

    let decoded = catch_unwind(AssertUnwindSafe(|| {
        let mut decoder = Decoder::new(bytes);
        decoder.set_max_decoding_buffer_size(MAX_PICTURE as usize);
        decoder.read_info().map_err(|error| error.to_string())?;
        let info = decoder.info().ok_or("no size")?;
        let (width, height) = (u32::from(info.width), u32::from(info.height));
        if width > MAX_SIDE || height > MAX_SIDE {
            return Err(format!("{width}x{height} pixels"));
        }
        let pixels = decoder.decode().map_err(|error| error.to_string())?;
        let pixels = match info.pixel_format {
            PixelFormat::RGB24 => pixels,
            PixelFormat::L8 => pixels.into_iter().flat_map(|grey| [grey; 3]).collect(),
            other => return Err(format!("{other:?} colours")),
        };
        Ok(Frame { width, height, pixels })
    }));
    decoded.unwrap_or_else(|_panic| Err("damaged bytes".to_owned()))
}
