//! LeRobot data sets, version 3: tables in Parquet and videos that hold many episodes each.
//!
//! An action stands in the row of the frame that it was taken upon. Numbers that are named `turn`, `forward`, `strafe`
//! and `pitch` become those axes and the others buttons; where none has such a name, up to four numbers become the axes
//! in this order, 1 being the greatest that the data set's statistics know.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::super::video;
use super::read_json;
use super::spaces::{Meaning, Place};
use super::table::{self, Record};
use crate::episode::{EpisodeError, Kind, Recording};
use crate::{Action, ActionLayout, Pose};

/// Largest description accepted.
const MAX_BYTES: u64 = 64 << 20;

/// Most episodes of a data set.
const MAX_EPISODES: usize = 1 << 24;

/// Most files of a table that are searched for an episode.
const MAX_FILES: usize = 1 << 16;

/// Axes by their names here, in the order of [`Action::axes`].
const AXES: [&str; 4] = ["turn", "forward", "strafe", "pitch"];

/// Names of the state's numbers that make a pose.
const POSE: [&str; 3] = ["x", "y", "yaw"];

#[derive(Debug, Deserialize)]
struct Info {
    codebase_version: String,
    fps: f32,
    total_episodes: usize,
    features: BTreeMap<String, Feature>,
}

#[derive(Debug, Deserialize)]
struct Feature {
    dtype: String,
    #[serde(default)]
    shape: Vec<usize>,
    #[serde(default)]
    names: Value,
    /// Of an action that Oneiro wrote: how far its turns go.
    #[serde(default)]
    info: Value,
}

impl Feature {
    /// How many degrees a number of the greatest size turns; 0 where nothing tells.
    fn degrees(&self, name: &str) -> f32 {
        #[expect(clippy::cast_possible_truncation, reason = "it was written as such a float")]
        self.info.get(name).and_then(Value::as_f64).map_or(0.0, |degrees| degrees as f32)
    }

    /// Names of its numbers, where it has them: a list, or one inside an object.
    fn names(&self) -> Vec<String> {
        let list = match &self.names {
            Value::Object(object) => object.values().next(),
            other => Some(other),
        };
        let names = list.and_then(Value::as_array).into_iter().flatten();
        names.filter_map(Value::as_str).map(str::to_owned).collect()
    }
}

#[derive(Debug, Deserialize)]
struct Stats {
    min: Vec<f64>,
    max: Vec<f64>,
}

/// Whether the folder at `path` is such a data set.
pub(super) fn is_root(path: &Path) -> bool {
    info_file(path).is_file()
}

/// How many episodes the data set has.
pub(super) fn episodes(root: &Path) -> Result<usize, EpisodeError> {
    let count = read_info(root)?.total_episodes;
    if count > MAX_EPISODES {
        return Err(EpisodeError::invalid(
            "at most 16777216 episodes",
            count,
            info_file(root).display(),
        ));
    }
    Ok(count)
}

/// Opens an episode of the data set.
pub(super) fn open(root: &Path, number: usize) -> Result<Recording, EpisodeError> {
    let info = read_info(root)?;
    let fault = |expected: &str, got: String| {
        EpisodeError::invalid(expected, got, info_file(root).display())
    };
    let camera = info.features.iter().find(|(_, feature)| feature.dtype == "video");
    let Some((camera, _)) = camera else {
        return Err(fault("a feature of type video", "none".to_owned()));
    };
    let Some(action) = info.features.get("action") else {
        return Err(fault("a feature `action`", "none".to_owned()));
    };
    let (meaning, layout) = read_meaning(root, action)?;
    let row = find_episode(root, number, camera)?;
    let rows = read_rows(root, number, &row, &info)?;
    let (actions, poses) = read_frames(root, &rows, &meaning, &info)?;
    let video = root.join(format!(
        "videos/{camera}/chunk-{:03}/file-{:03}.mp4",
        row.whole(&format!("videos/{camera}/chunk_index"))?,
        row.whole(&format!("videos/{camera}/file_index"))?
    ));
    let start = row.number(&format!("videos/{camera}/from_timestamp"))? * f64::from(info.fps);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float becomes the nearest number"
    )]
    let video = video::open(&video, start.round() as usize)?;
    Ok(Recording {
        kind: Kind::LeRobot,
        width: video.width,
        height: video.height,
        fps: info.fps,
        layout,
        source: format!("LeRobot {}", root.file_name().unwrap_or_default().display()),
        actions,
        poses,
        frames: video.frames,
        given: 0,
    })
}

