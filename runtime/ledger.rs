//! Files of lines of JSON that only grow: a header, then one line for each thing that is finished.
//!
//! A line is there as soon as it is written. What breaks off in the middle of one loses that line alone.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Largest file that is read.
const BYTES_MAX: u64 = 4 << 30;

/// Characters of a setting that are told.
const LONG: usize = 80;

/// What the first line says.
pub trait Headline: Serialize + DeserializeOwned + PartialEq + Debug {}

impl<T: Serialize + DeserializeOwned + PartialEq + Debug> Headline for T {}

/// A file of `Line`s, open for more.
#[derive(Debug)]
pub struct Ledger<Line> {
    path: PathBuf,
    file: File,
    lines: PhantomData<fn(&Line)>,
}

impl<Line: Serialize + DeserializeOwned> Ledger<Line> {
    /// Opens or begins a file, and gives what it holds. A last line that was not finished is cut off.
    ///
    /// # Errors
    /// When it cannot be read or written, is damaged before its last line, or has another header.
    pub fn open(path: &Path, header: &impl Headline) -> Result<(Self, Vec<Line>)> {
        let mut options = OpenOptions::new();
        let options = options.read(true).append(true).create(true);
        let mut file = options.open(path).with_context(|| format!("open {}", path.display()))?;
        let (lines, whole) = read_file(&mut file, path, header)?;
        file.set_len(whole).with_context(|| format!("shorten {}", path.display()))?;
        let mut ledger = Self { path: path.to_owned(), file, lines: PhantomData };
        if whole == 0 {
            ledger.write(header)?;
        }
        Ok((ledger, lines))
    }

    /// Takes a line in, for good.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&mut self, line: &Line) -> Result<()> {
        self.write(line)
    }

    fn write(&mut self, line: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(line)? + "\n";
        let written = self.file.write_all(line.as_bytes());
        written.with_context(|| format!("write {}", self.path.display()))
    }
}

/// The whole lines of a file.
///
/// # Errors
/// When it cannot be read, is damaged before its last line, or has another header.
pub fn read<Header: Headline, Line: DeserializeOwned>(
    path: &Path,
    header: &Header,
) -> Result<Vec<Line>> {
    let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    Ok(read_file(&mut file, path, header)?.0)
}

/// The lines of a file, and the bytes that are whole ones.
fn read_file<Header: Headline, Line: DeserializeOwned>(
    file: &mut File,
    path: &Path,
    header: &Header,
) -> Result<(Vec<Line>, u64)> {
    let name = || {
        let path = path.display();
        format!("read {path}; mend the line, or remove the file or choose another to begin anew")
    };
    let bytes = file.metadata().with_context(name)?.len();
    ensure!(
        bytes <= BYTES_MAX,
        "expected at most {BYTES_MAX} bytes, got {bytes}: {}",
        path.display()
    );
    let mut text = Vec::new();
    file.read_to_end(&mut text).with_context(name)?;
    parse(&text, header).with_context(name)
}

/// The lines of a text, and the bytes that are whole ones.
///
/// # Errors
/// When a whole line cannot be read, or the first is another header.
pub fn parse<Header: Headline, Line: DeserializeOwned>(
    text: &[u8],
    header: &Header,
) -> Result<(Vec<Line>, u64)> {
    let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
    let mut lines = text[..whole].split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let Some(first) = lines.next() else {
        let begun = serde_json::to_vec(header)?;
        ensure!(begun.starts_with(text), "expected a file that begins with a line of settings");
        return Ok((Vec::new(), 0));
    };
    let found: Header = serde_json::from_slice(first).context("line 1")?;
    if found != *header {
        let [wanted, found] = [header, &found].map(serde_json::to_value);
        bail!("expected a file of {}", difference(&wanted?, &found?));
    }
    let line = |(at, line): (usize, &[u8])| {
        serde_json::from_slice(line).with_context(|| format!("line {}", at + 2))
    };
    Ok((lines.enumerate().map(line).collect::<Result<_>>()?, whole as u64))
}

/// In what two headers differ.
fn difference(wanted: &Value, found: &Value) -> String {
    let short = |value: Option<&Value>| {
        let text = value.map_or("nothing".to_owned(), Value::to_string);
        let cut = text.char_indices().nth(LONG).map(|(at, _)| format!("{}…", &text[..at]));
        cut.unwrap_or(text)
    };
    let pair = |wanted, found| format!("{}, got {}", short(wanted), short(found));
    let (Value::Object(wanted), Value::Object(found)) = (wanted, found) else {
        return pair(Some(wanted), Some(found));
    };
    let names: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    let differ = names.into_iter().filter(|&name| wanted.get(name) != found.get(name));
    let told = differ.map(|name| format!("{name} {}", pair(wanted.get(name), found.get(name))));
    told.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_finished_is_kept_and_a_broken_line_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("numbers.jsonl");
        let (mut ledger, lines) = Ledger::<u32>::open(&path, &"numbers".to_owned()).unwrap();
        assert!(lines.is_empty());
        ledger.add(&12).unwrap();
        drop(ledger);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"34").unwrap();
        assert_eq!(read::<String, u32>(&path, &"numbers".to_owned()).unwrap(), [12]);
        let (mut ledger, lines) = Ledger::<u32>::open(&path, &"numbers".to_owned()).unwrap();
        assert_eq!(lines, [12]);
        ledger.add(&56).unwrap();
        assert_eq!(read::<String, u32>(&path, &"numbers".to_owned()).unwrap(), [12, 56]);
        let error = read::<String, u32>(&path, &"letters".to_owned()).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("numbers.jsonl") && error.contains("letters"), "{error}");
    }

    #[test]
    fn a_file_that_is_another_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes");
        let open = || Ledger::<u32>::open(&path, &"numbers".to_owned());
        for other in ["{\"a\":1}", "12", "\"number", "\"letters\"\n12\n", "\n\n"] {
            std::fs::write(&path, other).unwrap();
            let opened = open();
            if other == "\"number" {
                // A header that was broken off.
                assert!(opened.unwrap().1.is_empty());
                assert_eq!(std::fs::read_to_string(&path).unwrap(), "\"numbers\"\n");
                continue;
            }
            let error = format!("{:#}", opened.unwrap_err());
            assert!(error.contains("notes; mend the line, or remove"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), other);
        }
    }
}
