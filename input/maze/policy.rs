//! Who walks when nobody plays: two ways to see a maze.

use std::collections::VecDeque;

use glam::Vec2;

use super::angle::direction;
use super::layout::Layout;
use super::{Maze, MazeConfig};
use crate::random::Random;
use crate::{Action, Pose};

/// What a simulated player is after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Walks from room to room, the least visited first, looking around in some.
    Explore,
    /// Goes out and back by the same way, with a full turn at both ends.
    Revisit,
}

impl std::str::FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "explore" => Ok(Self::Explore),
            "revisit" => Ok(Self::Revisit),
            other => Err(format!("expected explore or revisit, got {other}")),
        }
    }
}

impl std::fmt::Display for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Explore => "explore",
            Self::Revisit => "revisit",
        })
    }
}

type Cell = (usize, usize);

/// Cells of the path that are looked at to find the next aim.
const LOOKAHEAD: usize = 5;

/// Ticks after which a walker who reaches nothing looks for another way; a cell takes 13 at the
/// slowest pace.
const PATIENCE: u32 = 60;

/// Chooses actions for one walk.
#[derive(Clone, Debug)]
pub(super) struct Walker<'a> {
    layout: &'a Layout,
    policy: Policy,
    turn_degrees: f32,
    random: Random,
    /// Cells still to be walked, next one first.
    path: VecDeque<Cell>,
    /// For `Revisit`: the way home, walked after the turn at the far end.
    way_back: Vec<Cell>,
    /// Degrees still to be turned on the spot; positive turns right.
    spin: f32,
    /// Visits to each room, corridors first.
    visits: Vec<u32>,
    ticks_without_progress: u32,
    mood: Mood,
}

/// How the walker moves for a while, so that all speeds are seen.
#[derive(Clone, Copy, Debug)]
struct Mood {
    ticks: usize,
    pace: f32,
    turn: f32,
    strafe: f32,
}

impl<'a> Walker<'a> {
    pub(super) fn new(maze: &'a Maze, config: &MazeConfig, policy: Policy, seed: u64) -> Self {
        Self {
            layout: &maze.layout,
            policy,
            turn_degrees: config.turn_degrees,
            random: Random::new(seed, 11),
            path: VecDeque::new(),
            way_back: Vec::new(),
            spin: 0.0,
            visits: vec![0; maze.layout.rooms().len() + 1],
            ticks_without_progress: 0,
            mood: Mood { ticks: 0, pace: 1.0, turn: 1.0, strafe: 0.0 },
        }
    }

    /// The action for a player who stands at `pose`.
    pub(super) fn next(&mut self, pose: Pose) -> Action {
        self.renew_mood();
        if self.spin != 0.0 {
            return self.turn_on_the_spot();
        }
        let place = Vec2::new(pose.x, pose.y);
        self.drop_reached(place);
        if self.path.is_empty() {
            self.plan(place);
        }
        self.walk(place, direction(pose.yaw))
    }

    fn renew_mood(&mut self) {
        if self.mood.ticks > 0 {
            self.mood.ticks -= 1;
            return;
        }
        let random = &mut self.random;
        self.mood = Mood {
            ticks: 12 + random.below(40),
            pace: random.between(0.55, 1.1).min(1.0),
            turn: random.between(0.3, 1.1).min(1.0),
            strafe: if random.chance(0.3) { random.between(-0.6, 0.6) } else { 0.0 },
        };
    }

    fn turn_on_the_spot(&mut self) -> Action {
        let most = self.mood.turn * self.turn_degrees;
        let degrees = self.spin.clamp(-most, most);
        self.spin -= degrees;
        Action { turn: degrees / self.turn_degrees, ..Action::NEUTRAL }
    }

    /// Drops the cells of the path that lie behind, corners that were cut included.
    fn drop_reached(&mut self, place: Vec2) {
        let mut near = self.path.iter().take(LOOKAHEAD);
        let reached = near.rposition(|&cell| centre(cell).distance(place) < 0.45);
        let reached = reached.map_or(0, |last| last + 1);
        for (x, y) in self.path.drain(..reached) {
            if let Some(room) = self.layout.room_at(x, y) {
                self.visits[usize::from(room)] += 1;
            }
        }
        self.ticks_without_progress = if reached > 0 { 0 } else { self.ticks_without_progress + 1 };
        if self.ticks_without_progress > PATIENCE {
            // Wedged at a corner, or pushed off the way by strafing: another way is found from here.
            (self.ticks_without_progress, self.way_back) = (0, Vec::new());
            self.path.clear();
        }
    }

