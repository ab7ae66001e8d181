//! How fast the maze simulator plays: one frame of 128x96, the size that worlds are trained at.
//! A figure of 0.5 ms is 2 000 frames a second.

use criterion::{Criterion, criterion_group, criterion_main};
use input::{Action, Maze, MazeConfig, MazePlayer};

fn maze(criterion: &mut Criterion) {
    let config = MazeConfig::default();
    let maze = Maze::new(1, &config);
    let mut player = MazePlayer::new(&maze, &config);
    // Walking in circles through a room sees walls near and far.
    let action = Action { turn: 0.3, forward: 1.0, ..Action::NEUTRAL };
    criterion.bench_function("maze_step_128x96", |bencher| bencher.iter(|| player.step(action)));
    criterion.bench_function("maze_new", |bencher| bencher.iter(|| Maze::new(1, &config)));
}

criterion_group!(benches, maze);
criterion_main!(benches);
