//! Minari data sets with pictures: `main_data.hdf5` with a group for each episode, and `metadata.json`.
//!
//! An episode has one picture more than actions: `observations[i]`, then `actions[i]`, then `observations[i + 1]`.
//! Pictures are stored as they are or as JPEG.

use std::path::Path;

use serde::Deserialize;

use super::super::video::decode_jpeg;
use super::hdf5::{Array, Hdf5};
use super::read_json;
use super::spaces::{Meaning, Space};
use crate::episode::{EpisodeError, Frames, Kind, MAX_SIDE, Recording};
use crate::{Action, ActionLayout, Frame};

/// Name of the file with all episodes.
const FILE: &str = "main_data.hdf5";

/// Largest description accepted.
const MAX_BYTES: u64 = 64 << 20;

/// Frames per second: the format has no word for it, and most simulators show 30.
const FPS: f32 = 30.0;

/// Most bytes of pictures read at once.
const BATCH_BYTES: usize = 16 << 20;

/// Most episodes of a data set.
const MAX_EPISODES: usize = 1 << 20;

#[derive(Debug, Deserialize)]
struct Metadata {
    /// JSON in a text.
    action_space: Option<String>,
}

/// Whether the file at `path` is one of Minari's.
pub(super) fn is_file(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == FILE) && path.is_file()
}

/// How many episodes the file at `path` has.
pub(super) fn episodes(path: &Path) -> Result<usize, EpisodeError> {
    let names = Hdf5::open(path)?.names();
    let number =
        |name: &String| name.strip_prefix("episode_")?.split('/').next()?.parse::<usize>().ok();
    let count = names.iter().filter_map(number).max().map_or(0, |last| last.saturating_add(1));
    if count > MAX_EPISODES {
        return Err(EpisodeError::invalid("at most 1048576 episodes", count, path.display()));
    }
    Ok(count)
}

/// Opens an episode of the file at `path`.
pub(super) fn open(path: &Path, number: usize) -> Result<Recording, EpisodeError> {
    let file = Hdf5::open(path)?;
    let (meaning, layout) = read_space(path, &file)?.meaning().map_err(|got| {
        EpisodeError::invalid("actions of at most 4 axes and 32 buttons", got, path.display())
    })?;
    let name = picture_array(&file, number)?;
    let array = file.array(&name)?;
    let actions = read_actions(&file, number, &meaning)?;
    let (width, height, frames) = pictures(path, &array, name)?;
    Ok(Recording {
        kind: Kind::Minari,
        width,
        height,
        fps: FPS,
        layout: ActionLayout { ..layout },
        source: "Minari".to_owned(),
        actions,
        poses: None,
        frames,
        given: 0,
    })
}

/// The description of the actions: beside the file, or in it, as older versions kept it.
fn read_space(path: &Path, file: &Hdf5) -> Result<Space, EpisodeError> {
    let beside = path.with_file_name("metadata.json");
    let text = if beside.is_file() {
        read_json::<Metadata>(&beside, MAX_BYTES, "a description in JSON")?.action_space
    } else {
        file.text("action_space")
    };
    let expected = "an `action_space` of type Box, Discrete, MultiDiscrete or MultiBinary";
    let text = text.ok_or_else(|| EpisodeError::invalid(expected, "none", beside.display()))?;
    serde_json::from_str(&text)
        .map_err(|got| EpisodeError::invalid(expected, got, beside.display()))
}

/// The first array of an episode's observations that holds pictures.
fn picture_array(file: &Hdf5, number: usize) -> Result<String, EpisodeError> {
    let inside = format!("episode_{number}/observations");
    let mut names = file.names();
    names.retain(|name| name == &inside || name.starts_with(&format!("{inside}/")));
    names.sort();
    for name in names {
        let array = file.array(&name)?;
        let is_jpeg = |bytes: &[u8]| bytes.starts_with(&[0xFF, 0xD8]);
        let found = match (array.shape.as_slice(), array.element_bytes()) {
            ([_, _, _, 3], 1) => true,
            (&[count, bytes], 1) if count > 0 && bytes > 2 => {
                is_jpeg(&array.bytes(&[0, 0], &[1, 2])?)
            }
            ([_], 16) => array.lists()?.first().is_some_and(|list| is_jpeg(list)),
            _ => false,
        };
        if found {
            return Ok(name);
        }
    }
    Err(file.fault(&inside, "pictures of 8 bits in red, green and blue", "none"))
}

