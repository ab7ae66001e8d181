//! Frames on their way to the screen, each with the time at which it is due; and when those before them were shown.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use input::Frame;

/// A picture and when to show it. Times are of the loop's clock.
#[derive(Clone, Debug)]
pub struct DueFrame {
    /// Count of frames since the walk began; the opening picture is 0.
    pub number: u64,
    /// The picture.
    pub frame: Arc<Frame>,
    /// When the touch came that it is the first to obey; without one, when the controls were sampled.
    pub input_at: Duration,
    /// Whether there was a touch.
    pub touched: bool,
    /// When to show it.
    pub due: Duration,
}

/// A bounded queue between the dream and the window. Clones share it.
///
/// Full, it drops its oldest frame: a window that looks away must not hold up the dream.
#[derive(Clone, Debug)]
pub struct DueQueue(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    frames: VecDeque<DueFrame>,
    capacity: usize,
    skipped: u64,
    /// Numbers of the frames that were shown last and when, oldest first.
    shown: VecDeque<(u64, Duration)>,
}

impl DueQueue {
    /// An empty queue of at most `capacity` frames.
    ///
    /// # Panics
    /// When `capacity` is zero.
    pub fn new(capacity: usize) -> Self {
        assert!(capacity > 0, "a queue without room could pass nothing on");
        let frames = VecDeque::with_capacity(capacity);
        let shown = VecDeque::with_capacity(2 * capacity);
        Self(Arc::new(Mutex::new(Inner { frames, capacity, skipped: 0, shown })))
    }

    /// Makes room for `capacity` frames, once the length of a section is known.
    pub fn widen(&self, capacity: usize) {
        let mut inner = self.lock();
        inner.capacity = inner.capacity.max(capacity);
    }

    /// Appends a frame.
    pub fn push(&self, frame: DueFrame) {
        let mut inner = self.lock();
        if inner.frames.len() == inner.capacity {
            inner.frames.pop_front();
            inner.skipped += 1;
        }
        inner.frames.push_back(frame);
    }

    /// Takes the newest frame that is due; older ones are skipped.
    pub fn newest_due(&self, now: Duration) -> Option<DueFrame> {
        let mut inner = self.lock();
        let mut newest = None;
        while inner.frames.front().is_some_and(|frame| frame.due <= now) {
            inner.skipped += u64::from(newest.is_some());
            newest = inner.frames.pop_front();
        }
        newest
    }

    /// Takes the oldest frame, due or not.
    pub fn next(&self) -> Option<DueFrame> {
        self.lock().frames.pop_front()
    }

    /// When the oldest frame is due.
    pub fn next_due(&self) -> Option<Duration> {
        self.lock().frames.front().map(|frame| frame.due)
    }

    /// Frames waiting.
    pub fn len(&self) -> usize {
        self.lock().frames.len()
    }

    /// Whether no frame is waiting.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Frames that were never shown, since the queue was made.
    pub fn skipped(&self) -> u64 {
        self.lock().skipped
    }

    /// Takes note of when the frame of this number, which was taken, was shown.
    pub fn note_shown(&self, number: u64, at: Duration) {
        let mut inner = self.lock();
        // Twice what can wait outlasts whoever asks about the frames that have just left the queue.
        if inner.shown.len() >= 2 * inner.capacity {
            inner.shown.pop_front();
        }
        inner.shown.push_back((number, at));
    }

    /// When the frame of this number was shown; `None` when it was not, not yet, or long ago.
    pub fn shown_at(&self, number: u64) -> Option<Duration> {
        let inner = self.lock();
        inner.shown.iter().find(|(shown, _)| *shown == number).map(|(_, at)| *at)
    }

    /// Number of the frame that was shown last; none before it will be shown any more.
    pub fn newest_shown(&self) -> Option<u64> {
        self.lock().shown.back().map(|(number, _)| *number)
    }

    /// Puts every due time off by `by`, after a pause that long. Nobody waited for a picture meanwhile: the time since
    /// a touch does not count it.
    pub fn put_off(&self, by: Duration) {
        for frame in &mut self.lock().frames {
            frame.due += by;
            frame.input_at += by;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
