use super::*;
use crate::noise::Random;
use proptest::prelude::*;
use std::sync::LazyLock;
use tempfile::tempdir;

const STEP: f32 = 12.0;
const MOMENTUM: f32 = 0.8;

/// Somebody walks about on a map of 60 steps, turns round at its edges, and now and then is held fast.
fn walk(config: &ModelConfig, (map, seed): (u64, u64), frames: usize) -> LatentEpisode {
    let mut random = Random::new(seed, 0);
    let (mut pose, mut velocity) = (Pose { x: 360.0, y: 360.0, yaw: 0.0 }, (0.0, 0.0));
    let (mut poses, mut actions, mut latents) = (Vec::new(), Vec::new(), Vec::new());
    for frame in 0..frames {
        let inside = [pose.x, pose.y].iter().all(|at| (100.0..620.0).contains(at));
        let turn = if inside { 0.3 * random.normal() } else { 0.5 };
        let mut action = vec![0.0; config.action];
        (action[0], action[1]) = (turn, if frame % 50 < 40 { 1.0 } else { -0.5 });
        pose.yaw = (pose.yaw - 30.0 * turn).rem_euclid(360.0);
        let command = command(&action, pose.yaw, false);
        let follow =
            |velocity: f32, command: f32| MOMENTUM * velocity + (1.0 - MOMENTUM) * STEP * command;
        velocity = (follow(velocity.0, command.0), follow(velocity.1, command.1));
        if random.chance(0.2) {
            velocity = (0.0, 0.0);
        }
        pose = Pose { x: pose.x + velocity.0, y: pose.y + velocity.1, ..pose };
        // What is seen depends on the map, the place and the direction.
        let seen = [pose.x / 72.0, pose.y / 72.0, pose.yaw / 45.0];
        #[expect(clippy::cast_possible_truncation, reason = "tens")]
        let seen = seen.iter().fold(map, |key, at| 1000 * key + (at.floor() as i64).unsigned_abs());
        latents.extend(Random::new(seen, 9).normals(config.latent_len()));
        poses.push(pose);
        actions.extend(action);
    }
    let shape = (frames, config.channels, config.height, config.width);
    let latents = Tensor::from_vec(latents, shape, &Device::Cpu).unwrap();
    let actions = Tensor::from_vec(actions, (frames, config.action), &Device::Cpu).unwrap();
    LatentEpisode::new(&latents, &actions).unwrap().with_poses(poses).unwrap()
}

fn surveyed(count: usize) -> (Vec<LatentEpisode>, Atlas) {
    let config = ModelConfig::tiny();
    let episodes = vec![walk(&config, (1, 1), 900), walk(&config, (1, 2), 700)];
    let atlas = Atlas::survey(&episodes, count).unwrap();
    (episodes, atlas)
}

#[test]
fn episodes_of_different_maps_make_no_atlas() {
    let config = ModelConfig::tiny();
    let episodes = [walk(&config, (1, 1), 900), walk(&config, (2, 2), 700)];
    let why = Atlas::survey(&episodes, 100).unwrap_err();
    assert!(why.contains("different maps"), "{why}");
    assert!(Atlas::survey(&episodes[1..], 100).is_ok(), "one alone is of one map");
}

#[test]
fn motion_is_learnt_from_those_who_walk_freely() {
    let (_, atlas) = surveyed(50);
    let Motion { step, momentum, ticks, faster_aslant, .. } = atlas.motion;
    assert_eq!((ticks, faster_aslant), (1, false), "the simplest that explains it");
    // Some frames in five stop short: squares would make it slower by a fifth.
    assert!(
        (step / STEP - 1.0).abs() < 0.03 && (momentum - MOMENTUM).abs() < 0.03,
        "{step} {momentum}"
    );
}

