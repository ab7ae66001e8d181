//! What was measured: one line of JSON for every finished walk, so that a run that was broken off goes on.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::trial::{Split, Task};
use crate::ledger::Ledger;

/// Marks the files of this version.
pub const FORMAT: &str = "oneiro-packing-1";
/// Ranks at which it is asked whether a frame with the coming view is among those packed.
pub const RECALL_AT: [usize; 2] = [1, 4];

/// What all units of one folder have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// Title of the world.
    pub world: String,
    /// SHA-256 of its weights, in hex.
    pub weights: String,
    /// Evaluations of the network for each section.
    pub evaluations: u32,
    /// Frames per second of play.
    pub fps: f32,
    /// Width and height of a picture.
    pub size: [usize; 2],
    /// Frames of a rollout.
    pub rollout_frames: usize,
    /// Frames of a way back.
    pub back_frames: usize,
    /// Least frames between a view and its return.
    pub gap: usize,
    /// Names of the episodes: every second one is for validation.
    pub episodes: Vec<String>,
    /// SHA-256 of the weights of LPIPS in hex, where they were given.
    pub lpips: Option<String>,
}

/// What one unit is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// What was asked.
    pub task: Task,
    /// What for.
    pub split: Split,
    /// Name of the episode.
    pub episode: String,
    /// The last real frame.
    pub cut: usize,
    /// Name of the packing schedule.
    pub schedule: String,
    /// Name of the way of picking history.
    pub arm: String,
    /// Seed of the noise.
    pub seed: u64,
}

/// One walk under one arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    /// What it is of.
    #[serde(flatten)]
    pub key: Key,
    /// Every scored frame.
    pub frames: Vec<FrameScore>,
    /// Sections for which something remembered, outside the recent window, shows the coming view.
    pub overlapping: usize,
    /// Those of them for which such a frame is among the first of [`RECALL_AT`] that were picked.
    pub found: [usize; RECALL_AT.len()],
    /// Mean tokens of history.
    pub history_tokens: f64,
    /// Tokens of a section.
    pub section_tokens: usize,
    /// Processor milliseconds of one core for a section, the median, the first left out; absent for a single one.
    pub section_ms: Option<f64>,
    /// Groups after the first section whose keys and values were there already.
    pub kv_hits: usize,
    /// All groups after the first section.
    pub kv_groups: usize,
}

/// How like the real frame a dreamed one is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrameScore {
    /// Frames after the last real one, from 1.
    pub ahead: usize,
    /// Frames since its view was last seen, where it comes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<usize>,
    /// Decibels.
    pub psnr: f64,
    /// Of the three colours, at most 1.
    pub ssim: f64,
    /// The same over several scales.
    pub ms_ssim: f64,
    /// Perceptual distance, lower is nearer, where weights were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lpips: Option<f64>,
}

/// The file of finished units, open for more.
#[derive(Debug)]
pub struct Units {
    ledger: Ledger<Unit>,
    units: BTreeMap<Key, Unit>,
}

impl Units {
    /// Opens or begins the file. A last line that was not finished is cut off; of a unit that stands twice the first is kept.
    ///
    /// # Errors
    /// When it cannot be read or written, is damaged before its last line, or holds units of another setting.
    pub fn open(path: &Path, header: &Header) -> Result<Self> {
        let (ledger, found) = Ledger::<Unit>::open(path, header)?;
        let mut units = BTreeMap::new();
        for unit in found {
            units.entry(unit.key.clone()).or_insert(unit);
        }
        Ok(Self { ledger, units })
    }

    /// Whether a unit was finished before.
    pub fn holds(&self, key: &Key) -> bool {
        self.units.contains_key(key)
    }

