//! The program in a real window, on a display of its own: where Xvfb, xdotool and a graphics driver are installed.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use input::{Episode, Frame, FrameRecord, VideoWriter};
use x11rb::protocol::xproto::{ClientMessageEvent, ConnectionExt as _, EventMask};

use crate::support::world::write_tiny_world;

/// A test that waits this long has failed; usually it is a second.
const PATIENCE: u32 = 60;

/// A display that nobody looks at.
struct Display {
    server: Child,
    name: String,
}

impl Display {
    /// A free display; `None`, with the reason told, where there is nothing to make one with.
    fn open() -> Option<Self> {
        let server = Command::new("Xvfb")
            // Without a client for a moment, it would begin anew and turn others away meanwhile.
            .args(["-displayfd", "1", "-screen", "0", "800x600x24", "-nolisten", "tcp", "-noreset"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let (Ok(mut server), Ok(_)) = (server, Command::new("xdotool").arg("version").output())
        else {
            println!("skipped: Xvfb and xdotool are not installed");
            return None;
        };
        // The number, once the display can be used.
        let mut number = String::new();
        let mut pipe = server.stdout.take().expect("it was asked for");
        let mut byte = [0];
        while pipe.read(&mut byte).expect("Xvfb says its number") == 1 && byte != *b"\n" {
            number.push(char::from(byte[0]));
        }
        Some(Self { server, name: format!(":{number}") })
    }

    /// Does something to the window; fails when there is none.
    fn tool(&self, arguments: &str) {
        let search = format!("search --sync --onlyvisible --name Oneiro {arguments}");
        self.plain_tool(&search);
    }

    fn plain_tool(&self, arguments: &str) {
        let mut tool = Command::new("xdotool");
        tool.args(arguments.split(' ')).env("DISPLAY", &self.name);
        let done = tool.output().expect("xdotool runs");
        assert!(done.status.success(), "{arguments}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Asks for what a click on the cross of a title bar asks for. xdotool has no such command, and keys that
    /// a window manager's absence or a busy machine swallows leave a menu anywhere.
    fn close_window(&self) {
        let found = Command::new("xdotool")
            .args(["search", "--sync", "--onlyvisible", "--name", "Oneiro"])
            .env("DISPLAY", &self.name)
            .output()
            .expect("xdotool runs");
        let window = String::from_utf8_lossy(&found.stdout).trim().parse().expect("one window");
        let (connection, _) = x11rb::connect(Some(&self.name)).expect("the display is there");
        let atom = |name: &str| {
            let cookie = connection.intern_atom(false, name.as_bytes()).expect("it can be asked");
            cookie.reply().expect("it has a number").atom
        };
        let asked = [atom("WM_DELETE_WINDOW"), x11rb::CURRENT_TIME, 0, 0, 0];
        let message = ClientMessageEvent::new(32, window, atom("WM_PROTOCOLS"), asked);
        let sent = connection.send_event(false, window, EventMask::NO_EVENT, message);
        sent.expect("it can be sent").check().expect("the window is there");
    }

    /// Waits for the program's window; whether it has one and did not end without.
    fn shows(&self, program: &mut Child) -> bool {
        for _ in 0..PATIENCE * 10 {
            if program.try_wait().expect("it can be asked").is_some() {
                return false;
            }
            let mut search = Command::new("xdotool");
            search.args(["search", "--onlyvisible", "--name", "Oneiro"]);
            let found = search.env("DISPLAY", &self.name).output().expect("xdotool runs");
            if found.status.success() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("no window is shown");
    }

    /// The display is gone.
    fn kill(&mut self) {
        self.server.kill().expect("it runs");
        self.server.wait().expect("it ran");
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        // It may be gone already.
        _ = self.server.kill();
        _ = self.server.wait();
    }
}

/// The program in a window on `display`, recording, with its files in `dir`; `None` where no window can be opened.
fn play(display: &Display, dir: &Path) -> Option<Child> {
    write_tiny_world(dir).expect("a world");
    let errors = File::create(dir.join("errors")).expect("a file");
    let mut program = Command::new(env!("CARGO_BIN_EXE_oneiro"))
        .args(["--memory", "none", "--record", "--world", ".", "--out", "sessions"])
        .current_dir(dir)
        .env_remove("WAYLAND_DISPLAY")
        .env_remove("WAYLAND_SOCKET")
        .env("DISPLAY", &display.name)
        .env("XDG_DATA_HOME", dir)
        .env("XDG_CONFIG_HOME", dir)
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn()
        .expect("the program starts");
    for _ in 0..PATIENCE * 10 {
        let said = said(dir);
        if said.contains("recording into") && frames(dir).len() > 2 {
            return Some(program);
        }
        if said.contains("without a window") {
            println!("skipped: {said}");
            program.kill().expect("it runs");
            program.wait().expect("it ran");
            return None;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    program.kill().expect("it runs");
    program.wait().expect("it ran");
    panic!("no recording began: {}", said(dir));
}

/// What the program has said on standard error.
fn said(dir: &Path) -> String {
    fs::read_to_string(dir.join("errors")).expect("it is there")
}

/// What is recorded so far.
fn frames(dir: &Path) -> Vec<FrameRecord> {
    let Some(session) = fs::read_dir(dir.join("sessions")).ok().and_then(|mut all| all.next())
    else {
        return Vec::new();
    };
    let path = session.expect("it can be listed").path().join("frames.jsonl");
    let text = fs::read_to_string(path).unwrap_or_default();
    // The last line may be half written.
    text.lines().map_while(|line| serde_json::from_str(line).ok()).collect()
}

/// Waits until so many frames more are recorded.
fn wait_for_frames(dir: &Path, more: usize) {
    let wanted = frames(dir).len() + more;
    for _ in 0..PATIENCE * 10 {
        if frames(dir).len() >= wanted {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("play stopped: {} frames of {wanted}; {}", frames(dir).len(), said(dir));
}

/// The program ends by itself: its exit code.
fn end(program: &mut Child, dir: &Path) -> i32 {
    for _ in 0..PATIENCE * 10 {
        if let Some(status) = program.try_wait().expect("it can be asked") {
            assert_eq!(status.signal(), None, "{}", said(dir));
            return status.code().expect("it was not killed");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    program.kill().expect("it runs");
    panic!("it does not end: {}", said(dir));
}

/// The recording is whole: as many frames as the program says.
fn check_recording(dir: &Path) {
    let told = said(dir);
    let count = told.split("recorded ").nth(1).and_then(|rest| rest.split(' ').next());
    let count: usize =
        count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{told}"));
    let session = fs::read_dir(dir.join("sessions")).expect("a folder").next();
    let session = session.expect("a session").expect("it can be listed").path();
    let episode = Episode::open(&session).expect("it can be read");
    assert_eq!(episode.len(), count, "{told}");
    let records = frames(dir);
    assert_eq!(records.len(), count);
    assert!(records.windows(2).all(|pair| pair[0].tick + 1 == pair[1].tick));
    let shown: Vec<_> = records.iter().filter_map(|record| record.present_time_us).collect();
    assert!(shown.len() > 5 && shown.is_sorted(), "clocks run one way: {shown:?}");
    // What is shown was asked for before.
    let later =
        |record: &FrameRecord| record.present_time_us.is_none_or(|at| at > record.device_time_us);
    assert!(records[1..].iter().all(later), "{records:?}");
}

#[test]
fn a_window_may_shrink_to_nothing_and_be_put_away_and_play_goes_on() {
    let Some(display) = Display::open() else { return };
    let dir = tempfile::tempdir().unwrap();
    let Some(mut program) = play(&display, dir.path()) else { return };
    display.tool("windowsize 1 1");
    wait_for_frames(dir.path(), 20);
    display.tool("windowsize 2000 40");
    wait_for_frames(dir.path(), 5);
    display.tool("windowsize 640 480");
    wait_for_frames(dir.path(), 5);
    display.tool("windowunmap");
    wait_for_frames(dir.path(), 20);
    display.plain_tool("search --name Oneiro windowmap");
    wait_for_frames(dir.path(), 20);
    display.close_window();
    assert_eq!(end(&mut program, dir.path()), 0, "{}", said(dir.path()));
    check_recording(dir.path());
}

#[test]
fn two_videos_are_voted_on_by_keys_and_a_vote_is_there_at_once() {
    let Some(display) = Display::open() else { return };
    let dir = tempfile::tempdir().unwrap();
    for (arm, grey) in [("one", 60), ("two", 180)] {
        fs::create_dir(dir.path().join(arm)).unwrap();
        for start in ["a", "b", "c"] {
            let path = dir.path().join(arm).join(format!("{start}.mp4"));
            let mut writer = VideoWriter::create(&path, 64, 48, 10.0).unwrap();
            (0..3).for_each(|_| writer.push(&Frame::filled(64, 48, [grey; 3]).pixels).unwrap());
            writer.finish().unwrap();
        }
    }
    let votes = || fs::read_to_string(dir.path().join("votes.jsonl")).unwrap_or_default();
    let run = |keys: &[&str]| {
        let errors = File::create(dir.path().join("errors")).unwrap();
        let mut program = Command::new(env!("CARGO_BIN_EXE_oneiro"))
            .args(["compare", "one", "two"])
            .current_dir(dir.path())
            .env_remove("WAYLAND_DISPLAY")
            .env_remove("WAYLAND_SOCKET")
            .env("DISPLAY", &display.name)
            .stdout(File::create(dir.path().join("table")).unwrap())
            .stderr(errors)
            .spawn()
            .unwrap();
        if !display.shows(&mut program) {
            assert!(said(dir.path()).contains("no window"), "{}", said(dir.path()));
            println!("skipped: {}", said(dir.path()));
            return None;
        }
        display.tool("windowfocus --sync");
        for key in keys {
            let before = votes();
            display.plain_tool(&format!("key {key}"));
            // The last key ends the program, whatever it writes before.
            for _ in 0..PATIENCE * 10 {
                if votes() != before || program.try_wait().expect("it can be asked").is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        Some(end(&mut program, dir.path()))
    };
    let Some(code) = run(&["1", "Escape"]) else { return };
    assert_eq!(code, 0, "{}", said(dir.path()));
    assert!(votes().contains(r#""liked":"left""#) && votes().lines().count() == 2, "{}", votes());
    assert_eq!(run(&["2", "0"]), Some(0), "{}", said(dir.path()));
    let liked = |what: &str| votes().matches(&format!("\"liked\":\"{what}\"")).count();
    assert_eq!([liked("left"), liked("right"), liked("neither")], [1, 1, 1], "{}", votes());
    let table = fs::read_to_string(dir.path().join("table")).unwrap();
    assert!(table.starts_with("3 votes") && table.contains("| one |"), "{table}");
}

#[test]
fn a_display_that_goes_ends_the_walk_with_one_line_and_a_whole_recording() {
    let Some(mut display) = Display::open() else { return };
    let dir = tempfile::tempdir().unwrap();
    let Some(mut program) = play(&display, dir.path()) else { return };
    wait_for_frames(dir.path(), 20);
    display.kill();
    assert_eq!(end(&mut program, dir.path()), 1, "{}", said(dir.path()));
    assert_eq!(
        said(dir.path()).matches("oneiro: the window is gone").count(),
        1,
        "{}",
        said(dir.path())
    );
    check_recording(dir.path());
}
