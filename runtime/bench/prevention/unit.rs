//! Finished videos, one line of JSON each, so that a run that was broken off goes on and shards add up.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::score::{Measure, Series};
use crate::ledger;

/// Marks the files of this version.
pub const FORMAT: &str = "oneiro-drift-2";

/// What all units of one folder have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// Title of the world.
    pub world: String,
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
    /// Metrics that are networks, with the SHA-256 of their weights in hex.
    pub metrics: BTreeMap<Measure, String>,
}

impl Header {
    /// What is measured: figures of the pixels, and what networks say.
    #[must_use]
    pub fn measures(&self) -> Vec<Measure> {
        Measure::PIXELS.into_iter().chain(self.metrics.keys().copied()).collect()
    }
}

/// What one unit is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// Name of the arm.
    pub arm: String,
    /// Path of the episode in the folder of all, without its extension.
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
    /// SHA-256 of the weights of the world that made it, in hex.
    pub weights: String,
    /// What it is like.
    pub series: BTreeMap<Measure, Series>,
    /// Whether it is of the map, where the arm asks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_map: Option<bool>,
    /// Seconds that its dreaming took.
    pub took: f64,
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
            let of_file: Vec<Unit> = ledger::read(&path, header)?;
            units.extend(of_file.into_iter().map(|unit| (unit.key.clone(), unit)));
        }
    }
    Ok(units.into_values().collect())
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs::OpenOptions;
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;
    use crate::ledger::{Ledger, parse};

    pub(in crate::bench::prevention) fn header() -> Header {
        Header {
            format: FORMAT.to_owned(),
            world: "Tiny".to_owned(),
            schedule: "td_f5k1_g1".to_owned(),
            evaluations: 2,
            fps: 4.0,
            frames: 20,
            history: 8,
            seed: 0,
            metrics: BTreeMap::new(),
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
        let series = Measure::PIXELS.map(|measure| (measure, Series::of(&values, 4.0)));
        let key = Key { arm: arm.to_owned(), episode: format!("e{}", start % 3), start };
        Unit { key, weights: "00".to_owned(), series: series.into(), on_map: None, took: 1.5 }
    }

    #[test]
    fn what_was_finished_is_kept_and_shards_add_up() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two] = ["units.1.jsonl", "units.2.jsonl"].map(|name| dir.path().join(name));
        let (mut ledger, units) = Ledger::<Unit>::open(&one, &header()).unwrap();
        assert!(units.is_empty());
        ledger.add(&unit("vanilla", 1, 2.0, 1.0)).unwrap();
        drop(ledger);
        // Killed while it wrote a line.
        let mut file = OpenOptions::new().append(true).open(&one).unwrap();
        file.write_all(b"{\"arm\": \"van").unwrap();
        let (mut ledger, units) = Ledger::<Unit>::open(&one, &header()).unwrap();
        // The last digit of a number may be lost in its text.
        assert_eq!((units.len(), &units[0].key), (1, &unit("vanilla", 1, 2.0, 1.0).key));
        ledger.add(&unit("vanilla", 2, 2.0, 1.0)).unwrap();
        Ledger::open(&two, &header()).unwrap().0.add(&unit("anchor", 1, 2.0, 1.0)).unwrap();
        let all = read_all(dir.path(), &header()).unwrap();
        let names: Vec<_> = all.iter().map(|u| (u.key.arm.as_str(), u.key.start)).collect();
        assert_eq!(names, [("anchor", 1), ("vanilla", 1), ("vanilla", 2)]);
        let other = Header { seed: 1, ..header() };
        let error = format!("{:#}", read_all(dir.path(), &other).unwrap_err());
        assert!(error.contains("units.") && error.contains("choose another"), "{error}");
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(text: Vec<u8>, lines in "[\\PC\n]*") {
            let _ = parse::<_, Unit>(&text, &header());
            let whole = serde_json::to_string(&header()).unwrap() + "\n" + &lines;
            let _ = parse::<_, Unit>(whole.as_bytes(), &header());
        }
    }
}
