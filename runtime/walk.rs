//! The dream's own thread, and what joins it to the window.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use anyhow::{Result, anyhow};
use input::Frame;

use crate::clock::Clock;
use crate::cores;
use crate::dream::{Facts, Opener};
use crate::effort::Effort;
use crate::gate::{Gate, Pass};
use crate::hash::FramesHash;
use crate::pace::Pace;
use crate::queue::{DueFrame, DueQueue};
use crate::record::Recording;
use crate::stats::{Figures, SharedStats};
use crate::stream::{Publish, Section, Steer, Stream};
use crate::tape::Tape;
use crate::view::{MemoryView, SharedView};

/// Most news waiting to be read; the dream's thread waits when the window falls that far behind.
const NEWS: usize = 64;

/// What is told while the walk before is ended.
pub const ENDING: &str = "ending the walk before";

/// What the dream tells the window, apart from frames.
#[derive(Debug)]
pub enum News {
    /// What is being done before the walk can begin.
    Starting(String),
    /// The world is there; this is its opening picture.
    Ready(Facts, Arc<Frame>),
    /// Something the player should read.
    Notice(String),
    /// The walk is over, or failed.
    Ended(Result<()>),
}

/// Asks the window to look for news and frames.
pub type Waker = Box<dyn Fn() + Send>;

/// What a walk begins with.
#[expect(missing_debug_implementations, reason = "made of closures")]
pub struct Plan {
    /// Opens the world.
    pub dream: Opener,
    /// Steers.
    pub steer: Box<dyn Steer>,
    /// Frames after which the walk ends by itself, rounded up to whole sections.
    pub frames: Option<u64>,
    /// Folder in which recordings get folders of their own.
    pub sessions: PathBuf,
    /// Whether sections take fewer evaluations where the world's own are too many to hold its rate.
    pub auto_steps: bool,
}

/// The window's end of a walk.
#[derive(Debug)]
pub struct Walk {
    /// Frames to show.
    pub queue: DueQueue,
    /// The say between two sections.
    pub gate: Gate,
    /// Figures, written by both ends.
    pub stats: SharedStats,
    /// Memory at work, while [`Gate::watching`].
    pub memory: SharedView,
    /// The walk's time.
    pub clock: Clock,
    /// What else is to be known.
    pub news: Receiver<News>,
    thread: JoinHandle<(String, Vec<Recording>)>,
}

impl Walk {
    /// Starts the dream's thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(plan: Plan, waker: Waker) -> io::Result<Self> {
        let (sender, news) = sync_channel(NEWS);
        // One section on the screen and one in the making; widened once their length is known.
        let queue = DueQueue::new(2);
        let (gate, stats, clock) = (Gate::default(), SharedStats::default(), Clock::real());
        let memory = SharedView::default();
        let mut end = DreamEnd {
            queue: queue.clone(),
            gate: gate.clone(),
            stats: stats.clone(),
            memory: memory.clone(),
            clock: clock.clone(),
            line: Line { news: sender, waker },
            hash: FramesHash::default(),
            left: plan.frames,
            tape: None,
        };
        let thread = Builder::new().name("dream".into()).spawn(move || {
            // After a panic, which has been told, all that is left to do is to end recordings: each is a plain list
            // of what it was handed, whatever broke off.
            let walked = catch_unwind(AssertUnwindSafe(|| cores::on_all(|| end.walk(plan))));
            let ended = match walked {
                Ok(ended) => ended.unwrap_or_else(|error| Err(error.into())),
                Err(_) => Err(anyhow!("the walk broke off by a fault of the program")),
            };
            end.line.tell(News::Ended(ended));
            let gate = end.gate.clone();
            let recorded = end.finish();
            gate.set_over();
            recorded
        })?;
        Ok(Self { queue, gate, stats, memory, clock, news, thread })
    }

    /// Takes note of a frame that was shown: its latency, and for a recording the time.
    pub fn note_shown(&self, frame: &DueFrame, at: Duration) {
        self.queue.note_shown(frame.number, at);
        self.stats.lock().presented(frame.input_at, at, frame.touched);
    }

    /// Begins another walk in the place of this one, which is ended first. Nobody waits here: the other's thread does,
    /// so that what both use, such as a memory, is free by then. `ended` takes what came of this one.
    ///
    /// # Errors
    /// When the system gives no thread; this walk goes on.
    pub fn follow(&mut self, plan: Plan, waker: Waker, ended: &Ended) -> io::Result<()> {
        let (sender, before) = sync_channel::<Self>(1);
        let (open, ended) = (plan.dream, ended.clone());
        let dream: Opener = Box::new(move |tell| {
            tell(ENDING.to_owned());
            if let Ok(before) = before.recv() {
                ended.add(before.leave());
            }
            open(tell)
        });
        let next = Self::start(Plan { dream, ..plan }, waker)?;
        let before = std::mem::replace(self, next);
        before.gate.leave();
        // The other end waits for it.
        let _ = sender.send(before);
        Ok(())
    }

    /// Ends the walk and waits until its recordings are written.
    pub fn leave(self) -> Walked {
        self.gate.leave();
        // A thread that waits to tell something is let go.
        drop(self.news);
        let (hash, recordings) = self.thread.join().unwrap_or_default();
        Walked { figures: self.stats.lock().figures(hash), recordings, headless: false }
    }
}

