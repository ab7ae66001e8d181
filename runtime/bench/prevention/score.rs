//! What a video is like at its beginning, at its end and on the way (FramePack §5.3, eq. 7).
//!
//! The paper's metrics are networks with weights of their own; these are figures of the pixels that stand in for
//! them, and are named as what they are.

use serde::{Deserialize, Serialize};

use crate::bench::metric::{self, Picture};

/// Share of the frames that are a video's beginning, and its end (eq. 7).
const ENDS: f64 = 0.15;

/// What is measured of every frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Variance of the Laplacian: for the paper's *clarity*.
    Sharpness,
    /// 1 less the error of the mean of the two frames around it, a part of the range of values: for *motion*.
    Smoothness,
    /// Mean change since the frame before, a part of the range of values: for *dynamic*.
    Change,
    /// Likeness to the game's own frame under the same actions, in decibels.
    Psnr,
    /// The same, structural, at most 1.
    Ssim,
    /// Distance to the game's own frame by a network, LPIPS; 0 for the same.
    Lpips,
}

/// One measure of one video.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Mean over all frames.
    pub mean: f64,
    /// Mean over the first and over the last 15 % of the frames.
    pub ends: [f64; 2],
    /// Mean over each second.
    pub seconds: Vec<f64>,
}

impl Measure {
    /// Those of the pixels alone.
    pub const PIXELS: [Self; 5] =
        [Self::Sharpness, Self::Smoothness, Self::Change, Self::Psnr, Self::Ssim];

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sharpness => "sharpness",
            Self::Smoothness => "smoothness",
            Self::Change => "change",
            Self::Psnr => "PSNR",
            Self::Ssim => "SSIM",
            Self::Lpips => "LPIPS",
        }
    }

    /// Its value for every frame of a video; `real` are the game's frames at the same times.
    ///
    /// # Panics
    /// When the two have different numbers of frames, or a network measures it.
    #[must_use]
    pub fn values(self, frames: &[Picture<'_>], real: &[Picture<'_>]) -> Vec<f64> {
        assert_eq!(frames.len(), real.len(), "every frame has a real one beside it");
        let pairs = || frames.iter().zip(real);
        match self {
            Self::Sharpness => frames.iter().map(|frame| metric::sharpness(*frame)).collect(),
            Self::Smoothness => frames.windows(3).map(smoothness).collect(),
            Self::Change => {
                let change = |pair: &[Picture<'_>]| metric::change(pair[0], pair[1]) / 255.0;
                frames.windows(2).map(change).collect()
            }
            Self::Psnr => pairs().map(|(a, b)| metric::psnr(*a, *b)).collect(),
            Self::Ssim => pairs().map(|(a, b)| metric::ssim(*a, *b)).collect(),
            Self::Lpips => panic!("a network measures {}", self.name()),
        }
    }
}

impl Series {
    /// Of the values of all frames, at `fps` frames a second.
    #[must_use]
    pub fn of(values: &[f64], fps: f32) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a number of frames"
        )]
        let part = |share: f64| ((values.len() as f64 * share).round() as usize).max(1);
        let count = part(ENDS).min(values.len());
        let [first, last] = [&values[..count], &values[values.len() - count..]];
        let second = part(f64::from(fps) / values.len().max(1) as f64);
        Self {
            mean: metric::mean(values),
            ends: [metric::mean(first), metric::mean(last)],
            seconds: values.chunks(second).map(metric::mean).collect(),
        }
    }

    /// The start-end contrast (eq. 7).
    #[must_use]
    pub fn contrast(&self) -> f64 {
        (self.ends[0] - self.ends[1]).abs()
    }
}

/// 1 less the mean absolute error of the mean of a frame's neighbours.
fn smoothness(three: &[Picture<'_>]) -> f64 {
    let [before, here, after] = [0, 1, 2].map(|at| three[at].pixels());
    let error = |((a, b), c): ((&u8, &u8), &u8)| {
        ((f64::from(*a) + f64::from(*c)) / 2.0 - f64::from(*b)).abs()
    };
    let sum: f64 = before.iter().zip(here).zip(after).map(error).sum();
    1.0 - sum / (255.0 * here.len().max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrast_is_between_the_first_and_last_frames() {
        // Twenty frames: three at each end.
        let mut values = vec![5.0; 20];
        values[..3].fill(1.0);
        values[17..].fill(8.0);
        let series = Series::of(&values, 4.0);
        assert_eq!((series.ends, series.contrast()), ([1.0, 8.0], 7.0));
        assert_eq!(series.seconds, [2.0, 5.0, 5.0, 5.0, (5.0 + 3.0 * 8.0) / 4.0]);
        values.reverse();
        assert_eq!(Series::of(&values, 4.0).contrast(), 7.0);
    }

    #[test]
    fn measures_are_of_pixels() {
        let frames = [[0_u8; 3], [50; 3], [100; 3], [100; 3]];
        let frames: Vec<_> = frames.iter().map(|pixels| Picture::new(pixels, 1)).collect();
        let values = |measure: Measure| measure.values(&frames, &frames);
        assert_eq!(values(Measure::Change), [50.0 / 255.0, 50.0 / 255.0, 0.0]);
        // The middle of 0 and 100 is 50; that of 50 and 100 is 75, 25 off.
        assert_eq!(values(Measure::Smoothness), [1.0, 1.0 - 25.0 / 255.0]);
        assert_eq!(values(Measure::Sharpness), [0.0; 4]);
        assert!(values(Measure::Psnr).iter().all(|&psnr| psnr >= metric::PSNR_MAX));
    }
}
