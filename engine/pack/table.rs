//! Plans and schedules as text tables.

use memory::FrameId;

use super::budget::Budget;
use super::kernel::{Grid, Kernel};
use super::plan::{PackPlan, SlotKind};
use super::schedule::{Part, Schedule, Tail, Tier};

/// Tiers with more groups than this are printed as one row.
const GROUPS_SHOWN: usize = 8;

/// One row: group, kernel, tokens, position, what it is.
struct Row([String; 5]);

impl PackPlan {
    /// The plan as a table: group, kernel, tokens, position and kind, one slot a row.
    #[must_use]
    pub fn table(&self) -> String {
        let mut rows = vec![header()];
        for slot in &self.slots {
            let group = match slot.group.frames.as_slice() {
                [one] => format!("frame {one}"),
                frames => format!("frames {}", join(frames)),
            };
            let kind = match slot.kind {
                SlotKind::Newest => "newest",
                SlotKind::Recent => "recent",
                SlotKind::Retrieved => "retrieved",
                SlotKind::Tail => "tail",
            };
            rows.push(Row([
                group,
                slot.group.kernel.to_string(),
                slot.tokens.to_string(),
                slot.position.to_string(),
                kind.into(),
            ]));
        }
        rows.push(section_row(self.section_frames, self.section_tokens));
        rows.push(total_row(self.history_tokens() + self.section_tokens));
        render(&rows)
    }
}

impl Schedule {
    /// The schedule as a table in temporal order, its history complete: group, kernel, tokens,
    /// position, and notes on what the name leaves open.
    #[must_use]
    pub fn table(&self, grid: Grid) -> String {
        let mut rows = vec![header()];
        rows.extend(self.head.map(|tail| self.tail_row(tail, grid)));
        let section = self.parts.iter().position(|part| matches!(part, Part::Generate(_)));
        let (before, after) = self.parts.split_at(section.unwrap_or_default());
        rows.extend(rows_before(before, grid));
        rows.push(section_row(self.generate(), self.section_tokens(grid)));
        rows.extend(rows_after(&after[1..], self.generate(), grid));
        rows.extend(self.foot.map(|tail| self.tail_row(tail, grid)));
        let budget = Budget::new(self, grid, 0);
        rows.push(total_row(budget.history + budget.section));
        render(&rows) + &self.notes()
    }

    fn tail_row(&self, tail: Tail, grid: Grid) -> Row {
        let (kernel, tokens, kind) = match tail {
            Tail::Delete => (String::new(), "0".into(), "deleted"),
            Tail::Append => (String::new(), "1 each".into(), "appended"),
            Tail::Compress => {
                let tokens = Budget::new(self, grid, 0).history - self.history_tokens(grid);
                ("last".into(), tokens.to_string(), "averaged")
            }
        };
        Row(["tail".into(), kernel, tokens, "-".into(), kind.into()])
    }

    fn notes(&self) -> String {
        let mut notes = String::new();
        if self.has_two_sections() {
            notes.push_str("two g: planned as the inverted form of section 5.1\n");
        }
        if self.parts.contains(&Part::Skip) {
            notes.push_str("x: any number of frames left out\n");
        }
        if self.tail() == Tail::Append {
            notes.push_str(
                "ta: context grows by a token with every tail frame; not for live play\n",
            );
        }
        if self.is_discrete() {
            notes.push_str("+D: history is discretized\n");
        }
        notes
    }
}

/// Rows of what lies before the section; the last part ends at position -1.
fn rows_before(parts: &[Part], grid: Grid) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut start = Place { at: 0, gap: "" };
    for part in parts.iter().rev() {
        match part {
            Part::Run(tiers) => {
                for tier in tiers.iter().rev() {
                    start.at -= i64::from(tier.frames);
                    rows.extend(tier_rows(*tier, start, grid).into_iter().rev());
                }
            }
            Part::Skip => start.gap = "-x",
            Part::Generate(frames) => {
                start.at -= i64::from(*frames);
                rows.push(second_section_row(*frames, start));
            }
        }
    }
    rows.reverse();
    rows
}

/// Rows of what lies after a section of `generate` frames.
fn rows_after(parts: &[Part], generate: usize, grid: Grid) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut start = Place { at: i64::try_from(generate).unwrap_or(i64::MAX), gap: "" };
    for part in parts {
        match part {
            Part::Run(tiers) => {
                for tier in tiers {
                    rows.extend(tier_rows(*tier, start, grid));
                    start.at += i64::from(tier.frames);
                }
            }
            Part::Skip => start.gap = "+x",
            Part::Generate(frames) => {
                rows.push(second_section_row(*frames, start));
                start.at += i64::from(*frames);
            }
        }
    }
    rows
}

/// A position, and the gap of unknown length that it lies beyond.
#[derive(Clone, Copy)]
struct Place {
    at: i64,
    gap: &'static str,
}

impl Place {
    fn name(self, frames_on: usize) -> String {
        format!("{}{}", self.at + i64::try_from(frames_on).unwrap_or(i64::MAX), self.gap)
    }
}

