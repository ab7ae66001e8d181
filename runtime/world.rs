//! Opening a world for a walk, and dreaming it with the engine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use engine::dreamer::{Bookmark, DreamOptions, Dreamer};
use engine::noise::Random;
use engine::pack::SlotKind;
use engine::world::{World, WorldConfig};
use input::{Action, Frame, PastFrame, Room};
use memory::FrameId;
use serde_json::{Value, json};

use crate::dream::{Dream, Facts, Lineage, Opener};
use crate::origin::Origin;
use crate::recall::{Place, Recall};
use crate::view::{MemoryView, PackedGroup, Seen, Thumbnails, small};
use crate::worlds;

/// Small pictures of earlier walks' frames that are decoded for one section, at most: the walk goes on
/// meanwhile.
const THUMBNAILS_AT_ONCE: u32 = 1;

/// What a walk begins from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// Seed of the noise, and of which opening is taken.
    pub seed: u64,
    /// Evaluations per section; `None` for the world's own.
    pub evaluations: Option<u32>,
    /// A picture of one's own, of any size.
    pub start: Option<Frame>,
    /// Where memory lies.
    pub memory: Place,
}

/// What is told while a world is opened, in this order; between them may be notices and what memory tells.
pub const STAGES: [&str; 5] = [
    "reading world.toml",
    "reading the codec",
    "reading the world model",
    "reading openings",
    "encoding the opening",
];

/// Opens the world of this folder or name, on the thread that calls the answer.
pub fn opener(world: PathBuf, beginning: Beginning) -> Opener {
    Box::new(move |tell| open(&world, &beginning, tell))
}

/// What `world.toml` in folder `dir` says, before any weights are read.
///
/// # Errors
/// When it cannot be read; the file is named.
pub fn config(dir: &Path) -> Result<WorldConfig> {
    let path = dir.join(worlds::WORLD_FILE);
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("read {}", path.display()))
}

fn open(
    world: &Path,
    beginning: &Beginning,
    tell: &mut dyn FnMut(String),
) -> Result<Box<dyn Dream>> {
    let found = read(world, tell)?;
    tell(STAGES[4].to_owned());
    begin(&found, beginning, tell)
}

/// A world that was read.
#[derive(Clone, Debug)]
pub struct Found {
    /// The world.
    pub world: Arc<World>,
    /// What it is called.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
}

/// Reads the world of this folder or name onto the best device.
///
/// # Errors
/// When it cannot be found or read; the file is named.
pub fn read(world: &Path, tell: &mut dyn FnMut(String)) -> Result<Found> {
    let dir = worlds::find(world)?;
    let (device, notice) = engine::device::best();
    if let Some(notice) = notice {
        // Stages follow each other faster than they are read.
        tracing::warn!("{notice}");
    }
    let world = Arc::new(World::open(&dir, &device, |stage| tell(stage.to_owned()))?);
    let name = worlds::name(&dir, &world);
    Ok(Found { world, name, dir })
}

/// Begins a walk in a world that was read.
///
/// # Errors
/// When its opening cannot be encoded or its memory not be opened.
pub fn begin(
    found: &Found,
    beginning: &Beginning,
    tell: &mut dyn FnMut(String),
) -> Result<Box<dyn Dream>> {
    Ok(Box::new(Dreaming::new(found, beginning, tell)?))
}

/// A walk in an engine's world.
#[derive(Debug)]
struct Dreaming {
    facts: Facts,
    opening: Arc<Frame>,
    dreamer: Dreamer,
    /// What is remembered for walks to come.
    recall: Option<Recall>,
    /// Frames of earlier walks that the section is made from.
    recalled: usize,
    bookmark: Option<Bookmark>,
    /// The coming section does not follow the last one.
    going_back: bool,
    /// Nor did the one in the making.
    went_back: bool,
    thumbnails: Thumbnails,
}

