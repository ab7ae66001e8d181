//! Every schedule of the paper's Tables 1 and 2: read, printed back, planned, and its tokens counted.

use super::budget::Budget;
use super::kernel::Grid;
use super::known::Known;
use super::plan::SlotKind;
use super::schedule::{Order, Schedule, Tail};

/// Latents of HunyuanVideo at 480p. A frame takes 30 × 52 = 1560 tokens at k1; a group takes 15 × 26 = 390 at
/// k2, 8 × 13 = 104 at k4, 4 × 7 = 28 at k8 and 2 × 4 = 8 at k16, the ends padded.
const GRID: Grid = Grid { height: 60, width: 104 };

/// The 42 rows in the order of the tables, three of the first one's inverted names twice: groups and tokens of the
/// history, tail aside, and tokens of the section, worked out by hand.
const ROWS: [(&str, usize, usize, usize); 42] = [
    // 28 + 104 + 390 + 1560
    ("td_f8k8f4k4f2k2f1k1_g9", 4, 2082, 14040),
    // 8 · 28 + 4 · 104 + 2 · 390 + 1560
    ("td_f64k8f16k4f4k2f1k1_g9", 15, 2980, 14040),
    // 64 · 28 + 16 · 104 + 4 · 390 + 1560
    ("td_f512k8f64k4f8k2f1k1_g9", 85, 6576, 14040),
    // 32 · 8 + 8 · 28 + 4 · 390 + 1560
    ("td_f512k16f64k8f8k2f1k1_g9", 45, 3600, 14040),
    // 4 · 104 + 2 · 390 + 1560
    ("td_f16k4f4k2f1k1_g9", 7, 2756, 14040),
    // 4 · 104 + 390 + 1560
    ("td_f16k4f2k2f1k1_g1", 6, 2366, 1560),
    ("td_f16k4f2k2f1k1_g4", 6, 2366, 6240),
    ("td_f16k4f2k2f1k1_g9", 6, 2366, 14040),
    ("tc_f16k4f2k2f1k1_g9", 6, 2366, 14040),
    ("ta_f16k4f2k2f1k1_g9", 6, 2366, 14040),
    // As above, with an endpoint of 1560.
    ("td_f8k8f4k4f2k2f1k1_g9_x_f1k1", 5, 3642, 14040),
    ("td_f64k8f16k4f4k2f1k1_g9_x_f1k1", 16, 4540, 14040),
    ("td_f512k8f64k4f8k2f1k1_g9_x_f1k1", 86, 8136, 14040),
    ("td_f512k16f64k8f8k2f1k1_g9_x_f1k1", 46, 5160, 14040),
    ("td_f16k4f4k2f1k1_g9_x_f1k1", 8, 4316, 14040),
    ("td_f16k4f2k2f1k1_g1_x_f1k1", 7, 3926, 1560),
    ("td_f16k4f2k2f1k1_g4_x_f1k1", 7, 3926, 6240),
    ("td_f16k4f2k2f1k1_g9_x_f1k1", 7, 3926, 14040),
    ("tc_f16k4f2k2f1k1_g9_x_f1k1", 7, 3926, 14040),
    ("ta_f16k4f2k2f1k1_g9_x_f1k1", 7, 3926, 14040),
    // Three frames at k1, and 390; 2 · 390; 4 · 390; 4 · 104; 16 · 390
    ("f1k1_x_g9_f1k1f2k2f1k1_g9+D", 4, 5070, 14040),
    ("f1k1_x_g9_f1k1f4k2f1k1_g9+D", 5, 5460, 14040),
    ("f1k1_x_g9_f1k1f8k2f1k1_g9+D", 7, 6240, 14040),
    ("f1k1_x_g9_f1k1f16k4f1k1_g9+D", 7, 5096, 14040),
    ("f1k1_x_g9_f1k1f32k2f1k1_g9+D", 19, 10920, 14040),
    ("f1k1_x_g1_f1k1f2k2f1k1_g9+D", 4, 5070, 1560),
    ("f1k1_x_g1_f1k1f4k2f1k1_g9+D", 5, 5460, 1560),
    ("f1k1_x_g9_f1k1f2k2f1k1_g9+D", 4, 5070, 14040),
    ("f1k1_x_g9_f1k1f4k2f1k1_g9+D", 5, 5460, 14040),
    ("f1k1_x_g9_f1k1f8k2f1k1_g9+D", 7, 6240, 14040),
    ("td_f8k8f4k4f2k2f1k1_g9+D", 4, 2082, 14040),
    ("td_f64k8f16k4f4k2f1k1_g9+D", 15, 2980, 14040),
    ("td_f512k8f64k4f8k2f1k1_g9+D", 85, 6576, 14040),
    ("td_f512k16f64k8f8k2f1k1_g9+D", 45, 3600, 14040),
    ("td_f16k4f4k2f1k1_g9+D", 7, 2756, 14040),
    ("td_f16k4f2k2f1k1_g1+D", 6, 2366, 1560),
    ("td_f16k4f2k2f1k1_g4+D", 6, 2366, 6240),
    ("td_f16k4f2k2f1k1_g9+D", 6, 2366, 14040),
    ("tc_f16k4f2k2f1k1_g9+D", 6, 2366, 14040),
    ("ta_f16k4f2k2f1k1_g9+D", 6, 2366, 14040),
    // 1560 + 1560 + 390 + 4 · 104
    ("f1k1_x_g9_f1k1f2k2f16k4", 7, 3926, 14040),
    ("f16k4f2k2f1k1_g9+D", 6, 2366, 14040),
];

