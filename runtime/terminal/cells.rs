//! A picture as cells of a terminal: upper half blocks, two pixels each.

use std::io::{self, Write};

use crossterm::cursor::MoveTo;
use crossterm::queue;
use crossterm::style::{Color, Colors, Print, ResetColor, SetColors};
use crossterm::terminal::{Clear, ClearType};
use input::Frame;

use crate::start;

/// The upper half of a cell in one colour, the lower half in another.
const HALF_BLOCK: char = '▀';

/// RGB of both halves of a cell, the upper one first.
type Cell = [[u8; 3]; 2];

/// The part of a terminal that shows pictures: all but its last line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cells {
    columns: u16,
    rows: u16,
    /// What stands there, row by row; `None` where that is not known.
    shown: Vec<Option<Cell>>,
}

impl Cells {
    /// Cells of a terminal of this size, of which nothing is known.
    pub(super) fn new(columns: u16, rows: u16) -> Self {
        let rows = rows.saturating_sub(1);
        let shown = vec![None; usize::from(columns) * usize::from(rows)];
        Self { columns, rows, shown }
    }

    /// Rows of the picture; the line below them is free.
    pub(super) fn rows(&self) -> u16 {
        self.rows
    }

    /// Writes what has to change for `frame` to be shown, in the middle, its shape kept.
    pub(super) fn draw(&mut self, frame: &Frame, out: &mut impl Write) -> io::Result<()> {
        let wanted = self.wanted(frame);
        let mut at = None;
        let mut colours = None;
        for (index, (&cell, shown)) in wanted.iter().zip(&mut self.shown).enumerate() {
            if shown.replace(cell) == Some(cell) {
                continue;
            }
            let (row, column) =
                (index / usize::from(self.columns), index % usize::from(self.columns));
            let place = (u16::try_from(column).unwrap_or(0), u16::try_from(row).unwrap_or(0));
            if at != Some(place) {
                queue!(out, MoveTo(place.0, place.1))?;
            }
            if colours != Some(cell) {
                let [top, bottom] = cell.map(|[r, g, b]| Color::Rgb { r, g, b });
                queue!(out, SetColors(Colors::new(top, bottom)))?;
                colours = Some(cell);
            }
            queue!(out, Print(HALF_BLOCK))?;
            at = Some((place.0 + 1, place.1));
        }
        queue!(out, ResetColor)
    }

    /// The cells that show `frame`.
    fn wanted(&self, frame: &Frame) -> Vec<Cell> {
        let mut cells = vec![[[0; 3]; 2]; self.shown.len()];
        let (width, height) = self.fit(frame);
        if width == 0 || height == 0 {
            return cells;
        }
        let small = start::fit(frame, width, height);
        let (columns, pixel_rows) = (u32::from(self.columns), 2 * u32::from(self.rows));
        let (left, top) = ((columns - width) / 2, (pixel_rows - height) / 2);
        for (pixel, at) in small.pixels.chunks_exact(3).zip(0_u32..) {
            let (x, y) = (left + at % width, top + at / width);
            let index = usize::try_from(y / 2 * columns + x).unwrap_or(usize::MAX);
            let half = usize::from(y % 2 == 1);
            cells[index][half].copy_from_slice(pixel);
        }
        cells
    }

    /// Width and height in half cells, which are about square, of the largest picture of the frame's shape.
    fn fit(&self, frame: &Frame) -> (u32, u32) {
        let (columns, rows) = (u64::from(self.columns), 2 * u64::from(self.rows));
        let (width, height) = (u64::from(frame.width).max(1), u64::from(frame.height).max(1));
        let fitted = if columns * height <= rows * width {
            (columns, (columns * height / width).max(1).min(rows))
        } else {
            ((rows * width / height).max(1).min(columns), rows)
        };
        let small = |side| u32::try_from(side).unwrap_or(0);
        (small(fitted.0), small(fitted.1))
    }
}

/// Writes a line of text into row `row`, cut to `columns`.
pub(super) fn line(text: &str, row: u16, columns: u16, out: &mut impl Write) -> io::Result<()> {
    let text: String =
        text.chars().filter(|it| !it.is_control()).take(usize::from(columns)).collect();
    queue!(out, MoveTo(0, row), ResetColor, Print(text), Clear(ClearType::UntilNewLine))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Two pixels side by side above two others.
    fn four(colours: [[u8; 3]; 4]) -> Frame {
        Frame { width: 2, height: 2, pixels: colours.concat() }
    }

    fn drawn(cells: &mut Cells, frame: &Frame) -> String {
        let mut out = Vec::new();
        cells.draw(frame, &mut out).unwrap();
        String::from_utf8(out).unwrap().replace('\u{1b}', "^")
    }

    #[test]
    fn a_cell_shows_two_pixels_and_only_changes_are_written() {
        let mut cells = Cells::new(2, 2);
        let (red, blue, grey) = ([255, 0, 0], [0, 0, 255], [9, 9, 9]);
        let text = drawn(&mut cells, &four([red, blue, blue, grey]));
        let [first, second] = ["^[38;2;255;0;0;48;2;0;0;255m▀", "^[38;2;0;0;255;48;2;9;9;9m▀"];
        assert_eq!(text, format!("^[1;1H{first}{second}^[0m"));
        assert_eq!(drawn(&mut cells, &four([red, blue, blue, grey])), "^[0m");
        assert_eq!(
            drawn(&mut cells, &four([red, blue, blue, red])),
            "^[1;2H^[38;2;0;0;255;48;2;255;0;0m▀^[0m"
        );
        assert_eq!(
            drawn(&mut cells, &Frame::filled(2, 2, red)).matches("48;2;255;0;0m").count(),
            1
        );
    }

    #[test]
    fn a_wide_terminal_shows_the_picture_in_its_middle() {
        let cells = Cells::new(6, 2);
        let white = Frame::filled(4, 4, [255; 3]);
        let lit = |cell: &Cell| cell.iter().any(|half| half[0] > 0);
        let row: Vec<_> = cells.wanted(&white).iter().map(lit).collect();
        assert_eq!(row, [false, false, true, true, false, false]);
        let tall = Cells::new(2, 4);
        let column: Vec<_> =
            tall.wanted(&white).chunks(2).map(|row| row[0].map(|half| half[0])).collect();
        assert_eq!(column, [[0, 0], [255, 255], [0, 0]]);
    }

    #[test]
    fn a_line_is_cut_and_holds_no_codes() {
        let mut out = Vec::new();
        line("a\u{1b}[2Jb and more", 3, 6, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "\u{1b}[4;1H\u{1b}[0ma[2Jb \u{1b}[K");
    }

    proptest! {
        #[test]
        fn every_size_of_terminal_and_picture_can_be_drawn(
            columns in 0_u16..40, rows in 0_u16..20, width in 1_u32..40, height in 1_u32..40,
        ) {
            let mut cells = Cells::new(columns, rows);
            let frame = Frame::filled(width, height, [200; 3]);
            let (fitted_width, fitted_height) = cells.fit(&frame);
            prop_assert!(fitted_width <= u32::from(columns));
            prop_assert!(fitted_height <= 2 * u32::from(rows.saturating_sub(1)));
            drawn(&mut cells, &frame);
            let room = columns > 0 && rows > 1;
            let lit = cells.shown.iter().flatten().flatten().any(|half| half[0] > 0);
            prop_assert_eq!(lit, room);
        }
    }
}
