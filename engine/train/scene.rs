//! Planned clips as training batches: groups encoded once, shared by a clip's sections.

use super::clip::Clip;
use super::groups::{GroupTable, PlannedSection};
use super::history::NoisyHistory;
use super::rollout::{Rollout, is_near};
use super::teacher::{Led, Teacher};
use crate::model::{Batch, GroupKv, ModelConfig, StepSize, WorldModel, patchify};
use crate::noise::Random;
use crate::pack::Group;
use crate::sampler::{Sampling, Sight, sample};
use candle_core::{Device, Result, Tensor};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// Noise levels below this weigh no more: the velocity is (x_t - x̂) / max(t, 0.05).
const LEVEL_MIN: f32 = 0.05;
/// Evaluations of dreams: a single one would leave history softer than play's ever is.
const EVALUATIONS: [u32; 2] = [4, 8];
/// The same of networks that know shortcuts: play takes two.
const FEW_EVALUATIONS: [u32; 4] = [2, 2, 2, 4];
/// Steps that a shortcut network is told; halves lead most, because play takes two.
const SHORTCUTS: [StepSize; 6] = [
    StepSize::Quarter,
    StepSize::Quarter,
    StepSize::Half,
    StepSize::Half,
    StepSize::Half,
    StepSize::Whole,
];

/// Clips, the plans of their sections, and the history that these see.
pub(super) struct Scene<'a> {
    pub(super) config: &'a ModelConfig,
    pub(super) history: NoisyHistory<'a>,
    /// Clip after clip, each as many, in the order of time.
    pub(super) planned: Vec<PlannedSection>,
    /// Frames of a section.
    pub(super) frames: usize,
    /// Whether sections are planned as in play, so that rollouts go on with them.
    pub(super) played: bool,
    /// Groups of clips that the teacher has encoded.
    pub(super) kept: HashMap<(usize, Group), Arc<GroupKv>>,
    pub(super) device: &'a Device,
}

/// A batch with what the network should answer.
#[derive(Debug)]
pub(super) struct Sample {
    /// Input of the network.
    pub(super) batch: Batch,
    /// Clean token vectors: (S · g · L, C · 4).
    pub(super) clean: Tensor,
    /// Weight of each row's squared error: (S · g · L, 1).
    pub(super) weight: Tensor,
    /// Section frames in the batch.
    pub(super) frames: usize,
    /// What was recorded where the last sections of the batch, those at the end of play's way, come to: as many rows
    /// of token vectors as they have; `None` where there are none.
    pub(super) ends: Option<Tensor>,
}

/// What the average teaches beside the recording.
pub(super) struct Lessons<'a> {
    pub(super) teacher: &'a Teacher,
    /// Share of the clips whose sections are told step sizes.
    pub(super) shortcut_share: f32,
    /// Whether steps to the clean latent start where those of play do.
    pub(super) on_the_way: bool,
}

/// A section with its noise level.
struct Noisy {
    section: PlannedSection,
    level: f32,
    /// Whether it starts where a step of play does that ends at the clean latent.
    ending: bool,
}

