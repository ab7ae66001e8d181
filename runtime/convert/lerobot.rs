//! A LeRobot data set, version 3.0.
//!
//! | file | content |
//! |---|---|
//! | `meta/info.json` | sizes, rate, features, where files lie |
//! | `meta/stats.json` | least, greatest, mean, deviation, quantiles and count of every feature |
//! | `meta/tasks.parquet` | the one task |
//! | `meta/episodes/chunk-000/file-000.parquet` | where each episode's rows and pictures are, and its own figures |
//! | `data/chunk-000/file-000.parquet` | a row for each frame: action, times, indices |
//! | `videos/observation.image/chunk-…/file-….mp4` | a video for each episode |

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use input::{ActionLayout, Episode};
use serde_json::{Map, Value, json};

use super::figures::Figures;
use super::table::{Column, Table};
use super::{Target, action_upon, write_video};

/// Name of the pictures' feature.
const IMAGE: &str = "observation.image";
/// Name of the places' feature, where every episode has poses.
const STATE: &str = "observation.state";
/// Files in a folder.
const CHUNK: usize = 1000;
/// What is done in all episodes.
const TASK: &str = "Walk through the world.";
/// Only file of its folder.
const ONLY_FILE: &str = "chunk-000/file-000.parquet";

/// A data set being written.
pub(super) struct DataSet {
    out: PathBuf,
    /// What all episodes share, from the first one on.
    shared: Option<Shared>,
    rows: Option<Table>,
    /// Frames of each episode.
    lengths: Vec<usize>,
    /// Of each feature, the figures of each episode.
    figures: Vec<(String, Vec<Figures>)>,
}

#[derive(Clone, Debug, PartialEq)]
struct Shared {
    size: (u32, u32),
    fps: f32,
    layout: ActionLayout,
    poses: bool,
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size: (width, height), fps, layout, poses } = self;
        let poses = if *poses { "with" } else { "without" };
        let ActionLayout { turn_degrees, pitch_degrees, buttons } = layout;
        write!(f, "{width}x{height}, {fps} frames/s, {poses} poses, turns of {turn_degrees}°, ")?;
        write!(f, "pitches of {pitch_degrees}°, buttons {buttons:?}")
    }
}

impl DataSet {
    pub(super) fn create(out: &Path) -> Result<Self> {
        for folder in ["meta/episodes/chunk-000", "data/chunk-000"] {
            let folder = out.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        }
        Ok(Self {
            out: out.to_owned(),
            shared: None,
            rows: None,
            lengths: Vec::new(),
            figures: Vec::new(),
        })
    }

    fn video(&self, episode: usize) -> PathBuf {
        let (chunk, file) = (episode / CHUNK, episode % CHUNK);
        self.out.join(format!("videos/{IMAGE}/chunk-{chunk:03}/file-{file:03}.mp4"))
    }
}

impl Target for DataSet {
    fn add(&mut self, episode: &Episode, video: Option<&Path>) -> Result<()> {
        let shared = Shared {
            size: (episode.width, episode.height),
            fps: episode.fps,
            layout: episode.layout.clone(),
            poses: episode.poses.is_some(),
        };
        let first = self.shared.get_or_insert_with(|| shared.clone());
        ensure!(
            *first == shared,
            "expected one kind of recording in a data set, {first}, got {shared}: convert them apart"
        );
        let path = self.video(self.lengths.len());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        write_video(episode, video, &path)?;
        let before = self.lengths.iter().sum();
        let columns = rows(episode, self.lengths.len(), before);
        let rows = match &mut self.rows {
            Some(rows) => rows,
            None => {
                let path = self.out.join("data").join(ONLY_FILE);
                let names = columns.iter().map(|(name, _)| name.clone());
                let names = names.chain([IMAGE.to_owned()]);
                self.figures = names.map(|name| (name, Vec::new())).collect();
                self.rows.insert(Table::create(&path, &columns, Vec::new())?)
            }
        };
        rows.append(&columns)?;
        let pixels = Figures::of_pixels(&count_pixels(episode), episode.len());
        let figures = columns.iter().filter_map(|(_, column)| figures(column)).chain([pixels]);
        self.figures.iter_mut().zip(figures).for_each(|((_, all), new)| all.push(new));
        self.lengths.push(episode.len());
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let shared = self.shared.context("a data set has episodes")?;
        self.rows.map_or(Ok(()), Table::finish)?;
        let meta = self.out.join("meta");
        write_tasks(&meta.join("tasks.parquet"))?;
        let episodes = meta.join("episodes").join(ONLY_FILE);
        write_episodes(&episodes, &self.lengths, shared.fps, &self.figures)?;
        write_json(&meta.join("info.json"), &info(&shared, &self.lengths))?;
        let whole = self.figures.iter().map(|(name, each)| {
            let figures = Figures::joined(each);
            (name.clone(), to_json(name, &figures))
        });
        let stats: Map<String, Value> = whole.collect();
        write_json(&meta.join("stats.json"), &Value::Object(stats))
    }
}

