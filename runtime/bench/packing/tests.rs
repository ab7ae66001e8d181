//! Trials, figures and comparisons of walks that are known.

use std::path::{Path, PathBuf};

use input::{Action, ActionLayout, Pose};

use super::arm::Arm;
use super::compare::compare;
use super::figures::{Figures, best_weight, bucket, bucket_name};
use super::report::Report;
use super::trial::{Catalogue, Entry, Split, Task, TrialRule};
use super::unit::Unit;
use super::unit::tests::{header, unit};

const RULE: TrialRule = TrialRule { limit: 3, rollout: 8, back: 16, gap: 64 };

/// Out along a line and back, standing for a moment in between and walking at other times.
fn entry(name: &str) -> Entry {
    const OUT: usize = 160;
    let place = |t: usize| if t <= OUT { t } else { (2 * OUT).saturating_sub(t) };
    let poses: Vec<Pose> = (0..2 * OUT + 60)
        .map(|t| Pose { x: place(t) as f32 * 4.0, y: 0.0, yaw: if t <= OUT { 0.0 } else { 360.0 } })
        .collect();
    let moved = |t: usize| t > 0 && poses[t] != poses[t - 1];
    let action = |t| Action { forward: if moved(t) { 1.0 } else { 0.0 }, ..Action::NEUTRAL };
    let actions = (0..poses.len()).map(action).collect();
    Entry { path: PathBuf::from(name), name: name.to_owned(), actions, poses: Some(poses) }
}

fn catalogue_of(episodes: usize) -> Catalogue {
    Catalogue {
        width: 64,
        height: 48,
        fps: 17.5,
        layout: ActionLayout { turn_degrees: 15.0, pitch_degrees: 0.0, buttons: Vec::new() },
        entries: (0..episodes).map(|at| entry(&format!("{at}.npz"))).collect(),
    }
}

#[test]
fn trials_leave_room_on_both_sides_and_every_second_episode_is_for_validation() {
    let catalogue = catalogue_of(4);
    for task in Task::ALL {
        let trials = catalogue.trials(task, RULE);
        let of = |split| trials.iter().filter(|trial| trial.split == split).count();
        assert_eq!([of(Split::Test), of(Split::Validation)], [3, 3], "{task}");
        assert_eq!(trials.iter().filter(|trial| trial.shown).count(), 1, "{task}");
        for trial in &trials {
            assert_eq!(trial.split == Split::Test, trial.episode % 2 == 0, "{trial:?}");
            assert!(trial.first <= trial.cut && !trial.truths.is_empty());
            let frames = catalogue.entries[trial.episode].actions.len();
            assert!(trial.truths.iter().all(|truth| truth.frame < frames), "{trial:?}");
            if task != Task::Turn {
                assert!(trial.truths.iter().all(|truth| truth.frame == trial.cut + truth.ahead));
            }
        }
        // More of them are the same and some others.
        let more = catalogue.trials(task, TrialRule { limit: 5, ..RULE });
        assert!(trials.iter().all(|trial| more.contains(trial)), "{task}");
    }
    let single = catalogue_of(1).trials(Task::Rollout, RULE);
    assert!(single.iter().any(|trial| trial.split == Split::Validation), "one episode is split");
}

#[test]
fn a_full_turn_ends_where_it_began() {
    let catalogue = catalogue_of(2);
    let trials = catalogue.trials(Task::Turn, RULE);
    let trial = &trials[0];
    assert_eq!(trial.frames, 48);
    assert_eq!((trial.truths[0].ahead, trial.truths[0].frame), (48, trial.cut));
    let turned: f32 = (1..=48).map(|ahead| 15.0 * catalogue.step(trial, ahead).0.turn).sum();
    assert!((turned - 360.0).abs() < 1e-3, "{turned}");
    let here = entry("x").poses.unwrap()[trial.cut];
    let pose = catalogue.step(trial, 12).1.unwrap();
    // To the right: a quarter clockwise.
    assert!((pose.yaw - (here.yaw - 90.0)).abs() < 1e-3 && pose.x.to_bits() == here.x.to_bits());
}

#[test]
fn nothing_stands_or_returns_where_play_does_not() {
    let mut catalogue = catalogue_of(2);
    for entry in &mut catalogue.entries {
        entry.actions.iter_mut().for_each(|action| action.forward = 1.0);
        entry.poses = None;
    }
    let none = |task| catalogue.trials(task, RULE).is_empty();
    assert!(none(Task::Revisit) && none(Task::Turn));
    assert!(!none(Task::Next) && !none(Task::Rollout));
}

/// Three walks in three episodes under two arms, the second better by 1, 2 and 3 dB.
fn units() -> Vec<Unit> {
    let pair = |cut: usize| {
        let gain = f64::from(u8::try_from(cut % 3 + 1).unwrap());
        [unit("time", cut, 20.0), unit("pose", cut, 20.0 + gain)]
    };
    (3..6).flat_map(pair).collect()
}

#[test]
fn gains_are_paired_and_drawn_by_episode() {
    let figures = Figures::of(&units(), 1);
    let [time, pose] = &figures.rows[..] else { panic!("{:?}", figures.rows) };
    assert_eq!((time.arm.as_str(), time.gain, pose.arm.as_str()), ("time", None, "pose"));
    let gain = pose.gain.unwrap();
    assert!((gain.mean - 2.0).abs() < 1e-12 && (pose.psnr - 22.0).abs() < 1e-12);
    assert!(gain.low >= 1.0 && gain.low < 1.5 && gain.high > 2.5 && gain.high <= 3.0, "{gain:?}");
    assert_eq!((pose.walks, pose.episodes, pose.by_episode["1.npz"]), (3, 3, 22.0));
    assert_eq!(pose.recall, [Some(0.25), Some(0.5)]);
    assert_eq!(pose.kv_hits, Some(30.0 / 39.0));
    // Gaps of 64, 128, 192 and 256 frames.
    let gaps: Vec<(usize, usize)> =
        figures.by_gap[1].points.iter().map(|&(at, _, count)| (at, count)).collect();
    assert_eq!(gaps, [(1, 3), (2, 6), (3, 3)]);
    assert_eq!([0, 1, 3].map(bucket_name), ["0-63", "64-127", "256 and more"]);
    assert_eq!([63, 64, 1000].map(bucket), [0, 1, 3]);
}

