//! Views of the atlas in training: warped as in play, and retrieved as play retrieves those that it cannot warp. A network that is
//! trained with both needs only one of them.

use super::LatentEpisode;
use super::clip::unit;
use crate::atlas::{Atlas, BEARING, Pose, Renderer, View, bearing};
use crate::codec::Codec;
use crate::model::ModelConfig;
use candle_core::Result;
use memory::{BranchId, FrameId, FrameStamp, Reckoned};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Names of views begin here, far beyond those of an episode's frames.
const FIRST: u32 = 1 << 30;
/// Views that fill a section's finest slots.
const WANTED: usize = 4;
/// Bytes of decoded views that are kept: several thousand.
const DECODED_BYTES: usize = 256 << 20;
/// Weight of nearness in place beside likeness: that of play.
const PLACE_WEIGHT: f32 = crate::world::WorldConfig::PLACE_WEIGHT;

/// An atlas, with what a ranking looks at.
#[derive(Debug)]
pub(super) struct Charted {
    pub(super) atlas: Atlas,
    /// Of each view, every position scaled to length 1.
    units: Vec<Vec<f32>>,
    channels: usize,
    /// Which of the episodes each view is of.
    episodes: Vec<Option<usize>>,
    codec: Codec,
    /// Of networks that are shown renderings.
    renderer: Option<Mutex<Renderer>>,
}

impl Charted {
    pub(super) fn new(
        (atlas, codec): (Atlas, &Codec),
        config: &ModelConfig,
        episodes: &[LatentEpisode],
    ) -> Self {
        let look = |view: &View| unit(view.values(), config.channels);
        let units = atlas.views.iter().map(look).collect();
        let (seen_from, mut of_views) = (atlas.by_place(), vec![None; atlas.views.len()]);
        for (number, episode) in episodes.iter().enumerate() {
            for view in episode.poses().iter().filter_map(|&pose| seen_from(pose)) {
                of_views[view] = Some(number);
            }
        }
        let renderer = config.rendering.then(|| Mutex::new(Renderer::new(config, DECODED_BYTES)));
        let (codec, channels) = (codec.clone(), config.channels);
        Self { atlas, units, channels, episodes: of_views, codec, renderer }
    }

    /// What the atlas shows from where frames of episode `number` were seen, with the share of each cell that anybody saw,
    /// (frames, C + 1, H, W); without the views of that episode, in which they are found themselves. `None` where it shows
    /// nothing, or the network is shown none.
    pub(super) fn renderings(
        &self,
        episode: &LatentEpisode,
        number: usize,
        frames: Range<usize>,
    ) -> Result<Option<Arc<[f32]>>> {
        let Some(renderer) = &self.renderer else { return Ok(None) };
        let mut renderer = renderer.lock().unwrap_or_else(PoisonError::into_inner);
        let places = episode.poses()[frames].iter().map(|&at| self.atlas.motion.in_steps(at));
        let own = |view: usize| self.episodes[view] == Some(number);
        let shown = renderer.latents((&self.atlas, &self.codec), places, own)?;
        Ok(shown.map(|(latents, _)| latents.into()))
    }

    /// The views that play would retrieve for `frames` of an episode (eq. 3 with X̂ the last frame before them, and
    /// mean nearness of places) were their places reckoned wrong by `off` steps. None of them is one of the frames.
    pub(super) fn hits(
        &self,
        episode: &LatentEpisode,
        frames: Range<usize>,
        off: (f32, f32),
    ) -> Vec<FrameStamp> {
        let newest = unit(episode.latents(frames.start - 1, 1), self.channels);
        let places = &episode.poses()[frames];
        let places: Vec<Pose> = places.iter().map(|&at| self.atlas.motion.in_steps(at)).collect();
        let reckoned = |pose| Reckoned { pose, walked: 0.0 };
        let here = |&at: &Pose| reckoned(Pose { x: at.x + off.0, y: at.y + off.1, ..at });
        let here: Vec<Reckoned> = places.iter().map(here).collect();
        #[expect(clippy::cast_precision_loss, reason = "hundreds")]
        let (positions, count) = ((newest.len() / self.channels) as f32, here.len() as f32);
        let score = |(number, view): (usize, &View)| {
            let product = self.units[number].iter().zip(&newest).map(|(a, b)| a * b).sum::<f32>();
            let view = reckoned(view.pose);
            let nearness = here.iter().map(|here| here.nearness_on_map(view)).sum::<f32>();
            (product / positions + PLACE_WEIGHT * nearness / count, number)
        };
        let views = self.atlas.views.iter().enumerate();
        let others = views.filter(|(_, view)| !places.contains(&view.pose));
        let mut scored: Vec<_> = others.map(score).collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        let stamp = |&(_, number): &(f32, usize)| FrameStamp {
            frame: FrameId(FIRST + u32::try_from(number).expect("at most 10 000")),
            branch: BranchId(1),
            // No two of them were seen one after the other.
            tick: 1000 * number as u64,
        };
        scored.iter().take(WANTED).map(stamp).collect()
    }

