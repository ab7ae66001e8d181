//! How walking moves a player, learnt from recorded play.

use super::Pose;
use crate::train::LatentEpisode;

/// Rounds of the fit: it has settled long before.
const ROUNDS: usize = 30;
/// Frames that the fit looks at: one number is sought.
const FRAMES_MAX: usize = 20_000;
/// Most of a velocity that may stay: a player slides for a second then.
const MOMENTUM_MAX: f32 = 0.95;

/// How a player moves: of the velocity `momentum` stays from one frame to the next, the rest follows the command.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Motion {
    /// The game's units in a step: what a frame's walking at full speed covers.
    pub step: f32,
    /// Share of a velocity that stays, in 0..=0.95.
    pub momentum: f32,
}

impl Motion {
    /// The motion that most frames of the episodes follow; `None` where nobody walks or nothing tells where.
    ///
    /// Least absolute errors (by squares that are weighted anew each round), because those who walk into walls move
    /// in quite another way, and are not few.
    pub(super) fn fit(episodes: &[LatentEpisode]) -> Option<Self> {
        let frames: Vec<_> = episodes.iter().flat_map(axes).collect();
        let every = frames.len().div_ceil(FRAMES_MAX).max(1);
        let samples: Vec<_> = frames.into_iter().step_by(every).flatten().collect();
        let (mut momentum, mut push) = (0.0, 0.0_f64);
        for round in 0..ROUNDS {
            let mut sums = [0.0_f64; 5];
            for &[before, command, after] in &samples {
                let off = (after - momentum * before - push * command).abs();
                // Errors far below a step are all alike.
                let weight = if round == 0 { 1.0 } else { 1.0 / off.max(0.01 * push.abs()) };
                let products = [
                    before * before,
                    before * command,
                    command * command,
                    before * after,
                    command * after,
                ];
                sums.iter_mut().zip(products).for_each(|(sum, product)| *sum += weight * product);
            }
            let [bb, bc, cc, ba, ca] = sums;
            let determinant = bb * cc - bc * bc;
            if !(determinant > 1e-9 * bb * cc && determinant.is_finite()) {
                return None;
            }
            momentum = ((ba * cc - ca * bc) / determinant).clamp(0.0, f64::from(MOMENTUM_MAX));
            push = (ca - momentum * bc) / cc;
        }
        #[expect(clippy::cast_possible_truncation, reason = "ordinary sizes")]
        let (step, momentum) = ((push / (1.0 - momentum)) as f32, momentum as f32);
        (step.is_finite() && step > 0.0).then_some(Self { step, momentum })
    }

    /// A place of the game's, in steps.
    #[must_use]
    pub fn in_steps(self, pose: Pose) -> Pose {
        Pose { x: pose.x / self.step, y: pose.y / self.step, ..pose }
    }
}

/// Where an action's command points, east and north, of a length of at most 1: walking aslant is not faster than
/// walking straight.
pub(crate) fn command(action: &[f32], yaw: f32) -> (f32, f32) {
    let [_, forward, strafe, ..] = action else { return (0.0, 0.0) };
    let (ahead_y, ahead_x) = yaw.to_radians().sin_cos();
    let pace = forward.hypot(*strafe).max(1.0);
    let (ahead, right) = (forward / pace, strafe / pace);
    (ahead * ahead_x + right * ahead_y, ahead * ahead_y - right * ahead_x)
}

/// Velocity before, command and velocity after of each frame, east and north.
fn axes(episode: &LatentEpisode) -> Vec<[[f64; 3]; 2]> {
    let axes = |(poses, frame): (&[Pose], usize)| {
        let moved = |a: Pose, b: Pose| (f64::from(b.x - a.x), f64::from(b.y - a.y));
        let (before, after) = (moved(poses[0], poses[1]), moved(poses[1], poses[2]));
        let (east, north) = command(episode.action(frame), poses[2].yaw);
        [[before.0, f64::from(east), after.0], [before.1, f64::from(north), after.1]]
    };
    episode.poses().windows(3).zip(2..).map(axes).collect()
}
