//! A session: recorded play to watch, replay or train on.
//!
//! It is a folder of up to four files:
//!
//! | file | content |
//! |---|---|
//! | `session.json` | a [`SessionHeader`] |
//! | `video.mp4` | every frame, H.264 |
//! | `frames.jsonl` | a [`FrameRecord`] per frame, one JSON object a line |
//! | `past.bin` | every [`PastFrame`] that its sections were made from and that it does not contain |
//!
//! The pictures of the video went through a lossy codec; `frame_sha256` in a record is of the
//! exact ones. Video and records are written second by second. After a crash the longer of the
//! two is cut to the shorter.

mod account;
mod past;
mod reader;
mod writer;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::account::Account;
pub use self::past::{PastFrame, PastReader};
pub use self::reader::SessionReader;
pub use self::writer::SessionWriter;
use crate::{Action, ActionLayout};

/// Name of this layout in `session.json`.
pub const SESSION_FORMAT: &str = "oneiro-session-1";

pub(super) const HEADER_FILE: &str = "session.json";
const VIDEO_FILE: &str = "video.mp4";
const FRAMES_FILE: &str = "frames.jsonl";
const PAST_FILE: &str = "past.bin";

/// What holds for a whole session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionHeader {
    /// Always [`SESSION_FORMAT`].
    pub format: String,
    /// Name of the world.
    pub world: String,
    /// Hash of the world's weights, hexadecimal.
    pub world_hash: String,
    /// Seed of the noise.
    pub seed: u64,
    /// Picture width in pixels, even.
    pub width: u32,
    /// Picture height in pixels, even.
    pub height: u32,
    /// Frames per second of play.
    pub fps: f32,
    /// What the actions mean.
    pub layout: ActionLayout,
    /// All settings that were in force, whatever they are.
    #[serde(default)]
    pub settings: Value,
    /// When recording began, RFC 3339.
    #[serde(default)]
    pub created: String,
}

/// What belongs to one frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrameRecord {
    /// Number of the poll that gave the action.
    pub tick: u64,
    /// Section that the frame was made in.
    pub section: u64,
    /// What was applied before this frame.
    pub action: Action,
    /// SHA-256 of the frame's RGB bytes, hexadecimal.
    pub frame_sha256: String,
    /// When the oldest touch of a device came that the section is the first to obey, else when the action was
    /// polled, microseconds since the session began.
    pub device_time_us: u64,
    /// When the frame was shown, microseconds since the session began: when the call that presents it returned, or
    /// when it was put where browsers find it. Absent without a display, and for a frame that was not shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present_time_us: Option<u64>,
    /// What the frame was made from.
    #[serde(default, skip_serializing_if = "Account::is_none")]
    pub plan: Account,
}

#[cfg(test)]
mod tests;