#[test]
fn the_weight_is_chosen_on_the_validation_split_alone() {
    let validation = |weight: &str, psnr: f64| {
        let mut unit = unit(&format!("hybrid@{weight}"), 1, psnr);
        unit.key.split = Split::Validation;
        unit
    };
    let mut units = vec![validation("0.1", 20.0), validation("1", 22.0), validation("3", 22.0)];
    units.push(unit("hybrid@0.1", 2, 90.0));
    let open: Arm = "hybrid".parse().unwrap();
    let schedule = units[0].key.schedule.clone();
    assert_eq!(best_weight(&units, &schedule, open), Some(1.0));
    assert_eq!(best_weight(&units, "td_f1k1_g1", open), None);
    assert_eq!(best_weight(&units, &schedule, "hybrid+rules".parse().unwrap()), None);
    let weights: Vec<f32> = Figures::of(&units, 0).weights.iter().map(|one| one.weight).collect();
    assert_eq!(weights, [0.1, 1.0, 3.0]);
}

fn report(dir: &Path, name: &str, units: Vec<Unit>) -> PathBuf {
    let path = dir.join(name);
    let report = Report::new(header(), units);
    std::fs::write(&path, serde_json::to_vec(&report).unwrap()).unwrap();
    path
}

#[test]
fn a_comparison_fails_where_all_of_the_interval_is_a_loss() {
    let dir = tempfile::tempdir().unwrap();
    let with = |name: &str, change: fn(&mut Unit)| {
        let mut units = units();
        units.iter_mut().filter(|unit| unit.key.arm == "pose").for_each(change);
        report(dir.path(), name, units)
    };
    let lose = |unit: &mut Unit, psnr: f64, ssim: f64| {
        unit.frames.iter_mut().for_each(|frame| {
            frame.psnr -= psnr;
            frame.ssim -= ssim;
        });
    };
    let before = with("before.json", |_| ());
    let worse = |after: &Path| compare(&before, after).unwrap().worse;
    assert_eq!(worse(&before), Vec::<String>::new());
    let little = with("little.json", |unit| {
        unit.frames.iter_mut().for_each(|frame| frame.psnr -= 0.05);
    });
    assert!(worse(&little).is_empty(), "a twentieth of a decibel is nothing");
    for (psnr, ssim) in [(0.2, 0.0), (0.0, 0.01)] {
        let mut units = units();
        units
            .iter_mut()
            .filter(|unit| unit.key.arm == "pose")
            .for_each(|unit| lose(unit, psnr, ssim));
        let after = report(dir.path(), "after.json", units);
        assert_eq!(worse(&after), ["pose in revisit under td_f16k4f4k2f5k1_g1"]);
        let table = compare(&before, &after).unwrap().table;
        assert!(table.lines().any(|line| line.contains("| pose |") && line.ends_with("worse |")));
    }
    // Better in one episode, worse in the others: not sure.
    let mixed = with("mixed.json", |unit| {
        let change = if unit.key.cut == 3 { 2.0 } else { -1.5 };
        unit.frames.iter_mut().for_each(|frame| frame.psnr += change);
    });
    assert!(worse(&mixed).is_empty());
}

#[test]
fn reports_without_common_walks_and_other_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let before = report(dir.path(), "before.json", units());
    let mut others = units();
    others.iter_mut().for_each(|unit| unit.key.seed = 5);
    let after = report(dir.path(), "after.json", others);
    let error = compare(&before, &after).unwrap_err().to_string();
    assert!(error.contains("the same walks"), "{error}");
    let mut shorter = units();
    shorter.iter_mut().for_each(|unit| unit.frames.truncate(1));
    let after = report(dir.path(), "after.json", shorter);
    assert!(compare(&before, &after).unwrap_err().to_string().contains("one length"));
    std::fs::write(&after, "{}").unwrap();
    let error = format!("{:#}", compare(&before, &after).unwrap_err());
    assert!(error.contains("after.json") && error.contains("report.json"), "{error}");
}

#[test]
fn the_page_holds_what_was_measured_and_no_markup_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut header = header();
    header.world = "<i>Rooms</i>".to_owned();
    let report = Report::new(header, units());
    report.write(dir.path()).unwrap();
    let page = std::fs::read_to_string(dir.path().join("report.html")).unwrap();
    assert!(page.contains("&lt;i&gt;Rooms&lt;/i&gt;") && !page.contains("<i>"), "escaped");
    assert!(page.contains("+2.00 (") && page.contains("<svg"), "figures and plots");
    assert!(!page.contains("src=\"http") && !page.contains("href="), "nothing is fetched");
    assert!(dir.path().join("gap.svg").exists() && dir.path().join("tokens.svg").exists());
    let table = report.table();
    assert!(table.contains("packed by td_f16k4f4k2f5k1_g1"), "{table}");
    assert!(table.contains("| pose | 22.00 | +2.00 ("), "a schedule is named once: {table}");
    let mut units = units();
    units[0].key.schedule = "td_f4k1_g1".to_owned();
    let table = Report::new(report.header, units).table();
    assert!(table.contains("| pose | td_f16k4f4k2f5k1_g1 | 22.00 |"), "{table}");
}
