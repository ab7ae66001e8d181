//! A simulator: mazes of rooms and corridors, seen in the first person.
//!
//! Layout, materials, colours and signs are drawn from a seed, the same on every machine, so that a
//! simulated episode is named by a few numbers. It gives data for tests, benchmarks and training.

mod angle;
mod layout;
mod pattern;
mod player;
mod policy;
mod raycast;
mod style;
mod texture;

use glam::Vec2;

use self::layout::Layout;
pub use self::player::MazePlayer;
pub use self::policy::Policy;
use self::policy::{Walker, cell_of};
use self::style::{SIGNS, Style};
use self::texture::Texture;
use crate::random::{Random, mix};
use crate::{Action, ActionLayout, Episode, Pose};

/// Frames per second at which [`MazeConfig::default`] walks at a good pace.
const DEFAULT_FPS: f32 = 17.5;

/// How a maze is built, walked and seen.
#[derive(Clone, Debug, PartialEq)]
pub struct MazeConfig {
    /// Picture width in pixels, at least 2.
    pub width: u32,
    /// Picture height in pixels, at least 2.
    pub height: u32,
    /// Cells along one side of the maze, walls included, 12 to 256.
    pub cells: usize,
    /// Degrees turned in one tick by `turn = 1`.
    pub turn_degrees: f32,
    /// Cells walked in one tick by `forward = 1`.
    pub cells_per_tick: f32,
}

impl Default for MazeConfig {
    fn default() -> Self {
        Self { width: 128, height: 96, cells: 23, turn_degrees: 15.0, cells_per_tick: 0.14 }
    }
}

impl MazeConfig {
    /// Pictures of another size and rate; the speed per second stays that of the default.
    pub fn sized(width: u32, height: u32, fps: f32) -> Self {
        let default = Self::default();
        let share = DEFAULT_FPS / fps;
        Self {
            width,
            height,
            cells: default.cells,
            turn_degrees: default.turn_degrees * share,
            // Longer steps could jump into a wall's corner.
            cells_per_tick: (default.cells_per_tick * share).min(0.25),
        }
    }

    /// What the actions of such a maze mean.
    pub fn layout(&self) -> ActionLayout {
        ActionLayout { turn_degrees: self.turn_degrees, ..ActionLayout::default() }
    }
}

/// A maze: walls and how they look.
#[derive(Clone, Debug)]
pub struct Maze {
    layout: Layout,
    styles: Vec<Style>,
    seed: u64,
}

impl Maze {
    /// Draws the maze of a seed.
    ///
    /// # Panics
    /// When `config.cells` is not in 12 to 256.
    pub fn new(seed: u64, config: &MazeConfig) -> Self {
        assert!((12..=256).contains(&config.cells), "a maze has 12 to 256 cells a side");
        let layout = Layout::new(&mut Random::new(seed, 1), config.cells);
        let styles = style::draw(&mut Random::new(seed, 2), layout.rooms().len());
        Self { layout, styles, seed }
    }

    /// Number of rooms, corridors not counted.
    pub fn rooms(&self) -> usize {
        self.layout.rooms().len()
    }

    /// Number of the room at a place, 0 in corridors; `None` inside walls.
    pub fn room_at(&self, pose: Pose) -> Option<u8> {
        let (x, y) = cell_of(Vec2::new(pose.x, pose.y));
        self.layout.room_at(x, y)
    }

    /// Beside the middle of the first room, looking along the longer free line.
    fn start(&self) -> Pose {
        let room = self.layout.rooms()[0];
        let place = Vec2::new(room_place(room.left), room_place(room.bottom));
        let yaw = if room.width >= room.height { 0.0 } else { 90.0 };
        Pose { x: place.x, y: place.y, yaw }
    }

    fn is_open(&self, place: Vec2) -> bool {
        let (x, y) = cell_of(place);
        place.min_element() > 0.0 && self.layout.room_at(x, y).is_some()
    }

    /// The texture of one face of a solid cell, seen from `room`.
    #[inline]
    fn wall_texture(&self, room: u8, (x, y): (usize, usize), faces_x: bool) -> &Texture {
        let style = &self.styles[usize::from(room)];
        let face = (x as u64) << 24 | (y as u64) << 1 | u64::from(faces_x);
        let drawn = mix(self.seed ^ mix(face));
        // A fifth of the faces in rooms bear one of the room's signs, a tenth in corridors.
        let rarity = if room == layout::CORRIDOR { 10 } else { 5 };
        if drawn.is_multiple_of(rarity) {
            &style.signs[usize::try_from(drawn >> 32).unwrap_or(0) % SIGNS]
        } else {
            &style.wall
        }
    }
}

/// The middle of the second cell of a room: never a pillar's.
fn room_place(first: usize) -> f32 {
    f32::from(u16::try_from(first).unwrap_or(0)) + 1.5
}

/// Plays `frames` frames of the maze of a seed by a policy.
///
/// # Panics
/// When a side of `size` is below 2 or `fps` is not above 0.
pub fn simulate(seed: u64, frames: usize, policy: Policy, size: (u32, u32), fps: f32) -> Episode {
    simulate_walk((seed, seed), frames, policy, size, fps)
}

/// The same for one of the many walks through a maze, each with a seed of its own. All begin in the same place.
///
/// # Panics
/// When a side of `size` is below 2 or `fps` is not above 0.
pub fn simulate_walk(
    (seed, walk): (u64, u64),
    frames: usize,
    policy: Policy,
    size: (u32, u32),
    fps: f32,
) -> Episode {
    assert!(size.0 >= 2 && size.1 >= 2 && fps > 0.0, "pictures have pixels and time passes");
    let config = MazeConfig::sized(size.0, size.1, fps);
    let maze = Maze::new(seed, &config);
    let mut player = MazePlayer::new(&maze, &config);
    let mut walker = Walker::new(&maze, &config, policy, walk);
    let mut video = Vec::with_capacity(frames * crate::Frame::byte_count(size.0, size.1));
    let (mut actions, mut poses) = (Vec::with_capacity(frames), Vec::with_capacity(frames));
    for t in 0..frames {
        let action = if t == 0 { Action::NEUTRAL } else { walker.next(player.pose()) };
        video.extend(player.step(action).pixels);
        actions.push(action);
        poses.push(player.pose());
    }
    Episode {
        width: size.0,
        height: size.1,
        video,
        actions,
        poses: Some(poses),
        fps,
        layout: config.layout(),
        source: if walk == seed {
            format!("maze seed {seed} {policy}")
        } else {
            format!("maze seed {seed} {policy} walk {walk}")
        },
    }
}

#[cfg(test)]
mod tests;
