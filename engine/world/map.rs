//! The map of a world with an atlas: whether frames are of it, and what is seen from its places.

use super::World;
use crate::atlas::{Atlas, Canvas, Pose, Renderer};
use crate::error::Error;
use candle_core::{Device, Tensor};

/// Frames of an opening that are compared with the atlas.
const COMPARED: usize = 8;
/// Bytes of decoded views that are kept while a picture is looked for.
const LOCATING_BYTES: usize = 180 << 20;

impl World {
    /// The atlas whose views the network is shown, warped to where a walk is; `None` where it is shown none.
    #[must_use]
    pub fn shown_atlas(&self) -> Option<&Atlas> {
        let atlas = self.atlas.as_ref().filter(|atlas| atlas.scenery.is_some());
        atlas.filter(|_| self.config.model.rendering)
    }

    /// Whether frames that were seen from `poses`, one for each, are of the atlas's map: they end where one can stand, and
    /// look like the views from near by.
    pub(crate) fn is_of_map(
        &self,
        renderer: &mut Renderer,
        frames: &[&[u8]],
        poses: &[input::Pose],
    ) -> Result<bool, Error> {
        let Some(atlas) = self.atlas.as_ref().filter(|_| poses.len() == frames.len()) else {
            return Ok(false);
        };
        let config = &self.config;
        let pose = |pose: &input::Pose| Pose { x: pose.x, y: pose.y, yaw: pose.yaw };
        let Some(newest) = poses.last().map(pose) else { return Ok(false) };
        if config.layout.turn_degrees <= 0.0 || !atlas.is_known((newest.x, newest.y)) {
            return Ok(false);
        }
        let every = frames.len().div_ceil(COMPARED);
        let compared = poses.iter().map(pose).zip(frames.iter().copied()).rev().step_by(every);
        if atlas.scenery.is_some() {
            return Ok(renderer.shows((atlas, &self.codec), compared)?);
        }
        let seen = compared.map(|(at, frame)| {
            let latent = self.codec.encode(frame, config.height, config.width)?;
            Ok((at, latent.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?))
        });
        Ok(atlas.shows(&seen.collect::<Result<Vec<_>, Error>>()?))
    }

    /// Where a picture (RGB, of the world's size) was seen from, in the game's units; `None` where there is no atlas whose views
    /// can be warped, or it shows the picture from nowhere. It looks from some thousand places.
    ///
    /// # Errors
    /// The picture has another size than the world's.
    pub fn locate(&self, picture: &[u8]) -> Result<Option<input::Pose>, Error> {
        let config = &self.config;
        let latent = self.codec.encode(picture, config.height, config.width)?;
        let latent: Vec<f32> = latent.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?;
        let Some(atlas) = self.atlas.as_ref().filter(|atlas| atlas.scenery.is_some()) else {
            return Ok(None);
        };
        let mut renderer = Renderer::new(&config.model, LOCATING_BYTES);
        let place = renderer.located((atlas, &self.codec), picture, &latent)?;
        let step = atlas.motion.step;
        Ok(place.map(|at| input::Pose { x: step * at.x, y: step * at.y, yaw: at.yaw }))
    }

    /// What the atlas shows from these places (east, north, in steps; heading in degrees): latents with the share of each
    /// cell that anybody saw, (places, C + 1, H, W), and pictures. `None` and none where it shows nothing, or the network is
    /// shown none.
    pub(crate) fn shown_from(
        &self,
        renderer: &mut Renderer,
        places: &[[f32; 3]],
    ) -> Result<(Option<Tensor>, Vec<Canvas>), Error> {
        let config = self.model.config();
        let Some(atlas) = self.shown_atlas().filter(|_| !places.is_empty()) else {
            return Ok((None, Vec::new()));
        };
        let shape = [places.len(), config.channels + 1, config.height, config.width];
        let places = places.iter().map(|&[x, y, yaw]| Pose { x, y, yaw });
        match renderer.latents((atlas, &self.codec), places, |_| false)? {
            Some((latents, canvases)) => Ok((Some(self.model.tensor(latents, &shape)?), canvases)),
            None => Ok((None, Vec::new())),
        }
    }
}
