//! The walk in a terminal, for machines without a display: half blocks in 24-bit colour, keys, one line of status.

mod cells;
mod keys;
mod screen;

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::Builder;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use crossterm::event::{self, Event};
use crossterm::queue;
use crossterm::terminal::{self, BeginSynchronizedUpdate, EndSynchronizedUpdate};
use input::Frame;

use self::cells::Cells;
use self::keys::{Command, Held};
use self::screen::Screen;
use crate::controls::Controls;
use crate::gate::Wish;
use crate::settings::Settings;
use crate::show::Show;
use crate::stage::Stage;
use crate::walk::{News, Plan, Walk, Walked};

pub use self::screen::LogWriter;

/// Events that may wait to be looked at; the thread that reads keys waits when they are more.
const EVENTS: usize = 64;
/// How often the figures in the status line change.
const FIGURES_PERIOD: Duration = Duration::from_millis(500);
/// How long a notice stands in the status line.
const NOTICE_LASTS: Duration = Duration::from_secs(4);
/// What the status line ends with, as keys are bound at first; then where they were bound otherwise.
const KEYS: &str = "W S A D arrows walk  P pause  N next  R record  B bookmark  Esc leave";
const OTHER_KEYS: &str = "keys as in the settings  Esc leave";

/// Whether somebody sits at a terminal that shows what is written and sends what is typed.
pub fn is_there() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Walks in the terminal until the player leaves.
///
/// # Errors
/// When the terminal cannot be drawn on, or the walk fails.
pub fn run(plan: Plan, controls: Controls, settings: &Settings, record: bool) -> Result<Walked> {
    let screen = Screen::open().context("the terminal cannot be drawn on")?;
    let (events, woken) = sync_channel(EVENTS);
    let bell = events.clone();
    // A full channel wakes too.
    let walk = Walk::start(plan, Box::new(move || _ = bell.try_send(Woken::Walk)))?;
    walk.gate.set_recording(record);
    Builder::new().name("keys".into()).spawn(move || read_events(&events))?;
    let usual = Settings::default();
    let bound_otherwise =
        settings.keyboard.keys != usual.keyboard.keys || settings.window != usual.window;
    let held = Held::new(screen.tells_releases, settings.window.clone());
    let mut player = Player {
        walk,
        show: Show::default(),
        controls,
        held,
        cells: Cells::default(),
        columns: 0,
        picture: None,
        status: Status { bound_otherwise, ..Status::default() },
    };
    let ended = player.play(&woken);
    drop(screen);
    let walked = player.walk.leave();
    ended.map(|()| walked)
}

/// What ends a sleep.
enum Woken {
    /// There is news, or a frame.
    Walk,
    /// Something was typed, or the terminal changed.
    Event(Event),
}

fn read_events(events: &SyncSender<Woken>) {
    while let Ok(event) = event::read() {
        if events.send(Woken::Event(event)).is_err() {
            break;
        }
    }
}

/// A walk in a terminal.
struct Player {
    walk: Walk,
    show: Show,
    controls: Controls,
    held: Held,
    cells: Cells,
    columns: u16,
    /// The picture that is shown.
    picture: Option<Arc<Frame>>,
    status: Status,
}

/// The last line.
#[derive(Clone, Debug, Default)]
struct Status {
    /// Whether keys are other than at first.
    bound_otherwise: bool,
    world: String,
    /// What the player should read, and until when.
    notice: Option<(String, Option<Duration>)>,
    figures: String,
    figures_at: Duration,
    /// What stands there.
    shown: String,
}

impl Player {
    fn play(&mut self, woken: &Receiver<Woken>) -> Result<()> {
        let (columns, rows) = terminal::size()?;
        self.resize(columns, rows)?;
        self.status.notice = Some(("opening".into(), None));
        loop {
            if let Some(ended) = self.read_news()? {
                return ended;
            }
            let now = self.walk.clock.now();
            self.expire(now);
            if let Some(due) = self.show.next_frame(&self.walk, now) {
                let _span = Stage::Present.span().entered();
                self.draw(Arc::clone(&due.frame))?;
                let shown = self.walk.clock.now();
                self.walk.stats.lock().stage(Stage::Present, shown.saturating_sub(now));
                self.walk.note_shown(&due, shown);
            }
            self.draw_status(now)?;
            let next = [
                self.show.next_due(&self.walk, now),
                self.held.next(),
                Some(self.status.figures_at),
                self.status.notice.as_ref().and_then(|(_, until)| *until),
            ];
            let next = next.into_iter().flatten().min().unwrap_or_default();
            match woken.recv_timeout(next.saturating_sub(self.walk.clock.now())) {
                Ok(Woken::Event(event)) => {
                    if self.obey(event)? == Some(Command::Leave) {
                        return Ok(());
                    }
                }
                Ok(Woken::Walk) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("the terminal is gone"),
            }
            if !Screen::is_ours() {
                bail!("the terminal was given back");
            }
        }
    }

