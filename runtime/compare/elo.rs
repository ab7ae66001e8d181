//! Ranking by votes: Elo ratings with K = 32, differences within 16 counting as ties (FramePack §5.3, Table 2).

use std::collections::BTreeMap;

use engine::noise::Random;
use serde::Serialize;

use super::votes::{Liked, Vote};

/// Most that one vote moves a rating.
const K: f64 = 32.0;
/// What every rating begins with; the paper does not say its own.
const BEGIN: f64 = 1000.0;
/// Neighbours of the ranking that are no farther apart are tied.
const TIE: f64 = 16.0;
/// Times that the votes are drawn anew.
const DRAWS: usize = 1000;

/// Where an arm stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// Its name.
    pub arm: String,
    /// 1 for the best; the same for arms that are tied.
    pub rank: usize,
    /// Its rating after the votes in their order.
    pub elo: f64,
    /// The middle 95 % of its rating when as many votes are drawn from them, in any order.
    pub interval: [f64; 2],
    /// Votes that it had a part in.
    pub votes: usize,
    /// Votes for it, and those where neither was better.
    pub won: usize,
    /// See [`won`](Self::won).
    pub alike: usize,
}

/// Ratings of the arms after these votes, one after another.
pub fn ratings<'a>(votes: impl IntoIterator<Item = &'a Vote>) -> BTreeMap<&'a str, f64> {
    let mut ratings = BTreeMap::new();
    for vote in votes {
        let [left, right] =
            [&vote.left, &vote.right].map(|arm| *ratings.entry(arm.as_str()).or_insert(BEGIN));
        let expected = 1.0 / (1.0 + 10_f64.powf((right - left) / 400.0));
        let moved = K * (vote.left_points() - expected);
        ratings.insert(&vote.left, left + moved);
        ratings.insert(&vote.right, right - moved);
    }
    ratings
}

/// All arms with votes, the best first.
#[must_use]
pub fn ranking(votes: &[Vote], seed: u64) -> Vec<Standing> {
    let mut drawn: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut random = Random::new(seed, 0);
    for _ in 0..DRAWS {
        let again = (0..votes.len()).map(|_| &votes[random.below(votes.len())]);
        for (arm, elo) in ratings(again) {
            drawn.entry(arm).or_default().push(elo);
        }
    }
    let rated = ratings(votes).into_iter();
    let mut standings: Vec<Standing> = rated
        .map(|(arm, elo)| Standing {
            arm: arm.to_owned(),
            rank: 0,
            elo,
            interval: middle(drawn.remove(arm).unwrap_or_default()).unwrap_or([elo; 2]),
            votes: votes.iter().filter(|vote| vote.left == arm || vote.right == arm).count(),
            won: votes.iter().filter(|vote| winner(vote) == Some(arm)).count(),
            alike: votes
                .iter()
                .filter(|vote| vote.left == arm || vote.right == arm)
                .filter(|vote| vote.liked == Liked::Neither)
                .count(),
        })
        .collect();
    standings.sort_by(|a, b| b.elo.total_cmp(&a.elo));
    let ranks = ranks(&standings.iter().map(|standing| standing.elo).collect::<Vec<_>>());
    standings.iter_mut().zip(ranks).for_each(|(standing, rank)| standing.rank = rank);
    standings
}

fn winner(vote: &Vote) -> Option<&str> {
    match vote.liked {
        Liked::Left => Some(&vote.left),
        Liked::Right => Some(&vote.right),
        Liked::Neither => None,
    }
}

/// Ranks of ratings that fall: one is tied with the next higher where that is at most 16 away.
fn ranks(falling: &[f64]) -> Vec<usize> {
    let mut rank = 1;
    let mut ranks = Vec::with_capacity(falling.len());
    for (at, elo) in falling.iter().enumerate() {
        rank += usize::from(at > 0 && falling[at - 1] - elo > TIE);
        ranks.push(rank);
    }
    ranks
}

/// The 2.5th and the 97.5th percentile.
fn middle(mut values: Vec<f64>) -> Option<[f64; 2]> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some([values[last / 40], values[last - last / 40]])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vote(left: &str, right: &str, liked: Liked) -> Vote {
        let [start, left, right] = ["s", left, right].map(str::to_owned);
        Vote { start, left, right, liked }
    }

    #[test]
    fn a_vote_moves_half_of_32_between_equals_and_less_between_others() {
        let first = [vote("a", "b", Liked::Left)];
        assert_eq!(ratings(&first), BTreeMap::from([("a", 1016.0), ("b", 984.0)]));
        let alike = [vote("a", "b", Liked::Neither)];
        assert_eq!(ratings(&alike), BTreeMap::from([("a", 1000.0), ("b", 1000.0)]));
        // Worked out by hand: after the first vote a is expected to win with 1 / (1 + 10^(-32/400)) = 0.5459.
        let both = [vote("a", "b", Liked::Left), vote("b", "a", Liked::Right)];
        assert!((ratings(&both)["a"] - (1016.0 + 32.0 * (1.0 - 0.545_921))).abs() < 1e-4);
    }

    #[test]
    fn ranks_are_those_of_the_paper() {
        // Table 2 of FramePack, sorted.
        let elo = [1224.0, 1220.0, 1174.0, 1173.0, 1170.0, 1152.0, 1149.0, 1095.0, 1087.0, 1015.0];
        assert_eq!(ranks(&elo), [1, 1, 2, 2, 2, 3, 3, 4, 4, 5]);
        assert_eq!(ranks(&[50.0, 34.0, 17.9]), [1, 1, 2]);
    }

    #[test]
    fn the_better_arm_leads_and_the_interval_holds_it() {
        let mut votes = Vec::new();
        for at in 0..60 {
            votes.push(vote("good", "poor", if at % 6 == 0 { Liked::Right } else { Liked::Left }));
            votes.push(vote("poor", "fair", if at % 3 == 0 { Liked::Left } else { Liked::Right }));
            votes.push(vote(
                "fair",
                "good",
                if at % 5 == 0 { Liked::Neither } else { Liked::Right },
            ));
        }
        let ranking = ranking(&votes, 1);
        let names: Vec<_> = ranking.iter().map(|one| (one.arm.as_str(), one.rank)).collect();
        assert_eq!(names, [("good", 1), ("fair", 2), ("poor", 3)]);
        let good = &ranking[0];
        assert_eq!((good.votes, good.won, good.alike), (120, 50 + 48, 12));
        assert!(good.interval[0] < good.elo && good.elo < good.interval[1], "{good:?}");
        assert!(ranking[2].interval[1] < good.interval[0], "{ranking:?}");
    }

    proptest! {
        #[test]
        fn no_points_are_made_or_lost(pairs in prop::collection::vec((0..4_usize, 0..4_usize, 0..3_usize), 0..40)) {
            let names = ["a", "b", "c", "d"];
            let votes: Vec<Vote> = pairs
                .into_iter()
                .filter(|(left, right, _)| left != right)
                .map(|(left, right, liked)| {
                    let liked = [Liked::Left, Liked::Right, Liked::Neither][liked];
                    vote(names[left], names[right], liked)
                })
                .collect();
            let ratings = ratings(&votes);
            let sum: f64 = ratings.values().sum();
            prop_assert!((sum - 1000.0 * ratings.len() as f64).abs() < 1e-6);
        }
    }
}
