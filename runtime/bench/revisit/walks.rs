//! Where play comes back to what it saw.

use input::Pose;

/// Frames of the outward leg, at most: more than half a minute.
const LEG_MAX: usize = 600;
/// Frames behind the newest that the context holds anyway.
const RECENT: usize = 32;
/// Returned views that make a walk worth dreaming.
const TARGETS_MIN: usize = 6;
/// Degrees between headings that see the same.
const HEADING: f32 = 10.0;
/// Ticks of walking between places that see the same.
const STEPS: f32 = 2.0;

/// What a walk must be like.
#[derive(Clone, Copy, Debug)]
pub struct WalkRule {
    /// Least frames between a view and its return.
    pub gap: usize,
    /// Frames dreamed.
    pub dream: usize,
}

/// A frame on the way back, and the one on the way out that saw the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The frame on the way back.
    pub frame: usize,
    /// The newest one on the way out with its view.
    pub seen: usize,
}

/// A stretch of an episode that comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// First frame of the outward leg.
    pub first: usize,
    /// Its last one: the newest real frame.
    pub cut: usize,
    /// Frames dreamed after it.
    pub dream: usize,
    /// Those of them that show again what the outward leg showed.
    pub targets: Vec<Target>,
}

/// At most `count` walks of an episode, those that return most, none dreaming what another does.
pub fn find_walks(poses: &[Pose], rule: WalkRule, count: usize) -> Vec<Walk> {
    let near = nearness(poses);
    let last = poses.len().saturating_sub(rule.dream + 1);
    let mut walks: Vec<Walk> = (rule.gap..=last)
        .step_by(4)
        .filter_map(|cut| {
            let first = (cut + 1).saturating_sub(LEG_MAX);
            let target = |frame: usize| {
                let fresh = (cut + 1).saturating_sub(RECENT)..=cut;
                // What is still in the recent window needs no memory.
                if fresh.into_iter().any(|recent| near(recent, frame)) {
                    return None;
                }
                let newest = cut.min(frame.checked_sub(rule.gap)?);
                let seen = (first..=newest).rev().find(|&seen| near(seen, frame))?;
                Some(Target { frame, seen })
            };
            let targets: Vec<Target> = (cut + 1..=cut + rule.dream).filter_map(target).collect();
            let enough = targets.len() >= TARGETS_MIN.min(rule.dream);
            enough.then_some(Walk { first, cut, dream: rule.dream, targets })
        })
        .collect();
    walks.sort_by_key(|walk| (std::cmp::Reverse(walk.targets.len()), walk.cut));
    let mut taken: Vec<Walk> = Vec::new();
    for walk in walks {
        let apart = |other: &Walk| other.cut.abs_diff(walk.cut) >= rule.dream;
        if taken.len() < count && taken.iter().all(apart) {
            taken.push(walk);
        }
    }
    taken.sort_by_key(|walk| walk.cut);
    taken
}

/// Whether two frames see nearly the same: places a few steps apart, headings a few degrees.
pub(in crate::bench) fn nearness(poses: &[Pose]) -> impl Fn(usize, usize) -> bool {
    let far = |a: Pose, b: Pose| (a.x - b.x).hypot(a.y - b.y);
    let mut steps: Vec<f32> =
        poses.windows(2).map(|pair| far(pair[0], pair[1])).filter(|&step| step > 0.0).collect();
    steps.sort_by(f32::total_cmp);
    let reach = STEPS * steps.get(steps.len() / 2).copied().unwrap_or_default();
    move |a, b| {
        let (a, b) = (poses[a], poses[b]);
        let turn = (a.yaw - b.yaw).rem_euclid(360.0);
        far(a, b) <= reach && turn.min(360.0 - turn) <= HEADING
    }
}
