//! Ways against drift held against each other: `oneiro bench drift` (FramePack Tables 1 and 2).
//!
//! Every arm makes the same videos, from the same real beginnings under the same real actions with the same noise, by one
//! network and one sampler; arms differ in plans, orders, masks and the noise of history ([`arm`]). Some can be made
//! of any world; others, and all for a fair comparison, have weights of their own, trained on from one checkpoint for
//! as many samples (`assets/configs/drift`, [`worlds`]). What a video is like at its beginning and at its end is measured
//! ([`score`], [`metrics`]), kept ([`mod@unit`]) and put into tables and plots ([`report`]).

pub mod arm;
pub mod metrics;
mod plot;
pub mod report;
pub mod score;
pub mod table1;
pub mod unit;
pub mod worlds;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use engine::codebook::Codebook;
use engine::noise::Random;
use engine::video::Video;
use engine::world::World;
use input::{Episode, VideoWriter};

use super::held::{Held, Start, StartRule};
use super::metric::Picture;
use super::some_starts;
use crate::clock::Clock;
use crate::compare;
use crate::cores;
use crate::ledger::Ledger;

use arm::Arm;
use metrics::{Networks, Weights};
use report::Report;
use score::Series;
use unit::{FORMAT, Header, Key, Unit, read_all};
use worlds::{Trained, Worlds};

/// Folder of the videos, one for each arm in it: what `oneiro compare` asks about.
const FILMS: &str = "films";

/// Options of `bench drift`.
#[derive(Args, Clone, Debug)]
pub struct DriftArgs {
    /// Folder of the world, or the name of one that came with the program
    #[arg(long, value_name = "WORLD", default_value = "doom-rooms")]
    pub world: PathBuf,
    /// Held-out play: .npz clips, sessions, a public data set, or a folder of them
    #[arg(long, value_name = "DIR")]
    pub episodes: PathBuf,
    /// Arms, such as `vanilla,discrete@64,noise@0.5`, schedules among them [default: those with worlds of their own,
    /// or where there are none all that need no training]
    #[arg(long, value_name = "ARMS", value_delimiter = ',')]
    pub arms: Vec<Arm>,
    /// Add the schedules of FramePack's Table 1; those with +D take a world with words: --arm NAME=WORLD
    #[arg(long)]
    pub table1: bool,
    /// An arm with the world that was trained for it; may be given again
    #[arg(long = "arm", value_name = "ARM=WORLD")]
    pub trained: Vec<Trained>,
    /// A metric that is a network, and its weights: lpips=FILE.safetensors
    #[arg(long = "metric", value_name = "NAME=FILE")]
    pub metrics: Vec<Weights>,
    /// Beginnings of videos
    #[arg(long, value_name = "N", default_value_t = 32,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub starts: u32,
    /// Length of a video
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = parse_seconds)]
    pub seconds: f64,
    /// Real frames before each
    #[arg(long, value_name = "N", default_value_t = 32,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub history: u32,
    /// Evaluations of the network for each section [default: the world's own]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub steps: Option<u32>,
    /// Seed of the choice of beginnings and of the noise
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Play that words of `discrete@K` are fitted to: what the world was trained on
    #[arg(long, value_name = "DIR")]
    pub words_from: Option<PathBuf>,
    /// Write the videos of the first N beginnings, too, into a folder for each arm
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub films: usize,
    /// Make only every Nth of the videos, beginning with the Ith: run the others elsewhere and put their files
    /// into one folder
    #[arg(long, value_name = "I/N", default_value = "1/1")]
    pub shard: Shard,
    /// Folder for what is measured and the report; a run found there goes on
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// A part of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which part, from 1.
    pub number: usize,
    /// Parts in all.
    pub of: usize,
}

impl Shard {
    /// Whether the video of a beginning in an arm falls to it, both by number. Each shard has some of every arm, for some
    /// arms take several times as long as others.
    fn has(self, start: usize, arm: usize) -> bool {
        (start + arm) % self.of + 1 == self.number
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(number, of)| {
            let (number, of) = (number.parse().ok()?, of.parse().ok()?);
            (number >= 1 && number <= of && of <= 10_000).then_some(Self { number, of })
        });
        parts.ok_or_else(|| "expected a part of the whole, such as 2/4".to_owned())
    }
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.5..=3600.0).contains(seconds));
    seconds.ok_or_else(|| "expected seconds from 0.5 to 3600".to_owned())
}

