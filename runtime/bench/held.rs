//! Held-out episodes: what is known of each of their frames, and where rollouts start in them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use input::{Action, ActionLayout, Episode, Pose};

use super::metric::{self, HISTOGRAM_BINS, Picture};
use super::shift::PhaseCorrelation;

/// Cells along the longer side of the grid of positions.
const GRID_CELLS: f64 = 8.0;

/// Frames between two starts in one episode; halved until there are enough starts.
const SPACING: usize = 32;

/// Episodes that no training saw, as figures; their pictures stay in the files.
#[derive(Clone, Debug)]
pub struct Held {
    /// Picture width in pixels.
    pub width: usize,
    /// Picture height in pixels.
    pub height: usize,
    /// Frames per second of play.
    pub fps: f32,
    /// What the actions mean.
    pub layout: ActionLayout,
    /// The episodes, in the order of their files.
    pub episodes: Vec<Survey>,
    /// The mean of all frames, a picture.
    pub mean_frame: Vec<u8>,
}

/// One episode; every list has an entry per frame.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Where its pictures are.
    pub path: PathBuf,
    /// What was done between the frame before and this one.
    pub actions: Vec<Action>,
    /// Where the player was, if that was recorded.
    pub poses: Option<Vec<Pose>>,
    /// Mean absolute difference to the frame before, 0 for the first.
    pub change: Vec<f64>,
    /// Pixels to the right by which the picture moved since the frame before; 0 without a turn.
    pub shift: Vec<i32>,
    /// [`metric::sharpness`].
    pub sharpness: Vec<f64>,
    /// [`metric::histogram`].
    pub histograms: Vec<[f64; HISTOGRAM_BINS]>,
}

/// A frame of an episode that dreaming starts from: the newest one that is real.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Start {
    /// Index in [`Held::episodes`].
    pub episode: usize,
    /// Index of the frame.
    pub frame: usize,
}

/// How many starts are wanted, and what must lie around each.
#[derive(Clone, Copy, Debug)]
pub struct StartRule {
    /// Starts wanted; there are fewer where the episodes hold fewer.
    pub count: usize,
    /// Real frames up to and with the start.
    pub history: usize,
    /// Real frames after it.
    pub horizon: usize,
    /// Which starts of a cell are taken.
    pub seed: u64,
}

impl Held {
    /// Reads every episode at or below `dir` once, at the size of its pictures.
    ///
    /// # Errors
    /// When there is none, one cannot be read, or they differ in size or rate.
    pub fn read(dir: &Path) -> Result<Self> {
        Self::read_sized(dir, None)
    }

    /// Reads every episode at or below `dir` once, its pictures brought to this size where there is one.
    ///
    /// # Errors
    /// When there is none, one cannot be read, or they differ in rate or actions.
    pub fn read_sized(dir: &Path, size: Option<(u32, u32)>) -> Result<Self> {
        let paths = input::episodes_in(dir)?;
        ensure!(
            !paths.is_empty(),
            "expected recorded play (.npz clips, sessions, or a public data set), got none in {}",
            dir.display()
        );
        let bar = super::progress(paths.len(), "episodes read");
        let mut sums: Vec<u64> = Vec::new();
        let mut held: Option<Self> = None;
        for path in paths {
            let episode = match size {
                Some((width, height)) => Episode::open_sized(&path, width, height)?,
                None => Episode::open(&path)?,
            };
            let held = held.get_or_insert_with(|| Self::like(&episode));
            held.check(&episode, &path)?;
            sums.resize(episode.frame_bytes(), 0);
            for frame in episode.frames() {
                sums.iter_mut().zip(frame).for_each(|(sum, &byte)| *sum += u64::from(byte));
            }
            held.episodes.push(Survey::of(&episode, path));
            bar.inc(1);
        }
        bar.finish_and_clear();
        let mut held = held.context("expected at least one episode")?;
        let frames: usize = held.episodes.iter().map(|survey| survey.actions.len()).sum();
        let mean = |sum: u64| u8::try_from(sum / frames as u64).unwrap_or(u8::MAX);
        held.mean_frame = sums.into_iter().map(mean).collect();
        Ok(held)
    }

