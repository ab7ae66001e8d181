//! Clips whose `.npz` has the actions and whose pictures are in an `.mp4` of the same name: TECO's Minecraft and
//! WorldMem's.

use std::path::Path;

use super::super::npz::Clip;
use super::super::npz_layout::{self, MINECRAFT_FPS};
use super::super::video;
use super::minecraft;
use crate::episode::{EpisodeError, Kind, Recording, beside};
use crate::{Action, ActionLayout, Buttons, Pose};

/// Frames at the beginning of a WorldMem clip that its loader leaves out: the world is still being drawn.
const UNDRAWN: usize = 100;

/// Degrees of one step of MineDojo's camera.
const STEP_DEGREES: f32 = 15.0;

/// Number of MineDojo's camera action that stands still.
const STILL: f32 = 12.0;

/// Frames per second of WorldMem's videos, where they do not say.
const WORLDMEM_FPS: f32 = 10.0;

/// Buttons of MineDojo: those of its third number, then those of its sixth, each from 1 on.
const BUTTONS: [&str; 10] =
    ["jump", "sneak", "sprint", "use", "drop", "attack", "craft", "equip", "place", "destroy"];

/// Opens the recording that `clip` belongs to.
pub(in crate::episode) fn open(clip: &mut Clip) -> Result<Recording, EpisodeError> {
    let path = clip.path().to_owned();
    let video = beside(&path, "mp4").ok_or_else(|| {
        clip.fault_of_all("an array `video`, or an .mp4 of the same name beside it", "neither")
    })?;
    let shape = clip.side_of_any_shape("actions")?.header.shape;
    match *shape.as_slice() {
        [frames] => teco(clip, &video, frames),
        [frames, 8] => world_mem(clip, &video, frames),
        _ => Err(clip.fault("actions", "[frames] or [frames, 8]", format!("{shape:?}"))),
    }
}

fn teco(clip: &mut Clip, video: &Path, frames: usize) -> Result<Recording, EpisodeError> {
    let numbers = npz_layout::integers(clip, "actions", frames)?;
    let actions = npz_layout::minecraft_actions(clip, &numbers)?;
    let video = video::open(video, 0)?;
    Ok(Recording {
        kind: Kind::TecoMinecraft,
        width: video.width,
        height: video.height,
        fps: video.fps.unwrap_or(MINECRAFT_FPS),
        layout: npz_layout::minecraft_layout(),
        source: "TECO Minecraft".to_owned(),
        actions,
        poses: None,
        frames: video.frames,
        given: 0,
    })
}

fn world_mem(clip: &mut Clip, video: &Path, frames: usize) -> Result<Recording, EpisodeError> {
    let numbers = npz_layout::floats(&clip.side("actions", &[frames, 8])?);
    let skipped = if frames > UNDRAWN { UNDRAWN } else { 0 };
    let mut actions: Vec<Action> = numbers.chunks_exact(8).skip(skipped).map(minedojo).collect();
    if let Some(first) = actions.first_mut() {
        *first = Action::NEUTRAL;
    }
    let poses = if clip.has("poses") { Some(poses(clip, frames)?) } else { None };
    let video = video::open(video, skipped)?;
    Ok(Recording {
        kind: Kind::WorldMem,
        width: video.width,
        height: video.height,
        fps: video.fps.unwrap_or(WORLDMEM_FPS),
        layout: ActionLayout {
            turn_degrees: STEP_DEGREES,
            pitch_degrees: STEP_DEGREES,
            buttons: BUTTONS.map(str::to_owned).to_vec(),
        },
        source: "WorldMem Minecraft".to_owned(),
        actions,
        poses: poses.map(|poses| poses.into_iter().skip(skipped).collect()),
        frames: video.frames,
        given: 0,
    })
}

/// x, height, z, pitch and yaw of each frame; where there is one fewer than frames, the first is missing.
fn poses(clip: &mut Clip, frames: usize) -> Result<Vec<Pose>, EpisodeError> {
    let array = clip.side_of_any_shape("poses")?;
    let rows = match *array.header.shape.as_slice() {
        [rows, 5] if rows == frames || rows + 1 == frames => rows,
        _ => {
            let got = format!("{:?}", array.header.shape);
            return Err(clip.fault("poses", &format!("[{frames}, 5]"), got));
        }
    };
    let numbers = npz_layout::floats(&array);
    let pose = |row: &[f32]| minecraft::pose(row[0], row[2], row[4]);
    let mut poses: Vec<Pose> = numbers.chunks_exact(5).map(pose).collect();
    if rows < frames {
        poses.insert(0, poses.first().copied().unwrap_or_default());
    }
    Ok(poses)
}

/// An action of MineDojo's eight numbers.
fn minedojo(row: &[f32]) -> Action {
    let axis = |number: f32, (plus, minus)| {
        f32::from(i8::from(number == plus) - i8::from(number == minus))
    };
    let mut buttons = Buttons::NONE;
    for (number, first, count) in [(row[2], 0, 3), (row[5], 3, 7_u8)] {
        for index in 0..count {
            if number == f32::from(index) + 1.0 {
                buttons = buttons.with(first + usize::from(index));
            }
        }
    }
    Action {
        turn: row[4] - STILL,
        // Theirs is down.
        pitch: STILL - row[3],
        forward: axis(row[0], (1.0, 2.0)),
        strafe: axis(row[1], (2.0, 1.0)),
        buttons,
    }
    .clamped()
}