/// A row for each frame of an episode.
fn rows(episode: &Episode, number: usize, before: usize) -> Vec<(String, Column)> {
    let frames = episode.len();
    let width = episode.layout.feature_count();
    let actions = (0..frames).flat_map(|t| action_upon(episode, t).to_features(&episode.layout));
    let whole = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
    #[expect(clippy::cast_possible_truncation, reason = "the format's times are 32-bit floats")]
    let time = |t: usize| (t as f64 / f64::from(episode.fps)) as f32;
    let mut columns = vec![("action".to_owned(), Column::Floats(width, actions.collect()))];
    if let Some(poses) = &episode.poses {
        let places = poses.iter().flat_map(|pose| [pose.x, pose.y, pose.yaw]);
        columns.push((STATE.to_owned(), Column::Floats(3, places.collect())));
    }
    columns.extend([
        ("timestamp".to_owned(), Column::Float((0..frames).map(time).collect())),
        ("frame_index".to_owned(), Column::Whole((0..frames).map(whole).collect())),
        ("episode_index".to_owned(), Column::Whole(vec![whole(number); frames])),
        ("index".to_owned(), Column::Whole((before..before + frames).map(whole).collect())),
        ("task_index".to_owned(), Column::Whole(vec![0; frames])),
    ]);
    columns
}

/// The one task, its text as the index that pandas expects.
fn write_tasks(path: &Path) -> Result<()> {
    const INDEX: &str = "__index_level_0__";
    let columns = [
        ("task_index".to_owned(), Column::Whole(vec![0])),
        (INDEX.to_owned(), Column::Text(vec![TASK.to_owned()])),
    ];
    let of = |name: Value, field: &str, kind: &str, numpy: &str| json!({"name": name, "field_name": field, "pandas_type": kind, "numpy_type": numpy, "metadata": null});
    let pandas = json!({
        "index_columns": [INDEX],
        "column_indexes": [],
        "columns": [
            of(json!("task_index"), "task_index", "int64", "int64"),
            of(Value::Null, INDEX, "unicode", "object"),
        ],
        "pandas_version": "2.2.0",
    });
    let mut table = Table::create(path, &columns, vec![("pandas", pandas.to_string())])?;
    table.append(&columns)?;
    table.finish()
}

fn write_episodes(
    path: &Path,
    lengths: &[usize],
    fps: f32,
    figures: &[(String, Vec<Figures>)],
) -> Result<()> {
    let whole = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
    let each = |value: &dyn Fn(usize) -> usize| {
        Column::Whole((0..lengths.len()).map(|at| whole(value(at))).collect())
    };
    let starts: Vec<usize> = lengths
        .iter()
        .scan(0, |next, length| {
            let start = *next;
            *next += length;
            Some(start)
        })
        .collect();
    #[expect(clippy::cast_possible_truncation, reason = "seconds of an episode")]
    let seconds = lengths.iter().map(|length| (*length as f64 / f64::from(fps)) as f32).collect();
    let video = |what: &str| format!("videos/{IMAGE}/{what}");
    let mut columns = vec![
        ("episode_index".to_owned(), each(&|at| at)),
        ("tasks".to_owned(), Column::Texts(vec![TASK.to_owned(); lengths.len()])),
        ("length".to_owned(), each(&|at| lengths[at])),
        ("dataset_from_index".to_owned(), each(&|at| starts[at])),
        ("dataset_to_index".to_owned(), each(&|at| starts[at] + lengths[at])),
        ("data/chunk_index".to_owned(), each(&|_| 0)),
        ("data/file_index".to_owned(), each(&|_| 0)),
        (video("chunk_index"), each(&|at| at / CHUNK)),
        (video("file_index"), each(&|at| at % CHUNK)),
        (video("from_timestamp"), Column::Float(vec![0.0; lengths.len()])),
        (video("to_timestamp"), Column::Float(seconds)),
        ("meta/episodes/chunk_index".to_owned(), each(&|_| 0)),
        ("meta/episodes/file_index".to_owned(), each(&|_| 0)),
    ];
    columns.extend(figures.iter().flat_map(|(name, each)| figure_columns(name, each)));
    let mut table = Table::create(path, &columns, Vec::new())?;
    table.append(&columns)?;
    table.finish()
}