    /// Takes a unit in, for good; one that is known already is passed over.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&mut self, unit: Unit) -> Result<()> {
        if !self.holds(&unit.key) {
            self.ledger.add(&unit)?;
            self.units.insert(unit.key.clone(), unit);
        }
        Ok(())
    }

    /// All units in the order of their keys, whatever the order they were finished in.
    pub fn sorted(&self) -> Vec<Unit> {
        self.units.values().cloned().collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ledger::parse;
    use proptest::prelude::*;

    pub(in crate::bench::packing) fn header() -> Header {
        Header {
            format: FORMAT.to_owned(),
            world: "Tiny".to_owned(),
            weights: "00ff".to_owned(),
            evaluations: 2,
            fps: 17.5,
            size: [64, 48],
            rollout_frames: 8,
            back_frames: 8,
            gap: 64,
            episodes: vec!["a.npz".to_owned(), "b.npz".to_owned()],
            lpips: None,
        }
    }

    pub(in crate::bench::packing) fn unit(arm: &str, cut: usize, psnr: f64) -> Unit {
        let score = |ahead| FrameScore {
            ahead,
            gap: Some(64 * ahead),
            psnr,
            ssim: psnr / 50.0,
            ms_ssim: psnr / 40.0,
            lpips: None,
        };
        Unit {
            key: Key {
                task: Task::Revisit,
                split: Split::Test,
                episode: format!("{}.npz", cut % 3),
                cut,
                schedule: "td_f16k4f4k2f5k1_g1".to_owned(),
                arm: arm.to_owned(),
                seed: 0,
            },
            frames: (1..=4).map(score).collect(),
            overlapping: 4,
            found: [1, 2],
            history_tokens: 280.0,
            section_tokens: 48,
            section_ms: Some(40.0),
            kv_hits: 30,
            kv_groups: 39,
        }
    }

    #[test]
    fn a_run_that_was_killed_goes_on_behind_its_last_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("units.jsonl");
        let mut ledger = Units::open(&path, &header()).unwrap();
        ledger.add(unit("time", 1, 20.0)).unwrap();
        ledger.add(unit("none", 1, 10.0)).unwrap();
        ledger.add(unit("none", 1, 99.0)).unwrap();
        drop(ledger);
        let whole = std::fs::read(&path).unwrap();
        // Killed in the middle of the last line.
        std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        let mut ledger = Units::open(&path, &header()).unwrap();
        assert!(ledger.holds(&unit("time", 1, 0.0).key));
        assert!(!ledger.holds(&unit("none", 1, 0.0).key));
        ledger.add(unit("none", 1, 10.0)).unwrap();
        assert_eq!(ledger.sorted(), [unit("none", 1, 10.0), unit("time", 1, 20.0)]);
        drop(ledger);
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        // By hand, a line twice.
        let text = String::from_utf8(whole).unwrap();
        let twice = text
            .lines()
            .chain(text.lines().skip(1))
            .fold(String::new(), |all, line| all + line + "\n");
        std::fs::write(&path, twice).unwrap();
        assert_eq!(Units::open(&path, &header()).unwrap().sorted().len(), 2);
    }

    #[test]
    fn units_of_other_settings_and_damage_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("units.jsonl");
        Units::open(&path, &header()).unwrap().add(unit("time", 1, 20.0)).unwrap();
        let other = Header { gap: 32, ..header() };
        let error = format!("{:#}", Units::open(&path, &other).unwrap_err());
        assert!(error.contains("gap 32, got 64") && error.contains("choose another"), "{error}");
        let mut text = std::fs::read(&path).unwrap();
        let line = text.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        text[line] = b'?';
        std::fs::write(&path, text).unwrap();
        let error = format!("{:#}", Units::open(&path, &header()).unwrap_err());
        assert!(error.contains("units.jsonl") && error.contains("line 2"), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut text = serde_json::to_vec(&header()).unwrap();
            text.push(b'\n');
            text.extend(&bytes);
            if let Ok((_, whole)) = parse::<_, Unit>(&text, &header()) {
                prop_assert!(whole <= text.len() as u64);
            }
            let _ = parse::<_, Unit>(&bytes, &header());
        }
    }
}
