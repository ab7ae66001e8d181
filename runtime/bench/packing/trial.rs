//! What is dreamed: tasks, and the stretches of recorded play that they are tried on.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use engine::noise::Random;
use input::{Action, ActionLayout, Episode, Pose};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::bench::revisit::{Target, Walk, WalkRule, find_walks};

/// Frames of real history before the first one dreamed, at least: a recent window and as much again several times.
const HISTORY_MIN: usize = 128;
/// The same, at most: a quarter of a minute. Ways back have as much as [`find_walks`] gives them.
const HISTORY_MAX: usize = 256;
/// Trials of one task in one episode, at most.
const PER_EPISODE: usize = 8;
/// Frames between starts in one episode.
const SPACING: usize = 32;
/// Share of the fastest turn that the full turn is made at: slow enough that its beginning leaves the recent window.
const TURN_SHARE: f32 = 0.5;
/// Frames that a section may have, so that the next one is known as far as it goes.
const SECTION_MAX: usize = 16;

/// What is asked of a world.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// The next section from real history.
    Next,
    /// Some seconds from real history, from actions alone.
    Rollout,
    /// Out in real history, back from actions alone; scored where the way back shows again what the way out showed.
    Revisit,
    /// A full turn on the spot, from actions alone; scored against the frame it began from.
    Turn,
}

impl Task {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 4] = [Self::Next, Self::Rollout, Self::Revisit, Self::Turn];

    /// A sentence for tables.
    pub fn title(self) -> &'static str {
        match self {
            Self::Next => "Next section from real history",
            Self::Rollout => "Rollout from actions alone",
            Self::Revisit => "Explore, then return",
            Self::Turn => "Full turn on the spot",
        }
    }
}

impl Task {
    /// What episodes must have for it.
    pub fn needs(self) -> &'static str {
        match self {
            Self::Next | Self::Rollout => "it needs play that moves after 128 frames of history",
            Self::Revisit => "it needs poses, and play that comes back to what it saw",
            Self::Turn => "it needs a moment of standing after 128 frames of history",
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Next => "next",
            Self::Rollout => "rollout",
            Self::Revisit => "revisit",
            Self::Turn => "turn",
        })
    }
}

/// What a trial is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Choosing the weight of nearness in time.
    Validation,
    /// Everything that is reported.
    Test,
}

/// A dreamed frame that is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truth {
    /// Frames after the last real one, from 1.
    pub ahead: usize,
    /// Index in the episode of the frame it is held against.
    pub frame: usize,
    /// Frames since that view was last seen, where it comes back.
    pub gap: Option<usize>,
}

/// One stretch of play.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// What is asked.
    pub task: Task,
    /// What for.
    pub split: Split,
    /// Index of the episode.
    pub episode: usize,
    /// First frame of real history.
    pub first: usize,
    /// The last real frame.
    pub cut: usize,
    /// Frames dreamed, at least.
    pub frames: usize,
    /// What is scored; for the next section its own frames are.
    pub truths: Vec<Truth>,
    /// Whether it is shown in pictures.
    pub shown: bool,
}

/// How long and how far apart.
#[derive(Clone, Copy, Debug)]
pub struct TrialRule {
    /// Trials of each task in each split, at most.
    pub limit: usize,
    /// Frames of a rollout.
    pub rollout: usize,
    /// Frames of a way back.
    pub back: usize,
    /// Least frames between a view and its return.
    pub gap: usize,
}

/// Episodes without their pictures.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// Picture width in pixels.
    pub width: usize,
    /// Picture height in pixels.
    pub height: usize,
    /// Frames per second of play.
    pub fps: f32,
    /// What the actions mean.
    pub layout: ActionLayout,
    /// In the order of their files.
    pub entries: Vec<Entry>,
}

/// One episode.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where its pictures are.
    pub path: PathBuf,
    /// Its path below the folder that was given.
    pub name: String,
    /// One a frame.
    pub actions: Vec<Action>,
    /// One a frame, where the recording has them.
    pub poses: Option<Vec<Pose>>,
}

