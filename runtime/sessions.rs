//! What was recorded, listed.

use std::fs;
use std::path::{Path, PathBuf};

use input::{Frame, SessionReader};

use crate::picture::small;

/// Most sessions that are told; they are the newest.
const MOST: usize = 60;

/// A recorded session.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its folder.
    pub dir: PathBuf,
    /// What it holds, or why that cannot be read.
    pub held: Result<Held, String>,
}

/// What a session holds.
#[derive(Clone, Debug)]
pub struct Held {
    /// The world it was recorded in.
    pub world: String,
    /// When recording began, RFC 3339.
    pub created: String,
    /// Seconds of play.
    pub seconds: f32,
    /// Its first picture, if the video gives one.
    pub picture: Option<Frame>,
}

/// Tells the sessions in `folder`, the newest first, one after the other; reading each takes a while.
pub fn list(folder: &Path, tell: impl FnMut(Listed)) {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut dirs: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    // Names begin with the date.
    dirs.sort_by(|a, b| b.cmp(a));
    let sessions = dirs.into_iter().filter(|dir| dir.join("session.json").is_file()).take(MOST);
    sessions.map(look).for_each(tell);
}

fn look(dir: PathBuf) -> Listed {
    let held = SessionReader::open(&dir).map(|session| {
        let header = session.header();
        #[expect(clippy::cast_precision_loss, reason = "seconds to be read")]
        let seconds = session.records().len() as f32 / header.fps;
        Held {
            world: header.world.clone(),
            created: header.created.clone(),
            seconds,
            picture: session.video().ok().and_then(|mut video| video.next()?.ok()).map(small),
        }
    });
    Listed { dir, held: held.map_err(|error| error.to_string()) }
}

#[cfg(test)]
pub(crate) mod tests {
    use input::{
        Account, Action, ActionLayout, FrameRecord, SESSION_FORMAT, SessionHeader, SessionWriter,
    };

    use super::*;

    /// Records 25 frames, each a little brighter than the one before.
    pub(crate) fn record(dir: &Path, created: &str) {
        let header = SessionHeader {
            format: SESSION_FORMAT.into(),
            world: "rooms".into(),
            world_hash: String::new(),
            seed: 1,
            width: 32,
            height: 16,
            fps: 10.0,
            layout: ActionLayout::default(),
            settings: serde_json::Value::Null,
            created: created.into(),
        };
        let mut writer = SessionWriter::create(dir, &header).unwrap();
        for tick in 0..25_u8 {
            let record = FrameRecord {
                tick: tick.into(),
                section: tick.into(),
                action: Action::NEUTRAL,
                frame_sha256: String::new(),
                device_time_us: 0,
                present_time_us: None,
                plan: Account::default(),
            };
            writer.push(&Frame::filled(32, 16, [50 + 8 * tick, 40, 40]), &record).unwrap();
        }
        writer.finish().unwrap();
    }

    #[test]
    fn sessions_are_told_newest_first_with_their_length_and_first_picture() {
        let dir = tempfile::tempdir().unwrap();
        record(&dir.path().join("2026-01-01T00-00-00Z"), "2026-01-01T00:00:00Z");
        record(&dir.path().join("2026-01-02T00-00-00Z"), "2026-01-02T00:00:00Z");
        fs::create_dir(dir.path().join("something else")).unwrap();
        fs::create_dir(dir.path().join("2025")).unwrap();
        fs::write(dir.path().join("2025/session.json"), "{").unwrap();
        let mut told = Vec::new();
        list(dir.path(), |session| told.push(session));
        assert_eq!(told.len(), 3);
        let held = told[0].held.as_ref().unwrap();
        assert_eq!((held.world.as_str(), held.created.as_str()), ("rooms", "2026-01-02T00:00:00Z"));
        assert_eq!(held.seconds, 2.5);
        let picture = held.picture.as_ref().unwrap();
        assert_eq!((picture.width, picture.height), (32, 16));
        assert!((40..60).contains(&picture.pixels[0]), "it is the first: {}", picture.pixels[0]);
        assert!(told[2].held.as_ref().unwrap_err().contains("session.json"));
        list(&dir.path().join("nowhere"), |_| panic!("there is none"));
    }
}
