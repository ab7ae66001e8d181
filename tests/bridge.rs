//! The bridge to a measuring client, whose part is played here.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::Cursor;
use std::path::Path;
use std::rc::Rc;

use anyhow::Result;
use input::Frame;
use oneiro::bridge::{Begin, Bridge, Capabilities};
use oneiro::clock::Clock;
use oneiro::dream::Dream;
use serde_json::Value;

use crate::support::{Arithmetic, colour};

/// Bytes of a section of two frames of 16 x 16.
const SECTION_BYTES: usize = 2 * 16 * 16 * 3;
const HELLO: &str = r#"{"type":"hello","proto":"liveframe.world.bridge.v1"}"#;

fn reset(seed: u64) -> String {
    // A picture of 1 x 1, in base64.
    let image = r#""image_shape":[1,1,3],"image_b64":"AQID","prompt":null"#;
    let ring = format!(r#""ring_name":"psm_1","ring_slots":2,"slot_bytes":{SECTION_BYTES}"#);
    format!(r#"{{"type":"reset",{ring},{image},"seed":{seed}}}"#)
}

/// What a host that writes `lines` is told, and how it ended.
fn converse(
    folder: &Path,
    lines: &[&str],
    began: &Rc<RefCell<Vec<(u64, Frame)>>>,
) -> (Vec<Value>, Result<()>) {
    let clock = Clock::stepped();
    let (dream_clock, began) = (clock.clone(), Rc::clone(began));
    let load = Box::new(move || {
        let begin: Begin = Box::new(move |seed, picture| {
            began.borrow_mut().push((seed, picture));
            Ok(Box::new(Arithmetic::new(2, dream_clock.clone(), &[1])) as Box<dyn Dream>)
        });
        Ok(begin)
    });
    let capabilities = Capabilities::new("arithmetic".into(), 20.0, 2, [16, 16]);
    let input = lines.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{line}");
        text
    });
    let mut output = Vec::new();
    let bridge = Bridge::new(capabilities, load, clock, folder);
    let ended = bridge.serve(Cursor::new(input), &mut output);
    let told = output.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let read = |line| serde_json::from_slice(line).expect("each line is JSON");
    (told.map(read).collect(), ended)
}

fn ring() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder for the memory");
    let bytes = vec![9; 2 * SECTION_BYTES];
    std::fs::write(dir.path().join("psm_1"), bytes).expect("the memory can be made");
    dir
}

fn kinds(told: &[Value]) -> Vec<&str> {
    told.iter().map(|line| line["type"].as_str().expect("each has a type")).collect()
}