fn info_file(root: &Path) -> PathBuf {
    root.join("meta/info.json")
}

fn read_info(root: &Path) -> Result<Info, EpisodeError> {
    let path = info_file(root);
    let info: Info = read_json(&path, MAX_BYTES, "a LeRobot data set's description")?;
    if info.codebase_version.starts_with("v3.") {
        return Ok(info);
    }
    let expected = "version v3 (python -m lerobot.datasets.v30.convert_dataset_v21_to_v30 converts older ones)";
    Err(EpisodeError::invalid(expected, info.codebase_version, path.display()))
}

/// What the numbers of an action mean.
fn read_meaning(root: &Path, action: &Feature) -> Result<(Meaning, ActionLayout), EpisodeError> {
    let count = action.shape.first().copied().unwrap_or(0);
    let fault = |expected: &str, got: String| {
        EpisodeError::invalid(
            expected,
            got,
            format!("{}, feature `action`", info_file(root).display()),
        )
    };
    let mut names = action.names();
    names.resize(count.min(AXES.len() + ActionLayout::MAX_BUTTONS), String::new());
    let [turn_degrees, pitch_degrees] =
        ["turn_degrees", "pitch_degrees"].map(|name| action.degrees(name));
    let mut layout = ActionLayout { turn_degrees, pitch_degrees, ..ActionLayout::default() };
    let mut places = Vec::new();
    let axis = |name: &String| AXES.iter().position(|axis| axis == name);
    if names.iter().any(|name| axis(name).is_some()) {
        for name in names {
            places.push(if let Some(axis) = axis(&name) {
                Place::Axis(axis, 1.0)
            } else {
                layout.buttons.push(name);
                Place::Button(layout.buttons.len() - 1)
            });
        }
    } else if count <= AXES.len() {
        let scales = read_scales(root, count)?;
        places.extend(scales.into_iter().enumerate().map(|(at, scale)| Place::Axis(at, scale)));
    }
    if places.len() != count
        || places.is_empty()
        || layout.buttons.len() > ActionLayout::MAX_BUTTONS
    {
        let expected = "up to 4 numbers, or ones named turn, forward, strafe and pitch beside up to 32 buttons";
        return Err(fault(expected, format!("{count} numbers")));
    }
    Ok((Meaning::Places(places), layout))
}

/// The greatest magnitude of each number of an action in the whole data set.
fn read_scales(root: &Path, count: usize) -> Result<Vec<f64>, EpisodeError> {
    let path = root.join("meta/stats.json");
    let expected = "least and greatest values of `action`";
    let mut stats: BTreeMap<String, Value> = read_json(&path, MAX_BYTES, expected)?;
    let of_action = stats.remove("action").unwrap_or_default();
    let stats: Stats = serde_json::from_value(of_action)
        .map_err(|got| EpisodeError::invalid(expected, got, path.display()))?;
    let scales: Vec<f64> =
        stats.min.iter().zip(&stats.max).map(|(a, b)| a.abs().max(b.abs())).collect();
    if scales.len() == count {
        return Ok(scales);
    }
    Err(EpisodeError::invalid(
        &format!("{expected} for {count} numbers"),
        scales.len(),
        path.display(),
    ))
}

