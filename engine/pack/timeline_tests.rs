//! Plans within a video: blanks, both sides, tails, and what always holds.

#![expect(clippy::single_range_in_vec_init, reason = "what is known is a list of ranges")]

use std::collections::HashSet;

use proptest::prelude::*;

use super::kernel::Grid;
use super::known::Known;
use super::plan::{PackPlan, SlotKind};
use super::schedule::Schedule;
use super::timeline::BLANK_MAX;

const GRID: Grid = Grid { height: 12, width: 16 };

fn known(runs: &[std::ops::Range<u32>]) -> Known {
    let mut known = Known::new();
    runs.iter().for_each(|run| known.add(run.clone()));
    known
}

fn plan(name: &str, runs: &[std::ops::Range<u32>], section: std::ops::Range<u32>) -> PackPlan {
    name.parse::<Schedule>().unwrap().plan_at(&known(runs), section, GRID).unwrap()
}

#[test]
fn a_section_between_its_past_and_an_endpoint() {
    let plan = plan("td_f16k4f4k2f1k1_g9_x_f1k1", &[0..32, 91..100], 32..41);
    insta::assert_snapshot!(plan.table(), @r"
    group         kernel  tokens  position  kind
    frame 31      k1          48        -1  newest
    frames 29-30  k2          12        -3  recent
    frames 27-28  k2          12        -5  recent
    frames 23-26  k4           4        -9  recent
    frames 19-22  k4           4       -13  recent
    frames 15-18  k4           4       -17  recent
    frames 11-14  k4           4       -21  recent
    frame 91      k1          48        59  recent
    g9            k1         432    0 to 8  section
    total                    568
    ");
}

#[test]
fn an_endpoint_without_its_past() {
    // The run before it takes the frames that are known, at their true distance.
    let plan = plan("td_f4k4f2k2f1k1_g9_x_f1k1", &[0..8], 91..100);
    insta::assert_snapshot!(plan.table(), @r"
    group       kernel  tokens  position  kind
    frame 7     k1          48       -84  recent
    frames 5-6  k2          12       -86  recent
    frames 1-4  k4           4       -90  recent
    g9          k1         432    0 to 8  section
    total                  496
    ");
}

#[test]
fn inverted_towards_a_first_frame() {
    let plan = plan("f1k1_x_g9_f1k1f4k2f16k4_td", &[0..1, 50..100], 41..50);
    insta::assert_snapshot!(plan.table(), @r"
    group         kernel  tokens  position  kind
    frame 0       k1          48       -41  recent
    frame 50      k1          48         9  recent
    frames 51-52  k2          12        10  recent
    frames 53-54  k2          12        12  recent
    frames 55-58  k4           4        14  recent
    frames 59-62  k4           4        18  recent
    frames 63-66  k4           4        22  recent
    frames 67-70  k4           4        26  recent
    g9            k1         432    0 to 8  section
    total                    568
    ");
}

#[test]
fn tails_are_what_lies_beyond() {
    let appended = plan("ta_f2k2f1k1_g1", &[0..3, 5..10], 10..11);
    insta::assert_snapshot!(appended.table(), @r"
    group       kernel    tokens  position  kind
    frame 9     k1            48        -1  newest
    frames 7-8  k2            12        -3  recent
    frame 6     k1h64w64       1        -4  tail
    frame 5     k1h64w64       1        -5  tail
    frame 2     k1h64w64       1        -8  tail
    frame 1     k1h64w64       1        -9  tail
    frame 0     k1h64w64       1       -10  tail
    g1          k1            48         0  section
    total                    113
    ");
    let compressed = plan("tc_f2k2f1k1_g1", &[0..3, 5..10], 10..11);
    insta::assert_snapshot!(compressed.table(), @r"
    group             kernel  tokens  position  kind
    frame 9           k1          48        -1  newest
    frames 7-8        k2          12        -3  recent
    frames 0,1,2,5,6  k2          12        -5  tail
    g1                k1          48         0  section
    total                        120
    ");
    let inverted = plan("f1k1_x_g1_f1k1f2k2_ta", &[0..1, 11..16], 10..11);
    let tail = inverted.slots.iter().filter(|slot| slot.kind == SlotKind::Tail);
    let tail: Vec<_> = tail.map(|slot| (slot.group.frames[0].0, slot.position)).collect();
    assert_eq!(tail, [(14, 4), (15, 5)]);
    for (name, frames) in [("td_f2k2f1k1_g1", 10), ("tc_f2k2f1k1_g1", 3)] {
        let few = plan(name, &[0..frames], frames..frames + 1);
        assert!(few.slots.iter().all(|slot| slot.kind != SlotKind::Tail), "{name}");
    }
}

#[test]
fn only_the_appended_tail_grows() {
    let tokens =
        |name: &str, frames: u32| plan(name, &[0..frames], frames..frames + 1).history_tokens();
    for (name, growth) in
        [("td_f4k4f2k2f1k1_g1", 0), ("tc_f4k4f2k2f1k1_g1", 0), ("ta_f4k4f2k2f1k1_g1", 100)]
    {
        assert_eq!(tokens(name, 300) - tokens(name, 200), growth, "{name}");
    }
}

#[test]
fn a_long_blank_is_shortened_and_what_lies_beyond_keeps_its_spacing() {
    let far = plan("f4k2f1k1_x_g1", &[0..20], 1020..1021);
    let near = plan("f4k2f1k1_x_g1", &[0..20], 20 + BLANK_MAX..21 + BLANK_MAX);
    assert_eq!(far, near);
    let positions: Vec<_> = far.slots.iter().map(|slot| slot.position).collect();
    assert_eq!(positions, [-129, -131, -133]);
    let later = plan("f1k1_x_g2_x_f3k1", &[0..1, 500..510], 1..3);
    let positions: Vec<_> = later.slots.iter().map(|slot| slot.position).collect();
    assert_eq!(positions, [-1, 130, 131, 132]);
}

#[test]
fn a_second_run_is_an_anchor_at_the_far_end() {
    let seen = |frames: u32| {
        let plan = plan("f2k1_x_f2k2f1k1_g1", &[0..frames], frames..frames + 1);
        let slots = plan.slots.iter().map(|slot| (slot.group.frames[0].0, slot.position));
        slots.collect::<Vec<_>>()
    };
    assert_eq!(seen(10), [(9, -1), (7, -3), (1, -9), (0, -10)]);
    assert_eq!(seen(5), [(4, -1), (2, -3), (1, -4), (0, -5)]);
    // No room for all of it: what is packed already is not packed again.
    assert_eq!(seen(4), [(3, -1), (1, -3)]);
    // 397 frames lie between the window and the anchor.
    assert_eq!(seen(402), [(401, -1), (399, -3), (1, -132), (0, -133)]);
}

proptest! {
    #[test]
    fn plans_keep_their_rules(
        runs in prop::collection::vec((0_u32..100, 1_u32..28), 0..5),
        first in 0_u32..120,
        length in 1_u32..10,
        name in prop::sample::select(vec![
            "td_f16k4f4k2f5k1_g1", "ta_f4k4f2k2f1k1_g9_x_f1k1", "f1k1_x_g9_f1k1f4k2f16k4_td",
            "tc_f8k2f1k1h4w4f3k1_g2", "f2k2_x_f1k1_g4_f2k1_x_f4k4_tc",
        ]),
    ) {
        let section = first..first + length;
        let runs: Vec<_> = runs.into_iter().map(|(start, length)| start..start + length).collect();
        let (known, plan) = (known(&runs), plan(name, &runs, section.clone()));
        let (mut frames, mut places) = (HashSet::new(), HashSet::new());
        for slot in &plan.slots {
            let group: Vec<u32> = slot.group.frames.iter().map(|frame| frame.0).collect();
            for &frame in &group {
                prop_assert!(known.has(frame..frame + 1) && !section.contains(&frame));
                prop_assert!(frames.insert(frame), "frame {} is packed twice", frame);
            }
            let before = group[0] < section.start;
            prop_assert!(group.iter().all(|&frame| (frame < section.start) == before));
            prop_assert_eq!(slot.position < 0, before);
            prop_assert_eq!(slot.tokens, slot.group.kernel.tokens(GRID));
            if slot.kind != SlotKind::Tail {
                prop_assert_eq!(group.len(), slot.group.kernel.frames());
            }
            if group.len() == slot.group.kernel.frames() && slot.kind != SlotKind::Tail {
                // No blank here is long enough to be shortened.
                prop_assert_eq!(i64::from(slot.position), i64::from(group[0]) - i64::from(first));
                for at in 0..slot.group.kernel.frames() {
                    prop_assert!(places.insert(slot.position + i32::try_from(at).unwrap()));
                }
            }
        }
    }
}
