//! Tests of the readers, on episodes made by the libraries that made the data sets (`fixtures/make.py`).
//!
//! Frame `t` of each is a grey of its own with a red upper left quarter, so that any shift, flip or swap of colours
//! fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::{Episode, Kind, Recording, episodes_in};
use crate::{Action, Buttons, Pose};

pub(super) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("episode/datasets/fixtures").join(name)
}

/// The only episode in a folder of fixtures, whose frames must be those of `make.py` from number `first` on, each
/// value to within `tolerance`.
fn read(folder: &str, kind: Kind, first: usize, tolerance: u8) -> Episode {
    let paths = episodes_in(&fixture(folder)).unwrap();
    assert_eq!(paths.len(), 1, "{paths:?}");
    read_one(&paths[0], kind, first, tolerance)
}

fn read_one(path: &Path, kind: Kind, first: usize, tolerance: u8) -> Episode {
    let recording = Recording::open(path).unwrap();
    assert_eq!(recording.kind, kind);
    let episode = recording.into_episode().unwrap();
    check_frames(&episode, first, tolerance);
    episode
}

fn check_frames(episode: &Episode, first: usize, tolerance: u8) {
    let (width, height) = (episode.width as usize, episode.height as usize);
    for (t, frame) in episode.frames().enumerate() {
        let grey = u8::try_from((40 + 20 * (first + t)).min(255)).unwrap();
        // The middles of the quarters, away from the edges that every codec blurs.
        for (x, y, wanted) in [
            (width / 4, height / 4, [200, 30, 30]),
            (3 * width / 4, height / 4, [grey; 3]),
            (width / 4, 3 * height / 4, [grey; 3]),
        ] {
            let got = &frame[3 * (y * width + x)..][..3];
            let light = |rgb: &[u8]| {
                0.299 * f32::from(rgb[0]) + 0.587 * f32::from(rgb[1]) + 0.114 * f32::from(rgb[2])
            };
            let dim = (light(got) - light(&wanted)).abs() > f32::from(tolerance);
            // Codecs spend less on colour.
            let stained =
                got.iter().zip(&wanted).any(|(got, wanted)| got.abs_diff(*wanted) > 2 * tolerance);
            assert!(!dim && !stained, "frame {t} at {x}, {y}: {got:?} for {wanted:?}");
        }
    }
}

/// Rounding to 4:2:0 in limited range and a fine quantiser.
const H264: u8 = 3;
/// JPEG, H.264, MPEG-4 and AV1 at the qualities that the writers choose. A frame's neighbours differ by 20, so that
/// with less than half of it none is taken for another.
const COARSE: u8 = 8;

fn axes(episode: &Episode) -> Vec<[f32; 4]> {
    episode.actions.iter().map(Action::axes).collect()
}

/// Names of the buttons that are down at each frame.
fn pressed(episode: &Episode) -> Vec<Vec<&str>> {
    let names = |action: &Action| {
        let buttons = episode.layout.buttons.iter().enumerate();
        let down = buttons.filter(|(index, _)| action.buttons.contains(*index));
        down.map(|(_, name)| name.as_str()).collect()
    };
    episode.actions.iter().map(names).collect()
}

fn assert_close(got: &[[f32; 4]], wanted: &[[f32; 4]], tolerance: f32) {
    assert_eq!(got.len(), wanted.len());
    for (t, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        let near = got.iter().zip(wanted).all(|(got, wanted)| (got - wanted).abs() <= tolerance);
        assert!(near, "frame {t}: {got:?} for {wanted:?}");
    }
}

#[test]
fn vpts_lines_lead_to_the_frame_after_theirs() {
    let episode = read("vpt", Kind::Vpt, 0, H264);
    assert_eq!((episode.len(), episode.fps), (8, 20.0));
    let wanted = [
        [0.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0],
        [20.0 * 0.15 / 20.0, 1.0, -1.0, 0.0],
        [-10.5 * 0.15 / 20.0, -1.0, 0.0, -40.0 * 0.15 / 20.0],
        [0.0, 0.0, 1.0, 1.0],
        // Faster than an axis reaches.
        [1.0, 0.0, 0.0, 0.0],
        [0.0; 4],
        [0.0; 4],
    ];
    // Products of floats in another order.
    assert_close(&axes(&episode), &wanted, 1e-6);
    let wanted: [&[&str]; 8] = [
        &[],
        // An attack held from the first line on is stuck until it is pressed anew.
        &[],
        &["jump"],
        &["use"],
        &["attack", "sneak"],
        &["hotbar 3"],
        // The place changed without its key.
        &["pick", "hotbar 3"],
        &["inventory"],
    ];
    assert_eq!(pressed(&episode), wanted);
    assert_eq!(episode.poses.unwrap()[3], Pose { x: 103.5, y: 33.0, yaw: -135.0 });
    assert_eq!(episode.layout.turn_degrees, 20.0);
}

