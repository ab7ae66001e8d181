//! How sure a mean difference is.

use engine::noise::Random;
use serde::Serialize;
use std::collections::BTreeMap;

/// Times that the episodes are drawn anew.
const DRAWS: usize = 10_000;

/// A mean and the middle 95 % of what it might have been.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Mean over the walks.
    pub mean: f64,
    /// 2.5th percentile of the bootstrap.
    pub low: f64,
    /// 97.5th percentile.
    pub high: f64,
}

/// The mean of `values`, each with the episode it comes from, and its percentile interval when
/// whole episodes are drawn with replacement (Efron 1979; clusters, because walks through one
/// place are no independent observations).
///
/// # Panics
/// When there is no value.
pub fn paired_interval(values: &[(usize, f64)], seed: u64) -> Interval {
    assert!(!values.is_empty(), "a mean needs values");
    let mut episodes = BTreeMap::<usize, (f64, f64)>::new();
    for &(episode, value) in values {
        let (sum, count) = episodes.entry(episode).or_default();
        *sum += value;
        *count += 1.0;
    }
    let episodes: Vec<(f64, f64)> = episodes.into_values().collect();
    let mean = |drawn: &mut dyn Iterator<Item = (f64, f64)>| {
        let (sum, count) = drawn.fold((0.0, 0.0), |all, one| (all.0 + one.0, all.1 + one.1));
        sum / count
    };
    let mut random = Random::new(seed, 0);
    let mut means: Vec<f64> = (0..DRAWS)
        .map(|_| mean(&mut (0..episodes.len()).map(|_| episodes[random.below(episodes.len())])))
        .collect();
    means.sort_by(f64::total_cmp);
    Interval {
        mean: mean(&mut episodes.iter().copied()),
        low: means[DRAWS / 40],
        high: means[DRAWS - 1 - DRAWS / 40],
    }
}
