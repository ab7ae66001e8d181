//! Recording a session.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::past::{PastFrame, PastWriter};
use super::{FRAMES_FILE, FrameRecord, HEADER_FILE, PAST_FILE, SessionHeader, VIDEO_FILE};
use crate::Frame;
use crate::episode::{EpisodeError, VideoWriter};

/// Writes a session as it is played, holding at most about one second of it in memory.
#[derive(Debug)]
pub struct SessionWriter {
    frames_path: PathBuf,
    frames_file: BufWriter<File>,
    video: VideoWriter,
    past: PastWriter,
    /// Records are flushed as often as the video, so that both end at the same place.
    frames_per_flush: u64,
}

impl SessionWriter {
    /// Begins a session in the folder `dir`, which is made; one that holds a session is refused.
    ///
    /// # Errors
    /// When the folder or its files cannot be made, or the size cannot be encoded.
    pub fn create(dir: &Path, header: &SessionHeader) -> Result<Self, EpisodeError> {
        let header_path = dir.join(HEADER_FILE);
        if header_path.exists() {
            let got = "a folder with a session in it";
            return Err(EpisodeError::invalid("a new folder", got, dir.display()));
        }
        fs::create_dir_all(dir).map_err(|e| EpisodeError::io("create", dir, e))?;
        let video_path = dir.join(VIDEO_FILE);
        let video = VideoWriter::create(&video_path, header.width, header.height, header.fps)?;
        let text = serde_json::to_string_pretty(header)
            .map_err(|error| EpisodeError::io("write", &header_path, error.into()))?;
        fs::write(&header_path, text).map_err(|e| EpisodeError::io("write", &header_path, e))?;
        let frames_path = dir.join(FRAMES_FILE);
        let frames_file = File::create(&frames_path)
            .map_err(|error| EpisodeError::io("create", &frames_path, error))?;
        Ok(Self {
            frames_path,
            frames_file: BufWriter::new(frames_file),
            frames_per_flush: video.frames_per_fragment(),
            video,
            past: PastWriter::new(dir.join(PAST_FILE)),
        })
    }

    /// Number of frames pushed.
    pub fn frames(&self) -> u64 {
        self.video.frames()
    }

    /// Adds a frame that the next one pushed is made from and that the session does not contain.
    ///
    /// # Errors
    /// When it has another size than the one before it, or the file cannot be written.
    pub fn push_past(&mut self, frame: &PastFrame) -> Result<(), EpisodeError> {
        self.past.push(frame)
    }

    /// Adds one frame and its record.
    ///
    /// # Errors
    /// When the frame has another size or a file cannot be written, for instance on a full disk.
    /// What was written until then remains a readable session.
    pub fn push(&mut self, frame: &Frame, record: &FrameRecord) -> Result<(), EpisodeError> {
        self.video.push(&frame.pixels)?;
        let written = serde_json::to_vec(record).map_err(Into::into).and_then(|mut line| {
            line.push(b'\n');
            self.frames_file.write_all(&line)
        });
        let flushed = written.and_then(|()| {
            let is_due = self.frames().is_multiple_of(self.frames_per_flush);
            if is_due { self.frames_file.flush() } else { Ok(()) }
        });
        flushed.map_err(|error| EpisodeError::io("write", &self.frames_path, error))
    }

    /// Ends the session and returns its number of frames.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn finish(mut self) -> Result<u64, EpisodeError> {
        let frames = self.frames();
        self.past.finish()?;
        let flushed = self.frames_file.flush().and_then(|()| self.frames_file.get_ref().sync_all());
        flushed.map_err(|error| EpisodeError::io("write", &self.frames_path, error))?;
        self.video.finish()?;
        Ok(frames)
    }
}
