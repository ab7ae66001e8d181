//! The thread that writes cold memory, so that the game never waits for a disk.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use super::Cold;
use super::batch::{Batch, NewRun};
use super::error::ColdError;
use super::key_frames::{Choice, KeyFrames};
use super::run::{ColdFrame, RunId};
use crate::warm::Record;

/// Longest that anything waits to be committed: a commit of some milliseconds later it is durable,
/// well within the second that a crash may cost.
const COMMIT_EVERY: Duration = Duration::from_millis(400);

/// Messages on their way, at most: nearly three seconds' worth at 35 frames a second, where each
/// frame brings a hit and each fourth a run. More are dropped.
const QUEUE: usize = 128;

/// A run that may be worth keeping.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// Its frames, 1 to [`RUN_FRAMES`](super::RUN_FRAMES) successive ones, oldest first.
    pub records: Vec<Record>,
    /// Seconds since 1970.
    pub kept_at: u64,
    /// Whether it is never let go for others, as the frames a world starts from.
    pub pinned: bool,
}

/// What the writer has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Runs kept, their view being new.
    pub kept: u64,
    /// Runs that only refreshed another.
    pub refreshed: u64,
    /// Runs let go.
    pub evicted: u64,
    /// Messages that came to nothing, the queue being full or the writer stopped.
    pub lost: u64,
}

/// Writes cold memory on a thread of its own. The queue to it is bounded; what finds it full is
/// dropped and counted.
#[derive(Debug)]
pub struct ColdWriter {
    sender: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
enum Message {
    Keep(Offer),
    Touch(Vec<RunId>),
    Flush(SyncSender<()>),
}

#[derive(Debug, Default)]
struct Shared {
    kept: AtomicU64,
    refreshed: AtomicU64,
    evicted: AtomicU64,
    lost: AtomicU64,
    notice: Mutex<Option<String>>,
}

impl ColdWriter {
    /// Starts the thread. `key_frames`: those of the file, as [`Cold::restore`] gives them.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(cold: Cold, key_frames: KeyFrames) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let worker = Worker { cold, key_frames, shared: Arc::clone(&shared) };
        let thread =
            Builder::new().name("memory".to_owned()).spawn(move || worker.work(&receiver))?;
        Ok(Self { sender: Some(sender), thread: Some(thread), shared })
    }

    /// Offers a run: kept when its view is new, else the run it looks like is refreshed.
    /// Never blocks.
    pub fn keep(&self, offer: Offer) {
        self.send(Message::Keep(offer));
    }

    /// Marks runs of earlier sessions as hit, see [`Restored::runs_of`](super::Restored::runs_of).
    /// Never blocks.
    pub fn touch(&self, runs: Vec<RunId>) {
        if !runs.is_empty() {
            self.send(Message::Touch(runs));
        }
    }

    /// Messages that came to nothing, the queue being full or the writer stopped.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// What it has done so far; what is not committed yet counts.
    #[must_use]
    pub fn written(&self) -> Written {
        let Shared { kept, refreshed, evicted, lost, notice: _ } = &*self.shared;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Written {
            kept: count(kept),
            refreshed: count(refreshed),
            evicted: count(evicted),
            lost: count(lost),
        }
    }

    /// What there is to tell the player, such as why nothing is remembered any more; once.
    #[must_use]
    pub fn notice(&self) -> Option<String> {
        self.shared.notice.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Waits until all that was sent is durable. Not for the game's own thread.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        // An error means that the writer has stopped: nothing is left to wait for.
        if self.sender.as_ref().is_some_and(|sender| sender.send(Message::Flush(done)).is_ok()) {
            let _stopped = wait.recv();
        }
    }

    /// Commits what was sent, closes the file and ends the thread; a file far over its budget is
    /// made smaller, see [`Cold::close`]. Gives what there is to tell the player.
    pub fn close(mut self) -> Option<String> {
        self.end();
        self.notice()
    }

