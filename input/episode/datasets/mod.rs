//! Public data sets of recorded play, each in the layout and with the alignment that its own loader assumes.
//!
//! | data set | files of an episode | action stored beside frame `t` |
//! |---|---|---|
//! | TECO Minecraft, WorldMem | `X.npz`, `X.mp4` | led to it |
//! | VPT | `X.jsonl`, `X.mp4` | taken upon it |
//! | LoopNav | `X.json`, `X.avi` | none; made from poses |
//! | GF-Minecraft | `metadata/X.json`, `video/X.mp4` | led to it |
//! | Counter-Strike | `X.hdf5` | taken upon it |
//! | Minari | `main_data.hdf5`, `metadata.json` | taken upon it |
//! | LeRobot | `meta`, `data`, `videos` | taken upon it |

mod beside_video;
mod counter_strike;
mod game_factory;
mod hdf5;
mod lerobot;
mod loopnav;
mod minari;
mod minecraft;
mod spaces;
mod table;
mod vpt;

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

pub(super) use self::beside_video::open as beside_video;
pub(super) use self::game_factory::video_of as game_factory_video;
use super::{EpisodeError, Recording, beside};

/// Opens the recording at `path` where it is known by its name, or by its place inside something larger.
pub(super) fn open(path: &Path) -> Option<Result<Recording, EpisodeError>> {
    if let Some((dir, number)) = number_inside(path) {
        if lerobot::is_root(dir) {
            return Some(lerobot::open(dir, number));
        }
        return dir.is_file().then(|| minari::open(dir, number));
    }
    match path.extension()?.to_str()? {
        "jsonl" => Some(vpt::open(path)),
        "mp4" => by_video(path),
        "avi" => Some(loopnav::open(&path.with_extension("json"))),
        "json" if beside(path, "avi").is_some() => Some(loopnav::open(path)),
        "json" => game_factory::video_of(path).map(|video| game_factory::open(path, &video)),
        "hdf5" | "h5" => Some(counter_strike::open(path)),
        _ => None,
    }
}

/// The recording whose pictures are in this video.
fn by_video(path: &Path) -> Option<Result<Recording, EpisodeError>> {
    if let Some(lines) = beside(path, "jsonl") {
        return Some(vpt::open(&lines));
    }
    beside(path, "npz").map(|arrays| Recording::open(&arrays))
}

/// Adds the episodes inside the data set at `path` to `found`; whether it is one that holds several.
pub(super) fn list_inside(path: &Path, found: &mut Vec<PathBuf>) -> Result<bool, EpisodeError> {
    let count = if lerobot::is_root(path) {
        lerobot::episodes(path)?
    } else if minari::is_file(path) {
        minari::episodes(path)?
    } else {
        return Ok(false);
    };
    found.extend((0..count).map(|number| path.join(format!("episode_{number:06}"))));
    Ok(true)
}

/// The data set and the number that a path such as `DATA/episode_000003` names, where there is no such file.
fn number_inside(path: &Path) -> Option<(&Path, usize)> {
    let number = path.file_name()?.to_str()?.strip_prefix("episode_")?.parse().ok()?;
    (!path.exists()).then_some((path.parent()?, number))
}

/// A whole file of at most so many bytes.
fn read_whole(path: &Path, most: u64) -> Result<Vec<u8>, EpisodeError> {
    let file = File::open(path).map_err(|e| EpisodeError::io("open", path, e))?;
    let mut bytes = Vec::new();
    let read = file.take(most + 1).read_to_end(&mut bytes);
    read.map_err(|e| EpisodeError::io("read", path, e))?;
    if bytes.len() as u64 > most {
        return Err(EpisodeError::invalid(
            &format!("at most {most} bytes"),
            "more",
            path.display(),
        ));
    }
    Ok(bytes)
}

/// A JSON file's content; serde names line and column of what is wrong.
fn read_json<T: serde::de::DeserializeOwned>(
    path: &Path,
    most: u64,
    expected: &str,
) -> Result<T, EpisodeError> {
    let bytes = read_whole(path, most)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| EpisodeError::invalid(expected, error, path.display()))
}