    /// Chooses where to go next, from a place that has been reached.
    fn plan(&mut self, place: Vec2) {
        let here = cell_of(place);
        if !self.way_back.is_empty() {
            self.path = std::mem::take(&mut self.way_back).into();
            self.spin = self.full_turn();
            return;
        }
        let goal = self.goal(here);
        self.path = shortest_path(self.layout, here, goal);
        match self.policy {
            Policy::Explore => {
                if self.random.chance(0.35) {
                    self.spin = self.random.between(60.0, 360.0) * self.random.pick(&[-1.0, 1.0]);
                }
            }
            Policy::Revisit => {
                self.way_back = self.path.iter().rev().copied().chain([here]).collect();
                self.spin = self.full_turn();
            }
        }
    }

    fn full_turn(&mut self) -> f32 {
        360.0 * self.random.pick(&[-1.0, 1.0])
    }

    /// A cell of one of the rooms seen least, or sometimes anywhere.
    fn goal(&mut self, here: Cell) -> Cell {
        let rooms = self.layout.rooms();
        let here_room = self.layout.room_at(here.0, here.1).unwrap_or(0);
        let others = (0..rooms.len()).filter(|&room| room + 1 != usize::from(here_room));
        let least = others.min_by_key(|&room| (self.visits[room + 1], self.random.bits()));
        let cells: Vec<Cell> = match least {
            Some(room) => self.cells_inside(room),
            None => self.layout.open_cells().collect(),
        };
        self.random.pick(&cells)
    }

    /// Cells of a room without its edge where it has an inside: nobody looks at a wall there.
    fn cells_inside(&self, room: usize) -> Vec<Cell> {
        let number = u8::try_from(room + 1).ok();
        let all = || self.layout.open_cells().filter(|&(x, y)| self.layout.room_at(x, y) == number);
        let inner: Vec<Cell> =
            all().filter(|&cell| self.layout.neighbours(cell).count() == 4).collect();
        if inner.is_empty() { all().collect() } else { inner }
    }

    /// Steers towards the farthest cell of the path that can be reached in a straight line.
    fn walk(&mut self, place: Vec2, ahead: Vec2) -> Action {
        let Some(target) = self.lookahead(place) else { return Action::NEUTRAL };
        let wanted = (target - place).normalize_or(ahead);
        // The sine of the angle to the left of where the player looks.
        let left = ahead.perp_dot(wanted);
        let facing = ahead.dot(wanted);
        let gain = 40.0 / self.turn_degrees;
        let turn = if facing < 0.0 { -left.signum() } else { -left * gain };
        let most = self.mood.turn;
        Action {
            turn: turn.clamp(-most, most),
            // Slower in bends, and standing while the way lies behind.
            forward: self.mood.pace * ((facing - 0.3) / 0.6).clamp(0.0, 1.0),
            strafe: if facing > 0.9 { self.mood.strafe } else { 0.0 },
            ..Action::NEUTRAL
        }
    }

    fn lookahead(&self, place: Vec2) -> Option<Vec2> {
        let near = self.path.iter().take(LOOKAHEAD);
        let seen = near.take_while(|&&cell| self.sees(place, centre(cell)));
        seen.last().or(self.path.front()).map(|&cell| centre(cell))
    }

    /// Whether a body could walk straight from `from` to `to`.
    fn sees(&self, from: Vec2, to: Vec2) -> bool {
        let side = (to - from).perp().normalize_or_zero() * 0.3;
        (0..=16_u8).all(|i| {
            let middle = from.lerp(to, f32::from(i) / 16.0);
            [middle + side, middle - side].into_iter().all(|place| {
                let (x, y) = cell_of(place);
                self.layout.room_at(x, y).is_some()
            })
        })
    }
}

fn centre((x, y): Cell) -> Vec2 {
    let number = |i: usize| f32::from(u16::try_from(i).unwrap_or(u16::MAX));
    Vec2::new(number(x) + 0.5, number(y) + 0.5)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as-casts clamp")]
pub(super) fn cell_of(place: Vec2) -> Cell {
    (place.x as usize, place.y as usize)
}

/// Cells from the one after `from` to `to`, by breadth-first search.
fn shortest_path(layout: &Layout, from: Cell, to: Cell) -> VecDeque<Cell> {
    let side = layout.side();
    let mut came_from = vec![None; side * side];
    let mut todo = VecDeque::from([from]);
    came_from[from.1 * side + from.0] = Some(from);
    while let Some(cell) = todo.pop_front() {
        if cell == to {
            break;
        }
        for next in layout.neighbours(cell) {
            let known = &mut came_from[next.1 * side + next.0];
            if known.is_none() {
                *known = Some(cell);
                todo.push_back(next);
            }
        }
    }
    let mut path = VecDeque::new();
    let mut cell = to;
    while cell != from {
        path.push_front(cell);
        let Some(previous) = came_from[cell.1 * side + cell.0] else { return VecDeque::new() };
        cell = previous;
    }
    path
}
