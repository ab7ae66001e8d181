//! A world being dreamed: history, cached keys and values, and the stages of one section.
//!
//! The caller runs the stages in order: [`Dreamer::preview`], [`Dreamer::retrieve`],
//! [`Dreamer::plan`], [`Dreamer::pack`], [`Dreamer::encode`], [`Dreamer::denoise`],
//! [`Dreamer::remember`], [`Dreamer::decode`]; and between two sections, if there is time, [`Dreamer::anticipate`].

mod bookmark;
mod context;
mod latent;
mod opening;
mod options;
mod remember;
mod repeat;
mod retrieval;

pub use bookmark::Bookmark;
pub use options::{DreamOptions, EstimateBy};
pub use repeat::Recipe;

use crate::atlas::{BEARING, Canvas, Renderer, add_detail};
use crate::codec::Painting;
use crate::error::Error;
use crate::graph::Graphs;
use crate::model::{GroupKv, Lead};
use crate::noise::section_noise;
use crate::pack::{
    Arrangement, Grid, Group, HistoryView, PackPlan, PlanRules, Schedule, TAIL_MAX, Tail,
};
use crate::reckoning::Reckoning;
use crate::sampler::{Sampling, Sight, sample_at_once, sample_by};
use crate::world::World;
use candle_core::{DType, Tensor};
use input::Action;
use latent::{check, feature_shape, gone, look, restored, stored};
use memory::{BranchId, ByteLru, Estimate, FrameId, FrameStamp, History, Hit, Ranking};
use std::sync::Arc;

/// What a section was made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// Its number in this walk, from 0.
    pub section: u64,
    /// Frames of the walk before it, less those taken back.
    pub tick: u64,
    /// The key of its noise: the tick, but where nothing is done that of the last frame to which an action led. Noise
    /// that changes shows in the picture, and what stands still should stay (on noise that frames share: S. Ge et al.,
    /// "Preserve Your Own Correlation", 2023).
    pub noise: u64,
    /// Action features of the two frames before it, the older first.
    pub before: [Arc<[f32]>; 2],
    /// Where what it retrieved was seen from, as the network was told it; empty where it was not.
    pub bearings: Vec<f32>,
    /// Where each of its frames was reckoned to be seen from, in steps, with the heading in degrees; empty where it was not
    /// shown what the atlas shows from there.
    pub places: Vec<[f32; 3]>,
    /// Names of its frames, once they are remembered.
    pub made: Vec<FrameId>,
    /// Evaluations of the network.
    pub evaluations: u32,
    /// Groups whose keys and values were there already.
    pub kv_hits: usize,
    /// Groups that had to be encoded.
    pub kv_misses: usize,
    /// Of these, those that were before the section was begun.
    pub kv_anticipated: usize,
    /// Whether each of the plan's groups was there already.
    pub reused: Vec<bool>,
    /// Frames the ranking chose, best first.
    pub hits: Vec<Hit>,
    /// The plan; absent before the first section.
    pub plan: Option<PackPlan>,
}

/// A walk through a world.
#[derive(Debug)]
pub struct Dreamer {
    world: Arc<World>,
    schedule: Schedule,
    sampling: Sampling,
    ranking: Ranking,
    rules: PlanRules,
    options: DreamOptions,
    history: History,
    kv: ByteLru<Group, Arc<GroupKv>>,
    tick: u64,
    /// Where the coming section is seen from, where that is known.
    pose: Option<memory::Pose>,
    /// Where the walk has come to, by its actions.
    reckoning: Reckoning,
    /// What shows the atlas's views from there.
    renderer: Renderer,
    /// The branch of the atlas's views, where the walk's place on their map is known.
    map: Option<BranchId>,
    /// The first frame that is not retrieved any more.
    retrievable_before: Option<FrameId>,
    /// Action features of the last frames, newest last: what the coming section's actions follow.
    recent_actions: [Arc<[f32]>; 2],
    /// Tick of the last frame to which an action led.
    stirred: u64,
    /// Frames that were retrieved for the last section.
    packed: Vec<FrameId>,
    section: Section,
    account: Account,
    /// What was encoded for the section to come before it was begun.
    anticipated: Vec<Group>,
    /// Of the sampler, where all evaluations are given to the device at once.
    graphs: Option<Graphs>,
}

