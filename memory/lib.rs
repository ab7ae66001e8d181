//! The history of a world: which frames were seen, which come back, which are let go.
//!
//! No tensors, windows or clocks: numbers in, names of frames out. The one thread is that which
//! writes cold memory, and the one file that which it writes.
//!
//! - [`History`]: the live branch in order, and all that is remembered;
//! - [`Warm`]: at most so many frames, ranked by [`Ranking`] for the next section;
//! - [`ByteLru`]: anything under a byte budget, such as cached keys and values;
//! - [`cold`]: what outlives the program, on disk.
//!
//! Papers: L. Zhang et al., "Frame Context Packing and Drift Prevention in Next-Frame-Prediction
//! Video Diffusion Models" (FramePack), §3.2.

pub mod cold;
mod error;
mod feature;
mod frame;
mod history;
#[cfg(test)]
mod history_tests;
mod looks;
mod pose;
mod rank;
#[cfg(test)]
mod rank_tests;
mod reckoned;
mod rows;
mod search;
mod seen;
mod store;
mod warm;

pub use error::Error;
pub use feature::{Estimate, Feature, FeatureShape};
pub use frame::{BranchId, FrameId, FrameStamp};
pub use history::{Checkpoint, History, Look};
pub use pose::{FieldOfView, Pose};
pub use rank::{Hit, Query, Ranking, Selection};
pub use reckoned::Reckoned;
pub use store::ByteLru;
pub use warm::{Record, Remembered, Warm};
