//! The history of a world: which frames were seen, which come back, which are let go.
//!
//! No tensors, windows, clocks or threads: numbers in, names of frames out.

mod frame;

pub use frame::{BranchId, FrameId, FrameStamp};
