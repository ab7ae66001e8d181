//! What a run came to: one page to read, the same as JSON, and a table for the terminal.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::figures::{Figures, Row};
use super::trial::Task;
use super::unit::{Header, Unit};
use super::{page, plot};
use crate::bench::revisit::Interval;

/// A run's figures beside what they are made of.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What all walks have in common.
    pub header: Header,
    /// The figures.
    pub figures: Figures,
    /// Every walk that is reported.
    pub units: Vec<Unit>,
}

impl Report {
    /// The report on these walks.
    pub fn new(header: Header, units: Vec<Unit>) -> Self {
        Self { header, figures: Figures::of(&units, 0), units }
    }

    /// Writes `report.json`, the plots and `report.html` into the folder of the run.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, out: &Path) -> Result<()> {
        let write = |name: &str, text: &str| {
            let path = out.join(name);
            std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
        };
        write("report.json", &(serde_json::to_string(self)? + "\n"))?;
        let plots = plot::draw_all(self)?;
        for plot in &plots {
            write(&format!("{}.svg", plot.name), &plot.svg)?;
        }
        write("report.html", &page::render(self, &plots, out))
    }

    /// The rows of a task.
    pub fn rows(&self, task: Task) -> impl Iterator<Item = &Row> {
        self.figures.rows.iter().filter(move |row| row.task == task)
    }

    /// The schedule that all walks were packed by; `None` where there are several.
    pub(super) fn one_schedule(&self) -> Option<&str> {
        let mut schedules = self.figures.rows.iter().map(|row| row.schedule.as_str());
        let first = schedules.next()?;
        schedules.all(|other| other == first).then_some(first)
    }

    /// The columns for which a task has something to say.
    pub(super) fn columns(&self, task: Task) -> Vec<Column> {
        let told = |(name, cell): &Column| {
            let known = *name == SCHEDULE && self.one_schedule().is_some();
            !known && self.rows(task).any(|row| !cell(row).is_empty())
        };
        COLUMNS.into_iter().filter(told).collect()
    }

    /// A table for each task, in Markdown.
    pub fn table(&self) -> String {
        let mut text = String::new();
        if let Some(schedule) = self.one_schedule() {
            let _ = writeln!(text, "{}, packed by {schedule}\n", self.header.world);
        }
        for task in Task::ALL.into_iter().filter(|&task| self.rows(task).next().is_some()) {
            let _ = writeln!(text, "{}\n", task.title());
            let columns = self.columns(task);
            let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
            let _ = writeln!(text, "| {} |", names.join(" | "));
            let _ = writeln!(text, "|{}", "---|".repeat(names.len()));
            for row in self.rows(task) {
                let cells: Vec<String> = columns.iter().map(|(_, cell)| cell(row)).collect();
                let _ = writeln!(text, "| {} |", cells.join(" | "));
            }
            text.push('\n');
        }
        for weighed in &self.figures.weights {
            let _ = writeln!(
                text,
                "{} on the validation split: {:.2} dB ({})",
                weighed.arm, weighed.psnr, weighed.schedule
            );
        }
        text
    }
}

/// A column of the tables: its name and what stands in it.
pub(super) type Column = (&'static str, fn(&Row) -> String);

/// Name of a column of words.
pub(super) const SCHEDULE: &str = "schedule";

/// The columns, in the terminal and on the page.
const COLUMNS: [Column; 13] = [
    ("history by", |row| row.arm.clone()),
    (SCHEDULE, |row| row.schedule.clone()),
    ("PSNR, dB", |row| format!("{:.2}", row.psnr)),
    ("over time, 95 % interval", |row| row.gain.map_or_else(String::new, interval)),
    ("SSIM", |row| format!("{:.3}", row.ssim)),
    ("MS-SSIM", |row| format!("{:.3}", row.ms_ssim)),
    ("LPIPS", |row| row.lpips.map_or_else(String::new, |lpips| format!("{lpips:.3}"))),
    ("recall@1", |row| share(row.recall[0])),
    ("recall@4", |row| share(row.recall[1])),
    ("tokens", |row| format!("{:.0} + {}", row.history_tokens, row.section_tokens)),
    ("ms a section", |row| row.section_ms.map_or_else(String::new, |ms| format!("{ms:.1}"))),
    ("KV hits", |row| share(row.kv_hits)),
    ("walks (episodes)", |row| format!("{} ({})", row.walks, row.episodes)),
];

/// An interval as it stands in tables; of a single episode there is none.
pub(super) fn interval(Interval { mean, low, high }: Interval) -> String {
    if low.to_bits() == high.to_bits() {
        return format!("{mean:+.2}");
    }
    format!("{mean:+.2} ({low:+.2} to {high:+.2})")
}

fn share(share: Option<f64>) -> String {
    share.map_or_else(String::new, |share| format!("{:.0} %", 100.0 * share))
}