/// Makes the videos that are missing, and reports on all that there are.
///
/// # Errors
/// When the world or the episodes cannot be read, an arm cannot be made, or a file cannot be written.
pub fn run(args: &DriftArgs) -> Result<Report> {
    let worlds = Worlds::open(&args.world, &args.trained)?;
    let world = &worlds.shared;
    let networks = Networks::open(&args.metrics, &world.device)?;
    let size = (u32::try_from(world.config.width)?, u32::try_from(world.config.height)?);
    let held = Held::read_sized(&args.episodes, Some(size))?;
    ensure!(
        held.layout == world.config.layout,
        "expected episodes with the actions of the world, got others in {}",
        args.episodes.display()
    );
    let frames = super::drift::frames_in(args.seconds / 60.0, held.fps).max(2);
    let rule = StartRule {
        count: args.starts as usize,
        history: args.history as usize,
        horizon: frames,
        seed: args.seed,
    };
    let starts = some_starts(held.moving_starts(rule), "a beginning of a video")?;
    let header = Header {
        format: FORMAT.to_owned(),
        world: world.config.title.clone(),
        schedule: world.config.schedule.clone(),
        evaluations: args.steps.unwrap_or(world.config.evaluations),
        fps: held.fps,
        frames,
        history: args.history as usize,
        seed: args.seed,
        metrics: networks.hashes(),
    };
    fs::create_dir_all(&args.out).with_context(|| format!("create {}", args.out.display()))?;
    let work = Work { args, worlds, networks, held, header };
    work.fill(&starts)?;
    let units = read_all(&args.out, &work.header)?;
    let mut report = Report::new(work.header, &units, args.seed);
    let votes = args.out.join(FILMS).join(compare::VOTES);
    if votes.is_file() {
        report = report.with_votes(&compare::votes::read(&votes)?);
    }
    report.write(&args.out)?;
    Ok(report)
}

/// Everything that the videos of a run share.
struct Work<'a> {
    args: &'a DriftArgs,
    worlds: Worlds,
    networks: Networks,
    held: Held,
    header: Header,
}

/// One video that is wanted.
struct Wanted {
    arm: Arm,
    start: Start,
    /// Whether it is written out.
    filmed: bool,
}

/// A video that was made.
struct Dreamed {
    /// Its pictures, RGB, row by row.
    pictures: Vec<Vec<u8>>,
    /// Whether it is of the map, where the arm asks for that.
    on_map: Option<bool>,
}