/// The section in the making.
#[derive(Debug, Default)]
struct Section {
    actions: Vec<Arc<[f32]>>,
    noise: u64,
    estimate: Option<Estimate>,
    missing: Vec<Group>,
    /// Of what is retrieved, one frame of the section after another; empty where none are told.
    bearings: Vec<f32>,
    /// What it is sampled from beside its history.
    begun: Option<Begun>,
    /// What the atlas shows from where its frames are, as pictures, one for each; none where it shows nothing.
    canvases: Vec<Canvas>,
    groups: Vec<(Option<Arc<GroupKv>>, Group, i32)>,
    latents: Option<Tensor>,
    /// Its pictures, where a GPU makes them by itself.
    painting: Option<Painting>,
}

/// What a section is sampled from beside its history.
#[derive(Debug)]
struct Begun {
    /// (g, C, H, W), as a section is.
    noise: Tensor,
    /// (g, told).
    actions: Tensor,
    /// The frame just before the section as the network is shown it, (C, H, W); none where the plan does not hold it.
    newest: Option<Tensor>,
    /// What the atlas shows from where its frames are, (g, C + 1, H, W).
    renderings: Option<Tensor>,
    /// What leads it; none where that is made at once with all evaluations.
    lead: Option<Lead>,
}

/// Whether an action with these features does anything.
fn is_stirring(action: &[f32]) -> bool {
    action.iter().any(|&feature| feature != 0.0)
}

/// Ticks between retrieved frames: half a second of play.
const APART_SECONDS: f32 = 0.5;
/// Bytes of decoded views of an atlas that are kept: some nine hundred of the shipped size.
pub(crate) const DECODED_BYTES: usize = 45 << 20;
/// Frames that stay addressable behind the newest.
const WINDOW: usize = 128;

impl Dreamer {
    /// A walk with no history yet: call [`Self::open_with`] before the first section.
    pub fn new(world: Arc<World>, options: DreamOptions) -> Result<Self, Error> {
        let schedule = options.schedule.clone().unwrap_or_else(|| world.schedule.clone());
        check(&schedule, &world)?;
        let config = &world.config;
        let size = |cells: usize| u16::try_from(cells).expect("checked when the world was read");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 120")]
        let apart_ticks = (APART_SECONDS * config.fps).round() as u64;
        let rules = PlanRules {
            arrangement: options.arrangement,
            apart_ticks,
            grid: Grid { height: size(config.model.height), width: size(config.model.width) },
        };
        let window = match schedule.tail() {
            Tail::Compress => WINDOW.max(schedule.history_frames() + TAIL_MAX),
            Tail::Delete | Tail::Append => WINDOW,
        };
        let history = History::new(feature_shape(&world), options.warm_frames, window)?;
        let neutral: Arc<[f32]> = vec![0.0; config.model.action].into();
        Ok(Self {
            sampling: Sampling {
                evaluations: options.evaluations.unwrap_or(config.evaluations).max(1),
                shortcut: config.shortcut,
                guidance: config.guidance,
            },
            ranking: options.ranking.unwrap_or(config.ranking()),
            kv: ByteLru::new(options.kv_budget_bytes),
            recent_actions: [Arc::clone(&neutral), neutral],
            stirred: 0,
            packed: Vec::new(),
            section: Section::default(),
            account: Account::default(),
            anticipated: Vec::new(),
            graphs: options.at_once.then(Graphs::default),
            tick: 0,
            pose: None,
            reckoning: Reckoning::new(&config.layout),
            renderer: Renderer::new(&config.model, DECODED_BYTES),
            map: None,
            retrievable_before: None,
            schedule,
            rules,
            history,
            options,
            world,
        })
    }

    /// The world.
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// Frames made at a time.
    pub fn section_frames(&self) -> usize {
        self.schedule.generate()
    }

    /// Evaluations of the network for each section.
    pub fn evaluations(&self) -> u32 {
        self.sampling.evaluations
    }

    /// Runs of the network for each section: guidance may cost one more.
    pub fn runs(&self) -> u32 {
        self.sampling.runs()
    }

    /// Evaluates so often from the next section on, at least once.
    pub fn evaluate(&mut self, evaluations: u32) {
        self.sampling.evaluations = evaluations.max(1);
    }

    /// What the last section was made from.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Everything remembered.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// All stages of one section, for callers that do not time them.
    pub fn section(&mut self, actions: &[Action]) -> Result<Vec<Vec<u8>>, Error> {
        self.preview(actions)?;
        self.retrieve()?;
        self.plan()?;
        self.pack()?;
        self.encode()?;
        self.denoise()?;
        self.remember()?;
        self.decode()
    }