/// Somebody walks as a motion says, in any direction, in a room of 16 steps by 16.
fn walk_by(motion: Motion, seed: u64, frames: usize) -> LatentEpisode {
    let side = || (0..33_u8).map(|at| f32::from(at) / 2.0);
    let ground = Ground::under(side().flat_map(|x| side().map(move |y| (x, y))));
    let (config, mut random) = (ModelConfig::tiny(), Random::new(seed, 0));
    let mut walker = Walker { pose: Pose { x: 8.0, y: 8.0, yaw: 0.0 }, velocity: (0.0, 0.0) };
    let (mut poses, mut actions, mut action) = (Vec::new(), Vec::<f32>::new(), [0.0; 4]);
    for frame in 0..frames {
        if frame % 5 == 0 {
            action = [0.4 * random.normal(), random.normal(), random.normal(), 0.0]
                .map(|axis| axis.clamp(-1.0, 1.0));
        }
        walker = motion.walk(&ground, walker, &action, -15.0 * action[0]);
        let Pose { x, y, yaw } = walker.pose;
        poses.push(Pose { x: motion.step * x, y: motion.step * y, yaw });
        actions.extend(&action[..config.action]);
    }
    let shape = (frames, config.channels, config.height, config.width);
    let latents = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let actions = Tensor::from_vec(actions, (frames, config.action), &Device::Cpu).unwrap();
    LatentEpisode::new(&latents, &actions).unwrap().with_poses(poses).unwrap()
}

#[test]
fn ticks_and_walls_are_learnt_too() {
    for (ticks, faster_aslant, slowed_by_walls) in
        [(2, true, true), (4, false, true), (2, false, false), (1, true, false)]
    {
        let motion = Motion { step: 17.0, momentum: 0.9, ticks, faster_aslant, slowed_by_walls };
        let learnt = Atlas::survey(&[walk_by(motion, 5, 12_000)], 100).unwrap().motion;
        let off = ((learnt.step / 17.0 - 1.0).abs(), (learnt.momentum - 0.9).abs());
        assert!(off.0 < 0.01 && off.1 < 0.01, "{learnt:?}, not {motion:?}");
        let plain = Motion { step: 17.0, momentum: 0.9, ..learnt };
        assert_eq!(plain, motion);
        assert_eq!(Motion::read(&motion.write()), Some(motion));
    }
    let numbers = Motion::of_steps(3.0).write();
    for (at, wrong) in [(0, 0.0), (0, f32::NAN), (1, 1.0), (1, -0.1), (2, 3.0), (2, f32::NAN)] {
        let mut numbers = numbers;
        numbers[at] = wrong;
        assert_eq!(Motion::read(&numbers), None, "{numbers:?}");
    }
}

#[test]
fn a_survey_keeps_frames_with_their_places_and_spreads_them() {
    let (episodes, all) = surveyed(10_000);
    let (_, few) = surveyed(60);
    assert_eq!(few.views.len(), 60);
    assert!(all.views.len() > 300, "{}", all.views.len());
    let spread = |views: &[View]| {
        let mean = views.iter().map(|view| view.pose.x).sum::<f32>() / views.len() as f32;
        (views.iter().map(|view| (view.pose.x - mean).powi(2)).sum::<f32>() / views.len() as f32)
            .sqrt()
    };
    // Every so many of all, in order: chance leaves a tenth or so of 60 samples' spread.
    assert!((spread(&few.views) / spread(&all.views) - 1.0).abs() < 0.2);
    for view in &few.views {
        let is_it = |(episode, frame): (&LatentEpisode, usize)| {
            all.motion.in_steps(episode.poses()[frame]) == view.pose
                && episode.action(frame) == &view.action[..]
                && episode
                    .latents(frame, 1)
                    .map(|x| widened(narrowed(x)).to_bits())
                    .eq(view.latent.iter().copied())
        };
        let mut frames =
            episodes.iter().flat_map(|episode| (0..episode.frames()).map(move |at| (episode, at)));
        assert!(frames.any(is_it), "{:?}", view.pose);
        let pose = view.pose;
        assert!(all.is_known((pose.x * all.motion.step, pose.y * all.motion.step)));
    }
    assert!(!all.is_known((-900.0, 360.0)));
    // Nothing is made up where nothing is told.
    assert!(Atlas::survey(&episodes, 0).is_err());
    let config = ModelConfig::tiny();
    let shape = (9, config.channels, config.height, config.width);
    let latents = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let actions = Tensor::ones((9, config.action), DType::F32, &Device::Cpu).unwrap();
    let silent = LatentEpisode::new(&latents, &actions).unwrap();
    let why = Atlas::survey(std::slice::from_ref(&silent), 50).unwrap_err();
    assert!(why.contains("places"), "{why}");
    let still = silent.with_poses(vec![Pose::default(); 9]).unwrap();
    let why = Atlas::survey(&[still], 50).unwrap_err();
    assert!(why.contains("nobody walks"), "{why}");
}