/// The row of an episode in the tables that say where its parts lie.
fn find_episode(root: &Path, number: usize, camera: &str) -> Result<Record, EpisodeError> {
    let of_video = |what: &str| format!("videos/{camera}/{what}");
    let video = ["chunk_index", "file_index", "from_timestamp"].map(of_video);
    let mut columns = vec!["data/chunk_index", "data/file_index", "length"];
    columns.extend(video.iter().map(String::as_str));
    let wanted = i64::try_from(number).unwrap_or(i64::MAX);
    for file in tables(&root.join("meta/episodes"))? {
        if let Some(row) = table::rows_where(&file, "episode_index", wanted, &columns)?.pop() {
            return Ok(row);
        }
    }
    let place = root.join("meta/episodes");
    Err(EpisodeError::invalid(&format!("episode {number}"), "none of that number", place.display()))
}

/// The table's files, in order.
fn tables(dir: &Path) -> Result<Vec<PathBuf>, EpisodeError> {
    let list = |dir: &Path| -> Result<Vec<PathBuf>, EpisodeError> {
        let io = |error| EpisodeError::io("list", dir, error);
        let entries = std::fs::read_dir(dir).map_err(io)?.take(MAX_FILES);
        let mut paths =
            entries.map(|entry| Ok(entry.map_err(io)?.path())).collect::<Result<Vec<_>, _>>()?;
        paths.sort();
        Ok(paths)
    };
    let mut files = Vec::new();
    for chunk in list(dir)?.into_iter().filter(|path| path.is_dir()) {
        files.extend(
            list(&chunk)?
                .into_iter()
                .filter(|path| path.extension().is_some_and(|e| e == "parquet")),
        );
    }
    Ok(files)
}

/// The rows of an episode's frames.
fn read_rows(
    root: &Path,
    number: usize,
    episode: &Record,
    info: &Info,
) -> Result<Vec<Record>, EpisodeError> {
    let (chunk, file) = (episode.whole("data/chunk_index")?, episode.whole("data/file_index")?);
    let path = root.join(format!("data/chunk-{chunk:03}/file-{file:03}.parquet"));
    let mut columns = vec!["action"];
    if has_poses(info) {
        columns.push("observation.state");
    }
    let wanted = i64::try_from(number).unwrap_or(i64::MAX);
    let rows = table::rows_where(&path, "episode_index", wanted, &columns)?;
    let length = episode.whole("length")?;
    if rows.len() == length {
        return Ok(rows);
    }
    Err(EpisodeError::invalid(
        &format!("{length} rows of episode {number}"),
        rows.len(),
        path.display(),
    ))
}

fn has_poses(info: &Info) -> bool {
    info.features.get("observation.state").is_some_and(|state| state.names() == POSE)
}

fn read_frames(
    root: &Path,
    rows: &[Record],
    meaning: &Meaning,
    info: &Info,
) -> Result<(Vec<Action>, Option<Vec<Pose>>), EpisodeError> {
    let action = |row: &Record| {
        let numbers = row.numbers("action")?;
        let action = meaning.action(&numbers).filter(|_| numbers.len() == meaning.width());
        action.ok_or_else(|| {
            let expected = format!("{} numbers of an action", meaning.width());
            EpisodeError::invalid(&expected, format!("{numbers:?}"), root.display())
        })
    };
    // What was done upon seeing a frame led to the next; nothing led to the first.
    let upon = rows.iter().take(rows.len().saturating_sub(1)).map(action);
    let actions =
        std::iter::once(Ok(Action::NEUTRAL)).chain(upon).collect::<Result<Vec<_>, _>>()?;
    let poses = has_poses(info).then(|| {
        let pose = |row: &Record| match *row.numbers("observation.state")?.as_slice() {
            [x, y, yaw] => Ok(pose(x, y, yaw)),
            _ => Err(EpisodeError::invalid("x, y and yaw", "another state", root.display())),
        };
        rows.iter().map(pose).collect::<Result<Vec<_>, _>>()
    });
    Ok((actions, poses.transpose()?))
}

#[expect(clippy::cast_possible_truncation, reason = "f64 to f32 rounds; it never wraps")]
fn pose(x: f64, y: f64, yaw: f64) -> Pose {
    Pose { x: x as f32, y: y as f32, yaw: yaw as f32 }
}
