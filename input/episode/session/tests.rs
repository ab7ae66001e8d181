//! Tests of recording and reading back, whole and damaged.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{Episode, Frame, episodes_in};

const FPS: f32 = 10.0;

fn header() -> SessionHeader {
    SessionHeader {
        format: SESSION_FORMAT.to_owned(),
        world: "mazes".to_owned(),
        world_hash: "00ff".to_owned(),
        seed: u64::MAX,
        width: 64,
        height: 48,
        fps: FPS,
        layout: ActionLayout { turn_degrees: 15.0, ..<_>::default() },
        settings: json!({"evaluations": 2}),
        created: "2026-11-21T06:00:00Z".to_owned(),
    }
}

/// A slow gradient with a square that moves, so that pictures differ and compress like play.
fn frame(t: u32) -> Frame {
    let pixel = |i: u32| {
        let (x, y) = (i % 64, i / 64);
        // Even places: the halved colour planes then have no edge to blur.
        let inside = (2 * t..2 * t + 12).contains(&x) && (10..30).contains(&y);
        let gradient = u8::try_from(60 + x + y).expect("at most 171");
        if inside { [220, 60, 40] } else { [gradient, 120, 200 - gradient] }
    };
    Frame { width: 64, height: 48, pixels: (0..64 * 48).flat_map(pixel).collect() }
}

fn record(t: u32) -> FrameRecord {
    FrameRecord {
        tick: u64::from(t),
        section: u64::from(t),
        action: Action { turn: 1.0 / (1.0 + t as f32), ..Action::NEUTRAL },
        frame_sha256: "ab".repeat(32),
        device_time_us: u64::from(t) * 100_000,
        present_time_us: t.is_multiple_of(2).then_some(7),
        plan: Account::from(&json!([[3, 4], [5]])),
    }
}

fn write(dir: &Path, frames: u32) {
    let mut writer = SessionWriter::create(dir, &header()).expect("the folder is new");
    for t in 0..frames {
        writer.push(&frame(t), &record(t)).expect("the disk has room");
    }
    assert_eq!(writer.finish().expect("the disk has room"), u64::from(frames));
}

fn psnr(a: &[u8], b: &[u8]) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum::<f64>();
    10.0 * (255.0 * 255.0 / (squares / a.len() as f64)).log10()
}

#[test]
fn what_was_recorded_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("session");
    write(&dir, 25);
    let reader = SessionReader::open(&dir).unwrap();
    assert_eq!(reader.header(), &header());
    assert_eq!(reader.records(), (0..25).map(record).collect::<Vec<_>>());
    let episode = Episode::open(&dir).unwrap();
    assert_eq!((episode.len(), episode.fps), (25, FPS));
    assert_eq!(episode.actions[3], record(3).action);
    for t in 0..25 {
        let quality = psnr(episode.frame(t as usize), &frame(t).pixels);
        // The neighbouring picture is at 18 dB, so that a shift by one frame cannot pass.
        assert!(quality > 38.0, "frame {t}: {quality} dB");
    }
    assert_eq!(episodes_in(dir.parent().unwrap()).unwrap(), [dir]);
}

#[test]
fn a_folder_with_a_session_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 2);
    let message = SessionWriter::create(dir.path(), &header()).unwrap_err().to_string();
    assert!(message.contains("expected a new folder"), "{message}");
}

#[test]
fn odd_sizes_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let message = SessionWriter::create(dir.path(), &SessionHeader { width: 63, ..header() });
    assert!(message.unwrap_err().to_string().contains("even sides"));
    assert!(!dir.path().join(HEADER_FILE).exists());
}

#[test]
fn a_crash_loses_at_most_the_last_second() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = SessionWriter::create(dir.path(), &header()).unwrap();
    for t in 0..25 {
        writer.push(&frame(t), &record(t)).unwrap();
    }
    // Forgetting the writer leaves the files as a killed process does.
    std::mem::forget(writer);
    assert_eq!(Episode::open(dir.path()).unwrap().len(), 20);
}

#[test]
fn a_cut_last_line_is_left_out_and_a_bad_line_is_named() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 4);
    let path = dir.path().join(FRAMES_FILE);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() - 10]).unwrap();
    assert_eq!(Episode::open(dir.path()).unwrap().len(), 3);
    fs::write(&path, text.replacen("\"tick\":1", "\"tick\":-1", 1)).unwrap();
    let message = SessionReader::open(dir.path()).unwrap_err().to_string();
    assert!(message.contains("frames.jsonl, line 2"), "{message}");
}

#[test]
fn a_video_of_another_size_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 2);
    let other = SessionHeader { width: 128, ..header() };
    fs::write(dir.path().join(HEADER_FILE), serde_json::to_vec(&other).unwrap()).unwrap();
    let message = Episode::open(dir.path()).unwrap_err().to_string();
    assert!(message.contains("baseline video of 128x48"), "{message}");
    assert!(message.contains("video.mp4, byte"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Damage anywhere in the three files is an error or leaves a valid episode.
    #[test]
    fn damaged_sessions_never_panic(
        file in prop::sample::select(vec![HEADER_FILE, VIDEO_FILE, FRAMES_FILE]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), 6);
        let path = dir.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        fs::write(&path, bytes).unwrap();
        match Episode::open(dir.path()) {
            Ok(episode) => prop_assert!(episode.checked().is_ok()),
            Err(error) => prop_assert!(error.to_string().contains(dir.path().to_str().unwrap())),
        }
    }
}