/// A row for each group, or one for all where they are many.
fn tier_rows(tier: Tier, start: Place, grid: Grid) -> Vec<Row> {
    let (groups, frames) = (tier.groups(), tier.kernel.frames());
    let kernel = if tier.long { tier.kernel.long_name() } else { tier.kernel.to_string() };
    let row = |group: String, tokens: usize, position: String| {
        Row([group, kernel.clone(), tokens.to_string(), position, "history".into()])
    };
    if groups > GROUPS_SHOWN {
        let position = format!("{} to {}", start.name(0), start.name((groups - 1) * frames));
        return vec![row(format!("{tier}, {groups} groups"), tier.tokens(grid), position)];
    }
    let one = |at: usize| {
        let place = if groups > 1 { format!(", {} of {groups}", at + 1) } else { String::new() };
        row(format!("{tier}{place}"), tier.kernel.tokens(grid), start.name(at * frames))
    };
    (0..groups).map(one).collect()
}

fn header() -> Row {
    Row(["group", "kernel", "tokens", "position", "kind"].map(String::from))
}

fn section_row(frames: usize, tokens: usize) -> Row {
    let position = if frames > 1 { format!("0 to {}", frames - 1) } else { "0".into() };
    let kernel = Kernel::FINEST.to_string();
    Row([format!("g{frames}"), kernel, tokens.to_string(), position, "section".into()])
}

fn second_section_row(frames: u16, place: Place) -> Row {
    Row([format!("g{frames}"), String::new(), "0".into(), place.name(0), "second g".into()])
}

fn total_row(tokens: usize) -> Row {
    Row(["total".into(), String::new(), tokens.to_string(), String::new(), String::new()])
}

/// Names of frames: first and last where they are consecutive, else each.
fn join(frames: &[FrameId]) -> String {
    let consecutive = frames.windows(2).all(|pair| pair[0].0.checked_add(1) == Some(pair[1].0));
    match frames {
        [first, .., last] if consecutive => format!("{first}-{last}"),
        _ => frames.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    }
}

/// Columns as wide as their widest cell; numbers to the right.
fn render(rows: &[Row]) -> String {
    let width =
        |column: usize| rows.iter().map(|Row(cells)| cells[column].len()).max().unwrap_or(0);
    let [group, kernel, tokens, position] = [width(0), width(1), width(2), width(3)];
    let mut text = String::new();
    for Row([a, b, c, d, e]) in rows {
        let line = format!("{a:<group$}  {b:<kernel$}  {c:>tokens$}  {d:>position$}  {e}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> String {
        name.parse::<Schedule>().unwrap().table(Grid { height: 12, width: 16 })
    }

    #[test]
    fn forward() {
        insta::assert_snapshot!(table("td_f16k4f4k2f1k1_g9"), @r"
        group          kernel  tokens  position  kind
        tail                        0         -  deleted
        f16k4, 1 of 4  k4           4       -21  history
        f16k4, 2 of 4  k4           4       -17  history
        f16k4, 3 of 4  k4           4       -13  history
        f16k4, 4 of 4  k4           4        -9  history
        f4k2, 1 of 2   k2          12        -5  history
        f4k2, 2 of 2   k2          12        -3  history
        f1k1           k1          48        -1  history
        g9             k1         432    0 to 8  section
        total                     520
        ");
    }

    #[test]
    fn endpoint_with_long_runs_and_kernels() {
        insta::assert_snapshot!(table("ta_f512k8f64k4f1k1h2w2_g9_x_f1k1"), @r"
        group              kernel  tokens     position  kind
        tail                       1 each            -  appended
        f512k8, 64 groups  k8          64  -577 to -73  history
        f64k4, 16 groups   k4          64    -65 to -5  history
        f1k1h2w2           k1h2w2      48           -1  history
        g9                 k1         432       0 to 8  section
        f1k1               k1          48          9+x  history
        total                         656
        x: any number of frames left out
        ta: context grows by a token with every tail frame; not for live play
        ");
    }

    #[test]
    fn inverted() {
        insta::assert_snapshot!(table("f1k1_x_g9_f1k1f4k2f16k4_td"), @r"
        group          kernel  tokens  position  kind
        f1k1           k1          48      -1-x  history
        g9             k1         432    0 to 8  section
        f1k1           k1          48         9  history
        f4k2, 1 of 2   k2          12        10  history
        f4k2, 2 of 2   k2          12        12  history
        f16k4, 1 of 4  k4           4        14  history
        f16k4, 2 of 4  k4           4        18  history
        f16k4, 3 of 4  k4           4        22  history
        f16k4, 4 of 4  k4           4        26  history
        tail                        0         -  deleted
        total                     568
        x: any number of frames left out
        ");
    }

    #[test]
    fn two_sections() {
        insta::assert_snapshot!(table("f1k1_x_g9_f1k1f4k2f1k1_g9+D"), @r"
        group         kernel  tokens  position  kind
        f1k1          k1          48      -1-x  history
        g9            k1         432    0 to 8  section
        f1k1          k1          48         9  history
        f4k2, 1 of 2  k2          12        10  history
        f4k2, 2 of 2  k2          12        12  history
        f1k1          k1          48        14  history
        g9                         0        15  second g
        total                    600
        two g: planned as the inverted form of section 5.1
        x: any number of frames left out
        +D: history is discretized
        ");
    }
}
