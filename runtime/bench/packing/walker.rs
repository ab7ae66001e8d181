//! One trial dreamed under one arm after the other, from one real history.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use engine::dreamer::{DreamOptions, Dreamer};
use engine::lpips::Lpips;
use engine::pack::{Schedule, SlotKind};
use engine::world::World;
use input::{Episode, Pose};
use memory::{FieldOfView, FrameId};

use super::arm::{Arm, By};
use super::features::{Features, cosine};
use super::trial::{Catalogue, Task, Trial, Truth};
use super::unit::{FrameScore, Key, RECALL_AT, Unit};

use crate::bench::metric::{self, Picture};
use crate::bench::revisit::{nearness, view_of};
use crate::bench::similarity::similarity;
use crate::clock::{Clock, thread_time};

/// Pictures encoded at a time.
const CHUNK: usize = 16;

/// What all walkers share.
#[derive(Debug)]
pub struct Ground<'a> {
    /// The world under test.
    pub world: Arc<World>,
    /// The episodes.
    pub catalogue: &'a Catalogue,
    /// Features of the episodes' frames, where they were given.
    pub features: Option<Features>,
    /// Perceptual distance, where its weights were given.
    pub lpips: Option<Lpips>,
    /// Time for machines that know no processor time.
    pub clock: Clock,
}

/// Dreams trials, keeping the episode at hand.
#[derive(Debug)]
pub struct Walker<'a> {
    ground: &'a Ground<'a>,
    open: Option<Opened>,
}

/// An episode, and those of its latents that were asked for.
#[derive(Debug)]
struct Opened {
    index: usize,
    episode: Episode,
    latents: BTreeMap<usize, Arc<Vec<f32>>>,
    features: Option<Vec<Vec<f32>>>,
}

/// A trial at the end of its real history.
#[derive(Debug)]
pub struct Scene<'a> {
    ground: &'a Ground<'a>,
    trial: &'a Trial,
    opened: &'a Opened,
    /// All of the real history remembered, nothing dreamed.
    start: Dreamer,
    view: FieldOfView,
}

/// What came of one walk.
#[derive(Debug)]
pub struct Walked {
    /// The figures.
    pub unit: Unit,
    /// Every dreamed frame, `(height, width, 3)` bytes each.
    pub frames: Vec<Vec<u8>>,
}

impl<'a> Walker<'a> {
    /// With nothing at hand yet.
    pub fn new(ground: &'a Ground<'a>) -> Self {
        Self { ground, open: None }
    }

    /// The episodes.
    pub fn catalogue(&self) -> &'a Catalogue {
        self.ground.catalogue
    }

    /// Takes the real history of a trial.
    ///
    /// # Errors
    /// When its episode or features cannot be read any more, or have another size than the world.
    pub fn scene<'b>(&'b mut self, trial: &'b Trial) -> Result<Scene<'b>> {
        let ground = self.ground;
        let opened = match self.open.take() {
            Some(opened) if opened.index == trial.episode => opened,
            _ => Opened::read(ground, trial.episode)?,
        };
        let opened = self.open.insert(opened);
        let last = (trial.cut + trial.frames.max(CHUNK)).min(opened.episode.len() - 1);
        opened.encode(&ground.world, trial.first..last + 1)?;
        let mut start = Dreamer::new(Arc::clone(&ground.world), DreamOptions::default())?;
        for frame in trial.first..=trial.cut {
            start.stand_at(opened.episode.poses.as_ref().map(|poses| poses[frame]));
            let latent = opened.latents[&frame].to_vec();
            start.open_with_latents([(latent, opened.episode.actions[frame])])?;
        }
        let poses = opened.episode.poses.as_deref();
        let view = view_of(poses.map_or(&[], |poses| &poses[trial.first..=trial.cut]));
        Ok(Scene { ground, trial, opened: &*opened, start, view })
    }
}

