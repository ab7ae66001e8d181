//! What can be wrong with what memory is given.

use crate::feature::FeatureShape;

/// Something memory cannot take.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A feature would be empty or too large.
    #[error("expected a feature of 1 to {} values, got shape {shape:?}", FeatureShape::VALUES_MAX)]
    Shape {
        /// The shape.
        shape: FeatureShape,
    },
    /// A latent does not have the features' shape.
    #[error("expected {expected} latent values for {shape:?}, got {got}")]
    LatentSize {
        /// The features' shape.
        shape: FeatureShape,
        /// Values it has.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// A feature of one shape meets a memory of another.
    #[error("expected features of {expected:?}, got {got:?}")]
    OtherShape {
        /// The memory's shape.
        expected: FeatureShape,
        /// The feature's shape.
        got: FeatureShape,
    },
    /// A latent holds a value that is not a number, or infinite.
    #[error("expected finite latent values, got one that is not")]
    NotFinite,
    /// An estimate of no frames.
    #[error("expected at least one frame to estimate the section from, got none")]
    NoEstimate,
    /// A ranking by pose without one.
    #[error("expected a pose to rank by pose, got none")]
    NoPose,
    /// A memory that could not hold the recent window.
    #[error("expected room for more than the {window} frames of the recent window, got {capacity}")]
    Capacity {
        /// Frames of the window.
        window: usize,
        /// Frames of the memory.
        capacity: usize,
    },
    /// All names of frames or branches are used up.
    #[error("expected fewer than 2^32 frames in one memory")]
    NamesUsedUp,
}
