//! Plans: the rules of the three arrangements, on written histories and on random ones.

use std::collections::HashSet;

use memory::{BranchId, FrameId, FrameStamp};
use proptest::prelude::*;

use super::kernel::{Grid, Kernel};
use super::plan::{Arrangement, Group, HistoryView, PackPlan, PlanRules, SlotKind};
use super::schedule::Schedule;

const RULES: PlanRules = PlanRules {
    arrangement: Arrangement::Default,
    apart_ticks: 9,
    grid: Grid { height: 12, width: 16 },
};

fn stamp(frame: u32, branch: u32) -> FrameStamp {
    FrameStamp { frame: FrameId(frame), branch: BranchId(branch), tick: u64::from(frame) }
}

fn play(frames: std::ops::Range<u32>) -> Vec<FrameStamp> {
    frames.map(|frame| stamp(frame, 1)).collect()
}

fn plan(name: &str, view: &[FrameStamp], ranked: &[FrameStamp], rules: PlanRules) -> PackPlan {
    name.parse::<Schedule>().unwrap().plan(HistoryView::new(view), ranked, &rules).unwrap()
}

fn default_plan(view: &[FrameStamp], ranked: &[u32]) -> PackPlan {
    let ranked: Vec<_> = ranked.iter().map(|frame| stamp(*frame, 1)).collect();
    plan(Schedule::DEFAULT_NAME, view, &ranked, RULES)
}

