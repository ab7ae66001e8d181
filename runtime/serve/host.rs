//! The window's part without a window: shows frames when they are due, by putting them where pages find them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use input::Frame;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use tokio::sync::{Notify, mpsc, watch};

use super::room::{Command, Picture, Room, Status};
use crate::gate::Wish;
use crate::show::Show;
use crate::stage::Stage;
use crate::walk::{News, Plan, Walk, Walked};

/// Quality of the JPEG, 1 to 100: about 6 KB for a picture of 128 x 96, without visible loss.
const QUALITY: u8 = 92;
/// Longest sleep while there is nothing to show; whatever happens ends it.
const IDLE: Duration = Duration::from_secs(3600);

/// A walk whose frames go to pages.
pub(super) struct Host {
    walk: Walk,
    show: Show,
    room: Arc<Room>,
    commands: mpsc::Receiver<Command>,
    status: watch::Receiver<Status>,
    /// Rung by the dream's thread when there is news or a frame.
    bell: Arc<Notify>,
}

impl Host {
    pub(super) fn start(
        plan: Plan,
        room: Arc<Room>,
        commands: mpsc::Receiver<Command>,
    ) -> Result<Self> {
        let bell = Arc::new(Notify::new());
        let ring = Arc::clone(&bell);
        let walk = Walk::start(plan, Box::new(move || ring.notify_one()))?;
        let status = room.status.subscribe();
        Ok(Self { walk, show: Show::default(), room, commands, status, bell })
    }

    /// Ends the walk and waits until its recordings are written.
    pub(super) fn leave(self) -> Walked {
        self.walk.leave()
    }

    /// Shows frames until the walk ends.
    pub(super) async fn present(&mut self) -> Result<()> {
        loop {
            if let Some(ended) = self.read_news()? {
                return ended;
            }
            self.rest();
            let now = self.walk.clock.now();
            if let Some(due) = self.show.next_frame(&self.walk, now) {
                let began = self.walk.clock.now();
                let _span = Stage::Present.span().entered();
                self.put(due.number, &due.frame, began.saturating_sub(due.input_at))?;
                let shown = self.walk.clock.now();
                self.walk.stats.lock().stage(Stage::Present, shown.saturating_sub(began));
                self.walk.note_shown(&due, shown);
            }
            let next = self.show.next_due(&self.walk, now);
            let sleep = next.map_or(IDLE, |at| at.saturating_sub(self.walk.clock.now()));
            tokio::select! {
                () = self.bell.notified() => {}
                () = tokio::time::sleep(sleep) => {}
                changed = self.status.changed() => changed?,
                Some(command) = self.commands.recv() => self.obey(command),
            }
        }
    }

    /// Reads what the dream tells; answers how it ended once it has.
    fn read_news(&mut self) -> Result<Option<Result<()>>> {
        while let Ok(news) = self.walk.news.try_recv() {
            match news {
                News::Starting(stage) => self.say(stage),
                News::Ready(facts, opening) => {
                    self.put(0, &opening, Duration::ZERO)?;
                    self.room.status.send_modify(|status| {
                        (status.world, status.text) = (Some(facts.name), String::new());
                    });
                }
                News::Notice(text) => self.tell_pages(text),
                News::Ended(ended) => return Ok(Some(ended)),
            }
        }
        let recording = self.walk.gate.recording();
        self.room.status.send_if_modified(|status| {
            std::mem::replace(&mut status.recording, recording) != recording
        });
        Ok(None)
    }

    fn say(&self, text: String) {
        tracing::info!("{text}");
        self.tell_pages(text);
    }

    fn tell_pages(&self, text: String) {
        self.room.status.send_modify(|status| status.text = text);
    }

    /// Pauses the walk while the player wants that, or nobody is there.
    fn rest(&mut self) {
        let wanted = {
            let status = self.status.borrow_and_update();
            status.paused || status.pages == 0
        };
        if wanted != self.show.paused() {
            self.show.toggle_pause(&self.walk);
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Next => self.show.step(&self.walk),
            Command::Record => _ = self.walk.gate.toggle_recording(),
            Command::Bookmark => self.walk.gate.wish(Wish::Bookmark),
            Command::GoBack => self.walk.gate.wish(Wish::GoBack),
        }
    }

    /// Puts a frame where pages find it; `age` is the time since a touch asked for it, else since the controls were
    /// sampled.
    fn put(&self, number: u64, frame: &Frame, age: Duration) -> Result<()> {
        let picture = Picture { number, bytes: encode(number, frame, age)?.into() };
        self.room.pictures.send_replace(Some(picture));
        Ok(())
    }
}

/// A picture as a page reads it: its number (8 bytes), its age in microseconds (4 bytes), both with the least byte
/// first, and a JPEG.
fn encode(number: u64, frame: &Frame, age: Duration) -> Result<Vec<u8>> {
    let age = u32::try_from(age.as_micros()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(12 + frame.pixels.len() / 4);
    bytes.extend(number.to_le_bytes());
    bytes.extend(age.to_le_bytes());
    let (width, height) = (u16::try_from(frame.width)?, u16::try_from(frame.height)?);
    let mut encoder = Encoder::new(&mut bytes, QUALITY);
    // Small pictures are shown large: colours at half the size would be seen.
    encoder.set_sampling_factor(SamplingFactor::F_1_1);
    encoder
        .encode(&frame.pixels, width, height, ColorType::Rgb)
        .with_context(|| format!("encode a picture of {width} x {height}"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_its_number_its_age_and_a_jpeg_of_its_size() {
        let frame = Frame::filled(20, 10, [200, 30, 30]);
        let bytes = encode(7, &frame, Duration::from_millis(40)).unwrap();
        assert_eq!(bytes[..12], [7, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x9c, 0, 0]);
        let jpeg = &bytes[12..];
        assert!(jpeg.starts_with(&[0xff, 0xd8]) && jpeg.ends_with(&[0xff, 0xd9]));
        // The frame header: its length, 8 bits, then height and width.
        let at = jpeg.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
        assert_eq!(jpeg[at + 4..at + 9], [8, 0, 10, 0, 20]);
    }
}