    /// How a frame of an episode is told where a view was seen from; nothing of a frame that is no view.
    pub(super) fn bearing(
        &self,
        episode: &LatentEpisode,
        frame: usize,
        view: usize,
    ) -> [f32; BEARING] {
        let Some(view) = self.view(view) else { return [0.0; BEARING] };
        bearing(self.atlas.motion.in_steps(episode.poses()[frame]), view.pose)
    }

    /// The view that a frame of this number is; `None` where it is an episode's frame.
    pub(super) fn view(&self, frame: usize) -> Option<&View> {
        self.atlas.views.get(frame.checked_sub(FIRST as usize)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atlas::{Ground, Motion};
    use candle_core::{Device, Tensor};
    use half::f16;

    /// An episode that walks along a row of places a step apart, with all of it in the atlas.
    fn row() -> (LatentEpisode, Charted) {
        let config = ModelConfig::tiny();
        let mut random = crate::noise::Random::new(3, 0);
        let shape = (40, config.channels, config.height, config.width);
        let latents = random.normals(40 * config.latent_len());
        let latents = Tensor::from_vec(latents, shape, &Device::Cpu).unwrap();
        let actions =
            Tensor::ones((40, config.action), candle_core::DType::F32, &Device::Cpu).unwrap();
        let pose = |at: u8| Pose { x: 10.0 * f32::from(at), ..Pose::default() };
        let episode = LatentEpisode::new(&latents, &actions).unwrap();
        let episode = episode.with_poses((0..40).map(pose).collect()).unwrap();
        let motion = Motion::of_steps(10.0);
        let view = |frame: usize| View {
            latent: episode.latents(frame, 1).map(|x| f16::from_f32(x).to_bits()).collect(),
            picture: None,
            action: episode.action(frame).into(),
            pose: motion.in_steps(episode.poses()[frame]),
        };
        let views = (0..40).map(view).collect();
        let ground = Arc::new(Ground::under([]));
        let atlas = Atlas { views, motion, ground, scenery: None };
        let charted =
            Charted::new((atlas, &Codec::tiny()), &config, std::slice::from_ref(&episode));
        (episode, charted)
    }

    #[test]
    fn views_from_near_by_are_retrieved_but_never_the_frame_itself() {
        let (episode, charted) = row();
        let hits = |off| {
            let hits = charted.hits(&episode, 20..21, off);
            let mut numbers: Vec<u32> = hits.iter().map(|hit| hit.frame.0 - FIRST).collect();
            numbers.sort_unstable();
            numbers
        };
        // The last frame is there for its likeness too.
        assert_eq!(hits((0.0, 0.0)), [18, 19, 21, 22]);
        let off = hits((9.0, 0.0));
        assert!(off.iter().filter(|&&number| (27..=31).contains(&number)).count() >= 3, "{off:?}");
        // Of a longer section no frame is seen, and the middle counts.
        let long = charted.hits(&episode, 20..24, (0.0, 0.0));
        let long: Vec<u32> = long.iter().map(|hit| hit.frame.0 - FIRST).collect();
        assert!(long.contains(&19) && long.contains(&24), "{long:?}");
        assert!(!long.iter().any(|number| (20..24).contains(number)), "{long:?}");
        let view = charted.view(FIRST as usize + 7).unwrap();
        assert!(view.values().eq(episode.latents(7, 1)));
        // Two steps ahead of frame 20.
        let bearing = |view: usize| charted.bearing(&episode, 20, view);
        assert_eq!(bearing(FIRST as usize + 22), [1.0, 0.5, 0.0, 0.0]);
        assert_eq!(bearing(22), [0.0; BEARING]);
        assert!(charted.view(7).is_none() && charted.view(FIRST as usize + 40).is_none());
    }
}