impl Dreaming {
    fn new(found: &Found, beginning: &Beginning, tell: &mut dyn FnMut(String)) -> Result<Self> {
        let Found { world, name, .. } = found;
        let config = &world.config;
        let (width, height) = (u32::try_from(config.width)?, u32::try_from(config.height)?);
        let options = DreamOptions {
            seed: beginning.seed,
            evaluations: beginning.evaluations,
            ..DreamOptions::default()
        };
        let start = Random::new(beginning.seed, u64::MAX).below(world.starts.len());
        let mut dreamer = Dreamer::new(Arc::clone(world), options.clone())?;
        let recall = beginning.memory.open(&mut dreamer, name, tell)?;
        let mut thumbnails = Thumbnails::default();
        let opening = match &beginning.start {
            Some(picture) => {
                let picture = crate::start::fit(picture, width, height);
                let has_map = world.atlas.as_ref().is_some_and(|atlas| atlas.scenery.is_some());
                if has_map {
                    tell("looking for the picture on the map".to_owned());
                }
                let place = world.locate(&picture.pixels)?;
                if has_map && place.is_none() {
                    tracing::info!("the map does not show the picture: the walk is off it");
                }
                let poses = place.as_slice();
                dreamer.open_on_map(&[&picture.pixels], &[Action::NEUTRAL], poses)?;
                shrink(&mut thumbnails, &dreamer, std::slice::from_ref(&picture));
                picture
            }
            None => {
                let start = &world.starts[start];
                let frames: Vec<&[u8]> = start.frames().collect();
                let poses = start.poses.as_deref().unwrap_or_default();
                dreamer.open_on_map(&frames, &start.actions, poses)?;
                let picture = |pixels: &&[u8]| Frame { width, height, pixels: pixels.to_vec() };
                let mut pictures: Vec<Frame> = frames.iter().map(picture).collect();
                shrink(&mut thumbnails, &dreamer, &pictures);
                pictures.pop().context("an opening has frames")?
            }
        };
        if let Some(recall) = &recall {
            recall.pin(&dreamer);
        }
        let evaluations = dreamer.evaluations();
        let settings = settings(found, beginning, (start, evaluations), &options)?;
        let facts = Facts {
            name: name.clone(),
            hash: world.hash.clone(),
            seed: beginning.seed,
            settings,
            width,
            height,
            fps: config.fps,
            section_frames: u32::try_from(dreamer.section_frames())?,
            evaluations,
            layout: config.layout.clone(),
        };
        Ok(Self {
            facts,
            opening: Arc::new(opening),
            dreamer,
            recall,
            recalled: 0,
            bookmark: None,
            going_back: false,
            went_back: false,
            thumbnails,
        })
    }
}

/// All settings in force, for the session; `start` is the opening's number.
fn settings(
    found: &Found,
    beginning: &Beginning,
    (start, evaluations): (usize, u32),
    options: &DreamOptions,
) -> Result<Value> {
    let config = &found.world.config;
    Ok(json!({
        "folder": std::path::absolute(&found.dir)?.display().to_string(),
        "origin": Origin::here(&found.world),
        "start": match &beginning.start {
            Some(_) => json!("a picture of one's own"),
            None => json!(start),
        },
        "schedule": config.schedule,
        "time_weight": config.time_weight,
        "place_weight": config.place_weight,
        "guidance": config.guidance,
        "evaluations": evaluations,
        "estimate": options.estimate,
        "memory": match &beginning.memory {
            Place::Nowhere => "none".to_owned(),
            Place::Folder { dir, .. } => dir.display().to_string(),
        },
    }))
}

/// Keeps small pictures of the newest frames.
fn shrink(thumbnails: &mut Thumbnails, dreamer: &Dreamer, pictures: &[Frame]) {
    let live = dreamer.history().live();
    let newest = &live[live.len().saturating_sub(pictures.len())..];
    // Of a long opening, the first frames may be out of sight already.
    let pictures = &pictures[pictures.len() - newest.len()..];
    for (stamp, picture) in newest.iter().zip(pictures) {
        thumbnails.add(stamp.frame, picture);
    }
}

impl Dreaming {
    /// The small picture of a frame; decodes one that is not kept while `budget` lasts.
    fn thumbnail(&mut self, frame: FrameId, budget: &mut u32) -> Result<Option<Arc<Frame>>> {
        let kept = self.thumbnails.get(frame);
        if kept.is_some() || *budget == 0 {
            return Ok(kept);
        }
        let Some(record) = self.dreamer.history().warm().peek(frame) else { return Ok(None) };
        *budget -= 1;
        let pixels = self.dreamer.world().picture(&record.latent)?;
        let Facts { width, height, .. } = self.facts;
        Ok(Some(self.thumbnails.add(frame, &Frame { width, height, pixels })))
    }
}

impl Dream for Dreaming {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn opening(&self) -> Arc<Frame> {
        Arc::clone(&self.opening)
    }

    fn preview(&mut self, actions: &[Action]) -> Result<()> {
        self.went_back = std::mem::take(&mut self.going_back);
        Ok(self.dreamer.preview(actions)?)
    }

    fn retrieve(&mut self) -> Result<()> {
        Ok(self.dreamer.retrieve()?)
    }

    fn plan(&mut self) -> Result<()> {
        Ok(self.dreamer.plan()?)
    }

    fn pack(&mut self) -> Result<()> {
        self.dreamer.pack()?;
        self.recalled = self.recall.as_ref().map_or(0, |recall| recall.note_use(&self.dreamer));
        Ok(())
    }

    fn encode(&mut self) -> Result<()> {
        Ok(self.dreamer.encode()?)
    }

    fn denoise(&mut self) -> Result<()> {
        Ok(self.dreamer.denoise()?)
    }

    fn remember(&mut self) -> Result<()> {
        self.dreamer.remember()?;
        if let Some(recall) = &mut self.recall {
            recall.remember(&self.dreamer, self.dreamer.section_frames());
        }
        Ok(())
    }