#[test]
fn default_plan_as_a_table() {
    let table = default_plan(&play(0..100), &[3, 50, 20, 70, 40]).table();
    insta::assert_snapshot!(table, @r"
    group         kernel  tokens  position  kind
    frame 99      k1          48        -1  newest
    frames 97-98  k2          12        -3  recent
    frames 95-96  k2          12        -5  recent
    frames 91-94  k4           4        -9  recent
    frames 87-90  k4           4       -13  recent
    frames 83-86  k4           4       -17  recent
    frames 79-82  k4           4       -21  recent
    frame 3       k1          48       -29  retrieved
    frame 50      k1          48       -33  retrieved
    frame 20      k1          48       -37  retrieved
    frame 70      k1          48       -41  retrieved
    g1            k1          48         0  section
    total                    328
    ");
}

#[test]
fn an_early_plan_as_a_table() {
    insta::assert_snapshot!(default_plan(&play(0..12), &[]).table(), @r"
    group       kernel  tokens  position  kind
    frame 11    k1          48        -1  newest
    frame 10    k1          48        -2  recent
    frame 9     k1          48        -3  recent
    frame 8     k1          48        -4  recent
    frame 7     k1          48        -5  recent
    frames 5-6  k2          12        -7  recent
    frames 3-4  k2          12        -9  recent
    g1          k1          48         0  section
    total                  312
    ");
}

#[test]
fn a_compressed_tail_as_a_table() {
    let ranked: Vec<_> = [3, 50, 20].map(|frame| stamp(frame, 1)).to_vec();
    let table = plan("tc_f4k4f2k2f2k1_g1", &play(0..200), &ranked, RULES).table();
    insta::assert_snapshot!(table, @r"
    group           kernel  tokens  position  kind
    frame 199       k1          48        -1  newest
    frames 197-198  k2          12        -3  recent
    frames 193-196  k4           4        -7  recent
    frames 65-192   k4           4       -11  tail
    frame 3         k1          48       -16  retrieved
    g1              k1          48         0  section
    total                      164
    ");
}

#[test]
fn a_tail_is_of_one_branch_and_bounded() {
    let tail = |view: &[FrameStamp]| {
        let plan = plan("tc_f4k4f2k2f2k1_g1", view, &[], RULES);
        let slot = plan.slots.iter().find(|slot| slot.kind == SlotKind::Tail).cloned();
        slot.map(|slot| {
            let frames: Vec<u32> = slot.group.frames.iter().map(|frame| frame.0).collect();
            (frames[0], frames.len(), slot.position, slot.tokens)
        })
    };
    // Eight frames are in tiers: no tail. Then one frame more, and never more than so many.
    assert_eq!(tail(&play(0..8)), None);
    assert_eq!(tail(&play(0..9)), Some((0, 1, -12, 4)));
    assert_eq!(tail(&play(0..500)), Some((500 - 8 - 128, 128, -12, 4)));
    // Frames that no group of k4 is full of are averaged, too.
    assert_eq!(tail(&play(0..6)), Some((0, 2, -8, 4)));
    let mut branched = play(0..40);
    branched.extend((60..80).map(|frame| stamp(frame, 2)));
    assert_eq!(tail(&branched), Some((60, 12, -12, 4)));
    branched.truncate(46);
    assert_eq!(tail(&branched), Some((0, 38, -12, 4)), "of the branch before");
}

#[test]
fn permutation_as_a_table() {
    let rules = PlanRules { arrangement: Arrangement::Permutation, ..RULES };
    let ranked: Vec<_> = [9, 2, 30, 31, 7, 8].map(|frame| stamp(frame, 1)).to_vec();
    let table = plan("td_f4k4f2k2f1k1_g4", &play(0..40), &ranked, rules).table();
    insta::assert_snapshot!(table, @r"
    group        kernel  tokens  position  kind
    frame 9      k1          48        -1  retrieved
    frames 2,30  k2          12        -3  retrieved
    g4           k1         192    0 to 3  section
    total                   252
    ");
}

#[test]
fn frames_of_the_time_tiers_and_near_ones_are_passed_over() {
    let view = play(0..100);
    // 79 to 99 are packed in time; 76 and 60 are too near to 70 and 68.
    let plan = default_plan(&view, &[99, 85, 79, 70, 76, 68, 40, 40, 48, 10, 0]);
    assert_eq!(frames_of(&plan, SlotKind::Retrieved), [70, 40, 10, 0]);
    assert_eq!(frames_of(&plan, SlotKind::Newest), [99]);
}

#[test]
fn frames_of_another_branch_are_never_near() {
    let ranked = [stamp(500, 7), stamp(501, 8), stamp(502, 7), stamp(20, 1), stamp(21, 9)];
    let plan = plan(Schedule::DEFAULT_NAME, &play(0..100), &ranked, RULES);
    assert_eq!(frames_of(&plan, SlotKind::Retrieved), [500, 501, 20, 21]);
}

#[test]
fn recent_frames_fill_what_memory_does_not() {
    let plan = default_plan(&play(0..100), &[30, 60]);
    assert_eq!(frames_of(&plan, SlotKind::Retrieved), [30, 60]);
    let recent: Vec<_> =
        plan.groups().take(5).map(|g| (g.kernel.frames(), g.frames[0].0)).collect();
    assert_eq!(recent, [(1, 99), (1, 98), (1, 97), (2, 95), (2, 93)]);
    assert_eq!(plan.history_tokens(), 280);
}

#[test]
fn a_frame_on_the_edge_of_the_window_is_packed_once() {
    // With one frame from memory the window reaches to 76, so that 77 is in a time tier.
    let plan = default_plan(&play(0..100), &[77]);
    assert_eq!(frames_of(&plan, SlotKind::Retrieved), [0_u32; 0]);
    assert_packed_once(&plan);
}

#[test]
fn no_group_spans_two_branches() {
    let view: Vec<_> = (0..100).map(|frame| stamp(frame, u32::from(frame >= 93))).collect();
    let plan = plan(Schedule::DEFAULT_NAME, &view, &[], RULES);
    let starts: Vec<_> = plan.groups().map(|g| (g.kernel.frames(), g.frames[0].0)).collect();
    let fine = [(1, 99), (1, 98), (1, 97), (1, 96), (1, 95)];
    // The pair 93, 94 is whole; 91, 92 lie in the other branch; 87 to 90 too.
    assert_eq!(starts[..5], fine);
    assert_eq!(starts[5..8], [(2, 93), (2, 91), (4, 87)]);
    let shifted: Vec<_> = (0..100).map(|frame| stamp(frame, u32::from(frame >= 94))).collect();
    let plan = self::plan(Schedule::DEFAULT_NAME, &shifted, &[], RULES);
    assert!(plan.groups().all(|group| group.frames[0].0 != 93), "93 and 94 differ in branch");
    assert_eq!(plan.history_tokens(), 280 - 12);
}

#[test]
fn at_one_frame_a_section_each_tier_has_one_new_group() {
    let ranked: Vec<_> = [900, 910, 920, 930].map(|frame| stamp(frame, 2)).to_vec();
    let mut known: HashSet<Group> = HashSet::new();
    for now in 30..120 {
        let plan = plan(Schedule::DEFAULT_NAME, &play(0..now), &ranked, RULES);
        let new: Vec<_> = plan.groups().filter(|group| !known.contains(group)).collect();
        let kernels: Vec<_> = new.iter().map(|group| group.kernel.frames()).collect();
        if now >= 50 {
            assert_eq!(kernels, [1, 2, 4], "at {now}");
        }
        known.extend(plan.groups().cloned());
    }
}

#[test]
fn counted_new_groups_are_those_that_plans_bring() {
    for name in [
        "td_f16k4f4k2f5k1_g1",
        "td_f16k4f8k2f1k1_g2",
        "td_f32k4f6k2f1k1_g4",
        "td_f64k8f16k4f4k2f1k1_g9",
    ] {
        let schedule: Schedule = name.parse().unwrap();
        let rules = PlanRules { arrangement: Arrangement::Recency, ..RULES };
        let generate = u32::try_from(schedule.generate()).unwrap();
        let fine: usize =
            schedule.tiers().filter(|t| t.kernel == Kernel::FINEST).map(|t| t.groups()).sum();
        let (mut known, mut tokens) = (HashSet::new(), 0);
        for section in 0..60 {
            let plan = plan(name, &play(0..200 + generate * section), &[], rules);
            let coarse = plan.slots.iter().filter(|slot| slot.group.kernel != Kernel::FINEST);
            tokens = coarse
                .filter(|slot| known.insert(slot.group.clone()))
                .map(|slot| slot.tokens)
                .sum();
        }
        let counted = super::Budget::new(&schedule, RULES.grid, 0).new;
        assert_eq!(counted - fine.min(1) * 48, tokens, "{name}");
    }
}

#[test]
fn positions_are_relative_and_clipped() {
    let early = default_plan(&play(0..100), &[3, 50, 20, 70]);
    let late = default_plan(&play(5000..5100), &[5003, 5050, 5020, 5070]);
    let positions = |plan: &PackPlan| plan.slots.iter().map(|s| s.position).collect::<Vec<_>>();
    assert_eq!(positions(&early), positions(&late));
    let long = plan("td_f512k8f2k1_g1", &play(0..2000), &[stamp(5, 1)], RULES);
    assert_eq!(long.slots.iter().map(|slot| slot.position).min(), Some(-132));
}

#[test]
fn schedules_that_do_not_play_forward_are_refused() {
    let check = |name: &str, expected: &str| {
        let schedule: Schedule = name.parse().unwrap();
        let error = schedule.plan(HistoryView::new(&play(0..9)), &[], &RULES).expect_err(name);
        assert_eq!(error.to_string(), expected);
    };
    let forward = "expected a forward schedule such as td_f16k4f4k2f5k1_g1 for live play, got ";
    check("td_f2k1_g9_x_f1k1", &format!("{forward}td_f2k1_g9_x_f1k1"));
    check("f1k1_x_g9_f1k1f4k2f16k4_td", &format!("{forward}f1k1_x_g9_f1k1f4k2f16k4_td"));
    check(
        "ta_f1k1_g9",
        "expected tail td or tc for live play, got ta in ta_f1k1_g9: its context grows with every frame, and play has \
         no end",
    );
    check("td_f6k4_g1", "expected a multiple of 4 frames, got f6k4 in td_f6k4_g1");
}

fn frames_of(plan: &PackPlan, kind: SlotKind) -> Vec<u32> {
    plan.slots.iter().filter(|slot| slot.kind == kind).map(|slot| slot.group.frames[0].0).collect()
}

fn assert_packed_once(plan: &PackPlan) {
    let mut seen = HashSet::new();
    for group in plan.groups() {
        for frame in &group.frames {
            assert!(seen.insert(*frame), "frame {frame} is packed twice");
        }
    }
}

fn history() -> impl Strategy<Value = Vec<FrameStamp>> {
    prop::collection::vec(any::<bool>(), 0..80).prop_map(|breaks| {
        let mut branch = 0;
        let mut stamps = Vec::new();
        for (frame, broken) in (0..).zip(breaks.chunks(7)) {
            branch += u32::from(broken.iter().all(|b| *b));
            stamps.extend((0..7).map(|at| stamp(frame * 7 + at, branch)));
        }
        stamps
    })
}

proptest! {
    #[test]
    fn plans_keep_their_rules(
        view in history(),
        ranked in prop::collection::vec((0_u32..160, 0_u32..3), 0..30),
        arrangement in prop::sample::select(vec![
            Arrangement::Default, Arrangement::Recency, Arrangement::Permutation,
        ]),
        name in prop::sample::select(vec![
            "td_f16k4f4k2f5k1_g1", "td_f2k1f4k2_g4", "f8k4_g1", "td_f8k2f1k1h4w4f3k1_g2",
        ]),
    ) {
        let known = |frame: u32| view.iter().find(|stamp| stamp.frame.0 == frame).copied();
        let ranked: Vec<_> = ranked
            .into_iter()
            .map(|(frame, branch)| known(frame).unwrap_or(stamp(frame + 1000 * branch, branch + 50)))
            .collect();
        let schedule: Schedule = name.parse().unwrap();
        let plan = plan(name, &view, &ranked, PlanRules { arrangement, ..RULES });
        assert_packed_once(&plan);
        prop_assert!(plan.history_tokens() <= schedule.history_tokens(RULES.grid));
        let stamps: Vec<_> = view.iter().chain(&ranked).collect();
        for slot in &plan.slots {
            prop_assert!((-200..0).contains(&slot.position));
            prop_assert_eq!(slot.group.frames.len(), slot.group.kernel.frames());
            for frame in &slot.group.frames {
                prop_assert!(stamps.iter().any(|s| s.frame == *frame && s.branch == slot.group.branch));
            }
            if slot.kind != SlotKind::Retrieved {
                let oldest = view.len() - usize::try_from(-slot.position).unwrap();
                prop_assert_eq!(view[oldest].frame, slot.group.frames[0]);
            }
        }
        let positions: HashSet<_> = plan.slots.iter().map(|slot| slot.position).collect();
        prop_assert_eq!(positions.len(), plan.slots.len());
    }
}

#[test]
fn the_frame_before_the_section_is_found_in_every_kernel() {
    for (name, view) in
        [(Schedule::DEFAULT_NAME, 0..100), ("td_f4k2f3k1_g1", 0..1), ("td_f16k4f4k2_g1", 7..60)]
    {
        let last = FrameId(view.end - 1);
        let plan = plan(name, &play(view), &[], RULES);
        assert_eq!(plan.before_section(), Some(last), "{name}");
    }
    assert_eq!(default_plan(&[], &[]).before_section(), None);
    let group = Group {
        kernel: Kernel::simplified(2).unwrap(),
        branch: BranchId(1),
        frames: vec![FrameId(4), FrameId(5)],
    };
    let found = [-3, -2, -1, 0, 7, i32::MIN].map(|position| group.before_section(position));
    assert_eq!(found, [None, Some(FrameId(5)), Some(FrameId(4)), None, None, None]);
}
