//! Pictures of the world, kept as files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use input::Frame;

use crate::tape::free_name;
use crate::{date, picture};

/// Writes `frame` at its own size into `folder`, which is made, under a name that nothing has; says where it is.
///
/// # Errors
/// When folder or file cannot be written; it is named.
pub fn save(frame: &Frame, folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let path = folder.join(free_name(&date::now(), ".png", folder));
    picture::write(&path, &frame.pixels, (frame.width, frame.height))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_picture_has_a_file_of_its_own_and_keeps_every_pixel() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("pictures");
        let frames = [1, 2, 3].map(|shade| Frame::filled(5, 4, [shade, 100, 200]));
        let paths = frames.each_ref().map(|frame| save(frame, &folder).unwrap());
        for (frame, path) in frames.iter().zip(&paths) {
            assert_eq!(crate::start::read(path).unwrap(), *frame, "{}", path.display());
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
        assert!(paths[0].extension().is_some_and(|extension| extension == "png"));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("taken");
        fs::write(&file, "").unwrap();
        let error = format!("{:#}", save(&Frame::filled(1, 1, [0; 3]), &file).unwrap_err());
        assert!(error.starts_with("make ") && error.contains("taken"), "{error}");
    }
}
