//! What the sections of other orders than play's know of their episode (FramePack §4.1): frames on either side,
//! blanks between, and no action where there is no past yet.

use crate::noise::Random;
use crate::pack::{BLANK_MAX, Grid, Known, Order, PackPlan, Schedule, TAIL_MAX};
use std::ops::Range;

/// Odds that a side knows few frames, as near the beginning or the end of a video.
const FEW_ODDS: f32 = 0.15;
/// Most frames that are few.
const FEW: usize = 25;
/// Odds that frames on a side lie beyond a blank where a name has none there.
const BLANK_ODDS: f32 = 0.15;
/// Odds that there are none at all on a side.
const NOTHING_ODDS: f32 = 0.1;
/// Odds that a section that touches no known frame is told no action.
const LOST_NULL_ODDS: f32 = 0.75;
/// Odds that nothing is told any action: a video made from pictures alone.
const NULL_ODDS: f32 = 0.15;

/// What a clip's sections know beside each other.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    /// Frames of the episode outside the clip.
    known: Known,
    /// Frames of the clip.
    clip: Range<u32>,
    /// Whether sections are told no action.
    pub(super) null_sections: bool,
    /// Whether history is told none either.
    pub(super) null_history: bool,
}

impl Surroundings {
    /// Draws what a clip of frames `clip` knows of an episode of `frames` frames.
    pub(super) fn draw(
        schedule: &Schedule,
        clip: Range<u32>,
        frames: u32,
        random: &mut Random,
    ) -> Self {
        let (order, reach) = (schedule.order(), schedule.history_frames() + TAIL_MAX);
        let mut known = Known::new();
        for forward in [false, true] {
            if forward && order == Order::Forward {
                continue;
            }
            let near = forward == (order == Order::Inverted);
            let (blank, count) = if near { near_side(random, reach) } else { far_side(random) };
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            known.add(if forward {
                let start = clip.end.saturating_add(blank).min(frames);
                start..start.saturating_add(count).min(frames)
            } else {
                let end = clip.start.saturating_sub(blank);
                end.saturating_sub(count)..end
            });
        }
        let touches = (clip.start > 0 && known.has(clip.start - 1..clip.start))
            || (clip.end < frames && known.has(clip.end..clip.end + 1));
        let null_history = random.chance(NULL_ODDS);
        let lost = !touches && random.chance(LOST_NULL_ODDS);
        Self { known, clip, null_sections: null_history || lost, null_history }
    }

    /// The plan of a section of the clip, whose others before it in the schedule's order are made.
    ///
    /// # Panics
    /// When a tier of the schedule ends within a group.
    pub(super) fn plan(&self, schedule: &Schedule, section: Range<u32>, grid: Grid) -> PackPlan {
        let mut known = self.known.clone();
        known.add(match schedule.order() {
            Order::Inverted => section.end..self.clip.end,
            Order::Forward | Order::Endpoint | Order::Mixed => self.clip.start..section.start,
        });
        schedule.plan_at(&known, section, grid).expect("schedules are checked before")
    }
}

/// The side that a video is made from: mostly everything, at once. Blank and frames.
fn near_side(random: &mut Random, reach: usize) -> (u32, usize) {
    let blank = if random.chance(BLANK_ODDS) { draw_blank(random) } else { 0 };
    (blank, if random.chance(FEW_ODDS) { random.below(FEW + 1) } else { reach })
}

/// The side that a video is led to: a few frames at any distance.
fn far_side(random: &mut Random) -> (u32, usize) {
    let count = if random.chance(NOTHING_ODDS) { 0 } else { 1 + random.below(9) };
    (draw_blank(random), count)
}

/// A length from 0 to [`BLANK_MAX`], as likely to double as to halve.
fn draw_blank(random: &mut Random) -> u32 {
    #[expect(clippy::cast_precision_loss, reason = "129")]
    let scale = ((BLANK_MAX + 1) as f32).ln();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 128"
    )]
    let blank = (scale * random.uniform()).exp() as u32 - 1;
    blank.min(BLANK_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const GRID: Grid = Grid { height: 12, width: 16 };

    fn drawn(name: &str) -> Vec<(Surroundings, PackPlan)> {
        let schedule: Schedule = name.parse().unwrap();
        let generate = u32::try_from(schedule.generate()).unwrap();
        let (mut random, clip) = (Random::new(5, 0), 300..300 + 2 * generate);
        let second = clip.start + generate;
        let draw = |_| {
            let around = Surroundings::draw(&schedule, clip.clone(), 600, &mut random);
            let plan = around.plan(&schedule, second..clip.end, GRID);
            (around, plan)
        };
        (0..400).map(draw).collect()
    }

    /// Positions of the first frames of what lies before the section, and after it.
    fn positions(plan: &PackPlan, after: bool) -> Vec<i32> {
        let all = plan.slots.iter().map(|slot| slot.position);
        all.filter(|&position| (position >= 0) == after).collect()
    }

    #[test]
    fn endpoints_lie_at_every_distance_and_are_sometimes_missing() {
        let drawn = drawn("td_f16k4f4k2f5k1_g4_x_f1k1");
        let ends: Vec<Vec<i32>> = drawn.iter().map(|(_, plan)| positions(plan, true)).collect();
        assert!(ends.iter().any(Vec::is_empty) && ends.iter().all(|ends| ends.len() <= 1));
        let ends: BTreeSet<i32> = ends.into_iter().flatten().collect();
        assert!(ends.contains(&4) && ends.len() > 40, "{ends:?}");
        assert!(ends.last().is_some_and(|&last| last <= 4 + 128));
        // The first section of the clip is made by then: the nearest frame is always known.
        assert!(drawn.iter().all(|(_, plan)| positions(plan, false)[0] == -1));
    }

    #[test]
    fn inverted_sections_see_what_is_made_after_them_and_a_first_frame() {
        let drawn = drawn("f1k1_x_g4_f5k1f4k2f16k4_td");
        let firsts: BTreeSet<i32> =
            drawn.iter().flat_map(|(_, plan)| positions(plan, false)).collect();
        assert!(firsts.contains(&-5) && firsts.len() > 40, "{firsts:?}");
        let full = drawn.iter().filter(|(_, plan)| positions(plan, true).len() == 11);
        assert!(full.count() > 200);
        // No frame of the second section's own future was left out for the first.
        assert!(drawn.iter().any(|(_, plan)| positions(plan, true).is_empty()));
    }

    #[test]
    fn no_action_is_told_where_nothing_is_touched_and_now_and_then_nowhere() {
        let drawn = drawn("td_f16k4f4k2f5k1_g4_x_f1k1");
        let count = |test: fn(&Surroundings) -> bool| drawn.iter().filter(|d| test(&d.0)).count();
        let history = count(|around| around.null_history);
        assert!((30..100).contains(&history), "{history}");
        assert!(count(|around| around.null_sections) > history);
        assert!(drawn.iter().all(|(around, _)| !around.null_history || around.null_sections));
    }

    #[test]
    fn tails_are_long() {
        for name in ["ta_f4k4f2k1_g1", "tc_f4k4f2k1_g1"] {
            let tails = drawn(name).into_iter().filter(|(_, plan)| plan.slots.len() > 3);
            assert!(tails.count() > 200, "{name}");
        }
    }
}
