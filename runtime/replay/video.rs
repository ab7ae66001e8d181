//! A session's video as a dream: what the loop and the window show is what was recorded.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use input::{Action, Frame, SessionReader, VideoReader};
use serde_json::json;

use crate::dream::{Dream, Facts};
use crate::view::MemoryView;

/// A video being shown again, a frame at a time.
#[derive(Debug)]
pub(super) struct Showing {
    facts: Facts,
    session: SessionReader,
    opening: Arc<Frame>,
    video: VideoReader,
    /// The frame to show next; none at the end.
    next: Option<Frame>,
    /// Frames shown, the opening one included.
    shown: usize,
    bookmark: Option<usize>,
}

impl Showing {
    /// Opens the video of the session in `dir`.
    pub(super) fn open(dir: &Path, session: SessionReader) -> Result<Self> {
        let header = session.header();
        let facts = Facts {
            name: format!("{}, again", header.world),
            hash: header.world_hash.clone(),
            seed: header.seed,
            settings: json!({"replay_of": dir.display().to_string()}),
            width: header.width,
            height: header.height,
            fps: header.fps,
            section_frames: 1,
            evaluations: 1,
            layout: header.layout.clone(),
        };
        let mut video = session.video()?;
        let opening = video.next().transpose()?.context("the video has no whole frame")?;
        let opening = Arc::new(opening);
        let mut showing =
            Self { facts, session, opening, video, next: None, shown: 1, bookmark: None };
        showing.look_ahead()?;
        Ok(showing)
    }

    /// Decodes the frame to show next. The longer of video and records is cut to the shorter.
    fn look_ahead(&mut self) -> Result<()> {
        let recorded = self.shown < self.session.records().len();
        self.next = if recorded { self.video.next().transpose()? } else { None };
        Ok(())
    }
}

impl Dream for Showing {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn opening(&self) -> Arc<Frame> {
        Arc::clone(&self.opening)
    }

    fn preview(&mut self, _: &[Action]) -> Result<()> {
        Ok(())
    }

    fn decode(&mut self) -> Result<Vec<Frame>> {
        let frame = self.next.take().context("the video is over")?;
        self.shown += 1;
        self.look_ahead()?;
        Ok(vec![frame])
    }

    fn over(&self) -> bool {
        self.next.is_none()
    }

    fn bookmark(&mut self) -> Result<()> {
        self.bookmark = Some(self.shown);
        Ok(())
    }

    fn go_back(&mut self) -> Result<bool> {
        let Some(shown) = self.bookmark else { return Ok(false) };
        self.video = self.session.video()?;
        self.video.skip_pictures(shown)?;
        self.shown = shown;
        self.look_ahead()?;
        Ok(true)
    }

    fn memory(&mut self) -> Result<MemoryView> {
        Ok(MemoryView::default())
    }
}

#[cfg(test)]
mod tests {
    use input::{Account, ActionLayout, FrameRecord, SESSION_FORMAT, SessionHeader, SessionWriter};
    use serde_json::Value;

    use super::*;

    /// A session of `frames` grey frames, each brighter than the one before.
    fn write(dir: &Path, frames: u8) {
        let header = SessionHeader {
            format: SESSION_FORMAT.to_owned(),
            world: "greys".to_owned(),
            world_hash: String::new(),
            seed: 0,
            width: 16,
            height: 16,
            fps: 10.0,
            layout: ActionLayout::default(),
            settings: Value::Null,
            created: String::new(),
        };
        let mut writer = SessionWriter::create(dir, &header).unwrap();
        for t in 0..frames {
            let record = FrameRecord {
                tick: t.into(),
                section: t.into(),
                action: Action::NEUTRAL,
                frame_sha256: String::new(),
                device_time_us: 0,
                present_time_us: None,
                plan: Account::default(),
            };
            writer.push(&Frame::filled(16, 16, [20 * t; 3]), &record).unwrap();
        }
        writer.finish().unwrap();
    }

    fn rest(showing: &mut Showing) -> Vec<u8> {
        let mut greys = Vec::new();
        while !showing.over() {
            greys.extend(showing.decode().unwrap().iter().map(|frame| (frame.pixels[0] + 10) / 20));
        }
        greys
    }

    #[test]
    fn a_session_is_shown_to_its_end_and_again_from_a_bookmark() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), 6);
        let session = SessionReader::open(dir.path()).unwrap();
        let mut showing = Showing::open(dir.path(), session).unwrap();
        assert!(showing.opening().pixels[0] < 10);
        assert!(!showing.go_back().unwrap(), "nothing is marked yet");
        showing.decode().unwrap();
        showing.bookmark().unwrap();
        assert_eq!(rest(&mut showing), [2, 3, 4, 5]);
        assert!(showing.decode().is_err());
        assert!(showing.go_back().unwrap());
        assert_eq!(rest(&mut showing), [2, 3, 4, 5]);
    }

    #[test]
    fn records_cut_short_end_the_video_too() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), 6);
        let path = dir.path().join("frames.jsonl");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.lines().take(4).collect::<Vec<_>>().join("\n")).unwrap();
        let session = SessionReader::open(dir.path()).unwrap();
        assert_eq!(rest(&mut Showing::open(dir.path(), session).unwrap()), [1, 2, 3]);
    }
}
