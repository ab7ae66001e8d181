//! What a walk begins from: real frames, or another walk.

use super::{
    Account, DECODED_BYTES, DreamOptions, Dreamer, EstimateBy, Section, check, feature_shape, look,
    restored,
};
use crate::atlas::{Renderer, View};
use crate::error::Error;
use crate::pack::{Arrangement, PlanRules, Schedule};
use crate::reckoning::Reckoning;
use candle_core::{Device, Tensor};
use input::{Action, Pose};
use memory::cold::{Cold, KeyFrames, Restored};
use memory::{ByteLru, Feature, FrameId, Look, Ranking, Reckoned};
use rayon::prelude::*;
use std::sync::Arc;

impl Dreamer {
    /// Takes real frames with the actions that led to them as history, oldest first.
    ///
    /// # Errors
    /// A frame has another size than the world's.
    pub fn open_with(&mut self, frames: &[&[u8]], actions: &[Action]) -> Result<(), Error> {
        self.open_with_poses(frames, actions, &[])
    }

    /// The same for frames that were seen from known `poses`, one for each frame; with fewer, the later frames
    /// have none.
    ///
    /// # Errors
    /// A frame has another size than the world's.
    pub fn open_with_poses(
        &mut self,
        frames: &[&[u8]],
        actions: &[Action],
        poses: &[Pose],
    ) -> Result<(), Error> {
        let world = Arc::clone(&self.world);
        let config = &world.config;
        let mut poses = poses.iter().copied();
        for (frames, actions) in frames.chunks(16).zip(actions.chunks(16)) {
            let joined = frames.concat();
            let latents = world.codec.encode(&joined, config.height, config.width)?;
            for (at, action) in actions.iter().enumerate() {
                let features: Arc<[f32]> = action.to_features(&config.layout).into();
                self.stand_at(poses.next());
                self.remember_frame(&latents.get(at)?, features)?;
            }
        }
        self.stand_at(None);
        Ok(())
    }

    /// The same on the map of the world's atlas, whose views are from then on warped to where the walk is, or where nothing tells
    /// how, retrieved with what the walk itself sees. Without an atlas, or when poses are missing or the frames are of another map, no different from
    /// [`Self::open_with`].
    ///
    /// # Errors
    /// A frame has another size than the world's, or the atlas has more views than can be remembered.
    pub fn open_on_map(
        &mut self,
        frames: &[&[u8]],
        actions: &[Action],
        poses: &[Pose],
    ) -> Result<(), Error> {
        let world = Arc::clone(&self.world);
        let is_of_map = world.is_of_map(&mut self.renderer, frames, poses)?;
        let Some(atlas) = world.atlas.as_ref().filter(|_| is_of_map) else {
            return self.open_with(frames, actions);
        };
        let (shape, channels) = (feature_shape(&world), world.model.config().channels);
        let chart = |view: &View| {
            let values: Vec<f32> = view.values().collect();
            Ok(Look {
                latent: Arc::clone(&view.latent),
                action: Arc::clone(&view.action),
                feature: Feature::new(shape, &look(&values, channels))?,
                pose: None,
                reckoned: Some(Reckoned { pose: view.pose, walked: 0.0 }),
            })
        };
        // What is warped to where the walk is need not be packed as well: encoding it would take a tenth of each section, and
        // in doom-rooms frames were as like real ones without, within 0.1 dB at all horizons.
        let warped = world.shown_atlas().is_some();
        let views = if warped { &[] } else { &atlas.views[..] };
        let looks: Vec<Look> = views.par_iter().map(chart).collect::<Result<_, Error>>()?;
        self.map = Some(self.history.chart(looks.into_iter())?);
        self.reckoning = Reckoning::on(atlas, &world.config.layout);
        if let (true, None, Some(enough)) =
            (warped, self.options.evaluations, world.config.evaluations_on_map)
        {
            self.evaluate(enough);
        }
        self.open_with_poses(frames, actions, poses)
    }

