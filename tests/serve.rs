//! The walk in a browser: what pages see, hear and may do.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use futures_util::{SinkExt as _, StreamExt as _};
use input::ActionLayout;
use oneiro::clock::Clock;
use oneiro::serve::{Controls, serve};
use oneiro::walk::{Plan, Walked};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::Arithmetic;

pub(crate) const TOKEN: &str = "0123456789abcdef";
/// A test that waits this long has failed; usually it is a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// A walk that is served on this machine, until dropped or stopped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<Walked>>,
    /// Where recordings go.
    sessions: tempfile::TempDir,
}

impl Served {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (stop, stopped) = oneshot::channel();
        let layout = ActionLayout { turn_degrees: 15.0, ..ActionLayout::default() };
        let (controls, hand) = Controls::new(&layout);
        let sessions = tempfile::tempdir().expect("a folder for recordings");
        let plan = Plan {
            dream: Box::new(|_| Ok(Box::new(Arithmetic::new(1, Clock::stepped(), &[])))),
            steer: Box::new(hand),
            frames: None,
            sessions: sessions.path().to_owned(),
            auto_steps: false,
        };
        let walk = move || serve(plan, controls, listener, TOKEN, async { _ = stopped.await });
        let thread = std::thread::Builder::new().spawn(walk).expect("a thread");
        Self { address, stop, thread, sessions }
    }

    pub(crate) fn stop(self) -> Walked {
        self.stop.send(()).expect("the walk is served");
        let walked = self.thread.join().expect("no panic").expect("a walk that ends well");
        drop(self.sessions);
        walked
    }

    /// What a request for `path` is answered.
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("the walk is served");
        let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("the request is taken");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer in text");
        answer
    }
}

/// A page's end of the line.
struct Page(tokio_tungstenite::WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>);

/// A picture's number and JPEG.
type Picture = (u64, Vec<u8>);

impl Page {
    async fn open(served: &Served) -> Self {
        let address = format!("ws://{}/{TOKEN}/socket", served.address);
        Self(tokio_tungstenite::connect_async(address).await.expect("a socket").0)
    }

    async fn say(&mut self, message: Value) {
        self.0.send(Message::Text(message.to_string().into())).await.expect("the line is open");
    }

    async fn key(&mut self, key: &str, down: bool) {
        self.say(json!({"type": "key", "key": key, "down": down})).await;
    }

    async fn next(&mut self) -> Message {
        let message = tokio::time::timeout(PATIENCE, self.0.next()).await;
        message.expect("something is said in time").expect("the line is open").expect("no error")
    }

    /// The next picture, which is not said to be seen.
    async fn unseen(&mut self) -> Picture {
        loop {
            if let Message::Binary(bytes) = self.next().await {
                let number = bytes[..8].try_into().expect("eight bytes");
                return (u64::from_le_bytes(number), bytes[12..].to_vec());
            }
        }
    }

    async fn picture(&mut self) -> Picture {
        let picture = self.unseen().await;
        self.say(json!({"type": "seen", "number": picture.0})).await;
        picture
    }

    /// Waits until a status has this in it, and gives that.
    async fn status(&mut self, name: &str, value: Value) -> Value {
        loop {
            if let Message::Text(text) = self.next().await {
                let status: Value = serde_json::from_str(&text).expect("JSON");
                if status[name] == value {
                    return status;
                }
            }
        }
    }

    /// Whether the picture becomes another one within the next `count`.
    async fn moves(&mut self, count: usize) -> bool {
        let (_, before) = self.picture().await;
        for _ in 0..count {
            if self.picture().await.1 != before {
                return true;
            }
        }
        false
    }
}

fn here() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn everything_lies_behind_the_token() {
    let served = Served::start();
    let check = |path: &str, status: &str, text: &str| {
        let answer = served.get(path);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
        assert!(answer.contains(text), "{path}: {answer}");
    };
    check(&format!("/{TOKEN}/"), "200", "<canvas");
    check(&format!("/{TOKEN}/"), "200", "referrer-policy: no-referrer");
    check(&format!("/{TOKEN}/page.js"), "200", "requestPointerLock");
    check(&format!("/{TOKEN}/page.css"), "200", "object-fit: contain");
    check(&format!("/{TOKEN}/nothing"), "404", "");
    check(&format!("/{TOKEN}/socket"), "4", "");
    let wrong = TOKEN.replace('f', "e");
    for path in
        ["/", "/socket", "//", "/page.js", "//page.js", &format!("/{TOKEN}"), &format!("/{wrong}/")]
    {
        check(path, "403", "token");
    }
    check(&format!("/{wrong}/socket"), "403", "token");
    here().block_on(async {
        let address = format!("ws://{}/{wrong}/socket", served.address);
        assert!(tokio_tungstenite::connect_async(address).await.is_err());
    });
    served.stop();
}

