//! Videos made in any order: some frames are given, the others are dreamed section by section (FramePack §4.1).
//!
//! Unlike a [`Dreamer`](crate::dreamer::Dreamer), which walks on from the past for ever, a [`Video`] has an end, and
//! its sections may be made before those that come earlier in it.

mod course;

use crate::atlas::BEARING;
use crate::codebook::Codebook;
use crate::error::Error;
use crate::model::{GroupKv, HistoryAttention, PlacedContext, PlannedGroup, spanned};
use crate::noise::section_noise;
use crate::pack::{Group, Known, PackPlan, Schedule};
pub use crate::reckoning::Astray;
use crate::sampler::{Sampling, Sight, sample_led};
use crate::world::World;
use candle_core::{DType, Device, Tensor};
use course::Course;
use half::f16;
use input::{Action, Pose, Room};
use memory::{ByteLru, FrameId};
use std::ops::Range;
use std::sync::Arc;

/// Budget of kept keys and values: about 300 groups of k1 of the shipped size, twice as many on a GPU.
const KV_BUDGET_BYTES: usize = 256 << 20;
/// Tells the noise of history from that of sections.
const HISTORY_NOISE: u64 = 0x4869_7374_6f72_7921;
/// Most frames of a video: ten hours at 17.5 a second.
const FRAMES_MAX: u32 = 1 << 20;

/// How a video is made.
#[derive(Clone, Debug)]
pub struct VideoOptions {
    /// Of the noise.
    pub seed: u64,
    /// Evaluations per section; `None` for the world's own.
    pub evaluations: Option<u32>,
    /// What sections see, of any order and tail.
    pub schedule: Schedule,
    /// What is done to history beside, against drift.
    pub history: HistoryOptions,
}

/// What is done to history before sections see it, and how they are led by it.
#[derive(Clone, Debug, Default)]
pub struct HistoryOptions {
    /// Share of noise in every latent, 0 for none and 1 for nothing else: always the same noise for one frame.
    pub noise: f32,
    /// Whether that share is one of the section's own level, falling with it, and the network is told: `noise` is
    /// diffusion forcing's σ at test time (FramePack §5.4), for worlds that were trained with it.
    pub forced: bool,
    /// How far sections are led on from what a history of mere noise shows; 0 for not at all. It costs an
    /// evaluation more for each.
    pub guidance: f32,
    /// Words under a schedule with `+D`; `None` for the world's own.
    pub words: Option<Codebook>,
}

impl VideoOptions {
    /// A video as the world's network was trained for.
    pub fn new(schedule: Schedule, seed: u64) -> Self {
        Self { seed, evaluations: None, schedule, history: HistoryOptions::default() }
    }
}

/// What a section was made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// Its frames.
    pub section: Range<u32>,
    /// What it saw; frame t of the video is `FrameId(t)`.
    pub plan: PackPlan,
    /// Whether it was told its actions: where it touches nothing known, it is told none.
    pub told: bool,
}

/// A video in the making.
#[derive(Debug)]
pub struct Video {
    world: Arc<World>,
    options: VideoOptions,
    sampling: Sampling,
    known: Known,
    frames: Vec<Frame>,
    kv: ByteLru<Seen, Arc<GroupKv>>,
    /// Where its frames are seen from, where a map tells.
    course: Option<Course>,
}

/// A group as it is shown: with its share of noise, by its bits.
type Seen = (Group, u32);

/// One frame of it.
#[derive(Clone, Debug)]
struct Frame {
    /// (C, H, W), rounded to 16 bits as play stores it.
    latent: Option<Vec<f32>>,
    /// What is to be applied before it.
    wanted: Arc<[f32]>,
    /// What it was made with.
    action: Arc<[f32]>,
}

