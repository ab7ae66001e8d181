//! The program in a terminal that is a test: what it writes there, what keys do, what it leaves behind.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use crate::support::world::write_tiny_world;

/// A test that waits this long has failed; usually it is a few hundred milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program in a terminal of 40 columns and 12 rows.
struct Terminal {
    /// The side of the person.
    person: File,
    program: Child,
    /// What the program writes.
    written: Receiver<Vec<u8>>,
    /// All of it so far.
    text: String,
}

/// Asks the system something about a terminal.
#[expect(unsafe_code, reason = "terminals are made by ioctl alone")]
fn ioctl<T>(terminal: &File, request: libc::c_ulong, argument: &mut T) {
    // SAFETY: the descriptor is open, and every request below takes a pointer to the type it is given here.
    let answer =
        unsafe { libc::ioctl(terminal.as_raw_fd(), request, std::ptr::from_mut(argument)) };
    assert_eq!(answer, 0, "request {request:#x} of a terminal");
}

impl Terminal {
    fn start() -> Self {
        let open = |path: &str| OpenOptions::new().read(true).write(true).open(path);
        let person = open("/dev/ptmx").expect("Linux has terminals");
        let (mut locked, mut number): (libc::c_int, libc::c_uint) = (0, 0);
        ioctl(&person, libc::TIOCSPTLCK, &mut locked);
        ioctl(&person, libc::TIOCGPTN, &mut number);
        let mut size = libc::winsize { ws_row: 12, ws_col: 40, ws_xpixel: 0, ws_ypixel: 0 };
        ioctl(&person, libc::TIOCSWINSZ, &mut size);
        let side = open(&format!("/dev/pts/{number}")).expect("the program's side");
        let dir = tempfile::tempdir().expect("a folder");
        write_tiny_world(dir.path()).expect("a world");
        let shared = || Stdio::from(side.try_clone().expect("the side can be shared"));
        let program = Command::new(env!("CARGO_BIN_EXE_oneiro"))
            .args(["--memory", "none", "--world"])
            .arg(dir.path())
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .env_remove("WAYLAND_SOCKET")
            .env("TERM", "xterm-256color")
            .stdin(shared())
            .stdout(shared())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let (sender, written) = sync_channel(64);
        let mut reader = person.try_clone().expect("the side can be shared");
        let read = move || {
            // The world must not go before the program has read it.
            let _world = dir;
            let mut bytes = vec![0; 4096];
            // Once the program is gone, reading is an error.
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    break;
                }
            }
        };
        std::thread::Builder::new().spawn(read).expect("a thread");
        drop(side);
        Self { person, program, written, text: String::new() }
    }

    fn say(&mut self, text: &str) {
        self.person.write_all(text.as_bytes()).expect("the program reads");
    }

    /// Waits until the program has written `text`, and forgets everything up to it; gives what came before.
    fn hear(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.text.find(text) {
                let rest = self.text.split_off(at + text.len());
                return std::mem::replace(&mut self.text, rest);
            }
            let more = self.written.recv_timeout(PATIENCE);
            let more = more.unwrap_or_else(|_| panic!("{text:?} is not in {:?}", self.text));
            self.text += &String::from_utf8_lossy(&more);
        }
    }

    /// Waits until the program has given the terminal back and said what it did.
    fn end(mut self) -> String {
        let given_back = self.hear("\u{1b}[?1049l");
        self.hear("frames/s");
        assert!(self.program.wait().expect("it runs").success());
        given_back
    }
}

#[test]
fn without_a_display_the_walk_is_in_the_terminal_and_gives_it_back() {
    let mut terminal = Terminal::start();
    // It asks whether releases are told, and who is there; an ordinary terminal answers the second alone.
    terminal.hear("\u{1b}[c");
    terminal.say("\u{1b}[?1;2c");
    terminal.hear("\u{1b}[?1049h");
    terminal.hear("▀▀");
    let status = terminal.hear("frames/s");
    assert!(status.contains("48;2;") && status.contains("\u{1b}[12;1H"), "{status:?}");
    terminal.say("p");
    terminal.hear("paused");
    terminal.say("n");
    terminal.hear("▀");
    terminal.say("b");
    terminal.say("p");
    terminal.hear("bookmark set");
    terminal.say("\u{1b}");
    let left = terminal.end();
    assert!(left.contains("\u{1b}[?25h"), "the cursor is shown again: {left:?}");
    assert!(!left.contains("\u{1b}[<1u"), "what was not asked for is not taken back: {left:?}");
}

#[test]
fn a_terminal_that_tells_releases_is_asked_to_and_no_longer_at_the_end() {
    let mut terminal = Terminal::start();
    terminal.hear("\u{1b}[c");
    terminal.say("\u{1b}[?0u\u{1b}[?1;2c");
    terminal.hear("\u{1b}[>11u");
    terminal.hear("▀▀");
    // P goes down and up, then C with Control.
    terminal.say("\u{1b}[112;1:1u\u{1b}[112;1:3u");
    terminal.hear("paused");
    terminal.say("\u{1b}[99;5:1u");
    assert!(terminal.end().contains("\u{1b}[<1u"));
}