impl Opened {
    fn read(ground: &Ground<'_>, index: usize) -> Result<Self> {
        let entry = &ground.catalogue.entries[index];
        let episode = Episode::open(&entry.path)?;
        ensure!(
            episode.actions == entry.actions,
            "expected the play that was there before, got other: {}",
            entry.path.display()
        );
        let features = ground.features.as_ref();
        let features = features.map(|all| all.of(&entry.name, episode.len())).transpose()?;
        Ok(Self { index, episode, latents: BTreeMap::new(), features })
    }

    fn encode(&mut self, world: &World, frames: std::ops::Range<usize>) -> Result<()> {
        let missing: Vec<usize> =
            frames.filter(|frame| !self.latents.contains_key(frame)).collect();
        let (height, width) = (world.config.height, world.config.width);
        for chunk in missing.chunks(CHUNK) {
            let pictures: Vec<&[u8]> = chunk.iter().map(|&t| self.episode.frame(t)).collect();
            let latents = world.codec.encode(&pictures.concat(), height, width)?;
            for (at, &frame) in chunk.iter().enumerate() {
                let latent = latents.get(at)?.flatten_all()?.to_vec1()?;
                self.latents.insert(frame, Arc::new(latent));
            }
        }
        Ok(())
    }
}

/// What is counted while a walk goes on.
#[derive(Debug, Default)]
struct Count {
    sections: usize,
    history_tokens: usize,
    section_tokens: usize,
    times: Vec<Duration>,
    overlapping: usize,
    found: [usize; RECALL_AT.len()],
    kv_hits: usize,
    kv_groups: usize,
}

