//! Tests of whole walks.

use std::collections::BTreeSet;

use super::*;
use crate::Frame;

const SIZE: (u32, u32) = (32, 24);

fn walk(seed: u64, frames: usize, policy: Policy) -> Episode {
    simulate(seed, frames, policy, SIZE, 17.5)
}

fn config() -> MazeConfig {
    MazeConfig::sized(SIZE.0, SIZE.1, 17.5)
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let episode = walk(3, 60, Policy::Explore);
    assert_eq!(episode, walk(3, 60, Policy::Explore));
    assert_ne!(episode.video, walk(4, 60, Policy::Explore).video);
    assert!(episode.checked().is_ok());
}

#[test]
fn one_maze_is_walked_through_in_many_ways_from_one_place() {
    let walk = |walk| simulate_walk((3, walk), 60, Policy::Explore, SIZE, 17.5);
    let [own, other] = [3, 4].map(walk);
    assert_eq!(own, simulate(3, 60, Policy::Explore, SIZE, 17.5));
    assert_eq!(own.frame(0), other.frame(0));
    assert_ne!(own.actions, other.actions);
    assert_eq!(other.source, "maze seed 3 explore walk 4");
    // Where both stand alike they see the same.
    let pose = other.poses.as_ref().unwrap()[59];
    let (maze, config) = (Maze::new(3, &config()), config());
    let mut player = MazePlayer::new(&maze, &config);
    player.set_pose(pose);
    assert_eq!(player.view().pixels, other.frame(59));
}

#[test]
fn nobody_walks_into_walls_however_they_push() {
    let config = config();
    let maze = Maze::new(9, &config);
    let mut player = MazePlayer::new(&maze, &config);
    let mut random = Random::new(9, 1);
    let start = player.pose();
    for _ in 0..3000 {
        let axes = std::array::from_fn(|_| random.between(-1.0, 1.0));
        player.apply(Action { forward: 1.0, ..Action::from_axes(axes) });
        assert!(maze.room_at(player.pose()).is_some(), "{:?}", player.pose());
    }
    let end = player.pose();
    assert!((end.x - start.x).abs() + (end.y - start.y).abs() > 1.0, "it did move");
}

#[test]
fn axes_mean_what_the_convention_says() {
    let config = config();
    let maze = Maze::new(1, &config);
    let mut player = MazePlayer::new(&maze, &config);
    let start = Pose { yaw: 90.0, ..player.pose() };
    let moved = |player: &mut MazePlayer<'_>, axes| {
        player.set_pose(start);
        player.apply(Action::from_axes(axes));
        let pose = player.pose();
        (pose.x - start.x, pose.y - start.y, pose.yaw)
    };
    let (x, y, yaw) = moved(&mut player, [0.0, 1.0, 0.0, 0.0]);
    assert!(x.abs() < 1e-5 && (y - config.cells_per_tick).abs() < 1e-5 && yaw == 90.0);
    let (x, y, _) = moved(&mut player, [0.0, 0.0, 1.0, 0.0]);
    assert!(x > 0.1 && y.abs() < 1e-5, "strafing right of north goes east");
    let (_, _, yaw) = moved(&mut player, [1.0, 0.0, 0.0, 0.0]);
    assert_eq!(yaw, 75.0, "turning right lowers the yaw by the unit");
}

/// Brightness of each column of the middle rows.
fn profile(frame: &Frame) -> Vec<i32> {
    let row = frame.width as usize * 3;
    let middle = &frame.pixels[row * 8..row * 16];
    let column = |x: usize| middle.chunks_exact(row).flat_map(move |r| &r[x * 3..x * 3 + 3]);
    (0..frame.width as usize).map(|x| column(x).map(|&byte| i32::from(byte)).sum()).collect()
}

#[test]
fn turning_right_moves_the_picture_to_the_left() {
    let config = config();
    for seed in 0..10 {
        let maze = Maze::new(seed, &config);
        let mut player = MazePlayer::new(&maze, &config);
        let before = profile(&player.view());
        let after = profile(&player.step(Action { turn: 0.4, ..Action::NEUTRAL }));
        let difference = |shift: usize| {
            let pairs = before[shift..].iter().zip(&after);
            let sum: i32 = pairs.clone().map(|(a, b)| (a - b).abs()).sum();
            f64::from(sum) / pairs.len() as f64
        };
        // 6 degrees of 77 are about 2 of 32 columns.
        let best = (0..6).min_by(|&a, &b| difference(a).total_cmp(&difference(b))).unwrap();
        assert!((1..=4).contains(&best), "seed {seed}: shifted by {best}");
    }
}

#[test]
fn explorers_see_every_room_about_evenly() {
    for seed in 0..4 {
        let maze = Maze::new(seed, &config());
        let episode = walk(seed, 4000, Policy::Explore);
        let mut frames = vec![0; maze.rooms() + 1];
        for pose in episode.poses.unwrap() {
            frames[usize::from(maze.room_at(pose).unwrap())] += 1;
        }
        // A room is crossed in about 30 ticks, and there are at most a dozen: each gets several.
        assert!(frames[1..].iter().all(|&count| count >= 40), "seed {seed}: {frames:?}");
    }
}

#[test]
fn explorers_look_where_they_can_go() {
    let config = config();
    let mut close = 0;
    for seed in 0..4 {
        let maze = Maze::new(seed, &config);
        for pose in walk(seed, 1000, Policy::Explore).poses.unwrap() {
            let ahead = angle::direction(pose.yaw) * 0.8;
            close += usize::from(!maze.is_open(Vec2::new(pose.x, pose.y) + ahead));
        }
    }
    // Some is fine (looking around, narrow corners); standing before a wall is not.
    assert!(close < 4000 / 8, "{close} of 4000 frames face a wall less than a cell away");
}

#[test]
fn revisits_come_back_and_turn_around_fully() {
    let episode = walk(2, 3000, Policy::Revisit);
    let poses = episode.poses.unwrap();
    let distance = |a: &Pose, b: &Pose| ((a.x - b.x).powi(2) + (a.y - b.y).powi(2)).sqrt();
    let left = poses.iter().position(|pose| distance(pose, &poses[0]) > 4.0).expect("it leaves");
    let back = poses[left..].iter().position(|pose| distance(pose, &poses[0]) < 0.7);
    assert!(back.is_some(), "it comes back");
    // While it stands, all twelve directions are seen before it walks on.
    let (mut seen, mut full_turns) = (BTreeSet::new(), 0);
    for pair in poses.windows(2) {
        if distance(&pair[0], &pair[1]) > 1e-4 {
            seen.clear();
        } else if seen.insert((pair[1].yaw / 30.0).floor().to_bits()) && seen.len() == 12 {
            full_turns += 1;
        }
    }
    assert!(full_turns >= 4, "{full_turns} full turns");
}

#[test]
fn rates_change_steps_not_speed() {
    let (slow, fast) = (MazeConfig::sized(32, 24, 17.5), MazeConfig::sized(32, 24, 35.0));
    assert_eq!(slow.turn_degrees, 2.0 * fast.turn_degrees);
    assert_eq!(slow.cells_per_tick, 2.0 * fast.cells_per_tick);
}

#[test]
fn policies_are_named_in_text() {
    for policy in [Policy::Explore, Policy::Revisit] {
        assert_eq!(policy.to_string().parse(), Ok(policy));
    }
    assert!("wander".parse::<Policy>().unwrap_err().contains("expected explore or revisit"));
}