impl Work<'_> {
    /// Makes what is missing of this shard, the videos of one beginning after each other.
    fn fill(&self, starts: &[Start]) -> Result<()> {
        let shard = self.args.shard;
        let Shard { number, of } = shard;
        let path = self.args.out.join(format!("units.{number}-of-{of}.jsonl"));
        let (mut ledger, mine) = Ledger::open(&path, &self.header)?;
        let others = read_all(&self.args.out, &self.header)?;
        let wanted = self.wanted(starts)?;
        let known = mine.iter().chain(&others);
        let known: BTreeMap<&Key, &Unit> = known.map(|unit| (&unit.key, unit)).collect();
        for one in &wanted {
            let weights = &self.worlds.of(&one.arm).hash;
            let other = known.get(&self.key(one)).filter(|unit| unit.weights != *weights);
            ensure!(
                other.is_none(),
                "expected videos of {} by the weights of its world, got some by others in {}; choose another --out",
                one.arm,
                self.args.out.display()
            );
        }
        let arms = self.arms().len().max(1);
        let all = wanted.into_iter().enumerate();
        let own = all.filter(|(at, _)| shard.has(at / arms, at % arms)).map(|(_, wanted)| wanted);
        let missing: Vec<Wanted> = own.filter(|one| !known.contains_key(&self.key(one))).collect();
        let words = self.fit_words(missing.iter().map(|one| &one.arm))?;
        let bar = super::progress(missing.len(), "videos");
        let mut reel = self.held.reel();
        for one in &missing {
            let words = words.iter().find(|(count, _)| Some(*count) == one.arm.words());
            let episode = reel.episode(one.start)?;
            let told = || format!("{} from frame {}", one.arm, one.start.frame);
            ledger.add(&self.measure(one, episode, words.map(|(_, w)| w)).with_context(told)?)?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn wanted(&self, starts: &[Start]) -> Result<Vec<Wanted>> {
        let arms = self.arms();
        for arm in &arms {
            let world = self.worlds.of(arm);
            let words = world.codebook.as_ref().map(Codebook::words);
            arm.check(&world.config, words, world.shown_atlas().is_some())
                .with_context(|| format!("give {arm} a world of its own by --arm {arm}=WORLD"))?;
            arm.way(&world.schedule, None, 0)?;
        }
        let of_start = |(number, start): (usize, &Start)| {
            let filmed = number < self.args.films;
            let start = *start;
            let wanted = |arm: &Arm| Wanted { arm: arm.clone(), start, filmed };
            arms.iter().map(wanted).collect::<Vec<_>>()
        };
        Ok(starts.iter().enumerate().flat_map(of_start).collect())
    }

    /// The arms that were asked for, each once.
    fn arms(&self) -> Vec<Arm> {
        let DriftArgs { arms, trained, table1, .. } = self.args;
        if arms.is_empty() && trained.is_empty() && !table1 {
            let world = &self.worlds.shared;
            let can = |arm: &Arm| match arm {
                Arm::Discrete(None) => world.codebook.is_some(),
                Arm::Map => world.shown_atlas().is_some(),
                _ => true,
            };
            return Arm::ALL.into_iter().filter(can).collect();
        }
        let game = if arms.is_empty() { Some(Arm::Game) } else { None };
        let own = trained.iter().map(|trained| trained.arm.clone());
        let named = table1::NAMES.iter().filter(|_| *table1);
        let named = named.map(|name| Arm::Named(name.parse().expect("the names are tested")));
        let mut all: Vec<Arm> = Vec::new();
        for arm in game.into_iter().chain(arms.iter().cloned()).chain(own).chain(named) {
            if !all.contains(&arm) {
                all.push(arm);
            }
        }
        all
    }

    fn key(&self, wanted: &Wanted) -> Key {
        let path = &self.held.episodes[wanted.start.episode].path;
        // Episodes of two folders may have one name; where one file is all, its own name is left.
        let inside = path.strip_prefix(&self.args.episodes).unwrap_or(path);
        let inside = if inside.as_os_str().is_empty() { path } else { inside };
        let episode = inside.with_extension("").to_string_lossy().replace(MAIN_SEPARATOR, "/");
        Key { arm: wanted.arm.to_string(), episode, start: wanted.start.frame }
    }

    /// Codebooks of the numbers of words that arms ask for, each fitted once.
    fn fit_words<'b>(&self, arms: impl Iterator<Item = &'b Arm>) -> Result<Vec<(usize, Codebook)>> {
        // A world that was trained for the arm has its own.
        let fitted = |arm: &&Arm| {
            let own = self.worlds.of(arm).codebook.as_ref().map(Codebook::words);
            own != arm.words()
        };
        let counts: BTreeSet<usize> = arms.filter(fitted).filter_map(Arm::words).collect();
        if counts.is_empty() {
            return Ok(Vec::new());
        }
        let from = self.args.words_from.as_deref();
        let from = from.context("expected --words-from DIR to fit the words of discrete@K to")?;
        let world = &self.worlds.shared;
        let latents = latents(world, from)?;
        let channels = world.config.model.channels;
        let fit = |count| {
            let draw = |random: &mut Random| latents[random.below(latents.len())].clone();
            (count, Codebook::fit(count, channels, self.args.seed, draw))
        };
        Ok(counts.into_iter().map(fit).collect())
    }

    fn measure(
        &self,
        wanted: &Wanted,
        episode: &Episode,
        words: Option<&Codebook>,
    ) -> Result<Unit> {
        let (clock, first) = (Clock::real(), wanted.start.frame + 1);
        let began = clock.now();
        let frames = self.header.frames;
        let real: Vec<&[u8]> = (first..first + frames).map(|t| episode.frame(t)).collect();
        let dreamed = self.dream(wanted, episode, words)?;
        let took = (clock.now() - began).as_secs_f64();
        let frames: Vec<&[u8]> = match &dreamed {
            Some(dreamed) => dreamed.pictures.iter().map(Vec::as_slice).collect(),
            None => real.clone(),
        };
        if wanted.filmed {
            self.film(wanted, &frames)?;
        }
        let width = self.held.width;
        let frames: Vec<_> = frames.iter().map(|frame| Picture::new(frame, width)).collect();
        let real: Vec<_> = real.iter().map(|frame| Picture::new(frame, width)).collect();
        let mut series = BTreeMap::new();
        for measure in self.header.measures() {
            let values = self.networks.values(measure, &frames, &real)?;
            series.insert(measure, Series::of(&values, self.held.fps));
        }
        let weights = self.worlds.of(&wanted.arm).hash.clone();
        let on_map = dreamed.as_ref().and_then(|dreamed| dreamed.on_map);
        Ok(Unit { key: self.key(wanted), weights, series, on_map, took })
    }

    /// A video; nothing for the game's own.
    fn dream(
        &self,
        wanted: &Wanted,
        episode: &Episode,
        words: Option<&Codebook>,
    ) -> Result<Option<Dreamed>> {
        let world = self.worlds.of(&wanted.arm);
        let way = wanted.arm.way(&world.schedule, words, self.args.seed)?;
        let Some(mut way) = way else { return Ok(None) };
        way.options.evaluations = Some(self.header.evaluations);
        let history = self.header.history;
        let (known, frames) =
            (u32::try_from(history)?, u32::try_from(history + self.header.frames)?);
        let length = u32::try_from(way.options.schedule.generate())?;
        let mut video = Video::new(Arc::clone(world), frames, way.options)?;
        let first = wanted.start.frame + 1 - history;
        for (at, t) in (0..frames).zip(first..) {
            video.tell(at, &episode.actions[t])?;
            if at < known {
                video.give(at, episode.frame(t))?;
            }
        }
        let mut on_map = None;
        if wanted.arm == Arm::Map {
            let shown = first..first + history;
            let begin: Vec<&[u8]> = shown.clone().map(|t| episode.frame(t)).collect();
            let poses = episode.poses.as_ref().map_or(&[][..], |poses| &poses[shown]);
            on_map = Some(video.open_on_map(known - 1, &begin, poses)?);
        }
        for section in way.order.sections(video.known(), 0..frames, length) {
            cores::awake(|| video.make(section))?;
        }
        let picture = |at| cores::awake(|| video.picture(at))?.context("every frame was made");
        let pictures = (known..frames).map(picture).collect::<Result<_>>()?;
        Ok(Some(Dreamed { pictures, on_map }))
    }

    fn film(&self, wanted: &Wanted, frames: &[&[u8]]) -> Result<()> {
        let Key { arm, episode, start } = self.key(wanted);
        let dir = self.args.out.join(FILMS).join(arm);
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        let path = dir.join(format!("{}_{start}.mp4", episode.replace('/', "_")));
        let (width, height) = (u32::try_from(self.held.width)?, u32::try_from(self.held.height)?);
        let mut writer = VideoWriter::create(&path, width, height, self.held.fps)?;
        frames.iter().try_for_each(|frame| writer.push(frame))?;
        Ok(writer.finish()?)
    }
}