    /// Reads what the dream tells; answers how it ended once it has.
    fn read_news(&mut self) -> Result<Option<Result<()>>> {
        while let Ok(news) = self.walk.news.try_recv() {
            match news {
                News::Starting(stage) => self.status.notice = Some((stage, None)),
                News::Ready(facts, opening) => {
                    self.status.world = facts.name;
                    self.status.notice = None;
                    self.draw(opening)?;
                }
                News::Notice(text) => {
                    let until = self.walk.clock.now() + NOTICE_LASTS;
                    self.status.notice = Some((text, Some(until)));
                }
                News::Ended(ended) => return Ok(Some(ended)),
            }
        }
        Ok(None)
    }

    fn expire(&mut self, now: Duration) {
        self.held.expire(now, &mut self.controls.keyboard());
    }

    /// Does what an event asks for; answers the command in it, if any.
    fn obey(&mut self, event: Event) -> Result<Option<Command>> {
        let now = self.walk.clock.now();
        let command = match event {
            Event::Key(key) => {
                self.controls.note_touch(now);
                self.held.feed(key, now, &mut self.controls.keyboard())
            }
            Event::FocusLost => {
                self.held.release(&mut self.controls.keyboard());
                None
            }
            Event::Resize(columns, rows) => {
                self.resize(columns, rows)?;
                None
            }
            Event::FocusGained | Event::Mouse(_) => None,
        };
        match command {
            Some(Command::Pause) => {
                self.show.toggle_pause(&self.walk);
                self.controls.forget_touches();
            }
            Some(Command::Next) => self.show.step(&self.walk),
            Some(Command::Record) => _ = self.walk.gate.toggle_recording(),
            Some(Command::Bookmark) => self.walk.gate.wish(Wish::Bookmark),
            Some(Command::GoBack) => self.walk.gate.wish(Wish::GoBack),
            Some(Command::Leave) | None => {}
        }
        Ok(command)
    }

    fn resize(&mut self, columns: u16, rows: u16) -> Result<()> {
        self.cells = Cells::new(columns, rows);
        self.columns = columns;
        self.status.shown.clear();
        match self.picture.clone() {
            Some(picture) => self.draw(picture),
            None => Ok(()),
        }
    }

    fn draw(&mut self, picture: Arc<Frame>) -> Result<()> {
        let mut bytes = Vec::new();
        queue!(bytes, BeginSynchronizedUpdate)?;
        self.cells.draw(&picture, &mut bytes)?;
        queue!(bytes, EndSynchronizedUpdate)?;
        self.picture = Some(picture);
        write(&bytes)
    }

    fn draw_status(&mut self, now: Duration) -> Result<()> {
        let status = &mut self.status;
        if now >= status.figures_at {
            let lately = self.walk.stats.lock().lately();
            let millis = lately.input_to_present[0].as_millis();
            status.figures = format!("{:.1} frames/s  {millis} ms", lately.fps);
            status.figures_at = now + FIGURES_PERIOD;
        }
        status.notice.take_if(|(_, until)| until.is_some_and(|until| until <= now));
        let text = status.text(self.show.paused(), self.walk.gate.recording());
        if text == status.shown {
            return Ok(());
        }
        let mut bytes = Vec::new();
        cells::line(&text, self.cells.rows(), self.columns, &mut bytes)?;
        status.shown = text;
        write(&bytes)
    }
}

impl Status {
    fn text(&self, paused: bool, recording: bool) -> String {
        let flags = [(paused, "paused"), (recording, "recording")];
        let flags = flags.into_iter().filter(|(on, _)| *on).map(|(_, name)| name);
        // A notice stands alone, so that narrow terminals do not cut it.
        let keys = if self.bound_otherwise { OTHER_KEYS } else { KEYS };
        let usual = [self.world.as_str(), self.figures.as_str(), keys];
        let notice = self.notice.as_ref().map(|(text, _)| [text.as_str(), "", ""]);
        let parts = flags.chain(notice.unwrap_or(usual)).filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join("  ")
    }
}

/// Writes to the terminal in one go, so that it never shows half a picture.
fn write(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_says_what_matters_now() {
        let mut status = Status { world: "rooms".into(), ..Status::default() };
        status.figures = "17.5 frames/s  40 ms".into();
        assert_eq!(status.text(false, false), format!("rooms  17.5 frames/s  40 ms  {KEYS}"));
        status.notice = Some(("bookmark set".into(), None));
        assert_eq!(status.text(true, true), "paused  recording  bookmark set");
    }
}
