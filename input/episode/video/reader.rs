//! Reading back the video of a session, picture by picture.
//!
//! Only what [`super::VideoWriter`] writes is understood: one track of baseline H.264. The boxes
//! are walked here by hand, because the file comes from outside: each length is held against its
//! box and a limit before memory is taken, and sample tables, which could claim billions of
//! samples, are not needed at all.

use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rusty_h264::{Decoder, YuvFrame};

use super::{nal, sps, yuv};
use crate::Frame;
use crate::episode::EpisodeError;

/// Largest head (`moov` box) accepted; ours has less than 1 KiB.
const MAX_HEAD: u64 = 1 << 20;

/// Gives the pictures of a file in order. A file cut short gives those that are whole.
pub struct VideoReader {
    path: PathBuf,
    file: BufReader<File>,
    file_bytes: u64,
    decoder: Decoder,
    width: u32,
    height: u32,
    /// Where the pictures of the current fragment end.
    fragment_end: u64,
    /// Set after the end or an error: nothing more is given.
    done: bool,
}

impl std::fmt::Debug for VideoReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VideoReader").field("path", &self.path).finish_non_exhaustive()
    }
}

impl VideoReader {
    /// Opens a video that must have this size.
    ///
    /// # Errors
    /// When the file cannot be read, has another size, or is no video of ours.
    pub fn open(path: &Path, width: u32, height: u32) -> Result<Self, EpisodeError> {
        let file = File::open(path).map_err(|e| EpisodeError::io("open", path, e))?;
        let file_bytes = file.metadata().map_err(|e| EpisodeError::io("read", path, e))?.len();
        let mut reader = Self {
            path: path.to_owned(),
            file: BufReader::new(file),
            file_bytes,
            decoder: Decoder::new(),
            width,
            height,
            fragment_end: 0,
            done: false,
        };
        reader.read_head()?;
        Ok(reader)
    }

    /// Finds the stream's parameters and hands them to the decoder.
    fn read_head(&mut self) -> Result<(), EpisodeError> {
        let (end, at) = loop {
            let at = self.position()?;
            match self.next_box()? {
                Some((kind, end)) if kind == *b"moov" => break (end, at),
                Some((_, end)) => self.seek(end)?,
                None => {
                    return Err(self.fault("a `moov` box", "the end of the file", self.file_bytes));
                }
            }
        };
        let length = end - self.position()?;
        if length > MAX_HEAD {
            return Err(self.fault("a `moov` box of at most 1 MiB", format!("{length} bytes"), at));
        }
        let mut head = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        self.file.read_exact(&mut head).map_err(|e| EpisodeError::io("read", &self.path, e))?;
        let wrong = |expected: &str, got: String| self.fault(expected, got, at);
        let (sequence, picture) = parameters(&head)
            .ok_or_else(|| wrong("H.264 parameters (`avcC`)", "none".to_owned()))?;
        let size = sps::macroblocks(sequence);
        if size != Some((self.width.div_ceil(16), self.height.div_ceil(16))) {
            let expected = format!("baseline video of {}x{}", self.width, self.height);
            return Err(wrong(&expected, format!("macroblocks {size:?}")));
        }
        let units = [sequence, picture].map(with_start_code).concat();
        self.decode(&units, at).map(|_| ())
    }