#[test]
fn an_atlas_is_read_as_it_was_written() {
    let (config, dir) = (ModelConfig::tiny(), tempdir().unwrap());
    let path = dir.path().join("atlas.safetensors");
    assert_eq!(Atlas::load(&path, &config, |_| ()).unwrap(), None);
    let (_, atlas) = surveyed(70);
    atlas.save(&path, &config).unwrap();
    assert_eq!(Atlas::load(&path, &config, |_| ()).unwrap(), Some(atlas));
    let wider = ModelConfig { action: config.action + 1, ..config };
    let error = Atlas::load(&path, &wider, |_| ()).unwrap_err().to_string();
    assert!(
        error.contains("expected actions of [70,") && error.contains("atlas.safetensors"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn a_damaged_file_is_an_error_or_an_atlas(
        (cut, at, with) in (0.0_f64..1.1, any::<prop::sample::Index>(), any::<u8>()),
        header in any::<bool>(),
    ) {
        static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
            let dir = tempdir().unwrap();
            let path = dir.path().join("atlas.safetensors");
            surveyed(5).1.save(&path, &ModelConfig::tiny()).unwrap();
            std::fs::read(&path).unwrap()
        });
        let (config, mut bytes) = (ModelConfig::tiny(), WHOLE.clone());
        // The header is a small share of the bytes, and the part where most can go wrong.
        let within = if header { bytes.len().min(700) } else { bytes.len() };
        bytes[at.index(within)] = with;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 1.1 times the file")]
        bytes.truncate((bytes.len() as f64 * cut) as usize);
        if let Ok(atlas) = Atlas::parse(&bytes, &config) {
            prop_assert_eq!(atlas.views.len(), 5);
        }
    }
}

#[test]
fn a_byte_tells_small_values_apart_and_large_ones_roughly() {
    for byte in 0..=255_u8 {
        assert_eq!(narrowed(widened(byte).to_f32()), byte.max(1), "{byte}");
    }
    for (value, off) in [(0.0, 0.0), (0.2, 0.015), (-0.2, 0.015), (-4.0, 0.07), (15.0, 0.13)] {
        let kept = widened(narrowed(value)).to_f32();
        assert!((kept - value).abs() <= off, "{value}: {kept}");
    }
    assert_eq!(widened(narrowed(99.0)).to_f32(), VALUE_MAX);
    assert_eq!(widened(narrowed(f32::NEG_INFINITY)).to_f32(), -VALUE_MAX);
}

#[test]
fn frames_of_the_map_are_told_from_others() {
    let (episodes, atlas) = surveyed(10_000);
    let seen = |map: u64| {
        let episode = walk(&ModelConfig::tiny(), (map, 3), 200);
        let frame = |at: usize| (episode.poses()[at], episode.latents(at, 1).collect());
        (0..200).step_by(10).map(frame).collect::<Vec<_>>()
    };
    let shows = |frames: &[_]| atlas.shows(frames);
    assert!(shows(&seen(1)), "another walk on the same map");
    assert!(!shows(&seen(2)), "the same places on another map");
    assert!(!shows(&[]));
    let far = Pose { x: 9e4, ..Pose::default() };
    assert!(!shows(&[(far, episodes[0].latents(0, 1).collect())]), "nothing is near");
}
