//! The loop: controls in, pictures out, one section after another.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use input::{Action, Frame, Room};
use serde_json::Value;

use crate::clock::Clock;
use crate::cores;
use crate::dream::{Dream, Lineage};
use crate::effort::Effort;
use crate::gate::{Gate, Pass, Wish};
use crate::pace::{Due, Pace};
use crate::stage::Stage;
use crate::stats::SharedStats;
use crate::view::MemoryView;

/// Who steers.
pub trait Steer: Send {
    /// What is applied before each of the next `frames` frames.
    fn poll(&mut self, frames: u32) -> Vec<Action>;

    /// Takes note of what came of the last poll, and how much room there is now, where a map tells.
    fn see(&mut self, _frames: &[Arc<Frame>], _room: Option<Room>) {}

    /// When the oldest touch of a device came that the last poll was the first to obey, in the time of the
    /// walk, which `clock` keeps; `None` where nothing was touched since the poll before.
    fn touched_at(&mut self, _clock: &Clock) -> Option<Duration> {
        None
    }

    /// What the player should be told since the last time.
    fn take_notices(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// Where finished sections go.
pub trait Publish {
    /// Takes a section; answers [`Pass::Leave`] when it was the last one wanted.
    fn publish(&mut self, section: &Section) -> Result<Pass>;

    /// Takes what the section was made from, while somebody watches.
    fn memory(&mut self, _view: MemoryView) {}

    /// Takes a line for the player.
    fn notice(&mut self, line: String) {
        tracing::info!("{line}");
    }
}

/// A finished section.
#[derive(Clone, Debug)]
pub struct Section {
    /// Count of sections before it.
    pub number: u64,
    /// Number of its first frame; the opening picture is frame 0.
    pub first: u64,
    /// What was applied before each frame.
    pub actions: Vec<Action>,
    /// The pictures.
    pub frames: Vec<Arc<Frame>>,
    /// When the controls were sampled.
    pub polled_at: Duration,
    /// When the oldest touch came that it is the first to obey; without one, when the controls were sampled.
    pub input_at: Duration,
    /// Whether there was a touch.
    pub touched: bool,
    /// When to show the pictures.
    pub due: Due,
    /// What it was made from.
    pub account: Value,
    /// What its frames came from.
    pub lineage: Lineage,
}

impl Section {
    /// Number of its last frame; that of its first when it has none.
    pub fn last(&self) -> u64 {
        self.first + u64::try_from(self.frames.len()).unwrap_or(0).saturating_sub(1)
    }
}

/// A walk through a dream: everything the loop needs.
#[expect(missing_debug_implementations, reason = "made of trait objects")]
pub struct Stream<'a> {
    /// What dreams.
    pub dream: &'a mut dyn Dream,
    /// Who steers.
    pub steer: &'a mut dyn Steer,
    /// Where sections go.
    pub publish: &'a mut dyn Publish,
    /// When they are made.
    pub pace: Pace,
    /// The window's say between two sections.
    pub gate: Gate,
    /// How hard the network works, where that may change.
    pub effort: Option<Effort>,
    /// The walk's time.
    pub clock: Clock,
    /// Where times are noted.
    pub stats: SharedStats,
}

impl Stream<'_> {
    /// Walks until told to leave.
    ///
    /// # Errors
    /// The first stage that fails ends the walk and is named.
    pub fn run(&mut self) -> Result<()> {
        let length = self.dream.facts().section_frames;
        let mut number = 0;
        while !self.dream.over() && self.gate.pass(&self.clock, self.pace.start()) == Pass::Go {
            let _section = tracing::info_span!("section", number).entered();
            let first = number * u64::from(length) + 1;
            let polled_at = self.clock.now();
            self.stats.lock().begin(polled_at);
            self.grant()?;

            let actions = self.stage(Stage::Poll, |it| Ok(it.steer.poll(length)))?;
            let touched_at = self.steer.touched_at(&self.clock);
            let input_at = touched_at.map_or(polled_at, |at| at.min(polled_at));
            let notices = self.steer.take_notices().into_iter().chain(self.dream.take_notices());
            notices.for_each(|line| self.publish.notice(line));
            let pictures = cores::awake(|| self.dream(&actions))?;
            let due = self.place(polled_at, pictures.len(), actions.len())?;
            let took = self.clock.now().saturating_sub(polled_at);
            let frames: Vec<_> = pictures.into_iter().map(Arc::new).collect();
            self.steer.see(&frames, self.dream.room());
            let account = self.dream.account();
            self.stats.lock().memory_lost(self.dream.lost());
            if self.gate.watching() {
                self.publish.memory(self.dream.memory()?);
            }
            let lineage = self.dream.lineage();
            let section = Section {
                number,
                first,
                actions,
                frames,
                polled_at,
                input_at,
                touched: touched_at.is_some(),
                due,
                account,
                lineage,
            };
            if self.stage(Stage::Publish, |it| it.publish.publish(&section))? == Pass::Leave {
                break;
            }
            let began = self.clock.now();
            cores::awake(|| self.stage(Stage::Anticipate, |it| it.dream.anticipate()))?;
            let ended = self.clock.now();
            self.pace.anticipated(began, ended);
            self.ease(took + ended.saturating_sub(began));
            number += 1;
        }
        Ok(())
    }