#[test]
fn a_whole_exchange_obeys_each_step_and_begins_anew() {
    let (dir, began) = (ring(), Rc::default());
    let step = |actions: &str| format!(r#"{{"type":"step","actions":[{actions}]}}"#);
    let ack = |slot: u32| format!(r#"{{"type":"ack","slot":{slot}}}"#);
    let load = r#"{"type":"load"}"#;
    let (left, none, close) = (step(r#""W","L""#), step(r#""0""#), r#"{"type":"close"}"#);
    // The last two acks of the first walk come late, and the second walk never hears of them.
    let lines = [
        HELLO,
        load,
        &reset(7),
        &left,
        &ack(0),
        &left,
        &none,
        &ack(1),
        &ack(0),
        &reset(8),
        &left,
        &none,
        &ack(0),
        close,
        "what comes after the end is not read",
    ];
    let (told, ended) = converse(dir.path(), &lines, &began);
    ended.unwrap();
    let section = ["frames", "chunk_done"];
    let wanted = ["hello_ack", "loaded", "reset_done"].into_iter().chain(section.repeat(3));
    let wanted = wanted.chain(["reset_done"]).chain(section.repeat(2)).chain(["closed"]);
    assert_eq!(kinds(&told), wanted.collect::<Vec<_>>());

    let capabilities = &told[0]["capabilities"];
    assert_eq!(capabilities["interaction_mode"], "interactive");
    assert_eq!(capabilities["resolution"], serde_json::json!([16, 16]));
    assert_eq!(capabilities["actions"].as_array().unwrap().len(), 7);
    let frames: Vec<_> = told.iter().filter(|line| line["type"] == "frames").collect();
    let numbers =
        |name: &str| -> Vec<_> { frames.iter().map(|line| line[name].as_u64().unwrap()).collect() };
    assert_eq!(numbers("chunk_index"), [0, 1, 2, 0, 1]);
    assert_eq!(numbers("slot"), [0, 1, 0, 0, 1]);
    assert_eq!(frames[0]["shape"], serde_json::json!([2, 16, 16, 3]));
    assert_eq!(numbers("nbytes"), [SECTION_BYTES as u64; 5]);
    assert_eq!(told.last().unwrap()["type"], "closed");

    let began = began.borrow();
    let picture = Frame { width: 1, height: 1, pixels: vec![1, 2, 3] };
    assert_eq!(*began, [(7, picture.clone()), (8, picture)]);
    // The second walk: two frames turned by half each, then two frames that stand.
    let memory = std::fs::read(dir.path().join("psm_1")).unwrap();
    let colours: Vec<_> =
        memory.chunks(SECTION_BYTES / 2).map(|frame| [frame[0], frame[1], frame[2]]).collect();
    assert_eq!(colours, [colour(-0.5), colour(-1.0), colour(-1.0), colour(-1.0)]);
}

#[test]
fn frames_come_at_five_times_the_rate_at_most() {
    let (dir, began) = (ring(), Rc::default());
    let turn = [r#"{"type":"step","actions":["0"]}"#, r#"{"type":"ack","slot":0}"#];
    let (reset, load) = (reset(0), r#"{"type":"load"}"#);
    let mut lines = vec![HELLO, load, &reset, turn[0], turn[1]];
    let other = r#"{"type":"ack","slot":1}"#;
    for at in 0..20 {
        lines.extend([turn[0], if at % 2 == 0 { other } else { turn[1] }]);
    }
    let (told, ended) = converse(dir.path(), &lines, &began);
    ended.unwrap();
    let at: Vec<_> = told.iter().filter_map(|line| line["worker_ts"].as_f64()).collect();
    assert_eq!(at.len(), 21);
    // Sections of two frames at 20 frames/s, made in a millisecond each: 20 ms apart at five times that.
    for pair in at.windows(2) {
        assert!((pair[1] - pair[0] - 0.02).abs() < 1e-9, "{at:?}");
    }
}

#[test]
fn a_host_that_makes_no_sense_is_told_what_was_expected() {
    let check = |lines: &[&str], expected: &str| {
        let (dir, began) = (ring(), Rc::default());
        let (told, ended) = converse(dir.path(), lines, &began);
        let message = told.last().unwrap()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(expected), "{lines:?}: {message}");
        assert_eq!(format!("{:#}", ended.unwrap_err()), message);
    };
    let load = r#"{"type":"load"}"#;
    let (reset, step) = (reset(0), r#"{"type":"step","actions":["W"]}"#);
    let old = r#"{"type":"hello","proto":"liveframe.world.bridge.v0"}"#;
    check(&[old], "expected a host of liveframe.world.bridge.v1");
    check(&["not json"], "a message cannot be read");
    check(&[r#"{"type":"fly"}"#], "unknown variant `fly`");
    check(&[HELLO, &reset], "expected load before reset");
    check(&[HELLO, load, step], "expected reset before step");
    check(&[HELLO, r#"{"type":"ack","slot":0}"#], "expected reset before ack");
    check(&[HELLO, load, &reset, r#"{"type":"ack","slot":0}"#], "a slot that was filled");
    check(&[HELLO, load, &reset, r#"{"type":"step","actions":["U"]}"#], "expected actions among");
    check(&[HELLO, load, &reset, step, step, step, step], "while the ring is full");
    check(&[HELLO, load, r#"{"type":"run_script","segments":[]}"#], "runs no scripts");
    check(&[HELLO, load, &reset.replace("psm_1", "psm_2")], "open the shared memory");
    check(&[HELLO, load, &reset.replace("psm_1", "../psm_1")], "expected ring_name");
}

/// The program itself, a world of the smallest size, and the system's own shared memory.
#[cfg(target_os = "linux")]
#[test]
fn the_program_dreams_into_shared_memory() {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::process::{Command, Stdio};

    use crate::support::world::write_tiny_world;

    let dir = tempfile::tempdir().unwrap();
    write_tiny_world(dir.path()).unwrap();
    let bytes = 64 * 48 * 3;
    let mut memory = tempfile::Builder::new().prefix("oneiro-").tempfile_in("/dev/shm").unwrap();
    memory.write_all(&vec![0; 2 * bytes]).unwrap();
    let name = memory.path().file_name().unwrap().to_str().unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_oneiro"))
        .args(["bridge", "--world", dir.path().to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = program.stdin.take().unwrap();
    let mut output = BufReader::new(program.stdout.take().unwrap()).lines();
    let mut say = |line: String| writeln!(input, "{line}").unwrap();
    let mut hear = || -> Value { serde_json::from_str(&output.next().unwrap().unwrap()).unwrap() };
    say(HELLO.to_owned());
    let capabilities = hear()["capabilities"].clone();
    assert_eq!(capabilities["name"], "Tiny");
    assert_eq!(
        (&capabilities["native_fps"], &capabilities["chunk_frames"]),
        (&17.5.into(), &1.into())
    );
    assert_eq!(capabilities["resolution"], serde_json::json!([48, 64]));
    say(r#"{"type":"load"}"#.to_owned());
    assert_eq!(hear()["type"], "loaded");
    let reset =
        reset(3).replace("psm_1", name).replace(&SECTION_BYTES.to_string(), &bytes.to_string());
    let mut walks = Vec::new();
    for _ in 0..2 {
        say(reset.clone());
        assert_eq!(hear()["type"], "reset_done");
        for action in ["W", "R"] {
            say(format!(r#"{{"type":"step","actions":["{action}"]}}"#));
            let frames = hear();
            assert_eq!(frames["nbytes"], bytes, "{frames}");
            assert_eq!(hear()["type"], "chunk_done");
            say(format!(r#"{{"type":"ack","slot":{}}}"#, frames["slot"]));
        }
        walks.push(std::fs::read(memory.path()).unwrap());
    }
    say(r#"{"type":"close"}"#.to_owned());
    assert_eq!(hear()["type"], "closed");
    assert!(program.wait().unwrap().success());
    let [first, second] = [&walks[0][..bytes], &walks[0][bytes..]];
    assert!(first != second && first.iter().any(|&byte| byte != 0), "two pictures were dreamed");
    assert_eq!(walks[0], walks[1], "the same seed and actions give the same frames");
}
