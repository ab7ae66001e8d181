//! Settings in a folder, by which what is made there goes on where it was broken off.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::hash;

/// Bytes from the beginning and the end of a file of weights that are looked at: the header, and some of the values.
const LOOKED_AT: u64 = 64 << 10;
/// Largest file of settings that is read.
const BYTES_MAX: u64 = 1 << 20;

/// A folder in which something is made with settings.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    out: PathBuf,
    /// Hash of the settings.
    pub(crate) mark: Vec<u8>,
}

impl Kept {
    /// Begins or goes on with what is in `out`; the settings, an object, are in the file `name`.
    ///
    /// # Errors
    /// Other settings are there: those that differ are named.
    pub(crate) fn open(out: &Path, name: &str, settings: &Value) -> Result<Self> {
        fs::create_dir_all(out).with_context(|| format!("create {}", out.display()))?;
        let path = out.join(name);
        if path.exists() {
            compare(&read(&path)?, settings)
                .with_context(|| format!("go on in {}", out.display()))?;
        } else {
            let text = serde_json::to_string_pretty(settings)? + "\n";
            let unfinished = path.with_extension("partial");
            fs::write(&unfinished, text)
                .and_then(|()| fs::rename(&unfinished, &path))
                .with_context(|| format!("write {}", path.display()))?;
        }
        let mark = Sha256::digest(serde_json::to_vec(settings)?).to_vec();
        Ok(Self { out: out.to_owned(), mark })
    }

    /// A file of section `number`, counted from 1 in the order of making.
    pub(crate) fn section(&self, number: usize, extension: &str) -> PathBuf {
        self.out.join(format!("section_{number:03}.{extension}"))
    }

    /// The video.
    pub(crate) fn video(&self) -> PathBuf {
        self.out.join("video.mp4")
    }
}

fn read(path: &Path) -> Result<Value> {
    let mut text = String::new();
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    file.take(BYTES_MAX)
        .read_to_string(&mut text)
        .with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))
}

fn compare(there: &Value, now: &Value) -> Result<()> {
    let keys =
        |of: &Value| of.as_object().into_iter().flat_map(Map::keys).cloned().collect::<Vec<_>>();
    let mut names = [keys(there), keys(now)].concat();
    names.sort_unstable();
    names.dedup();
    let value = |of: &Value, name: &str| of[name].to_string();
    let differs = |name: &String| value(there, name) != value(now, name);
    let differences: Vec<String> = names
        .into_iter()
        .filter(differs)
        .map(|name| format!("{name} {} there, {} now", value(there, &name), value(now, &name)))
        .collect();
    if !differences.is_empty() {
        bail!(
            "expected the settings that it was begun with, or another --out: {}",
            differences.join("; ")
        );
    }
    Ok(())
}

/// A hash by which the weights in a folder and in those in it are known: names, sizes, and beginnings and ends of its
/// files. All of them would take minutes to read.
pub(crate) fn weights(folder: &Path) -> Result<String> {
    let mut files = Vec::new();
    list(folder, 1, &mut files)?;
    files.sort_unstable();
    let mut hash = Sha256::new();
    for path in &files {
        let name = path.strip_prefix(folder).unwrap_or(path);
        hash.update(name.to_string_lossy().as_bytes());
        hash.update(file(path)?);
    }
    Ok(hash::hex(&hash.finalize()))
}

/// The same of one file.
pub(crate) fn file(path: &Path) -> Result<Vec<u8>> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut hash = Sha256::new();
        hash.update(bytes.to_le_bytes());
        for start in [0, bytes.saturating_sub(LOOKED_AT)] {
            file.seek(SeekFrom::Start(start))?;
            let mut part = Vec::new();
            file.by_ref().take(LOOKED_AT).read_to_end(&mut part)?;
            hash.update(part);
        }
        Ok(hash.finalize().to_vec())
    };
    read().with_context(|| format!("read {}", path.display()))
}

/// Files of weights, configurations and vocabularies in a folder and `deeper` levels below.
fn list(folder: &Path, deeper: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("list {}", folder.display()))?.path();
        let known = |ending: &str| path.extension().is_some_and(|extension| extension == ending);
        if path.is_dir() {
            if deeper > 0 {
                list(&path, deeper - 1, files)?;
            }
        } else if ["safetensors", "json", "txt"].into_iter().any(known) {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_same_settings_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let settings = json!({"seed": 1, "prompt": "a"});
        let mark = Kept::open(&out, "dream.json", &settings).unwrap().mark;
        assert_eq!(Kept::open(&out, "dream.json", &settings).unwrap().mark, mark);
        let other = json!({"seed": 2, "prompt": "a", "size": [1, 2]});
        let error = format!("{:#}", Kept::open(&out, "dream.json", &other).unwrap_err());
        assert!(error.contains("seed 1 there, 2 now; size null there, [1,2] now"), "{error}");
        assert!(!error.contains("prompt"), "{error}");
    }

    #[test]
    fn weights_are_known_by_their_names_sizes_and_ends() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
            weights(dir.path()).unwrap()
        };
        let first = write("vae/model.safetensors", b"abc");
        let others = [
            write("vae/model.safetensors", b"abd"),
            write("vae/model.safetensors", b"abcd"),
            write("config.json", b"{}"),
        ];
        assert!(others.iter().all(|other| *other != first));
        let before = write("vae/model.safetensors", b"abc");
        assert_eq!(write("picture.png", b"abc"), before, "pictures are no weights");
    }

    proptest! {
        #[test]
        fn no_file_of_settings_panics(text in "\\PC{0,200}") {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("dream.json"), &text).unwrap();
            let settings = json!({"seed": 1});
            if let Err(error) = Kept::open(dir.path(), "dream.json", &settings) {
                let error = format!("{error:#}");
                prop_assert!(error.contains("dream.json") || error.contains("there, 1 now"));
            }
        }
    }
}
