//! What the walk and the pages share: the newest picture, how things stand, who steers.

use axum::body::Bytes;
use tokio::sync::{mpsc, watch};

use super::controls::Controls;
use super::message::{Said, Told};

/// Most pages at once.
pub(super) const PAGES_MAX: usize = 32;
/// Commands that may wait for the walk; more are left out, and can be given again.
const COMMANDS: usize = 16;

/// A picture on its way to every page.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    /// Count of frames since the walk began.
    pub(super) number: u64,
    /// A header of 12 bytes, then a JPEG.
    pub(super) bytes: Bytes,
}

/// How things stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Status {
    /// The world's name, once it is open.
    pub(super) world: Option<String>,
    /// What the player should read.
    pub(super) text: String,
    /// The page that steers.
    player: Option<u64>,
    /// Pages that are open.
    pub(super) pages: usize,
    /// The player wants a pause.
    pub(super) paused: bool,
    /// The walk is recorded.
    pub(super) recording: bool,
    /// No more frames will come.
    pub(super) over: bool,
    /// Pages that ever were.
    arrived: u64,
}

/// What a page asks of the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Next,
    Record,
    Bookmark,
    GoBack,
}

/// Where the walk and the pages meet.
///
/// Both watches hold one value: the newest wins, so that no page can hold up the walk or another page.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) pictures: watch::Sender<Option<Picture>>,
    pub(super) status: watch::Sender<Status>,
    commands: mpsc::Sender<Command>,
    controls: Controls,
}

impl Room {
    /// An empty room, and the commands that will be given in it.
    pub(super) fn new(controls: Controls) -> (Self, mpsc::Receiver<Command>) {
        let (commands, given) = mpsc::channel(COMMANDS);
        let (pictures, status) = (watch::Sender::default(), watch::Sender::default());
        (Self { pictures, status, commands, controls }, given)
    }

    /// A page opens: its number, or `None` when there are too many. The first one steers.
    pub(super) fn arrive(&self) -> Option<u64> {
        let mut page = None;
        self.status.send_if_modified(|status| {
            if status.pages == PAGES_MAX || status.over {
                return false;
            }
            status.pages += 1;
            status.arrived += 1;
            page = Some(status.arrived);
            status.player = status.player.or(page);
            true
        });
        page
    }

    /// A page is gone; when it was the player's, the place is free.
    pub(super) fn leave(&self, page: u64) {
        self.status.send_modify(|status| {
            status.pages -= 1;
            if status.player == Some(page) {
                status.player = None;
                status.paused = false;
                self.controls.release();
            }
        });
    }

    /// Does what a page says, if it steers; a free place is taken by the first to say something.
    pub(super) fn obey(&self, page: u64, said: &Said) {
        // A page that lets go of everything does not ask to steer.
        let asks = !matches!(said, Said::Release {} | Said::Pause { .. } | Said::Pad { .. })
            || said.pad().is_some_and(|pad| pad != input::PadState::default());
        self.status.send_if_modified(|status| {
            let takes = asks && status.player.is_none();
            if takes {
                status.player = Some(page);
            }
            takes
        });
        if self.status.borrow().player != Some(page) {
            return;
        }
        said.touched_before().into_iter().for_each(|before| self.controls.note_touch(before));
        match *said {
            Said::Key { key, down, .. } => self.controls.key(key, down),
            Said::Look { right, down, .. } => self.controls.look(right, down),
            Said::Pad { .. } => self.controls.hold(said.pad().unwrap_or_default()),
            Said::Release {} => self.controls.release(),
            Said::Pause { paused } => {
                self.controls.forget_touches();
                self.status.send_modify(|status| status.paused = paused);
            }
            Said::Next {} => self.command(Command::Next),
            Said::Record {} => self.command(Command::Record),
            Said::Bookmark {} => self.command(Command::Bookmark),
            Said::GoBack {} => self.command(Command::GoBack),
            Said::Seen { .. } | Said::Ping { .. } => {}
        }
    }

    fn command(&self, command: Command) {
        // Whoever gives commands faster than frames are made has to press again.
        let _ = self.commands.try_send(command);
    }
}

impl Status {
    /// The status as page `page` is told it.
    pub(super) fn told(&self, page: u64) -> Told<'_> {
        Told::Status {
            world: self.world.as_deref(),
            text: &self.text,
            steering: self.player == Some(page),
            free: self.player.is_none(),
            pages: self.pages,
            paused: self.paused,
            recording: self.recording,
            over: self.over,
        }
    }
}

#[cfg(test)]
mod tests {
    use input::{ActionLayout, Key};

    use super::*;
    use crate::stream::Steer as _;

    #[test]
    fn one_page_steers_and_its_place_is_free_once_it_is_gone() {
        let (controls, mut hand) = Controls::new(&ActionLayout::default());
        let (room, mut commands) = Room::new(controls);
        let (first, second) = (room.arrive().unwrap(), room.arrive().unwrap());
        let walk = Said::Key { key: Key::W, down: true, ago: 0.0 };
        room.obey(second, &walk);
        room.obey(second, &Said::Record {});
        assert_eq!(hand.poll(1)[0].forward, 0.0, "a spectator steers nothing");
        assert!(commands.try_recv().is_err(), "and commands nothing");
        room.obey(first, &walk);
        assert_eq!(hand.poll(1)[0].forward, 1.0);
        room.obey(first, &Said::Pause { paused: true });
        assert!(room.status.borrow().paused);

        room.leave(first);
        assert_eq!(hand.poll(1)[0].forward, 0.0, "what the player held is let go");
        assert!(!room.status.borrow().paused);
        room.obey(second, &Said::Release {});
        assert!(room.status.borrow().player.is_none(), "letting go takes no place");
        room.obey(second, &walk);
        room.obey(second, &Said::Next {});
        assert_eq!(hand.poll(1)[0].forward, 1.0, "the first to press a key steers");
        assert_eq!(commands.try_recv(), Ok(Command::Next));
    }

    #[test]
    fn pages_and_commands_are_limited() {
        let (controls, _hand) = Controls::new(&ActionLayout::default());
        let (room, mut commands) = Room::new(controls);
        let pages: Vec<_> = (0..PAGES_MAX).map(|_| room.arrive().unwrap()).collect();
        assert_eq!(room.arrive(), None);
        room.leave(pages[3]);
        assert!(room.arrive().is_some());
        for _ in 0..100 {
            room.obey(pages[0], &Said::Bookmark {});
        }
        let waiting = std::iter::from_fn(|| commands.try_recv().ok()).count();
        assert_eq!(waiting, COMMANDS);
    }
}