impl Scene<'_> {
    /// Dreams the trial under an arm and holds it against the truth.
    ///
    /// # Errors
    /// When the world cannot be dreamed under the schedule, or the arm lacks what it ranks by.
    pub fn walk(&self, arm: Arm, schedule: &Schedule, seed: u64, key: Key) -> Result<Walked> {
        let mut dreamer = self.dreamer(arm, schedule, seed)?;
        let section = dreamer.section_frames();
        let (mut frames, mut count) = (Vec::new(), Count::default());
        let wanted = self.trial.frames.next_multiple_of(section);
        for before in (0..wanted).step_by(section) {
            let start = self.time();
            self.retrieve(&mut dreamer, arm, before)?;
            dreamer.plan()?;
            dreamer.pack()?;
            dreamer.encode()?;
            dreamer.denoise()?;
            dreamer.remember()?;
            frames.extend(dreamer.decode()?);
            count.times.push(self.time().saturating_sub(start));
            self.count(&dreamer, before, &mut count);
        }
        let scores = self.scores(section, &frames)?;
        Ok(Walked { unit: count.unit(key, scores), frames })
    }

    fn dreamer(&self, arm: Arm, schedule: &Schedule, seed: u64) -> Result<Dreamer> {
        let ranking = arm.ranking(&self.ground.world.config, self.view, seed);
        let schedule = match arm.by {
            By::None => format!("td_f1k1_g{}", schedule.generate()).parse()?,
            _ => schedule.clone(),
        };
        let dreamer = self.start.fork(ranking, arm.arrangement).with_schedule(schedule)?;
        let dreamer = dreamer.with_seed(seed);
        Ok(match self.trial.task {
            // What comes back is what was really seen.
            Task::Revisit => dreamer,
            Task::Next | Task::Rollout | Task::Turn => dreamer.retrieving_its_own(),
        })
    }

    /// The stages up to the ranking, for the section after `before` dreamed frames.
    fn retrieve(&self, dreamer: &mut Dreamer, arm: Arm, before: usize) -> Result<()> {
        let frames = before + 1..before + 1 + dreamer.section_frames();
        let steps: Vec<_> =
            frames.map(|ahead| self.ground.catalogue.step(self.trial, ahead)).collect();
        let actions: Vec<_> = steps.iter().map(|(action, _)| *action).collect();
        let pose = steps[0].1;
        ensure!(
            pose.is_some() || !matches!(arm.by, By::Pose),
            "expected poses for {arm}, got none in {}",
            self.ground.catalogue.entries[self.trial.episode].path.display()
        );
        dreamer.stand_at(pose);
        dreamer.preview(&actions)?;
        match arm.by {
            By::Oracle => self.retrieve_likest(dreamer, before, actions.len())?,
            By::Features => self.retrieve_by_features(dreamer, before)?,
            By::None
            | By::Time
            | By::Reckoned
            | By::Cosine
            | By::Pooled
            | By::Hybrid(_)
            | By::Pose
            | By::Random => dreamer.retrieve()?,
        }
        Ok(())
    }

    /// The frame of the episode that shows what is true after `ahead` dreamed frames. In a turn only its two ends are
    /// known: the beginning stands for the end, which it is.
    fn true_frame(&self, ahead: usize) -> usize {
        match self.trial.task {
            Task::Turn => self.trial.cut,
            _ => (self.trial.cut + ahead).min(self.opened.episode.len() - 1),
        }
    }

    /// Ranks by the distance of latents to those of the true section.
    fn retrieve_likest(&self, dreamer: &mut Dreamer, before: usize, section: usize) -> Result<()> {
        let truths: Vec<&Arc<Vec<f32>>> = (before + 1..=before + section)
            .filter_map(|ahead| self.opened.latents.get(&self.true_frame(ahead)))
            .collect();
        ensure!(!truths.is_empty(), "expected recorded play after frame {}", self.trial.cut);
        let mut scores = BTreeMap::new();
        for remembered in dreamer.history().warm().frames() {
            let frame = remembered.stamp.frame;
            let latent = dreamer.latent(frame)?;
            let error: f32 = truths.iter().map(|truth| squared_distance(truth, &latent)).sum();
            scores.insert(frame, -error);
        }
        dreamer.retrieve_by(|frame| scores.get(&frame).copied());
        Ok(())
    }

    /// Ranks real frames by the cosine of their features with those of the recorded frame before the section.
    fn retrieve_by_features(&self, dreamer: &mut Dreamer, before: usize) -> Result<()> {
        let features = self.opened.features.as_ref();
        let features = features.context("expected --features for the arm of that name")?;
        let newest = &features[self.true_frame(before)];
        let score = |frame: FrameId| self.real(frame).map(|at| cosine(&features[at], newest));
        dreamer.retrieve_by(score);
        Ok(())
    }

    /// The episode's frame that a remembered one is, if it is real.
    fn real(&self, frame: FrameId) -> Option<usize> {
        let at = self.trial.first + usize::try_from(frame.0).ok()?;
        (at <= self.trial.cut).then_some(at)
    }

    /// Counts a finished section.
    fn count(&self, dreamer: &Dreamer, before: usize, count: &mut Count) {
        let account = dreamer.account();
        let Some(plan) = &account.plan else { return };
        count.sections += 1;
        count.history_tokens += plan.history_tokens();
        count.section_tokens = plan.section_tokens;
        if before > 0 {
            count.kv_hits += account.kv_hits;
            count.kv_groups += account.kv_hits + account.kv_misses;
        }
        let retrieved = plan.slots.iter().filter(|slot| slot.kind == SlotKind::Retrieved);
        let picked: Vec<usize> = retrieved
            .flat_map(|slot| &slot.group.frames)
            .map(|&frame| self.real(frame).unwrap_or(usize::MAX))
            .collect();
        let Some(overlaps) = self.overlaps(before) else { return };
        if overlaps.is_empty() {
            return;
        }
        count.overlapping += 1;
        for (found, &at) in count.found.iter_mut().zip(&RECALL_AT) {
            let first = &picked[..at.min(picked.len())];
            *found += usize::from(first.iter().any(|frame| overlaps.contains(frame)));
        }
    }

    /// Real frames outside the recent window of the world's own schedule that show what the first frame of the
    /// section shows: two steps of walking away at most, headings within ten degrees. `None` without poses.
    fn overlaps(&self, before: usize) -> Option<Vec<usize>> {
        let poses = self.opened.episode.poses.as_ref()?;
        let (_, coming) = self.ground.catalogue.step(self.trial, before + 1);
        let window = self.ground.world.schedule.history_frames();
        let newest = self.trial.cut + before;
        let old = self.trial.first..(newest + 1).saturating_sub(window).min(self.trial.cut + 1);
        let mut all: Vec<Pose> = poses[self.trial.first..=self.trial.cut].to_vec();
        all.push(coming?);
        let (near, last) = (nearness(&all), all.len() - 1);
        Some(old.filter(|frame| near(frame - self.trial.first, last)).collect())
    }

    fn scores(&self, section: usize, frames: &[Vec<u8>]) -> Result<Vec<FrameScore>> {
        self.truths(section).map(|truth| self.score(truth, &frames[truth.ahead - 1])).collect()
    }

    /// What is scored under sections of this length.
    pub fn truths(&self, section: usize) -> impl Iterator<Item = &Truth> {
        let whole = match self.trial.task {
            Task::Next => section,
            Task::Rollout | Task::Revisit | Task::Turn => usize::MAX,
        };
        let known = self.opened.episode.len();
        let known = move |truth: &&Truth| truth.ahead <= whole && truth.frame < known;
        self.trial.truths.iter().filter(known)
    }

    fn score(&self, truth: &Truth, dreamed: &[u8]) -> Result<FrameScore> {
        let real = self.opened.episode.frame(truth.frame);
        ensure!(real.len() == dreamed.len(), "expected a world of the episodes' picture size");
        let width = self.ground.catalogue.width;
        let (dreamed, real) = (Picture::new(dreamed, width), Picture::new(real, width));
        let like = similarity(dreamed, real);
        let lpips = self.ground.lpips.as_ref();
        let lpips = lpips.map(|lpips| lpips.distance(dreamed.pixels(), real.pixels(), width));
        Ok(FrameScore {
            ahead: truth.ahead,
            gap: truth.gap,
            psnr: metric::psnr(dreamed, real),
            ssim: like.ssim,
            ms_ssim: like.ms_ssim,
            lpips: lpips.transpose()?,
        })
    }

    /// The real picture that a dreamed one is held against; `None` where it is not known.
    pub fn real_picture(&self, ahead: usize) -> Option<&[u8]> {
        let frame = match self.trial.task {
            Task::Turn => (ahead == self.trial.frames).then_some(self.trial.cut)?,
            Task::Next | Task::Rollout | Task::Revisit => self.trial.cut + ahead,
        };
        (frame < self.opened.episode.len()).then(|| self.opened.episode.frame(frame))
    }

    /// The trial's recorded play.
    pub fn episode(&self) -> &Episode {
        &self.opened.episode
    }

    fn time(&self) -> Duration {
        thread_time().unwrap_or_else(|| self.ground.clock.now())
    }
}

impl Count {
    fn unit(mut self, key: Key, frames: Vec<FrameScore>) -> Unit {
        let later = self.times.get_mut(1..).unwrap_or_default();
        later.sort_unstable();
        let median = later.get(later.len() / 2);
        Unit {
            key,
            frames,
            overlapping: self.overlapping,
            found: self.found,
            history_tokens: self.history_tokens as f64 / self.sections.max(1) as f64,
            section_tokens: self.section_tokens,
            section_ms: median.map(|time| time.as_secs_f64() * 1e3),
            kv_hits: self.kv_hits,
            kv_groups: self.kv_groups,
        }
    }
}

fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Whether an arm can be tried on play without poses.
pub fn needs_poses(arm: Arm) -> bool {
    matches!(arm.by, By::Pose)
}
