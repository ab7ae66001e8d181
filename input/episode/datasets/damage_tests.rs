//! Damaged files of public data sets: an error or a valid episode, never a panic or memory without bounds.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::{Recording, episodes_in};
use super::tests::fixture;

/// What is done to a file: bytes that are replaced, and where it is cut off.
type Damage = (Vec<(Part, Index, u8)>, Option<Index>);

/// Where in a file; what says how much there is stands at its ends.
#[derive(Clone, Copy, Debug)]
enum Part {
    Any,
    Beginning,
    End,
}

/// Bytes at either end that are damaged more often than others.
const ENDS: usize = 2048;

fn damage() -> impl Strategy<Value = Damage> {
    let part = prop_oneof![Just(Part::Any), Just(Part::Beginning), Just(Part::End)];
    // Counts that are as large as they can be do most harm.
    let value = prop_oneof![3 => any::<u8>(), 1 => Just(0xFF)];
    let bytes = prop::collection::vec((part, any::<Index>(), value), 1..8);
    (bytes, prop::option::weighted(0.3, any::<Index>()))
}

/// Copies a folder of fixtures, one file of it damaged, and reads all that is still found there.
fn read_damaged(folder: &str, file: &str, (bytes, cut): &Damage) {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    copy(&fixture(folder), dir.path());
    let path = dir.path().join(file);
    let mut content = fs::read(&path).expect("the fixture has this file");
    let length = content.len();
    for (part, at, value) in bytes {
        let at = match part {
            Part::Any => at.index(length),
            Part::Beginning => at.index(length.min(ENDS)),
            Part::End => length - 1 - at.index(length.min(ENDS)),
        };
        content[at] = *value;
    }
    if let Some(cut) = cut {
        content.truncate(cut.index(content.len()));
    }
    fs::write(&path, content).expect("the disk has room");
    for episode in episodes_in(dir.path()).unwrap_or_default().iter().take(4) {
        read_all(episode);
    }
}

fn read_all(episode: &Path) {
    match Recording::open(episode).and_then(Recording::into_episode) {
        Ok(read) => assert!(read.checked().is_ok()),
        Err(error) => assert!(error.to_string().contains(": "), "{error}"),
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("the fixture is there") {
        let entry: PathBuf = entry.expect("it can be listed").path();
        let target = to.join(entry.file_name().expect("an entry has a name"));
        if entry.is_dir() {
            fs::create_dir_all(&target).expect("the disk has room");
            copy(&entry, &target);
        } else {
            fs::copy(&entry, &target).expect("the disk has room");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn vpt(damage in damage(), lines: bool) {
        let file = if lines { "cheeky-cornflower-1.jsonl" } else { "cheeky-cornflower-1.mp4" };
        read_damaged("vpt", file, &damage);
    }

    #[test]
    fn loopnav(damage in damage(), poses: bool) {
        let file = if poses { "04-01_10-00-00.json" } else { "04-01_10-00-00.avi" };
        read_damaged("loopnav", file, &damage);
    }

    #[test]
    fn game_factory(damage in damage()) {
        read_damaged("game_factory", "metadata/seed_1_part_1.json", &damage);
    }

    #[test]
    fn worldmem(damage in damage()) {
        read_damaged("worldmem_h264", "000000.npz", &damage);
    }

    #[test]
    fn counter_strike(damage in damage()) {
        read_damaged("counter_strike", "hdf5_dm_july2021_1.hdf5", &damage);
    }

    #[test]
    fn minari(damage in damage(), jpeg: bool) {
        let folder = if jpeg { "minari_steer" } else { "minari_walk" };
        read_damaged(folder, "main_data.hdf5", &damage);
    }

    #[test]
    fn minaris_description(damage in damage()) {
        read_damaged("minari_walk", "metadata.json", &damage);
    }

    #[test]
    fn lerobot(damage in damage(), file in 0_usize..5) {
        let files = [
            "meta/info.json",
            "meta/stats.json",
            "meta/episodes/chunk-000/file-000.parquet",
            "data/chunk-000/file-000.parquet",
            "videos/observation.images.front/chunk-000/file-000.mp4",
        ];
        read_damaged("lerobot", files[file], &damage);
    }
}
