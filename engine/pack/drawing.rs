//! Schedules as pictures (SVG): which frames, at which kernel, in how many tokens.

use std::fmt::Write as _;

use super::budget::Budget;
use super::kernel::{Grid, Kernel};
use super::schedule::{Part, Schedule, Tail, Tier};

/// Width and height of a frame's picture, in pixels.
const FRAME: (usize, usize) = (96, 72);
/// Room between two pictures.
const GAP: usize = 14;
/// Groups of a tier that are drawn one by one; of more, one stands for all.
const GROUPS_SHOWN: usize = 4;
/// Token lines of a picture on a side at most: more would be black.
const LINES_MAX: usize = 48;
/// Where the pictures begin, from the left and from above.
const ORIGIN: (usize, usize) = (20, 56);
/// Height of the bar of tokens, and of all.
const BAR: usize = 18;
const HEIGHT: usize = ORIGIN.1 + FRAME.1 + 132;

/// One thing on the line of time.
enum Item {
    /// So many groups of one kernel, alike, of so many frames.
    Groups {
        kernel: Kernel,
        long: bool,
        groups: usize,
        frames: usize,
    },
    Section(usize),
    /// A second section, which is not planned.
    SecondSection(usize),
    Skip,
    Tail(Tail),
}

impl Schedule {
    /// The schedule drawn in temporal order: a picture for each group, cut into its tokens, and below them a bar
    /// with the share of the tokens that each takes.
    #[must_use]
    pub fn svg(&self, grid: Grid) -> String {
        let items = self.items();
        let budget = Budget::new(self, grid, 0);
        let width = (2 * ORIGIN.0 + items.len() * (FRAME.0 + GAP)).max(480);
        let mut svg = String::new();
        let _ = writeln!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{HEIGHT}\" \
             viewBox=\"0 0 {width} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">"
        );
        let _ = writeln!(svg, "<rect width=\"{width}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>");
        text(&mut svg, (ORIGIN.0, 24), "start", "bold", &self.to_string());
        let grows = if budget.grows { ", and more with every frame of the tail" } else { "" };
        let sum = format!(
            "{} history + {} section = {} tokens{grows}",
            budget.history,
            budget.section,
            budget.history + budget.section
        );
        text(&mut svg, (ORIGIN.0, 42), "start", "normal", &sum);
        for (at, item) in items.iter().enumerate() {
            self.draw(&mut svg, item, ORIGIN.0 + at * (FRAME.0 + GAP), grid);
        }
        self.draw_bar(&mut svg, &items, width - 2 * ORIGIN.0, grid);
        svg.push_str("</svg>\n");
        svg
    }

    fn items(&self) -> Vec<Item> {
        let mut items: Vec<Item> = self.head.map(Item::Tail).into_iter().collect();
        let mut sections = 0;
        for part in &self.parts {
            match part {
                Part::Run(tiers) => items.extend(tiers.iter().flat_map(|tier| tier_items(*tier))),
                Part::Skip => items.push(Item::Skip),
                Part::Generate(frames) => {
                    let frames = usize::from(*frames);
                    items.push(if sections == 0 {
                        Item::Section(frames)
                    } else {
                        Item::SecondSection(frames)
                    });
                    sections += 1;
                }
            }
        }
        items.extend(self.foot.map(Item::Tail));
        items
    }

    /// A picture at `x` with four lines of words below it.
    fn draw(&self, svg: &mut String, item: &Item, x: usize, grid: Grid) {
        let words: [String; 4] = match item {
            Item::Groups { kernel, long, groups, frames } => {
                picture(svg, x, *kernel, grid, colour(item));
                let name = if *long { kernel.long_name() } else { kernel.to_string() };
                let times = if *groups > 1 { format!("{groups} groups") } else { String::new() };
                [name, count(*frames, "frame"), count(self.tokens(item, grid), "token"), times]
            }
            Item::Section(frames) => {
                picture(svg, x, Kernel::FINEST, grid, colour(item));
                let tokens = count(self.tokens(item, grid), "token");
                [format!("g{frames}"), count(*frames, "frame"), tokens, "generated".into()]
            }
            Item::SecondSection(frames) => {
                frame(svg, x, "none");
                [format!("g{frames}"), "second g:".into(), "not planned".into(), String::new()]
            }
            Item::Skip => {
                let y = ORIGIN.1 + FRAME.1 / 2;
                text(svg, (x + FRAME.0 / 2, y), "middle", "bold", "· · ·");
                ["x".into(), "any number".into(), "left out".into(), String::new()]
            }
            Item::Tail(tail) => {
                frame(svg, x, colour(item));
                let what = match tail {
                    Tail::Delete => ["deleted", "0 tokens"],
                    Tail::Append => ["appended", "1 cell a frame"],
                    Tail::Compress => ["averaged", ""],
                };
                let tokens = self.tokens(item, grid);
                let tokens =
                    if *tail == Tail::Compress { count(tokens, "token") } else { what[1].into() };
                [tail.to_string(), "older frames".into(), what[0].into(), tokens]
            }
        };
        for (line, words) in words.iter().enumerate().filter(|(_, words)| !words.is_empty()) {
            let y = ORIGIN.1 + FRAME.1 + 18 + 16 * line;
            let weight = if line == 0 { "bold" } else { "normal" };
            text(svg, (x + FRAME.0 / 2, y), "middle", weight, words);
        }
    }

    fn draw_bar(&self, svg: &mut String, items: &[Item], width: usize, grid: Grid) {
        let tokens: Vec<usize> = items.iter().map(|item| self.tokens(item, grid)).collect();
        let total = tokens.iter().sum::<usize>().max(1);
        let (y, mut before) = (HEIGHT - BAR - 14, 0);
        for (item, tokens) in items.iter().zip(tokens) {
            let (start, end) = (before * width / total, (before + tokens) * width / total);
            if end > start {
                let _ = writeln!(
                    svg,
                    "<rect x=\"{}\" y=\"{y}\" width=\"{}\" height=\"{BAR}\" fill=\"{}\" \
                     stroke=\"#ffffff\"/>",
                    ORIGIN.0 + start,
                    end - start,
                    colour(item)
                );
            }
            before += tokens;
        }
    }

    /// Tokens that are there with every section.
    fn tokens(&self, item: &Item, grid: Grid) -> usize {
        match item {
            Item::Groups { kernel, groups, .. } => groups * kernel.tokens(grid),
            Item::Section(_) => self.section_tokens(grid),
            Item::Tail(_) => Budget::new(self, grid, 0).history - self.history_tokens(grid),
            Item::SecondSection(_) | Item::Skip => 0,
        }
    }
}

