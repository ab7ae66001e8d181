//! Why an episode could not be read or written.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

/// An episode that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EpisodeError {
    /// The file system said no.
    #[error("cannot {doing} {path}: {reason}", path = .path.display())]
    Io {
        /// What was tried, for instance "open".
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// The content is not what it should be.
    #[error("expected {expected}, got {got}: {place}")]
    Invalid {
        /// What would have been accepted.
        expected: String,
        /// What was found.
        got: String,
        /// The file, with array, line or byte offset where there is one.
        place: String,
    },
}

impl EpisodeError {
    pub(crate) fn io(doing: &'static str, path: &Path, reason: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), reason }
    }

    /// The same with the file that it was found in, where it only says which recording (its source) is at fault.
    pub(crate) fn named(self, path: &Path, source: &str) -> Self {
        match self {
            Self::Invalid { expected, got, place } if place == source => {
                Self::Invalid { expected, got, place: path.display().to_string() }
            }
            error => error,
        }
    }

    pub(crate) fn invalid(expected: &str, got: impl Display, place: impl Display) -> Self {
        Self::Invalid {
            expected: expected.to_owned(),
            got: got.to_string(),
            place: place.to_string(),
        }
    }
}
