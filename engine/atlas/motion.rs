//! How walking moves a player, learnt from recorded play.

use super::Pose;
use super::bearing::turned;
use super::ground::Ground;
use crate::train::LatentEpisode;

/// Rounds of the fit: it has settled long before.
const ROUNDS: usize = 30;
/// Frames that the fit looks at: two numbers are sought.
const FRAMES_MAX: usize = 20_000;
/// Most of a velocity that may stay: a player slides for a second then.
const MOMENTUM_MAX: f32 = 0.95;
/// Ticks that a frame may have: games run at up to 70 a second, and are recorded at 17 or more.
const TICKS: [u8; 3] = [1, 2, 4];
/// A motion is only taken for a simpler one where this share of the simpler one's error is left.
const BETTER: f64 = 0.99;
/// Walks that tell what walls do, and frames of each.
const WALKS: usize = 1000;
const WALK_FRAMES: usize = 16;
/// An end that is farther off than this says no more, in steps: somebody was taken elsewhere.
const LOST: f32 = 4.0;

/// How a player moves. A frame is so many of the game's ticks; in each the player turns, then of the velocity `momentum` stays
/// and the rest follows the command.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Motion {
    /// The game's units in a step: what a frame's walking at full speed covers.
    pub step: f32,
    /// Share of a velocity that stays from tick to tick, in 0..=0.95.
    pub momentum: f32,
    /// The game's ticks in a frame.
    pub ticks: u8,
    /// Whether who walks ahead and aside at once is faster for it (in Doom by two fifths, because its axes add up).
    pub faster_aslant: bool,
    /// Whether who runs into a wall goes on along it only as fast as what was left of the tick (as `P_SlideMove` of Doom
    /// has it), rather than with all of the velocity along it.
    pub slowed_by_walls: bool,
}

/// Somebody who walks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Walker {
    pub(crate) pose: Pose,
    /// East and north, in steps a tick.
    pub(crate) velocity: (f32, f32),
}

/// One axis of a frame's move and of the one before it, with the commands of their ticks.
struct Sample {
    moved: [f64; 2],
    commands: [Vec<f64>; 2],
}

impl Motion {
    /// A motion of one tick a frame that follows commands at once.
    #[cfg(test)]
    pub(crate) fn of_steps(step: f32) -> Self {
        Self { step, momentum: 0.0, ticks: 1, faster_aslant: false, slowed_by_walls: false }
    }

    /// The motion that most frames of the episodes follow, where nothing is in the way; `None` where nobody walks or
    /// nothing tells where.
    pub(super) fn fit(episodes: &[LatentEpisode]) -> Option<Self> {
        let mut best: Option<(f64, Self)> = None;
        for ticks in TICKS {
            for faster_aslant in [false, true] {
                let samples = samples(episodes, ticks, faster_aslant);
                let Some((error, step, momentum)) = fitted(&samples, ticks) else { continue };
                if best.is_none_or(|(least, _)| error < BETTER * least) {
                    let slowed_by_walls = false;
                    let motion = Self { step, momentum, ticks, faster_aslant, slowed_by_walls };
                    best = Some((error, motion));
                }
            }
        }
        best.map(|(_, motion)| motion)
    }

    /// The same with walls that do what they did to those who walked in the episodes.
    #[must_use]
    pub(super) fn among_walls(self, ground: &Ground, episodes: &[LatentEpisode]) -> Self {
        let [kept, slowed] = [false, true].map(|slowed_by_walls| {
            let motion = Self { slowed_by_walls, ..self };
            (motion.astray(ground, episodes), motion)
        });
        if slowed.0 < kept.0 { slowed.1 } else { kept.1 }
    }

    /// How far those are off, in steps, who are reckoned along stretches of the episodes: all of them together.
    fn astray(self, ground: &Ground, episodes: &[LatentEpisode]) -> f32 {
        let frames: usize = episodes.iter().map(|episode| episode.poses().len()).sum();
        let every = (frames / WALKS).max(WALK_FRAMES);
        let ends = |episode: &LatentEpisode| {
            let poses: Vec<Pose> = episode.poses().iter().map(|&at| self.in_steps(at)).collect();
            let starts = (1..poses.len().saturating_sub(WALK_FRAMES)).step_by(every);
            let end = |start: usize| {
                let mut walker = self.walker(poses[start - 1], poses[start]);
                let end = start + WALK_FRAMES;
                for frame in start + 1..=end {
                    let left = turned(poses[frame - 1], poses[frame]);
                    walker = self.walk(ground, walker, episode.action(frame), left);
                }
                let off = (walker.pose.x - poses[end].x).hypot(walker.pose.y - poses[end].y);
                off.min(LOST)
            };
            starts.map(end).sum::<f32>()
        };
        episodes.iter().map(ends).sum()
    }

