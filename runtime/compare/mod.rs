//! Which of two videos people like better: `oneiro compare` (FramePack §5.3, human assessments).
//!
//! Videos of one start from two arms are shown side by side, on sides drawn by chance and without their names
//! ([`pair`]). Answers go into a file at once ([`mod@votes`]), so that a poll that is broken off goes on
//! ([`poll`]), and are made into ratings ([`elo`]).

pub mod arms;
pub mod elo;
pub mod pair;
pub mod poll;
pub mod votes;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::commands::{Usage, print};
use elo::Standing;
use poll::Poll;
use votes::Vote;

/// File of votes beside the folders of videos.
pub const VOTES: &str = "votes.jsonl";

/// Options of `compare`.
#[derive(Args, Clone, Debug)]
pub struct CompareArgs {
    /// Folders of videos, one for each way of making them, or one folder with such folders in it; videos of one
    /// name (NAME.mp4, or NAME/video.mp4) are held against each other
    #[arg(value_name = "DIR", required_unless_present = "votes")]
    pub dirs: Vec<PathBuf>,
    /// File of votes; what is answered there is not asked again [default: votes.jsonl beside the folders]
    #[arg(long, value_name = "FILE")]
    pub votes: Option<PathBuf>,
    /// Ask nothing and print the ranking by the votes that there are
    #[arg(long)]
    pub table: bool,
    /// Write the ranking to this file, too
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Seed of the order of the questions, of the sides, and of the intervals
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

/// A ranking with what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranking {
    /// Votes in all.
    pub votes: usize,
    /// Arms, the best first.
    pub arms: Vec<Standing>,
}

impl Ranking {
    /// Of these votes; `seed` draws the intervals.
    #[must_use]
    pub fn new(votes: &[Vote], seed: u64) -> Self {
        Self { votes: votes.len(), arms: elo::ranking(votes, seed) }
    }

    /// The ranking in Markdown.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!(
            "{} votes; Elo with K = 32 from 1000, ranks tied within 16 (95 % interval, votes drawn anew).\n\n\
             | rank | arm | Elo | votes | better | alike | worse |\n|---|---|---|---|---|---|---|\n",
            self.votes
        );
        for Standing { arm, rank, elo, interval: [low, high], votes, won, alike } in &self.arms {
            let lost = votes - won - alike;
            let _ = writeln!(
                text,
                "| {rank} | {arm} | {elo:.0} ({low:.0} to {high:.0}) | {votes} | {won} | {alike} | {lost} |"
            );
        }
        text
    }
}

/// Asks, unless only the table is wanted, and prints the ranking.
///
/// # Errors
/// When videos or votes cannot be read, or no window can be opened to ask in.
pub fn run(args: &CompareArgs) -> Result<()> {
    let path = votes_path(args)?;
    ensure!(args.json.as_ref() != Some(&path), "expected another --json than the file of votes");
    let votes = if args.table { votes::read(&path)? } else { ask(args)? };
    let ranking = Ranking::new(&votes, args.seed);
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&ranking)? + "\n";
        fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    print(&ranking.table())
}

/// Where the votes are: where it is said, or beside the folders of videos.
fn votes_path(args: &CompareArgs) -> Result<PathBuf> {
    let beside = match args.dirs.as_slice() {
        [] => None,
        [one] => Some(one.join(VOTES)),
        [first, ..] => Some(first.parent().unwrap_or(Path::new(".")).join(VOTES)),
    };
    args.votes.clone().or(beside).context("expected folders, or a file of votes")
}

fn ask(args: &CompareArgs) -> Result<Vec<Vote>> {
    if args.dirs.is_empty() {
        return Err(Usage("expected folders of videos to ask about, or --table".to_owned()).into());
    }
    let questions = arms::questions(&arms::arms_in(&args.dirs)?);
    ensure!(
        !questions.is_empty(),
        "expected videos of the same name in two of the folders, such as a/start.mp4 and b/start.mp4"
    );
    let poll = Poll::open(questions, &votes_path(args)?, args.seed)?;
    Ok(show(poll)?.into_votes())
}

#[cfg(feature = "window")]
fn show(poll: Poll) -> Result<Poll> {
    let asked = crate::present::compare(poll)?;
    asked.map_err(|error| anyhow::anyhow!("{error}; --table prints the ranking without a window"))
}

#[cfg(not(feature = "window"))]
fn show(_: Poll) -> Result<Poll> {
    anyhow::bail!("this build has no window; --table prints the ranking without one")
}

#[cfg(test)]
mod tests {
    use super::votes::Liked;
    use super::*;

    #[test]
    fn the_table_has_a_line_for_every_arm() {
        let vote = |left: &str, right: &str, liked| {
            let [start, left, right] = ["s", left, right].map(str::to_owned);
            Vote { start, left, right, liked }
        };
        let votes = [vote("a", "b", Liked::Right), vote("b", "a", Liked::Neither)];
        let table = Ranking::new(&votes, 0).table();
        assert!(table.starts_with("2 votes"), "{table}");
        assert!(
            table.contains("| 1 | b | 1015 (") && table.contains("| 2 | 1 | 1 | 0 |"),
            "{table}"
        );
        assert!(
            table.contains("| 2 | a | 985 (") && table.contains("| 2 | 0 | 1 | 1 |"),
            "{table}"
        );
    }
}
