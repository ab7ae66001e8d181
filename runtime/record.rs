//! Recording a walk: a thread of its own writes what the loop hands over.
//!
//! A session holds all that its sections were made from, whatever moment of the walk it begins at: of the frames
//! that a section saw, those that the session does not contain are stored beside it, each once, when they are first
//! seen.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use input::{
    Account, Action, EpisodeError, Frame, FrameRecord, PastFrame, SESSION_FORMAT, SessionHeader,
    SessionWriter,
};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::date;
use crate::dream::{Facts, Lineage};
use crate::hash::frame_sha256;
use crate::stream::Section;

/// Sections that may wait to be written: seconds of play, and a few MB at the usual size.
const WAITING: usize = 128;

/// What happens when the writer falls behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The walk waits: every frame is kept.
    Wait,
    /// The section is left out and its frames counted: play goes on.
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
    contained: Contained,
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

/// What is written at once, or left out at once.
#[derive(Debug)]
struct Recorded {
    past: Vec<PastFrame>,
    frames: Vec<(Arc<Frame>, FrameRecord)>,
}

/// Frames, by their names, that a session contains or has stored.
#[derive(Debug, Default)]
struct Contained {
    /// All frames made since then, but for those left out.
    from: Option<u32>,
    left_out: BTreeSet<u32>,
    /// Others that were stored.
    stored: BTreeSet<u32>,
}

impl Contained {
    fn holds(&self, name: u32) -> bool {
        let made = self.from.is_some_and(|from| from <= name) && !self.left_out.contains(&name);
        made || self.stored.contains(&name)
    }

    /// What has to be stored for a section, each frame once.
    fn lacks(&self, lineage: &Lineage) -> Vec<PastFrame> {
        let mut lacking = BTreeSet::new();
        let past = lineage.past.iter();
        past.filter(|frame| !self.holds(frame.name) && lacking.insert(frame.name))
            .cloned()
            .collect()
    }

    /// Takes note of a section that was handed on, with what was stored for it, or left out.
    fn note(&mut self, lineage: &Lineage, stored: &[u32], handed_on: bool) {
        if self.from.is_none() {
            self.from = lineage.made.first().copied();
        }
        if handed_on {
            self.stored.extend(stored);
        } else {
            self.left_out.extend(&lineage.made);
        }
    }
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
    /// Begins a session in the folder `dir` with the picture that is on the screen, shown at the time
    /// `opening.shown_at`, if it was.
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
            contained: Contained::default(),
        };
        let record = FrameRecord {
            tick: opening.number,
            section: 0,
            action: Action::NEUTRAL,
            frame_sha256: frame_sha256(&opening.frame),
            device_time_us: 0,
            present_time_us: opening.shown_at.map(|at| recorder.since_began(at)),
            plan: Account::default(),
        };
        recorder.send(Recorded { past: Vec::new(), frames: vec![(opening.frame, record)] });
        Ok(recorder)
    }

    /// Takes the frames of a section, and when each was shown, by its number. A writer that failed is noticed by
    /// [`Self::failed`].
    pub fn add(&mut self, section: &Section, shown_at: impl Fn(u64) -> Option<Duration>) {
        let mut frames = Vec::with_capacity(section.frames.len());
        let device_time_us = self.since_began(section.input_at);
        for (at, (frame, action)) in section.frames.iter().zip(&section.actions).enumerate() {
            let tick = section.first + u64::try_from(at).unwrap_or(u64::MAX);
            // The account is of the whole section and stands beside its first frame.
            let plan = if at == 0 { Account::from(&section.account) } else { Account::default() };
            let record = FrameRecord {
                tick,
                section: section.number,
                action: *action,
                frame_sha256: frame_sha256(frame),
                device_time_us,
                present_time_us: shown_at(tick).map(|at| self.since_began(at)),
                plan,
            };
            frames.push((Arc::clone(frame), record));
        }
        let past = self.contained.lacks(&section.lineage);
        let stored: Vec<u32> = past.iter().map(|frame| frame.name).collect();
        let handed_on = self.send(Recorded { past, frames });
        self.contained.note(&section.lineage, &stored, handed_on);
    }

    /// Microseconds of the session at a time of the walk.
    fn since_began(&self, at: Duration) -> u64 {
        u64::try_from(at.saturating_sub(self.began).as_micros()).unwrap_or(u64::MAX)
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

    /// Hands on what is to be written; answers whether there was room.
    fn send(&mut self, recorded: Recorded) -> bool {
        let Some(sender) = &self.sender else { return false };
        match self.full {
            // A closed channel is a writer that failed, which `failed` reports.
            Full::Wait => sender.blocking_send(recorded).is_ok(),
            Full::Drop => match sender.try_send(recorded) {
                Ok(()) => true,
                Err(TrySendError::Full(recorded)) => {
                    self.lost += recorded.frames.len() as u64;
                    false
                }
                Err(TrySendError::Closed(_)) => false,
            },
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
    /// When it was shown, in the time of the walk, where that is known.
    pub shown_at: Option<Duration>,
}

fn write(mut writer: SessionWriter, mut sections: Receiver<Recorded>) -> Result<u64, EpisodeError> {
    while let Some(Recorded { past, frames }) = sections.blocking_recv() {
        for frame in &past {
            writer.push_past(frame)?;
        }
        for (frame, record) in &frames {
            writer.push(frame, record)?;
        }
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage(made: u32, past: &[u32]) -> Lineage {
        let frame = |name: &u32| PastFrame { name: *name, action: [].into(), latent: [].into() };
        Lineage { made: vec![made], past: past.iter().map(frame).collect() }
    }

    #[test]
    fn a_frame_from_before_or_left_out_is_stored_once() {
        let mut contained = Contained::default();
        let mut take = |lineage: &Lineage, handed_on| {
            let stored: Vec<u32> =
                contained.lacks(lineage).iter().map(|frame| frame.name).collect();
            contained.note(lineage, &stored, handed_on);
            stored
        };
        assert_eq!(take(&lineage(10, &[9, 8, 9]), true), [9, 8]);
        assert_eq!(take(&lineage(11, &[10, 9, 3]), false), [3]);
        // What was left out took with it what would have been stored for it.
        assert_eq!(take(&lineage(12, &[11, 10, 3]), true), [11, 3]);
        assert!(take(&lineage(13, &[12, 11, 10, 9, 3]), true).is_empty());
    }
}
