//! A dream made of arithmetic, and controls made of a list.

pub(crate) mod lpips;
pub(crate) mod models;
pub(crate) mod world;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, bail};
use input::{Action, ActionLayout, Frame, Room};
use oneiro::clock::Clock;
use oneiro::dream::{Dream, Facts};
use oneiro::stream::Steer;
use oneiro::view::MemoryView;

/// A world whose frames are one colour: that of the sum of all turns so far.
pub(crate) struct Arithmetic {
    facts: Facts,
    clock: Clock,
    /// How long each section's sampler takes, round and round.
    times: Vec<Duration>,
    /// Stages called so far.
    pub(crate) calls: Arc<Mutex<Vec<&'static str>>>,
    /// Section whose sampler fails.
    pub(crate) fails_at: Option<usize>,
    /// Section whose sampler has a fault.
    pub(crate) panics_at: Option<usize>,
    /// Section whose sampler takes this long by the machine's own clock.
    pub(crate) stalls_at: Option<(usize, Duration)>,
    sections: usize,
    evaluations: u32,
    actions: Vec<Action>,
    turned: f32,
    marked: Option<f32>,
}

impl Arithmetic {
    pub(crate) fn new(section_frames: u32, clock: Clock, times: &[u64]) -> Self {
        let facts = Facts {
            name: "arithmetic".into(),
            hash: String::new(),
            seed: 0,
            settings: serde_json::Value::Null,
            width: 16,
            height: 16,
            fps: 20.0,
            section_frames,
            evaluations: 4,
            layout: ActionLayout::default(),
        };
        let times = times.iter().copied().map(Duration::from_millis).collect();
        Self {
            facts,
            clock,
            times,
            calls: Arc::default(),
            fails_at: None,
            panics_at: None,
            stalls_at: None,
            sections: 0,
            evaluations: 4,
            actions: Vec::new(),
            turned: 0.0,
            marked: None,
        }
    }

    fn call(&self, stage: &'static str) -> Result<()> {
        self.calls.lock().expect("no test panics while holding it").push(stage);
        Ok(())
    }
}

impl Dream for Arithmetic {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn evaluate(&mut self, evaluations: u32) {
        self.evaluations = evaluations;
    }

    fn room(&self) -> Option<Room> {
        Some(Room { ahead: self.turned, left: 0.0, right: 0.0 })
    }

    fn opening(&self) -> Arc<Frame> {
        Arc::new(Frame::filled(self.facts.width, self.facts.height, [0; 3]))
    }

    fn preview(&mut self, actions: &[Action]) -> Result<()> {
        self.actions = actions.to_vec();
        self.call("preview")
    }

    fn retrieve(&mut self) -> Result<()> {
        self.call("retrieve")
    }

    fn plan(&mut self) -> Result<()> {
        self.call("plan")
    }

    fn pack(&mut self) -> Result<()> {
        self.call("pack")
    }

    fn encode(&mut self) -> Result<()> {
        self.call("encode")
    }

    fn denoise(&mut self) -> Result<()> {
        if self.fails_at == Some(self.sections) {
            bail!("out of colours");
        }
        if let Some((_, stall)) = self.stalls_at.filter(|(at, _)| *at == self.sections) {
            std::thread::sleep(stall);
        }
        assert_ne!(self.panics_at, Some(self.sections), "a fault on purpose");
        if let Some(time) = self.times.get(self.sections % self.times.len().max(1)) {
            self.clock.advance(*time * self.evaluations / 4);
        }
        self.sections += 1;
        self.call("denoise")
    }

    fn decode(&mut self) -> Result<Vec<Frame>> {
        self.call("decode")?;
        let facts = &self.facts;
        let turned = &mut self.turned;
        Ok(std::mem::take(&mut self.actions)
            .into_iter()
            .map(|action| {
                *turned += action.turn;
                Frame::filled(
                    facts.width,
                    facts.height,
                    turned.to_le_bytes()[1..].try_into().expect("three of four bytes"),
                )
            })
            .collect())
    }

    fn remember(&mut self) -> Result<()> {
        self.call("remember")
    }

    fn anticipate(&mut self) -> Result<()> {
        self.call("anticipate")
    }

    fn bookmark(&mut self) -> Result<()> {
        self.marked = Some(self.turned);
        Ok(())
    }

    fn go_back(&mut self) -> Result<bool> {
        self.turned = self.marked.unwrap_or(self.turned);
        Ok(self.marked.is_some())
    }

    fn memory(&mut self) -> Result<MemoryView> {
        Ok(MemoryView { remembered: self.sections, ..MemoryView::default() })
    }

    fn lost(&self) -> u64 {
        7
    }
}

/// The colour of an [`Arithmetic`] frame after turns that add up to `turned`.
pub(crate) fn colour(turned: f32) -> [u8; 3] {
    let [_, a, b, c] = turned.to_le_bytes();
    [a, b, c]
}

/// Turns as listed, then stands; notes when it was asked.
pub(crate) struct Listed {
    pub(crate) turns: std::vec::IntoIter<f32>,
    pub(crate) clock: Clock,
    pub(crate) polled_at: Arc<Mutex<Vec<Duration>>>,
    /// A touch for the next poll to be the first to obey.
    pub(crate) touched: Option<Duration>,
}

impl Steer for Listed {
    fn touched_at(&mut self, _: &Clock) -> Option<Duration> {
        self.touched.take()
    }

    fn poll(&mut self, frames: u32) -> Vec<Action> {
        self.polled_at.lock().expect("no test panics while holding it").push(self.clock.now());
        let action = |turn: Option<f32>| Action { turn: turn.unwrap_or(0.0), ..Action::NEUTRAL };
        (0..frames).map(|_| action(self.turns.next())).collect()
    }
}
