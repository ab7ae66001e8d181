//! Reading a session back.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::{
    FRAMES_FILE, FrameRecord, HEADER_FILE, PAST_FILE, PastReader, SESSION_FORMAT, SessionHeader,
    VIDEO_FILE,
};
use crate::episode::{EpisodeError, Kind, Recording, VideoReader, video};

/// Largest header accepted; settings are a few KiB.
const MAX_HEADER_BYTES: u64 = 4 << 20;

/// Longest line accepted; a plan is a few hundred numbers.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// Most bytes of all lines: about two days of play.
const MAX_FRAMES_BYTES: u64 = 1 << 30;

/// A session whose header and records have been read; its video is decoded when asked for.
#[derive(Clone, Debug)]
pub struct SessionReader {
    dir: PathBuf,
    header: SessionHeader,
    records: Vec<FrameRecord>,
}

impl SessionReader {
    /// Reads header and records of the session in `dir`. A last line cut short by a crash is left
    /// out.
    ///
    /// # Errors
    /// Names the file, and the line where there is one, that cannot be read.
    pub fn open(dir: &Path) -> Result<Self, EpisodeError> {
        let header = read_header(&dir.join(HEADER_FILE))?;
        let records = read_records(&dir.join(FRAMES_FILE))?;
        Ok(Self { dir: dir.to_owned(), header, records })
    }

    /// What holds for the whole session.
    pub fn header(&self) -> &SessionHeader {
        &self.header
    }

    /// One record per frame, in order.
    pub fn records(&self) -> &[FrameRecord] {
        &self.records
    }

    /// The frames in order, decoded one at a time.
    ///
    /// # Errors
    /// When the video cannot be opened or has another size than the header says.
    pub fn video(&self) -> Result<VideoReader, EpisodeError> {
        VideoReader::open(&self.dir.join(VIDEO_FILE), self.header.width, self.header.height)
    }

    /// Frames that the session was made from and does not contain, in the order in which they are needed.
    ///
    /// # Errors
    /// When their file is there and is another kind of file.
    pub fn past(&self) -> Result<PastReader, EpisodeError> {
        PastReader::open(&self.dir.join(PAST_FILE))
    }

    /// The session as a recording.
    ///
    /// # Errors
    /// When the video cannot be opened.
    pub fn into_recording(self) -> Result<Recording, EpisodeError> {
        let frames = Box::new(self.video()?);
        let SessionHeader { width, height, fps, layout, .. } = self.header;
        Ok(Recording {
            kind: Kind::Session,
            width,
            height,
            fps,
            layout,
            source: format!("session {}", self.dir.display()),
            actions: self.records.iter().map(|record| record.action).collect(),
            poses: None,
            frames,
            given: 0,
        })
    }
}

fn read_header(path: &Path) -> Result<SessionHeader, EpisodeError> {
    let file = File::open(path).map_err(|e| EpisodeError::io("open", path, e))?;
    let mut text = Vec::new();
    let read = file.take(MAX_HEADER_BYTES + 1).read_to_end(&mut text);
    read.map_err(|e| EpisodeError::io("read", path, e))?;
    let fault = |expected: &str, got: String| EpisodeError::invalid(expected, got, path.display());
    if text.len() as u64 > MAX_HEADER_BYTES {
        return Err(fault("at most 4 MiB", "more".to_owned()));
    }
    let header: SessionHeader = serde_json::from_slice(&text)
        .map_err(|error| fault("a session header in JSON", error.to_string()))?;
    if header.format != SESSION_FORMAT {
        return Err(fault(&format!("format {SESSION_FORMAT}"), header.format));
    }
    if !video::is_encodable(header.width, header.height) {
        let got = format!("{}x{}", header.width, header.height);
        return Err(fault("even sides of at most 4096 pixels", got));
    }
    Ok(header)
}

fn read_records(path: &Path) -> Result<Vec<FrameRecord>, EpisodeError> {
    let io = |error| EpisodeError::io("read", path, error);
    let bytes = fs::metadata(path).map_err(io)?.len();
    if bytes > MAX_FRAMES_BYTES {
        let expected = format!("at most {MAX_FRAMES_BYTES} bytes");
        return Err(EpisodeError::invalid(&expected, format!("{bytes} bytes"), path.display()));
    }
    let mut file = BufReader::new(File::open(path).map_err(io)?);
    let mut records = Vec::new();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = (&mut file).take(MAX_LINE_BYTES).read_until(b'\n', &mut line).map_err(io)?;
        if read == 0 {
            break;
        }
        let place = format!("{}, line {number}", path.display());
        match parse_record(&line) {
            Ok(record) => records.push(record),
            // Only a crash leaves a line without its end, and only the last.
            Err(_) if line.last() != Some(&b'\n') && (read as u64) < MAX_LINE_BYTES => break,
            Err(got) => return Err(EpisodeError::invalid("a frame's record in JSON", got, place)),
        }
    }
    Ok(records)
}

fn parse_record(line: &[u8]) -> Result<FrameRecord, String> {
    let record: FrameRecord = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    if record.action.is_valid() { Ok(record) } else { Err("axes outside -1..=1".to_owned()) }
}