#[test]
fn one_page_steers_another_watches_and_takes_over() {
    let served = Served::start();
    here().block_on(async {
        let mut player = Page::open(&served).await;
        player.status("world", "arithmetic".into()).await;
        let mut spectator = Page::open(&served).await;
        spectator.status("steering", false.into()).await;
        assert!(!player.moves(4).await, "nobody holds anything");
        spectator.key("left", true).await;
        assert!(!player.moves(6).await, "a spectator steers nothing");
        player.key("left", true).await;
        assert!(player.moves(40).await);
        assert!(spectator.moves(40).await, "spectators see it");
        drop(player);
        spectator.status("free", true.into()).await;
        // What the player held is let go, once the frames that were under way are shown.
        for _ in 0..10 {
            spectator.picture().await;
        }
        assert!(!spectator.moves(4).await);
        spectator.key("right", true).await;
        spectator.status("steering", true.into()).await;
        assert!(spectator.moves(40).await);
    });
    assert!(served.stop().figures.frames > 20);
}

#[test]
fn a_page_that_does_not_keep_up_misses_frames_and_holds_up_nobody() {
    let served = Served::start();
    here().block_on(async {
        let (mut quick, mut slow) = (Page::open(&served).await, Page::open(&served).await);
        let mut last = 0;
        let mut got = Vec::new();
        while last < 40 {
            tokio::select! {
                (number, _) = quick.picture() => last = number,
                (number, _) = slow.unseen() => got.push(number),
            }
        }
        assert_eq!(got.len(), 8, "{got:?}");
        let sent = got[7];
        slow.say(json!({"type": "seen", "number": sent})).await;
        let (next, _) = slow.unseen().await;
        assert!(next >= 39, "the newest frame comes next, {next} after {sent}");
    });
    served.stop();
}

#[test]
fn a_pause_is_the_players_and_steps_show_one_frame() {
    let served = Served::start();
    here().block_on(async {
        let mut page = Page::open(&served).await;
        page.picture().await;
        page.say(json!({"type": "pause", "paused": true})).await;
        page.status("paused", true.into()).await;
        let quiet = Duration::from_millis(300);
        while tokio::time::timeout(quiet, page.picture()).await.is_ok() {}
        page.say(json!({"type": "next"})).await;
        let (newest, _) = page.picture().await;
        for step in 1..=3 {
            page.say(json!({"type": "next"})).await;
            assert_eq!(page.picture().await.0, newest + step);
        }
        page.say(json!({"type": "record"})).await;
        page.say(json!({"type": "next"})).await;
        page.status("recording", true.into()).await;
        page.say(json!({"type": "pause", "paused": false})).await;
        page.status("paused", false.into()).await;
        assert!(page.picture().await.0 > newest + 3);
        page.say(json!({"type": "ping", "at": 12.5})).await;
        page.status("at", 12.5.into()).await;
    });
    assert_eq!(served.stop().recordings.len(), 1);
}

#[test]
fn the_walk_rests_while_no_page_is_open() {
    let served = Served::start();
    here().block_on(async {
        let mut page = Page::open(&served).await;
        let mut before = 0;
        for _ in 0..5 {
            before = page.picture().await.0;
        }
        drop(page);
        // Twenty frames' time.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let after = Page::open(&served).await.picture().await.0;
        assert!(after <= before + 6, "{before} to {after}");
    });
    served.stop();
}

#[test]
fn a_page_that_makes_no_sense_is_sent_away_and_the_end_is_told() {
    let served = Served::start();
    here().block_on(async {
        for text in ["{}", "no", &"9".repeat(5000)] {
            let mut page = Page::open(&served).await;
            page.0.send(Message::Text(text.into())).await.expect("the line is open");
            loop {
                match tokio::time::timeout(PATIENCE, page.0.next()).await.expect("in time") {
                    None | Some(Ok(Message::Close(_)) | Err(_)) => break,
                    Some(Ok(_)) => {}
                }
            }
        }
        let mut page = Page::open(&served).await;
        page.picture().await;
        let stopped = std::thread::Builder::new().spawn(move || served.stop()).expect("a thread");
        let last = page.status("text", "the walk is over".into()).await;
        assert_eq!(last["over"], true, "the page is not to come again");
        while !matches!(page.next().await, Message::Close(_)) {}
        drop(page);
        stopped.join().expect("no panic");
    });
}