/// Latents of some frames of every episode in a folder: (C, H, W) each.
fn latents(world: &World, dir: &Path) -> Result<Vec<Vec<f32>>> {
    /// Frames between two that are taken: neighbours say the same.
    const APART: usize = 8;
    let config = &world.config;
    let (width, height) = (u32::try_from(config.width)?, u32::try_from(config.height)?);
    let paths = input::episodes_in(dir)?;
    let bar = super::progress(paths.len(), "episodes encoded");
    let mut latents = Vec::new();
    for path in &paths {
        let episode = Episode::open_sized(path, width, height)?;
        for t in (0..episode.len()).step_by(APART) {
            let latent = world.codec.encode(episode.frame(t), config.height, config.width)?;
            latents.push(latent.flatten_all()?.to_vec1::<f32>()?);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    ensure!(!latents.is_empty(), "expected recorded play, got none in {}", dir.display());
    Ok(latents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_parts_of_a_whole() {
        assert_eq!("2/4".parse(), Ok(Shard { number: 2, of: 4 }));
        for wrong in ["", "2", "0/4", "5/4", "1/0", "a/b", "1/99999"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_shard_has_some_of_every_arm() {
        let of = 4;
        for arm in 0..6 {
            for start in 0..8 {
                let shards = (1..=of).filter(|&number| Shard { number, of }.has(start, arm));
                assert_eq!(shards.count(), 1, "one shard makes each video");
            }
            for number in 1..=of {
                let own = (0..8).filter(|&start| Shard { number, of }.has(start, arm));
                assert_eq!(own.count(), 2, "arm {arm}, shard {number}");
            }
        }
    }
}