fn read_actions(
    file: &Hdf5,
    number: usize,
    meaning: &Meaning,
) -> Result<Vec<Action>, EpisodeError> {
    let array = file.array(&format!("episode_{number}/actions"))?;
    let (count, width) = (array.shape.first().copied().unwrap_or(0), meaning.width());
    let numbers = array.numbers()?;
    if count.checked_mul(width) != Some(numbers.len()) || width == 0 {
        return Err(array.fault(&format!("{width} numbers a frame"), format!("{:?}", array.shape)));
    }
    let action = |(t, row)| {
        let within = meaning.action(row);
        within.ok_or_else(|| {
            array.fault("numbers within the action space", format!("{row:?} at {t}"))
        })
    };
    // What was done upon seeing a frame led to the next; nothing led to the first.
    let upon = numbers.chunks_exact(width).enumerate().map(action);
    std::iter::once(Ok(Action::NEUTRAL)).chain(upon).collect()
}

/// Width, height and the pictures of an array.
fn pictures(
    path: &Path,
    array: &Array<'_>,
    name: String,
) -> Result<(u32, u32, Frames), EpisodeError> {
    // The pictures outlive this opening of the file.
    let file = Hdf5::open(path)?;
    match *array.shape.as_slice() {
        [count, height, width, 3] => {
            let side = |side| u32::try_from(side).ok().filter(|side| (1..=MAX_SIDE).contains(side));
            let Some((width, height)) = side(width).zip(side(height)) else {
                return Err(array
                    .fault("pictures of 1 to 4096 pixels a side", format!("{:?}", array.shape)));
            };
            let batch =
                (BATCH_BYTES / Frame::byte_count(width, height)).clamp(1, array.chunk().max(1));
            let batches = (0..count).step_by(batch).flat_map(move |first| {
                let raw =
                    read_raw(&file, &name, (first, batch.min(count - first)), (width, height));
                raw.map_or_else(
                    |error| vec![Err(error)],
                    |frames| frames.into_iter().map(Ok).collect(),
                )
            });
            Ok((width, height, Box::new(batches)))
        }
        [count, bytes] => {
            let first = jpeg(array, &array.bytes(&[0, 0], &[1, bytes])?, 0)?;
            let frames = (0..count).map(move |t| {
                let array = file.array(&name)?;
                jpeg(&array, &array.bytes(&[t, 0], &[1, bytes])?, t)
            });
            Ok((first.width, first.height, same_size(frames, &first, path)))
        }
        _ => {
            let lists = array.lists()?;
            let empty = Vec::new();
            let first = jpeg(array, lists.first().unwrap_or(&empty), 0)?;
            let frames = lists
                .into_iter()
                .enumerate()
                .map(move |(t, list)| jpeg(&file.array(&name)?, &list, t));
            Ok((first.width, first.height, same_size(frames, &first, path)))
        }
    }
}

fn read_raw(
    file: &Hdf5,
    name: &str,
    (first, count): (usize, usize),
    (width, height): (u32, u32),
) -> Result<Vec<Frame>, EpisodeError> {
    let bytes =
        file.array(name)?.bytes(&[first, 0, 0, 0], &[count, height as usize, width as usize, 3])?;
    let frames = bytes.chunks_exact(Frame::byte_count(width, height).max(1));
    Ok(frames.map(|pixels| Frame { width, height, pixels: pixels.to_vec() }).collect())
}

fn jpeg(array: &Array<'_>, bytes: &[u8], t: usize) -> Result<Frame, EpisodeError> {
    decode_jpeg(bytes).map_err(|got| array.fault("a JPEG picture", format!("{got} at frame {t}")))
}

/// The frames; one of another size than the first is an error.
fn same_size(
    frames: impl Iterator<Item = Result<Frame, EpisodeError>> + 'static,
    first: &Frame,
    path: &Path,
) -> Frames {
    let (size, path) = ((first.width, first.height), path.to_owned());
    Box::new(frames.map(move |frame| {
        let frame = frame?;
        if (frame.width, frame.height) == size {
            return Ok(frame);
        }
        let got = format!("{}x{}", frame.width, frame.height);
        Err(EpisodeError::invalid(&format!("pictures of {size:?}"), got, path.display()))
    }))
}
