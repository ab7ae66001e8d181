//! The engine's worlds under test.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use engine::dreamer::{DreamOptions, Dreamer};
use engine::world::World;
use input::{Action, Pose};

use super::Rollout;
use crate::worlds;

/// A world that is dreamed one frame at a time.
#[derive(Debug)]
pub struct Dreamed {
    world: Arc<World>,
    options: DreamOptions,
    dreamer: Dreamer,
}

impl Dreamed {
    /// Reads the world of this folder or name.
    ///
    /// # Errors
    /// When it cannot be read, or makes several frames at a time.
    pub fn open(world: &Path, seed: u64) -> Result<Self> {
        let options = DreamOptions { seed, ..DreamOptions::default() };
        let world = open_world(world, &options)?;
        let dreamer = Dreamer::new(Arc::clone(&world), options.clone())?;
        Ok(Self { world, options, dreamer })
    }
}

/// Reads the world of this folder or name on the best device.
///
/// # Errors
/// When it cannot be read.
pub(super) fn open(world: &Path) -> Result<Arc<World>> {
    let (device, notice) = engine::device::best();
    if let Some(notice) = notice {
        eprintln!("{notice}");
    }
    Ok(Arc::new(World::open(&worlds::find(world)?, &device, |_| ())?))
}

/// The same for a world that makes one frame at a time.
///
/// # Errors
/// When it cannot be read, or makes several frames at a time.
pub(super) fn open_world(world: &Path, options: &DreamOptions) -> Result<Arc<World>> {
    let world = open(world)?;
    let dreamer = Dreamer::new(Arc::clone(&world), options.clone())?;
    anyhow::ensure!(
        dreamer.section_frames() == 1,
        "expected a schedule that ends in g1 for this benchmark, got {}",
        world.config.schedule
    );
    Ok(world)
}

impl Rollout for Dreamed {
    /// On the map of the world's atlas, as play begins, where it has one and the poses are known.
    fn begin(&mut self, frames: &[&[u8]], actions: &[Action], poses: &[Pose]) -> Result<()> {
        self.dreamer = Dreamer::new(Arc::clone(&self.world), self.options.clone())?;
        Ok(self.dreamer.open_on_map(frames, actions, poses)?)
    }

    fn next(&mut self, action: &Action) -> Result<Vec<u8>> {
        Ok(self.dreamer.section(std::slice::from_ref(action))?.concat())
    }

    fn size(&self) -> Option<(u32, u32)> {
        let side = |side: usize| u32::try_from(side).ok();
        side(self.world.config.width).zip(side(self.world.config.height))
    }

    fn shown_by_atlas(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(self.dreamer.shown_by_atlas()?)
    }

    fn reconstruct(&mut self, frame: &[u8]) -> Result<Vec<u8>> {
        Ok(self.dreamer.reconstruct(frame)?)
    }
}