/// A walk that is over.
#[derive(Clone, Debug)]
pub struct Walked {
    /// Its figures.
    pub figures: Figures,
    /// What was recorded of it.
    pub recordings: Vec<Recording>,
    /// Nobody watched.
    pub headless: bool,
}

/// What came of walks that others followed, in their order. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Ended(Arc<Mutex<Vec<Walked>>>);

impl Ended {
    /// Takes what came of a walk.
    fn add(&self, walked: Walked) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(walked);
    }

    /// All that came of walks so far.
    pub fn take(&self) -> Vec<Walked> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The dream's end of a walk.
struct DreamEnd {
    queue: DueQueue,
    gate: Gate,
    stats: SharedStats,
    memory: SharedView,
    clock: Clock,
    line: Line,
    hash: FramesHash,
    left: Option<u64>,
    /// There once the world is open.
    tape: Option<Tape>,
}

/// The way for news: told and woken for.
struct Line {
    news: SyncSender<News>,
    waker: Waker,
}

impl Line {
    fn tell(&self, news: News) {
        // Logged here, because a window may end without having read it.
        if let News::Notice(text) = &news {
            tracing::info!("{text}");
        }
        // A window that is gone needs no news.
        if self.news.send(news).is_ok() {
            (self.waker)();
        }
    }
}

impl DreamEnd {
    fn walk(&mut self, plan: Plan) -> Result<()> {
        let Plan { dream, mut steer, sessions, auto_steps, frames: _ } = plan;
        let mut dream = dream(&mut |stage| self.line.tell(News::Starting(stage)))?;
        let facts = dream.facts().clone();
        self.queue.widen(usize::try_from(facts.section_frames)? * 2);
        let pace = Pace::at(facts.fps, facts.section_frames);
        let lasts = Duration::from_secs_f64(f64::from(facts.fps).recip()) * facts.section_frames;
        let effort = auto_steps.then(|| Effort::new(facts.evaluations, lasts));
        self.tape = Some(Tape::new(facts.clone(), sessions, dream.opening(), self.queue.clone()));
        self.line.tell(News::Ready(facts, dream.opening()));
        let (gate, clock, stats) = (self.gate.clone(), self.clock.clone(), self.stats.clone());
        let mut stream = Stream {
            dream: dream.as_mut(),
            steer: steer.as_mut(),
            publish: self,
            pace,
            effort,
            gate,
            clock,
            stats,
        };
        stream.run()
    }

    /// Ends the recordings; gives the hash of all frames and what was recorded.
    fn finish(self) -> (String, Vec<Recording>) {
        let (recordings, notices) = self.tape.map(Tape::finish).unwrap_or_default();
        for notice in notices {
            tracing::info!("{notice}");
        }
        (self.hash.finish(), recordings)
    }

    fn record(&mut self, section: &Section) {
        let Some(tape) = &mut self.tape else { return };
        let wanted = self.gate.recording();
        let (notices, running) = tape.take(section, wanted);
        if wanted && !running {
            self.gate.set_recording(false);
        }
        for notice in notices {
            self.line.tell(News::Notice(notice));
        }
    }
}

impl Publish for DreamEnd {
    fn notice(&mut self, line: String) {
        self.line.tell(News::Notice(line));
    }

    fn memory(&mut self, view: MemoryView) {
        self.memory.put(view);
    }

    fn publish(&mut self, section: &Section) -> Result<Pass> {
        let mut due = section.due.first;
        for (number, frame) in (section.first..).zip(&section.frames) {
            self.hash.add(frame);
            let frame = Arc::clone(frame);
            // The first frame of a section is where a touch is seen first.
            let touched = section.touched && number == section.first;
            let input_at = if touched { section.input_at } else { section.polled_at };
            self.queue.push(DueFrame { number, frame, input_at, touched, due });
            due += section.due.spacing;
        }
        (self.line.waker)();
        self.record(section);
        let Some(left) = &mut self.left else { return Ok(Pass::Go) };
        let made = u64::try_from(section.frames.len())?;
        *left = left.saturating_sub(made);
        Ok(if *left == 0 { Pass::Leave } else { Pass::Go })
    }
}
