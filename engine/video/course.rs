//! Where the frames of a video are seen from, on the map of a world with an atlas.

use crate::atlas::{Renderer, add_detail};
use crate::error::Error;
use crate::reckoning::{Astray, Reckoning};
use crate::world::World;
use candle_core::Tensor;
use input::{Action, Pose, Room};
use std::ops::Range;
use std::sync::Arc;

/// Bytes of decoded views that are kept, as in play.
const DECODED_BYTES: usize = crate::dreamer::DECODED_BYTES;

/// The places of a video's frames from its opening on: its actions are all told beforehand, and say where each frame lies, in
/// whichever order they are made.
#[derive(Debug)]
pub(super) struct Course {
    /// The last frame of the opening.
    from: u32,
    /// That frame and those after it, as far as they were asked for.
    reckoned: Vec<Reckoning>,
    renderer: Renderer,
}

impl Course {
    /// From an opening that ends with frame `from` on; `None` where it is of no map, or the network is not shown what an
    /// atlas shows.
    pub(super) fn begin(
        world: &World,
        from: u32,
        frames: &[&[u8]],
        poses: &[Pose],
    ) -> Result<Option<Self>, Error> {
        let mut renderer = Renderer::new(world.model.config(), DECODED_BYTES);
        let Some(atlas) = world.shown_atlas() else { return Ok(None) };
        if !world.is_of_map(&mut renderer, frames, poses)? {
            return Ok(None);
        }
        let begin = Reckoning::on(atlas, &world.config.layout);
        let reckoned = poses
            .iter()
            .fold(begin, |at, pose| at.at(memory::Pose { x: pose.x, y: pose.y, yaw: pose.yaw }));
        Ok(Some(Self { from, reckoned: vec![reckoned], renderer }))
    }

    /// Forgets where frames from `at` on lie: another action leads to them.
    pub(super) fn turn_at(&mut self, at: u32) {
        let kept = at.saturating_sub(self.from).max(1);
        self.reckoned.truncate(kept as usize);
    }

    /// How much room there is to walk from where frame `at` is seen.
    pub(super) fn room(&mut self, at: u32, wanted: impl Fn(u32) -> Arc<[f32]>) -> Option<Room> {
        self.places(at..at + 1, wanted);
        self.reckoned[at.checked_sub(self.from)? as usize].room()
    }

    /// Actions that lead from frame `from`, where `wanted` led to it, to a place of the game's by frame `at`.
    pub(super) fn errand(
        &mut self,
        world: &World,
        (from, at): (u32, u32),
        to: Pose,
        wanted: impl Fn(u32) -> Arc<[f32]>,
    ) -> Result<Vec<Action>, Astray> {
        self.places(from..from + 1, wanted);
        let (Some(atlas), Some(begin)) = (&world.atlas, from.checked_sub(self.from)) else {
            return Err(Astray::NoWay);
        };
        let to = atlas.motion.in_steps(memory::Pose { x: to.x, y: to.y, yaw: to.yaw });
        let frames = at.saturating_sub(from) as usize;
        self.reckoned[begin as usize].errand(to, frames, &world.config.layout)
    }

    /// Places of frames (east, north, in steps; heading in degrees), where `wanted` leads to each; nothing of frames before
    /// the course begins.
    fn places(&mut self, frames: Range<u32>, wanted: impl Fn(u32) -> Arc<[f32]>) -> Vec<[f32; 3]> {
        let Some(first) = frames.start.checked_sub(self.from) else { return Vec::new() };
        for at in (self.from..frames.end).skip(self.reckoned.len()) {
            let next = self.reckoned[self.reckoned.len() - 1].after(&wanted(at));
            self.reckoned.push(next);
        }
        let asked = &self.reckoned[first as usize..(frames.end - self.from) as usize];
        let place = |at: &Reckoning| at.place().map(|it| [it.pose.x, it.pose.y, it.pose.yaw]);
        asked.iter().filter_map(place).collect()
    }

    /// What the atlas shows from where frames lie, (frames, C + 1, H, W).
    pub(super) fn renderings(
        &mut self,
        world: &World,
        frames: Range<u32>,
        wanted: impl Fn(u32) -> Arc<[f32]>,
    ) -> Result<Option<Tensor>, Error> {
        let places = self.places(frames, wanted);
        Ok(world.shown_from(&mut self.renderer, &places)?.0)
    }

    /// Gives a picture of frame `at` the detail of what the atlas shows from there.
    pub(super) fn sharpen(
        &mut self,
        world: &World,
        at: u32,
        wanted: impl Fn(u32) -> Arc<[f32]>,
        picture: &mut [u8],
    ) -> Result<(), Error> {
        let places = self.places(at..at + 1, wanted);
        for canvas in world.shown_from(&mut self.renderer, &places)?.1 {
            add_detail(picture, &canvas);
        }
        Ok(())
    }
}
