//! Begins and ends recordings as the player wishes, while the walk goes on.
//!
//! A section is made before it is shown, and a session says when each frame was shown. So sections wait here until
//! their frames were shown or cannot be any more: until two newer ones have driven them out of the queue.

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use input::Frame;

use crate::date;
use crate::dream::Facts;
use crate::queue::DueQueue;
use crate::record::{Full, Opening, Recorder, Recording};
use crate::stream::Section;

/// Sections of which frames can wait to be shown: what the queue has room for.
const SHOWN_LATER: usize = 2;

/// The recordings of one walk. Nothing here waits for a disk, except [`Tape::finish`].
#[derive(Debug)]
pub struct Tape {
    facts: Facts,
    /// Folder in which each session gets a folder of its own.
    sessions: PathBuf,
    /// Knows when frames were shown.
    queue: DueQueue,
    running: Option<Recorder>,
    /// Sections of the running recording whose frames may still be shown.
    unshown: VecDeque<Section>,
    /// Recordings whose last frames are being written.
    ending: Vec<Recorder>,
    /// The newest picture: what the next recording opens with.
    newest: Opening,
    over: Vec<Recording>,
}

impl Tape {
    /// A tape for a walk that opens with `opening` and is shown from `queue`.
    pub fn new(facts: Facts, sessions: PathBuf, opening: Arc<Frame>, queue: DueQueue) -> Self {
        let newest = Opening { number: 0, frame: opening, at: Duration::ZERO, shown_at: None };
        Self {
            facts,
            sessions,
            queue,
            running: None,
            unshown: VecDeque::new(),
            ending: Vec::new(),
            newest,
            over: Vec::new(),
        }
    }

    /// Takes a section, after beginning or ending a recording so that it runs when `wanted`.
    ///
    /// Answers with what the player should know, and whether a recording runs now.
    pub fn take(&mut self, section: &Section, wanted: bool) -> (Vec<String>, bool) {
        let mut notices = Vec::new();
        match (&self.running, wanted) {
            (None, true) => notices.push(self.start()),
            (Some(_), false) => self.stop(),
            (Some(_), true) | (None, false) => {}
        }
        if self.running.is_some() {
            self.unshown.push_back(section.clone());
            self.hand_on(SHOWN_LATER);
        }
        if self.running.as_ref().is_some_and(Recorder::failed) {
            self.stop();
        }
        for recorder in self.ending.extract_if(.., |recorder| recorder.ended()) {
            notices.push(finish(recorder, &mut self.over));
        }
        if let Some(frame) = section.frames.last() {
            let (number, frame) = (section.last(), Arc::clone(frame));
            self.newest = Opening { number, frame, at: section.polled_at, shown_at: None };
        }
        (notices, self.running.is_some())
    }

    /// Ends all recordings and waits for them.
    pub fn finish(mut self) -> (Vec<Recording>, Vec<String>) {
        self.stop();
        let over = &mut self.over;
        let notices = self.ending.drain(..).map(|recorder| finish(recorder, over)).collect();
        (self.over, notices)
    }

    fn start(&mut self) -> String {
        let dir = self.sessions.join(session_name(&date::now(), &self.sessions));
        let shown_at = self.queue.shown_at(self.newest.number);
        let opening = Opening { shown_at, ..self.newest.clone() };
        match Recorder::start(&dir, &self.facts, opening, Full::Drop) {
            Ok(recorder) => {
                self.running = Some(recorder);
                format!("recording into {}", dir.display())
            }
            Err(error) => format!("no recording: {error:#}"),
        }
    }

    /// Hands on sections whose frames are settled, and others until at most `kept` are left.
    fn hand_on(&mut self, kept: usize) {
        let Some(recorder) = &mut self.running else { return };
        let shown = self.queue.newest_shown();
        let settled = |section: &Section| shown.is_some_and(|shown| section.last() <= shown);
        while self.unshown.len() > kept || self.unshown.front().is_some_and(settled) {
            let Some(section) = self.unshown.pop_front() else { break };
            recorder.add(&section, |number| self.queue.shown_at(number));
        }
    }

    fn stop(&mut self) {
        self.hand_on(0);
        if let Some(mut recorder) = self.running.take() {
            recorder.close();
            self.ending.push(recorder);
        }
    }
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "recorded {} frames in {}", self.frames, self.dir.display())?;
        match self.lost {
            0 => Ok(()),
            lost => write!(f, "; {lost} were left out because the disk was too slow"),
        }
    }
}

fn finish(recorder: Recorder, over: &mut Vec<Recording>) -> String {
    match recorder.finish() {
        Ok(recording) => {
            let notice = recording.to_string();
            over.push(recording);
            notice
        }
        Err(error) => format!("the recording ended: {error:#}"),
    }
}

/// A folder name made of the date, with a number where that is taken.
pub fn session_name(date: &str, sessions: &Path) -> String {
    free_name(date, "", sessions)
}

/// A name in `folder` made of the date and `end`, with a number where that is taken.
pub(crate) fn free_name(date: &str, end: &str, folder: &Path) -> String {
    // Colons are not for file names everywhere.
    let name = date.replace(':', "-");
    let free = |name: &String| !folder.join(name).exists();
    let numbered = (2_u32..).map(|number| format!("{name}-{number}{end}"));
    let plain = format!("{name}{end}");
    std::iter::once(plain.clone()).chain(numbered).find(free).unwrap_or(plain)
}