impl Scene<'_> {
    /// Dreams the sections of the first `count` clips as play does, each going on from the dreams
    /// before it; what the sections themselves are to be stays recorded.
    ///
    /// Guided, so that they follow the recorded way and what they are to lead back to is in sight.
    /// Each clip's evaluations are drawn from [`EVALUATIONS`]: more give sharper dreams with other
    /// faults. Gives back where the rollouts stand then.
    pub(super) fn dream(
        &mut self,
        teacher: &Teacher,
        sampling: Sampling,
        count: usize,
        random: &mut Random,
    ) -> Result<Vec<Rollout>> {
        let sections = self.planned.len() / self.history.clips.len();
        let mut rollouts = Vec::with_capacity(count);
        for clip in 0..count {
            let choice = if sampling.shortcut { &FEW_EVALUATIONS[..] } else { &EVALUATIONS };
            let evaluations = choice[random.below(choice.len())];
            let sampling = Sampling { evaluations, ..sampling };
            for number in clip * sections..(clip + 1) * sections {
                let section = self.planned[number].clone();
                let Led { sight, actions } = self.led(teacher.model(), &section, random)?;
                let noise = self.noise(random)?;
                let dream = sample(teacher.model(), &noise, &actions, &sight, sampling)?;
                let dream = dream.flatten_all()?.to_vec1::<f32>()?;
                for (frame, latent) in (section.first..).zip(dream.chunks(self.config.latent_len()))
                {
                    self.history.replace(clip, frame, latent);
                }
            }
            rollouts.push(Rollout::after(&self.history.clips[clip], sections * self.frames));
        }
        Ok(rollouts)
    }

    /// The same clips, each in a scene of its own.
    pub(super) fn apart(self) -> Vec<Self> {
        let Self { config, history, planned, frames, played, kept, device } = self;
        let empty = |history| Self {
            config,
            history,
            planned: Vec::new(),
            frames,
            played,
            kept: HashMap::new(),
            device,
        };
        let mut scenes: Vec<Self> = history.apart().map(empty).collect();
        for section in planned {
            scenes[section.clip].planned.push(PlannedSection { clip: 0, ..section });
        }
        kept.into_iter().for_each(|((clip, group), kv)| {
            scenes[clip].kept.insert((0, group), kv);
        });
        scenes
    }

    /// What leads a section.
    fn led(
        &mut self,
        model: &WorldModel,
        section: &PlannedSection,
        random: &mut Random,
    ) -> Result<Led> {
        let config = self.config;
        let mut placed = Vec::with_capacity(section.plan.slots.len());
        for slot in &section.plan.slots {
            let Group { kernel, frames, .. } = &slot.group;
            let kv = match self.kept.entry((section.clip, slot.group.clone())) {
                Entry::Occupied(known) => Arc::clone(known.get()),
                Entry::Vacant(free) => {
                    let latents = self.history.group((section.clip, 0.0), *kernel, frames, random);
                    let shape = (kernel.frames(), config.channels, config.height, config.width);
                    let latents = Tensor::from_vec(latents, shape, self.device)?;
                    let action = self.history.mean_action(section.clip, frames);
                    let action = Tensor::from_vec(action, config.action, self.device)?;
                    Arc::clone(free.insert(Arc::new(model.encode(*kernel, &latents, &action)?)))
                }
            };
            placed.push((kv, *kernel, slot.position));
        }
        let actions = self.actions(section);
        let actions = Tensor::from_vec(actions, (self.frames, config.told()), self.device)?;
        let newest = section.plan.before_section().map(|frame| {
            let frame = self.history.frame(section.clip, frame.0 as usize, random).to_vec();
            Tensor::from_vec(frame, (config.channels, config.height, config.width), self.device)
        });
        let renderings = section.renderings.as_ref().map(|renderings| {
            let shape = (self.frames, config.channels + 1, config.height, config.width);
            Tensor::from_slice(renderings, shape, self.device)
        });
        let (context, newest) = (model.place(&placed)?, newest.transpose()?);
        let sight = Sight { context, newest, renderings: renderings.transpose()? };
        Ok(Led { sight, actions })
    }

    /// A section of noise: (g, C, H, W).
    fn noise(&self, random: &mut Random) -> Result<Tensor> {
        let config = self.config;
        let noise = random.normals(self.frames * config.latent_len());
        let shape = (self.frames, config.channels, config.height, config.width);
        Tensor::from_vec(noise, shape, self.device)
    }

    /// The batch; all sections of a clip, with the odds of the lessons, are told step sizes. Those whose history has
    /// strayed are left out: the first of a clip never has.
    pub(super) fn sample(
        mut self,
        lessons: Option<&Lessons<'_>>,
        random: &mut Random,
    ) -> Result<Sample> {
        let drawn = self.draw_steps(lessons, random);
        let len = self.frames * self.config.latent_len();
        let (mut clean, mut noisy) = (Vec::new(), Vec::new());
        for Noisy { section, level, ending } in &drawn {
            let recorded = self.clean(section);
            let noise = random.normals(len);
            let mixed = recorded.iter().zip(&noise).map(|(x, n)| (1.0 - level) * x + level * n);
            let mixed = mixed.collect::<Vec<_>>();
            let Some(lessons) = lessons.filter(|_| section.step.half().is_some()) else {
                clean.extend(recorded);
                noisy.extend(mixed);
                continue;
            };
            let (teacher, start) = (lessons.teacher, (*level, section.step));
            let led = self.led(teacher.model(), section, random)?;
            let shape = (self.frames, self.config.channels, self.config.height, self.config.width);
            let x = if *ending {
                teacher.left_at(&Tensor::from_vec(noise, shape, self.device)?, start, &led)?
            } else {
                Tensor::from_vec(mixed, shape, self.device)?
            };
            clean.extend(teacher.target(&x, start, &led)?.flatten_all()?.to_vec1::<f32>()?);
            noisy.extend(x.flatten_all()?.to_vec1::<f32>()?);
        }
        let rows = self.frames * self.config.frame_tokens();
        let weight = drawn
            .iter()
            .flat_map(|noisy| std::iter::repeat_n(weight(noisy.section.step, noisy.level), rows))
            .collect();
        let levels = drawn.iter().map(|noisy| noisy.level).collect();
        let first_ending = drawn.partition_point(|noisy| !noisy.ending);
        let planned: Vec<_> = drawn.into_iter().map(|noisy| noisy.section).collect();
        let count = planned.len();
        let batch = self.batch(&planned, noisy, levels, random)?;
        let clean = Tensor::from_vec(clean, batch.sections.shape(), self.device)?;
        Ok(Sample {
            ends: self.recorded(&planned[first_ending..])?,
            clean: patchify(&clean.flatten(0, 1)?.unsqueeze(1)?, 1)?,
            weight: Tensor::from_vec(weight, (count * rows, 1), self.device)?,
            frames: count * self.frames,
            batch,
        })
    }

    /// The token vectors of sections as they were recorded; `None` of none.
    fn recorded(&self, planned: &[PlannedSection]) -> Result<Option<Tensor>> {
        if planned.is_empty() {
            return Ok(None);
        }
        let latents = planned.iter().flat_map(|section| self.clean(section)).collect();
        let (count, config) = (planned.len() * self.frames, self.config);
        let shape = (count, 1, config.channels, config.height, config.width);
        patchify(&Tensor::from_vec(latents, shape, self.device)?, 1).map(Some)
    }

    /// The network's input for planned sections: `noisy` holds their latents, one after another.
    pub(super) fn batch(
        &mut self,
        planned: &[PlannedSection],
        noisy: Vec<f32>,
        levels: Vec<f32>,
        random: &mut Random,
    ) -> Result<Batch> {
        let (count, frames, config) = (planned.len(), self.frames, self.config);
        let shares = self.history.shares(planned, &levels);
        let table = GroupTable::new(config, planned, shares.is_some());
        let groups = table.tokens(&mut self.history, shares.as_deref(), random, self.device)?;
        let (mut actions, mut newest, mut after) = (Vec::new(), Vec::new(), Vec::new());
        for (number, section) in planned.iter().enumerate() {
            actions.extend(self.actions(section));
            let share = shares.as_ref().map_or(0.0, |shares| shares[number]);
            let rows = self.frames * config.frame_tokens();
            if let Some(frame) = section.plan.before_section() {
                let frame = frame.0 as usize;
                newest.extend(self.history.shown((section.clip, share), frame, random));
                after.extend(std::iter::repeat_n(1.0_f32, rows));
            } else {
                newest.extend(std::iter::repeat_n(0.0, config.latent_len()));
                after.extend(std::iter::repeat_n(0.0_f32, rows));
            }
        }
        let shape = (count, frames, config.channels, config.height, config.width);
        Ok(Batch {
            groups,
            sections: Tensor::from_vec(noisy, shape, self.device)?,
            newest: Tensor::from_vec(
                newest,
                (count, config.channels, config.height, config.width),
                self.device,
            )?,
            after: Tensor::from_vec(
                after,
                (count * frames * config.frame_tokens(), 1),
                self.device,
            )?,
            renderings: self.renderings(planned)?,
            steps: planned.iter().map(|section| section.step).collect(),
            levels,
            actions: Tensor::from_vec(actions, (count * frames, config.told()), self.device)?,
            routes: table.routes(frames),
        })
    }

    /// What is rendered of sections, zeros where nothing is: (S · g, C + 1, H, W).
    fn renderings(&self, planned: &[PlannedSection]) -> Result<Option<Tensor>> {
        let config = self.config;
        if !config.rendering {
            return Ok(None);
        }
        let len = self.frames * (config.channels + 1) * config.height * config.width;
        let mut renderings = Vec::with_capacity(planned.len() * len);
        for section in planned {
            match &section.renderings {
                Some(of_section) => renderings.extend_from_slice(of_section),
                None => renderings.resize(renderings.len() + len, 0.0),
            }
        }
        let frames = planned.len() * self.frames;
        let shape = (frames, config.channels + 1, config.height, config.width);
        Tensor::from_vec(renderings, shape, self.device).map(Some)
    }

    /// The sections with their steps and levels, those at the end of the way last.
    ///
    /// By whole clips, so that a teacher encodes the groups of few.
    fn draw_steps(&self, lessons: Option<&Lessons<'_>>, random: &mut Random) -> Vec<Noisy> {
        let share = lessons.map_or(0.0, |lessons| lessons.shortcut_share);
        let clips = 0..self.history.clips.len();
        let told: Vec<bool> = clips.map(|_| share > 0.0 && random.chance(share)).collect();
        let draw = |section: &PlannedSection| {
            let told = told[section.clip];
            let step = if told { SHORTCUTS[random.below(SHORTCUTS.len())] } else { StepSize::Flow };
            let level = draw_level(step, random);
            let ends = step.half().is_some() && step.length() >= level;
            let ending = ends && lessons.is_some_and(|lessons| lessons.on_the_way);
            Noisy { section: PlannedSection { step, ..section.clone() }, level, ending }
        };
        let following = self.planned.iter().filter(|section| !self.strayed(section));
        let mut drawn: Vec<_> = following.map(draw).collect();
        drawn.sort_by_key(|noisy| noisy.ending);
        drawn
    }

    /// The last three actions of each of a section's frames with the bearings of what it retrieves, one after another.
    fn actions(&self, section: &PlannedSection) -> Vec<f32> {
        let Clip { episode, around, charted, .. } = &self.history.clips[section.clip];
        if around.as_ref().is_some_and(|around| around.null_sections) {
            return vec![0.0; self.frames * self.config.told()];
        }
        let frames = section.first..section.first + self.frames;
        let told = |frame: usize| {
            let mut told = episode.last_actions(frame);
            let retrieved = section.plan.retrieved().map(|frame| frame.0 as usize);
            for view in retrieved.take(self.config.bearings) {
                let bearing = charted.map(|(charted, _)| charted.bearing(episode, frame, view));
                told.extend(bearing.unwrap_or_default());
            }
            told.resize(self.config.told(), 0.0);
            told
        };
        frames.flat_map(told).collect()
    }

    /// Whether the newest frame that a section sees is a dream that no longer shows what was recorded.
    fn strayed(&self, section: &PlannedSection) -> bool {
        let Clip { episode, dreams, charted, .. } = &self.history.clips[section.clip];
        let newest = section.first.checked_sub(1);
        let newest = newest.and_then(|frame| Some((frame, dreams.get(&frame)?)));
        newest.is_some_and(|(frame, dream)| {
            !is_near(dream, episode.latents(frame, 1), charted.is_some())
        })
    }

    /// A section's own latents, one after another.
    fn clean(&self, section: &PlannedSection) -> Vec<f32> {
        let episode = self.history.clips[section.clip].episode;
        episode.latents(section.first, self.frames).collect()
    }
}

