//! Writer of the recorder's `.npz` layout.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::npz_layout::{Meta, RECORDER_FORMAT};
use super::{Episode, EpisodeError, npy};
use crate::Pose;

/// Level 3 of zlib is twice as fast as the usual 6 and gives files a few per cent larger.
const COMPRESSION_LEVEL: i64 = 3;

/// Writes `episode` to `path` in the recorder's layout, compressed without loss. The file appears
/// whole or not at all.
///
/// # Errors
/// When the episode does not fit together or the file cannot be written.
pub fn write_npz(episode: &Episode, path: &Path) -> Result<(), EpisodeError> {
    let half_done = temporary_beside(path);
    let written = write_whole(episode, &half_done).and_then(|()| fs::rename(&half_done, path));
    written.map_err(|error| {
        // Nothing more can be done when even this fails; the first error is the one to report.
        let _ = fs::remove_file(&half_done);
        EpisodeError::io("write", path, error)
    })
}

/// A name in the same folder, so that the rename stays within one file system.
fn temporary_beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}

fn write_whole(episode: &Episode, path: &Path) -> io::Result<()> {
    let frames = episode.len();
    let (height, width) = (episode.height as usize, episode.width as usize);
    let mut zip = ZipWriter::new(BufWriter::new(File::create(path)?));
    let axes = episode.actions.iter().flat_map(|action| action.axes().map(f32::to_le_bytes));
    let buttons = episode.actions.iter().flat_map(|action| action.buttons.0.to_le_bytes());
    let meta = Meta {
        format: RECORDER_FORMAT.to_owned(),
        fps: episode.fps,
        layout: episode.layout.clone(),
        source: episode.source.clone(),
    };
    let meta = serde_json::to_vec(&meta)?;
    put(&mut zip, "meta", ("|u1", &[meta.len()]), &meta)?;
    put(&mut zip, "video", ("|u1", &[frames, height, width, 3]), &episode.video)?;
    put(&mut zip, "actions", ("<f4", &[frames, 4]), &axes.flatten().collect::<Vec<u8>>())?;
    put(&mut zip, "buttons", ("<u4", &[frames]), &buttons.collect::<Vec<u8>>())?;
    if let Some(poses) = &episode.poses {
        put(&mut zip, "pose", ("<f4", &[frames, 3]), &pose_bytes(poses))?;
    }
    let file = zip.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()
}

fn pose_bytes(poses: &[Pose]) -> Vec<u8> {
    poses.iter().flat_map(|p| [p.x, p.y, p.yaw].map(f32::to_le_bytes)).flatten().collect()
}

fn put(
    zip: &mut ZipWriter<BufWriter<File>>,
    name: &str,
    (descr, shape): (&str, &[usize]),
    bytes: &[u8],
) -> io::Result<()> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(COMPRESSION_LEVEL));
    zip.start_file(format!("{name}.npy"), options)?;
    zip.write_all(&npy::write_header(descr, shape))?;
    zip.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn written_clips_read_back_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npz");
        let episode = sample();
        write_npz(&episode, &path).unwrap();
        assert_eq!(Episode::open(&path).unwrap(), episode);
        let names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["a.npz"], "no half-done file stays");
    }

    #[test]
    fn poses_may_be_missing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npz");
        let episode = Episode { poses: None, ..sample() };
        write_npz(&episode, &path).unwrap();
        assert_eq!(Episode::open(&path).unwrap(), episode);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let message = write_npz(&sample(), Path::new("missing/a.npz")).unwrap_err().to_string();
        assert!(message.contains("missing/a.npz"), "{message}");
    }
}