    /// Somebody whom the last frame led from one place to another, in steps.
    pub(crate) fn walker(self, from: Pose, to: Pose) -> Walker {
        let ticks = f32::from(self.ticks);
        Walker { pose: to, velocity: ((to.x - from.x) / ticks, (to.y - from.y) / ticks) }
    }

    /// Where an action's frame leads that turns by so many degrees to the left.
    pub(crate) fn walk(self, ground: &Ground, walker: Walker, action: &[f32], left: f32) -> Walker {
        let Walker { mut pose, mut velocity } = walker;
        let (first, ticks) = (pose.yaw, f32::from(self.ticks));
        for tick in 1..=self.ticks {
            pose.yaw = (first + left * f32::from(tick) / ticks).rem_euclid(360.0);
            let command = command(action, pose.yaw, self.faster_aslant);
            let follow = |velocity: f32, command: f32| {
                self.momentum * velocity + (1.0 - self.momentum) * command / ticks
            };
            let way = (follow(velocity.0, command.0), follow(velocity.1, command.1));
            let walked = ground.walk((pose.x, pose.y), way);
            (pose.x, pose.y) = walked.to;
            // Walls take what runs into them.
            let [east, north] = walked.free;
            let along = |free: f32| if self.slowed_by_walls { 1.0 - free } else { 1.0 };
            velocity = match (east < 1.0, north < 1.0) {
                (false, false) => way,
                (true, false) => (0.0, way.1 * along(east)),
                (false, true) => (way.0 * along(north), 0.0),
                (true, true) => (0.0, 0.0),
            };
        }
        Walker { pose, velocity }
    }

    /// A place of the game's, in steps.
    #[must_use]
    pub fn in_steps(self, pose: Pose) -> Pose {
        Pose { x: pose.x / self.step, y: pose.y / self.step, ..pose }
    }

    /// The numbers of a file.
    pub(super) fn write(self) -> [f32; 5] {
        let of = |is: bool| f32::from(u8::from(is));
        let ticks = f32::from(self.ticks);
        [self.step, self.momentum, ticks, of(self.faster_aslant), of(self.slowed_by_walls)]
    }

    /// A motion from the numbers of a file; `None` where they are none of one.
    pub(super) fn read(numbers: &[f32]) -> Option<Self> {
        let &[step, momentum, ticks, aslant, walls] = numbers else { return None };
        let ticks =
            TICKS.into_iter().find(|&known| f32::from(known).to_bits() == ticks.to_bits())?;
        let (faster_aslant, slowed_by_walls) = (aslant > 0.5, walls > 0.5);
        let motion = Self { step, momentum, ticks, faster_aslant, slowed_by_walls };
        (step > 0.0 && (0.0..=MOMENTUM_MAX).contains(&momentum)).then_some(motion)
    }
}

/// Where an action's command points, east and north: of a length of at most 1, unless walking aslant is faster than walking
/// straight.
pub(crate) fn command(action: &[f32], yaw: f32, faster_aslant: bool) -> (f32, f32) {
    let [_, forward, strafe, ..] = action else { return (0.0, 0.0) };
    let (ahead_y, ahead_x) = yaw.to_radians().sin_cos();
    let pace = if faster_aslant { 1.0 } else { forward.hypot(*strafe).max(1.0) };
    let (ahead, right) = (forward / pace, strafe / pace);
    (ahead * ahead_x + right * ahead_y, ahead * ahead_y - right * ahead_x)
}

