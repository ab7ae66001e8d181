//! Folders of videos, and the questions that they give: two videos from one start, each of another arm.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// The video in a folder that holds one alone, as `oneiro dream` and sessions do.
const VIDEO: &str = "video.mp4";

/// Videos made in one way, by what they begin from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arm {
    /// Name of the folder.
    pub name: String,
    /// Files by the name of their start.
    pub videos: BTreeMap<String, PathBuf>,
}

/// Two videos of one start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// Name of the start.
    pub start: String,
    /// Names of the two arms, in the order of the alphabet.
    pub arms: [String; 2],
    /// Their files.
    pub videos: [PathBuf; 2],
}

impl Arm {
    /// The videos of a folder: `NAME.mp4`, `NAME.avi`, or `NAME/video.mp4`.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn read(dir: &Path) -> Result<Self> {
        let name = dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy().into_owned();
        let video = |path: PathBuf| {
            let inside = path.join(VIDEO);
            if inside.is_file() {
                return Some((path.file_name()?.to_string_lossy().into_owned(), inside));
            }
            let known = path.extension().is_some_and(|ending| ending == "mp4" || ending == "avi");
            (known && path.is_file())
                .then(|| Some((path.file_stem()?.to_string_lossy().into_owned(), path.clone())))?
        };
        let videos = entries(dir)?.into_iter().filter_map(video).collect();
        Ok(Self { name, videos })
    }
}

/// The arms in these folders: each one, or where it is one alone the folders in it.
///
/// # Errors
/// When a folder cannot be listed, holds no video, or has the name of another.
pub fn arms_in(dirs: &[PathBuf]) -> Result<Vec<Arm>> {
    let arms = match dirs {
        [one] => {
            let folders = entries(one)?.into_iter().filter(|path| path.is_dir());
            let arms = folders.map(|path| Arm::read(&path)).collect::<Result<Vec<_>>>()?;
            arms.into_iter().filter(|arm| !arm.videos.is_empty()).collect()
        }
        several => several.iter().map(|dir| Arm::read(dir)).collect::<Result<Vec<_>>>()?,
    };
    let listed = || dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ");
    ensure!(
        arms.len() > 1,
        "expected two folders of videos or more, got {}: {}",
        arms.len(),
        listed()
    );
    if let Some(empty) = arms.iter().find(|arm| arm.videos.is_empty()) {
        anyhow::bail!("expected videos (NAME.mp4 or NAME/{VIDEO}), got none in {}", empty.name);
    }
    let names: BTreeSet<&str> = arms.iter().map(|arm| arm.name.as_str()).collect();
    ensure!(names.len() == arms.len(), "expected folders of different names, got {}", listed());
    Ok(arms)
}

/// Every two videos of one start and different arms.
#[must_use]
pub fn questions(arms: &[Arm]) -> Vec<Question> {
    let mut arms: Vec<&Arm> = arms.iter().collect();
    arms.sort_by_key(|arm| &arm.name);
    let mut all = Vec::new();
    for (at, one) in arms.iter().enumerate() {
        for other in &arms[at + 1..] {
            for (start, video) in &one.videos {
                let Some(beside) = other.videos.get(start) else { continue };
                all.push(Question {
                    start: start.clone(),
                    arms: [one.name.clone(), other.name.clone()],
                    videos: [video.clone(), beside.clone()],
                });
            }
        }
    }
    all
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("list {}", dir.display());
    let entries = fs::read_dir(dir).with_context(context)?;
    let mut paths =
        entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>().with_context(context)?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
        dir
    }

    #[test]
    fn videos_of_one_name_are_a_pair() {
        let dir = folder(&[
            "b/one.mp4",
            "b/two.avi",
            "b/three/video.mp4",
            "a/one.mp4",
            "a/three.mp4",
            "a/notes.txt",
            "c/two.mp4",
            "empty/notes.txt",
        ]);
        let asked = |questions: Vec<Question>| -> Vec<_> {
            questions.into_iter().map(|q| format!("{} {}", q.start, q.arms.concat())).collect()
        };
        let all = asked(questions(&arms_in(&[dir.path().to_owned()]).unwrap()));
        assert_eq!(all, ["one ab", "three ab", "two bc"]);
        let two = ["c", "b"].map(|name| dir.path().join(name));
        let found = questions(&arms_in(&two).unwrap());
        assert_eq!(found[0].videos[0], dir.path().join("b/two.avi"));
        assert_eq!(asked(found), ["two bc"]);
    }

    #[test]
    fn folders_that_give_nothing_to_compare_are_named() {
        let dir = folder(&["a/one.mp4", "empty/notes.txt", "x/a/one.mp4"]);
        let path = |name: &str| dir.path().join(name);
        for (dirs, said) in [
            (vec![path("a")], "two folders of videos or more, got 0"),
            (vec![path("a"), path("empty")], "got none in empty"),
            (vec![path("a"), path("x/a")], "different names"),
            (vec![path("a"), path("none")], "list "),
        ] {
            let error = format!("{:#}", arms_in(&dirs).unwrap_err());
            assert!(error.contains(said), "{said}: {error}");
        }
    }
}
