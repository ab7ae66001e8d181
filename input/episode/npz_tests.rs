//! Tests of the `.npz` reader: clips made by `NumPy` itself (`fixtures/make.py`), and hostile ones.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use zip::write::SimpleFileOptions;

use super::*;
use crate::Buttons;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("episode/fixtures").join(name)
}

fn axes(episode: &Episode) -> Vec<[f32; 4]> {
    episode.actions.iter().map(Action::axes).collect()
}

#[test]
fn the_recorders_clips_are_read() {
    let episode = Episode::open(&fixture("recorder.npz")).unwrap();
    assert_eq!((episode.width, episode.height, episode.len()), (8, 6, 4));
    assert_eq!(episode.frame(1)[..3], [144, 145, 146]);
    let wanted = [[0.0; 4], [0.5, 1.0, 0.0, 0.0], [-1.0, 0.0, 0.25, 0.0], [1.0, 1.0, 1.0, 0.0]];
    assert_eq!(axes(&episode), wanted);
    assert_eq!(episode.poses.unwrap()[2], Pose { x: 0.0, y: 2.0, yaw: 96.0 });
    assert_eq!((episode.fps, episode.layout.turn_degrees), (17.5, 12.0));
    assert_eq!(episode.source, "vizdoom my_way_home");
}

#[test]
fn tecos_minecraft_actions_become_axes() {
    let episode = Episode::open(&fixture("teco_minecraft.npz")).unwrap();
    let (ahead, left, right) = ([0.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]);
    assert_eq!(axes(&episode), [[0.0; 4], ahead, left, right, [0.0; 4]]);
    assert_eq!(episode.actions[1].buttons, Buttons::NONE.with(0));
    assert_eq!(episode.layout.turn_degrees, 20.0);
    assert_eq!(episode.layout.buttons, ["jump"]);
}

#[test]
fn tecos_dmlab_actions_become_buttons() {
    let episode = Episode::open(&fixture("teco_dmlab.npz")).unwrap();
    let pressed: Vec<u32> = episode.actions.iter().map(|action| action.buttons.0).collect();
    // Nothing was applied before the first frame, whatever the clip says there.
    assert_eq!(pressed, [0, 0b001, 0b010]);
    assert_eq!(episode.layout.buttons.len(), 3);
}

#[test]
fn memory_mazes_actions_and_directions_are_converted() {
    let episode = Episode::open(&fixture("memory_maze.npz")).unwrap();
    let wanted = [[0.0; 4], [0.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]];
    assert_eq!(axes(&episode), wanted);
    let yaws: Vec<f32> = episode.poses.unwrap().iter().map(|pose| pose.yaw).collect();
    assert_eq!(yaws, [90.0, 90.0, 180.0, 0.0]);
}

#[test]
fn fortran_order_is_refused_with_the_remedy() {
    let message = Episode::open(&fixture("fortran.npz")).unwrap_err().to_string();
    assert!(
        message.contains("ascontiguousarray") && message.contains("array `video`"),
        "{message}"
    );
}

/// Writes a clip from (name, type, shape, bytes) and opens it.
fn open(arrays: &[(&str, &str, &[usize], &[u8])]) -> String {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let path = dir.path().join("clip.npz");
    let mut zip = zip::ZipWriter::new(fs::File::create(&path).expect("it is writable"));
    for (name, descr, shape, bytes) in arrays {
        let start = zip.start_file(format!("{name}.npy"), SimpleFileOptions::default());
        start.expect("names differ");
        zip.write_all(&npy::write_header(descr, shape)).expect("the disk has room");
        zip.write_all(bytes).expect("the disk has room");
    }
    zip.finish().expect("the disk has room");
    match Episode::open(&path) {
        Ok(episode) => format!("{} frames", episode.len()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn clips_that_do_not_fit_are_refused_by_array() {
    let pixels: &[u8] = &[0; 2 * 2 * 3 * 2];
    let video = ("video", "|u1", &[2, 2, 2, 3][..], pixels);
    type Array<'a> = (&'a str, &'a str, &'a [usize], &'a [u8]);
    let cases: [(&[Array<'_>], &str); 8] = [
        (&[video, ("actions", "|u1", &[2], &[0, 2])], "2 frames"),
        (&[video], "arrays `video`, `actions`, `meta`"),
        (&[video, ("actions", "|u1", &[3], &[0, 0, 0])], "array `actions`"),
        (&[video, ("actions", "|u1", &[2], &[0, 4])], "actions 0 to 2"),
        (&[video, ("actions", "<f4", &[2], &[0; 8])], "expected whole numbers, got F32"),
        (&[("video", "|u1", &[2, 12], pixels), video_actions()], "[frames, height, width, 3]"),
        (&[("video", "|u1", &[9, 2, 2, 3], pixels), video_actions()], "[9, 2, 2, 3] in an entry"),
        (&[("video", "|u1", &[1 << 20, 96, 128, 3], &[]), video_actions()], "at most 1073741824"),
    ];
    for (arrays, wanted) in cases {
        let got = open(arrays);
        assert!(got.contains(wanted), "{wanted}: {got}");
    }
}

fn video_actions() -> (&'static str, &'static str, &'static [usize], &'static [u8]) {
    ("actions", "|u1", &[2], &[0, 0])
}

#[test]
fn a_stated_size_that_the_bytes_cannot_yield_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bomb.npz");
    let header = npy::write_header("|u1", &[100, 96, 128, 3]);
    let stated = u32::try_from(header.len() + 100 * 96 * 128 * 3).unwrap();
    let mut zip = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    zip.start_file("video.npy", SimpleFileOptions::default()).unwrap();
    zip.write_all(&header).unwrap();
    zip.start_file("actions.npy", SimpleFileOptions::default()).unwrap();
    zip.finish().unwrap();
    // The size of the first entry, in the central directory, is made to agree with the shape.
    let mut bytes = fs::read(&path).unwrap();
    let directory = bytes.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    bytes[directory + 24..directory + 28].copy_from_slice(&stated.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    let message = Episode::open(&path).unwrap_err().to_string();
    assert!(message.contains("stated for"), "{message}");
}

static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    fs::read(fixture("recorder.npz")).expect("the fixture lies in the repository")
});

proptest! {
    /// Damage anywhere is an error or leaves a valid episode (a byte may be one that nobody reads).
    #[test]
    fn damaged_clips_never_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = WHOLE.clone();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("damaged.npz");
        fs::write(&path, bytes).unwrap();
        if let Ok(episode) = Episode::open(&path) {
            prop_assert!(episode.checked().is_ok());
        }
    }
}