    fn like(episode: &Episode) -> Self {
        Self {
            width: episode.width as usize,
            height: episode.height as usize,
            fps: episode.fps,
            layout: episode.layout.clone(),
            episodes: Vec::new(),
            mean_frame: Vec::new(),
        }
    }

    fn check(&self, episode: &Episode, path: &Path) -> Result<()> {
        let size = (episode.width as usize, episode.height as usize);
        ensure!(
            size == (self.width, self.height),
            "expected pictures of {}x{} as in the first episode, got {}x{}: {}",
            self.width,
            self.height,
            size.0,
            size.1,
            path.display()
        );
        ensure!(
            episode.fps.to_bits() == self.fps.to_bits() && episode.layout == self.layout,
            "expected the frame rate and the actions of the first episode, got others: {}",
            path.display()
        );
        Ok(())
    }

    /// Starts with more motion in their next `horizon` frames than the median start has, spread
    /// evenly over a grid of positions (over time where no pose was recorded), in file order.
    pub fn moving_starts(&self, rule: StartRule) -> Vec<Start> {
        let motion = |start: Start| {
            let change = &self.episodes[start.episode].change;
            metric::mean(&change[start.frame + 1..=start.frame + rule.horizon])
        };
        let all = self.possible_starts(rule);
        let motions: Vec<f64> = all.iter().map(|&start| motion(start)).collect();
        let median = metric::percentile(&motions, 0.5);
        let moving =
            all.into_iter().zip(motions).filter(|(_, motion)| *motion > median).map(|(s, _)| s);
        self.spread(moving.collect(), rule)
    }

    /// Every frame with enough real ones on both sides.
    pub fn possible_starts(&self, rule: StartRule) -> Vec<Start> {
        let first = rule.history.max(1) - 1;
        let frames = |episode: usize| {
            let end = self.episodes[episode].actions.len().saturating_sub(rule.horizon);
            (first..end).map(move |frame| Start { episode, frame })
        };
        (0..self.episodes.len()).flat_map(frames).collect()
    }

    /// At most `rule.count` of the candidates: one of each cell in turn, so that a room passed
    /// once counts as much as one stayed in, and neighbours in time only when there is no choice.
    pub fn spread(&self, candidates: Vec<Start>, rule: StartRule) -> Vec<Start> {
        let mut cells = self.cells(candidates);
        for (at, cell) in cells.iter_mut().enumerate() {
            let salt = mix(rule.seed ^ mix(at as u64));
            cell.sort_by_key(|start| mix(salt ^ mix(start.episode as u64) ^ start.frame as u64));
        }
        cells.sort_by_key(|cell| mix(rule.seed ^ cell.first().map_or(0, |s| s.frame as u64)));

        let mut taken: Vec<Start> = Vec::new();
        let mut spacing = SPACING;
        while spacing > 0 && taken.len() < rule.count {
            take_in_turn(&cells, spacing, rule.count, &mut taken);
            spacing /= 2;
        }
        taken.sort_unstable();
        taken
    }

    /// The candidates by the square of the map that they lie on, squares without any left out.
    fn cells(&self, candidates: Vec<Start>) -> Vec<Vec<Start>> {
        let place = |start: &Start| {
            let poses = self.episodes[start.episode].poses.as_ref()?;
            let pose = poses.get(start.frame)?;
            Some([f64::from(pose.x), f64::from(pose.y)])
        };
        let places: Vec<[f64; 2]> = candidates.iter().filter_map(place).collect();
        let low = [0, 1].map(|axis| places.iter().map(|p| p[axis]).fold(f64::INFINITY, f64::min));
        let high =
            [0, 1].map(|axis| places.iter().map(|p| p[axis]).fold(f64::NEG_INFINITY, f64::max));
        let side = (high[0] - low[0]).max(high[1] - low[1]).max(f64::MIN_POSITIVE) / GRID_CELLS;
        let mut cells = std::collections::BTreeMap::<_, Vec<Start>>::new();
        for start in candidates {
            // An order for whole numbers in floats; bits of numbers that are not negative have it.
            let cell = place(&start).map(|place| {
                [0, 1].map(|axis| ((place[axis] - low[axis]) / side).floor().to_bits())
            });
            cells.entry(cell).or_default().push(start);
        }
        cells.into_values().collect()
    }

