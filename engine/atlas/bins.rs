//! Frames of recorded play by where they were seen from.

use super::{Motion, Pose};
use crate::train::LatentEpisode;
use std::collections::BTreeMap;

/// Side of the squares of which each gives a view in every direction, in steps.
const SQUARE: f32 = 3.0;
/// Angle between the directions, in degrees.
const SECTOR: f32 = 15.0;
/// Most pairs of frames that are compared to tell maps apart.
const PAIRS_MAX: usize = 500;
/// Fewest pairs that tell anything.
const PAIRS_MIN: usize = 10;
/// How much more alike than any two frames those from one bin are at least, as a share of what they could be, where the
/// map is the same. In nine rooms of Doom it is nearly a half (0.59 against 0.22); of different maps a place tells nothing.
const ALIKE: f32 = 0.25;

/// A frame, by its episode and its number there.
type Frame = (usize, usize);

/// Squares by directions, each with the frame of each episode that is nearest to its middle.
pub(super) struct Bins(BTreeMap<[i32; 3], BTreeMap<usize, (f32, usize)>>);

impl Bins {
    pub(super) fn of(episodes: &[LatentEpisode], motion: Motion) -> Self {
        let mut bins: BTreeMap<[i32; 3], BTreeMap<usize, (f32, usize)>> = BTreeMap::new();
        for (number, episode) in episodes.iter().enumerate() {
            for (frame, &pose) in episode.poses().iter().enumerate() {
                let Pose { x, y, yaw } = motion.in_steps(pose);
                let at = [x / SQUARE, y / SQUARE, yaw.rem_euclid(360.0) / SECTOR];
                // In the sizes of a bin.
                let off = at.iter().map(|at| (at - at.floor() - 0.5).powi(2)).sum::<f32>();
                #[expect(clippy::cast_possible_truncation, reason = "casts saturate")]
                let bin = at.map(|at| at.floor() as i32);
                let best = bins.entry(bin).or_default().entry(number).or_insert((off, frame));
                if off < best.0 {
                    *best = (off, frame);
                }
            }
        }
        Self(bins)
    }

    /// The frame nearest to the middle of each bin, in the order of the bins.
    pub(super) fn nearest(&self) -> Vec<Frame> {
        let nearest = |bin: &BTreeMap<usize, (f32, usize)>| {
            let best = bin.iter().min_by(|(_, a), (_, b)| a.0.total_cmp(&b.0));
            best.map(|(&number, &(_, frame))| (number, frame))
        };
        self.0.values().filter_map(nearest).collect()
    }

    /// Whether one place and direction looks the same in different episodes; a single episode agrees with itself.
    pub(super) fn are_of_one_map(&self, episodes: &[LatentEpisode]) -> bool {
        if episodes.iter().filter(|episode| !episode.poses().is_empty()).count() == 1 {
            return true;
        }
        let pair = |bin: &BTreeMap<usize, (f32, usize)>| {
            let mut frames = bin.iter().map(|(&number, &(_, frame))| (number, frame));
            Some([frames.next()?, frames.next()?])
        };
        let pairs: Vec<[Frame; 2]> = self.0.values().filter_map(pair).collect();
        let pairs: Vec<_> = pairs.iter().step_by(pairs.len().div_ceil(PAIRS_MAX).max(1)).collect();
        if pairs.len() < PAIRS_MIN {
            return false;
        }
        let mean = |apart: usize| {
            let like = |at: usize| {
                let other = pairs[(at + apart) % pairs.len()][1];
                cosine(look(episodes, pairs[at][0]), look(episodes, other))
            };
            #[expect(clippy::cast_precision_loss, reason = "hundreds")]
            let count = pairs.len() as f32;
            (0..pairs.len()).map(like).sum::<f32>() / count
        };
        let (alike, any) = (mean(0), mean(pairs.len() / 2));
        are_alike(alike, any)
    }
}

/// Whether frames that are as much `alike` as this, while any two are as much as that, show the same.
pub(super) fn are_alike(alike: f32, any: f32) -> bool {
    alike - any > ALIKE * (1.0 - any)
}

fn look(episodes: &[LatentEpisode], (number, frame): Frame) -> impl Iterator<Item = f32> + '_ {
    episodes[number].latents(frame, 1)
}

/// Of two latents; 0 where one of them is nothing.
pub(crate) fn cosine(a: impl Iterator<Item = f32>, b: impl Iterator<Item = f32>) -> f32 {
    let (mut product, mut squares) = (0.0, (1e-6, 1e-6));
    for (a, b) in a.zip(b) {
        product += a * b;
        squares = (squares.0 + a * a, squares.1 + b * b);
    }
    product / (squares.0 * squares.1).sqrt()
}
