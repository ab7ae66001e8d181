//! Rankings from votes without a window, and what is said where nothing can be asked.

use std::fs;

use crate::cli::oneiro;

const VOTES: &str = r#"{"format":"oneiro-votes-1"}
{"start":"a","left":"vanilla","right":"inverted","liked":"right"}
{"start":"b","left":"inverted","right":"repeat","liked":"left"}
{"start":"c","left":"repeat","right":"vanilla","liked":"neither"}
"#;

#[test]
fn votes_are_ranked_without_a_window_or_videos() {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    // The last line was being written when the program was killed.
    let broken = VOTES.to_owned() + r#"{"start":"d","left":"van"#;
    fs::write(dir.path().join("votes.jsonl"), broken).expect("it can be written");
    let run = |words: &str| {
        let output = oneiro(dir.path(), &words.split(' ').collect::<Vec<_>>());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), error)
    };
    let (code, table, error) = run("compare --votes votes.jsonl --table --json ranking.json");
    assert_eq!(code, Some(0), "{error}");
    assert!(table.starts_with("3 votes") && table.contains("| 1 | inverted | 103"), "{table}");
    let json = fs::read_to_string(dir.path().join("ranking.json")).expect("the ranking");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json["arms"][0]["arm"], &json["arms"][0]["won"]), (&"inverted".into(), &2.into()));
    for (words, code, said) in [
        ("compare", 2, "DIR"),
        ("compare --votes votes.jsonl", 2, "expected folders of videos"),
        ("compare --votes none.jsonl --table", 1, "none.jsonl"),
        ("compare none", 1, "list none"),
    ] {
        let (got, _, error) = run(words);
        assert!(got == Some(code) && error.contains(said), "{words}: {got:?} {error}");
    }
    fs::write(dir.path().join("votes.jsonl"), "{}\n").expect("it can be written");
    let (code, _, error) = run("compare --votes votes.jsonl --table");
    assert!(code == Some(1) && error.contains("line 1"), "{error}");
}

#[test]
fn without_a_display_nothing_is_asked() {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    for arm in ["a", "b"] {
        let path = dir.path().join(arm);
        fs::create_dir(&path).expect("a folder can be made");
        let mut writer =
            input::VideoWriter::create(&path.join("s.mp4"), 16, 16, 10.0).expect("a video");
        writer.push(&[9; 16 * 16 * 3]).expect("a picture");
        writer.finish().expect("a video");
    }
    let output = oneiro(dir.path(), &["compare", "a", "b"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("--table") && error.matches("oneiro:").count() == 1, "{error}");
}
