//! Votes, in a file that each goes into as soon as it is given.

use std::path::Path;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::ledger::{self, Ledger};

/// Marks the files of this version.
const FORMAT: &str = "oneiro-votes-1";

/// What somebody thought of two videos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Liked {
    /// The left one is better.
    Left,
    /// The right one is better.
    Right,
    /// Neither is.
    Neither,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vote {
    /// Name that both videos have in their folders: what they begin from.
    pub start: String,
    /// Whose video was shown on the left.
    pub left: String,
    /// Whose on the right.
    pub right: String,
    /// The answer.
    pub liked: Liked,
}

impl Vote {
    /// Points of the left arm, of which there is one: half of it each where neither was better.
    #[must_use]
    pub fn left_points(&self) -> f64 {
        match self.liked {
            Liked::Left => 1.0,
            Liked::Right => 0.0,
            Liked::Neither => 0.5,
        }
    }
}

/// First line of a file of votes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    format: String,
}

fn header() -> Header {
    Header { format: FORMAT.to_owned() }
}

/// Opens or begins a file of votes, and gives those in it.
///
/// # Errors
/// When it cannot be read or written, or is no file of votes.
pub fn open(path: &Path) -> Result<(Ledger<Vote>, Vec<Vote>)> {
    Ledger::open(path, &header())
}

/// The votes of a file.
///
/// # Errors
/// When it is not there, cannot be read, or is no file of votes.
pub fn read(path: &Path) -> Result<Vec<Vote>> {
    ensure!(
        path.exists(),
        "expected votes, got none yet: {}; compare without --table",
        path.display()
    );
    ledger::read(path, &header())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn where_nobody_has_voted_that_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let error = read(&dir.path().join("votes.jsonl")).unwrap_err().to_string();
        assert!(error.contains("none yet") && error.contains("without --table"), "{error}");
    }

    fn parse(text: &[u8]) -> Result<Vec<Vote>> {
        Ok(ledger::parse(text, &header())?.0)
    }

    fn votes() -> impl Strategy<Value = Vec<Vote>> {
        let liked = prop::sample::select(vec![Liked::Left, Liked::Right, Liked::Neither]);
        let vote = ("\\PC{0,9}", "\\PC{0,9}", "\\PC{0,9}", liked)
            .prop_map(|(start, left, right, liked)| Vote { start, left, right, liked });
        prop::collection::vec(vote, 0..9)
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(text: Vec<u8>, lines in "[\\PC\n]*") {
            let _ = parse(&text);
            let whole = serde_json::to_string(&header()).unwrap() + "\n" + &lines;
            let _ = parse(whole.as_bytes());
        }

        #[test]
        fn whatever_is_left_of_a_file_its_whole_lines_are_kept(votes in votes(), cut in 0_usize..999) {
            let mut text = serde_json::to_string(&header()).unwrap() + "\n";
            let mut ends = Vec::new();
            for vote in &votes {
                text += &(serde_json::to_string(vote).unwrap() + "\n");
                ends.push(text.len());
            }
            let cut = cut.min(text.len());
            let whole = ends.iter().filter(|&&end| end <= cut).count();
            prop_assert_eq!(parse(&text.as_bytes()[..cut]).unwrap(), &votes[..whole]);
        }
    }
}