impl Video {
    /// A video of `frames` frames, none of them known, no action given.
    ///
    /// # Errors
    /// When the schedule cannot be dreamed in this world, or the video is too long.
    pub fn new(world: Arc<World>, frames: u32, options: VideoOptions) -> Result<Self, Error> {
        check(&options, &world)?;
        if !(1..=FRAMES_MAX).contains(&frames) {
            let expected = format!("a video of 1 to {FRAMES_MAX} frames");
            return Err(Error::Size { expected, got: frames.to_string() });
        }
        let config = &world.config;
        let sampling = Sampling {
            evaluations: options.evaluations.unwrap_or(config.evaluations).max(1),
            shortcut: config.shortcut,
            guidance: config.guidance,
        };
        let null: Arc<[f32]> = vec![0.0; config.model.action].into();
        let frame = Frame { latent: None, wanted: Arc::clone(&null), action: null };
        Ok(Self {
            frames: vec![frame; frames as usize],
            kv: ByteLru::new(KV_BUDGET_BYTES),
            known: Known::new(),
            course: None,
            sampling,
            options,
            world,
        })
    }

    /// Which frames there are.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// Says what is to be applied before frame `at`: told before it is given or made. Told later, it moves the places on the map
    /// of the frames after it, and those are to be made again.
    ///
    /// # Errors
    /// The video is shorter.
    pub fn tell(&mut self, at: u32, action: &Action) -> Result<(), Error> {
        let features = action.to_features(&self.world.config.layout).into();
        self.frame_mut(at)?.wanted = features;
        if let Some(course) = &mut self.course {
            course.turn_at(at);
        }
        Ok(())
    }

    /// Gives frame `at`: a picture of the world's size, RGB row by row.
    ///
    /// # Errors
    /// The video is shorter, or the picture has another size.
    pub fn give(&mut self, at: u32, picture: &[u8]) -> Result<(), Error> {
        let config = &self.world.config;
        let latent = self.world.codec.encode(picture, config.height, config.width)?;
        let latent = rounded(&latent.get(0)?)?;
        let frame = self.frame_mut(at)?;
        frame.latent = Some(latent);
        frame.action = Arc::clone(&frame.wanted);
        self.note(at..at + 1);
        Ok(())
    }

    /// Says where an opening was seen from, a pose for each of its frames, of which `at` is the last. Where that is on the map
    /// of the world's atlas, frames after it are shown, in any order, what the atlas shows from where the actions lead, and
    /// take as many evaluations as walks on the map unless others were asked for. Answers whether it is.
    ///
    /// # Errors
    /// A frame has another size than the world's.
    pub fn open_on_map(
        &mut self,
        at: u32,
        frames: &[&[u8]],
        poses: &[Pose],
    ) -> Result<bool, Error> {
        self.course = Course::begin(&self.world, at, frames, poses)?;
        let config = &self.world.config;
        let enough = if self.course.is_some() { config.evaluations_on_map } else { None };
        let asked = self.options.evaluations.or(enough).unwrap_or(config.evaluations);
        self.sampling.evaluations = asked.max(1);
        Ok(self.course.is_some())
    }

    /// Whether frames after the opening are shown what an atlas shows.
    pub fn is_on_map(&self) -> bool {
        self.course.is_some()
    }

    /// How much room there is to walk from where frame `at` is seen; `None` where no map tells.
    pub fn room(&mut self, at: u32) -> Option<Room> {
        let Self { course, frames, .. } = self;
        let course = course.as_mut().filter(|_| (at as usize) < frames.len());
        course.and_then(|course| course.room(at, wanted(frames)))
    }

    /// Evaluations of the network for each section.
    pub fn evaluations(&self) -> u32 {
        self.sampling.evaluations
    }

    /// Tells frames from `from` to `at` the actions that lead, on the map, from where the former is seen to where a picture was
    /// [seen from](World::locate): as slowly as that allows.
    ///
    /// # Errors
    /// Nobody gets there, or not by then, or the video is not on the map.
    pub fn walk_to(&mut self, (from, at): (u32, u32), to: Pose) -> Result<(), Astray> {
        let Self { course, frames, world, .. } = &mut *self;
        let within = from < at && (at as usize) < frames.len();
        let course = course.as_mut().filter(|_| within).ok_or(Astray::NoWay)?;
        let walk = course.errand(world, (from, at), to, wanted(frames))?;
        course.turn_at(from + 1);
        for (frame, action) in frames[from as usize + 1..].iter_mut().zip(walk) {
            frame.wanted = action.to_features(&world.config.layout).into();
        }
        Ok(())
    }

