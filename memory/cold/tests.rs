//! Memory on disk against a naive list, and against files that are not what they should be.

mod hostile;
mod kill;
mod model;
mod play;

use std::path::{Path, PathBuf};

use super::*;

const SHAPE: FeatureShape = FeatureShape { rows: 3, columns: 4, channels: 12 };

fn header() -> Header {
    Header { world: "doom rooms".to_owned(), weights: [0xab; 32], shape: SHAPE, action: 2 }
}

/// Bytes of a run of `frames` frames without poses.
fn weight(frames: usize) -> u64 {
    u64::try_from(9 + frames * (9 + 2 * 4 + SHAPE.values() * 2)).unwrap()
}

fn new_run(frames: usize, value: u16, pinned: bool) -> NewRun {
    let frame = |at: usize| ColdFrame {
        tick: 10 * u64::from(value) + at as u64,
        latent: vec![value % 0x7c00; SHAPE.values()].into(),
        action: [f32::from(value), at as f32].into(),
        pose: None,
    };
    NewRun { frames: (0..frames).map(frame).collect(), kept_at: u64::from(value), pinned }
}

fn open(path: &Path, budget_bytes: u64) -> Cold {
    let Opened { cold, aside } = Cold::open(path, &header(), budget_bytes).unwrap();
    assert!(aside.is_none(), "{aside:?}");
    cold
}

/// A folder that is removed in the end, and a file in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(header().file_name());
    (folder, path)
}
