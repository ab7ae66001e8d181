//! Whether minutes of random play still look and move like the game.
//!
//! A frame looks real when its sharpness, and the distance of its colours from the mean real
//! histogram, both lie within the 1st and 99th percentile of held-out frames. It moves like the game
//! when, over the last four seconds, what changed in the picture on ticks with a turn is at least
//! half of what the game changes on average under actions alike. Ticks that only walk are measured
//! but do not decide, since random play walks into walls, where the game stands still as well.
//! Held-out play itself, scored by the same rules, stands beside the world's figures, and so does random play of the game, where
//! it was recorded: who walks into walls sees pictures, in the game too, that those who mind their way do not.

use anyhow::Result;
use input::{Action, Controller};
use serde::Serialize;

use super::held::Held;
use super::metric::{self, HISTOGRAM_BINS};
use super::{Bench, some_starts};

/// Share of the real change that counts as movement.
const CHANGE_MIN: f64 = 0.5;

/// Seconds over which change is averaged: single frames of the game stand still at a wall, too.
const WINDOW_S: f64 = 4.0;

/// Upper bounds of the classes of turning speed, as parts of the fastest.
const TURN_CLASSES: [f32; 6] = [0.05, 0.15, 0.3, 0.45, 0.6, 0.8];

/// Walking slower than this is standing.
const WALK_MIN: f32 = 0.3;

/// Fewer real frames of a class than this say nothing, and nothing is asked of it.
const CLASS_MIN: usize = 30;

/// Classes of action: speeds of turning, walking or not.
const CLASSES: usize = (TURN_CLASSES.len() + 1) * 2;

/// What random play looks like.
#[derive(Clone, Debug, Serialize)]
pub struct Drift {
    /// The world's frames.
    pub dream: Shares,
    /// What the views of the world's atlas show on the way, without the network; none where they cannot be warped.
    pub atlas: Option<Shares>,
    /// Held-out frames, by the same rules.
    pub game: Shares,
    /// The game's own random play, where it was recorded, by the same rules.
    pub game_random: Option<Shares>,
    /// Share of frames that pass everything in each tenth of the play, first to last.
    pub tenths: Vec<f64>,
}

/// Shares of frames, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Shares {
    /// Frames scored.
    pub frames: usize,
    /// As sharp as real ones.
    pub sharpness: f64,
    /// Coloured like real ones.
    pub colour: f64,
    /// Moving like real ones, of those that had to turn in the last four seconds.
    pub movement: f64,
    /// All of these, where they apply.
    pub all: f64,
    /// Mean change of the picture on ticks with a turn, over that of held-out play under actions
    /// alike; 0 where there were none.
    pub turning_change: f64,
    /// The same on ticks that only walk.
    pub walking_change: f64,
}

/// Frames in so many minutes of play.
pub fn frames_in(minutes: f64, fps: f32) -> usize {
    let wanted = minutes * 60.0 * f64::from(fps);
    // Days of play at any rate fit; a search says it without a cast.
    (0..usize::BITS).rev().fold(0, |low, bit| {
        let next = low | 1_usize << bit;
        if next as f64 <= wanted { next } else { low }
    })
}

/// What real frames are like.
#[derive(Clone, Debug)]
struct Norm {
    sharpness: [f64; 2],
    colour: [f64; 2],
    histogram: [f64; HISTOGRAM_BINS],
    /// Mean change of the picture by class of action; 0 where too little is known of it.
    change: [f64; CLASSES],
    /// Frames of [`WINDOW_S`].
    window: usize,
}

/// One frame, judged.
#[derive(Clone, Copy, Debug)]
struct Verdict {
    sharpness: bool,
    colour: bool,
    /// Nothing where no turn was asked for.
    movement: Option<bool>,
}

impl Verdict {
    fn all(self) -> bool {
        self.sharpness && self.colour && self.movement != Some(false)
    }
}

/// One frame, measured.
#[derive(Clone, Copy, Debug)]
struct Sight<'a> {
    action: &'a Action,
    change: f64,
    sharpness: f64,
    histogram: &'a [f64; HISTOGRAM_BINS],
}

