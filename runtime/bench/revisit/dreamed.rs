//! The engine's worlds under test for what they remember.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use engine::dreamer::{DreamOptions, Dreamer, EstimateBy};
use engine::pack::Arrangement;
use engine::world::World;
use input::{Action, Pose};
use memory::{FieldOfView, Ranking};

use super::restart::{self, Leg, Walks};
use super::{Arm, Revisit};
use crate::bench::dreamed::open_world;

/// Opening angle that overlap is judged by, in degrees: that of ViZDoom; the mazes' own view is 77 wide.
const VIEW_DEGREES: f32 = 90.0;
/// How far a view reaches, in ticks of walking: about across a room.
const VIEW_STEPS: f32 = 24.0;

/// A world that is dreamed one frame at a time, from one memory again and again.
#[derive(Debug)]
pub struct Remembering {
    world: Arc<World>,
    options: DreamOptions,
    /// At the end of the outward leg.
    out: Option<Walks>,
    view: FieldOfView,
    back: Option<Dreamer>,
}

/// The view that overlap is judged by, in play that went past these places.
pub(in crate::bench) fn view_of(poses: &[Pose]) -> FieldOfView {
    let step = |pair: &[Pose]| (pair[0].x - pair[1].x).hypot(pair[0].y - pair[1].y);
    let mut steps: Vec<f32> = poses.windows(2).map(step).filter(|&step| step > 0.0).collect();
    steps.sort_by(f32::total_cmp);
    let reach = VIEW_STEPS * steps.get(steps.len() / 2).copied().unwrap_or(1.0);
    FieldOfView { degrees: VIEW_DEGREES, reach }
}

impl Remembering {
    /// Reads the world of this folder or name.
    ///
    /// # Errors
    /// When it cannot be read, or makes several frames at a time.
    pub fn open(world: &Path, seed: u64) -> Result<Self> {
        let options = DreamOptions { seed, ..DreamOptions::default() };
        let world = open_world(world, &options)?;
        Ok(Self { world, options, out: None, view: view_of(&[]), back: None })
    }

    /// The way back so far; `None` before it turned.
    pub fn back(&self) -> Option<&Dreamer> {
        self.back.as_ref()
    }
}

impl Revisit for Remembering {
    fn size(&self) -> Option<(u32, u32)> {
        let side = |side: usize| u32::try_from(side).ok();
        side(self.world.config.width).zip(side(self.world.config.height))
    }

    fn go_out(&mut self, frames: &[&[u8]], actions: &[Action], poses: &[Pose]) -> Result<()> {
        self.out = Some(restart::walk(&self.world, &self.options, Leg { frames, actions, poses })?);
        self.view = view_of(poses);
        Ok(())
    }

    fn turn_back(&mut self, arm: Arm) -> Result<()> {
        let walks = self.out.as_ref().context("the outward leg comes first")?;
        let time_weight = self.world.config.time_weight;
        let hybrid = Ranking::Similarity { time_weight };
        let by = |ranking| walks.unbroken.fork(ranking, Arrangement::Default);
        self.back = Some(match arm {
            Arm::None => walks.unbroken.fork(Ranking::Recency, Arrangement::Recency),
            Arm::Time => by(Ranking::Recency),
            Arm::Cosine => by(Ranking::Similarity { time_weight: 0.0 }),
            Arm::Hybrid => by(hybrid),
            Arm::Reckoned => by(self.world.config.ranking()),
            Arm::Pose => by(Ranking::Pose(self.view)),
            Arm::Preview => by(hybrid).with_estimate(EstimateBy::Preview),
            Arm::Restarted => walks.restarted.fork(hybrid, Arrangement::Default),
        });
        Ok(())
    }

    fn next(&mut self, action: &Action, pose: Pose) -> Result<Vec<u8>> {
        let back = self.back.as_mut().context("it turned back")?;
        back.stand_at(Some(pose));
        Ok(back.section(std::slice::from_ref(action))?.concat())
    }
}