    /// Begins a section under `actions`, one for each of its frames, and estimates its look.
    pub fn preview(&mut self, actions: &[Action]) -> Result<(), Error> {
        if actions.len() != self.section_frames() {
            return Err(Error::Size {
                expected: format!("{} actions", self.section_frames()),
                got: actions.len().to_string(),
            });
        }
        let layout = &self.world.config.layout;
        let features = actions.iter().map(|action| action.to_features(layout).into());
        self.section = Section { actions: features.collect(), ..Section::default() };
        let stirs = self.section.actions.iter().any(|action| is_stirring(action));
        self.section.noise = if stirs { self.tick } else { self.stirred };
        let Some(newest) = self.history.live().last().copied() else { return Ok(()) };
        let latents = match self.options.estimate {
            EstimateBy::Last => vec![self.latent(newest.frame)?],
            EstimateBy::Preview => self.previewed()?,
        };
        let channels = self.world.model.config().channels;
        let looks: Vec<Vec<f32>> = latents.iter().map(|latent| look(latent, channels)).collect();
        let looks: Vec<&[f32]> = looks.iter().map(Vec::as_slice).collect();
        self.section.estimate = Some(Estimate::new(feature_shape(&self.world), &looks)?);
        Ok(())
    }

    /// One evaluation from noise over the recent window.
    fn previewed(&mut self) -> Result<Vec<Vec<f32>>, Error> {
        let view = HistoryView::new(self.history.live());
        let rules = PlanRules { arrangement: Arrangement::Recency, ..self.rules };
        let plan = self.schedule.plan(view, &[], &rules)?;
        let once = Sampling { evaluations: 1, guidance: 0.0, ..self.sampling };
        self.gather(&plan)?;
        self.begin(&[])?;
        self.encode()?;
        let latents = self.sample(once)?;
        let frames = latents.dim(0)?;
        (0..frames).map(|at| Ok(latents.get(at)?.flatten_all()?.to_vec1()?)).collect()
    }

    /// Chooses what goes where in the context.
    pub fn plan(&mut self) -> Result<(), Error> {
        let ranked: Vec<FrameStamp> = self.account.hits.iter().map(|hit| hit.stamp).collect();
        let view = HistoryView::new(self.history.live());
        self.account.plan = Some(self.schedule.plan(view, &ranked, &self.rules)?);
        self.account.section = self.tick / self.section_frames() as u64;
        self.account.tick = self.tick;
        self.account.noise = self.section.noise;
        self.account.before = self.recent_actions.clone();
        self.account.evaluations = self.sampling.evaluations;
        Ok(())
    }

    /// Brings the planned groups together: kept keys and values, and a list of what is missing. Makes what the section is
    /// sampled from beside them: noise, the newest frame moved, and what the atlas shows from there.
    pub fn pack(&mut self) -> Result<(), Error> {
        let plan = self.account.plan.take().expect("`plan` comes before `pack`");
        self.gather(&plan)?;
        self.account.kv_anticipated =
            plan.slots.iter().filter(|slot| self.anticipated.contains(&slot.group)).count();
        // What was encoded ahead of the section is new all the same.
        let reused = |(kept, group, _): &(Option<_>, Group, _)| {
            kept.is_some() && !self.anticipated.contains(group)
        };
        self.account.reused = self.section.groups.iter().map(reused).collect();
        self.account.kv_hits = self.account.reused.iter().filter(|&&reused| reused).count();
        self.account.kv_misses = plan.slots.len() - self.account.kv_hits;
        self.anticipated.clear();
        self.packed.clear();
        self.packed.extend(plan.retrieved());
        for slot in &plan.slots {
            for frame in &slot.group.frames {
                self.history.warm_mut().touch(*frame);
            }
        }
        self.section.bearings = self.bearings(&plan);
        self.account.bearings.clone_from(&self.section.bearings);
        self.account.plan = Some(plan);
        let places = self.places();
        self.begin(&places)?;
        self.account.places = places;
        Ok(())
    }

