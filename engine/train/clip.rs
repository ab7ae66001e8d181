//! Clips of recorded play, drawn at random and planned as play itself plans.

use super::LatentEpisode;
use super::charted::Charted;
use super::forcing::Forcing;
use super::groups::PlannedSection;
use super::history::NoisyHistory;
use super::rollout::{Rollout, is_near};
use super::scene::Scene;
use super::schedules::{Schedules, is_played};
use super::surroundings::Surroundings;
use super::world::WorldTraining;
use crate::codebook::Codebook;
use crate::model::{ModelConfig, StepSize};
use crate::noise::Random;
use crate::pack::{Arrangement, HistoryView, PackPlan, PlanRules, Schedule};
use candle_core::{Device, Result};
use memory::{BranchId, FrameId, FrameStamp};
use std::collections::{BTreeMap, HashMap};

/// Retrieved frames are at least this old, so that they are no second recent window.
const RETRIEVED_AGE: usize = 100;
/// Frames a retrieved frame keeps from the others: half a second at 17.5 frames/s.
const APART: usize = 9;
/// Odds that what is retrieved comes from the atlas, where there is one: the rest of the time there is none, as for who
/// begins from a picture.
const CHARTED_ODDS: f32 = 0.8;
/// Steps that places are off by, in each direction.
const STEPS_OFF: f32 = 0.7;
/// Odds that a rollout ends with a clip: they last about four, of eight frames each. Longer ones lose
/// the recorded way so far that turning is learnt less than it moves.
const ROLLOUT_ENDS: f32 = 0.25;
/// The same where an atlas leads them back.
const CHARTED_ROLLOUT_ENDS: f32 = 0.1;

/// Draws clips from episodes.
#[derive(Debug)]
pub(super) struct ClipSampler {
    config: ModelConfig,
    /// What history is discretized by, if it may be.
    pub(super) codebook: Option<Codebook>,
    /// Share of the clips whose history is discretized.
    discrete_odds: f32,
    /// Share of the clips whose finest slots are filled by the ranking.
    retrieval: f32,
    /// Largest noise on history, in standard deviations of a latent.
    history_noise: f32,
    /// Noise of history that the network is told, in place of that.
    forcing: Option<Forcing>,
    /// The atlas that sections retrieve from, if there is one.
    pub(super) charted: Option<Charted>,
    schedules: Schedules,
    /// Frames of all episodes up to and with each, short ones counted as none.
    ends: Vec<usize>,
}

/// Consecutive sections of one episode, with its retrieved frames.
#[derive(Debug)]
pub(super) struct Clip<'a> {
    pub(super) episode: &'a LatentEpisode,
    /// Which of the episodes this is.
    pub(super) number: usize,
    pub(super) first: usize,
    /// What a rollout dreamed in the place of frames, as play stores it.
    pub(super) dreams: BTreeMap<usize, Vec<f32>>,
    /// Noise on each recorded history frame, in standard deviations.
    pub(super) noise: f32,
    /// Share of a section's level that its history's noise has, where the network is told of it.
    pub(super) forcing: Option<f32>,
    /// What the history is discretized by, if it is.
    pub(super) codebook: Option<&'a Codebook>,
    retrieved: Vec<usize>,
    /// The atlas that is retrieved from instead, and how far reckoning is off, in steps.
    pub(super) charted: Option<(&'a Charted, (f32, f32))>,
    /// History frames that are known: fewer at the start of a session.
    pub(super) known: usize,
    /// What is known instead where sections are not planned as in play.
    pub(super) around: Option<Surroundings>,
}

impl ClipSampler {
    /// Draws from `episodes`; each [`Self::draw`] must be given the same.
    ///
    /// # Errors
    /// No episode is long enough, or a schedule cannot be trained.
    pub(super) fn new(
        config: &ModelConfig,
        episodes: &[LatentEpisode],
        training: &WorldTraining,
    ) -> Result<Self> {
        let mut total = 0;
        let ends: Vec<usize> = episodes
            .iter()
            .map(|episode| {
                total += if episode.frames() > 64 { episode.frames() } else { 0 };
                total
            })
            .collect();
        if total == 0 {
            candle_core::bail!("expected at least one episode of more than 64 frames");
        }
        let &WorldTraining { discrete_odds, retrieval, history_noise, forcing, .. } = training;
        Ok(Self {
            config: config.clone(),
            codebook: None,
            schedules: Schedules::new(config, &training.schedules)?,
            discrete_odds,
            retrieval,
            history_noise,
            forcing,
            charted: None,
            ends,
        })
    }

    /// Whether history is always to be discretized under some schedule.
    pub(super) fn needs_words(&self) -> bool {
        self.schedules.need_words()
    }

