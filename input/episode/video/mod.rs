//! Videos: those of sessions, H.264 in fragmented MP4, and those of others.
//!
//! A session's file is a *fragmented* MP4: after a short head comes one self-contained piece per second of
//! play. So writing needs the memory of one second, and a recording that is cut short (a crash, a
//! full disk) plays up to its last whole second.
//!
//! Of others' files, H.264 in MP4 and Motion JPEG in AVI are decoded here; for every other codec the user's `ffmpeg`
//! is called.

mod avi;
mod ffmpeg;
mod h264;
mod mp4;
mod nal;
mod reader;
mod sps;
mod writer;
mod yuv;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

pub(super) use self::avi::decode_jpeg;
pub use self::reader::VideoReader;
pub use self::writer::VideoWriter;
pub(super) use self::writer::is_encodable;
use self::{avi::AviFrames, ffmpeg::FfmpegFrames, h264::H264Frames};
use super::{EpisodeError, Frames};
use crate::Frame;

/// Program that decodes what is not decoded here.
const FFMPEG: &str = "ffmpeg";

/// A video, opened: ours or somebody else's.
pub struct Video {
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
    /// Pictures per second, where the file says.
    pub fps: Option<f32>,
    /// Pictures left to give, in order.
    pub(super) frames: Frames,
}

impl fmt::Debug for Video {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { width, height, fps, .. } = self;
        f.debug_struct("Video").field("size", &(width, height)).field("fps", fps).finish()
    }
}

impl Video {
    /// Opens the `.mp4` or `.avi` file at `path`.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or is in a codec that neither is decoded here nor by an `ffmpeg`
    /// that is installed. Damage in the pictures is found only when they are read.
    pub fn open(path: &Path) -> Result<Self, EpisodeError> {
        open(path, 0)
    }
}

impl Iterator for Video {
    type Item = Result<Frame, EpisodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.frames.next()
    }
}

/// Opens the video at `path`, an `.mp4` or `.avi` file, from picture number `first` on.
///
/// # Errors
/// When the file cannot be read, is damaged, or is in a codec that neither is decoded here nor by an `ffmpeg` that is
/// installed.
pub(super) fn open(path: &Path, first: usize) -> Result<Video, EpisodeError> {
    open_with(FFMPEG, path, first)
}

fn open_with(ffmpeg: &str, path: &Path, first: usize) -> Result<Video, EpisodeError> {
    if path.extension().is_some_and(|extension| extension == "avi") {
        let frames = AviFrames::open(path)?;
        let avi::Head { codec, width, height, fps } = frames.head().clone();
        let frames: Frames = if codec.eq_ignore_ascii_case(b"MJPG") {
            from(first, frames)
        } else {
            Box::new(FfmpegFrames::open(ffmpeg, path, codec, seconds(first, fps))?)
        };
        return Ok(Video { width, height, fps, frames });
    }
    let track = mp4::read(path)?;
    let (width, height, codec) = (track.width, track.height, track.codec);
    // Of a fragmented file the tables do not say, but ours has so many units of time for each picture.
    let fps = track.fps.or(track.timescale.map(|scale| scale / f32::from(writer::TICKS_PER_FRAME)));
    let h264 = matches!(&codec, b"avc1" | b"avc3") && track.parameters.is_some();
    let frames: Frames = if h264 && !track.samples.is_empty() {
        Box::new(H264Frames::open(path, track, first)?)
    } else if h264 && let Ok(own) = VideoReader::open(path, width, height) {
        from(first, own)
    } else {
        Box::new(FfmpegFrames::open(ffmpeg, path, codec, seconds(first, fps))?)
    };
    Ok(Video { width, height, fps, frames })
}

/// The pictures from number `first` on; an error before is kept.
fn from(
    first: usize,
    frames: impl Iterator<Item = Result<Frame, EpisodeError>> + 'static,
) -> Frames {
    let wanted = move |(number, frame): &(usize, Result<Frame, EpisodeError>)| {
        *number >= first || frame.is_err()
    };
    Box::new(frames.enumerate().filter(wanted).map(|(_, frame)| frame))
}

/// When picture number `first` is shown, less half a picture so that rounding does not lose it.
#[expect(clippy::cast_precision_loss, reason = "numbers of pictures are far below 2^52")]
fn seconds(first: usize, fps: Option<f32>) -> f64 {
    (first as f64 - 0.5).max(0.0) / f64::from(fps.unwrap_or(1.0))
}
