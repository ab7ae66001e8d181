//! The benchmark against stand-ins whose figures are known: one that is the game, one that shows
//! the last frame again, one that turns the wrong way.

use std::cell::Cell;
use std::path::Path;

use input::{ActionLayout, Controller as _, Pose};

use super::*;

const WIDTH: usize = 48;
const HEIGHT: usize = 36;
const FRAMES: usize = 400;
/// Pixels that a full turn of the axis moves the picture.
const TURN_PX: f32 = 8.0;
/// Pixels around the whole panorama.
const AROUND: usize = 600;

/// What is seen when looking `at` pixels around a panorama: all that this game has is turning.
fn view(at: usize) -> Vec<u8> {
    let level = |i: usize, colour: usize| {
        let (x, y) = ((at + i % WIDTH) % AROUND / 3, i / WIDTH / 2);
        let mixed = (x * 7919) ^ (y * 104_729) ^ (x * y * 31) ^ (colour * 37);
        u8::try_from(mixed % 251).unwrap()
    };
    (0..WIDTH * HEIGHT).flat_map(|i| [0, 1, 2].map(|colour| level(i, colour))).collect()
}

/// Where one looks after an action.
fn turned(at: usize, action: &Action, sign: i64) -> usize {
    let pixels = (1..=8_i64).filter(|&n| n as f32 <= action.turn.abs() * TURN_PX).count();
    let pixels = i64::try_from(pixels).unwrap() * if action.turn < 0.0 { -sign } else { sign };
    let around = i64::try_from(AROUND).unwrap();
    usize::try_from((i64::try_from(at).unwrap() + pixels).rem_euclid(around)).unwrap()
}

/// Two episodes that turn this way and that at several speeds, and sometimes stand still.
fn write_episodes(dir: &Path) {
    for (file, salt) in [("a.npz", 0), ("b.npz", 3)] {
        let mut at = 100 + salt;
        let (mut video, mut actions, mut poses) = (Vec::new(), Vec::new(), Vec::new());
        for t in 0..FRAMES {
            let side = if (t / 40 + salt) % 2 == 0 { 1.0 } else { -1.0 };
            let speed = [0.0, 0.25, 0.5, 1.0, 0.5][(t / 8 + salt) % 5];
            let turn = if t == 0 { 0.0 } else { side * speed };
            actions.push(Action { turn, ..Action::NEUTRAL });
            at = turned(at, &actions[t], 1);
            video.extend(view(at));
            poses.push(Pose { x: (t % 50) as f32, y: (t / 50) as f32, yaw: 0.0 });
        }
        let episode = Episode {
            width: u32::try_from(WIDTH).unwrap(),
            height: u32::try_from(HEIGHT).unwrap(),
            video,
            actions,
            poses: Some(poses),
            fps: 17.5,
            layout: ActionLayout { turn_degrees: 15.0, ..ActionLayout::default() },
            source: "panorama".to_owned(),
        };
        input::write_npz(&episode.checked().unwrap(), &dir.join(file)).unwrap();
    }
}

/// The game itself, or its mirror image in what turning does, or a picture that never changes.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Game,
    WrongWay,
    Copy,
}

struct StandIn {
    kind: Kind,
    at: usize,
    begun: usize,
    made: usize,
    /// What it was told since it began.
    steered: Vec<Action>,
}

impl StandIn {
    fn new(kind: Kind) -> Self {
        Self { kind, at: 0, begun: 0, made: 0, steered: Vec::new() }
    }
}

impl Rollout for StandIn {
    fn begin(&mut self, frames: &[&[u8]], actions: &[Action], _: &[Pose]) -> Result<()> {
        assert_eq!(frames.len(), actions.len());
        let newest = frames.last().context("history")?;
        self.at = (0..AROUND).find(|&at| view(at) == *newest).context("a view of the game")?;
        // The actions belong to the frames: each leads from one to the next.
        let mut at = self.at;
        for (frame, action) in frames.iter().zip(actions).rev() {
            assert!(view(at) == *frame);
            at = turned(at, action, -1);
        }
        self.begun += 1;
        self.steered.clear();
        Ok(())
    }

    fn next(&mut self, action: &Action) -> Result<Vec<u8>> {
        self.made += 1;
        self.steered.push(*action);
        self.at = match self.kind {
            Kind::Game => turned(self.at, action, 1),
            Kind::WrongWay => turned(self.at, action, -1),
            Kind::Copy => self.at,
        };
        Ok(view(self.at))
    }

    /// Of what is copied views show as much, but not on every walk.
    fn shown_by_atlas(&mut self) -> Result<Option<Vec<u8>>> {
        let shows = matches!(self.kind, Kind::Copy) && self.begun > 1;
        Ok(shows.then(|| view(self.at)))
    }

