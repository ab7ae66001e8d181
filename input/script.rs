//! Actions without a player: written ones, and a walk that goes anywhere.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;

use crate::random::Random;
use crate::{Action, Buttons, Controller, Room};

/// Longest script accepted, in bytes and in ticks (an hour at 280 frames per second).
const MAX_BYTES: u64 = 16 << 20;
const MAX_TICKS: u64 = 1_000_000;

/// A script that cannot be played.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// The file cannot be read.
    #[error("cannot read script {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A line is not an action.
    #[error("expected {expected}, got {got}: {place}, line {line}")]
    Line {
        /// What would have been accepted.
        expected: String,
        /// What was found.
        got: String,
        /// The script's name.
        place: String,
        /// Line number, from 1.
        line: usize,
    },
}

/// Plays a fixed list of actions, then stays neutral.
///
/// As text it has one action per line, a JSON object with the axes and buttons that are not 0 and
/// how long they last; empty lines and lines that begin with `#` are left out:
///
/// ```text
/// # ahead, then around
/// {"forward": 1, "ticks": 20}
/// {"forward": 0.5, "turn": -0.5, "ticks": 10}
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    actions: Vec<Action>,
    at: usize,
}

/// One line of a script.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    turn: f32,
    #[serde(default)]
    forward: f32,
    #[serde(default)]
    strafe: f32,
    #[serde(default)]
    pitch: f32,
    #[serde(default)]
    buttons: u32,
    #[serde(default = "one")]
    ticks: u64,
}

fn one() -> u64 {
    1
}

impl Script {
    /// Plays these actions, one per tick.
    pub fn from_actions(actions: Vec<Action>) -> Self {
        Self { actions, at: 0 }
    }

    /// Reads a script; `place` names it in errors.
    ///
    /// # Errors
    /// Names the first line that is not an action in the ranges of [`Action`], and scripts of more
    /// than a million ticks.
    pub fn parse(text: &str, place: &str) -> Result<Self, ScriptError> {
        let mut actions: Vec<Action> = Vec::new();
        for (index, text) in text.lines().enumerate() {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let fault = |expected: &str, got: String| ScriptError::Line {
                expected: expected.to_owned(),
                got,
                place: place.to_owned(),
                line: index + 1,
            };
            let line: Line = serde_json::from_str(text)
                .map_err(|error| fault("an action in JSON", error.to_string()))?;
            let Line { turn, forward, strafe, pitch, buttons, ticks } = line;
            let action = Action { turn, forward, strafe, pitch, buttons: Buttons(buttons) };
            if !action.is_valid() {
                return Err(fault("axes in -1..=1", format!("{:?}", action.axes())));
            }
            if ticks > MAX_TICKS - actions.len() as u64 {
                return Err(fault("at most a million ticks", "more".to_owned()));
            }
            actions.extend(std::iter::repeat_n(action, usize::try_from(ticks).unwrap_or(0)));
        }
        Ok(Self::from_actions(actions))
    }

    /// Reads a script file.
    ///
    /// # Errors
    /// When the file cannot be read, and as [`Self::parse`].
    pub fn open(path: &Path) -> Result<Self, ScriptError> {
        let place = path.display().to_string();
        let io = |source| ScriptError::Io { path: place.clone(), source };
        let mut text = String::new();
        let file = File::open(path).map_err(io)?;
        file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(io)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(io(std::io::Error::other("longer than 16 MiB")));
        }
        Self::parse(&text, &place)
    }

    /// All actions, played or not.
    pub fn actions(&self) -> &[Action] {
        &self.actions
    }
}

impl Controller for Script {
    fn poll(&mut self) -> Action {
        let action = self.actions.get(self.at).copied().unwrap_or(Action::NEUTRAL);
        self.at = self.actions.len().min(self.at + 1);
        action
    }

    fn is_finished(&self) -> bool {
        self.at == self.actions.len()
    }
}

/// Mean difference of a byte below which a picture stands still: of Doom's it is 8 in most frames of walking, less than this in
/// one of ten or so, and a dream shimmers by one or two.
const STILL: f32 = 2.5;
/// Pictures in a row that stand still although somebody walks: there is a wall.
const STILL_MAX: u32 = 4;

/// Steps ahead that somebody wants to have who walks on: sliding goes on for some five.
const ROOM_MIN: f32 = 6.0;