    /// A reader of pictures.
    pub fn reel(&self) -> Reel<'_> {
        Reel { held: self, open: None }
    }

    /// A picture of the size of the episodes.
    ///
    /// # Errors
    /// When `pixels` are not that many: a world of another size.
    pub fn picture<'a>(&self, pixels: &'a [u8]) -> Result<Picture<'a>> {
        ensure!(
            pixels.len() == self.width * self.height * 3,
            "expected pictures of {}x{} as in the episodes, got {} bytes from the world",
            self.width,
            self.height,
            pixels.len()
        );
        Ok(Picture::new(pixels, self.width))
    }
}

impl Survey {
    fn of(episode: &Episode, path: PathBuf) -> Self {
        let width = episode.width as usize;
        let mut survey = Self {
            path,
            actions: episode.actions.clone(),
            poses: episode.poses.clone(),
            change: vec![0.0],
            shift: vec![0],
            sharpness: Vec::new(),
            histograms: Vec::new(),
        };
        let correlation = PhaseCorrelation::new(width, episode.height as usize);
        for t in 0..episode.len() {
            let picture = Picture::new(episode.frame(t), width);
            survey.sharpness.push(metric::sharpness(picture));
            survey.histograms.push(metric::histogram(picture));
            if t > 0 {
                let before = Picture::new(episode.frame(t - 1), width);
                let turns = episode.actions[t].turn != 0.0;
                survey.change.push(metric::change(before, picture));
                survey.shift.push(if turns { correlation.shift(before, picture).0 } else { 0 });
            }
        }
        survey
    }
}

/// Reads pictures of held-out episodes, keeping one episode open.
#[derive(Debug)]
pub struct Reel<'a> {
    held: &'a Held,
    open: Option<(usize, Episode)>,
}

impl Reel<'_> {
    /// The episode of a start; the one asked for last costs nothing.
    ///
    /// # Errors
    /// When the file cannot be read any more, or has changed.
    pub fn episode(&mut self, start: Start) -> Result<&Episode> {
        let survey = &self.held.episodes[start.episode];
        let episode = match self.open.take() {
            Some((index, episode)) if index == start.episode => episode,
            _ => {
                let (width, height) = (self.held.width, self.held.height);
                Episode::open_sized(&survey.path, u32::try_from(width)?, u32::try_from(height)?)?
            }
        };
        ensure!(
            episode.len() == survey.actions.len(),
            "expected {} frames as before, got {}: {}",
            survey.actions.len(),
            episode.len(),
            survey.path.display()
        );
        Ok(&self.open.insert((start.episode, episode)).1)
    }
}

/// Takes from each cell in turn its next start that lies `spacing` frames from all taken ones,
/// until there are `count` or no cell has one left.
fn take_in_turn(cells: &[Vec<Start>], spacing: usize, count: usize, taken: &mut Vec<Start>) {
    let mut left: Vec<_> = cells.iter().map(|cell| cell.iter()).collect();
    loop {
        let before = taken.len();
        for cell in &mut left {
            let far = |start: &&Start| {
                taken.iter().all(|other| {
                    other.episode != start.episode || other.frame.abs_diff(start.frame) >= spacing
                })
            };
            if taken.len() < count
                && let Some(&start) = cell.find(far)
            {
                taken.push(start);
            }
        }
        if taken.len() == before {
            return;
        }
    }
}

/// The finaliser of `SplitMix64` (Steele, Lea and Flood 2014): an order that is the same on every
/// machine.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}
