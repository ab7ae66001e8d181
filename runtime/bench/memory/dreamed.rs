//! The engine's walks under test for what remembering costs.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use engine::dreamer::{DreamOptions, Dreamer};
use engine::noise::Random;
use engine::world::World;
use input::{Action, Controller as _, Wander};

use super::{Times, Walk};
use crate::bench;
use crate::bench::dreamed::open_world;
use crate::clock::Clock;

/// Frames that the walks begin with, all real.
const OPENING: usize = 32;
/// Noise on what is remembered, of latents that vary by 1: two that look alike are not the same.
const NOISE: f32 = 0.2;
/// Least room in warm memory: the frames that are never let go, and some more.
const ROOM_MIN: usize = 160;
/// Frames remembered between two movements of the bar.
const BATCH: usize = 100;

/// A world, and what there is to be seen in it.
#[derive(Debug)]
pub struct Source {
    world: Arc<World>,
    seed: u64,
    clock: Clock,
    /// Latents of all openings.
    views: Vec<Vec<f32>>,
    /// The first opening's last frames, with the actions that led to them.
    opening: Vec<(Vec<f32>, Action)>,
}

impl Source {
    /// Reads the world of this folder or name; `clock` is what walks are timed by.
    ///
    /// # Errors
    /// When it cannot be read, or makes several frames at a time.
    pub fn open(world: &Path, seed: u64, clock: &Clock) -> Result<Self> {
        let world = open_world(world, &DreamOptions::default())?;
        let (mut views, mut opening) = (Vec::new(), Vec::new());
        for start in &world.starts {
            let mut dreamer = Dreamer::new(Arc::clone(&world), DreamOptions::default())?;
            let first = start.len().saturating_sub(OPENING);
            let frames: Vec<&[u8]> = start.frames().skip(first).collect();
            dreamer.open_with(&frames, &start.actions[first..])?;
            let live = dreamer.history().live().iter();
            let seen =
                live.map(|stamp| dreamer.latent(stamp.frame)).collect::<Result<Vec<_>, _>>()?;
            if opening.is_empty() {
                opening =
                    seen.iter().cloned().zip(start.actions[first..].iter().copied()).collect();
            }
            views.extend(seen);
        }
        Ok(Self { world, seed, clock: clock.clone(), views, opening })
    }

    /// A walk that remembers `frames` frames, and lets one go for each new one where that is more
    /// than the least room: the opening, and before it mixtures of all views under noise.
    ///
    /// # Errors
    /// When the world cannot take them.
    pub fn walk(&self, frames: usize) -> Result<Dreamed> {
        let warm_frames = frames.max(ROOM_MIN);
        let options = DreamOptions { seed: self.seed, warm_frames, ..DreamOptions::default() };
        let mut dreamer = Dreamer::new(Arc::clone(&self.world), options)?;
        let mut random = Random::new(self.seed, 1);
        let before = frames.saturating_sub(self.opening.len());
        let bar = bench::progress(before, "frames remembered");
        for from in (0..before).step_by(BATCH) {
            let batch = BATCH.min(before - from);
            let views = (0..batch).map(|_| (self.view(&mut random), Action::NEUTRAL));
            dreamer.open_with_latents(views)?;
            bar.inc(batch as u64);
        }
        bar.finish_and_clear();
        dreamer.open_with_latents(self.opening.iter().cloned())?;
        Ok(Dreamed { dreamer, steer: Wander::new(self.seed), clock: self.clock.clone() })
    }

    /// Something that might have been seen.
    fn view(&self, random: &mut Random) -> Vec<f32> {
        let (a, b) = (random.below(self.views.len()), random.below(self.views.len()));
        let share = random.uniform();
        let both = self.views[a].iter().zip(&self.views[b]);
        both.map(|(a, b)| share * a + (1.0 - share) * b + NOISE * random.normal()).collect()
    }
}

/// A walk that is timed.
#[derive(Debug)]
pub struct Dreamed {
    dreamer: Dreamer,
    steer: Wander,
    clock: Clock,
}

impl Dreamed {
    /// The walk so far.
    pub fn dreamer(&self) -> &Dreamer {
        &self.dreamer
    }
}

impl Walk for Dreamed {
    fn section(&mut self) -> Result<Times> {
        let Self { dreamer, steer, clock } = self;
        let action = steer.poll();
        let began = clock.now();
        dreamer.preview(&[action])?;
        let estimated = clock.now();
        dreamer.retrieve()?;
        let ranked = clock.now();
        dreamer.plan()?;
        dreamer.pack()?;
        let packed = clock.now();
        dreamer.encode()?;
        let encoding = clock.now().saturating_sub(packed);
        dreamer.denoise()?;
        dreamer.remember()?;
        dreamer.decode()?;
        let section = clock.now().checked_sub(began).context("clocks do not go back")?;
        let encoded = dreamer.account().kv_misses;
        Ok(Times { section, ranking: ranked.saturating_sub(estimated), encoding, encoded })
    }

    fn remembered(&self) -> usize {
        self.dreamer.history().warm().len()
    }
}
