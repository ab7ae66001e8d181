//! LoopNav: walks in Minecraft that return, a video and a list of poses in JSON.
//!
//! The list has no actions that every release shares, so that they are made from the poses: how far the view turned and
//! how far the player went, ahead and to the side, since the frame before.

use std::path::Path;

use serde::Deserialize;

use super::super::video;
use super::minecraft::turned;
use super::read_json;
use crate::episode::{EpisodeError, Kind, Recording};
use crate::{Action, ActionLayout, Pose};

/// Largest list accepted; a frame takes some 300 bytes, and an episode has at most 2500.
const MAX_BYTES: u64 = 64 << 20;

/// Degrees of the largest turn in one tick: 0.1 radians, as the benchmark's own models take them.
const MOST_DEGREES: f32 = 0.1 * 180.0 / std::f32::consts::PI;

/// Blocks walked in one tick: 4.317 a second. The walkers do not sprint.
const STEP: f32 = 4.317 / 20.0;

/// Frames per second, where the video does not say.
const FPS: f32 = 20.0;

/// One frame. The player library counts yaw in radians counter-clockwise from north, pitch upwards.
#[derive(Debug, Deserialize)]
struct Step {
    x: f32,
    z: f32,
    yaw: f32,
    pitch: f32,
}

/// Opens the recording whose poses are at `path`.
pub(super) fn open(path: &Path) -> Result<Recording, EpisodeError> {
    let steps: Vec<Step> = read_json(path, MAX_BYTES, "a list of frames with x, z, yaw and pitch")?;
    let video = video::open(&path.with_extension("avi"), 0)?;
    let pose = |step: &Step| Pose { x: step.x, y: -step.z, yaw: step.yaw.to_degrees() + 90.0 };
    let poses: Vec<Pose> = steps.iter().map(pose).collect();
    let pitches =
        steps.windows(2).map(|pair| turned(pair[0].pitch.to_degrees(), pair[1].pitch.to_degrees()));
    let moves = poses.windows(2).map(|pair| moved(&pair[0], &pair[1]));
    let pitched = moves
        .zip(pitches)
        .map(|(action, pitch)| Action { pitch: pitch / MOST_DEGREES, ..action }.clamped());
    let actions = std::iter::once(Action::NEUTRAL).chain(pitched).take(poses.len()).collect();
    Ok(Recording {
        kind: Kind::LoopNav,
        width: video.width,
        height: video.height,
        fps: video.fps.unwrap_or(FPS),
        layout: ActionLayout {
            turn_degrees: MOST_DEGREES,
            pitch_degrees: MOST_DEGREES,
            buttons: Vec::new(),
        },
        source: "LoopNav Minecraft".to_owned(),
        actions,
        poses: Some(poses),
        frames: video.frames,
        given: 0,
    })
}

/// What leads from one pose to the next, as the player faces after it.
fn moved(before: &Pose, after: &Pose) -> Action {
    let (x, y) = ((after.x - before.x) / STEP, (after.y - before.y) / STEP);
    let (sin, cos) = after.yaw.to_radians().sin_cos();
    Action {
        // Clockwise lowers the yaw.
        turn: -turned(before.yaw, after.yaw) / MOST_DEGREES,
        forward: x * cos + y * sin,
        strafe: x * sin - y * cos,
        ..Action::NEUTRAL
    }
}