fn tier_items(tier: Tier) -> Vec<Item> {
    let Tier { kernel, long, .. } = tier;
    let all = usize::from(tier.frames);
    if tier.groups() > GROUPS_SHOWN {
        return vec![Item::Groups { kernel, long, groups: tier.groups(), frames: all }];
    }
    let frames = |at: usize| (all - at * kernel.frames()).min(kernel.frames());
    let one = |at| Item::Groups { kernel, long, groups: 1, frames: frames(at) };
    (0..tier.groups()).map(one).collect()
}

fn colour(item: &Item) -> &'static str {
    match item {
        Item::Groups { kernel, .. } => match kernel.frames() * kernel.height() * kernel.width() / 4
        {
            ..=1 => "#2f6f9f",
            2..=8 => "#4f94c4",
            9..=64 => "#7fb4d9",
            65..=512 => "#a8cce6",
            513.. => "#cfe2f0",
        },
        Item::Section(_) => "#e2862f",
        Item::SecondSection(_) | Item::Skip => "none",
        Item::Tail(_) => "#dddddd",
    }
}

fn frame(svg: &mut String, x: usize, fill: &str) {
    let (width, height) = FRAME;
    let _ = writeln!(
        svg,
        "<rect x=\"{x}\" y=\"{}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\" \
         stroke=\"#444444\" stroke-dasharray=\"4 3\"/>",
        ORIGIN.1
    );
}

