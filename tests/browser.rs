//! The page in a real browser, driven over its `DevTools` protocol; without one this says so and tests nothing.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message;

use crate::serve::{Served, TOKEN};

/// A browser that takes this long has failed; usually it is a second or two.
const PATIENCE: Duration = Duration::from_secs(60);
/// Names under which a browser of the Chromium family may be found.
const BROWSERS: &[&str] = &["chromium", "chromium-browser", "google-chrome", "chrome"];
/// Colour in the middle of the picture, and its number.
const SEEN: &str = "(() => { const picture = document.getElementById('picture'); \
    const middle = [picture.width / 2, picture.height / 2, 1, 1]; \
    const pixel = picture.getContext('2d').getImageData(...middle).data; \
    return { number: Number(picture.dataset.frame ?? -1), colour: [...pixel].join() }; })()";

fn browser() -> Option<PathBuf> {
    let folders: Vec<_> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let paths = BROWSERS.iter().flat_map(|name| folders.iter().map(move |dir| dir.join(name)));
    paths.into_iter().find(|path| path.is_file())
}

/// A browser without a window, ended when dropped.
struct Browser {
    process: Child,
    /// Where its `DevTools` are spoken to.
    address: String,
}

impl Browser {
    /// Starts it; `None` when it says nothing, as where it may not run.
    fn start(program: &Path, profile: &Path) -> Option<Self> {
        let mut process = Command::new(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-sync"])
            .args(["--disable-component-update", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        let told = BufReader::new(process.stderr.take().expect("it is piped"));
        let mut browser = Self { process, address: String::new() };
        let (sender, address) = sync_channel(1);
        let read = move || {
            // Read to the end: a browser whose pipe is full would stop.
            for line in told.lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("DevTools listening on ") {
                    let _ = sender.try_send(address.to_owned());
                }
            }
        };
        std::thread::Builder::new().spawn(read).expect("a thread");
        browser.address = address.recv_timeout(PATIENCE).ok()?;
        Some(browser)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A page of the browser, spoken to over the `DevTools` protocol.
struct Tab {
    line: tokio_tungstenite::WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>,
    session: Option<String>,
    asked: u64,
}

impl Tab {
    async fn open(browser: &Browser, url: &str) -> Self {
        let (line, _) = tokio_tungstenite::connect_async(&browser.address).await.expect("DevTools");
        let mut tab = Self { line, session: None, asked: 0 };
        let target = tab.ask("Target.createTarget", json!({"url": url})).await;
        let target = json!({"targetId": target["targetId"], "flatten": true});
        let session = tab.ask("Target.attachToTarget", target).await;
        tab.session = session["sessionId"].as_str().map(str::to_owned);
        tab
    }

    async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let mut request = json!({"id": self.asked, "method": method, "params": params});
        if let Some(session) = &self.session {
            request["sessionId"] = session.clone().into();
        }
        self.line.send(Message::Text(request.to_string().into())).await.expect("it listens");
        loop {
            let answer = tokio::time::timeout(PATIENCE, self.line.next()).await.expect("in time");
            let answer = answer.expect("the line is open").expect("no error");
            let answer: Value =
                serde_json::from_str(answer.to_text().expect("text")).expect("JSON");
            if answer["id"] == self.asked {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    async fn evaluate(&mut self, expression: &str) -> Value {
        let ask = json!({"expression": expression, "returnByValue": true});
        self.ask("Runtime.evaluate", ask).await["result"]["value"].clone()
    }

    /// Number and colour of a picture that was drawn after the one of number `before`.
    async fn picture_after(&mut self, before: i64) -> (i64, String) {
        let look = async {
            loop {
                let seen = self.evaluate(SEEN).await;
                let number = seen["number"].as_i64().unwrap_or(-1);
                if number > before {
                    return (number, seen["colour"].as_str().unwrap_or_default().to_owned());
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.expect("pictures come")
    }

    async fn key(&mut self, kind: &str, code: &str) {
        self.ask("Input.dispatchKeyEvent", json!({"type": kind, "code": code, "key": code})).await;
    }
}

#[test]
fn keys_pressed_in_a_browser_move_the_world() {
    let profile = tempfile::tempdir().unwrap();
    let browser = browser().and_then(|program| Browser::start(&program, profile.path()));
    let Some(browser) = browser else {
        eprintln!("no browser among {BROWSERS:?} runs here: the page was not tried in one");
        return;
    };
    let served = Served::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = format!("http://{}/{TOKEN}/", served.address);
        let mut tab = Tab::open(&browser, &url).await;
        let (first, still) = tab.picture_after(-1).await;
        assert_eq!(tab.evaluate("document.title").await, "Oneiro: arithmetic");
        let (second, colour) = tab.picture_after(first + 5).await;
        assert_eq!(colour, still, "nothing is held, nothing moves");

        tab.key("keyDown", "ArrowRight").await;
        let (mut number, mut moved) = tab.picture_after(second).await;
        while moved == still && number < second + 200 {
            (number, moved) = tab.picture_after(number).await;
        }
        assert_ne!(moved, still, "a held key moves the world");
        tab.key("keyUp", "ArrowRight").await;
        let (number, _) = tab.picture_after(number + 10).await;
        let (number, rested) = tab.picture_after(number + 10).await;
        assert_eq!(tab.picture_after(number + 5).await.1, rested, "and let go, it stands");

        // The page loses the focus with a key held.
        tab.key("keyDown", "ArrowRight").await;
        tab.evaluate("dispatchEvent(new Event('blur'))").await;
        let (number, _) = tab.picture_after(number + 20).await;
        let (number, rested) = tab.picture_after(number + 5).await;
        assert_eq!(tab.picture_after(number + 5).await.1, rested, "blur lets go of it");

        tab.key("keyDown", "KeyP").await;
        let badges = "document.getElementById('badges').textContent";
        while tab.evaluate(badges).await != "paused" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }

        let stopped = std::thread::Builder::new().spawn(move || served.stop()).expect("a thread");
        let text = "document.getElementById('text').textContent";
        while tab.evaluate(text).await != "the walk is over" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stopped.join().expect("no panic");
        // Who tried again would say so by now.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(tab.evaluate(text).await, "the walk is over");
    });
    drop(browser);
}
