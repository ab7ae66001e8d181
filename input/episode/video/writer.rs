//! Writing pictures as a video that every player opens.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use muxide::fragmented::{FragmentConfig, FragmentedMuxer};
use rusty_h264::{Encoder, EncoderConfig, YuvFrame};

use super::{nal, yuv};
use crate::episode::{EpisodeError, MAX_SIDE};

/// Quantiser of the encoder: at 20 a game's picture keeps about 44 dB of luma.
const QUANTISER: u8 = 20;

/// Ticks of the time stamps from frame to frame: whole at every rate, so that no reader that counts frames by their
/// times is ever one off.
pub(super) const TICKS_PER_FRAME: u16 = 1000;

/// Writes pictures of one size to an `.mp4` file as they come, one second at a time.
pub struct VideoWriter {
    path: PathBuf,
    file: File,
    encoder: Encoder,
    picture: YuvFrame,
    /// Made when the first picture has told the stream's parameters.
    muxer: Option<FragmentedMuxer>,
    ticks_per_second: u32,
    frames: u64,
    frames_per_fragment: u64,
    /// Length of the file up to the last whole fragment.
    whole_bytes: u64,
}

impl std::fmt::Debug for VideoWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VideoWriter")
            .field("path", &self.path)
            .field("frames", &self.frames)
            .finish_non_exhaustive()
    }
}

impl VideoWriter {
    /// Makes the file; sides are even and at most [`MAX_SIDE`].
    ///
    /// # Errors
    /// When the size or the rate cannot be encoded, or the file cannot be made.
    pub fn create(path: &Path, width: u32, height: u32, fps: f32) -> Result<Self, EpisodeError> {
        let fault = |expected, got| Err(EpisodeError::invalid(expected, got, path.display()));
        if !is_encodable(width, height) {
            return fault("even sides of at most 4096 pixels", format!("{width}x{height}"));
        }
        if !(0.1..=1000.0).contains(&fps) {
            return fault("between 0.1 and 1000 frames per second", fps.to_string());
        }
        let frames_per_fragment = frames_per_second(fps);
        let mut config = EncoderConfig::baseline(width as usize, height as usize);
        config.qp = QUANTISER;
        config.gop_size = frames_per_fragment;
        config.framerate = fps;
        config.level_idc = level(width, height);
        let encoder = Encoder::new(config).map_err(|error| {
            EpisodeError::invalid(
                "settings that the encoder takes",
                format!("{error:?}"),
                path.display(),
            )
        })?;
        let file = File::create(path).map_err(|e| EpisodeError::io("create", path, e))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            encoder,
            picture: YuvFrame::black(width as usize, height as usize),
            muxer: None,
            ticks_per_second: ticks_per_second(fps),
            frames: 0,
            frames_per_fragment: u64::from(frames_per_fragment),
            whole_bytes: 0,
        })
    }

    /// Number of pictures pushed.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Pictures between two writes to the file.
    pub(in crate::episode) fn frames_per_fragment(&self) -> u64 {
        self.frames_per_fragment
    }

    /// Adds a picture of `(H, W, 3)` RGB bytes; every second one fragment goes to the file.
    ///
    /// # Errors
    /// When the file cannot be written; it then ends with the last whole fragment and plays.
    pub fn push(&mut self, rgb: &[u8]) -> Result<(), EpisodeError> {
        if rgb.len() != self.picture.width * self.picture.height * 3 {
            let expected = format!("{}x{} pixels", self.picture.width, self.picture.height);
            let got = format!("{} bytes", rgb.len());
            return Err(EpisodeError::invalid(&expected, got, self.path.display()));
        }
        yuv::from_rgb(rgb, &mut self.picture);
        let stream = self.encoder.encode(&self.picture);
        self.mux(&stream)?;
        self.frames += 1;
        if self.frames.is_multiple_of(self.frames_per_fragment) { self.flush() } else { Ok(()) }
    }

    /// Writes what is left and leaves a whole file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self) -> Result<(), EpisodeError> {
        self.flush()?;
        self.file.sync_all().map_err(|e| EpisodeError::io("write", &self.path, e))
    }

    fn mux(&mut self, stream: &[u8]) -> Result<(), EpisodeError> {
        if self.muxer.is_none() {
            let mut muxer = self.new_muxer(stream)?;
            let head = muxer.init_segment();
            self.append(&head)?;
            self.muxer = Some(muxer);
        }
        let (sample, is_key) = sample(stream);
        let at = self.frames * u64::from(TICKS_PER_FRAME);
        let pushed = self.muxer.as_mut().map(|muxer| muxer.write_video(at, at, &sample, is_key));
        match pushed {
            Some(Err(error)) => {
                Err(EpisodeError::io("write", &self.path, io::Error::other(error.to_string())))
            }
            Some(Ok(())) | None => Ok(()),
        }
    }

    fn new_muxer(&self, stream: &[u8]) -> Result<FragmentedMuxer, EpisodeError> {
        let find = |kind| nal::units(stream).find(|unit| nal::kind(unit) == kind);
        let (sps, pps) = (find(nal::Kind::Sequence), find(nal::Kind::PictureParameters));
        let fault =
            |error: &str| EpisodeError::io("write", &self.path, io::Error::other(error.to_owned()));
        let (Some(sps), Some(pps)) = (sps, pps) else {
            return Err(fault("the encoder's first picture has no parameters"));
        };
        let config = FragmentConfig {
            width: u32::try_from(self.picture.width).unwrap_or(MAX_SIDE),
            height: u32::try_from(self.picture.height).unwrap_or(MAX_SIDE),
            timescale: self.ticks_per_second,
            fragment_duration_ms: 1000,
            sps: sps.to_vec(),
            pps: pps.to_vec(),
            vps: None,
            av1_sequence_header: None,
            vp9_config: None,
        };
        FragmentedMuxer::new(config).map_err(|error| fault(&error.to_string()))
    }

    fn flush(&mut self) -> Result<(), EpisodeError> {
        match self.muxer.as_mut().and_then(FragmentedMuxer::flush_segment) {
            Some(mut fragment) => {
                if self.frames % self.frames_per_fragment == 1 % self.frames_per_fragment {
                    last_one_frame(&mut fragment);
                }
                self.append(&fragment)
            }
            None => Ok(()),
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), EpisodeError> {
        match self.file.write_all(bytes) {
            Ok(()) => {
                self.whole_bytes += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Half a fragment would confuse players. Should this fail too, the file is merely
                // longer than it plays.
                let _ = self.file.set_len(self.whole_bytes);
                Err(EpisodeError::io("write", &self.path, error))
            }
        }
    }
}

