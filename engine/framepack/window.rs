//! Which history a section sees, and when each frame of it is: integers only.
//!
//! The release packs nineteen latent frames, one at k1, two at k2 and sixteen at k4, and the start picture at k1
//! beside them. Times are counted anew for every section, so that they never leave the range of training, however
//! long the video.

use std::ops::Range;

/// Frames of history at k1, k2 and k4, nearest first.
pub const NEAR: [usize; 3] = [1, 2, 16];
/// Frames of history in all.
pub const HISTORY: usize = NEAR[0] + NEAR[1] + NEAR[2];

/// The order that sections are made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// From the end of the video to the start picture, which every section aims at (`FramePack` §4.1, inverted
    /// anti-drifting).
    Inverted,
    /// From the start picture on, which stays in view (the release's F1; the paper's vanilla order).
    Forward,
}

/// Times of what a section is shown, in latent frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    /// The start picture, then the nearest frame of history.
    pub clean: Vec<i32>,
    /// The two frames at k2.
    pub half: Vec<i32>,
    /// The sixteen frames at k4.
    pub quarter: Vec<i32>,
    /// The section.
    pub noisy: Vec<i32>,
}

impl Order {
    /// Times of a section of `frames` frames, with `padding` frames left out between the start picture and it.
    ///
    /// Forward nothing is left out.
    pub fn times(self, frames: usize, padding: usize) -> Times {
        let mut next = 0_i32;
        let mut run = |length: usize| {
            let first = next;
            next += i32::try_from(length).expect("videos are far below 2^31 frames");
            (first..next).collect::<Vec<i32>>()
        };
        let [near, half, quarter] = NEAR;
        let mut clean = run(1);
        match self {
            Self::Inverted => {
                run(padding);
                let noisy = run(frames);
                clean.extend(run(near));
                Times { clean, half: run(half), quarter: run(quarter), noisy }
            }
            Self::Forward => {
                let (quarter, half) = (run(quarter), run(half));
                clean.extend(run(near));
                Times { clean, half, quarter, noisy: run(frames) }
            }
        }
    }

    /// The frames of a history of [`HISTORY`] frames in order of time that are packed at k1, k2 and k4.
    pub fn split(self) -> [Range<usize>; 3] {
        let [near, half, _] = NEAR;
        match self {
            // The nearest frames are those that follow.
            Self::Inverted => [0..near, near..near + half, near + half..HISTORY],
            Self::Forward => {
                let (quarter, half) = (HISTORY - near - half, HISTORY - near);
                [half..HISTORY, quarter..half, 0..quarter]
            }
        }
    }
}

/// How many sections are left out between the start picture and each of `sections` inverted ones, first made first.
///
/// They would fall one by one to 0. From five sections on the release has 3, then 2 until the last two: what was not
/// made yet is taken to be shorter than it is, which stays within the times of training.
pub fn paddings(sections: usize) -> Vec<usize> {
    if sections <= 4 {
        return (0..sections).rev().collect();
    }
    let mut paddings = vec![2; sections];
    paddings[0] = 3;
    paddings[sections - 2] = 1;
    paddings[sections - 1] = 0;
    paddings
}

/// Sections of `frames` latent frames, each of which lasts four pictures, for `seconds` at `fps`: at least one.
pub fn sections(seconds: f64, fps: f64, frames: usize) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "rounded, and cut to what fits"
    )]
    let sections = (seconds * fps / (4 * frames.max(1)) as f64).round() as usize;
    sections.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paddings_fall_to_the_start_picture() {
        assert_eq!(paddings(1), [0]);
        assert_eq!(paddings(4), [3, 2, 1, 0]);
        assert_eq!(paddings(5), [3, 2, 2, 1, 0]);
        assert_eq!(paddings(7), [3, 2, 2, 2, 2, 1, 0]);
    }

    #[test]
    fn inverted_times_run_from_the_start_over_the_section_into_history() {
        let times = Order::Inverted.times(3, 6);
        assert_eq!((times.clean, times.noisy), (vec![0, 10], vec![7, 8, 9]));
        assert_eq!((times.half, times.quarter.len(), times.quarter[15]), (vec![11, 12], 16, 28));
    }

    #[test]
    fn forward_times_run_from_the_start_over_history_into_the_section() {
        let times = Order::Forward.times(9, 0);
        assert_eq!((times.clean, times.half), (vec![0, 19], vec![17, 18]));
        assert_eq!((times.quarter[0], times.quarter[15]), (1, 16));
        assert_eq!((times.noisy[0], times.noisy[8]), (20, 28));
    }

    #[test]
    fn history_is_packed_finer_the_nearer_it_is() {
        assert_eq!(Order::Inverted.split(), [0..1, 1..3, 3..19]);
        assert_eq!(Order::Forward.split(), [18..19, 16..18, 0..16]);
    }

    #[test]
    fn a_second_of_video_is_a_section() {
        // Nine latent frames are 36 pictures.
        assert_eq!(sections(5.0, 30.0, 9), 4);
        assert_eq!(sections(0.1, 30.0, 9), 1);
        assert_eq!(sections(-1.0, 30.0, 9), 1);
    }
}
