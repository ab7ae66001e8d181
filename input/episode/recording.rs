//! Recorded play, opened but not read into memory.

use std::fmt;
use std::fs;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{
    Episode, EpisodeError, Kind, MAX_EPISODE_BYTES, SessionReader, check_known, datasets, npz,
};
use crate::{Action, ActionLayout, Frame, Pose};

/// Pictures, one at a time.
pub(super) type Frames = Box<dyn Iterator<Item = Result<Frame, EpisodeError>>>;

/// Recorded play of any known kind: all that is known of it beside its pictures, which come one at a time, in order.
/// So an episode of any length takes the memory of its actions and a few pictures.
pub struct Recording {
    /// The data set's kind.
    pub kind: Kind,
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
    /// Frames per second of play.
    pub fps: f32,
    /// What the actions mean.
    pub layout: ActionLayout,
    /// Which game and recorder it comes from.
    pub source: String,
    /// One per frame, as in [`Episode::actions`]; a video may turn out to hold fewer frames.
    pub actions: Vec<Action>,
    /// One per action, where the recording has them.
    pub poses: Option<Vec<Pose>>,
    /// Pictures left to give.
    pub(super) frames: Frames,
    /// Pictures given.
    pub(super) given: usize,
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, source, width, height, .. } = self;
        let mut debug = f.debug_struct("Recording");
        debug.field("kind", kind).field("source", source).field("size", &(width, height));
        debug.field("actions", &self.actions.len()).finish_non_exhaustive()
    }
}

impl Recording {
    /// Opens the recording at `path`, one of those that [`super::episodes_in`] lists. Its kind is told by names and
    /// content.
    ///
    /// # Errors
    /// When it is of no known kind, cannot be read, is damaged or larger than the limits of this crate. Damage in the
    /// pictures is found only when they are read.
    pub fn open(path: &Path) -> Result<Self, EpisodeError> {
        let opened = open(path)?;
        check_known(
            (opened.width, opened.height),
            &opened.actions,
            opened.poses.as_deref(),
            opened.fps,
            &opened.layout,
        )
        .map_err(|(expected, got)| EpisodeError::invalid(&expected, got, path.display()))?;
        Ok(opened)
    }

    /// The same recording with every picture brought to this size.
    #[must_use]
    pub fn resized(mut self, width: u32, height: u32) -> Self {
        let frames = self.frames;
        self.frames = Box::new(frames.map(move |frame| Ok(frame?.resized(width, height))));
        (self.width, self.height) = (width, height);
        self
    }

    /// The whole recording in memory.
    ///
    /// # Errors
    /// When a picture is damaged, there is none, or they take more than [`MAX_EPISODE_BYTES`].
    pub fn into_episode(self) -> Result<Episode, EpisodeError> {
        let all = 0..self.actions.len();
        self.into_part(all)
    }

    /// Some of its frames in memory; those before them are read and let go.
    ///
    /// # Errors
    /// When a picture is damaged, the recording ends before them, or they take more than [`MAX_EPISODE_BYTES`].
    pub fn into_part(mut self, frames: Range<usize>) -> Result<Episode, EpisodeError> {
        self.actions.truncate(frames.end);
        for _ in 0..frames.start {
            let Some(before) = self.next() else { break };
            before?;
        }
        let first = self.given;
        let mut video = Vec::new();
        for frame in &mut self {
            video.extend(frame?.pixels);
            if video.len() as u64 > MAX_EPISODE_BYTES {
                let expected = format!(
                    "at most {MAX_EPISODE_BYTES} bytes of pictures at {}x{}",
                    self.width, self.height
                );
                return Err(EpisodeError::invalid(&expected, "more", self.source));
            }
        }
        let Self { width, height, fps, layout, source, actions, poses, given, .. } = self;
        let actions = actions[first..given].to_vec();
        let poses = poses.map(|poses| poses[first..given].to_vec());
        Episode { width, height, video, actions, poses, fps, layout, source }.checked()
    }

    /// An episode that is in memory already.
    pub(super) fn of(kind: Kind, episode: Episode) -> Self {
        let bytes = episode.frame_bytes().max(1);
        let Episode { width, height, video, actions, poses, fps, layout, source } = episode;
        let frames = (0..video.len() / bytes).map(move |t| {
            Ok(Frame { width, height, pixels: video[t * bytes..(t + 1) * bytes].to_vec() })
        });
        let frames: Frames = Box::new(frames);
        Self { kind, width, height, fps, layout, source, actions, poses, frames, given: 0 }
    }
}

impl Iterator for Recording {
    type Item = Result<Frame, EpisodeError>;

    /// The next picture; no more than there are actions.
    fn next(&mut self) -> Option<Self::Item> {
        if self.given >= self.actions.len() {
            return None;
        }
        let frame = self.frames.next()?;
        self.given += 1;
        Some(frame)
    }
}

fn open(path: &Path) -> Result<Recording, EpisodeError> {
    if path.is_dir() {
        return SessionReader::open(path)?.into_recording();
    }
    if let Some(inside) = datasets::open(path) {
        return inside;
    }
    let mut magic = [0; 2];
    let mut file = fs::File::open(path).map_err(|e| EpisodeError::io("open", path, e))?;
    file.read_exact(&mut magic).map_err(|e| EpisodeError::io("read", path, e))?;
    if magic == *b"PK" {
        return npz::read(path);
    }
    let expected = "recorded play of a known kind (an .npz clip, the folder of a session, or a public data set's file)";
    Err(EpisodeError::invalid(expected, "another kind of file", path.display()))
}

/// The file beside `path` with the same stem and another ending, where there is one.
pub(super) fn beside(path: &Path, extension: &str) -> Option<PathBuf> {
    let beside = path.with_extension(extension);
    beside.is_file().then_some(beside)
}