    /// Makes what the section is sampled from beside its history: noise, the newest frame as its actions move it, and what
    /// the atlas shows from `places`, where its frames are.
    fn begin(&mut self, places: &[[f32; 3]]) -> Result<(), Error> {
        let (actions, newest, shape) = (self.actions()?, self.newest()?, self.section_shape());
        let (model, device) = (&self.world.model, &self.world.device);
        let mut shown = || self.world.shown_from(&mut self.renderer, places);
        let begun = || {
            let count = shape.iter().product();
            let noise = section_noise(self.options.seed, self.section.noise, count);
            let at_once = self.graphs.is_some();
            let reference = (!at_once).then(|| model.reference(newest.as_ref(), &actions));
            Ok((model.tensor(noise, &shape)?, reference.transpose()?))
        };
        // Side by side, as much of both is done by one thread; a GPU is given one thing after another.
        let (shown, begun) =
            if device.is_cpu() { rayon::join(shown, begun) } else { (shown(), begun()) };
        let (renderings, canvases) = shown?;
        let (noise, reference) = begun.map_err(Error::Tensor)?;
        let lead = reference.map(|reference| model.led(reference, renderings.as_ref(), &actions));
        let lead = lead.transpose()?;
        self.section.begun = Some(Begun { noise, actions, newest, renderings, lead });
        self.section.canvases = canvases;
        Ok(())
    }

    /// Runs the sampler, once after each [`Self::pack`]; the result is rounded to the type it is stored in.
    pub fn denoise(&mut self) -> Result<(), Error> {
        let latents = self.sample(self.sampling)?;
        let latents = latents.to_dtype(DType::F16)?.to_dtype(DType::F32)?;
        self.section.latents = Some(latents);
        Ok(())
    }

    fn sample(&mut self, sampling: Sampling) -> Result<Tensor, Error> {
        let (model, context) = (&self.world.model, self.placed()?);
        let begun = self.section.begun.take().expect("`pack` comes before `denoise`");
        let Begun { noise, actions, newest, renderings, lead } = begun;
        let sight = Sight { context, newest, renderings };
        if let Some(graphs) = &self.graphs {
            return Ok(sample_at_once(graphs, model, &noise, &actions, &sight, sampling)?);
        }
        let lead = lead.expect("made where no graph makes it");
        Ok(sample_by(model, &noise, &actions, &[(&sight, lead)], None, sampling)?)
    }

    /// The frame just before the section as the network is shown it, (C, H, W); none where the plan
    /// does not hold it.
    fn newest(&self) -> Result<Option<Tensor>, Error> {
        let mut groups = self.section.groups.iter();
        let newest = groups.find_map(|(_, group, position)| group.before_section(*position));
        let Some(newest) = newest else { return Ok(None) };
        let config = self.world.model.config();
        let shape = [config.channels, config.height, config.width];
        Ok(Some(self.world.model.tensor(self.seen(newest)?, &shape)?))
    }

    /// Frames, channels, rows and columns of a section.
    fn section_shape(&self) -> [usize; 4] {
        let config = self.world.model.config();
        [self.section_frames(), config.channels, config.height, config.width]
    }

    /// The last three actions of every section frame, and the bearings of what it retrieves: (g, told).
    fn actions(&self) -> Result<Tensor, Error> {
        let all: Vec<&Arc<[f32]>> =
            self.recent_actions.iter().chain(&self.section.actions).collect();
        let config = self.world.model.config();
        let (width, bearings) = (config.told(), BEARING * config.bearings);
        let mut values = Vec::with_capacity(width * self.section.actions.len());
        for (at, actions) in all.windows(3).enumerate() {
            values.extend(actions.iter().flat_map(|features| features.iter().copied()));
            match self.section.bearings.get(at * bearings..(at + 1) * bearings) {
                Some(told) => values.extend(told),
                None => values.resize(values.len() + bearings, 0.0),
            }
        }
        Ok(self.world.model.tensor(values, &[self.section.actions.len(), width])?)
    }

    /// The section's pictures, RGB, one after another: what its latents hold, with the detail of what the atlas shows of it.
    pub fn decode(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        let latents = self.section.latents.as_ref().expect("`denoise` comes before `decode`");
        let pixels = match self.section.painting.take() {
            Some(painting) => painting.wait()?,
            None => self.world.codec.decode(latents)?,
        };
        let size = pixels.len() / self.section_frames();
        let mut frames: Vec<Vec<u8>> = pixels.chunks(size).map(<[u8]>::to_vec).collect();
        for (frame, canvas) in frames.iter_mut().zip(&self.section.canvases) {
            add_detail(frame, canvas);
        }
        Ok(frames)
    }

    /// The branch being walked.
    pub fn branch(&self) -> BranchId {
        self.history.branch()
    }
}