    fn end(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            self.shared.tell("memory stopped: its thread ended early".to_owned());
        }
    }

    fn send(&self, message: Message) {
        let sent = self.sender.as_ref().is_some_and(|sender| sender.try_send(message).is_ok());
        if !sent {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for ColdWriter {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn tell(&self, text: String) {
        let mut notice = self.notice.lock().unwrap_or_else(PoisonError::into_inner);
        notice.get_or_insert(text);
    }
}

/// The thread's side.
struct Worker {
    cold: Cold,
    key_frames: KeyFrames,
    shared: Arc<Shared>,
}

impl Worker {
    /// Takes messages until their sender is gone or nothing can be written any more.
    fn work(mut self, receiver: &Receiver<Message>) {
        while let Ok(first) = receiver.recv() {
            let mut messages = vec![first];
            gather(receiver, &mut messages);
            let lost = messages.len() as u64;
            if let Err(error) = self.commit(messages) {
                self.shared.lost.fetch_add(lost, Ordering::Relaxed);
                return self.shared.tell(format!("memory stopped: {}", with_sources(&error)));
            }
        }
        if let Err(error) = self.cold.close() {
            self.shared.tell(format!("memory kept its size: {}", with_sources(&error)));
        }
    }

    /// Applies messages in one transaction, then answers those who wait.
    fn commit(&mut self, messages: Vec<Message>) -> Result<(), ColdError> {
        let Self { cold, key_frames, shared } = self;
        let mut waiting = Vec::new();
        cold.write(|batch| {
            for message in messages {
                match message {
                    Message::Keep(offer) => match keep(batch, key_frames, shared, offer) {
                        Err(error) if error.is_of_the_run() => {
                            shared.lost.fetch_add(1, Ordering::Relaxed);
                            shared.tell(format!("memory left a run out: {}", with_sources(&error)));
                        }
                        done => done?,
                    },
                    Message::Touch(runs) => {
                        runs.iter().try_for_each(|run| batch.touch(*run, true).map(|_| ()))?;
                    }
                    Message::Flush(done) => waiting.push(done),
                }
            }
            Ok(())
        })?;
        for done in waiting {
            // It may have stopped waiting.
            let _gone = done.send(());
        }
        Ok(())
    }
}

/// Adds what comes within the time that the first message may wait; a flush ends it.
fn gather(receiver: &Receiver<Message>, messages: &mut Vec<Message>) {
    #[expect(clippy::disallowed_methods, reason = "crashes are in real time, whatever clock plays")]
    let now = Instant::now;
    let due = now() + COMMIT_EVERY;
    while messages.len() < QUEUE && !matches!(messages.last(), Some(Message::Flush(_))) {
        match receiver.recv_timeout(due.saturating_duration_since(now())) {
            Ok(message) => messages.push(message),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn keep(
    batch: &mut Batch<'_>,
    key_frames: &mut KeyFrames,
    shared: &Shared,
    offer: Offer,
) -> Result<(), ColdError> {
    let Offer { records, kept_at, pinned } = offer;
    let key = records.get(KeyFrames::of_run(records.len())).map(|record| record.feature.clone());
    let Some(view) = key else { return Ok(()) };
    if let Choice::Refresh(run) = key_frames.choose(&view, pinned)? {
        batch.touch(run, false)?;
        shared.refreshed.fetch_add(1, Ordering::Relaxed);
        return Ok(());
    }
    let frame = |Record { stamp, latent, action, pose, .. }| ColdFrame {
        tick: stamp.tick,
        latent,
        action,
        pose,
    };
    let frames = records.into_iter().map(frame).collect();
    let kept = batch.keep(&NewRun { frames, kept_at, pinned })?;
    kept.evicted.iter().for_each(|run| key_frames.remove(*run));
    key_frames.add(kept.id, view, pinned)?;
    shared.kept.fetch_add(1, Ordering::Relaxed);
    shared.evicted.fetch_add(kept.evicted.len() as u64, Ordering::Relaxed);
    Ok(())
}

/// An error and what caused it, in one line.
fn with_sources(error: &ColdError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