/// A frame cut into the tokens of a kernel.
fn picture(svg: &mut String, x: usize, kernel: Kernel, grid: Grid, fill: &str) {
    let ((width, height), y) = (FRAME, ORIGIN.1);
    let _ = writeln!(
        svg,
        "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\" \
         stroke=\"#222222\"/>"
    );
    let (rows, columns) = (usize::from(grid.height), usize::from(grid.width));
    let mut path = String::new();
    if rows.div_ceil(kernel.height()) <= LINES_MAX && columns.div_ceil(kernel.width()) <= LINES_MAX
    {
        for at in (kernel.height()..rows).step_by(kernel.height()) {
            let _ = write!(path, "M{x} {}h{width}", y + at * height / rows);
        }
        for at in (kernel.width()..columns).step_by(kernel.width()) {
            let _ = write!(path, "M{} {y}v{height}", x + at * width / columns);
        }
    }
    let _ =
        writeln!(svg, "<path d=\"{path}\" stroke=\"#ffffff\" stroke-width=\"1\" fill=\"none\"/>");
}

fn text(svg: &mut String, (x, y): (usize, usize), anchor: &str, weight: &str, words: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\" font-weight=\"{weight}\">{words}</text>"
    );
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { height: 12, width: 16 };

    fn svg(name: &str) -> String {
        name.parse::<Schedule>().unwrap().svg(GRID)
    }

    #[test]
    fn every_group_has_its_kernel_frames_and_tokens() {
        let svg = svg("td_f16k4f4k2f5k1_g1");
        let count = |what: &str| svg.matches(what).count();
        assert_eq!([count(">k4<"), count(">k2<"), count(">k1<")], [4, 2, 1]);
        assert_eq!([count(">4 tokens<"), count(">12 tokens<"), count(">240 tokens<")], [4, 2, 1]);
        assert_eq!([count(">5 groups<"), count(">4 frames<"), count(">g1<")], [1, 4, 1]);
        assert!(svg.contains("280 history + 48 section = 328 tokens<"), "{svg}");
        // Picture by picture: 1 + 1 lines at k4, 2 + 3 at k2, 5 + 7 at k1.
        assert_eq!(count("h96"), 4 + 2 * 2 + 2 * 5);
        assert_eq!(count("v72"), 4 + 2 * 3 + 2 * 7);
    }

    #[test]
    fn gaps_tails_and_a_second_section_are_drawn() {
        let inverted = svg("f1k1_x_g9_f1k1f4k2f1k1_g9+D");
        assert!(inverted.contains(">not planned<") && inverted.contains(">any number<"));
        assert!(svg("ta_f1k1_g1").contains("and more with every frame of the tail"));
        assert!(svg("tc_f16k4f1k1_g1").contains(">averaged<"));
        assert!(svg("f1k1_x_g9_f1k1_td").contains(">deleted<"));
    }

    #[test]
    fn the_bar_is_as_long_as_all_tokens() {
        for name in ["td_f16k4f4k2f5k1_g1", "tc_f512k16f64k8f8k2f1k1_g9_x_f1k1"] {
            let svg = svg(name);
            let bars = svg.lines().filter(|line| line.contains(&format!("height=\"{BAR}\"")));
            let ends = bars.map(|line| {
                let number = |key: &str| -> usize {
                    let (_, rest) = line.split_once(&format!("{key}=\"")).unwrap();
                    rest.split_once('"').unwrap().0.parse().unwrap()
                };
                (number(" x"), number("width"))
            });
            let ends: Vec<_> = ends.collect();
            let width: usize = ends.iter().map(|(_, width)| width).sum();
            let (last, length) = ends[ends.len() - 1];
            assert_eq!(last + length, ORIGIN.0 + width, "{name}");
            assert!(svg.contains(&format!("width=\"{}\"", width + 2 * ORIGIN.0)), "{name}");
        }
    }
}