    /// Dreams the frames of `section`, whatever they were before.
    ///
    /// # Errors
    /// The video is shorter, or a tensor operation fails.
    pub fn make(&mut self, section: Range<u32>) -> Result<Made, Error> {
        if section.is_empty() || section.end as usize > self.frames.len() {
            let expected = format!("a section within {} frames", self.frames.len());
            return Err(Error::Size { expected, got: format!("{section:?}") });
        }
        let grid = self.world.model.config().cells();
        let plan = self.options.schedule.plan_at(&self.known, section.clone(), grid)?;
        let sights = self.sights(&plan, &section)?;
        let guidance = self.options.history.guidance;
        let bare = if guidance == 0.0 { None } else { Some(self.context(&plan, 1.0)?) };
        let from = bare.as_ref().map(|bare| (bare, guidance));
        let told = self.is_touched(&section);
        let latents = self.dream(&section, told, &sights, from)?;
        let null: Arc<[f32]> = vec![0.0; self.world.config.model.action].into();
        for (at, frame) in self.frames[range(&section)].iter_mut().enumerate() {
            frame.latent = Some(rounded(&latents.get(at)?)?);
            frame.action = Arc::clone(if told { &frame.wanted } else { &null });
        }
        self.note(section.clone());
        Ok(Made { section, plan, told })
    }

    /// Counts frames as known; what was encoded from them before is of other pictures.
    fn note(&mut self, frames: Range<u32>) {
        if self.known.blanks(frames.clone()) != [frames.clone()] {
            self.kv = ByteLru::new(KV_BUDGET_BYTES);
        }
        self.known.add(frames);
    }

    /// The picture of frame `at`: RGB; `None` where it is not known yet.
    ///
    /// # Errors
    /// The video is shorter.
    pub fn picture(&mut self, at: u32) -> Result<Option<Vec<u8>>, Error> {
        let Some(latent) = self.frame_mut(at)?.latent.clone() else { return Ok(None) };
        let model = self.world.model.config();
        let shape = (1, model.channels, model.height, model.width);
        let latent = Tensor::from_vec(latent, shape, &Device::Cpu)?;
        let mut picture = self.world.codec.decode(&latent)?;
        let Self { course, frames, world, .. } = self;
        if let Some(course) = course {
            course.sharpen(world, at, wanted(frames), &mut picture)?;
        }
        Ok(Some(picture))
    }

    /// Whether a frame next to the section is known.
    fn is_touched(&self, section: &Range<u32>) -> bool {
        let before = section.start.checked_sub(1).map(|before| before..section.start);
        let after = section.end..section.end + 1;
        before.is_some_and(|before| self.known.has(before)) || self.known.has(after)
    }

    /// What the section sees at each evaluation; one sight where that is always the same.
    fn sights(&mut self, plan: &PackPlan, section: &Range<u32>) -> Result<Vec<Sight>, Error> {
        let Self { course, frames, world, .. } = &mut *self;
        let renderings = match course {
            Some(course) => course.renderings(world, section.clone(), wanted(frames))?,
            None => None,
        };
        let HistoryOptions { noise, forced, .. } = self.options.history;
        let mut shares: Vec<f32> = match forced {
            true => self.sampling.levels().into_iter().map(|level| noise * level).collect(),
            false => vec![noise],
        };
        // The last level is the end. Without noise all are alike.
        shares.truncate(self.sampling.levels().len() - 1);
        shares.dedup();
        let sight = |share: f32| {
            let config = self.world.model.config();
            let shape = [config.channels, config.height, config.width];
            let newest = plan.before_section().map(|name| self.seen(name, share));
            let newest =
                newest.map(|latent| self.world.model.tensor(latent, &shape)).transpose()?;
            let renderings = renderings.clone();
            Ok(Sight { context: self.context(plan, share)?, newest, renderings })
        };
        shares.into_iter().map(sight).collect()
    }

