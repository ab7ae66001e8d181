//! Finding recorded play in folders.

use std::fs;
use std::path::{Path, PathBuf};

use super::{EpisodeError, beside, datasets, session};

/// Folders below the one searched; deeper ones are more likely a loop than a data set.
const MAX_DEPTH: u32 = 32;

/// Every episode at or below `dir`, sorted: files of the known kinds and folders of sessions. An episode inside a
/// larger file or data set has a path of its own, `main_data.hdf5/episode_3`, that [`super::Recording::open`] knows.
///
/// # Errors
/// When a folder cannot be listed, or a data set's list of episodes cannot be read.
pub fn episodes_in(dir: &Path) -> Result<Vec<PathBuf>, EpisodeError> {
    let mut found = Vec::new();
    if dir.is_dir() {
        collect(dir, 0, &mut found)?;
        found.sort();
    } else if !datasets::list_inside(dir, &mut found)? {
        if !dir.exists() && datasets::open(dir).is_none() {
            return Err(EpisodeError::invalid("a file or folder", "none", dir.display()));
        }
        found.push(dir.to_owned());
    }
    Ok(found)
}

fn collect(dir: &Path, depth: u32, found: &mut Vec<PathBuf>) -> Result<(), EpisodeError> {
    if depth > MAX_DEPTH {
        let expected = format!("at most {MAX_DEPTH} folders inside each other");
        return Err(EpisodeError::invalid(&expected, "more", dir.display()));
    }
    if dir.join(session::HEADER_FILE).is_file() {
        found.push(dir.to_owned());
        return Ok(());
    }
    if datasets::list_inside(dir, found)? {
        return Ok(());
    }
    for entry in fs::read_dir(dir).map_err(|e| EpisodeError::io("list", dir, e))? {
        let path = entry.map_err(|e| EpisodeError::io("list", dir, e))?.path();
        if path.is_dir() {
            collect(&path, depth + 1, found)?;
        } else if !datasets::list_inside(&path, found)? && is_episode(&path) {
            found.push(path);
        }
    }
    Ok(())
}

/// Whether a file is an episode, by its name and those beside it.
fn is_episode(path: &Path) -> bool {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("npz" | "hdf5" | "h5") => true,
        Some("jsonl") => beside(path, "mp4").is_some(),
        Some("json") => {
            beside(path, "avi").is_some() || datasets::game_factory_video(path).is_some()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn episodes_are_found_in_folders_below_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["b/c", "video", "metadata"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let files = [
            "b/c/2.npz",
            "b/1.npz",
            "a.npz",
            "b/readme.txt",
            "v.mp4",
            "v.jsonl",
            "alone.jsonl",
            "w.avi",
            "w.json",
            "notes.json",
            "c.hdf5",
            "video/seed_1_part_1.mp4",
            "metadata/seed_1_part_1.json",
            "metadata/other.json",
        ];
        for name in files {
            fs::write(dir.path().join(name), b"").unwrap();
        }
        let found = episodes_in(dir.path()).unwrap();
        let wanted = [
            "a.npz",
            "b/1.npz",
            "b/c/2.npz",
            "c.hdf5",
            "metadata/seed_1_part_1.json",
            "v.jsonl",
            "w.json",
        ];
        assert_eq!(found, wanted.map(|name| dir.path().join(name)));
        assert_eq!(episodes_in(&found[0]).unwrap(), [found[0].clone()]);
        assert!(episodes_in(&dir.path().join("missing")).is_err());
    }
}
