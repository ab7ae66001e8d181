//! A poll under way: what is asked next, and what was answered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use engine::noise::Random;

use super::arms::Question;
use super::votes::{self, Liked, Vote};
use crate::ledger::Ledger;

/// Questions, those that were answered, and the file of the answers.
#[derive(Debug)]
pub struct Poll {
    questions: Vec<Question>,
    /// Places in `questions` that are not answered, in the order in which they were shuffled.
    open: Vec<usize>,
    votes: Vec<Vote>,
    file: Ledger<Vote>,
    seed: u64,
    answered: usize,
}

/// Two videos to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Place of the question.
    place: usize,
    /// Whether the arms change sides.
    turned: bool,
    /// Left and right.
    pub videos: [PathBuf; 2],
}

impl Poll {
    /// Goes on with the votes of a file, or begins one; what is answered there is not asked again.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is no file of votes.
    pub fn open(mut questions: Vec<Question>, path: &Path, seed: u64) -> Result<Self> {
        let (file, votes) = votes::open(path)?;
        questions.sort();
        let known: BTreeSet<(&str, [&str; 2])> = votes.iter().map(asked_by).collect();
        let is_open = |at: &usize| {
            let Question { start, arms: [one, other], .. } = &questions[*at];
            !known.contains(&(start.as_str(), [one.as_str(), other.as_str()]))
        };
        let mut order: Vec<usize> = (0..questions.len()).collect();
        let mut random = Random::new(seed, 0);
        (1..order.len()).rev().for_each(|at| order.swap(at, random.below(at + 1)));
        let open: Vec<usize> = order.into_iter().filter(is_open).collect();
        let answered = questions.len() - open.len();
        Ok(Self { open, questions, votes, file, seed, answered })
    }

    /// The next question: one of arms that were asked about least so far, on sides drawn by chance.
    #[must_use]
    pub fn next(&self) -> Option<Asked> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for arm in self.votes.iter().flat_map(|vote| [&vote.left, &vote.right]) {
            *counts.entry(arm).or_default() += 1;
        }
        let count = |arm: &String| counts.get(arm.as_str()).copied().unwrap_or_default();
        let asked = |place: &&usize| {
            let [one, other] = &self.questions[**place].arms;
            let (one, other) = (count(one), count(other));
            (one.min(other), one.max(other))
        };
        // Of several the first.
        let place = *self.open.iter().min_by_key(asked)?;
        let turned = Random::new(self.seed, place as u64 + 1).chance(0.5);
        let [one, other] = self.questions[place].videos.clone();
        Some(Asked { place, turned, videos: if turned { [other, one] } else { [one, other] } })
    }

    /// Writes an answer down.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn answer(&mut self, asked: &Asked, liked: Liked) -> Result<()> {
        let Question { start, arms: [one, other], .. } = &self.questions[asked.place];
        let (left, right) = if asked.turned { (other, one) } else { (one, other) };
        let [start, left, right] = [start, left, right].map(String::clone);
        let vote = Vote { start, left, right, liked };
        self.file.add(&vote)?;
        self.votes.push(vote);
        self.open.retain(|place| *place != asked.place);
        self.answered += 1;
        Ok(())
    }

    /// Questions that are answered, and all.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (self.answered, self.questions.len())
    }

    /// All votes, also those on videos that are not here.
    #[must_use]
    pub fn into_votes(self) -> Vec<Vote> {
        self.votes
    }
}

/// Which question a vote answers.
fn asked_by(vote: &Vote) -> (&str, [&str; 2]) {
    let mut arms = [vote.left.as_str(), vote.right.as_str()];
    arms.sort_unstable();
    (&vote.start, arms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn questions(arms: &[&str], starts: usize) -> Vec<Question> {
        let mut all = Vec::new();
        for start in 0..starts {
            for (at, one) in arms.iter().enumerate() {
                for other in &arms[at + 1..] {
                    let arms = [one, other].map(|name| (*name).to_owned());
                    let videos = [one, other].map(|arm| PathBuf::from(format!("{arm}/{start}")));
                    all.push(Question { start: start.to_string(), arms, videos });
                }
            }
        }
        all
    }

    /// Answers up to `count` questions by arm: the first of the alphabet is always better.
    fn vote(poll: &mut Poll, count: usize) -> Vec<Asked> {
        let mut all = Vec::new();
        for _ in 0..count {
            let Some(asked) = poll.next() else { break };
            let liked = if asked.turned { Liked::Right } else { Liked::Left };
            poll.answer(&asked, liked).unwrap();
            all.push(asked);
        }
        all
    }

    #[test]
    fn a_poll_that_was_broken_off_asks_what_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("votes.jsonl");
        let all = questions(&["a", "b", "c"], 5);
        let mut whole = Poll::open(all.clone(), &dir.path().join("whole"), 3).unwrap();
        let unbroken = vote(&mut whole, 99);
        assert_eq!(unbroken.len(), 15);
        let mut poll = Poll::open(all.clone(), &path, 3).unwrap();
        let mut asked = vote(&mut poll, 6);
        drop(poll);
        // Killed in the middle of a line, and then asked in another order of the folders.
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 7]).unwrap();
        asked.pop();
        let mut poll = Poll::open(all.into_iter().rev().collect(), &path, 3).unwrap();
        assert_eq!(poll.progress(), (5, 15));
        asked.extend(vote(&mut poll, 99));
        assert_eq!(asked, unbroken);
        assert_eq!((poll.progress(), poll.next()), ((15, 15), None));
        assert_eq!(poll.into_votes(), votes::read(&path).unwrap());
    }

    #[test]
    fn votes_name_the_arms_on_their_sides_and_sides_are_drawn() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("votes.jsonl");
        let mut poll = Poll::open(questions(&["a", "b"], 40), &path, 1).unwrap();
        let asked = vote(&mut poll, 99);
        let turned = asked.iter().filter(|asked| asked.turned).count();
        // Five standard errors of 20 of 40.
        assert!((5..36).contains(&turned), "{turned}");
        for (asked, vote) in asked.iter().zip(votes::read(&path).unwrap()) {
            assert_eq!(asked.videos[0], Path::new(&vote.left).join(&vote.start));
            assert_eq!(vote.left_points() == 1.0, vote.left == "a");
        }
    }

    #[test]
    fn no_arm_is_asked_about_much_more_than_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("votes.jsonl");
        let mut poll = Poll::open(questions(&["a", "b", "c", "d", "e"], 20), &path, 1).unwrap();
        vote(&mut poll, 50);
        let votes = votes::read(&path).unwrap();
        for arm in ["a", "b", "c", "d", "e"] {
            let count = votes.iter().filter(|v| v.left == arm || v.right == arm).count();
            assert!((19..=21).contains(&count), "{arm}: {count}");
        }
    }
}