    /// Takes latents with the actions that led to them as history, oldest first; each (C, H, W).
    ///
    /// # Errors
    /// A latent has another size than the world's.
    pub fn open_with_latents(
        &mut self,
        frames: impl IntoIterator<Item = (Vec<f32>, Action)>,
    ) -> Result<(), Error> {
        let world = Arc::clone(&self.world);
        let model = world.model.config();
        let shape = [model.channels, model.height, model.width];
        for (latent, action) in frames {
            let latent = Tensor::from_vec(latent, &shape, &Device::Cpu)?;
            self.remember_frame(&latent, action.to_features(&world.config.layout).into())?;
        }
        Ok(())
    }

    /// Counts frames from `tick` on instead of from 0, before the first one: a walk that goes on where another was
    /// broken off has the noise that the other would have had.
    pub fn count_from(&mut self, tick: u64) {
        self.tick = tick;
    }

    /// Takes up what earlier walks left on disk, before this one's first frame.
    ///
    /// # Errors
    /// When the file cannot be read or is of another world.
    pub fn recall(&mut self, cold: &Cold) -> Result<(Restored, KeyFrames), Error> {
        let world = Arc::clone(&self.world);
        let (shape, channels) = (feature_shape(&world), world.model.config().channels);
        let look = |latent: &[u16]| Feature::new(shape, &look(&restored(latent), channels));
        Ok(cold.restore(&mut self.history, self.options.warm_frames, look)?)
    }

    /// Says where the coming section is seen from, for rankings by pose.
    pub fn stand_at(&mut self, pose: Option<Pose>) {
        self.pose = pose.map(|pose| memory::Pose { x: pose.x, y: pose.y, yaw: pose.yaw });
    }

    /// The same walk from here on with history picked in another way, retrieving nothing that comes after; this
    /// one stays as it is.
    #[must_use]
    pub fn fork(&self, ranking: Ranking, arrangement: Arrangement) -> Self {
        let live = self.history.live();
        let next = live.last().map_or(FrameId(0), |newest| FrameId(newest.frame.0 + 1));
        Self {
            world: Arc::clone(&self.world),
            schedule: self.schedule.clone(),
            sampling: self.sampling,
            ranking,
            rules: PlanRules { arrangement, ..self.rules },
            options: DreamOptions { arrangement, ..self.options.clone() },
            history: self.history.clone(),
            kv: ByteLru::new(self.options.kv_budget_bytes),
            tick: self.tick,
            stirred: self.stirred,
            pose: self.pose,
            reckoning: self.reckoning.clone(),
            renderer: Renderer::new(self.world.model.config(), DECODED_BYTES),
            map: self.map,
            retrievable_before: Some(next),
            recent_actions: self.recent_actions.clone(),
            packed: self.packed.clone(),
            section: Section::default(),
            account: Account::default(),
            anticipated: Vec::new(),
            graphs: self.graphs.clone(),
        }
    }

    /// The same walk with history ranked against another estimate of the section to come.
    #[must_use]
    pub fn with_estimate(mut self, estimate: EstimateBy) -> Self {
        self.options.estimate = estimate;
        self
    }

    /// The same walk with other noise.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.options.seed = seed;
        self
    }

    /// The same walk packed by another schedule, with no keys and values kept.
    ///
    /// # Errors
    /// When the schedule cannot be played forward, or needs a codebook that the world lacks.
    pub fn with_schedule(mut self, schedule: Schedule) -> Result<Self, Error> {
        check(&schedule, &self.world)?;
        self.kv = ByteLru::new(self.options.kv_budget_bytes);
        self.anticipated.clear();
        self.schedule = schedule;
        Ok(self)
    }

    /// The same walk, what it dreams from here on retrieved like all else, as in play.
    #[must_use]
    pub fn retrieving_its_own(mut self) -> Self {
        self.retrievable_before = None;
        self
    }

    /// A real picture, encoded and decoded: what the codec leaves of it.
    pub fn reconstruct(&self, frame: &[u8]) -> Result<Vec<u8>, Error> {
        let config = &self.world.config;
        let latents = self.world.codec.encode(frame, config.height, config.width)?;
        Ok(self.world.codec.decode(&latents)?)
    }
}