/// Walks anywhere: stretches ahead, bends, looks around, some strafing, all without jerks. It turns aside before walls that a map
/// tells of, and away where the picture says that it leads no further.
#[derive(Clone, Debug)]
pub struct Wander {
    random: Random,
    /// What is approached: turn, forward, strafe.
    aim: [f32; 3],
    now: [f32; 3],
    ticks_left: usize,
    /// The last picture, and how many stood still up to it.
    seen: Vec<u8>,
    still: u32,
}

impl Wander {
    /// The walk of this seed, the same on every machine.
    pub fn new(seed: u64) -> Self {
        let aim = [0.0, 1.0, 0.0];
        Self {
            random: Random::new(seed, 21),
            aim,
            now: [0.0; 3],
            ticks_left: 12,
            seen: Vec::new(),
            still: 0,
        }
    }

    fn change_aim(&mut self) {
        let random = &mut self.random;
        let side = random.pick(&[-1.0, 1.0]);
        let (aim, ticks) = match random.below(10) {
            // Straight on, a gentle bend, a turn while walking, a look around, a step aside.
            0..=3 => ([0.0, random.between(0.7, 1.0), 0.0], 10 + random.below(25)),
            4 | 5 => ([side * random.between(0.1, 0.3), 0.9, 0.0], 10 + random.below(20)),
            6 | 7 => ([side * random.between(0.4, 0.8), 0.5, 0.0], 5 + random.below(10)),
            8 => ([side * random.between(0.5, 1.0), 0.0, 0.0], 8 + random.below(16)),
            _ => ([0.0, 0.4, side * random.between(0.4, 1.0)], 6 + random.below(10)),
        };
        (self.aim, self.ticks_left) = (aim, ticks);
    }

    /// To where there is more room, or on to where it turns already.
    fn turn_aside(&mut self, room: Room) {
        let side = if room.right > room.left { 1.0 } else { -1.0 };
        let turns = self.aim[0].abs() > 0.3;
        self.aim = [if turns { self.aim[0] } else { 0.5 * side }, 0.4, 0.0];
        self.ticks_left = self.ticks_left.max(2);
    }

    /// Away from a wall: most of a half turn where a tick turns by 15 degrees.
    fn turn_away(&mut self) {
        let random = &mut self.random;
        let side = random.pick(&[-1.0, 1.0]);
        self.aim = [side * random.between(0.6, 1.0), 0.0, 0.0];
        self.ticks_left = 8 + random.below(6);
    }
}

impl Controller for Wander {
    fn poll(&mut self) -> Action {
        if self.ticks_left == 0 {
            self.change_aim();
        }
        self.ticks_left -= 1;
        for (now, aim) in self.now.iter_mut().zip(self.aim) {
            // A third of the way each tick: nine tenths are reached in six.
            *now += (aim - *now) / 3.0;
        }
        let [turn, forward, strafe] = self.now;
        Action::from_axes([turn, forward, strafe, 0.0]).clamped()
    }

    fn see(&mut self, pixels: &[u8], room: Option<Room>) {
        let [turn, forward, strafe] = self.now;
        if let Some(room) = room.filter(|room| forward > 0.2 && room.ahead < ROOM_MIN) {
            self.turn_aside(room);
        }
        let walks = forward.hypot(strafe) > 0.3 && turn.abs() < 0.1;
        let comparable = !pixels.is_empty() && self.seen.len() == pixels.len();
        let stands = comparable && difference(&self.seen, pixels) < STILL;
        self.still = if walks && stands { self.still + 1 } else { 0 };
        if self.still == STILL_MAX {
            self.turn_away();
            self.still = 0;
        }
        self.seen.clear();
        self.seen.extend_from_slice(pixels);
    }
}