    /// Makes the pictures of a section under these actions.
    fn dream(&mut self, actions: &[Action]) -> Result<Vec<Frame>> {
        self.stage(Stage::Preview, |it| it.dream.preview(actions))?;
        self.stage(Stage::Retrieve, |it| it.dream.retrieve())?;
        self.stage(Stage::Plan, |it| it.dream.plan())?;
        self.stage(Stage::Pack, |it| it.dream.pack())?;
        self.stage(Stage::Encode, |it| it.dream.encode())?;
        self.stage(Stage::Denoise, |it| it.dream.denoise())?;
        self.stage(Stage::Remember, |it| it.dream.remember())?;
        self.stage(Stage::Decode, |it| it.dream.decode())
    }

    /// Does what the player wished for between two sections.
    fn grant(&mut self) -> Result<()> {
        let said = match self.gate.take_wish() {
            None => return Ok(()),
            Some(Wish::Bookmark) => {
                self.dream.bookmark()?;
                "bookmark set: Shift+B comes back here"
            }
            Some(Wish::GoBack) if self.dream.go_back()? => "back at the bookmark",
            Some(Wish::GoBack) => "no bookmark yet: B sets one",
        };
        self.publish.notice(said.to_owned());
        Ok(())
    }

    /// Changes the evaluations of the sections to come where the rate asks for it; the last one took so long.
    fn ease(&mut self, took: Duration) {
        let Some(evaluations) = self.effort.as_mut().and_then(|effort| effort.observe(took)) else {
            return;
        };
        self.dream.evaluate(evaluations);
        self.publish.notice(format!("{evaluations} evaluations a section, for the rate"));
    }

    /// Runs one stage under its span and notes how long it took.
    fn stage<R>(&mut self, stage: Stage, run: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        let _span = stage.span().entered();
        let began = self.clock.now();
        let answer = run(self).with_context(|| format!("stage {}", stage.name()))?;
        self.stats.lock().stage(stage, self.clock.now().saturating_sub(began));
        Ok(answer)
    }

    /// Finds out when a section that is ready now is due.
    fn place(&mut self, polled_at: Duration, frames: usize, wanted: usize) -> Result<Due> {
        ensure!(frames == wanted, "expected {wanted} frames, got {frames}");
        let ready = self.clock.now();
        let due = self.pace.place(polled_at, ready);
        let mut stats = self.stats.lock();
        for _ in 0..frames {
            stats.frame(ready);
        }
        if due.late {
            stats.late();
        }
        Ok(due)
    }
}
