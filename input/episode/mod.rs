//! Recorded play in one form, whatever it was read from.

mod array;
mod datasets;
mod error;
mod found;
mod kind;
mod npy;
mod npz;
mod npz_layout;
mod npz_write;
mod recording;
mod session;
mod video;

#[cfg(test)]
mod npz_tests;

use std::path::Path;

pub use self::array::{read_npy, write_npy};
pub use self::error::EpisodeError;
pub use self::found::episodes_in;
pub use self::kind::Kind;
pub use self::npz_write::write_npz;
pub use self::recording::Recording;
use self::recording::{Frames, beside};
pub use self::session::{
    Account, FrameRecord, PastFrame, PastReader, SESSION_FORMAT, SessionHeader, SessionReader,
    SessionWriter,
};
pub use self::video::{Video, VideoReader, VideoWriter};
use crate::{Action, ActionLayout, Frame, Pose};

/// Largest width and height of a picture, in pixels.
pub const MAX_SIDE: u32 = 4096;

/// Most bytes the pictures of one episode may take; longer recordings are split into several.
pub const MAX_EPISODE_BYTES: u64 = 1 << 30;

/// Frames, the actions between them and, where the recording has them, poses.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
    /// All pictures, `(T, height, width, 3)` bytes of RGB.
    pub video: Vec<u8>,
    /// One per frame; `actions[t]` was applied between frame `t - 1` and frame `t`.
    pub actions: Vec<Action>,
    /// One per frame, where the recording has them.
    pub poses: Option<Vec<Pose>>,
    /// Frames per second of play.
    pub fps: f32,
    /// What the actions mean.
    pub layout: ActionLayout,
    /// Which game and recorder it comes from.
    pub source: String,
}

impl Episode {
    /// Reads the episode at `path` into memory; its kind is told by names and content ([`Recording::open`]).
    ///
    /// # Errors
    /// When it is of no known kind, cannot be read, is damaged or larger than the limits of this crate.
    pub fn open(path: &Path) -> Result<Self, EpisodeError> {
        Self::gathered(Recording::open(path)?, path)
    }

    /// Reads the episode at `path` with its pictures brought to a size of `width` by `height`.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_sized(path: &Path, width: u32, height: u32) -> Result<Self, EpisodeError> {
        Self::gathered(Recording::open(path)?.resized(width, height), path)
    }

    fn gathered(recording: Recording, path: &Path) -> Result<Self, EpisodeError> {
        let source = recording.source.clone();
        recording.into_episode().map_err(|error| error.named(path, &source))
    }

    /// The episode itself when its parts fit together: at least one frame, equal lengths, sizes
    /// within [`MAX_SIDE`] and [`MAX_EPISODE_BYTES`], axes in `-1..=1`, finite poses.
    ///
    /// # Errors
    /// Names the first part that does not fit, and the episode's source.
    pub fn checked(self) -> Result<Self, EpisodeError> {
        let fault =
            |expected: &str, got: String| Err(EpisodeError::invalid(expected, got, &self.source));
        let size = (self.width, self.height);
        let known = check_known(size, &self.actions, self.poses.as_deref(), self.fps, &self.layout);
        if let Err((expected, got)) = known {
            return fault(&expected, got);
        }
        let frames = self.actions.len();
        let wanted = frames.checked_mul(self.frame_bytes());
        if frames == 0 || wanted != Some(self.video.len()) {
            let expected = format!("{frames} (at least one) frames, one per action");
            return fault(&expected, format!("{} bytes of pictures", self.video.len()));
        }
        if self.video.len() as u64 > MAX_EPISODE_BYTES {
            let got = format!("{} bytes", self.video.len());
            return fault(&format!("at most {MAX_EPISODE_BYTES} bytes of pictures"), got);
        }
        Ok(self)
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.actions.len()
    }

    /// Whether there is no frame; never so after [`Self::checked`].
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// Bytes of one picture.
    pub fn frame_bytes(&self) -> usize {
        Frame::byte_count(self.width, self.height)
    }

    /// The bytes of frame `t`, `(height, width, 3)`.
    ///
    /// # Panics
    /// When `t` is not below [`Self::len`].
    pub fn frame(&self, t: usize) -> &[u8] {
        let bytes = self.frame_bytes();
        &self.video[t * bytes..(t + 1) * bytes]
    }

    /// All pictures in order, `(height, width, 3)` bytes each.
    pub fn frames(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        // A picture without pixels has no frames; chunks of 0 bytes would panic.
        self.video.chunks_exact(self.frame_bytes().max(1))
    }
}