    /// Encodes the plan's groups, or takes those that were, and places them.
    fn context(&mut self, plan: &PackPlan, noise: f32) -> Result<PlacedContext, Error> {
        if self.world.model.config().history == HistoryAttention::Causal {
            let planned = plan.slots.iter().map(|slot| {
                let (latents, action) = self.shown(&slot.group, noise)?;
                let (kernel, position) = (slot.group.kernel, slot.position);
                Ok(PlannedGroup { kernel, latents, action, position })
            });
            let planned = planned.collect::<Result<Vec<_>, Error>>()?;
            return Ok(self.world.model.encode_causal(&planned, self.told_level(noise))?);
        }
        let mut placed = Vec::with_capacity(plan.slots.len());
        for slot in &plan.slots {
            let seen = (slot.group.clone(), noise.to_bits());
            let kept = self.kv.get(&seen).cloned();
            let kv = match kept {
                Some(kv) => kv,
                None => {
                    let kv = Arc::new(self.encode(&slot.group, noise)?);
                    // One that is larger than the whole budget is simply not kept.
                    let _not_kept = self.kv.insert(seen, Arc::clone(&kv), kv.bytes());
                    kv
                }
            };
            placed.push((kv, slot.group.kernel, slot.position));
        }
        Ok(self.world.model.place(&placed)?)
    }

    fn encode(&self, group: &Group, noise: f32) -> Result<GroupKv, Error> {
        let (latents, action) = self.shown(group, noise)?;
        let level = self.told_level(noise);
        Ok(self.world.model.encode_at(level, group.kernel, &latents, &action)?)
    }

    /// What the network is told of a share of noise in history.
    fn told_level(&self, noise: f32) -> f32 {
        if self.options.history.forced { noise } else { 0.0 }
    }

    /// A group's latents, (frames of its kernel, C, H, W), and the mean action of its frames, (A).
    fn shown(&self, group: &Group, noise: f32) -> Result<(Tensor, Tensor), Error> {
        let model = &self.world.model;
        let config = model.config();
        let mut action = vec![0.0_f32; config.action];
        #[expect(clippy::cast_precision_loss, reason = "videos have at most 2^20 frames")]
        let share = 1.0 / group.frames.len() as f32;
        let mut latents = Vec::with_capacity(group.frames.len());
        for name in &group.frames {
            let frame = &self.frames[name.0 as usize];
            action.iter_mut().zip(frame.action.iter()).for_each(|(sum, x)| *sum += share * x);
            latents.push(self.seen(*name, noise));
        }
        let shape = [group.kernel.frames(), config.channels, config.height, config.width];
        let latents = model.tensor(spanned(group.kernel, &latents), &shape)?;
        Ok((latents, model.tensor(action, &[config.action])?))
    }

    /// A known frame's latent as sections are shown it, in words and with noise where they are to be: (C, H, W).
    fn seen(&self, name: FrameId, noise: f32) -> Vec<f32> {
        let mut latent =
            self.frames[name.0 as usize].latent.clone().expect("plans hold known frames");
        let words = self.options.history.words.as_ref().or(self.world.codebook.as_ref());
        if let Some(words) = words.filter(|_| self.options.schedule.is_discrete()) {
            words.quantise(&mut latent);
        }
        if noise > 0.0 {
            let seed = self.options.seed ^ HISTORY_NOISE;
            let drawn = section_noise(seed, name.0.into(), latent.len());
            latent.iter_mut().zip(drawn).for_each(|(x, n)| *x = (1.0 - noise) * *x + noise * n);
        }
        latent
    }

