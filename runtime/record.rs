//! Recording a walk: a thread of its own writes what the loop hands over.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use input::{
    Action, EpisodeError, Frame, FrameRecord, SESSION_FORMAT, SessionHeader, SessionWriter,
};
use serde_json::Value;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::date;
use crate::dream::Facts;
use crate::hash::frame_sha256;
use crate::stream::Section;

/// Frames that may wait to be written: seconds of play, and a few MB at the usual size.
const WAITING: usize = 128;

/// What happens when the writer falls behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The walk waits: every frame is kept.
    Wait,
    /// The frame is left out and counted: play goes on.
    Drop,
}

/// A recording under way, joined to its writer by a bounded channel.
#[derive(Debug)]
pub struct Recorder {
    /// `None` once no more frames will come.
    sender: Option<Sender<Recorded>>,
    thread: JoinHandle<Result<u64, EpisodeError>>,
    dir: PathBuf,
    full: Full,
    /// Time of the walk at which the session began.
    began: Duration,
    lost: u64,
}

/// A recording that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The session's folder.
    pub dir: PathBuf,
    /// Frames written.
    pub frames: u64,
    /// Frames left out because the writer fell behind.
    pub lost: u64,
}

#[derive(Debug)]
struct Recorded {
    frame: Arc<Frame>,
    record: FrameRecord,
}

/// The header of a session of this world, begun now.
pub fn header(facts: &Facts) -> SessionHeader {
    SessionHeader {
        format: SESSION_FORMAT.into(),
        world: facts.name.clone(),
        world_hash: facts.hash.clone(),
        seed: facts.seed,
        width: facts.width,
        height: facts.height,
        fps: facts.fps,
        layout: facts.layout.clone(),
        settings: facts.settings.clone(),
        created: date::now(),
    }
}

impl Recorder {
    /// Begins a session in the folder `dir` with the picture that is on the screen.
    ///
    /// # Errors
    /// When the folder cannot be made or holds a session already.
    pub fn start(dir: &Path, facts: &Facts, opening: Opening, full: Full) -> Result<Self> {
        let writer = SessionWriter::create(dir, &header(facts))
            .with_context(|| format!("begin a recording in {}", dir.display()))?;
        let (sender, receiver) = channel(WAITING);
        let thread =
            Builder::new().name("session".into()).spawn(move || write(writer, receiver))?;
        let mut recorder = Self {
            sender: Some(sender),
            thread,
            dir: dir.into(),
            full,
            began: opening.at,
            lost: 0,
        };
        let record = FrameRecord {
            tick: opening.number,
            section: 0,
            action: Action::NEUTRAL,
            frame_sha256: frame_sha256(&opening.frame),
            device_time_us: 0,
            present_time_us: None,
            plan: Value::Null,
        };
        recorder.send(Recorded { frame: opening.frame, record });
        Ok(recorder)
    }

    /// Takes the frames of a section. A writer that failed is noticed by [`Self::failed`].
    pub fn add(&mut self, section: &Section) {
        let device_time = section.polled_at.saturating_sub(self.began).as_micros();
        for (at, (frame, action)) in section.frames.iter().zip(&section.actions).enumerate() {
            let tick = section.first + u64::try_from(at).unwrap_or(u64::MAX);
            // The account is of the whole section and stands beside its first frame.
            let plan = if at == 0 { section.account.clone() } else { Value::Null };
            let record = FrameRecord {
                tick,
                section: section.number,
                action: *action,
                frame_sha256: frame_sha256(frame),
                device_time_us: u64::try_from(device_time).unwrap_or(u64::MAX),
                present_time_us: None,
                plan,
            };
            self.send(Recorded { frame: Arc::clone(frame), record });
        }
    }

    /// Whether the writer has given up; [`Self::finish`] says why.
    pub fn failed(&self) -> bool {
        self.sender.as_ref().is_some_and(Sender::is_closed)
    }

    /// Takes no more frames; the writer writes what is waiting and ends.
    pub fn close(&mut self) {
        self.sender = None;
    }

    /// Whether the writer has ended, so that [`Self::finish`] does not wait.
    pub fn ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// When something could not be written. What was written before remains a readable session.
    pub fn finish(mut self) -> Result<Recording> {
        self.close();
        // A panic there has been reported on its own thread already.
        let written = self.thread.join().ok().context("the session's writer panicked")?;
        let frames = written.with_context(|| format!("record into {}", self.dir.display()))?;
        Ok(Recording { dir: self.dir, frames, lost: self.lost })
    }

    fn send(&mut self, recorded: Recorded) {
        let Some(sender) = &self.sender else { return };
        match self.full {
            // A closed channel is a writer that failed, which `failed` reports.
            Full::Wait => _ = sender.blocking_send(recorded),
            Full::Drop => {
                if let Err(TrySendError::Full(_)) = sender.try_send(recorded) {
                    self.lost += 1;
                }
            }
        }
    }
}

/// The picture a session opens with.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Its number.
    pub number: u64,
    /// The picture.
    pub frame: Arc<Frame>,
    /// The walk's time.
    pub at: Duration,
}

fn write(mut writer: SessionWriter, mut frames: Receiver<Recorded>) -> Result<u64, EpisodeError> {
    while let Some(Recorded { frame, record }) = frames.blocking_recv() {
        writer.push(&frame, &record)?;
    }
    writer.finish()
}
