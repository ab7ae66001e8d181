//! Where a picture was seen from.
//!
//! The views that are most like it say about where; from there a search moves the place until the views, warped to it, show
//! what the picture shows (the photometric error of direct methods, as in J. Engel et al., "Direct Sparse Odometry", 2018, here
//! with three unknowns and no gradients).

use super::bearing::turned;
use super::bins::cosine;
use super::render::Renderer;
use super::scenery::Canvas;
use super::{Atlas, Pose};
use crate::codec::Codec;
use candle_core::Result;

/// Views that a search begins from.
const BEGINNINGS: usize = 48;
/// Beginnings that are looked at together, the likest first.
const TOGETHER: usize = 12;
/// How many of these are followed to the end.
const FOLLOWED: usize = 2;
/// Beginnings are at least so many steps apart, or look so many degrees elsewhere.
const APART: (f32, f32) = (3.0, 20.0);
/// Rounds of each search: steps, degrees, and the side of the blocks whose means are compared, in pixels.
const ROUNDS: [(f32, f32, usize); 7] = [
    (1.5, 8.0, 16),
    (0.75, 4.0, 8),
    (0.4, 4.0, 8),
    (0.4, 2.0, 8),
    (0.2, 1.0, 4),
    (0.1, 0.5, 4),
    (0.05, 0.25, 4),
];
/// The rounds that all beginnings are given.
const ROUGH: usize = 2;
/// Moves in a round at most.
const MOVES: usize = 8;
/// What a block that nobody saw is off by, of 255: more than a block of a place that was found. Other values were not tried.
const UNSEEN: f32 = 48.0;
/// Root of the mean squared error, of 255, up to which a picture was found. Of 32 held-out frames of doom-rooms 21 were found
/// where they were seen, a quarter of a step and 2 degrees off at most, and 4 on the other side of a room that looks the same
/// from there: with errors of 1.1 to 6.8. The next larger ones, of 10.8 and 12, were astray.
const FOUND: f32 = 8.0;
/// The error at which no other place is looked at: that of two thirds of those found. With it a search took six tenths of the time.
const SURE: f32 = 3.0;

/// The error up to which the likest beginnings, roughly searched, promise anything: of the held-out frames that were found the
/// worst had 17.3, of 31 pictures of other worlds, of clouds and of one colour the best had 23.3. So of walks whose places are
/// known: in half of their frames errors were up to 0.7 to 18.7 on the map (719 openings), 22.4 to 58.5 in other mazes (75).
const HOPELESS: f32 = 20.0;
/// The side, in pixels, of the blocks whose means are compared where the place is known.
const KNOWN_BLOCK: usize = 8;

impl Renderer {
    /// The place, in steps, that a picture (RGB, of the world's size) with this latent was seen from; `None` where the atlas
    /// shows it from nowhere.
    pub(crate) fn located(
        &mut self,
        (atlas, codec): (&Atlas, &Codec),
        picture: &[u8],
        latent: &[f32],
    ) -> Result<Option<Pose>> {
        let mut best: Option<(f32, Pose)> = None;
        for beginnings in beginnings(atlas, latent, self.columns()).chunks(TOGETHER) {
            let mut found = Vec::new();
            for &begin in beginnings {
                found.extend(self.search((atlas, codec), picture, begin, &ROUNDS[..ROUGH])?);
            }
            found.sort_by(|a, b| a.0.total_cmp(&b.0));
            if best.is_none() && found.first().is_none_or(|(off, _)| *off > HOPELESS) {
                break;
            }
            for (_, begin) in found.into_iter().take(FOLLOWED) {
                let place = self.search((atlas, codec), picture, begin, &ROUNDS[ROUGH..])?;
                best = best.into_iter().chain(place).min_by(|a, b| a.0.total_cmp(&b.0));
            }
            if best.is_some_and(|(off, _)| off <= SURE) {
                break;
            }
        }
        Ok(best.filter(|&(off, _)| off <= FOUND).map(|(_, place)| place))
    }

    /// Whether frames (RGB, of the world's size) that were seen from these places, in the game's units, are of the atlas's map:
    /// whether half of them are roughly what its views show from there. Of a place in a wall nothing can be said.
    pub(crate) fn shows<'a>(
        &mut self,
        sources: (&Atlas, &Codec),
        frames: impl Iterator<Item = (Pose, &'a [u8])>,
    ) -> Result<bool> {
        let mut errors = Vec::new();
        for (pose, picture) in frames {
            let canvas = self.canvas(sources, sources.0.motion.in_steps(pose), |_| false)?;
            errors.extend(canvas.map(|canvas| canvas.error(picture, KNOWN_BLOCK)));
        }
        errors.sort_by(f32::total_cmp);
        let half = errors.len().saturating_sub(1) / 2;
        Ok(errors.get(half).is_some_and(|&median| median <= HOPELESS))
    }