/// East and north of every frame with two before it, or of every so many.
fn samples(episodes: &[LatentEpisode], ticks: u8, faster_aslant: bool) -> Vec<Sample> {
    let frames: usize = episodes.iter().map(|episode| episode.poses().len()).sum();
    let every = frames.div_ceil(FRAMES_MAX).max(1);
    let of = |episode: &LatentEpisode| {
        let poses = episode.poses();
        // Commands of the ticks of a frame, east and north.
        let commands = |frame: usize| {
            let (before, action) = (poses[frame - 1], episode.action(frame));
            let left = turned(before, poses[frame]);
            (1..=ticks).map(move |tick| {
                let yaw = before.yaw + left * f32::from(tick) / f32::from(ticks);
                command(action, yaw, faster_aslant)
            })
        };
        let moved = |frame: usize| {
            let (from, to) = (poses[frame - 1], poses[frame]);
            [f64::from(to.x - from.x), f64::from(to.y - from.y)]
        };
        let frames = (2..poses.len()).step_by(every).flat_map(|frame| {
            let of = |frame| commands(frame).map(|(x, y)| [f64::from(x), f64::from(y)]);
            let pair = [of(frame - 1).collect::<Vec<_>>(), of(frame).collect()];
            let moves = [moved(frame - 1), moved(frame)];
            [0, 1].map(|axis| Sample {
                moved: moves.map(|moved| moved[axis]),
                commands: pair.each_ref().map(|all| all.iter().map(|both| both[axis]).collect()),
            })
        });
        frames.collect::<Vec<_>>()
    };
    episodes.iter().filter(|episode| episode.poses().len() > 2).flat_map(of).collect()
}

/// Mean error, step and momentum of the motion that most samples follow.
///
/// Least absolute errors (by squares that are weighted anew each round), because those who walk into walls move
/// in quite another way, and are not few. Let the velocity of tick k be u(k) = m u(k - 1) + p c(k) with command c. With
/// the velocity before the first of two frames left out, the second one's move is m^n times the first one's and p times a sum
/// over the commands of both, in which m has its value of the round before.
fn fitted(samples: &[Sample], ticks: u8) -> Option<(f64, f32, f32)> {
    let (mut momentum, mut kept, mut push, mut error) = (0.0_f64, 0.0, 0.0_f64, f64::INFINITY);
    for round in 0..ROUNDS {
        let (mut sums, mut errors) = ([0.0_f64; 5], 0.0);
        for Sample { moved: [before, after], commands } in samples {
            let command = effect(commands, momentum);
            let off = (after - kept * before - push * command).abs();
            errors += off;
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
        let most = f64::from(MOMENTUM_MAX).powi(i32::from(ticks));
        kept = ((ba * cc - ca * bc) / determinant).clamp(0.0, most);
        push = (ca - kept * bc) / cc;
        momentum = kept.powf(1.0 / f64::from(ticks));
        error = errors / samples.len() as f64;
    }
    #[expect(clippy::cast_possible_truncation, reason = "ordinary sizes")]
    let (step, momentum) = ((push * f64::from(ticks) / (1.0 - momentum)) as f32, momentum as f32);
    (step.is_finite() && step > 0.0).then_some((error, step, momentum))
}

/// What the commands of two frames add to the second one's move, for a push of 1.
fn effect([before, after]: &[Vec<f64>; 2], momentum: f64) -> f64 {
    // The move of a frame, and the velocity that it ends with, from standing still or from a velocity of 1.
    let follow = |velocity: f64, commands: &[f64]| {
        let mut at = (0.0, velocity);
        for command in commands {
            at.1 = momentum * at.1 + command;
            at.0 += at.1;
        }
        at
    };
    let standing = vec![0.0; after.len()];
    let (coasted, kept) = follow(1.0, &standing);
    let ((begun, speed), (moved, _)) = (follow(0.0, before), follow(0.0, after));
    moved + coasted * speed - kept * begun
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_follow_from_those_before_whatever_the_velocity_was() {
        let (momentum, commands) = (0.7_f64, [vec![0.4, -1.0], vec![1.0, 0.3]]);
        for mut velocity in [0.0, 2.0, -5.0] {
            let moves = commands.each_ref().map(|frame| {
                let tick = |command: &f64| {
                    velocity = momentum * velocity + command;
                    velocity
                };
                frame.iter().map(tick).sum::<f64>()
            });
            let told = momentum.powi(2) * moves[0] + effect(&commands, momentum);
            assert!((told - moves[1]).abs() < 1e-9, "{told}, not {}", moves[1]);
        }
    }
}