/// The figures of a feature, a column for each and in it a list for each episode.
fn figure_columns(name: &str, each: &[Figures]) -> Vec<(String, Column)> {
    let width = each.first().map_or(1, |figures| figures.components.len());
    let mut columns: Vec<(String, Column)> = Vec::new();
    for (at, figures) in each.iter().enumerate() {
        for (place, (figure, values)) in figures.named().into_iter().enumerate() {
            if at == 0 {
                columns
                    .push((format!("stats/{name}/{figure}"), Column::Doubles(width, Vec::new())));
            }
            if let (_, Column::Doubles(_, all)) = &mut columns[place] {
                all.extend(values);
            }
        }
    }
    let counts = each.iter().map(|figures| i64::try_from(figures.count).unwrap_or(i64::MAX));
    columns.push((format!("stats/{name}/count"), Column::Wholes(1, counts.collect())));
    columns
}

fn info(shared: &Shared, lengths: &[usize]) -> Value {
    let Shared { size: (width, height), fps, layout, poses } = shared;
    // Most readers want a whole number where it is one.
    #[expect(clippy::cast_possible_truncation, reason = "at most 1000")]
    let rate = if fps.fract() == 0.0 { json!(*fps as i64) } else { json!(fps) };
    let names: Vec<&str> = ["turn", "forward", "strafe", "pitch"]
        .into_iter()
        .chain(layout.buttons.iter().map(String::as_str))
        .collect();
    let one = |kind: &str| json!({"dtype": kind, "shape": [1], "names": null});
    let mut features = json!({
        "action": {
            "dtype": "float32", "shape": [names.len()], "names": names,
            "info": {"turn_degrees": layout.turn_degrees, "pitch_degrees": layout.pitch_degrees},
        },
        IMAGE: {
            "dtype": "video", "shape": [height, width, 3], "names": ["height", "width", "channels"],
            "info": {
                "video.height": height, "video.width": width, "video.channels": 3, "video.fps": rate,
                "video.codec": "h264", "video.pix_fmt": "yuv420p", "video.is_depth_map": false,
                "has_audio": false,
            },
        },
        "timestamp": one("float32"),
        "frame_index": one("int64"),
        "episode_index": one("int64"),
        "index": one("int64"),
        "task_index": one("int64"),
    });
    if *poses {
        features[STATE] = json!({"dtype": "float32", "shape": [3], "names": ["x", "y", "yaw"]});
    }
    json!({
        "codebase_version": "v3.0",
        "robot_type": null,
        "total_episodes": lengths.len(),
        "total_frames": lengths.iter().sum::<usize>(),
        "total_tasks": 1,
        "chunks_size": CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": rate,
        "splits": {"train": format!("0:{}", lengths.len())},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": features,
    })
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

/// Figures as `meta/stats.json` has them; a channel's value is a picture of one pixel, (3, 1, 1).
fn to_json(name: &str, figures: &Figures) -> Value {
    let shaped = |values: Vec<f64>| match name {
        IMAGE => json!(values.iter().map(|value| [[value]]).collect::<Vec<_>>()),
        _ => json!(values),
    };
    let named = figures.named().into_iter();
    let mut each: Map<String, Value> =
        named.map(|(figure, values)| (figure.to_owned(), shaped(values))).collect();
    each.insert("count".to_owned(), json!([figures.count]));
    Value::Object(each)
}

/// The figures of a column; none of texts.
fn figures(column: &Column) -> Option<Figures> {
    let (width, values): (usize, Vec<f64>) = match column {
        Column::Whole(values) => (1, values.iter().map(|value| *value as f64).collect()),
        Column::Float(values) => (1, values.iter().copied().map(f64::from).collect()),
        Column::Floats(width, values) => (*width, values.iter().copied().map(f64::from).collect()),
        Column::Wholes(..) | Column::Doubles(..) | Column::Text(_) | Column::Texts(_) => {
            return None;
        }
    };
    Some(Figures::of(width, &values))
}

/// How often each value occurs in each channel of an episode's pictures.
fn count_pixels(episode: &Episode) -> [[u64; 256]; 3] {
    let mut channels = [[0; 256]; 3];
    for pixel in episode.video.as_chunks::<3>().0 {
        for (counts, value) in channels.iter_mut().zip(pixel) {
            counts[usize::from(*value)] += 1;
        }
    }
    channels
}
