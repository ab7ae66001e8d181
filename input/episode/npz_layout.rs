//! What the arrays of a clip mean: layouts, told apart by the arrays they hold.
//!
//! | layout | pictures | actions | poses |
//! |---|---|---|---|
//! | recorder | `video` | `actions` f32 (T, 4), `buttons` (T,) | `pose` (T, 3): x, y, yaw degrees |
//! | TECO | `video`, or an `.mp4` beside | `actions` whole numbers (T,) | – |
//! | Memory Maze | `image` | `action` (T, 6) one-hot | `agent_pos` (T, 2), `agent_dir` (T, 2) |
//! | WorldMem | an `.mp4` beside | `actions` whole numbers (T, 8) | `poses` (T, 5) |
//!
//! In all of them, action `t` is the one that produced frame `t`, as in this crate.

use serde::{Deserialize, Serialize};

use super::npz::Clip;
use super::{Episode, EpisodeError, Kind, Recording, datasets};
use crate::{Action, ActionLayout, Buttons, Pose};

/// Name of the recorder's layout in its `meta` array.
pub(super) const RECORDER_FORMAT: &str = "oneiro-episode-1";

/// Rounding of a division by the largest turn may leave an axis this far outside `-1..=1`.
const AXIS_ROUNDING: f32 = 1e-4;

/// Degrees that TECO's Minecraft clips turn per action (`collect.py` of TECO).
const MINECRAFT_TURN_DEGREES: f32 = 20.0;

/// Actions of TECO's Minecraft clips.
const MINECRAFT_ACTIONS: u32 = 4;

/// Actions of TECO's DMLab clips.
const DMLAB_ACTIONS: u32 = 3;

/// Frames per second of TECO's Minecraft clips.
pub(super) const MINECRAFT_FPS: f32 = 20.0;

/// The `meta` array of the recorder's layout, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) format: String,
    pub(super) fps: f32,
    #[serde(flatten)]
    pub(super) layout: ActionLayout,
    #[serde(default)]
    pub(super) source: String,
}

pub(super) fn read(clip: &mut Clip) -> Result<Recording, EpisodeError> {
    let path = clip.path().to_owned();
    let whole = |kind, episode: Episode| {
        let source = episode.source.clone();
        let checked = episode.checked().map_err(|error| error.named(&path, &source));
        Ok(Recording::of(kind, checked?))
    };
    if clip.has("meta") {
        return whole(Kind::Clip, recorder(clip)?);
    }
    if clip.has("image") && clip.has("action") {
        return whole(Kind::MemoryMaze, memory_maze(clip)?);
    }
    if clip.has("video") && clip.has("actions") {
        let (kind, episode) = teco(clip)?;
        return whole(kind, episode);
    }
    if clip.has("actions") {
        return datasets::beside_video(clip);
    }
    let expected = "arrays `video`, `actions`, `meta` (recorder), `video`, `actions` (TECO), \
                    `actions` beside an .mp4 (TECO, WorldMem) or `image`, `action` (Memory Maze)";
    Err(clip.fault_of_all(expected, &format!("arrays {}", clip.names())))
}

fn recorder(clip: &mut Clip) -> Result<Episode, EpisodeError> {
    let meta = meta(clip)?;
    let (frames, height, width, video) = clip.video("video")?;
    let axes: Vec<f32> = floats(&clip.side("actions", &[frames, 4])?);
    let mut actions: Vec<Action> = axes
        .chunks_exact(4)
        .map(|a| Action::from_axes([a[0], a[1], a[2], a[3]].map(rounded)))
        .collect();
    if clip.has("buttons") {
        let pressed = integers(clip, "buttons", frames)?;
        for (action, bits) in actions.iter_mut().zip(pressed) {
            action.buttons = Buttons(bits);
        }
    }
    let poses = if clip.has("pose") {
        let flat = floats(&clip.side("pose", &[frames, 3])?);
        Some(flat.chunks_exact(3).map(|p| Pose { x: p[0], y: p[1], yaw: p[2] }).collect())
    } else {
        None
    };
    let Meta { fps, layout, source, .. } = meta;
    Ok(Episode { width, height, video, actions, poses, fps, layout, source })
}

fn meta(clip: &mut Clip) -> Result<Meta, EpisodeError> {
    let text = clip.side_of_any_shape("meta")?.bytes;
    let expected = "JSON with format, fps and turn_degrees";
    let meta: Meta =
        serde_json::from_slice(&text).map_err(|error| clip.fault("meta", expected, error))?;
    if meta.format == RECORDER_FORMAT {
        Ok(meta)
    } else {
        Err(clip.fault("meta", &format!("format {RECORDER_FORMAT}"), meta.format))
    }
}

fn teco(clip: &mut Clip) -> Result<(Kind, Episode), EpisodeError> {
    let (frames, height, width, video) = clip.video("video")?;
    let numbers = integers(clip, "actions", frames)?;
    // Clips do not name their game. Minecraft clips have 128x128 pixels and four actions, DMLab
    // clips 64x64 and three.
    let minecraft = (width, height) == (128, 128) || numbers.contains(&3);
    let (kind, actions, fps, layout) = if minecraft {
        (Kind::TecoMinecraft, minecraft_actions(clip, &numbers)?, MINECRAFT_FPS, minecraft_layout())
    } else {
        check_below(clip, &numbers, DMLAB_ACTIONS)?;
        let buttons = (0..DMLAB_ACTIONS).map(|number| format!("action {number}")).collect();
        let layout = ActionLayout { buttons, ..<_>::default() };
        (Kind::TecoDmlab, from_second_on(numbers, dmlab_action), 15.0, layout)
    };
    let source = if minecraft { "TECO Minecraft" } else { "TECO DMLab" }.to_owned();
    Ok((kind, Episode { width, height, video, actions, poses: None, fps, layout, source }))
}

