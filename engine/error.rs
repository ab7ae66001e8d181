//! What can go wrong at the engine's boundary.

use std::path::PathBuf;

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of a world cannot be read.
    #[error("cannot read {what}: {source}: {}", path.display())]
    Read {
        /// What the file is for.
        what: &'static str,
        /// Why.
        source: std::io::Error,
        /// The file.
        path: PathBuf,
    },
    /// A file of a world is not what it should be.
    #[error("{reason}: {}", path.display())]
    World {
        /// What is wrong, and what was expected.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// A picture or an action of another size than the world's.
    #[error("expected {expected}, got {got}")]
    Size {
        /// What the world needs.
        expected: String,
        /// What came.
        got: String,
    },
    /// The plan.
    #[error(transparent)]
    Plan(#[from] crate::pack::PlanError),
    /// The memory.
    #[error(transparent)]
    Memory(#[from] memory::Error),
    /// The memory on disk.
    #[error(transparent)]
    Cold(#[from] memory::cold::ColdError),
    /// An episode among a world's starts.
    #[error(transparent)]
    Episode(#[from] input::EpisodeError),
    /// A tensor.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
