//! One page's connection: pictures and status out, controls in.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};

use super::message::{Said, Told};
use super::room::{PAGES_MAX, Room};

/// Pictures that may be under way to a page: half a second at 17.5 frames/s, so that a far page with a good line
/// misses none, and what waits in a bad line stays little.
const UNDER_WAY_MAX: usize = 8;
/// How often a page is asked whether it is there.
const BEAT: Duration = Duration::from_secs(5);
/// Beats without a word after which a page counts as gone.
const SILENT_BEATS_MAX: u32 = 3;
/// Longest that one message may take to be handed to the system.
const SENDING_MAX: Duration = Duration::from_secs(10);

/// Keeps a page shown and heard until it is gone.
pub(super) async fn attend(mut socket: WebSocket, room: Arc<Room>) {
    let Some(page) = room.arrive() else {
        let (code, reason) = match room.status.borrow().over {
            true => (close_code::NORMAL, "the walk is over".to_owned()),
            false => (
                close_code::AGAIN,
                format!("{PAGES_MAX} pages are open, no more can be; trying again"),
            ),
        };
        let close = CloseFrame { code, reason: reason.into() };
        let _ = in_time(socket.send(Message::Close(Some(close)))).await;
        return;
    };
    let mut line = Line { socket, under_way: VecDeque::new(), newest: None, left_out: 0 };
    let ended = line.converse(&room, page).await;
    room.leave(page);
    // A page that is gone needs no goodbye.
    let _ = in_time(line.socket.send(Message::Close(None))).await;
    match ended {
        Ok(()) => tracing::debug!("page {page} left, {} frames left out", line.left_out),
        Err(error) => tracing::info!("page {page}: {error:#}"),
    }
}

struct Line {
    socket: WebSocket,
    /// Numbers of pictures that were sent and not yet seen.
    under_way: VecDeque<u64>,
    /// The picture that was sent last.
    newest: Option<u64>,
    /// Frames that were not sent, because the page was not ready for them.
    left_out: u64,
}

impl Line {
    async fn converse(&mut self, room: &Room, page: u64) -> Result<()> {
        let (mut pictures, mut status) = (room.pictures.subscribe(), room.status.subscribe());
        pictures.mark_changed();
        status.mark_changed();
        let mut beat = tokio::time::interval(BEAT);
        let mut silent = 0;
        loop {
            tokio::select! {
                changed = pictures.changed(), if self.under_way.len() < UNDER_WAY_MAX => {
                    changed?;
                    let picture = pictures.borrow_and_update().clone();
                    let Some(picture) = picture else { continue };
                    self.note(picture.number);
                    in_time(self.socket.send(Message::Binary(picture.bytes))).await?;
                }
                changed = status.changed() => {
                    changed?;
                    let (text, over) = {
                        let status = status.borrow_and_update();
                        (serde_json::to_string(&status.told(page))?, status.over)
                    };
                    in_time(self.socket.send(Message::Text(text.into()))).await?;
                    if over {
                        return Ok(());
                    }
                }
                message = self.socket.recv() => {
                    silent = 0;
                    match message.transpose()? {
                        None | Some(Message::Close(_)) => return Ok(()),
                        Some(Message::Text(text)) => self.hear(&text, room, page).await?,
                        Some(Message::Binary(_)) => bail!("expected text, got bytes"),
                        Some(Message::Ping(_) | Message::Pong(_)) => {}
                    }
                }
                _ = beat.tick() => {
                    ensure!(silent < SILENT_BEATS_MAX, "nothing heard for {silent} x {BEAT:?}");
                    silent += 1;
                    in_time(self.socket.send(Message::Ping(Vec::new().into()))).await?;
                }
            }
        }
    }

    async fn hear(&mut self, text: &str, room: &Room, page: u64) -> Result<()> {
        match Said::read(text)? {
            Said::Seen { number } => {
                while self.under_way.front().is_some_and(|&sent| sent <= number) {
                    self.under_way.pop_front();
                }
            }
            Said::Ping { at } => {
                let text = serde_json::to_string(&Told::Pong { at })?;
                in_time(self.socket.send(Message::Text(text.into()))).await?;
            }
            said => room.obey(page, &said),
        }
        Ok(())
    }

    /// Takes note of a picture that is sent.
    fn note(&mut self, number: u64) {
        if let Some(before) = self.newest.replace(number) {
            self.left_out += number.saturating_sub(before + 1);
        }
        self.under_way.push_back(number);
    }
}

/// Waits for the system to take a message, but not for ever.
async fn in_time<E: std::error::Error + Send + Sync + 'static>(
    sending: impl Future<Output = Result<(), E>>,
) -> Result<()> {
    let sent = tokio::time::timeout(SENDING_MAX, sending).await;
    Ok(sent.context("the page takes no more messages")??)
}