    fn decode(&mut self) -> Result<Vec<Frame>> {
        let Facts { width, height, .. } = self.facts;
        let frames = self.dreamer.decode()?.into_iter();
        let pictures: Vec<_> = frames.map(|pixels| Frame { width, height, pixels }).collect();
        shrink(&mut self.thumbnails, &self.dreamer, &pictures);
        Ok(pictures)
    }

    fn anticipate(&mut self) -> Result<()> {
        Ok(self.dreamer.anticipate()?)
    }

    fn take_notices(&mut self) -> Vec<String> {
        self.recall.as_ref().and_then(Recall::take_notice).into_iter().collect()
    }

    fn bookmark(&mut self) -> Result<()> {
        self.bookmark = Some(self.dreamer.bookmark());
        Ok(())
    }

    fn go_back(&mut self) -> Result<bool> {
        let Some(bookmark) = &self.bookmark else { return Ok(false) };
        self.dreamer.go_back(bookmark)?;
        self.going_back = true;
        if let Some(recall) = &mut self.recall {
            recall.break_off();
        }
        Ok(true)
    }

    fn evaluate(&mut self, evaluations: u32) {
        self.dreamer.evaluate(evaluations);
    }

    fn room(&self) -> Option<Room> {
        self.dreamer.room()
    }

    fn memory(&mut self) -> Result<MemoryView> {
        let account = self.dreamer.account().clone();
        let newest = self.dreamer.history().live().last().map_or(0, |stamp| stamp.tick);
        let slots = account.plan.iter().flat_map(|plan| &plan.slots).zip(&account.reused);
        let mut groups = Vec::new();
        let mut budget = THUMBNAILS_AT_ONCE;
        for (slot, &reused) in slots {
            let Some(&frame) = slot.group.frames.last() else { continue };
            let earlier = self.recall.as_ref().is_some_and(|recall| recall.is_earlier(frame));
            let record = self.dreamer.history().warm().peek(frame);
            let tick = record.map_or(newest, |record| record.stamp.tick);
            #[expect(clippy::cast_precision_loss, reason = "seconds to be read")]
            let age = newest.saturating_sub(tick) as f32 / self.facts.fps;
            let hit = account.hits.iter().find(|hit| hit.stamp.frame == frame);
            groups.push(PackedGroup {
                kernel: slot.group.kernel.frames(),
                frame,
                seen: match (earlier, self.dreamer.is_charted(frame)) {
                    (_, true) => Seen::Recorded,
                    (true, false) => Seen::Earlier,
                    (false, false) => Seen::Ago(age),
                },
                score: hit.filter(|_| slot.kind == SlotKind::Retrieved).map(|hit| hit.score),
                reused,
                picture: self.thumbnail(frame, &mut budget)?,
            });
        }
        let Facts { width, height, .. } = self.facts;
        let painted_over = self
            .dreamer
            .painted_over()
            .map(|pixels| Arc::new(small(&Frame { width, height, pixels: pixels.to_vec() })));
        Ok(MemoryView { remembered: self.dreamer.history().warm().len(), painted_over, groups })
    }

    fn lost(&self) -> u64 {
        self.recall.as_ref().map_or(0, Recall::lost)
    }

    fn account(&self) -> Value {
        let account = self.dreamer.account();
        let slots = account.plan.iter().flat_map(|plan| &plan.slots);
        let slots: Vec<Value> = slots
            .map(|slot| {
                let frames: Vec<u32> = slot.group.frames.iter().map(|frame| frame.0).collect();
                json!([slot.group.kernel.to_string(), frames, slot.position])
            })
            .collect();
        let mut told = json!({
            "section": account.section,
            "tick": account.tick,
            "noise": account.noise,
            "before": account.before.each_ref().map(|features| features.to_vec()),
            "made": account.made.iter().map(|frame| frame.0).collect::<Vec<u32>>(),
            "evaluations": account.evaluations,
            "kv_hits": account.kv_hits,
            "kv_misses": account.kv_misses,
            "slots": slots,
            "recalled": self.recalled,
            "memory_lost": self.lost(),
            "went_back": self.went_back,
        });
        if !account.bearings.is_empty() {
            told["bearings"] = json!(account.bearings);
        }
        if !account.places.is_empty() {
            told["places"] = json!(account.places);
        }
        told
    }

    fn lineage(&self) -> Lineage {
        let account = self.dreamer.account();
        let slots = account.plan.iter().flat_map(|plan| &plan.slots);
        let frames = slots.flat_map(|slot| slot.group.frames.iter().copied());
        let warm = self.dreamer.history().warm();
        let past = frames.filter_map(|frame| {
            let record = warm.peek(frame)?;
            let (action, latent) = (Arc::clone(&record.action), Arc::clone(&record.latent));
            Some(PastFrame { name: frame.0, action, latent })
        });
        Lineage { made: account.made.iter().map(|frame| frame.0).collect(), past: past.collect() }
    }
}