    /// The place near another from which the atlas shows most of what a picture shows, with its error; `None` where it shows
    /// nothing.
    fn search(
        &mut self,
        sources: (&Atlas, &Codec),
        picture: &[u8],
        begin: Pose,
        rounds: &[(f32, f32, usize)],
    ) -> Result<Option<(f32, Pose)>> {
        let (mut here, mut off) = (begin, f32::INFINITY);
        for &(step, degrees, block) in rounds {
            let mut error = |at: Pose| -> Result<f32> {
                let canvas = self.canvas(sources, at, |_| false)?;
                Ok(canvas.map_or(f32::INFINITY, |canvas| canvas.error(picture, block)))
            };
            off = error(here)?;
            for _ in 0..MOVES {
                let mut best = (off, here);
                for (ahead, left, turn) in [
                    (step, 0.0, 0.0),
                    (-step, 0.0, 0.0),
                    (0.0, step, 0.0),
                    (0.0, -step, 0.0),
                    (0.0, 0.0, degrees),
                    (0.0, 0.0, -degrees),
                    // Who steps aside and turns sees nearly the same: a narrow valley.
                    (0.0, step, degrees),
                    (0.0, step, -degrees),
                    (0.0, -step, degrees),
                    (0.0, -step, -degrees),
                ] {
                    let at = moved(here, ahead, left, turn);
                    let off = error(at)?;
                    if off < best.0 {
                        best = (off, at);
                    }
                }
                if best.1 == here {
                    break;
                }
                (off, here) = best;
            }
        }
        Ok(off.is_finite().then_some((off, here)))
    }
}

/// Places of the views most like a latent (C, H, W), not all from one place: half of them like all of it, half of them like
/// what is left when its columns are pooled, to which a step aside does little.
fn beginnings(atlas: &Atlas, latent: &[f32], columns: usize) -> Vec<Pose> {
    let all: Vec<Vec<f32>> = atlas.views.iter().map(|view| view.values().collect()).collect();
    let pooled_latent = pooled(latent, columns);
    let like = |view: &[f32]| cosine(latent.iter().copied(), view.iter().copied());
    let like_pooled =
        |view: &[f32]| cosine(pooled_latent.iter().copied(), pooled(view, columns).into_iter());
    let mut picked = Vec::new();
    pick(atlas, &mut picked, BEGINNINGS / 2, all.iter().map(|view| like(view)));
    pick(atlas, &mut picked, BEGINNINGS, all.iter().map(|view| like_pooled(view)));
    picked
}

/// Means of the rows.
fn pooled(latent: &[f32], columns: usize) -> Vec<f32> {
    #[expect(clippy::cast_precision_loss, reason = "some cells")]
    latent.chunks(columns).map(|row| row.iter().sum::<f32>() / columns as f32).collect()
}

/// Picks the likest until there are so many.
fn pick(atlas: &Atlas, picked: &mut Vec<Pose>, count: usize, likeness: impl Iterator<Item = f32>) {
    let mut all: Vec<(f32, Pose)> =
        likeness.zip(&atlas.views).map(|(likeness, view)| (likeness, view.pose)).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (_, pose) in all {
        let is_near = |other: &Pose| {
            let steps = (other.x - pose.x).hypot(other.y - pose.y);
            steps < APART.0 && turned(*other, pose).abs() < APART.1
        };
        if !picked.iter().any(is_near) {
            picked.push(pose);
        }
        if picked.len() >= count {
            break;
        }
    }
}

fn moved(from: Pose, ahead: f32, left: f32, turn: f32) -> Pose {
    let (sin, cos) = from.yaw.to_radians().sin_cos();
    Pose {
        x: from.x + ahead * cos - left * sin,
        y: from.y + ahead * sin + left * cos,
        yaw: (from.yaw + turn).rem_euclid(360.0),
    }
}

impl Canvas {
    /// How far a picture of the same size is off what was seen: the root of the mean squared difference of the means of square
    /// blocks.
    fn error(&self, picture: &[u8], block: usize) -> f32 {
        let (width, height) = (self.width, self.seen.len() / self.width);
        let (mut sum, mut blocks) = (0.0, 0.0);
        for top in (0..height).step_by(block) {
            for left in (0..width).step_by(block) {
                let (mut off, mut seen) = ([0_i32; 3], 0_i32);
                for y in top..height.min(top + block) {
                    for x in left..width.min(left + block) {
                        let at = y * width + x;
                        if self.seen[at] {
                            seen += 1;
                            for (channel, off) in off.iter_mut().enumerate() {
                                let at = 3 * at + channel;
                                *off += i32::from(picture[at]) - i32::from(self.pixels[at]);
                            }
                        }
                    }
                }
                #[expect(clippy::cast_precision_loss, reason = "pixels of a block")]
                let square = if seen == 0 {
                    UNSEEN * UNSEEN
                } else {
                    off.map(|off| (off as f32 / seen as f32).powi(2)).iter().sum::<f32>() / 3.0
                };
                (sum, blocks) = (sum + square, blocks + 1.0);
            }
        }
        (sum / blocks).sqrt()
    }
}