    /// Passes over so many pictures, without decoding those before the last fragment on the way that begins anew.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn skip_pictures(&mut self, count: usize) -> Result<(), EpisodeError> {
        let mut left = count;
        // Where decoding can begin, and how many are to be passed over from there.
        let mut anew = (self.position()?, self.fragment_end, left);
        while left > 0 && self.enter_fragment()? {
            let begin = self.position()?;
            let (pictures, is_anew) = self.look_over()?;
            if is_anew {
                anew = (begin, self.fragment_end, left);
            }
            if pictures == 0 || pictures >= left {
                break;
            }
            left -= pictures;
        }
        let (begin, end, left) = anew;
        self.seek(begin)?;
        self.fragment_end = end;
        for _ in 0..left {
            self.next().transpose()?;
        }
        Ok(())
    }

    /// How many pictures are left in the fragment, and whether the first of them needs none before it.
    fn look_over(&mut self) -> Result<(usize, bool), EpisodeError> {
        let (mut pictures, mut is_anew) = (0, false);
        while self.position()? < self.fragment_end {
            let Some(unit) = self.next_unit()? else { break };
            match nal::kind(&unit) {
                nal::Kind::KeyPicture => is_anew |= pictures == 0,
                nal::Kind::Picture => {}
                _ => continue,
            }
            pictures += 1;
        }
        Ok((pictures, is_anew))
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, EpisodeError> {
        loop {
            if !self.enter_fragment()? {
                return Ok(None);
            }
            let at = self.position()?;
            let Some(unit) = self.next_unit()? else { return Ok(None) };
            if !matches!(nal::kind(&unit), nal::Kind::Picture | nal::Kind::KeyPicture) {
                continue;
            }
            let Some(picture) = self.decode(&with_start_code(&unit), at)? else { continue };
            let (width, height) = (self.width as usize, self.height as usize);
            if (picture.width, picture.height) != (width, height) {
                let got = format!("{}x{}", picture.width, picture.height);
                return Err(self.fault(&format!("a picture of {width}x{height}"), got, at));
            }
            let mut pixels = Vec::new();
            yuv::to_rgb(&picture, &mut pixels);
            return Ok(Some(Frame { width: self.width, height: self.height, pixels }));
        }
    }

    /// Goes to the next `mdat` box when the current one is read; false at the end of the file.
    fn enter_fragment(&mut self) -> Result<bool, EpisodeError> {
        while self.position()? >= self.fragment_end {
            match self.next_box()? {
                Some((kind, end)) if kind == *b"mdat" => self.fragment_end = end,
                Some((_, end)) => self.seek(end)?,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The next length-prefixed unit; `None` where the file was cut short inside it.
    fn next_unit(&mut self) -> Result<Option<Vec<u8>>, EpisodeError> {
        let at = self.position()?;
        let mut length = [0; 4];
        if self.file.read_exact(&mut length).is_err() {
            return Ok(None);
        }
        let length = u32::from_be_bytes(length);
        let end = at + 4 + u64::from(length);
        // An uncompressed picture is the most that an encoder writes, but for its headers.
        let largest = Frame::byte_count(self.width, self.height) as u64 * 2 + (64 << 10);
        if end > self.fragment_end || u64::from(length) > largest {
            return Err(self.fault("a unit within its fragment", format!("{length} bytes"), at));
        }
        if end > self.file_bytes {
            return Ok(None);
        }
        let mut unit = vec![0; length as usize];
        self.file.read_exact(&mut unit).map_err(|e| EpisodeError::io("read", &self.path, e))?;
        Ok(Some(unit))
    }

    fn decode(&mut self, stream: &[u8], at: u64) -> Result<Option<YuvFrame>, EpisodeError> {
        // The decoder is young and its input comes from outside: a bug in it ends the reading, not
        // the program. It is not used again afterwards.
        let decoder = &mut self.decoder;
        match catch_unwind(AssertUnwindSafe(|| decoder.decode(stream))) {
            Ok(Ok(picture)) => Ok(picture),
            Ok(Err(error)) => Err(self.fault("whole H.264 pictures", format!("{error:?}"), at)),
            Err(_panic) => Err(self.fault("whole H.264 pictures", "damaged ones", at)),
        }
    }

    /// The kind and the end of the next box; afterwards the file stands at its content.
    fn next_box(&mut self) -> Result<Option<([u8; 4], u64)>, EpisodeError> {
        let at = self.position()?;
        let mut head = [0; 8];
        if self.file.read_exact(&mut head).is_err() {
            return Ok(None);
        }
        let [a, b, c, d, kind @ ..] = head;
        let length = u64::from(u32::from_be_bytes([a, b, c, d]));
        if length < 8 {
            return Err(self.fault("an MP4 box", format!("a box of {length} bytes"), at));
        }
        Ok(Some((kind, at + length)))
    }

    fn position(&mut self) -> Result<u64, EpisodeError> {
        self.file.stream_position().map_err(|e| EpisodeError::io("read", &self.path, e))
    }

    fn seek(&mut self, to: u64) -> Result<(), EpisodeError> {
        let moved = self.file.seek(SeekFrom::Start(to));
        moved.map(|_| ()).map_err(|e| EpisodeError::io("read", &self.path, e))
    }

    fn fault(&self, expected: &str, got: impl std::fmt::Display, at: u64) -> EpisodeError {
        EpisodeError::invalid(expected, got, format!("{}, byte {at}", self.path.display()))
    }
}

impl Iterator for VideoReader {
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

/// The first sequence and picture parameters of an `avcC` box anywhere in `head`.
fn parameters(head: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = head.windows(4).position(|four| four == b"avcC")?;
    // Five bytes of profile and level, then a count, and length-prefixed units.
    let (sequence, rest) = prefixed(head.get(at + 4 + 6..)?)?;
    let (picture, _) = prefixed(rest.get(1..)?)?;
    Some((sequence, picture))
}

fn prefixed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn with_start_code(unit: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 1], unit].concat()
}
