//! Walk in the maze simulator itself, with the loop and the window of a dreamed world.
//!
//! Good for trying controls and displays without weights, and for seeing what the world `mazes`
//! was trained on: `cargo run --release --example walk_maze -- --seed 7`.

use std::sync::Arc;

use anyhow::Result;
use clap::Parser as _;
use input::{Action, Frame, Maze, MazeConfig, MazePlayer, Pose};
use oneiro::dream::{Dream, Facts};
use oneiro::view::MemoryView;
use oneiro::{cli, play};
use serde_json::Value;

fn main() -> Result<()> {
    let args = Args::parse().play;
    let seed = args.seed;
    play::walk(&args, play::script(&args)?, &MazeConfig::default().layout(), &|_| {
        Box::new(move |_| Ok(Box::new(Simulated::new(seed))))
    })
}

/// The options of `oneiro play`, of which `--world` and `--start` mean nothing here.
#[derive(clap::Parser)]
struct Args {
    #[command(flatten)]
    play: cli::PlayArgs,
}

/// The simulator behind the stages of a dream: all the work is in `decode`.
struct Simulated {
    facts: Facts,
    config: MazeConfig,
    maze: Maze,
    pose: Pose,
    marked: Option<Pose>,
    actions: Vec<Action>,
}

impl Simulated {
    fn new(seed: u64) -> Self {
        let config = MazeConfig::default();
        let maze = Maze::new(seed, &config);
        let pose = MazePlayer::new(&maze, &config).pose();
        let facts = Facts {
            name: format!("maze {seed}"),
            hash: String::new(),
            seed,
            settings: Value::Null,
            width: config.width,
            height: config.height,
            fps: 17.5,
            section_frames: 1,
            evaluations: 1,
            layout: config.layout(),
        };
        Self { facts, config, maze, pose, marked: None, actions: Vec::new() }
    }
}

impl Dream for Simulated {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn opening(&self) -> Arc<Frame> {
        Arc::new(MazePlayer::new(&self.maze, &self.config).view())
    }

    fn preview(&mut self, actions: &[Action]) -> Result<()> {
        self.actions = actions.to_vec();
        Ok(())
    }

    fn decode(&mut self) -> Result<Vec<Frame>> {
        let mut player = MazePlayer::new(&self.maze, &self.config);
        player.set_pose(self.pose);
        let frames = self.actions.iter().map(|action| player.step(*action)).collect();
        self.pose = player.pose();
        Ok(frames)
    }

    fn bookmark(&mut self) -> Result<()> {
        self.marked = Some(self.pose);
        Ok(())
    }

    fn go_back(&mut self) -> Result<bool> {
        self.pose = self.marked.unwrap_or(self.pose);
        Ok(self.marked.is_some())
    }

    fn memory(&mut self) -> Result<MemoryView> {
        Ok(MemoryView::default())
    }
}