/// A level that a step of this size starts at; for plain flow mostly logit-normal around 0.6.
fn draw_level(step: StepSize, random: &mut Random) -> f32 {
    match step {
        StepSize::Whole => 1.0,
        StepSize::Half => [0.5, 1.0][random.below(2)],
        StepSize::Quarter => [0.25, 0.5, 0.75, 1.0][random.below(4)],
        // Often one that play starts a step at, first of all pure noise: there a network has nothing to go by but its
        // history, and should learn to read that.
        StepSize::Flow if random.chance(0.3) => 1.0,
        StepSize::Flow if random.chance(0.2) => draw_level(StepSize::Quarter, random),
        StepSize::Flow => 1.0 / (1.0 + (-(random.normal() + 0.4)).exp()),
    }
}

/// Weight of a squared error of the clean latent: as one of the velocity, but for shortcuts as it is.
fn weight(step: StepSize, level: f32) -> f32 {
    match step {
        StepSize::Flow => level.max(LEVEL_MIN).powi(-2),
        StepSize::Quarter | StepSize::Half | StepSize::Whole => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_plain_steps_start_at_pure_noise_and_the_rest_anywhere() {
        let mut random = Random::new(8, 0);
        let levels: Vec<f32> = (0..4000).map(|_| draw_level(StepSize::Flow, &mut random)).collect();
        // 0.3, and a quarter of a fifth of the rest: 1340 of 4000, give or take 30 (one standard deviation).
        let pure = levels.iter().filter(|&&level| level == 1.0).count();
        assert!((1220..1460).contains(&pure), "{pure}");
        assert!(levels.iter().any(|&level| level < 0.2) && levels.iter().all(|&level| level > 0.0));
    }
}
