//! A recorded session shown again, in the place of a dream.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use input::{Action, Frame, SessionReader, VideoReader};

use crate::dream::{Dream, Facts, Opener};
use crate::view::MemoryView;

/// Shows the session in this folder, from its beginning, round and round; controls change nothing.
pub fn opener(dir: PathBuf) -> Opener {
    Box::new(move |tell| {
        tell("reading the session".to_owned());
        Ok(Box::new(Rerun::open(&dir)?))
    })
}

struct Rerun {
    facts: Facts,
    session: SessionReader,
    opening: Arc<Frame>,
    video: VideoReader,
    /// Frames of the video that have been shown.
    shown: usize,
    marked: Option<usize>,
}

impl Rerun {
    fn open(dir: &Path) -> Result<Self> {
        let session = SessionReader::open(dir)?;
        let header = session.header();
        let facts = Facts {
            name: format!("{} again", header.world),
            // Nothing is dreamed here: what is recorded of it is of no weights.
            hash: String::new(),
            seed: header.seed,
            settings: serde_json::Value::Null,
            width: header.width,
            height: header.height,
            fps: header.fps,
            section_frames: 1,
            layout: header.layout.clone(),
        };
        let mut video = session.video()?;
        let opening =
            video.next().with_context(|| format!("{} has no pictures", dir.display()))??;
        Ok(Self { facts, session, opening: Arc::new(opening), video, shown: 1, marked: None })
    }

    /// The next picture; after the last one comes the first.
    fn next(&mut self) -> Result<Frame> {
        if let Some(frame) = self.video.next() {
            self.shown += 1;
            return Ok(frame?);
        }
        self.video = self.session.video()?;
        self.shown = 1;
        Ok(self.video.next().context("the session has no pictures any more")??)
    }
}

impl Dream for Rerun {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn opening(&self) -> Arc<Frame> {
        Arc::clone(&self.opening)
    }

    fn preview(&mut self, _actions: &[Action]) -> Result<()> {
        Ok(())
    }

    fn retrieve(&mut self) -> Result<()> {
        Ok(())
    }

    fn plan(&mut self) -> Result<()> {
        Ok(())
    }

    fn pack(&mut self) -> Result<()> {
        Ok(())
    }

    fn encode(&mut self) -> Result<()> {
        Ok(())
    }

    fn denoise(&mut self) -> Result<()> {
        Ok(())
    }

    fn decode(&mut self) -> Result<Vec<Frame>> {
        Ok(vec![self.next()?])
    }

    fn remember(&mut self) -> Result<()> {
        Ok(())
    }

    fn bookmark(&mut self) -> Result<()> {
        self.marked = Some(self.shown);
        Ok(())
    }

    fn go_back(&mut self) -> Result<bool> {
        let Some(marked) = self.marked else { return Ok(false) };
        // Every picture builds on the one before: all up to the mark are decoded again.
        self.video = self.session.video()?;
        for frame in self.video.by_ref().take(marked) {
            frame?;
        }
        self.shown = marked;
        Ok(true)
    }

    fn memory(&mut self) -> Result<MemoryView> {
        Ok(MemoryView::default())
    }
}

impl fmt::Debug for Rerun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rerun").field("facts", &self.facts).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::tests::record;

    #[test]
    fn a_session_is_shown_from_the_beginning_round_and_round() {
        let dir = tempfile::tempdir().unwrap();
        let session = dir.path().join("session");
        // 25 frames, each a little brighter than the one before.
        record(&session, "2026-01-01T00:00:00Z");
        let mut rerun = opener(session)(&mut |_| {}).unwrap();
        assert_eq!((rerun.facts().name.as_str(), rerun.facts().fps), ("rooms again", 10.0));
        let opening = rerun.opening();
        let frames: Vec<_> = (0..24).map(|_| rerun.decode().unwrap().remove(0)).collect();
        assert!(frames[23].pixels[0] > opening.pixels[0] + 100, "the last one is brighter");
        assert_eq!(rerun.decode().unwrap(), [opening.as_ref().clone()], "round it goes");
        // The mark is after the third frame.
        rerun.decode().unwrap();
        rerun.decode().unwrap();
        rerun.bookmark().unwrap();
        let following = rerun.decode().unwrap();
        rerun.decode().unwrap();
        assert!(rerun.go_back().unwrap());
        assert_eq!(rerun.decode().unwrap(), following);
    }

    #[test]
    fn a_folder_without_a_session_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = opener(dir.path().to_owned())(&mut |_| {}).err().unwrap();
        assert!(format!("{error:#}").contains("session.json"), "{error:#}");
    }
}