    fn reconstruct(&mut self, frame: &[u8]) -> Result<Vec<u8>> {
        Ok(frame.to_vec())
    }
}

fn args(dir: &Path) -> RolloutArgs {
    RolloutArgs {
        world: PathBuf::new(),
        episodes: dir.to_owned(),
        limit: 12,
        history: 3,
        minutes: 0.5,
        random_play: None,
        seed: 4,
        json: None,
        strip: None,
    }
}

/// A millisecond passes whenever it is asked.
fn report(kind: Kind, args: &RolloutArgs) -> (Report, StandIn) {
    let (mut model, asked) = (StandIn::new(kind), Cell::new(0));
    let now = || Duration::from_millis(asked.replace(asked.get() + 1));
    let report = run(&mut model, args, &now).unwrap();
    (report, model)
}

#[test]
fn the_game_itself_scores_everything() {
    let dir = tempfile::tempdir().unwrap();
    write_episodes(dir.path());
    let args = RolloutArgs {
        json: Some(dir.path().join("figures.json")),
        strip: Some(dir.path().join("strip.png")),
        random_play: Some(dir.path().to_owned()),
        ..args(dir.path())
    };
    let (report, model) = report(Kind::Game, &args);
    assert_eq!(report.rollout.starts, 12);
    for horizon in &report.rollout.horizons {
        assert_eq!(horizon.dream.psnr.to_bits(), metric::PSNR_MAX.to_bits());
        assert!((horizon.dream.gradient_ratio - 1.0).abs() < 1e-12);
        assert!(horizon.mean_frame.psnr < 25.0 && horizon.mean_frame.gradient_ratio < 0.5);
    }
    assert!(report.rollout.horizons.iter().all(|horizon| horizon.copy.psnr < 60.0));
    assert_eq!(report.rollout.codec.psnr.to_bits(), metric::PSNR_MAX.to_bits());
    assert!((report.rollout.frames_per_second - 1000.0).abs() < 1e-6);
    assert_eq!(report.steer.starts, 12);
    assert_eq!([report.steer.left, report.steer.right, report.steer.game], [1.0; 3]);
    assert!((report.steer.amount - 1.0).abs() < 0.2, "{}", report.steer.amount);
    let drift = report.drift.as_ref().unwrap();
    assert_eq!((drift.dream.frames, drift.tenths.len()), (525, 10));
    assert!(drift.dream.all > 0.9 && drift.game.all > 0.9, "{drift:?}");
    assert_eq!(drift.atlas, None, "it shows nothing");
    assert_eq!(drift.game_random, Some(drift.game), "the same play");
    // 12 rollouts, 12 turns each way, one walk.
    assert_eq!((model.begun, model.made), (12 + 24 + 1, 12 * 32 + 24 * 4 + 525));

    let text = std::fs::read_to_string(dir.path().join("figures.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["rollout"]["horizons"][4]["frame"], 32);
    assert_eq!(json["steer"]["both"], 1.0);
    let table = report.table();
    assert_eq!(table.matches("| no |").count(), 0, "{table}");
    assert!(table.contains("meant for 200 starts"), "{table}");
    // The signature of PNG, then the size: 5 columns of 48 + 2 pixels.
    let strip = std::fs::read(dir.path().join("strip.png")).unwrap();
    assert_eq!(strip[16..20], 250_u32.to_be_bytes());
}

#[test]
fn a_still_picture_scores_what_copying_scores() {
    let dir = tempfile::tempdir().unwrap();
    write_episodes(dir.path());
    let (report, model) = report(Kind::Copy, &args(dir.path()));
    for horizon in &report.rollout.horizons {
        assert_eq!(horizon.dream, horizon.copy);
        assert_eq!(horizon.atlas_starts, report.rollout.starts - 1);
    }
    let beside = &report.rows()[2].beside;
    assert!(beside.contains("atlas alone") && beside.ends_with(" starts)"), "{beside}");
    assert_eq!(report.steer.both.to_bits(), 0.0_f64.to_bits());
    let drift = report.drift.as_ref().unwrap();
    let dream = drift.dream;
    assert_eq!(drift.atlas, Some(dream), "both show the same");
    assert_eq!(drift.game_random, None, "nobody recorded it");
    // Random play looks at what it is shown, and tells a picture that stands still.
    let mut blind = input::Wander::new(args(dir.path()).seed);
    let blind: Vec<Action> = model.steered.iter().map(|_| blind.poll()).collect();
    let turns = |walk: &[Action]| walk.iter().map(|action| action.turn.abs()).sum::<f32>();
    assert!(turns(&model.steered) > 1.2 * turns(&blind), "it turns away, again and again");
    assert!(dream.movement == 0.0 && dream.turning_change == 0.0, "{dream:?}");
    assert!(dream.sharpness > 0.9 && dream.all < 0.9, "{dream:?}");
    let rows = report.rows();
    let gains = rows.iter().filter(|row| row.figure.starts_with("above copy"));
    assert!(gains.into_iter().all(|row| row.value == 0.0 && !row.floor.holds(row.value)));
}

#[test]
fn turning_the_wrong_way_is_never_right() {
    let dir = tempfile::tempdir().unwrap();
    write_episodes(dir.path());
    let (report, _) = report(Kind::WrongWay, &RolloutArgs { minutes: 0.0, ..args(dir.path()) });
    assert_eq!([report.steer.left, report.steer.right, report.steer.both], [0.0; 3]);
    assert!(report.steer.amount < -0.8, "{}", report.steer.amount);
    assert!(report.drift.is_none());
}

#[test]
fn starts_move_more_than_the_median_and_lie_apart_on_the_map() {
    let dir = tempfile::tempdir().unwrap();
    write_episodes(dir.path());
    let held = Held::read(dir.path()).unwrap();
    let rule = StartRule { count: 8, history: 5, horizon: 32, seed: 1 };
    let motion = |start: &Start| {
        let change = &held.episodes[start.episode].change;
        metric::mean(&change[start.frame + 1..start.frame + 33])
    };
    let possible = held.possible_starts(rule);
    assert_eq!(possible.len(), 2 * (FRAMES - 32 - 4));
    let motions: Vec<f64> = possible.iter().map(motion).collect();
    let median = metric::percentile(&motions, 0.5);
    let starts = held.moving_starts(rule);
    assert_eq!(starts.len(), 8);
    assert!(starts.iter().all(|start| motion(start) > median));
    let apart =
        |pair: &[Start]| pair[0].episode != pair[1].episode || pair[1].frame - pair[0].frame >= 32;
    assert!(starts.windows(2).all(apart), "{starts:?}");
    assert_eq!(starts, held.moving_starts(rule));
    assert_ne!(starts, held.moving_starts(StartRule { seed: 2, ..rule }));
    // More than there are: every one that moves enough, once.
    let all = held.moving_starts(StartRule { count: 10_000, ..rule });
    assert_eq!(all.len(), motions.iter().filter(|&&motion| motion > median).count());
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn every_part_of_the_map_gets_its_share() {
    let dir = tempfile::tempdir().unwrap();
    write_episodes(dir.path());
    let mut held = Held::read(dir.path()).unwrap();
    // One frame in twenty is spent in the far corner.
    for survey in &mut held.episodes {
        for (t, pose) in survey.poses.as_mut().unwrap().iter_mut().enumerate() {
            let far = t % 100 < 5;
            (pose.x, pose.y) = if far { (100.0, 100.0) } else { (0.0, 0.0) };
        }
    }
    let rule = StartRule { count: 8, history: 1, horizon: 32, seed: 1 };
    let starts = held.spread(held.possible_starts(rule), rule);
    let far = starts.iter().filter(|start| start.frame % 100 < 5).count();
    assert_eq!((starts.len(), far), (8, 4));
}

#[test]
fn what_does_not_fit_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let message = |args: &RolloutArgs| {
        let mut model = StandIn::new(Kind::Game);
        format!("{:#}", run(&mut model, args, &|| Duration::ZERO).unwrap_err())
    };
    assert!(message(&args(dir.path())).contains("got none in"));
    write_episodes(dir.path());
    let long = RolloutArgs { history: 390, ..args(dir.path()) };
    assert!(message(&long).contains("lower --history"));

    let mut other = Episode::open(&dir.path().join("a.npz")).unwrap();
    other.fps = 20.0;
    input::write_npz(&other, &dir.path().join("c.npz")).unwrap();
    assert!(message(&args(dir.path())).contains("c.npz"));
}

#[test]
fn a_world_of_another_size_is_refused() {
    struct Small;
    impl Rollout for Small {
        fn begin(&mut self, _: &[&[u8]], _: &[Action], _: &[Pose]) -> Result<()> {
            Ok(())
        }
        fn next(&mut self, _: &Action) -> Result<Vec<u8>> {
            Ok(vec![0; 12])
        }
        fn reconstruct(&mut self, frame: &[u8]) -> Result<Vec<u8>> {
            Ok(frame.to_vec())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    write_episodes(dir.path());
    let error = run(&mut Small, &args(dir.path()), &|| Duration::ZERO).unwrap_err();
    assert!(error.to_string().contains("expected pictures of 48x36"), "{error}");
}