    /// The section's latents: (g, C, H, W).
    fn dream(
        &self,
        section: &Range<u32>,
        told: bool,
        sights: &[Sight],
        from: Option<(&PlacedContext, f32)>,
    ) -> Result<Tensor, Error> {
        let model = &self.world.model;
        let config = model.config();
        let shape = [section.len(), config.channels, config.height, config.width];
        let count = shape.iter().product();
        let noise = section_noise(self.options.seed, section.start.into(), count);
        let null = || vec![0.0; config.told() * section.len()];
        let actions = if told { self.last_actions(section) } else { null() };
        let actions = model.tensor(actions, &[section.len(), config.told()])?;
        // What stands still is led on to nothing else.
        let guidance = if told { self.sampling.guidance } else { 0.0 };
        let sampling = Sampling { guidance, ..self.sampling };
        let noise = model.tensor(noise, &shape)?;
        Ok(sample_led(model, &noise, &actions, sights, from, sampling)?)
    }

    /// The last three actions of each frame, as they were made before the section, none before the video; and no bearings.
    fn last_actions(&self, section: &Range<u32>) -> Vec<f32> {
        let (first, null) = (section.start as usize, vec![0.0; self.world.config.model.action]);
        let action = |at: usize, back: usize| match at.checked_sub(back) {
            Some(at) if at < first && self.frames[at].latent.is_some() => {
                self.frames[at].action.to_vec()
            }
            Some(at) => self.frames[at].wanted.to_vec(),
            None => null.clone(),
        };
        // Videos retrieve nothing that could lie anywhere.
        let bearings = vec![0.0; BEARING * self.world.config.model.bearings];
        let told =
            |at| [2, 1, 0].map(|back| action(at, back)).into_iter().chain([bearings.clone()]);
        range(section).flat_map(told).flatten().collect()
    }

    fn frame_mut(&mut self, at: u32) -> Result<&mut Frame, Error> {
        let expected = format!("a frame below {}", self.frames.len());
        let error = Error::Size { expected, got: at.to_string() };
        self.frames.get_mut(at as usize).ok_or(error)
    }
}

/// What leads to each frame.
fn wanted(frames: &[Frame]) -> impl Fn(u32) -> Arc<[f32]> {
    |at| Arc::clone(&frames[at as usize].wanted)
}

fn range(section: &Range<u32>) -> Range<usize> {
    section.start as usize..section.end as usize
}

/// A latent (C, H, W) rounded to the type that play stores it in.
fn rounded(latent: &Tensor) -> Result<Vec<f32>, Error> {
    let halves = latent.to_dtype(DType::F16)?.to_device(&Device::Cpu)?;
    let halves: Vec<f16> = halves.flatten_all()?.to_vec1()?;
    Ok(halves.into_iter().map(f16::to_f32).collect())
}

/// Whether a world can dream under a schedule of any order.
fn check(options: &VideoOptions, world: &World) -> Result<(), Error> {
    let VideoOptions { schedule, history, .. } = options;
    schedule.check_whole_groups()?;
    if !(0.0..=1.0).contains(&history.noise) || !history.guidance.is_finite() {
        let (noise, guidance) = (history.noise, history.guidance);
        let expected = "a share of noise from 0 to 1 and a finite guidance".to_owned();
        return Err(Error::Size { expected, got: format!("{noise} and {guidance}") });
    }
    let config = &world.config.model;
    if let Some(tier) = schedule.tiers().find(|tier| config.embedding(tier.kernel).is_none()) {
        let expected = format!("kernels of (1, 2, 2) or more in {schedule}");
        return Err(Error::Size { expected, got: tier.to_string() });
    }
    let words = history.words.as_ref().or(world.codebook.as_ref());
    if let Some(words) = words.filter(|words| words.channels() != config.channels) {
        let expected = format!("words of {} channels", config.channels);
        return Err(Error::Size { expected, got: words.channels().to_string() });
    }
    if schedule.is_discrete() && words.is_none() {
        let got = "a world without".to_owned();
        return Err(Error::Size { expected: format!("a codebook for {schedule}"), got });
    }
    Ok(())
}