/// What the numbers of a TECO Minecraft clip mean.
pub(super) fn minecraft_layout() -> ActionLayout {
    let buttons = vec!["jump".to_owned()];
    ActionLayout { turn_degrees: MINECRAFT_TURN_DEGREES, buttons, ..<_>::default() }
}

/// The numbers of a TECO Minecraft clip as actions.
pub(super) fn minecraft_actions(clip: &Clip, numbers: &[u32]) -> Result<Vec<Action>, EpisodeError> {
    check_below(clip, numbers, MINECRAFT_ACTIONS)?;
    Ok(from_second_on(numbers.to_vec(), minecraft_action))
}

fn check_below(clip: &Clip, numbers: &[u32], count: u32) -> Result<(), EpisodeError> {
    let last = count - 1;
    let wrong = numbers.iter().find(|&&number| number > last);
    wrong.map_or(Ok(()), |wrong| Err(clip.fault("actions", &format!("actions 0 to {last}"), wrong)))
}

/// 0 nothing, 1 ahead while jumping, 2 left, 3 right.
fn minecraft_action(number: u32) -> Action {
    match number {
        1 => Action { forward: 1.0, buttons: Buttons::NONE.with(0), ..Action::NEUTRAL },
        2 => Action { turn: -1.0, ..Action::NEUTRAL },
        3 => Action { turn: 1.0, ..Action::NEUTRAL },
        _ => Action::NEUTRAL,
    }
}

/// The clips do not say which number turns and which walks, so that each becomes a button.
fn dmlab_action(number: u32) -> Action {
    Action { buttons: Buttons::NONE.with(number as usize), ..Action::NEUTRAL }
}

fn memory_maze(clip: &mut Clip) -> Result<Episode, EpisodeError> {
    let (frames, height, width, video) = clip.video("image")?;
    let one_hot = floats(&clip.side("action", &[frames, 6])?);
    let numbers = one_hot.chunks_exact(6).map(position_of_one).collect::<Option<Vec<u32>>>();
    let numbers = numbers
        .ok_or_else(|| clip.fault("action", "rows with a single 1 among zeros", "another row"))?;
    let poses = if clip.has("agent_pos") && clip.has("agent_dir") {
        let places = floats(&clip.side("agent_pos", &[frames, 2])?);
        let directions = floats(&clip.side("agent_dir", &[frames, 2])?);
        let pairs = places.chunks_exact(2).zip(directions.chunks_exact(2));
        let yaw = |d: &[f32]| d[1].atan2(d[0]).to_degrees();
        Some(pairs.map(|(p, d)| Pose { x: p[0], y: p[1], yaw: yaw(d) }).collect())
    } else {
        None
    };
    Ok(Episode {
        width,
        height,
        video,
        actions: from_second_on(numbers, memory_maze_action),
        poses,
        // The environment's control frequency: 1000 steps in 250 seconds.
        fps: 4.0,
        // The ball rolls on, so that a turn has no fixed number of degrees.
        layout: ActionLayout::default(),
        source: "Memory Maze".to_owned(),
    })
}

/// 0 nothing, 1 ahead, 2 left, 3 right, 4 ahead and left, 5 ahead and right.
fn memory_maze_action(number: u32) -> Action {
    let turn = match number {
        2 | 4 => -1.0,
        3 | 5 => 1.0,
        _ => 0.0,
    };
    let forward = if matches!(number, 1 | 4 | 5) { 1.0 } else { 0.0 };
    Action { turn, forward, ..Action::NEUTRAL }
}

/// Converts all numbers but the first: nothing was applied before the first frame of a clip.
fn from_second_on(numbers: Vec<u32>, convert: fn(u32) -> Action) -> Vec<Action> {
    let later = numbers.into_iter().skip(1).map(convert);
    std::iter::once(Action::NEUTRAL).chain(later).collect()
}

fn position_of_one(row: &[f32]) -> Option<u32> {
    let one = row.iter().position(|&value| value == 1.0)?;
    let alone = row.iter().filter(|&&value| value == 0.0).count() == row.len() - 1;
    if alone { u32::try_from(one).ok() } else { None }
}

#[expect(clippy::cast_possible_truncation, reason = "f64 to f32 rounds; it never wraps")]
pub(super) fn floats(array: &super::npy::Array) -> Vec<f32> {
    array.numbers().map(|number| number as f32).collect()
}

/// Whole numbers of 32 bits, one per frame.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked on the line above"
)]
pub(super) fn integers(
    clip: &mut Clip,
    name: &str,
    frames: usize,
) -> Result<Vec<u32>, EpisodeError> {
    let array = clip.side(name, &[frames])?;
    if !array.header.number.is_integer() {
        return Err(clip.fault(name, "whole numbers", format!("{:?}", array.header.number)));
    }
    let in_range = |number: f64| (0.0..=f64::from(u32::MAX)).contains(&number);
    let numbers: Option<Vec<u32>> =
        array.numbers().map(|number| in_range(number).then_some(number as u32)).collect();
    numbers.ok_or_else(|| clip.fault(name, "whole numbers of 32 bits", "another number"))
}

fn rounded(axis: f32) -> f32 {
    if axis.abs() <= 1.0 + AXIS_ROUNDING { axis.clamp(-1.0, 1.0) } else { axis }
}