/// Whether what is known beside the pictures fits together; if not, what was expected and what it is.
fn check_known(
    (width, height): (u32, u32),
    actions: &[Action],
    poses: Option<&[Pose]>,
    fps: f32,
    layout: &ActionLayout,
) -> Result<(), (String, String)> {
    let fault = |expected: &str, got: String| Err((expected.to_owned(), got));
    if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
        let expected = format!("pictures of 1 to {MAX_SIDE} pixels a side");
        return fault(&expected, format!("{width}x{height}"));
    }
    if actions.is_empty() {
        return fault("at least one frame", "none".to_owned());
    }
    if let Some(t) = actions.iter().position(|action| !action.is_valid()) {
        return fault("axes in -1..=1", format!("{:?} at frame {t}", actions[t]));
    }
    if let Some(poses) = poses
        && (poses.len() != actions.len() || !poses.iter().all(Pose::is_finite))
    {
        return fault("one finite pose per frame", format!("{} poses", poses.len()));
    }
    if !(fps > 0.0 && fps <= 1000.0) {
        return fault("between 0 and 1000 frames per second", fps.to_string());
    }
    if !layout.has_angles() {
        let got = format!("{} and {}", layout.turn_degrees, layout.pitch_degrees);
        return fault("turn_degrees and pitch_degrees of 0 to 360", got);
    }
    if layout.buttons.len() > ActionLayout::MAX_BUTTONS {
        return fault("at most 32 buttons", layout.buttons.len().to_string());
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use super::*;

    /// Three frames of 4×2 pixels, every part filled in.
    pub(crate) fn sample() -> Episode {
        let bytes = Frame::byte_count(4, 2);
        let video = (0..3 * bytes).map(|i| u8::try_from(i % 251).unwrap()).collect();
        Episode {
            width: 4,
            height: 2,
            video,
            actions: vec![
                Action::NEUTRAL,
                Action::from_axes([0.5, 1.0, -0.25, 0.0]),
                Action { buttons: crate::Buttons::NONE.with(0), ..Action::NEUTRAL },
            ],
            poses: Some(vec![Pose { x: 1.0, y: 2.0, yaw: 90.0 }; 3]),
            fps: 17.5,
            layout: ActionLayout {
                turn_degrees: 15.0,
                pitch_degrees: 0.0,
                buttons: vec!["use".to_owned()],
            },
            source: "test".to_owned(),
        }
    }

    #[test]
    fn frames_are_slices_of_the_block() {
        let episode = sample().checked().unwrap();
        assert_eq!(episode.len(), 3);
        assert_eq!(episode.frames().len(), 3);
        assert_eq!(episode.frame(1), &episode.video[24..48]);
        assert!(episode.frames().eq((0..3).map(|t| episode.frame(t))));
    }

    #[test]
    fn parts_that_do_not_fit_are_named() {
        type Damage = fn(&mut Episode);
        let cases: [(&str, Damage); 9] = [
            ("pixels a side", |e| e.width = 0),
            ("pixels a side", |e| e.height = 5000),
            ("one per action", |e| e.video.truncate(70)),
            ("at least one", |e| (e.actions, e.video, e.poses) = (Vec::new(), Vec::new(), None)),
            ("axes in -1..=1", |e| e.actions[1].turn = f32::NAN),
            ("one finite pose", |e| e.poses = Some(vec![Pose::default(); 2])),
            ("frames per second", |e| e.fps = 0.0),
            ("turn_degrees and", |e| e.layout.turn_degrees = f32::INFINITY),
            ("at most 32 buttons", |e| e.layout.buttons = vec![String::new(); 33]),
        ];
        for (wanted, damage) in cases {
            let mut episode = sample();
            damage(&mut episode);
            let message = episode.checked().unwrap_err().to_string();
            assert!(message.contains(wanted), "{message}");
            assert!(message.ends_with(": test"), "{message}");
        }
    }

    #[test]
    fn a_file_whose_parts_do_not_fit_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wild.npz");
        let mut episode = sample();
        episode.actions[1].turn = 1e30;
        write_npz(&episode, &path).unwrap();
        for opened in [Episode::open(&path).map(drop), Recording::open(&path).map(drop)] {
            let message = opened.unwrap_err().to_string();
            assert!(
                message.contains("axes in -1..=1") && message.ends_with("wild.npz"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_file_of_another_kind_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.npz");
        fs::write(&path, b"GIF89a").unwrap();
        let message = Episode::open(&path).unwrap_err().to_string();
        assert!(message.contains("an .npz clip") && message.contains("x.npz"), "{message}");
    }
}
