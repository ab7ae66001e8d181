//! A recorded section made once more, from what was recorded of it alone.

use super::{Dreamer, Section, feature_shape, gone, look, restored, stored};
use crate::atlas::BEARING;
use crate::error::Error;
use crate::pack::{Group, PackPlan, Slot, SlotKind, TAIL_MAX, Tail};
use input::Action;
use memory::{BranchId, Feature, FrameId, FrameStamp, Record};
use std::sync::Arc;

/// What a section was made from, beside its actions.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// The key of its noise.
    pub noise: u64,
    /// Evaluations of the network.
    pub evaluations: u32,
    /// Action features of the two frames before it, the older first.
    pub before: [Arc<[f32]>; 2],
    /// The groups it sees, each with its position.
    pub groups: Vec<(Group, i32)>,
    /// Where what it retrieved was seen from, as the network was told it; empty where it was not.
    pub bearings: Vec<f32>,
    /// Where each of its frames was reckoned to be seen from, in steps, with the heading in degrees; empty where it was not
    /// shown what the atlas shows from there.
    pub places: Vec<[f32; 3]>,
    /// Names of its frames.
    pub made: Vec<FrameId>,
}

impl Recipe {
    /// The frames it sees.
    pub fn sees(&self) -> impl Iterator<Item = FrameId> + '_ {
        self.groups.iter().flat_map(|(group, _)| group.frames.iter().copied())
    }
}

/// Farthest position of a group that is believed: plans keep within a few hundred.
const POSITION_MAX: u32 = 1 << 16;
/// Most evaluations that are believed.
const EVALUATIONS_MAX: u32 = 64;
/// Most groups that are believed: the default schedule plans eleven.
const GROUPS_MAX: usize = 256;

impl Dreamer {
    /// Whether a frame can be seen.
    pub fn holds(&self, frame: FrameId) -> bool {
        self.history.warm().peek(frame).is_some()
    }

    /// Whether a frame is a view of the world's atlas: nobody saw it on this walk.
    pub fn is_charted(&self, frame: FrameId) -> bool {
        let record = self.history.warm().peek(frame);
        record.is_some_and(|record| Some(record.stamp.branch) == self.map)
    }

    /// Takes up a frame for [`Self::repeat`] under its recorded name.
    ///
    /// # Errors
    /// When latent or action have another size than the world's, or the latent is not finite.
    pub fn hold(
        &mut self,
        frame: FrameId,
        latent: Arc<[u16]>,
        action: Arc<[f32]>,
    ) -> Result<(), Error> {
        let config = self.world.model.config();
        if (latent.len(), action.len()) != (config.latent_len(), config.action) {
            return Err(Error::Size {
                expected: format!(
                    "{} latent values and {} features",
                    config.latent_len(),
                    config.action
                ),
                got: format!("{} and {}", latent.len(), action.len()),
            });
        }
        let values = restored(&latent);
        let feature = Feature::new(feature_shape(&self.world), &look(&values, config.channels))?;
        let stamp = FrameStamp { frame, branch: BranchId(0), tick: 0 };
        let (pose, reckoned) = (None, None);
        Ok(self.history.restore(Record { stamp, latent, action, feature, pose, reckoned })?)
    }

    /// Lets go of a frame that no section will see again.
    pub fn let_go(&mut self, frame: FrameId) {
        self.history.warm_mut().remove(frame);
    }

    /// Makes a recorded section from the frames it saw, each of which is [held](Self::hold); its own are held
    /// afterwards. Nothing is ranked or planned.
    ///
    /// # Errors
    /// When the recipe does not fit the world, or a frame is not held.
    pub fn repeat(&mut self, recipe: &Recipe, actions: &[Action]) -> Result<Vec<Vec<u8>>, Error> {
        let plan = self.planned(recipe, actions)?;
        if let Some(frame) = recipe.sees().find(|&frame| !self.holds(frame)) {
            return Err(gone(frame));
        }
        let layout = &self.world.config.layout;
        let features = actions.iter().map(|action| action.to_features(layout).into());
        let (actions, noise) = (features.collect(), recipe.noise);
        let bearings = recipe.bearings.clone();
        self.section = Section { actions, noise, bearings, ..Section::default() };
        self.sampling.evaluations = recipe.evaluations;
        self.recent_actions = recipe.before.clone();
        self.gather(&plan)?;
        self.begin(&recipe.places)?;
        self.encode()?;
        self.denoise()?;
        let pictures = self.decode()?;
        let latents = self.section.latents.take().expect("`denoise` has made them");
        let actions = std::mem::take(&mut self.section.actions);
        for (at, (&frame, action)) in recipe.made.iter().zip(actions).enumerate() {
            self.hold(frame, stored(&latents.get(at)?)?, action)?;
        }
        Ok(pictures)
    }

    /// The plan of a recipe that fits the world.
    fn planned(&self, recipe: &Recipe, actions: &[Action]) -> Result<PackPlan, Error> {
        let config = self.world.model.config();
        let tails = self.schedule.tail() == Tail::Compress;
        let fits = |group: &Group, position: i32| {
            config.kernels.contains(&group.kernel.frames())
                && group.kernel.is_simplified()
                && (!group.is_tail() || (tails && (1..=TAIL_MAX).contains(&group.frames.len())))
                && position.unsigned_abs() <= POSITION_MAX
        };
        let frames = self.section_frames();
        if recipe.groups.len() > GROUPS_MAX
            || !recipe.groups.iter().all(|(group, position)| fits(group, *position))
            || [recipe.made.len(), actions.len()] != [frames; 2]
            || recipe.before.iter().any(|features| features.len() != config.action)
            || ![0, frames * BEARING * config.bearings].contains(&recipe.bearings.len())
            || ![0, frames].contains(&recipe.places.len())
            || !recipe.bearings.iter().chain(recipe.places.as_flattened()).all(|x| x.is_finite())
            || !(1..=EVALUATIONS_MAX).contains(&recipe.evaluations)
        {
            return Err(Error::Size {
                expected: format!("a section of {frames} frames as this world plans them"),
                got: "another".to_owned(),
            });
        }
        let slot = |(group, position): &(Group, i32)| Slot {
            group: group.clone(),
            tokens: group.kernel.tokens(self.rules.grid),
            position: *position,
            kind: SlotKind::Recent,
        };
        Ok(PackPlan {
            slots: recipe.groups.iter().map(slot).collect(),
            section_frames: frames,
            section_tokens: self.schedule.section_tokens(self.rules.grid),
        })
    }
}
