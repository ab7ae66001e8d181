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
use crate::compare::elo::{self, Standing};
use crate::compare::votes::Vote;

/// One arm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub arm: String,
    /// What it is.
    pub told: String,
    /// Which keys and values are used again.
    pub kept: String,
    /// Table of the paper that it belongs to: 1 for schedules, 2 for methods.
    pub table: u8,
    /// Videos.
    pub videos: usize,
    /// Mean of each measure over the videos.
    pub means: BTreeMap<Measure, Interval>,
    /// Start-end contrast of each (eq. 7), its mean over the videos.
    pub contrasts: BTreeMap<Measure, Interval>,
    /// Mean of each measure second by second.
    pub seconds: BTreeMap<Measure, Vec<f64>>,
    /// Videos that are of the map, where the arm asks for that.
    pub on_map: Option<usize>,
    /// Mean seconds that a video took.
    pub took: f64,
    /// Where people's votes put it, if there are any.
    pub preference: Option<Standing>,
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
        let measures = header.measures();
        let row = |units: Vec<&Unit>| {
            let units: Vec<_> = units.into_iter().filter(|u| common.contains(&begun(u))).collect();
            row(&units, &measures, &episodes, seed)
        };
        let rows =
            if common.is_empty() { Vec::new() } else { arms.into_values().map(row).collect() };
        Self { header, rows }
    }

    /// The same with what people thought of the videos.
    #[must_use]
    pub fn with_votes(mut self, votes: &[Vote]) -> Self {
        for standing in elo::ranking(votes, self.header.seed) {
            let row = self.rows.iter_mut().find(|row| row.arm == standing.arm);
            if let Some(row) = row {
                row.preference = Some(standing);
            }
        }
        self
    }

    /// The tables in Markdown, with what is to be known to read them.
    #[must_use]
    pub fn table(&self) -> String {
        let Header { world, frames, fps, history, evaluations, .. } = &self.header;
        let videos = self.rows.first().map_or(0, |row| row.videos);
        let seconds = *frames as f64 / f64::from(*fps);
        let mut text = format!(
            "{world}: {videos} beginnings in every arm, {seconds:.1} s each after {history} real frames, \
             {evaluations} evaluations a section.\n"
        );
        let of_table = |table: u8| self.rows.iter().filter(move |row| row.table == table);
        text += &self.part("Schedules (as FramePack's Table 1)", &of_table(1).collect::<Vec<_>>());
        text += &self.part("Ways against drift (as its Table 2)", &of_table(2).collect::<Vec<_>>());
        let words = self.by_words();
        if words.len() > 2 {
            text += &self.part("History in more and more words (K)", &words);
        }
        text += "\nSharpness (variance of the Laplacian), smoothness (1 less the error of the mean of both \
                 neighbours) and change are figures of the pixels and stand in for the paper's clarity, motion \
                 and dynamic. PSNR and SSIM, and LPIPS where its weights were given, are against the game under the \
                 same actions.\n\n";
        for Row { arm, told, kept, videos, on_map, took, .. } in &self.rows {
            let kept = if kept.is_empty() { String::new() } else { format!("; {kept}") };
            let on_map =
                on_map.map(|of_map| format!("; {of_map} of {videos} beginnings on the map"));
            let on_map = on_map.unwrap_or_default();
            let _ = writeln!(text, "- {arm}: {told}{kept}{on_map}; {took:.1} s a video");
        }
        text
    }

    /// Arms whose history is in so many words, from few to many, then the one without.
    fn by_words(&self) -> Vec<&Row> {
        let words = |row: &&Row| row.arm.parse::<Arm>().ok().and_then(|arm| arm.words());
        let mut rows: Vec<&Row> = self.rows.iter().filter(|row| words(row).is_some()).collect();
        rows.sort_by_key(words);
        rows.extend(self.rows.iter().find(|row| row.arm == Arm::Vanilla.to_string()));
        rows
    }

    /// Means and contrasts of some arms; nothing of none.
    fn part(&self, title: &str, rows: &[&Row]) -> String {
        if rows.is_empty() {
            return String::new();
        }
        let mut text =
            format!("\n## {title}\n\nMeans over the videos (95 % interval, drawn by episode):\n\n");
        text += &self.lines(rows, |row| &row.means);
        text += "\nStart-end contrast, first against last 15 % of the frames (eq. 7), lower is steadier:\n\n";
        text += &self.lines(rows, |row| &row.contrasts);
        if rows.iter().any(|row| row.preference.is_some()) {
            text += "\nElo by the votes of `oneiro compare` (K = 32, ties within 16):\n\n\
                     | arm | Elo (95 % interval) | rank | votes |\n|---|---|---|---|\n";
        }
        for row in rows {
            let Some(Standing { elo, interval: [low, high], rank, votes, .. }) = &row.preference
            else {
                continue;
            };
            let elo = format!("{elo:.0} ({low:.0} to {high:.0})");
            let _ = writeln!(text, "| {} | {elo} | {rank} | {votes} |", row.arm);
        }
        text
    }

    fn lines(&self, rows: &[&Row], of: fn(&Row) -> &BTreeMap<Measure, Interval>) -> String {
        let measures = self.header.measures();
        let names: Vec<_> = measures.iter().map(|measure| measure.name()).collect();
        let mut text =
            format!("| arm | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
        for row in rows {
            let cells: Vec<_> =
                measures.iter().map(|measure| cell(*measure, of(row)[measure])).collect();
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
        for measure in self.header.measures() {
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

fn row(units: &[&Unit], measures: &[Measure], episodes: &[&str], seed: u64) -> Row {
    let arm = units[0].key.arm.clone();
    let known = arm.parse::<Arm>().ok();
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
    let of_all = |interval: &dyn Fn(Measure) -> (Measure, Interval)| {
        measures.iter().copied().map(interval).collect()
    };
    let on_map: Vec<bool> = units.iter().filter_map(|unit| unit.on_map).collect();
    let took: Vec<f64> = units.iter().map(|unit| unit.took).collect();
    Row {
        told: known.as_ref().map_or_else(|| arm.clone(), Arm::told),
        kept: known.as_ref().map_or("", Arm::kept).to_owned(),
        table: if known.as_ref().is_some_and(Arm::is_schedule) { 1 } else { 2 },
        arm,
        videos: units.len(),
        means: of_all(&|measure| interval(measure, |series| series.mean)),
        contrasts: of_all(&|measure| interval(measure, super::score::Series::contrast)),
        seconds: measures.iter().copied().map(seconds).collect(),
        on_map: (!on_map.is_empty()).then(|| on_map.iter().filter(|&&of_map| of_map).count()),
        took: metric::mean(&took),
        preference: None,
    }
}

/// A mean with its interval; nothing is drawn from one episode.
fn cell(measure: Measure, Interval { mean, low, high }: Interval) -> String {
    let (places, factor, unit) = match measure {
        Measure::Sharpness => (0, 1.0, ""),
        Measure::Smoothness | Measure::Change => (2, 100.0, " %"),
        Measure::Psnr => (2, 1.0, " dB"),
        Measure::Ssim | Measure::Lpips => (3, 1.0, ""),
    };
    let [mean, low, high] = [mean, low, high].map(|value| factor * value);
    let mean = format!("{mean:.places$}{unit}");
    if low < high { format!("{mean} ({low:.places$} to {high:.places$})") } else { mean }
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

    #[test]
    fn votes_stand_beside_what_was_measured() {
        let lines = [("vanilla", "inverted", "right"), ("inverted", "elsewhere", "left")];
        let vote = |(left, right, liked): (&str, &str, &str)| {
            let vote =
                serde_json::json!({"start": "s", "left": left, "right": right, "liked": liked});
            serde_json::from_value::<Vote>(vote).unwrap()
        };
        let report = report().with_votes(&lines.map(vote));
        let ranks = report.rows.iter().map(|row| row.preference.as_ref().map(|one| one.rank));
        // The game was not shown to anybody; who is not here has a rank all the same.
        assert_eq!(ranks.collect::<Vec<_>>(), [None, Some(1), Some(2)]);
        assert!(report.table().contains("| vanilla | 984 ("), "{}", report.table());
    }

    #[test]
    fn schedules_methods_and_numbers_of_words_have_tables_of_their_own() {
        let arms = ["vanilla", "discrete@128", "discrete@16", "causal", "td_f16k4f2k2f1k1_g9+D"];
        let units: Vec<Unit> = arms.iter().map(|arm| unit(arm, 1, 5.0, 4.0)).collect();
        let report = Report::new(header(), &units, 1);
        let table = report.table();
        let parts: Vec<Vec<&str>> = table
            .split("## ")
            .skip(1)
            .map(|part| {
                let lines =
                    part.lines().filter(|line| line.starts_with("| ") && !line.contains("| arm"));
                lines.map(|line| line.split(' ').nth(1).unwrap()).collect()
            })
            .collect();
        let twice = |arms: &[&'static str]| [arms, arms].concat();
        assert_eq!(parts[0], twice(&["td_f16k4f2k2f1k1_g9+D"]));
        assert_eq!(parts[1], twice(&["causal", "discrete@128", "discrete@16", "vanilla"]));
        assert_eq!(parts[2], twice(&["discrete@16", "discrete@128", "vanilla"]));
        assert!(
            table.contains("- causal: causal attention (resembles CausVid); uncached"),
            "{table}"
        );
        assert_eq!(report.rows.iter().map(|row| row.table).sum::<u8>(), 9);
    }
}
