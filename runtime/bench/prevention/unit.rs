//! Finished videos, one line of JSON each, so that a run that was broken off goes on and shards add up.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use super::score::{Measure, Series};

/// Marks the files of this version.
pub const FORMAT: &str = "oneiro-drift-1";
/// Largest file of units that is read.
const BYTES_MAX: u64 = 1 << 30;

/// What all units of one folder have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// Title of the world.
    pub world: String,
    /// SHA-256 of its weights, in hex.
    pub weights: String,
    /// Its schedule.
    pub schedule: String,
    /// Evaluations of the network for each section.
    pub evaluations: u32,
    /// Frames per second of play.
    pub fps: f32,
    /// Frames of a video.
    pub frames: usize,
    /// Real frames before each.
    pub history: usize,
    /// Seed of the choice of starts, and of the noise.
    pub seed: u64,
}

/// What one unit is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// Name of the arm.
    pub arm: String,
    /// Name of the episode.
    pub episode: String,
    /// The last real frame.
    pub start: usize,
}

/// One video under one arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    /// What it is of.
    #[serde(flatten)]
    pub key: Key,
    /// What it is like.
    pub series: BTreeMap<Measure, Series>,
    /// Seconds that its dreaming took.
    pub took: f64,
}

/// A file of finished units, open for more.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: File,
}

impl Ledger {
    /// Opens or begins a file, and gives what it holds. A last line that was not finished is cut off.
    ///
    /// # Errors
    /// When it cannot be read or written, is damaged before its last line, or holds units of another setting.
    pub fn open(path: &Path, header: &Header) -> Result<(Self, Vec<Unit>)> {
        let mut options = OpenOptions::new();
        let options = options.read(true).append(true).create(true);
        let mut file = options.open(path).with_context(|| format!("open {}", path.display()))?;
        let (units, whole) = read(&mut file, path, header)?;
        file.set_len(whole).with_context(|| format!("shorten {}", path.display()))?;
        let mut ledger = Self { path: path.to_owned(), file };
        if whole == 0 {
            ledger.write(header)?;
        }
        Ok((ledger, units))
    }

    /// Takes a unit in, for good.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&mut self, unit: &Unit) -> Result<()> {
        self.write(unit)
    }

    fn write(&mut self, line: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(line)? + "\n";
        let written = self.file.write_all(line.as_bytes());
        written.with_context(|| format!("write {}", self.path.display()))
    }
}

/// The units of all shards in a folder, in the order of their keys.
///
/// # Errors
/// When a file cannot be read, is damaged, or holds units of another setting.
pub fn read_all(dir: &Path, header: &Header) -> Result<Vec<Unit>> {
    let mut units = BTreeMap::new();
    for entry in fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        if name.is_some_and(|name| name.starts_with("units") && name.ends_with(".jsonl")) {
            let mut file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
            let of_file = read(&mut file, &path, header)?.0;
            units.extend(of_file.into_iter().map(|unit| (unit.key.clone(), unit)));
        }
    }
    Ok(units.into_values().collect())
}

/// The units of a file, and the bytes that are whole lines.
fn read(file: &mut File, path: &Path, header: &Header) -> Result<(Vec<Unit>, u64)> {
    let name =
        || format!("read {}; remove it or choose another --out to begin anew", path.display());
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

fn parse(text: &[u8], header: &Header) -> Result<(Vec<Unit>, u64)> {
    let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
    let mut lines = text[..whole].split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let Some(first) = lines.next() else { return Ok((Vec::new(), 0)) };
    let found: Header = serde_json::from_slice(first).context("line 1")?;
    ensure!(found == *header, "expected units of {header:?}, got units of {found:?}");
    let unit = |(at, line): (usize, &[u8])| {
        serde_json::from_slice(line).with_context(|| format!("line {}", at + 2))
    };
    Ok((lines.enumerate().map(unit).collect::<Result<_>>()?, whole as u64))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::bench::prevention) fn header() -> Header {
        Header {
            format: FORMAT.to_owned(),
            world: "Tiny".to_owned(),
            weights: "00".to_owned(),
            schedule: "td_f5k1_g1".to_owned(),
            evaluations: 2,
            fps: 4.0,
            frames: 20,
            history: 8,
            seed: 0,
        }
    }

    /// A unit whose every measure falls from `first` to `last`.
    pub(in crate::bench::prevention) fn unit(
        arm: &str,
        start: usize,
        first: f64,
        last: f64,
    ) -> Unit {
        let values: Vec<f64> =
            (0..20_u32).map(|at| first + (last - first) * f64::from(at) / 19.0).collect();
        let series = Measure::ALL.map(|measure| (measure, Series::of(&values, 4.0)));
        let key = Key { arm: arm.to_owned(), episode: format!("e{}", start % 3), start };
        Unit { key, series: series.into(), took: 1.5 }
    }

    #[test]
    fn what_was_finished_is_kept_and_shards_add_up() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two] = ["units.1.jsonl", "units.2.jsonl"].map(|name| dir.path().join(name));
        let (mut ledger, units) = Ledger::open(&one, &header()).unwrap();
        assert!(units.is_empty());
        ledger.add(&unit("vanilla", 1, 2.0, 1.0)).unwrap();
        drop(ledger);
        // Killed while it wrote a line.
        let mut file = OpenOptions::new().append(true).open(&one).unwrap();
        file.write_all(b"{\"arm\": \"van").unwrap();
        let (mut ledger, units) = Ledger::open(&one, &header()).unwrap();
        // The last digit of a number may be lost in its text.
        assert_eq!((units.len(), &units[0].key), (1, &unit("vanilla", 1, 2.0, 1.0).key));
        ledger.add(&unit("vanilla", 2, 2.0, 1.0)).unwrap();
        Ledger::open(&two, &header()).unwrap().0.add(&unit("anchor", 1, 2.0, 1.0)).unwrap();
        let all = read_all(dir.path(), &header()).unwrap();
        let names: Vec<_> = all.iter().map(|u| (u.key.arm.as_str(), u.key.start)).collect();
        assert_eq!(names, [("anchor", 1), ("vanilla", 1), ("vanilla", 2)]);
        let other = Header { seed: 1, ..header() };
        let error = format!("{:#}", read_all(dir.path(), &other).unwrap_err());
        assert!(error.contains("units.") && error.contains("--out"), "{error}");
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(text: Vec<u8>, lines in "[\\PC\n]*") {
            let _ = parse(&text, &header());
            let whole = serde_json::to_string(&header()).unwrap() + "\n" + &lines;
            let _ = parse(whole.as_bytes(), &header());
        }
    }
}
