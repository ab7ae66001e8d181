//! What is remembered of a section, and how it is seen again.

use super::{Dreamer, feature_shape, gone, is_stirring, look, restored, stored};
use crate::error::Error;
use candle_core::Tensor;
use memory::{Feature, FrameId, Look};
use std::sync::Arc;

impl Dreamer {
    /// Takes the section into the history; a GPU paints its pictures meanwhile.
    pub fn remember(&mut self) -> Result<(), Error> {
        let latents = self.section.latents.clone().expect("`denoise` comes before `remember`");
        if !self.world.device.is_cpu() && self.section.painting.is_none() {
            self.section.painting = Some(self.world.codec.begin_decode(&latents)?);
        }
        self.account.made.clear();
        for (at, features) in std::mem::take(&mut self.section.actions).into_iter().enumerate() {
            let frame = self.remember_frame(&latents.get(at)?, features)?;
            self.account.made.push(frame);
        }
        Ok(())
    }

    /// latent: (C, H, W).
    pub(super) fn remember_frame(
        &mut self,
        latent: &Tensor,
        action: Arc<[f32]>,
    ) -> Result<FrameId, Error> {
        let latent = stored(latent)?;
        self.reckoning = match (self.map, self.pose) {
            (Some(_), Some(pose)) => self.reckoning.at(pose),
            _ => self.reckoning.after(&action),
        };
        let values = restored(&latent);
        let look = Look {
            latent,
            action: Arc::clone(&action),
            feature: Feature::new(
                feature_shape(&self.world),
                &look(&values, self.world.model.config().channels),
            )?,
            pose: self.pose,
            reckoned: self.reckoning.place(),
        };
        let stamp = self.history.remember(self.tick, look)?;
        if is_stirring(&action) {
            self.stirred = self.tick;
        }
        self.tick += 1;
        self.recent_actions.rotate_left(1);
        self.recent_actions[1] = action;
        Ok(stamp.frame)
    }

    /// A remembered latent as the network is shown it, in words under a schedule with `+D`: (C, H, W).
    pub(super) fn seen(&self, frame: FrameId) -> Result<Vec<f32>, Error> {
        let mut latent = self.latent(frame)?;
        if let Some(codebook) = self.world.codebook.as_ref().filter(|_| self.schedule.is_discrete())
        {
            codebook.quantise(&mut latent);
        }
        Ok(latent)
    }

    /// A remembered latent: (C, H, W).
    ///
    /// # Errors
    /// The frame was let go.
    pub fn latent(&self, frame: FrameId) -> Result<Vec<f32>, Error> {
        let record = self.history.warm().peek(frame).ok_or_else(|| gone(frame))?;
        Ok(restored(&record.latent))
    }
}