#[test]
fn a_vpt_episode_is_found_by_its_video_as_well() {
    let by_video = Episode::open(&fixture("vpt/cheeky-cornflower-1.mp4")).unwrap();
    assert_eq!(by_video, Episode::open(&fixture("vpt/cheeky-cornflower-1.jsonl")).unwrap());
}

#[test]
fn game_factorys_actions_led_to_their_frames() {
    let episode = read("game_factory", Kind::GameFactory, 0, H264);
    assert_eq!((episode.len(), episode.fps, episode.layout.turn_degrees), (6, 16.0, 15.0));
    let wanted = [
        [0.0; 4],
        [0.5, 1.0, 0.0, 0.0],
        [-1.0, -1.0, -1.0, 0.0],
        [0.0, 0.0, 1.0, -0.5],
        [0.0; 4],
        [0.0; 4],
    ];
    assert_eq!(axes(&episode), wanted);
    let wanted: [&[&str]; 6] = [&[], &[], &["jump"], &["sneak"], &["sprint"], &[]];
    assert_eq!(pressed(&episode), wanted);
    assert_eq!(episode.poses.unwrap()[2], Pose { x: 3.0, y: -3.0, yaw: -120.0 });
}

#[test]
fn loopnavs_actions_come_from_its_poses() {
    let episode = read("loopnav", Kind::LoopNav, 0, COARSE);
    assert_eq!((episode.len(), episode.fps), (6, 20.0));
    let wanted = [
        [0.0; 4],
        [0.0, 1.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0],
        // A turn to the left by half of what an axis reaches.
        [-0.5, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 1.0],
    ];
    // The recorder rounds places to a thousandth of a block, a step being 0.216.
    assert_close(&axes(&episode), &wanted, 0.01);
    let pose = episode.poses.unwrap()[2];
    assert_eq!((pose.x, pose.y, pose.yaw), (0.0, 0.432, 90.0));
}

#[test]
fn counter_strikes_actions_lead_to_the_frame_after() {
    let episode = read("counter_strike", Kind::CounterStrike, 0, 0);
    assert_eq!((episode.width, episode.height, episode.len(), episode.fps), (28, 16, 6, 16.0));
    let wanted = [
        [0.0; 4],
        [0.0, 1.0, 0.0, 0.0],
        [20.0 / 200.0, 1.0, -1.0, 0.0],
        [-4.0 / 200.0, -1.0, 1.0, -50.0 / 200.0],
        [1.0, 0.0, 0.0, 1.0],
        [0.0; 4],
    ];
    assert_eq!(axes(&episode), wanted);
    let wanted: [&[&str]; 6] =
        [&[], &["fire"], &["jump"], &["reload"], &["zoom"], &["crouch", "walk", "weapon 1"]];
    assert_eq!(pressed(&episode), wanted);
}

#[test]
fn worldmems_first_hundred_frames_are_left_out() {
    let episode = read("worldmem_h264", Kind::WorldMem, 0, H264);
    check_world_mem(&episode);
}

fn check_world_mem(episode: &Episode) {
    assert_eq!((episode.len(), episode.fps), (6, 10.0));
    let wanted = [
        // What led to the first frame that is kept is not kept.
        [0.0; 4],
        [-1.0, 1.0, 0.0, 0.0],
        [1.0, -1.0, 1.0, 0.0],
        [0.0, 0.0, -1.0, 1.0],
        [0.0, 0.0, 0.0, -1.0],
        [0.0; 4],
    ];
    assert_eq!(axes(episode), wanted);
    let wanted: [&[&str]; 6] = [&[], &[], &["jump"], &["sprint"], &["attack"], &["use"]];
    assert_eq!(pressed(episode), wanted);
    let pose = episode.poses.as_ref().unwrap()[1];
    assert_eq!(pose, Pose { x: 111.0, y: 81.0, yaw: -90.0 - 15.0 * 101.0 });
}