impl Catalogue {
    /// Reads every episode at or below `dir` once.
    ///
    /// # Errors
    /// When there is none, one cannot be read, or they differ in size, rate or actions.
    pub fn read(dir: &Path) -> Result<Self> {
        let paths = input::episodes_in(dir)?;
        ensure!(!paths.is_empty(), "expected episodes, got none in {}", dir.display());
        let bar = crate::bench::progress(paths.len(), "episodes read");
        let read = |path: PathBuf| {
            let episode = Episode::open(&path)?;
            let below = path.strip_prefix(dir).ok().filter(|below| !below.as_os_str().is_empty());
            let name = below.unwrap_or(&path).to_string_lossy().replace('\\', "/");
            let kind = Self::like(&episode);
            let Episode { actions, poses, .. } = episode;
            bar.inc(1);
            Ok((kind, Entry { path, name, actions, poses }))
        };
        let read: Vec<(Self, Entry)> = paths.into_par_iter().map(read).collect::<Result<_>>()?;
        bar.finish_and_clear();
        let mut catalogue = read[0].0.clone();
        for (kind, entry) in read {
            ensure!(
                kind.is_like(&catalogue),
                "expected {}x{} at {} frames/s and the actions of the first episode, got {}x{} at {} or other actions: {}",
                catalogue.width,
                catalogue.height,
                catalogue.fps,
                kind.width,
                kind.height,
                kind.fps,
                entry.path.display()
            );
            catalogue.entries.push(entry);
        }
        Ok(catalogue)
    }

    fn is_like(&self, other: &Self) -> bool {
        let size = (self.width, self.height, self.fps.to_bits());
        size == (other.width, other.height, other.fps.to_bits()) && self.layout == other.layout
    }

    fn like(episode: &Episode) -> Self {
        Self {
            width: episode.width as usize,
            height: episode.height as usize,
            fps: episode.fps,
            layout: episode.layout.clone(),
            entries: Vec::new(),
        }
    }

    /// The trials of a task: each episode in turn gives one, those of one split to each second episode, so that a
    /// larger limit only adds some. Of a single episode every second trial.
    pub fn trials(&self, task: Task, rule: TrialRule) -> Vec<Trial> {
        let lists: Vec<Vec<Trial>> = (0..self.entries.len())
            .map(|episode| {
                let mut list = self.candidates(task, episode, rule);
                shuffle(&mut list, episode);
                list
            })
            .collect();
        let rounds = lists.iter().map(Vec::len).max().unwrap_or_default();
        let mut taken: Vec<Trial> = Vec::new();
        for round in 0..rounds {
            for list in &lists {
                let Some(mut trial) = list.get(round).cloned() else { continue };
                let parity = if lists.len() > 1 { trial.episode } else { round };
                trial.split = if parity % 2 == 0 { Split::Test } else { Split::Validation };
                let same = taken.iter().filter(|other| other.split == trial.split).count();
                trial.shown = trial.split == Split::Test && same == 0;
                if same < rule.limit {
                    taken.push(trial);
                }
            }
        }
        taken
    }

    fn candidates(&self, task: Task, episode: usize, rule: TrialRule) -> Vec<Trial> {
        let entry = &self.entries[episode];
        let trial = |cut: usize, first: usize, frames: usize, truths: Vec<Truth>| Trial {
            task,
            split: Split::Test,
            episode,
            first,
            cut,
            frames,
            truths,
            shown: false,
        };
        let at = |cut: usize, frames: usize, truths: Vec<Truth>| {
            trial(cut, (cut + 1).saturating_sub(HISTORY_MAX), frames, truths)
        };
        let ahead = |cut: usize, frames: usize| -> Vec<Truth> {
            (1..=frames).map(|ahead| Truth { ahead, frame: cut + ahead, gap: None }).collect()
        };
        match task {
            Task::Next => {
                let cuts = entry.moving(SECTION_MAX);
                cuts.into_iter().map(|cut| at(cut, 1, ahead(cut, SECTION_MAX))).collect()
            }
            Task::Rollout => {
                let cuts = entry.moving(rule.rollout);
                let trial = |cut| at(cut, rule.rollout, ahead(cut, rule.rollout));
                cuts.into_iter().map(trial).collect()
            }
            Task::Revisit => {
                let Some(poses) = &entry.poses else { return Vec::new() };
                let walks =
                    find_walks(poses, WalkRule { gap: rule.gap, dream: rule.back }, PER_EPISODE);
                let walk = |walk: Walk| {
                    let truth = |target: &Target| Truth {
                        ahead: target.frame - walk.cut,
                        frame: target.frame,
                        gap: Some(target.frame - target.seen),
                    };
                    trial(
                        walk.cut,
                        walk.first,
                        walk.dream,
                        walk.targets.iter().map(truth).collect(),
                    )
                };
                walks.into_iter().map(walk).collect()
            }
            Task::Turn => {
                let Some(frames) = self.turn_frames() else { return Vec::new() };
                let end = |cut| vec![Truth { ahead: frames, frame: cut, gap: Some(frames) }];
                entry.standing().into_iter().map(|cut| at(cut, frames, end(cut))).collect()
            }
        }
    }

