//! What goes wrong while somebody plays: play goes on, or ends with one clear line and a whole recording.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use input::{Action, Episode};
use oneiro::clock::Clock;
use oneiro::fault;
use oneiro::stream::Steer;
use oneiro::walk::{News, Plan, Walk};

use crate::support::Arithmetic;

/// A test that waits this long has failed; usually it is a few seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where a test in a process of its own has its files; only there does it do anything.
const FOLDER: &str = "ONEIRO_FAULTS";

/// Always ahead.
struct Ahead;

impl Steer for Ahead {
    fn poll(&mut self, frames: u32) -> Vec<Action> {
        (0..frames).map(|_| Action { forward: 1.0, ..Action::NEUTRAL }).collect()
    }
}

/// A walk at 20 frames/s in a world that takes no time, recorded into `sessions`.
fn record(sessions: &Path, panics_at: Option<usize>) -> Walk {
    let plan = Plan {
        dream: Box::new(move |_| {
            let mut world = Arithmetic::new(1, Clock::stepped(), &[]);
            world.panics_at = panics_at;
            Ok(Box::new(world))
        }),
        steer: Box::new(Ahead),
        frames: None,
        sessions: sessions.to_owned(),
        auto_steps: false,
    };
    let walk = Walk::start(plan, Box::new(|| {})).expect("a thread");
    walk.gate.set_recording(true);
    walk
}

/// Runs a test of this file in a process of its own, whose limits and panics are nobody else's.
fn alone(test: &str, folder: &Path) -> Output {
    Command::new(std::env::current_exe().expect("this test is a program"))
        .args(["--exact", &format!("faults::{test}"), "--nocapture"])
        .env(FOLDER, folder)
        .env("XDG_DATA_HOME", folder)
        .output()
        .expect("it can be run again")
}

/// The folder, where another test runs this one.
fn folder_alone() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

#[test]
fn a_fault_of_the_dream_ends_the_walk_and_its_recording_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let walk = record(dir.path(), Some(30));
    let error = loop {
        match walk.news.recv_timeout(PATIENCE).expect("the window hears of the end") {
            News::Ended(ended) => break ended.expect_err("it broke off"),
            News::Starting(_) | News::Ready(..) | News::Notice(_) => {}
        }
    };
    assert_eq!(error.to_string(), "the walk broke off by a fault of the program");
    assert!(walk.gate.wait_over(PATIENCE));
    let walked = walk.leave();
    assert_eq!(walked.figures.frames, 30);
    let recording = &walked.recordings[0];
    // Those that were made before it was asked to record are not in it.
    assert!((25..=31).contains(&recording.frames), "{recording:?}");
    let episode = Episode::open(&recording.dir).unwrap();
    assert_eq!(episode.len() as u64, recording.frames, "to the last frame");
}

#[test]
fn a_fault_is_told_in_one_line_that_names_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let said = alone("a_panic_on_purpose", dir.path());
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    let lines: Vec<_> = said.lines().filter(|line| line.starts_with("oneiro: ")).collect();
    let [line] = lines[..] else { panic!("one line, got {said}") };
    assert!(
        line.contains("a fault of the program: two lines, on purpose (tests/faults.rs:"),
        "{line}"
    );
    let path = line.split("please report what ").nth(1).and_then(|rest| rest.split(" says").next());
    let path = Path::new(path.expect("a file is named"));
    assert!(path.starts_with(dir.path().join("oneiro/faults")), "{path:?}");
    let text = std::fs::read_to_string(path).unwrap();
    for known in [
        "two lines,\non purpose",
        "version: ",
        "--nocapture",
        "thread: faulty",
        "a_panic_on_purpose",
    ] {
        assert!(text.contains(known), "{known:?} is not in {text}");
    }
}

#[test]
fn a_panic_on_purpose() {
    if folder_alone().is_none() {
        return;
    }
    fault::tell_in_one_line();
    let thread = std::thread::Builder::new().name("faulty".into());
    let thread = thread.spawn(|| panic!("two lines,\non purpose")).unwrap();
    assert!(thread.join().is_err());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_the_recording_and_play_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let output = alone("recording_onto_a_full_disk", dir.path());
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// The system refuses what would make a file longer than 8 KiB, as it does when the disk is full.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "limits have no safe door")]
fn fill_the_disk() {
    let limit = libc::rlimit { rlim_cur: 8 << 10, rlim_max: 8 << 10 };
    // SAFETY: both take plain values. The process is this test's own.
    let done = unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN) != libc::SIG_ERR
            && libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) == 0
    };
    assert!(done, "the system takes the limit");
}

#[cfg(target_os = "linux")]
#[test]
fn recording_onto_a_full_disk() {
    let Some(sessions) = folder_alone() else { return };
    fill_the_disk();
    let walk = record(&sessions, None);
    let told = loop {
        match walk.news.recv_timeout(PATIENCE).expect("the disk is full in a few seconds") {
            News::Notice(told) if !told.starts_with("recording into") => break told,
            News::Ended(ended) => panic!("play goes on, but: {ended:?}"),
            News::Starting(_) | News::Ready(..) | News::Notice(_) => {}
        }
    };
    assert!(told.starts_with("the recording ended: record into "), "{told}");
    assert!(!walk.gate.recording(), "the window shows that nothing is recorded");
    let before = walk.stats.lock().frames();
    while walk.stats.lock().frames() < before + 5 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(walk.leave().recordings.is_empty(), "none came to its end");
    let session =
        std::fs::read_dir(&sessions).unwrap().next().expect("it was begun").unwrap().path();
    let episode = Episode::open(&session).unwrap();
    // At 20 frames/s it was written once a second.
    assert!(episode.len() >= 20, "{} frames are there", episode.len());
    assert!(episode.actions[1..].iter().all(|action| action.forward == 1.0));
}
