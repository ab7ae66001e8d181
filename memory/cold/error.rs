//! What can go wrong with memory on disk.

use std::io;
use std::path::PathBuf;

use super::FORMAT;
use crate::error::Error;

/// Something memory on disk cannot do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ColdError {
    /// Another program has the file open; play goes on with memory in RAM.
    #[error("memory is in use by another program: {}", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file can be neither opened nor set aside.
    #[error("memory cannot be opened: {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds what was never written to it.
    #[error("memory is damaged: {reason}")]
    Damaged {
        /// What was found.
        reason: String,
    },
    /// The file was written by a later version of this program.
    #[error("expected memory of format {FORMAT}, got format {format}, which is newer")]
    Newer {
        /// The file's format.
        format: u32,
    },
    /// The file cannot be read or written, such as on a full disk.
    #[error("memory cannot be read or written")]
    Store(#[source] Box<redb::Error>),
    /// A run that does not belong into this file.
    #[error("expected {expected}, got {got}")]
    Run {
        /// What was expected.
        expected: String,
        /// What was given.
        got: String,
    },
    /// A run that does not fit beside the pinned ones.
    #[error("expected a run of at most {room} bytes, got one of {bytes}")]
    TooLarge {
        /// Bytes of the budget that are not pinned.
        room: u64,
        /// Bytes of the run.
        bytes: u64,
    },
    /// All names of runs are used up.
    #[error("expected fewer than 2^32 runs in one memory")]
    NamesUsedUp,
    /// What was remembered cannot be taken into the history.
    #[error(transparent)]
    Memory(#[from] Error),
}

impl ColdError {
    pub(crate) fn damaged(reason: impl Into<String>) -> Self {
        Self::Damaged { reason: reason.into() }
    }

    /// Whether only the run at hand is refused, the file being sound.
    pub(crate) fn is_of_the_run(&self) -> bool {
        matches!(self, Self::Run { .. } | Self::TooLarge { .. } | Self::Memory(_))
    }
}

/// An error of the store, told apart by whether the file or its surroundings are to blame.
pub(crate) fn store(error: impl Into<redb::Error>) -> ColdError {
    use redb::Error as Store;
    match error.into() {
        Store::Corrupted(reason) => ColdError::Damaged { reason },
        error @ (Store::TableDoesNotExist(_)
        | Store::TableTypeMismatch { .. }
        | Store::TableIsMultimap(_)
        | Store::TableIsNotMultimap(_)
        | Store::TypeDefinitionChanged { .. }
        | Store::UpgradeRequired(_)) => ColdError::Damaged { reason: error.to_string() },
        error => ColdError::Store(Box::new(error)),
    }
}