    /// Frames of a full turn at half the fastest rate; `None` where play cannot turn.
    fn turn_frames(&self) -> Option<usize> {
        let step = self.layout.turn_degrees * TURN_SHARE;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 3600")]
        let frames = (360.0 / step).round() as usize;
        (step >= 0.1 && (2..=3600).contains(&frames)).then_some(frames)
    }

    /// What is done in a trial to reach the frame `ahead` of the last real one, and where that leads.
    pub fn step(&self, trial: &Trial, ahead: usize) -> (Action, Option<Pose>) {
        let entry = &self.entries[trial.episode];
        if trial.task == Task::Turn {
            let degrees = 360.0 / trial.frames as f32;
            let action = Action { turn: degrees / self.layout.turn_degrees, ..Action::NEUTRAL };
            let here = entry.poses.as_ref().map(|poses| poses[trial.cut]);
            // To the right is clockwise, headings count the other way.
            let turned = |pose: Pose| Pose { yaw: pose.yaw - degrees * ahead as f32, ..pose };
            return (action.clamped(), here.map(turned));
        }
        let frame = trial.cut + ahead;
        let action = entry.actions.get(frame).copied().unwrap_or(Action::NEUTRAL);
        let pose = entry.poses.as_ref().and_then(|poses| poses.get(frame).or(poses.last()));
        (action, pose.copied())
    }
}

impl Entry {
    /// Frames with history before and, after, `horizon` frames in which mostly something is done.
    fn moving(&self, horizon: usize) -> Vec<usize> {
        let last = self.actions.len().saturating_sub(horizon + 1);
        let busy = |cut: &usize| {
            let after = &self.actions[cut + 1..=cut + horizon];
            let done = after.iter().filter(|action| **action != Action::NEUTRAL).count();
            2 * done > horizon
        };
        (HISTORY_MIN - 1..last).step_by(SPACING).filter(busy).collect()
    }

    /// Frames with history before at which the player stands.
    fn standing(&self) -> Vec<usize> {
        let stands = |cut: &usize| {
            let still = |action: &Action| action.forward == 0.0 && action.strafe == 0.0;
            let unmoved = self.poses.as_ref().is_none_or(|poses| {
                let (a, b) = (poses[cut - 1], poses[*cut]);
                (a.x, a.y) == (b.x, b.y)
            });
            self.actions[cut - 1..=*cut].iter().all(still) && unmoved
        };
        let mut cuts: Vec<usize> = Vec::new();
        for cut in (HISTORY_MIN - 1..self.actions.len()).filter(stands) {
            if cuts.last().is_none_or(|last| cut - last >= SPACING) {
                cuts.push(cut);
            }
        }
        cuts
    }
}

/// Another order, the same every time, and no more than [`PER_EPISODE`].
fn shuffle(list: &mut Vec<Trial>, episode: usize) {
    let mut random = Random::new(0, episode as u64);
    for at in (1..list.len()).rev() {
        list.swap(at, random.below(at + 1));
    }
    list.truncate(PER_EPISODE);
}