/// Mean absolute difference of the bytes of two pictures; 0 of nothing.
fn difference(a: &[u8], b: &[u8]) -> f32 {
    let sum: u64 = a.iter().zip(b).map(|(&a, &b)| u64::from(a.abs_diff(b))).sum();
    sum as f32 / a.len().max(1) as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_last_as_long_as_they_say() {
        let text = "# a walk\n{\"forward\": 1, \"ticks\": 2}\n\n{\"turn\": -0.5, \"buttons\": 2}\n";
        let mut script = Script::parse(text, "walk").unwrap();
        let played: Vec<Action> = (0..4).map(|_| script.poll()).collect();
        let ahead = Action { forward: 1.0, ..Action::NEUTRAL };
        let turn = Action { turn: -0.5, buttons: Buttons(2), ..Action::NEUTRAL };
        assert_eq!(played, [ahead, ahead, turn, Action::NEUTRAL]);
        assert!(script.is_finished());
    }

    #[test]
    fn a_walk_that_is_shown_no_picture_minds_the_map_alone() {
        let walk = |room: Option<Room>| {
            let mut walk = Wander::new(8);
            let tick = |_| {
                let action = walk.poll();
                walk.see(&[], room);
                action
            };
            (0..40).map(tick).collect::<Vec<_>>()
        };
        let mut blind = Wander::new(8);
        let unseen: Vec<Action> = (0..40).map(|_| blind.poll()).collect();
        assert_eq!(walk(None), unseen, "nothing seems to stand still");
        assert_ne!(walk(Some(Room { ahead: 1.0, left: 0.0, right: 8.0 })), unseen);
    }

    #[test]
    fn bad_lines_are_named() {
        let cases = [
            ("{\"forward\": 1}\n{\"trun\": 1}", "expected an action in JSON, got unknown field"),
            ("\n{\"turn\": 1.5}", "expected axes in -1..=1"),
            ("{}\n{\"ticks\": 1000000}", "expected at most a million ticks"),
        ];
        for (text, wanted) in cases {
            let message = Script::parse(text, "walk").unwrap_err().to_string();
            assert!(message.starts_with(wanted), "{message}");
            assert!(message.ends_with(": walk, line 2"), "{message}");
        }
        let message = Script::open(Path::new("missing.jsonl")).unwrap_err().to_string();
        assert!(message.contains("cannot read script missing.jsonl"), "{message}");
    }

    #[test]
    fn wandering_is_smooth_and_does_a_bit_of_everything() {
        let mut wander = Wander::new(5);
        let walk: Vec<Action> = (0..2000).map(|_| wander.poll()).collect();
        let mut again = Wander::new(5);
        assert!(walk.iter().all(|&action| action == again.poll()), "a seed names a walk");
        for pair in walk.windows(2) {
            let jerk = pair[0].axes().into_iter().zip(pair[1].axes()).map(|(a, b)| (a - b).abs());
            // From one full side to the other, a third at once.
            assert!(jerk.fold(0.0, f32::max) <= 0.67);
        }
        let share = |test: fn(&Action) -> bool| walk.iter().filter(|a| test(a)).count();
        assert!(share(|a| a.forward > 0.6) > 800);
        assert!(share(|a| a.turn > 0.3) > 100 && share(|a| a.turn < -0.3) > 100);
        assert!(share(|a| a.strafe.abs() > 0.3) > 50);
        assert!(share(|a| a.forward < 0.1 && a.turn.abs() > 0.3) > 50, "it looks around");
    }

    #[test]
    fn who_stands_still_turns_away() {
        let (mut walled, mut free) = (Wander::new(5), Wander::new(5));
        let (mut turned, mut walked) = (0.0, 0);
        for tick in 0..400_u16 {
            let (action, other) = (walled.poll(), free.poll());
            // One sees a wall, whatever it does; the other something new each time.
            walled.see(&[90; 12], None);
            free.see(&[u8::try_from(tick % 2).unwrap() * 50; 12], None);
            turned += f64::from(action.turn.abs() - other.turn.abs());
            walked += i32::from(action.forward > 0.6) - i32::from(other.forward > 0.6);
        }
        // A tenth of the ticks at least: it turned in 68 more, and walked in 87 fewer, of this seed.
        assert!(turned > 40.0 && walked < -40, "{turned} {walked}");
    }

    #[test]
    fn walls_that_a_map_tells_of_are_not_walked_into() {
        let room = |ahead: f32, left: f32, right: f32| Some(Room { ahead, left, right });
        // Whenever there is a wall, most turns of the next ticks are to the side with more room.
        let turned = |room: Option<Room>| {
            let mut wander = Wander::new(8);
            let mut sum = 0.0;
            for tick in 0..600_u16 {
                let walled = tick % 60 >= 50;
                let turn = wander.poll().turn;
                sum += if walled { turn } else { 0.0 };
                let pixels = [u8::try_from(tick % 2).unwrap() * 50; 12];
                wander.see(&pixels, if walled { room } else { None });
            }
            sum
        };
        let (left, right) = (turned(room(2.0, 8.0, 1.0)), turned(room(2.0, 1.0, 8.0)));
        // Ten walls of ten ticks each; turning aside is half of the fastest.
        assert!(left < turned(None) - 5.0 && right > turned(None) + 5.0, "{left} {right}");
        assert_eq!(turned(room(8.0, 8.0, 1.0)), turned(None), "there is room");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}") {
            if let Ok(script) = Script::parse(&text, "any") {
                prop_assert!(script.actions().iter().all(Action::is_valid));
            }
        }
    }
}
