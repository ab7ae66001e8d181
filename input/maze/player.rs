//! A body in a maze: it walks, turns, slides along walls and sees.

use glam::Vec2;

use super::angle::direction;
use super::raycast::Raycaster;
use super::{Maze, MazeConfig};
use crate::{Action, Frame, Pose};

/// Half the width of the body, in cells. Nearer to a wall its texture would fill the view.
const RADIUS: f32 = 0.28;

/// Walks through one maze, one tick at a time.
#[derive(Clone, Debug)]
pub struct MazePlayer<'a> {
    maze: &'a Maze,
    config: MazeConfig,
    pose: Pose,
    raycaster: Raycaster,
}

impl<'a> MazePlayer<'a> {
    /// A player at the maze's start, looking along its longest free line.
    pub fn new(maze: &'a Maze, config: &MazeConfig) -> Self {
        let raycaster = Raycaster::new(config.width, config.height);
        Self { maze, config: config.clone(), pose: maze.start(), raycaster }
    }

    /// Where the player stands and looks; a cell of the maze is 1 unit.
    pub fn pose(&self) -> Pose {
        self.pose
    }

    /// Puts the player elsewhere; a place inside a wall is left by the next step or not at all.
    pub fn set_pose(&mut self, pose: Pose) {
        self.pose = pose;
    }

    /// Applies an action, whose axes are brought into `-1..=1`: turns, then moves.
    pub fn apply(&mut self, action: Action) {
        let action = action.clamped();
        let yaw = self.pose.yaw - action.turn * self.config.turn_degrees;
        self.pose.yaw = yaw.rem_euclid(360.0);
        let ahead = direction(self.pose.yaw);
        let right = Vec2::new(ahead.y, -ahead.x);
        let mut motion = ahead * action.forward + right * action.strafe * 0.8;
        if motion.length_squared() > 1.0 {
            // Walking aslant is not faster than walking straight.
            motion = motion.normalize();
        }
        let motion = motion * self.config.cells_per_tick;
        // One axis after the other, so that a body slides along a wall that it meets.
        if self.fits(self.pose.x + motion.x, self.pose.y) {
            self.pose.x += motion.x;
        }
        if self.fits(self.pose.x, self.pose.y + motion.y) {
            self.pose.y += motion.y;
        }
    }

    /// Applies an action and gives what is seen afterwards.
    pub fn step(&mut self, action: Action) -> Frame {
        self.apply(action);
        self.view()
    }

    /// What is seen now.
    pub fn view(&mut self) -> Frame {
        let (width, height) = (self.config.width, self.config.height);
        let mut frame = Frame::filled(width, height, [0; 3]);
        self.raycaster.draw(self.maze, self.pose, &mut frame.pixels);
        frame
    }

    fn fits(&self, x: f32, y: f32) -> bool {
        let corners = [(-RADIUS, -RADIUS), (-RADIUS, RADIUS), (RADIUS, -RADIUS), (RADIUS, RADIUS)];
        corners.into_iter().all(|(dx, dy)| self.maze.is_open(Vec2::new(x + dx, y + dy)))
    }
}
