//! All arms in tables and plots.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::arm::Arm;
use super::plot;
use super::score::Measure;
use super::unit::{Header, Unit};
use crate::bench::metric;
use crate::bench::revisit::{Interval, paired_interval};

/// One arm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub arm: String,
    /// What it is.
    pub told: String,
    /// Videos.
    pub videos: usize,
    /// Mean of each measure over the videos.
    pub means: BTreeMap<Measure, Interval>,
    /// Start-end contrast of each (eq. 7), its mean over the videos.
    pub contrasts: BTreeMap<Measure, Interval>,
    /// Mean of each measure second by second.
    pub seconds: BTreeMap<Measure, Vec<f64>>,
    /// Mean seconds that a video took.
    pub took: f64,
}

/// What a run has found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What all videos have in common.
    pub header: Header,
    /// Arms in the order of their names, the game's own frames first.
    pub rows: Vec<Row>,
}

impl Report {
    /// Of these units, over the beginnings that every arm among them has; `seed` draws the bootstrap.
    #[must_use]
    pub fn new(header: Header, units: &[Unit], seed: u64) -> Self {
        let mut arms: BTreeMap<(usize, &str), Vec<&Unit>> = BTreeMap::new();
        for unit in units {
            let place = usize::from(unit.key.arm != Arm::Game.to_string());
            arms.entry((place, &unit.key.arm)).or_default().push(unit);
        }
        let begun = |unit: &Unit| (unit.key.episode.clone(), unit.key.start);
        let begun_by = |units: &Vec<&Unit>| units.iter().map(|u| begun(u)).collect::<BTreeSet<_>>();
        let common = arms.values().map(begun_by).reduce(|a, b| &a & &b).unwrap_or_default();
        let episodes: BTreeSet<&str> = units.iter().map(|u| u.key.episode.as_str()).collect();
        let episodes: Vec<&str> = episodes.into_iter().collect();
        let row = |units: Vec<&Unit>| {
            let units: Vec<_> = units.into_iter().filter(|u| common.contains(&begun(u))).collect();
            row(&units, &episodes, seed)
        };
        let rows =
            if common.is_empty() { Vec::new() } else { arms.into_values().map(row).collect() };
        Self { header, rows }
    }

    /// The tables in Markdown, with what is to be known to read them.
    #[must_use]
    pub fn table(&self) -> String {
        let Header { world, frames, fps, history, evaluations, .. } = &self.header;
        let videos = self.rows.first().map_or(0, |row| row.videos);
        let seconds = *frames as f64 / f64::from(*fps);
        let mut text = format!(
            "{world}: {videos} beginnings in every arm, {seconds:.1} s each after {history} real frames, \
             {evaluations} evaluations a section.\n\nMeans over the videos (95 % interval, drawn by episode):\n\n"
        );
        text += &self.part(|row| &row.means);
        text += "\nStart-end contrast, first against last 15 % of the frames (eq. 7), lower is steadier:\n\n";
        text += &self.part(|row| &row.contrasts);
        text += "\nSharpness (variance of the Laplacian), smoothness (1 less the error of the mean of both \
                 neighbours) and change are figures of the pixels and stand in for the paper's clarity, motion \
                 and dynamic. PSNR and SSIM are against the game under the same actions.\n\n";
        for row in &self.rows {
            let _ = writeln!(text, "- {}: {}; {:.1} s a video", row.arm, row.told, row.took);
        }
        text += "\nNot here, because they need a training of their own: causal attention, DiffusionForcing \
                 that is told its level of noise.\n";
        text
    }

    fn part(&self, of: fn(&Row) -> &BTreeMap<Measure, Interval>) -> String {
        let names = Measure::ALL.map(Measure::name);
        let mut text =
            format!("| arm | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
        for row in &self.rows {
            let cells = Measure::ALL.map(|measure| cell(measure, of(row)[&measure]));
            let _ = writeln!(text, "| {} | {} |", row.arm, cells.join(" | "));
        }
        text
    }

    /// Writes `report.json`, `report.md` and a plot of each measure over time.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, out: &Path) -> Result<()> {
        let write = |name: &str, text: String| {
            let path = out.join(name);
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))
        };
        let mut page = self.table() + "\n";
        for measure in Measure::ALL {
            let name = measure.name().to_lowercase();
            let lines = self.rows.iter().map(|row| (row.arm.as_str(), &row.seconds[&measure][..]));
            let title = format!("{} over seconds", measure.name());
            write(&format!("{name}.svg"), plot::lines(&title, &lines.collect::<Vec<_>>()))?;
            let _ = writeln!(page, "![{title}]({name}.svg)");
        }
        write("report.md", page)?;
        write("report.json", serde_json::to_string_pretty(self)? + "\n")
    }
}

