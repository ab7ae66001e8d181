//! GF-Minecraft of GameFactory: `video/X.mp4`, and what was done and where in `metadata/X.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::video;
use super::{minecraft, read_json};
use crate::episode::{EpisodeError, Kind, Recording};
use crate::{Action, ActionLayout, Buttons, Pose};

/// Largest file accepted; 2000 frames take some 400 KB.
const MAX_BYTES: u64 = 64 << 20;

/// Degrees of a turn by 1 in the file.
const DEGREES: f32 = 15.0;

/// Frames per second, where the video does not say: those that its models are trained at.
const FPS: f32 = 16.0;

#[derive(Debug, Deserialize)]
struct Annotation {
    /// By the number of the frame that the action led to, from "0" on.
    actions: BTreeMap<String, Step>,
}

#[derive(Debug, Deserialize)]
struct Step {
    /// 1 ahead, 2 back.
    ws: u8,
    /// 1 left, 2 right.
    ad: u8,
    /// 1 jump, 2 sneak, 3 sprint.
    scs: u8,
    #[serde(default)]
    pitch_delta: f32,
    #[serde(default)]
    yaw_delta: f32,
    yaw: Option<f32>,
    pos: Option<[f32; 3]>,
}

/// The video that belongs to the file at `path`, when it lies in such a data set.
pub(in crate::episode) fn video_of(path: &Path) -> Option<PathBuf> {
    let folder = path.parent().filter(|folder| folder.ends_with("metadata"))?;
    let video = folder.with_file_name("video").join(path.file_stem()?).with_extension("mp4");
    video.is_file().then_some(video)
}

/// Opens the recording whose actions are at `path`.
pub(super) fn open(path: &Path, video: &Path) -> Result<Recording, EpisodeError> {
    let file: Annotation = read_json(path, MAX_BYTES, "an object with `actions` by frame")?;
    let step = |t: usize| {
        file.actions.get(&t.to_string()).ok_or_else(|| {
            let expected = format!("an action for each of {} frames", file.actions.len());
            EpisodeError::invalid(&expected, format!("none for frame {t}"), path.display())
        })
    };
    let steps = (0..file.actions.len()).map(step).collect::<Result<Vec<&Step>, _>>()?;
    let mut actions: Vec<Action> = steps.iter().map(|step| action(step)).collect();
    // Its makers say that the first entry means nothing.
    if let Some(first) = actions.first_mut() {
        *first = Action::NEUTRAL;
    }
    let pose = |step: &&Step| Some(minecraft::pose(step.pos?[0], step.pos?[2], step.yaw?));
    let poses: Option<Vec<Pose>> = steps.iter().map(pose).collect();
    let video = video::open(video, 0)?;
    let buttons = ["jump", "sneak", "sprint"].map(str::to_owned).to_vec();
    Ok(Recording {
        kind: Kind::GameFactory,
        width: video.width,
        height: video.height,
        fps: video.fps.unwrap_or(FPS),
        layout: ActionLayout { turn_degrees: DEGREES, pitch_degrees: DEGREES, buttons },
        source: "GF-Minecraft".to_owned(),
        actions,
        poses,
        frames: video.frames,
        given: 0,
    })
}

fn action(step: &Step) -> Action {
    let axis =
        |number: u8, (plus, minus)| f32::from(i8::from(number == plus) - i8::from(number == minus));
    let button = usize::from(step.scs).checked_sub(1).filter(|index| *index < 3);
    Action {
        turn: step.yaw_delta,
        // Theirs is down.
        pitch: 0.0 - step.pitch_delta,
        forward: axis(step.ws, (1, 2)),
        strafe: axis(step.ad, (2, 1)),
        buttons: button.map_or(Buttons::NONE, |index| Buttons::NONE.with(index)),
    }
    .clamped()
}