/// The names of section 5.1 that are not in the tables as well.
const EXAMPLES: [&str; 1] = ["f1k1_x_g9_f1k1f4k2f16k4_td"];

fn read(name: &str) -> Schedule {
    name.parse().unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_name_is_read_and_printed_back() {
    let lower = ROWS.map(|row| row.0.replace("+D", "+d"));
    let names = ROWS.iter().map(|row| row.0).chain(EXAMPLES);
    for name in names.chain(lower.iter().map(String::as_str)) {
        let schedule = read(name);
        assert_eq!(schedule.to_string(), name);
        assert_eq!(schedule.is_discrete(), name.to_uppercase().ends_with("+D"), "{name}");
        assert_eq!(schedule.has_two_sections(), name.matches("_g").count() == 2, "{name}");
        let order = match (name.contains("_x_g"), name.contains("_x_f")) {
            (true, _) => Order::Inverted,
            (false, true) => Order::Endpoint,
            (false, false) => Order::Forward,
        };
        assert_eq!(schedule.order(), order, "{name}");
    }
}

/// What is known around a section from frame 1000 on: everything before it, or the first frame alone; what comes
/// after it, at once or beyond 30 frames.
fn around(schedule: &Schedule, section: &std::ops::Range<u32>) -> Known {
    let mut known = Known::new();
    match schedule.order() {
        Order::Forward | Order::Mixed => known.add(0..section.start),
        Order::Endpoint => {
            known.add(0..section.start);
            known.add(section.end + 30..section.end + 60);
        }
        Order::Inverted => {
            known.add(0..1);
            known.add(section.end..section.end + 600);
        }
    }
    known
}

#[test]
fn every_row_plans_with_the_tokens_counted_by_hand() {
    for (name, groups, history, section) in ROWS {
        let schedule = read(name);
        assert_eq!(schedule.history_tokens(GRID), history, "{name}");
        let frames = 1000..1000 + u32::try_from(schedule.generate()).unwrap();
        let plan = schedule.plan_at(&around(&schedule, &frames), frames, GRID).unwrap();
        assert_eq!(plan.section_tokens, section, "{name}");
        let packed: Vec<_> = plan.slots.iter().filter(|slot| slot.kind != SlotKind::Tail).collect();
        assert_eq!(packed.len(), groups, "{name}");
        assert_eq!(packed.iter().map(|slot| slot.tokens).sum::<usize>(), history, "{name}");
        // Nineteen frames are packed, 981 are left: two tokens each, or one group of k4 for all.
        let tail = match schedule.tail() {
            Tail::Delete => 0,
            Tail::Append => 981 * 2,
            Tail::Compress => 104,
        };
        assert_eq!(plan.history_tokens(), history + tail, "{name}");
        let bound = Budget::new(&schedule, GRID, 0).bound();
        let grows = schedule.tail() == Tail::Append;
        assert_eq!(bound, (!grows).then_some(plan.history_tokens() + section), "{name}");
    }
}

#[test]
fn a_second_section_is_noted_and_changes_no_plan() {
    let two = ROWS.iter().filter(|row| read(row.0).has_two_sections());
    let mut count = 0;
    for (name, ..) in two {
        let (schedule, one) = (read(name), read(&name.replace("f1k1_g9+D", "f1k1+D")));
        let frames = 1000..1000 + u32::try_from(schedule.generate()).unwrap();
        let plan = |schedule: &Schedule| {
            schedule.plan_at(&around(schedule, &frames), frames.clone(), GRID).unwrap()
        };
        assert_eq!(plan(&schedule), plan(&one), "{name}");
        assert!(schedule.table(GRID).contains("planned as the inverted form"), "{name}");
        assert!(!one.table(GRID).contains("two g"), "{name}");
        count += 1;
    }
    assert_eq!(count, 10);
}