fn row(units: &[&Unit], episodes: &[&str], seed: u64) -> Row {
    let arm = units[0].key.arm.clone();
    let told = arm.parse::<Arm>().map_or_else(|_| arm.clone(), Arm::told);
    let episode = |unit: &Unit| episodes.iter().position(|name| *name == unit.key.episode);
    let interval = |measure: Measure, value: fn(&super::score::Series) -> f64| {
        let values = units
            .iter()
            .map(|unit| (episode(unit).unwrap_or_default(), value(&unit.series[&measure])));
        (measure, paired_interval(&values.collect::<Vec<_>>(), seed))
    };
    let seconds = |measure: Measure| {
        let count = units.iter().map(|unit| unit.series[&measure].seconds.len()).max().unwrap_or(0);
        let at = |second: usize| {
            let values = units.iter().filter_map(|unit| unit.series[&measure].seconds.get(second));
            metric::mean(&values.copied().collect::<Vec<_>>())
        };
        (measure, (0..count).map(at).collect())
    };
    let took: Vec<f64> = units.iter().map(|unit| unit.took).collect();
    Row {
        arm,
        told,
        videos: units.len(),
        means: Measure::ALL.map(|measure| interval(measure, |series| series.mean)).into(),
        contrasts: Measure::ALL
            .map(|measure| interval(measure, super::score::Series::contrast))
            .into(),
        seconds: Measure::ALL.map(seconds).into(),
        took: metric::mean(&took),
    }
}

fn cell(measure: Measure, Interval { mean, low, high }: Interval) -> String {
    match measure {
        Measure::Sharpness => format!("{mean:.0} ({low:.0} to {high:.0})"),
        Measure::Smoothness | Measure::Change => {
            format!("{:.2} % ({:.2} to {:.2})", 100.0 * mean, 100.0 * low, 100.0 * high)
        }
        Measure::Psnr => format!("{mean:.2} dB ({low:.2} to {high:.2})"),
        Measure::Ssim => format!("{mean:.3} ({low:.3} to {high:.3})"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::unit::tests::{header, unit};
    use super::*;

    fn report() -> Report {
        let mut units = Vec::new();
        for start in 0..6_u32 {
            let shift = 0.1 * f64::from(start);
            units.push(unit("vanilla", start as usize, 10.0 + shift, 2.0));
            units.push(unit("inverted", start as usize, 9.0 + shift, 9.0 + shift));
            if start < 5 {
                units.push(unit("game", start as usize, 10.0, 10.5));
            }
        }
        Report::new(header(), &units, 1)
    }

    #[test]
    fn arms_are_held_against_each_other_on_the_beginnings_that_all_have() {
        let report = report();
        let arms: Vec<_> = report.rows.iter().map(|row| (row.arm.as_str(), row.videos)).collect();
        assert_eq!(arms, [("game", 5), ("inverted", 5), ("vanilla", 5)]);
        let contrast = |at: usize| report.rows[at].contrasts[&Measure::Sharpness].mean;
        // From the second to the nineteenth of twenty values: 17 of 19 parts of the way, 8.2 of it on average.
        assert!((contrast(2) - 8.2 * 17.0 / 19.0).abs() < 1e-9, "{}", contrast(2));
        assert!(contrast(1) < 1e-9 && contrast(0) < 0.5);
        let Interval { mean, low, high } = report.rows[2].contrasts[&Measure::Sharpness];
        assert!(low < mean && mean < high);
        assert_eq!(report.rows[2].seconds[&Measure::Change].len(), 5);
    }

    #[test]
    fn a_report_is_written_in_words_numbers_and_drawings() {
        let dir = tempfile::tempdir().unwrap();
        report().write(dir.path()).unwrap();
        let page = fs::read_to_string(dir.path().join("report.md")).unwrap();
        assert!(page.contains("| inverted |") && page.contains("eq. 7"), "{page}");
        let json: serde_json::Value =
            serde_json::from_slice(&fs::read(dir.path().join("report.json")).unwrap()).unwrap();
        assert_eq!(json["rows"][1]["arm"], "inverted");
        for measure in ["sharpness", "smoothness", "change", "psnr", "ssim"] {
            let svg = fs::read_to_string(dir.path().join(format!("{measure}.svg"))).unwrap();
            assert_eq!(svg.matches("<polyline").count(), 3, "{measure}");
        }
        assert!(Report::new(header(), &[], 1).rows.is_empty());
    }
}
