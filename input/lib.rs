//! Where actions and frames come from: devices, scripts, recorded play and a maze simulator.
//!
//! One convention holds everywhere: `actions[t]` is what was applied between frame `t - 1` and
//! frame `t`, so that `actions[0]` is neutral; readers of other layouts convert to it. The crate
//! knows no tensor, window or clock.

mod action;
mod acts;
mod controller;
mod episode;
mod frame;
#[cfg(feature = "gamepad")]
mod gamepad;
mod key;
mod keyboard;
mod mapping;
mod maze;
mod pad;
#[cfg(feature = "gamepad")]
mod pads;
mod pose;
mod random;
#[cfg(all(test, feature = "gamepad", target_os = "linux"))]
mod real_pads;
mod script;

pub use action::{Action, ActionLayout, Buttons};
pub use acts::{Act, Acts};
pub use controller::{Controller, Merged, Notice, Room};
pub use episode::{
    Account, FrameRecord, SESSION_FORMAT, SessionHeader, SessionReader, SessionWriter,
};
pub use episode::{Episode, EpisodeError, Kind, Recording};
pub use episode::{MAX_EPISODE_BYTES, MAX_SIDE, episodes_in, write_npz};
pub use episode::{PastFrame, PastReader};
pub use episode::{Video, VideoReader, VideoWriter};
pub use episode::{read_npy, write_npy};
pub use frame::Frame;
#[cfg(feature = "gamepad")]
pub use gamepad::{GamepadError, Gamepads};
pub use key::Key;
pub use keyboard::Keyboard;
pub use mapping::{KeyBindings, MouseBindings, PadBindings};
pub use maze::{Maze, MazeConfig, MazePlayer, Policy, simulate, simulate_walk};
pub use pad::{PadInput, PadState};
pub use pose::Pose;
pub use script::{Script, ScriptError, Wander};