fn has_ffmpeg() -> bool {
    Command::new("ffmpeg").arg("-version").output().is_ok_and(|output| output.status.success())
}

#[test]
fn videos_as_opencv_writes_them_go_through_ffmpeg() {
    if !has_ffmpeg() {
        // Then every such video says what is missing.
        let error = Recording::open(&fixture("worldmem/000000.npz")).unwrap_err().to_string();
        assert!(error.contains("ffmpeg"), "{error}");
        return;
    }
    check_world_mem(&read("worldmem", Kind::WorldMem, 0, COARSE));
    let episode = read("teco_minecraft", Kind::TecoMinecraft, 0, COARSE);
    let (ahead, left, right) = ([0.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]);
    assert_eq!(axes(&episode), [[0.0; 4], ahead, left, right, ahead, [0.0; 4]]);
    assert_eq!(episode.actions[4].buttons, Buttons::NONE.with(0));
    assert_eq!((episode.fps, episode.layout.turn_degrees), (20.0, 20.0));
}

#[test]
fn minaris_choices_and_raw_pictures_are_read() {
    let paths = episodes_in(&fixture("minari_walk")).unwrap();
    assert!(paths[1].ends_with("main_data.hdf5/episode_000001") && paths.len() == 2, "{paths:?}");
    let episode = read_one(&paths[0], Kind::Minari, 0, 0);
    assert_eq!(episode.len(), 6);
    assert_eq!(episode.layout.buttons, ["action 0", "action 1", "action 2"]);
    let numbers: Vec<u32> = episode.actions.iter().map(|action| action.buttons.0).collect();
    assert_eq!(numbers, [0, 0b100, 0b001, 0b010, 0b010, 0b001]);
    let second = read_one(&paths[1], Kind::Minari, 0, 0);
    assert_eq!(second.actions[3].buttons, Buttons(0b100));
}

#[test]
fn older_minari_files_describe_their_actions_themselves() {
    let paths = episodes_in(&fixture("minari_old")).unwrap();
    let episode = read_one(&paths[0], Kind::Minari, 0, 0);
    let pressed: Vec<u32> = episode.actions.iter().map(|action| action.buttons.0).collect();
    assert_eq!(pressed, [0, 0b10, 0b11]);
}

#[test]
fn minaris_scales_and_jpegs_of_one_and_of_several_lengths_are_read() {
    for path in episodes_in(&fixture("minari_steer")).unwrap() {
        let episode = read_one(&path, Kind::Minari, 0, COARSE);
        // Bounds are -2 to 2 and 0 to 1.
        let wanted =
            [[0.0; 4], [-0.5, 0.5, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0; 4], [0.0; 4], [0.0; 4]];
        assert_eq!(axes(&episode), wanted);
    }
}

#[test]
fn lerobots_episodes_are_cut_from_their_shared_video() {
    let paths = episodes_in(&fixture("lerobot")).unwrap();
    assert!(paths[1].ends_with("lerobot/episode_000001") && paths.len() == 2, "{paths:?}");
    check_lerobot(&fixture("lerobot"));
}

fn check_lerobot(root: &Path) {
    // The greatest values of the whole set, 1.5 and 14, are 1.
    let action = |steer: f32, gas: f32| [steer / 1.5, gas / 14.0, 0.0, 0.0];
    let first = read_one(&root.join("episode_000000"), Kind::LeRobot, 0, COARSE);
    assert_eq!((first.len(), first.fps), (6, 10.0));
    let wanted = [
        [0.0; 4],
        action(-1.0, 0.0),
        action(-0.5, 1.0),
        action(0.0, 2.0),
        action(0.5, 3.0),
        action(1.0, 4.0),
    ];
    assert_close(&axes(&first), &wanted, 1e-6);
    let second = read_one(&root.join("episode_000001"), Kind::LeRobot, 1, COARSE);
    let wanted =
        [[0.0; 4], action(-1.0, 10.0), action(-0.5, 11.0), action(0.0, 12.0), action(0.5, 13.0)];
    assert_close(&axes(&second), &wanted, 1e-6);
}

