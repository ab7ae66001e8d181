//! The notation: what names say, errors with their byte, and round trips.

use proptest::prelude::*;

use super::kernel::{Grid, Kernel};
use super::schedule::{Part, Schedule, Tail};

#[test]
fn a_name_says_what_it_says() {
    let schedule: Schedule = "tc_f16k4f1k1h4w4f2k1h2w2_g4_x_f3k2+d".parse().unwrap();
    let [Part::Run(run), Part::Generate(4), Part::Skip, Part::Run(end)] = schedule.parts() else {
        panic!("parts: {:?}", schedule.parts());
    };
    let tiers: Vec<_> = run.iter().chain(end).map(|tier| (tier.frames, tier.kernel)).collect();
    let k = |frames, height, width| Kernel::new(frames, height, width).unwrap();
    assert_eq!(tiers, [(16, k(4, 8, 8)), (1, k(1, 4, 4)), (2, Kernel::FINEST), (3, k(2, 4, 4))]);
    assert_eq!(schedule.tail(), Tail::Compress);
    assert_eq!((schedule.generate(), schedule.history_frames()), (4, 22));
    assert_eq!("f1k1_g2".parse::<Schedule>().unwrap().tail(), Tail::Delete);
}

#[test]
fn the_default_takes_280_history_tokens() {
    let grid = Grid { height: 12, width: 16 };
    let schedule = Schedule::default();
    assert_eq!(schedule.to_string(), "td_f16k4f4k2f5k1_g1");
    assert_eq!((schedule.history_tokens(grid), schedule.section_tokens(grid)), (280, 48));
}

#[test]
fn tokens_of_a_tier_round_up_in_time_and_space() {
    let tokens = |name: &str, height, width| {
        name.parse::<Schedule>().unwrap().history_tokens(Grid { height, width })
    };
    assert_eq!(tokens("f5k4_g1", 12, 16), 2 * 2 * 2);
    assert_eq!(tokens("f3k2h8w2_g1", 9, 5), 2 * 2 * 3);
    // 480p latents of HunyuanVideo: 1560 tokens for each frame at the base patch.
    assert_eq!(tokens("f1k1_g9", 60, 104), 1560);
}

#[test]
fn errors_name_the_byte_and_what_was_expected() {
    let check = |text: &str, expected: &str| {
        let error = text.parse::<Schedule>().expect_err(text);
        assert_eq!(error.to_string(), format!("expected {expected}"), "{text}");
    };
    check("", "a tail (td, ta, tc), a group such as f16k4 or a section such as g9 at byte 0");
    check(
        "tx_f1k1_g9",
        "a tail (td, ta, tc), a group such as f16k4 or a section such as g9 at byte 0",
    );
    check("td", "`_` after the tail at byte 2");
    check("td_g9", "a group such as f16k4 at byte 3");
    check("td_f16k4f", "a number of frames from 1 to 4096 at byte 9");
    check("td_f0k1_g1", "a number of frames from 1 to 4096 at byte 4");
    check("td_f01k1_g1", "a number of frames from 1 to 4096 at byte 4");
    check("td_f4097k1_g1", "a number of frames from 1 to 4096 at byte 4");
    check("td_f99999999999999999999k1_g1", "a number of frames from 1 to 4096 at byte 4");
    check("td_f16_g9", "a kernel such as k4 at byte 6");
    check("td_f16k3_g9", "a power of two from 1 to 64 at byte 7");
    check("td_f16k4h8_g9", "the kernel's width, such as w4 at byte 10");
    check("td_f16k4h8w256_g9", "a power of two from 1 to 128 at byte 11");
    check("td_f16k4", "`_` and a section such as g9 at byte 8");
    check("td_f16k4+D", "`_` and a section such as g9 at byte 8");
    check("td_f16k4 _g9", "another group, `_`, `+D` or the end of the name at byte 8");
    check("td_f16k4_f1k1_g9", "a section such as g9, a gap `x` or a tail (td, ta, tc) at byte 9");
    check("td_f16k4_g", "a number of frames from 1 to 256 at byte 10");
    check("td_f16k4_g257", "a number of frames from 1 to 256 at byte 10");
    check("td_f16k4_g9_", "a group such as f16k4 or a gap `x` at byte 12");
    check("td_f16k4_g9_td", "a group such as f16k4 or a gap `x` at byte 12");
    check(
        "td_f16k4_g9_f1k1_td",
        "a section such as g9, a gap `x` or a tail (td, ta, tc) at byte 17",
    );
    check("f1k1_tq", "a tail: td, ta or tc at byte 5");
    check("g9_f1k1_td_f1k1", "`+D` or the end of the name at byte 10");
    check("td_f16k4_g9_x", "`_` and what follows the gap at byte 13");
    check("td_f16k4_g9_xx", "`_` after the gap at byte 13");
    check("f1k1_g1_f1k1_g1_f1k1_g1", "a gap `x` or a tail (td, ta, tc) at byte 21");
    check("td_f16k4_g9+", "`D` or `d` after `+` at byte 12");
    check("td_f16k4_g9+DD", "the end of the name at byte 13");
    check("g9", "`_` and a group such as f16k4 at byte 2");
    check("td_f16k4_g9é", "`_`, `+D` or the end of the name at byte 11");
    check(&"f1k1".repeat(65), "at most 256 bytes at byte 256");
}

