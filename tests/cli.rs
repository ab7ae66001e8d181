//! The command line: help, output, exit codes.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::world::write_tiny_world;

/// Runs the program without a display and with its data in `dir`.
pub(crate) fn oneiro(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_oneiro"))
        .args(args)
        .current_dir(dir)
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .env_remove("WAYLAND_SOCKET")
        .env_remove("ONEIRO_LOG")
        .env("XDG_DATA_HOME", dir)
        .output()
        .expect("the program was built for this test")
}

/// Runs the program with these words, separated by spaces: exit code, and all that it said.
pub(crate) fn said(dir: &Path, words: &str) -> (Option<i32>, String) {
    let output = oneiro(dir, &words.split(' ').collect::<Vec<_>>());
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text.into_owned())
}

/// The same, where all has to go well.
#[track_caller]
pub(crate) fn done(dir: &Path, words: &str) -> String {
    let (code, text) = said(dir, words);
    assert_eq!(code, Some(0), "{words}: {text}");
    text
}

#[track_caller]
fn check(args: &[&str], code: i32, expected: &str) -> String {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let output = oneiro(dir.path(), args);
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    assert!(text.contains(expected), "{args:?}: {expected:?} is not in {text}");
    text.into_owned()
}

#[test]
fn help_is_what_it_was() {
    let subcommands: [&[&str]; 10] = [
        &[],
        &["play"],
        &["dream"],
        &["replay"],
        &["plan"],
        &["bridge"],
        &["serve"],
        &["episodes", "simulate"],
        &["episodes", "inspect"],
        &["episodes", "convert"],
    ];
    let help: String = subcommands
        .iter()
        .map(|words| {
            let args = [words, &["--help"][..]].concat();
            format!("$ oneiro {}\n{}\n", args.join(" "), check(&args, 0, "Usage: oneiro"))
        })
        .collect();
    insta::assert_snapshot!(help);
}

#[test]
fn what_makes_no_sense_is_exit_code_2() {
    check(&["fly"], 2, "unrecognized subcommand 'fly'");
    check(&["play", "--frames", "0"], 2, "0 is not in 1..");
    check(&["play", "--frames", "many"], 2, "invalid digit");
    check(&["plan", "td_f16k4_g1", "--grid", "12"], 2, "expected rows x columns");
    check(&["--terminal"], 2, "expected a terminal on standard input and output");
    check(&["serve", "--bind", "here"], 2, "invalid IP address");
    let of_models = ["dream", "--world", "mazes", "--out", "x", "--prompt", "a wood"];
    check(&of_models, 2, "cannot be used with");
    check(&["dream", "--out", "x", "--prompt", "a wood"], 2, "--model <DIR>");
    check(
        &["episodes", "simulate", "--frames", "9", "--out", "x", "--policy", "fly"],
        2,
        "explore",
    );
}

#[test]
fn a_plan_is_a_table_and_bad_text_is_pointed_at() {
    let table = check(&["plan", "td_f16k4f4k2f5k1_g1"], 0, "k4");
    assert!(table.contains("328"), "280 tokens of history and 48 of the section: {table}");
    let text = check(&["plan", "td_f16k3_g1"], 2, "at byte ");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[1], "  td_f16k3_g1");
    assert_eq!(lines[2].find('^'), Some("  td_f16k".len()), "{text}");
    let drawn = tempfile::tempdir().unwrap().keep();
    let svg = drawn.join("plan.svg");
    let svg = svg.to_str().unwrap();
    check(&["plan", "f1k1_x_g9_f1k1f2k2f1k1_g9+D", "--svg", svg], 0, "section 5.1");
    assert!(std::fs::read_to_string(svg).unwrap().ends_with("</svg>\n"));
    std::fs::remove_dir_all(drawn).unwrap();
    let made = check(&["plan", "--length", "2.625", "--frames", "7"], 0, "");
    assert!(made.starts_with("td_f1k1h8w8f2k1h4w8f1k1h4w4f2k1h2w4f1k1_g1\n"), "{made}");
    check(
        &["plan", "--rate", "2", "--shape", "temporal", "--frames", "19"],
        0,
        "td_f12k4f6k2f1k1_g1",
    );
    check(&["plan", "--rate", "1"], 2, "a compression above 1");
    check(&["plan", "--rate", "2", "td_f1k1_g1"], 2, "cannot be used with");
    check(&["plan"], 2, "required");
    // A schedule is anything; none may crash the program.
    check(&["plan", ""], 2, "at byte 0");
    check(&["plan", "täglich"], 2, "at byte ");
}

#[test]
fn episodes_of_one_maze_are_other_walks_through_the_same_place() {
    let dir = tempfile::tempdir().unwrap();
    let words = "episodes simulate --frames 20 --episode-frames 10 --size 16x12 --maze 7 --seed 3 --out maze";
    let output = oneiro(dir.path(), &words.split(' ').collect::<Vec<_>>());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "20 frames in 2 episodes: maze\n");
    let [first, second] = [3, 4].map(|walk| {
        let path = dir.path().join(format!("maze/maze-000007-{walk:06}-explore.npz"));
        input::Episode::open(&path).unwrap()
    });
    assert_eq!(first.frame(0), second.frame(0));
    assert_ne!(first.actions, second.actions);
}