#[test]
fn lerobots_own_codec_goes_through_ffmpeg() {
    let dir = tempfile::tempdir().unwrap();
    for file in [
        "meta/info.json",
        "meta/stats.json",
        "meta/episodes/chunk-000/file-000.parquet",
        "data/chunk-000/file-000.parquet",
    ] {
        let to = dir.path().join(file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(fixture("lerobot").join(file), to).unwrap();
    }
    let video = "videos/observation.images.front/chunk-000/file-000.mp4";
    let to = dir.path().join(video);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(fixture("lerobot_av1").join(video), to).unwrap();
    if has_ffmpeg() {
        check_lerobot(dir.path());
    } else {
        let error = Recording::open(&dir.path().join("episode_000000")).unwrap_err().to_string();
        assert!(error.contains("ffmpeg") && error.contains("av01"), "{error}");
    }
}

#[test]
fn pictures_come_at_the_size_that_is_asked_for() {
    let episode = Episode::open_sized(&fixture("vpt/cheeky-cornflower-1.jsonl"), 16, 8).unwrap();
    assert_eq!((episode.width, episode.height, episode.len()), (16, 8, 8));
    check_frames(&episode, 0, H264);
}

#[test]
fn what_is_missing_or_wrong_is_named_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::copy(fixture("vpt/cheeky-cornflower-1.mp4"), path("v.mp4")).unwrap();
    let lines = fs::read_to_string(fixture("vpt/cheeky-cornflower-1.jsonl")).unwrap();
    fs::write(path("v.jsonl"), lines.replacen("\"dx\": -10.5", "\"dx\": \"left\"", 1)).unwrap();
    let error = |name: &str| match Recording::open(&path(name)) {
        Ok(recording) => recording.into_episode().unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    let message = error("v.jsonl");
    assert!(
        message.contains("v.jsonl, line 3") && message.contains("string \"left\""),
        "{message}"
    );

    fs::write(path("v.jsonl"), "").unwrap();
    let message = error("v.jsonl");
    assert!(message.contains("at least one frame") && message.contains("v.jsonl"), "{message}");

    // The head of a video that was cut short is at its end, and lost.
    fs::write(path("v.jsonl"), lines).unwrap();
    let video = fs::read(path("v.mp4")).unwrap();
    fs::write(path("v.mp4"), &video[..video.len() / 2]).unwrap();
    let message = error("v.jsonl");
    assert!(message.contains("v.mp4, byte") && message.contains("box"), "{message}");

    let avi = fs::read(fixture("loopnav/04-01_10-00-00.avi")).unwrap();
    fs::copy(fixture("loopnav/04-01_10-00-00.json"), path("w.json")).unwrap();
    fs::write(path("w.avi"), &avi[..avi.len() * 3 / 4]).unwrap();
    let message = error("w.json");
    assert!(message.contains("w.avi, byte") && message.contains("within the file"), "{message}");

    let hdf5 = fs::read(fixture("counter_strike/hdf5_dm_july2021_1.hdf5")).unwrap();
    fs::write(path("c.hdf5"), &hdf5[..hdf5.len() / 2]).unwrap();
    let message = error("c.hdf5");
    assert!(message.ends_with("c.hdf5"), "{message}");

    fs::create_dir_all(path("metadata")).unwrap();
    fs::create_dir_all(path("video")).unwrap();
    fs::copy(fixture("game_factory/video/seed_1_part_1.mp4"), path("video/g.mp4")).unwrap();
    fs::write(path("metadata/g.json"), r#"{"actions": {"1": {"ws": 1, "ad": 0, "scs": 0}}}"#)
        .unwrap();
    let message = error("metadata/g.json");
    assert!(message.contains("none for frame 0") && message.ends_with("g.json"), "{message}");

    let old = r#"{"codebase_version": "v2.1", "fps": 10, "total_episodes": 1, "features": {}}"#;
    fs::create_dir_all(path("old/meta")).unwrap();
    fs::write(path("old/meta/info.json"), old).unwrap();
    let message = error("old/episode_000000");
    assert!(message.contains("convert_dataset_v21_to_v30"), "{message}");
    assert!(episodes_in(&path("old")).is_err());
}