fn run() -> impl Strategy<Value = String> {
    let size = |largest: u32| (0..=largest).prop_map(|power| 1_u16 << power);
    let kernel = prop_oneof![
        size(6).prop_map(|k| format!("k{k}")),
        (size(6), size(7), size(7)).prop_map(|(k, h, w)| format!("k{k}h{h}w{w}")),
    ];
    let tier = (1_u16..=4096, kernel).prop_map(|(frames, kernel)| format!("f{frames}{kernel}"));
    prop::collection::vec(tier, 1..4).prop_map(|tiers| tiers.concat())
}

fn name() -> impl Strategy<Value = String> {
    let tail = prop::sample::select(vec!["td", "ta", "tc"]);
    let section = || (1_u16..=256).prop_map(|frames| format!("g{frames}"));
    let body = prop_oneof![
        (run(), section()).prop_map(|(a, b)| format!("{a}_{b}")),
        (run(), section(), run()).prop_map(|(a, b, c)| format!("{a}_{b}_x_{c}")),
        (run(), section(), run()).prop_map(|(a, b, c)| format!("{a}_x_{b}_{c}")),
        (run(), section(), run(), section()).prop_map(|(a, b, c, d)| format!("{a}_x_{b}_{c}_{d}")),
    ];
    let marked = (body, prop::sample::select(vec!["", "+D", "+d"]));
    (prop::option::of(tail), marked).prop_map(|(tail, (body, mark))| match tail {
        Some(tail) => format!("{tail}_{body}{mark}"),
        None => format!("{body}{mark}"),
    })
}

proptest! {
    #[test]
    fn names_print_back_as_written(name in name()) {
        let schedule: Schedule = name.parse().unwrap();
        prop_assert_eq!(&schedule.to_string(), &name);
        prop_assert_eq!(schedule.to_string().parse::<Schedule>().unwrap(), schedule);
    }

    #[test]
    fn reading_never_panics(text in "\\PC*") {
        if let Err(error) = text.parse::<Schedule>() {
            prop_assert!(error.at <= text.len());
        }
    }

    #[test]
    fn near_names_are_refused_or_printed_back(text in "[tdacfkghwx_+D0-9]{0,24}") {
        if let Ok(schedule) = text.parse::<Schedule>() {
            prop_assert_eq!(schedule.to_string(), text);
        }
    }

    #[test]
    fn a_broken_name_is_refused_or_printed_back(name in name(), at in 0_usize..40, byte in " -z") {
        let mut broken = name.into_bytes();
        let at = at % broken.len();
        broken[at] = byte.as_bytes()[0];
        let broken = String::from_utf8(broken).unwrap();
        match broken.parse::<Schedule>() {
            Ok(schedule) => prop_assert_eq!(schedule.to_string(), broken),
            Err(error) => prop_assert!(error.at <= broken.len()),
        }
    }

    #[test]
    fn tables_hold_for_every_schedule(name in name(), height in 1_u16..80, width in 1_u16..120) {
        let table = name.parse::<Schedule>().unwrap().table(Grid { height, width });
        prop_assert!(table.contains("section") && table.contains("total"));
        prop_assert!(table.len() < 1 << 16);
    }
}