/// Whether 4:2:0 video of this size can be written and read here.
pub(in crate::episode) fn is_encodable(width: u32, height: u32) -> bool {
    [width, height].iter().all(|side| side % 2 == 0 && (2..=MAX_SIDE).contains(side))
}

/// The pictures of a stream with lengths instead of start codes, and whether it stands alone.
fn sample(stream: &[u8]) -> (Vec<u8>, bool) {
    let mut bytes = Vec::with_capacity(stream.len() + 8);
    let mut is_key = false;
    for unit in nal::units(stream) {
        let kind = nal::kind(unit);
        // The parameters stand once in the head of the file.
        if matches!(kind, nal::Kind::Picture | nal::Kind::KeyPicture) {
            is_key |= kind == nal::Kind::KeyPicture;
            let length = u32::try_from(unit.len()).expect("a picture of at most 4096x4096 fits");
            bytes.extend(length.to_be_bytes());
            bytes.extend(unit);
        }
    }
    (bytes, is_key)
}

/// Gives the first picture of a fragment the length of a frame: of one that is alone the muxer cannot know it, and
/// takes it to be a thirtieth of a second.
fn last_one_frame(fragment: &mut [u8]) {
    // Behind the box's name come flags, a count, an offset, then the first picture's length.
    let Some(at) = fragment.windows(4).position(|name| name == b"trun") else { return };
    if let Some(length) = fragment.get_mut(at + 16..at + 20) {
        length.copy_from_slice(&u32::from(TICKS_PER_FRAME).to_be_bytes());
    }
}

/// The lowest level of the standard that admits this size (H.264 table A-1), at game rates.
fn level(width: u32, height: u32) -> u8 {
    match width.div_ceil(16) * height.div_ceil(16) {
        0..=1_620 => 30,
        1_621..=8_192 => 41,
        8_193..=36_864 => 51,
        _ => 62,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0.1 to 1000 by check")]
fn frames_per_second(fps: f32) -> u32 {
    fps.round().max(1.0) as u32
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "100 to 1 000 000")]
fn ticks_per_second(fps: f32) -> u32 {
    (f64::from(fps) * f64::from(TICKS_PER_FRAME)).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths of all pictures of a file, in ticks, and its ticks per second.
    fn lengths(path: &Path) -> (Vec<u32>, u32) {
        let bytes = std::fs::read(path).unwrap();
        let number = |at: usize| {
            let four: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
            u32::from_be_bytes(four)
        };
        let places = |name: &'static [u8; 4]| {
            (0..bytes.len() - 4).filter(|&at| bytes[at..at + 4] == *name).collect::<Vec<_>>()
        };
        let mut lengths = Vec::new();
        for at in places(b"trun") {
            let (flags, count) = (number(at + 4), number(at + 8) as usize);
            assert_eq!(flags & 0x101, 0x101, "an offset, and a length for each picture");
            let entry = 4 * (flags & 0xf00).count_ones() as usize;
            lengths.extend((0..count).map(|picture| number(at + 16 + entry * picture)));
        }
        (lengths, number(places(b"mdhd")[0] + 16))
    }

    #[test]
    fn every_picture_lasts_one_frame_also_one_that_is_alone_in_its_second() {
        let dir = tempfile::tempdir().unwrap();
        for (fps, frames) in [(17.5, 36), (17.5, 37), (17.5, 1), (0.5, 2), (29.97, 31)] {
            let path = dir.path().join("video.mp4");
            let mut writer = VideoWriter::create(&path, 16, 16, fps).unwrap();
            for t in 0..frames {
                writer.push(&[t * 5; 16 * 16 * 3]).unwrap();
            }
            writer.finish().unwrap();
            let (lengths, per_second) = lengths(&path);
            assert_eq!(lengths, vec![1000; usize::from(frames)], "{fps}");
            assert!((f64::from(per_second) / 1000.0 - f64::from(fps)).abs() < 1e-3, "{per_second}");
        }
    }
}
