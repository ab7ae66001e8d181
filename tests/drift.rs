//! Ways against drift on the tiny world: made in parts, broken off and gone on with, reported.

use std::path::Path;

use crate::cli::oneiro;
use crate::support::world::write_tiny_world;

const RUN: &str = "bench drift --world world --episodes episodes --starts 2 --history 4 --steps 1";
const SHORT: &str = "--seconds 0.6 --films 1";

/// A folder with the tiny world and some episodes.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    for name in ["world", "episodes"] {
        std::fs::create_dir(dir.path().join(name)).expect("a folder can be made");
    }
    write_tiny_world(&dir.path().join("world")).expect("the world can be written");
    for seed in [1, 2] {
        let episode = input::simulate(seed, 60, input::Policy::Explore, (64, 48), 17.5);
        let path = dir.path().join(format!("episodes/e{seed}.npz"));
        input::write_npz(&episode, &path).expect("an episode can be written");
    }
    dir
}

fn run(dir: &Path, words: &str) -> String {
    let words = format!("{RUN} {SHORT} {words}");
    let output = oneiro(dir, &words.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What was measured, without how long it took.
fn report(dir: &Path, out: &str) -> serde_json::Value {
    let text = std::fs::read_to_string(dir.join(out).join("report.json")).expect("a report");
    let mut report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for row in report["rows"].as_array_mut().expect("rows") {
        row["took"] = serde_json::Value::Null;
    }
    report
}

#[test]
fn every_arm_is_measured_on_the_same_beginnings() {
    let dir = folder();
    let table = run(dir.path(), "--out out");
    let arms = ["game", "anchor", "discrete", "endpoint", "guidance@0.5", "guidance@1", "inverted"];
    for arm in arms.into_iter().chain(["noise@0", "noise@0.1", "noise@0.5", "repeat", "vanilla"]) {
        assert_eq!(table.matches(&format!("| {arm} |")).count(), 2, "{arm}: {table}");
    }
    let report = report(dir.path(), "out");
    let row = |arm: &str| {
        let rows = report["rows"].as_array().expect("rows");
        let mut row = rows.iter().find(|row| row["arm"] == arm).expect("the arm").clone();
        for name in ["arm", "told"] {
            row[name] = serde_json::Value::Null;
        }
        row
    };
    assert_eq!(row("game")["means"]["psnr"]["mean"], 100.0);
    // A share of noise of nothing is vanilla; everything else is not.
    assert_eq!(row("noise@0"), row("vanilla"));
    for arm in ["anchor", "discrete", "endpoint", "guidance@1", "inverted", "noise@0.5", "repeat"] {
        assert_ne!(row(arm), row("vanilla"), "{arm}");
    }
    let films = std::fs::read_dir(dir.path().join("out")).expect("the folder").filter(|file| {
        let name = file.as_ref().expect("an entry").file_name();
        name.to_string_lossy().ends_with(".mp4")
    });
    assert_eq!(films.count(), 12);
}

#[test]
fn parts_and_a_broken_run_come_to_the_same() {
    let dir = folder();
    let arms = "--arms game,vanilla,inverted,discrete@4 --words-from episodes";
    run(dir.path(), &format!("{arms} --out whole"));
    run(dir.path(), &format!("{arms} --out parts --shard 1/2"));
    run(dir.path(), &format!("{arms} --out parts --shard 2/2"));
    assert_eq!(report(dir.path(), "parts"), report(dir.path(), "whole"));
    // As after a kill in the third video.
    let file = dir.path().join("whole/units.1-of-1.jsonl");
    let text = std::fs::read_to_string(&file).expect("units");
    assert_eq!(text.lines().count(), 1 + 8);
    let before = report(dir.path(), "whole");
    let kept: usize = text.split_inclusive('\n').take(3).map(str::len).sum();
    std::fs::write(&file, &text[..kept + 9]).expect("it can be cut off");
    run(dir.path(), &format!("{arms} --out whole"));
    assert_eq!(report(dir.path(), "whole"), before);
    let words = format!("{RUN} {SHORT} {arms} --out whole --seed 7");
    let output = oneiro(dir.path(), &words.split(' ').collect::<Vec<_>>());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("choose another --out"), "{error}");
}

#[test]
fn what_cannot_be_tried_is_said() {
    let dir = folder();
    for (words, code, said) in [
        ("--seconds 1 --arms fly", 2, "expected game, vanilla"),
        ("--seconds 1 --arms discrete@4", 1, "--words-from"),
        ("--shard 3/2", 2, "such as 2/4"),
        ("--seconds 9", 1, "held-out play with a beginning of a video"),
    ] {
        let words = format!("{RUN} --out out {words}");
        let output = oneiro(dir.path(), &words.split(' ').collect::<Vec<_>>());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && error.contains(said), "{words}: {error}");
    }
}