    /// `clips` clips with the plans of their sections, the first ones where `rollouts` go on, if the schedule that
    /// is drawn is one of play.
    pub(super) fn draw<'a>(
        &'a self,
        episodes: &'a [LatentEpisode],
        clips: usize,
        rollouts: &[Rollout],
        random: &mut Random,
        device: &'a Device,
    ) -> Result<Scene<'a>> {
        let (schedule, sections) = self.schedules.draw(random);
        let (frames, played) = (schedule.generate(), is_played(schedule));
        let mut draw = |number: usize| {
            if !played {
                return self.draw_planned(episodes, schedule, sections * frames, random);
            }
            let ends = if self.charted.is_some() { CHARTED_ROLLOUT_ENDS } else { ROLLOUT_ENDS };
            let rollout = rollouts.get(number).filter(|_| !random.chance(ends));
            rollout
                .and_then(|rollout| self.go_on(episodes, rollout, sections * frames, random))
                .unwrap_or_else(|| self.draw_clip(episodes, sections * frames, random))
        };
        let mut clips: Vec<_> = (0..clips).map(&mut draw).collect();
        if schedule.is_discrete() {
            clips.iter_mut().for_each(|clip| {
                (clip.codebook, clip.noise) = (self.codebook.as_ref(), 0.0);
            });
        }
        let mut planned = Vec::new();
        for (at, clip) in clips.iter().enumerate() {
            for section in 0..sections {
                let first = clip.first + section * frames;
                let plan = self.plan(schedule, clip, first);
                let renderings = match clip.charted.filter(|_| clip.around.is_none()) {
                    Some((charted, _)) => {
                        charted.renderings(clip.episode, clip.number, first..first + frames)?
                    }
                    None => None,
                };
                let step = StepSize::Flow;
                planned.push(PlannedSection { clip: at, first, plan, step, renderings });
            }
        }
        let history = NoisyHistory::new(clips);
        Ok(Scene {
            config: &self.config,
            history,
            planned,
            frames,
            played,
            kept: HashMap::new(),
            device,
        })
    }

    fn draw_clip<'a>(
        &'a self,
        episodes: &'a [LatentEpisode],
        frames: usize,
        random: &mut Random,
    ) -> Clip<'a> {
        let total = self.ends[self.ends.len() - 1];
        // Where no episode is long enough to retrieve from, the tries run out.
        for tries in 0.. {
            let retrieve = tries < 64 && random.chance(self.retrieval);
            let at = random.below(total);
            let number = self.ends.partition_point(|&end| end <= at);
            let before = number.checked_sub(1).map_or(0, |number| self.ends[number]);
            let (episode, first) = (&episodes[number], at - before);
            let charted = self.draw_charted(episode, retrieve, random);
            let retrieve = retrieve && charted.is_none();
            let oldest = if retrieve { RETRIEVED_AGE + 32 } else { 1 };
            if first < oldest || first + frames > episode.frames() {
                continue;
            }
            let wanted = match retrieve {
                false => 0,
                true if random.chance(0.8) => 4,
                true => 1 + random.below(3),
            };
            let noise =
                if random.chance(0.6) { self.history_noise * random.uniform() } else { 0.0 };
            let codebook = self.draw_codebook(random);
            let forcing = self.forcing.map(|forcing| forcing.draw(random));
            return Clip {
                episode,
                number,
                first,
                dreams: BTreeMap::new(),
                retrieved: self.hits(episode, first, wanted),
                charted,
                known: if random.chance(0.85) { first } else { first.min(1 + random.below(25)) },
                // Words hide what noise would, and noise that is told is noise enough: one defence will do.
                noise: if codebook.is_some() || forcing.is_some() { 0.0 } else { noise },
                forcing,
                codebook,
                around: None,
            };
        }
        unreachable!("an episode of more than 64 frames holds a clip")
    }

    /// A clip whose sections know frames on either side of them.
    fn draw_planned<'a>(
        &'a self,
        episodes: &'a [LatentEpisode],
        schedule: &Schedule,
        frames: usize,
        random: &mut Random,
    ) -> Clip<'a> {
        let clip = self.draw_clip(episodes, frames, random);
        let frame = |at: usize| u32::try_from(at).expect("episodes are short");
        let (own, all) = (clip.first..clip.first + frames, clip.episode.frames());
        let around =
            Surroundings::draw(schedule, frame(own.start)..frame(own.end), frame(all), random);
        Clip { around: Some(around), ..clip }
    }

    /// The next clip of a rollout; `None` where its episode has no more frames, or is another now.
    pub(super) fn go_on<'a>(
        &'a self,
        episodes: &'a [LatentEpisode],
        rollout: &Rollout,
        frames: usize,
        random: &mut Random,
    ) -> Option<Clip<'a>> {
        let &Rollout { episode: number, next: first, known, ref dreams } = rollout;
        let episode = episodes.get(number)?;
        let sound = dreams.iter().all(|dream| dream.len() == self.config.latent_len());
        if !sound || first < dreams.len().max(1) || first + frames > episode.frames() {
            return None;
        }
        let retrieve = random.chance(self.retrieval);
        let charted = self.draw_charted(episode, retrieve, random);
        let recorded = episode.latents(first - 1, 1);
        if !dreams.last().is_some_and(|newest| is_near(newest, recorded, charted.is_some())) {
            return None;
        }
        let retrieve = retrieve && charted.is_none() && first >= RETRIEVED_AGE + 32;
        Some(Clip {
            episode,
            number,
            first,
            dreams: rollout.by_frame(),
            retrieved: self.hits(episode, first, if retrieve { 4 } else { 0 }),
            charted,
            known: known.min(first),
            noise: 0.0,
            forcing: None,
            codebook: self.draw_codebook(random),
            around: None,
        })
    }

    /// Whether a clip that retrieves does so from the atlas, and how far off.
    fn draw_charted(
        &self,
        episode: &LatentEpisode,
        retrieve: bool,
        random: &mut Random,
    ) -> Option<(&Charted, (f32, f32))> {
        let retrieve = retrieve && !episode.poses().is_empty();
        let charted = self.charted.as_ref().filter(|_| retrieve && random.chance(CHARTED_ODDS))?;
        Some((charted, (STEPS_OFF * random.normal(), STEPS_OFF * random.normal())))
    }

    fn draw_codebook(&self, random: &mut Random) -> Option<&Codebook> {
        let discrete = random.chance(self.discrete_odds);
        self.codebook.as_ref().filter(|_| discrete)
    }

    /// The frames most like the newest one (eq. 3 with X̂ the last frame), old and apart.
    fn hits(&self, episode: &LatentEpisode, first: usize, wanted: usize) -> Vec<usize> {
        if wanted == 0 {
            return Vec::new();
        }
        let channels = self.config.channels;
        let newest = unit(episode.latents(first - 1, 1), channels);
        // Every second frame: neighbours rank alike, and only one of them is taken.
        let mut scored: Vec<(f32, usize)> = (0..first - RETRIEVED_AGE)
            .step_by(2)
            .map(|frame| {
                let unit = unit(episode.latents(frame, 1), channels);
                (unit.iter().zip(&newest).map(|(a, b)| a * b).sum(), frame)
            })
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut hits: Vec<usize> = Vec::new();
        for (_, frame) in scored {
            if hits.iter().all(|hit| hit.abs_diff(frame) >= APART) {
                hits.push(frame);
            }
            if hits.len() == wanted {
                break;
            }
        }
        hits
    }

    /// The plan of play itself, [`Schedule::plan`] over the clip's known frames, or that of another order.
    fn plan(&self, schedule: &Schedule, clip: &Clip<'_>, first: usize) -> PackPlan {
        if let Some(around) = &clip.around {
            let frame = |at: usize| u32::try_from(at).expect("episodes are short");
            let section = frame(first)..frame(first + schedule.generate());
            return around.plan(schedule, section, self.config.cells());
        }
        let stamp = |frame: usize| FrameStamp {
            frame: FrameId(u32::try_from(frame).expect("episodes are short")),
            branch: BranchId(0),
            tick: frame as u64,
        };
        let known = clip.known + (first - clip.first);
        let view: Vec<_> = (first - known.min(64)..first).map(stamp).collect();
        let ranked: Vec<_> = match clip.charted {
            Some((charted, off)) => {
                charted.hits(clip.episode, first..first + schedule.generate(), off)
            }
            None => clip.retrieved.iter().copied().map(stamp).collect(),
        };
        let rules = PlanRules {
            arrangement: Arrangement::Default,
            apart_ticks: APART as u64,
            grid: self.config.cells(),
        };
        schedule.plan(HistoryView::new(&view), &ranked, &rules).expect("the names are tested")
    }
}

/// A latent with every position scaled to length 1: (C, P).
pub(super) fn unit(latent: impl Iterator<Item = f32>, channels: usize) -> Vec<f32> {
    let mut values: Vec<f32> = latent.collect();
    let positions = values.len() / channels;
    let mut squares = vec![1e-6_f32; positions];
    for channel in values.chunks(positions) {
        squares.iter_mut().zip(channel).for_each(|(sum, x)| *sum += x * x);
    }
    for channel in values.chunks_mut(positions) {
        channel.iter_mut().zip(&squares).for_each(|(x, square)| *x /= square.sqrt());
    }
    values
}
