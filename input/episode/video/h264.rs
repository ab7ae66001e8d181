//! H.264 in plain MP4 files of others, decoded here.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rusty_h264::{Decoder, YuvFrame};

use super::mp4::{Sample, Track};
use super::{nal, sps, yuv};
use crate::Frame;
use crate::episode::EpisodeError;

/// Pictures that may wait for one that is shown before them: more than H.264 lets a decoder hold.
const MAX_WAITING: usize = 32;

/// Gives the pictures of a track in the order in which they are shown.
pub(super) struct H264Frames {
    path: PathBuf,
    file: File,
    decoder: Decoder,
    width: u32,
    height: u32,
    /// Bytes of the length before each unit.
    prefix: usize,
    samples: std::vec::IntoIter<Sample>,
    /// Decoded pictures by their place, until it is their turn.
    waiting: BTreeMap<usize, YuvFrame>,
    /// Place of the picture to give next.
    next: usize,
    /// Set after an error: nothing more is given.
    done: bool,
}

impl H264Frames {
    /// Opens the pictures of `track` from number `first` on.
    pub(super) fn open(path: &Path, track: Track, first: usize) -> Result<Self, EpisodeError> {
        let file = File::open(path).map_err(|e| EpisodeError::io("open", path, e))?;
        let Track { width, height, parameters, mut samples, .. } = track;
        // The last picture that can be begun with and does not come after the wanted one.
        let begin = samples.iter().rposition(|s| s.sync && s.rank <= first).unwrap_or(0);
        samples.drain(..begin);
        // Pictures that are shown before the one begun with may need ones before it.
        let begin = samples.first().map_or(0, |sample| sample.rank);
        samples.retain(|sample| sample.rank >= begin);
        let mut this = Self {
            path: path.to_owned(),
            file,
            decoder: Decoder::new(),
            width,
            height,
            prefix: 4,
            samples: samples.into_iter(),
            waiting: BTreeMap::new(),
            next: first,
            done: false,
        };
        let parameters = parameters.unwrap_or_default();
        let Some((prefix, units)) = units_of_parameters(&parameters) else {
            return Err(this.fault("H.264 parameters (`avcC`)", "none", 0));
        };
        this.prefix = prefix;
        for unit in units {
            this.check_size(unit, 0)?;
            this.decode(&[&[0, 0, 0, 1], unit].concat(), 0)?;
        }
        Ok(this)
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, EpisodeError> {
        while !self.waiting.contains_key(&self.next) {
            let Some(sample) = self.samples.next() else { return Ok(None) };
            let stream = self.read(&sample)?;
            let Some(picture) = self.decode(&stream, sample.offset)? else {
                return Err(self.fault("a whole H.264 picture", "a part of one", sample.offset));
            };
            let size = (self.width as usize, self.height as usize);
            if (picture.width, picture.height) != size {
                let (expected, got) = (format!("a picture of {size:?}"), picture.width);
                return Err(self.fault(&expected, got, sample.offset));
            }
            // Pictures before the first wanted one were only needed to decode it.
            if sample.rank >= self.next {
                self.waiting.insert(sample.rank, picture);
            }
            if self.waiting.len() > MAX_WAITING {
                let expected = "pictures nearly in the order of showing";
                return Err(self.fault(expected, "another order", sample.offset));
            }
        }
        let Some(picture) = self.waiting.remove(&self.next) else { return Ok(None) };
        self.next += 1;
        let mut pixels = Vec::new();
        yuv::to_rgb(&picture, &mut pixels);
        Ok(Some(Frame { width: self.width, height: self.height, pixels }))
    }

    /// The units of a sample, start codes in place of their lengths.
    fn read(&mut self, sample: &Sample) -> Result<Vec<u8>, EpisodeError> {
        // An uncompressed picture is the most that an encoder writes, but for its headers.
        let largest = Frame::byte_count(self.width, self.height) as u64 * 2 + (1 << 20);
        if u64::from(sample.bytes) > largest {
            let got = format!("{} bytes", sample.bytes);
            return Err(self.fault("a picture's bytes", got, sample.offset));
        }
        let mut bytes = vec![0; sample.bytes as usize];
        let moved = self.file.seek(SeekFrom::Start(sample.offset));
        if moved.and_then(|_| self.file.read_exact(&mut bytes)).is_err() {
            let got = "the end of the file";
            return Err(self.fault("a picture's bytes", got, sample.offset));
        }
        let mut stream = Vec::with_capacity(bytes.len() + 64);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let unit = split_unit(&mut rest, self.prefix);
            let Some(unit) = unit else {
                return Err(self.fault("units within a sample", "a longer one", sample.offset));
            };
            self.check_size(unit, sample.offset)?;
            stream.extend([0, 0, 0, 1]);
            stream.extend_from_slice(unit);
        }
        Ok(stream)
    }

    /// Refuses a stream of another size than the file says: the decoder takes memory by it.
    fn check_size(&self, unit: &[u8], at: u64) -> Result<(), EpisodeError> {
        if nal::kind(unit) != nal::Kind::Sequence {
            return Ok(());
        }
        let size = sps::macroblocks_of_any_profile(unit);
        let expected = (self.width.div_ceil(16), self.height.div_ceil(16));
        if size.is_some_and(|(w, h)| w == expected.0 && (h == expected.1 || h == expected.1 + 1)) {
            return Ok(());
        }
        let expected = format!("8-bit 4:2:0 video of {}x{}", self.width, self.height);
        Err(self.fault(&expected, format!("macroblocks {size:?}"), at))
    }

    fn decode(&mut self, stream: &[u8], at: u64) -> Result<Option<YuvFrame>, EpisodeError> {
        // As in `VideoReader`: a bug of the decoder ends the reading, not the program.
        let decoder = &mut self.decoder;
        match catch_unwind(AssertUnwindSafe(|| decoder.decode(stream))) {
            Ok(Ok(picture)) => Ok(picture),
            Ok(Err(error)) => Err(self.fault("whole H.264 pictures", error, at)),
            Err(_panic) => Err(self.fault("whole H.264 pictures", "damaged ones", at)),
        }
    }

    fn fault(&self, expected: &str, got: impl std::fmt::Display, at: u64) -> EpisodeError {
        EpisodeError::invalid(expected, got, format!("{}, byte {at}", self.path.display()))
    }
}

impl Iterator for H264Frames {
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

/// Bytes of a unit's length, and the sequence and picture parameters of an `avcC` box.
fn units_of_parameters(content: &[u8]) -> Option<(usize, Vec<&[u8]>)> {
    let prefix = usize::from(content.get(4)? & 3) + 1;
    let mut units = Vec::new();
    let (sequences, mut rest) = content.get(5..)?.split_first()?;
    for _ in 0..sequences & 31 {
        units.push(split_unit(&mut rest, 2)?);
    }
    let (pictures, mut rest) = rest.split_first()?;
    for _ in 0..*pictures {
        units.push(split_unit(&mut rest, 2)?);
    }
    Some((prefix, units))
}

/// Takes a unit with a length of `prefix` bytes before it.
fn split_unit<'a>(bytes: &mut &'a [u8], prefix: usize) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_at_checked(prefix)?;
    let length = length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
    let (unit, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(unit)
}