/// Plays `frames` frames, steered by `controller`, in one go from one start, and judges them; `random` is the game's own.
///
/// # Errors
/// When the episodes hold no start or cannot be read, or the world fails.
pub fn measure(
    bench: &mut Bench<'_>,
    controller: &mut dyn Controller,
    frames: usize,
    random: Option<&Held>,
) -> Result<Drift> {
    let norm = Norm::of(bench.held);
    let starts = some_starts(bench.held.moving_starts(bench.rule(1)), "a start")?;
    let mut reel = bench.held.reel();
    let episode = reel.episode(starts[0])?;
    bench.begin(episode, starts[0])?;
    let first = episode.frame(starts[0].frame);
    let bar = super::progress(frames, "frames of random play");
    let [mut dream, mut atlas] = [(); 2].map(|()| Watched::from(first, &norm));
    for _ in 0..frames {
        let action = controller.poll();
        let frame = bench.next(&action)?;
        // No map tells it anything: the game would not either.
        controller.see(&frame, None);
        dream.see(bench.held, &action, frame)?;
        if let Some(frame) = bench.model.shown_by_atlas()? {
            atlas.see(bench.held, &action, frame)?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let (dream, atlas) = (dream.judge, atlas.judge);
    let share = |tenth: &[Verdict]| part(tenth, |verdict| verdict.all());
    let tenths = dream.verdicts.chunks(frames.div_ceil(10).max(1)).map(share).collect();
    let atlas = (!atlas.verdicts.is_empty()).then(|| atlas.shares());
    let game_random = random.map(|random| game(random, &norm));
    let game = game(bench.held, &norm);
    Ok(Drift { dream: dream.shares(), atlas, game, game_random, tenths })
}

/// Frames that follow each other, judged as they come.
struct Watched<'a> {
    before: Vec<u8>,
    judge: Judge<'a>,
}

impl<'a> Watched<'a> {
    fn from(first: &[u8], norm: &'a Norm) -> Self {
        Self { before: first.to_vec(), judge: Judge::new(norm) }
    }

    fn see(&mut self, held: &Held, action: &Action, frame: Vec<u8>) -> Result<()> {
        let picture = held.picture(&frame)?;
        self.judge.see(Sight {
            action,
            change: metric::change(held.picture(&self.before)?, picture),
            sharpness: metric::sharpness(picture),
            histogram: &metric::histogram(picture),
        });
        self.before = frame;
        Ok(())
    }
}

/// Recorded play by the rules.
fn game(held: &Held, norm: &Norm) -> Shares {
    let mut judge = Judge::new(norm);
    for survey in &held.episodes {
        judge.moved.clear();
        for t in 1..survey.actions.len() {
            judge.see(Sight {
                action: &survey.actions[t],
                change: survey.change[t],
                sharpness: survey.sharpness[t],
                histogram: &survey.histograms[t],
            });
        }
    }
    judge.shares()
}

fn part(verdicts: &[Verdict], test: fn(&Verdict) -> bool) -> f64 {
    verdicts.iter().filter(|verdict| test(verdict)).count() as f64 / verdicts.len().max(1) as f64
}

/// The class of an action: 0 stands still, 1 only walks.
fn class(action: &Action) -> usize {
    let turn = TURN_CLASSES.iter().filter(|&&bound| action.turn.abs() >= bound).count();
    let walks = action.forward.hypot(action.strafe) >= WALK_MIN;
    turn * 2 + usize::from(walks)
}

impl Norm {
    fn of(held: &Held) -> Self {
        let surveys = &held.episodes;
        let bounds = |values: &[f64]| [0.01, 0.99].map(|part| metric::percentile(values, part));
        let sharpness: Vec<f64> =
            surveys.iter().flat_map(|s| s.sharpness.iter().copied()).collect();
        let frames = sharpness.len().max(1) as f64;
        let mut histogram = [0.0; HISTOGRAM_BINS];
        for one in surveys.iter().flat_map(|survey| &survey.histograms) {
            histogram.iter_mut().zip(one).for_each(|(sum, share)| *sum += share / frames);
        }
        let distance = |one| metric::histogram_distance(one, &histogram);
        let colour: Vec<f64> =
            surveys.iter().flat_map(|s| s.histograms.iter().map(distance)).collect();
        Self {
            sharpness: bounds(&sharpness),
            colour: bounds(&colour),
            histogram,
            change: Self::changes(held),
            window: frames_in(WINDOW_S / 60.0, held.fps).max(1),
        }
    }

    fn changes(held: &Held) -> [f64; CLASSES] {
        let mut classes = [const { Vec::new() }; CLASSES];
        for survey in &held.episodes {
            for (action, &change) in survey.actions.iter().zip(&survey.change).skip(1) {
                classes[class(action)].push(change);
            }
        }
        classes.map(|class| if class.len() < CLASS_MIN { 0.0 } else { metric::mean(&class) })
    }
}

/// Judges frames in their order.
struct Judge<'a> {
    norm: &'a Norm,
    /// Change seen and change expected of each frame so far, both 0 where none turned.
    moved: Vec<[f64; 2]>,
    /// Sums of the same over ticks that only walk, and over those with a turn.
    totals: [[f64; 2]; 2],
    verdicts: Vec<Verdict>,
}

impl<'a> Judge<'a> {
    fn new(norm: &'a Norm) -> Self {
        Self { norm, moved: Vec::new(), totals: [[0.0; 2]; 2], verdicts: Vec::new() }
    }

    fn see(&mut self, sight: Sight<'_>) {
        self.count(class(sight.action), sight.change);
        let recent = &self.moved[self.moved.len().saturating_sub(self.norm.window)..];
        let [seen, expected] = [0, 1].map(|i| recent.iter().map(|both| both[i]).sum::<f64>());
        let within = |value: f64, [low, high]: [f64; 2]| low <= value && value <= high;
        let distance = metric::histogram_distance(sight.histogram, &self.norm.histogram);
        self.verdicts.push(Verdict {
            sharpness: within(sight.sharpness, self.norm.sharpness),
            colour: within(distance, self.norm.colour),
            movement: (expected > 0.0).then_some(seen >= CHANGE_MIN * expected),
        });
    }

    fn count(&mut self, class: usize, change: f64) {
        let expected = self.norm.change[class];
        let known = expected > 0.0 && class > 0;
        let turns = class > 1;
        self.moved.push(if known && turns { [change, expected] } else { [0.0; 2] });
        if known {
            let total = &mut self.totals[usize::from(turns)];
            *total = [total[0] + change, total[1] + expected];
        }
    }

    fn shares(&self) -> Shares {
        let turned: Vec<Verdict> =
            self.verdicts.iter().copied().filter(|verdict| verdict.movement.is_some()).collect();
        let [walking_change, turning_change] =
            self.totals.map(|[seen, expected]| if expected > 0.0 { seen / expected } else { 0.0 });
        Shares {
            frames: self.verdicts.len(),
            sharpness: part(&self.verdicts, |verdict| verdict.sharpness),
            colour: part(&self.verdicts, |verdict| verdict.colour),
            movement: part(&turned, |verdict| verdict.movement == Some(true)),
            all: part(&self.verdicts, |verdict| verdict.all()),
            turning_change,
            walking_change,
        }
    }
}
