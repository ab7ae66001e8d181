//! Whether the picture turns the way it is told to.
//!
//! What the game itself does is read off the held-out play: a start counts where the four real
//! ticks after it turn one way, without stepping aside, and the real picture moved by more than
//! two pixels against that turn (to the left when turning right). From each such start the world
//! turns left and turns right, with the mean speed of those four ticks, everything else neutral;
//! the game would move as far either way. The shift is the sum over ticks of the phase correlation
//! between neighbouring frames: over four ticks at once a fast turn leaves too little in common.

use anyhow::Result;
use input::Action;
use serde::Serialize;

use super::held::{Held, Start};
use super::shift::PhaseCorrelation;
use super::{Bench, some_starts};

/// Ticks that the turn is held.
const TICKS: usize = 4;

/// Pixels by which the game itself must have moved.
const MOVED_PX: i32 = 2;

/// Largest step aside in a real tick that counts: below it lies a stick that is let go.
const STRAFE_MAX: f32 = 0.05;

/// How well the world is steered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Steering {
    /// Starts that were turned from, once each way.
    pub starts: usize,
    /// Share of the left turns after which the picture had moved to the right.
    pub left: f64,
    /// Share of the right turns after which the picture had moved to the left.
    pub right: f64,
    /// Share of both.
    pub both: f64,
    /// Share of the real turns in which the measured shift has the sign it must have, whether it
    /// is long enough or not: what the measurement itself is worth.
    pub game: f64,
    /// Mean pixels that the world moved over four ticks, over what the game moved.
    pub amount: f64,
}

/// A real turn: where it starts and what it was.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Turn {
    start: Start,
    /// Mean over the ticks, positive to the right.
    turn: f32,
    /// Pixels to the right that the picture moved.
    shift: i32,
}

impl Turn {
    /// Whether the picture moved against the turn.
    fn agrees(&self) -> bool {
        agrees(self.turn, self.shift)
    }
}

fn agrees(turn: f32, shift: i32) -> bool {
    (turn > 0.0 && shift < 0) || (turn < 0.0 && shift > 0)
}

/// Turns left and right from starts at which the game moves.
///
/// # Errors
/// When the episodes hold no such start or cannot be read, or the world fails.
pub fn measure(bench: &mut Bench<'_>) -> Result<Steering> {
    let held = bench.held;
    let rule = bench.rule(TICKS);
    let turns: Vec<Turn> =
        held.possible_starts(rule).into_iter().filter_map(|start| turn_at(held, start)).collect();
    let right = turns.iter().filter(|turn| turn.agrees()).count();
    let game = right as f64 / turns.len().max(1) as f64;
    let moved = |turn: &&Turn| turn.agrees() && turn.shift.abs() > MOVED_PX;
    let moved: Vec<Start> = turns.iter().filter(moved).map(|turn| turn.start).collect();
    let starts = some_starts(held.spread(moved, rule), "turns of four ticks and no step aside")?;

    let bar = super::progress(starts.len(), "starts steered");
    let correlation = PhaseCorrelation::new(held.width, held.height);
    let mut hits = [0_usize; 2];
    let (mut dreamed, mut real) = (0.0, 0.0);
    let mut reel = held.reel();
    for &start in &starts {
        let episode = reel.episode(start)?;
        let Some(turn) = turn_at(held, start) else { continue };
        for (side, hits) in [-1.0, 1.0].into_iter().zip(&mut hits) {
            bench.begin(episode, start)?;
            let action = Action { turn: side * turn.turn.abs(), ..Action::NEUTRAL };
            let shift = held_for(bench, episode.frame(start.frame), &action, &correlation)?;
            *hits += usize::from(agrees(action.turn, shift));
            dreamed += -f64::from(side) * f64::from(shift);
            real += f64::from(turn.shift.abs());
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let [left, right] = hits.map(|hits| hits as f64 / starts.len() as f64);
    let both = f64::midpoint(left, right);
    Ok(Steering { starts: starts.len(), left, right, both, game, amount: dreamed / real })
}

/// The turn after a start, where all ticks turn one way and none steps aside.
fn turn_at(held: &Held, start: Start) -> Option<Turn> {
    let survey = &held.episodes[start.episode];
    let ticks = start.frame + 1..=start.frame + TICKS;
    let actions = &survey.actions[ticks.clone()];
    let one_way = actions.iter().all(|a| a.turn > 0.0) || actions.iter().all(|a| a.turn < 0.0);
    if !one_way || actions.iter().any(|action| action.strafe.abs() > STRAFE_MAX) {
        return None;
    }
    let turn = actions.iter().map(|action| action.turn).sum::<f32>() / actions.len() as f32;
    Some(Turn { start, turn, shift: survey.shift[ticks].iter().sum() })
}

/// Pixels to the right that the world moves while an action is held.
fn held_for(
    bench: &mut Bench<'_>,
    from: &[u8],
    action: &Action,
    correlation: &PhaseCorrelation,
) -> Result<i32> {
    let mut before = correlation.spectrum(bench.held.picture(from)?);
    let mut sum = 0;
    for _ in 0..TICKS {
        let frame = bench.next(action)?;
        let after = correlation.spectrum(bench.held.picture(&frame)?);
        sum += correlation.between(&before, &after).0;
        before = after;
    }
    Ok(sum)
}