#[test]
fn simulated_episodes_can_be_inspected_and_damage_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let words = "episodes simulate --frames 25 --episode-frames 12 --size 16x12 --out mazes";
    let words: Vec<_> = words.split(' ').collect();
    let output = oneiro(dir.path(), &words);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "25 frames in 2 episodes: mazes\n");

    let output = oneiro(dir.path(), &["episodes", "inspect", "mazes"]);
    let text = String::from_utf8_lossy(&output.stdout);
    let again = oneiro(dir.path(), &words);
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(
        !again.status.success() && said.contains("maze-000000-explore.npz; remove it"),
        "{said}"
    );
    assert!(output.status.success() && text.contains("12 frames of 16x12 at 17.5/s"), "{text}");
    assert!(text.ends_with("2 episodes, 25 frames, 0.0 minutes\n"), "{text}");

    assert!(
        text.contains("Oneiro clip (npz): 2 episodes, 25 frames\n  actions  stored beside"),
        "{text}"
    );
    assert!(text.contains("  pitch    never used\n"), "{text}");

    let own = ["episodes", "inspect", "mazes", "--sheet", "mazes/maze-000000-explore.npz"];
    let said = oneiro(dir.path(), &own).stderr;
    assert!(String::from_utf8_lossy(&said).contains("expected --sheet FILE.png"));
    let output = oneiro(dir.path(), &["episodes", "inspect", "mazes", "--sheet", "sheet.png"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("\nwrote sheet.png\n"));
    let file = std::fs::File::open(dir.path().join("sheet.png")).unwrap();
    let sheet = png::Decoder::new(std::io::BufReader::new(file)).read_info().unwrap();
    // Eight frames of 160x120 for each of the two.
    assert_eq!(sheet.info().size(), (1280, 240));

    std::fs::write(dir.path().join("mazes/maze-000000-explore.npz"), "not a zip file").unwrap();
    let output = oneiro(dir.path(), &["episodes", "inspect", "mazes"]);
    let (text, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1));
    assert!(text.ends_with("1 episodes, 13 frames, 0.0 minutes\n"), "{text}");
    assert!(errors.contains("maze-000000-explore.npz"), "{errors}");
    assert!(errors.ends_with("1 of 2 episodes could not be read\n"), "{errors}");
}

#[test]
fn files_that_a_walk_cannot_use_are_named_before_it_begins() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let text = write("start.png", "not a picture");
    check(&["play", "--start", &text], 1, "start.png: expected a PNG picture");
    check(&["--start", "nowhere.png"], 1, "open nowhere.png");
    let script = write("walk.jsonl", "{\"forward\": 1}\n{\"forwards\": 1}\n");
    check(&["--actions", &script], 1, "walk.jsonl, line 2");
}

#[test]
fn weights_that_are_missing_are_named_with_their_file_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    write_tiny_world(dir.path()).unwrap();
    let codec = dir.path().join("codec.safetensors");
    let mut weights = candle_core::safetensors::load(&codec, &candle_core::Device::Cpu).unwrap();
    weights.remove("normalize.matrix").expect("it is there");
    candle_core::safetensors::save(&weights, &codec).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_oneiro"))
        .args(["play", "--headless", "--frames", "1", "--world", ".", "--out", "walk"])
        .current_dir(dir.path())
        .env("RUST_BACKTRACE", "1")
        .output()
        .expect("the program was built for this test");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let lines: Vec<_> = said.lines().filter(|line| line.starts_with("oneiro: ")).collect();
    let [line] = lines[..] else { panic!("one line, got {said}") };
    assert!(line.contains("normalize.matrix") && line.ends_with("codec.safetensors"), "{said}");
    assert!(!said.contains("candle_core::error"), "{said}");
}

#[test]
fn what_is_not_there_is_named() {
    check(&["episodes", "inspect", "nowhere.npz"], 1, "nowhere.npz");
    check(&["episodes", "inspect", "."], 1, "found none at .");
    check(&["play", "--headless", "--frames", "1", "--world", "nowhere"], 1, "got nowhere");
}

#[cfg(target_os = "linux")]
#[test]
fn the_number_of_threads_is_settled_before_there_are_any() {
    let dir = tempfile::tempdir().unwrap();
    let said = |told: Option<&str>, words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oneiro"));
        command.args(words).current_dir(dir.path());
        command.env("ONEIRO_LOG", "debug").env_remove("CANDLE_NUM_THREADS");
        match told {
            Some(threads) => command.env("RAYON_NUM_THREADS", threads),
            None => command.env_remove("RAYON_NUM_THREADS"),
        };
        let output = command.output().expect("the program was built for this test");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let cores = std::thread::available_parallelism().unwrap();
    for (told, threads) in [(None, cores.to_string()), (Some("7"), "7".to_owned())] {
        let said = said(told, &["plan", "td_f1k1_g1"]);
        assert!(said.contains("settled=true"), "{said}");
        assert!(said.contains(&format!("threads=Ok(\"{threads}\")")), "{said}");
        assert!(said.contains("candle=Err(NotPresent)"), "{said}");
    }
    // The clips of a step have a thread each, and candle none beside them.
    let words = "train world --episodes none --codec none --out none";
    let said = said(None, &words.split(' ').collect::<Vec<_>>());
    assert!(said.contains("candle=Ok(\"1\")"), "{said}");
}
