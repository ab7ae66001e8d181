//! Plots of a report as SVG: readable on light and on dark ground.

use std::ops::Range;

use anyhow::{Result, anyhow};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::{
    Cartesian2d, ChartBuilder, ChartContext, Circle, Color as _, DrawingArea, IntoDrawingArea as _,
    IntoFont as _, LineSeries, PathElement, RGBColor, SVGBackend, ShapeStyle, Text, TextStyle,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::figures::{Curve, Figures, bucket_name};
use super::report::Report;
use super::trial::Task;

/// A drawing.
#[derive(Clone, Debug)]
pub(super) struct Plot {
    /// Its file, without the ending.
    pub(super) name: &'static str,
    /// What stands above it.
    pub(super) title: &'static str,
    /// The drawing.
    pub(super) svg: String,
}

/// Size of a drawing in pixels: chart, and names of the lines beside it.
const SIZE: (u32, u32) = (760, 360);
const NAMES_WIDTH: i32 = 190;
/// Axes and grid: seen on black and on white.
const GREY: RGBColor = RGBColor(128, 128, 128);
/// Colours of lines, apart for most eyes, on black and on white.
const COLOURS: [RGBColor; 10] = [
    RGBColor(78, 121, 167),
    RGBColor(242, 142, 43),
    RGBColor(225, 87, 89),
    RGBColor(118, 183, 178),
    RGBColor(89, 161, 79),
    RGBColor(201, 166, 36),
    RGBColor(176, 122, 161),
    RGBColor(255, 137, 157),
    RGBColor(156, 117, 95),
    RGBColor(140, 140, 150),
];
/// Text follows the reader's ground; the drawing itself has none.
const STYLE: &str =
    "<style>svg text{fill:#333}@media(prefers-color-scheme:dark){svg text{fill:#ddd}}</style>";

/// One line, or loose points where it is not `joined`.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
    joined: bool,
}

/// Names along the axes, and the places on the lower one that are written out.
struct Axes {
    across: &'static str,
    ticks: Vec<(f64, String)>,
}

type Failed = Box<dyn std::error::Error + Send + Sync>;
type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// All plots for which there is something to draw.
pub(super) fn draw_all(report: &Report) -> Result<Vec<Plot>> {
    let figures = &report.figures;
    let plots = [
        ("gap", "Returned views: PSNR against the frames since they were seen", by_gap(figures)),
        ("ahead", "Rollouts: PSNR against seconds", by_ahead(figures, report.header.fps)),
        ("lambda", "Validation: PSNR against the weight of nearness in time", by_weight(figures)),
        ("tokens", "PSNR against the tokens of a section and its history", by_tokens(report)),
    ];
    let drawn = plots.into_iter().filter(|(.., (lines, _))| !lines.is_empty());
    let draw = |(name, title, (lines, axes)): (_, _, (Vec<Line>, Axes))| {
        let svg = draw(&lines, &axes).map_err(|error| anyhow!("draw {name}: {error}"))?;
        Ok(Plot { name, title, svg })
    };
    drawn.map(draw).collect()
}

fn named(curve: &Curve, all: &[Curve]) -> String {
    let one = all.iter().all(|other| other.schedule == curve.schedule);
    if one { curve.arm.clone() } else { format!("{} {}", curve.arm, curve.schedule) }
}

fn by_gap(figures: &Figures) -> (Vec<Line>, Axes) {
    let curves = &figures.by_gap;
    let line = |curve: &Curve| Line {
        name: named(curve, curves),
        points: curve.points.iter().map(|&(at, psnr, _)| (at as f64, psnr)).collect(),
        joined: true,
    };
    let mut buckets: Vec<usize> =
        curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.0)).collect();
    buckets.sort_unstable();
    buckets.dedup();
    let ticks = buckets.into_iter().map(|at| (at as f64, bucket_name(at))).collect();
    (curves.iter().map(line).collect(), Axes { across: "frames since the view was seen", ticks })
}

fn by_ahead(figures: &Figures, fps: f32) -> (Vec<Line>, Axes) {
    let curves = &figures.by_ahead;
    let seconds = |at: usize| at as f64 / f64::from(fps);
    let line = |curve: &Curve| Line {
        name: named(curve, curves),
        points: curve.points.iter().map(|&(at, psnr, _)| (seconds(at), psnr)).collect(),
        joined: true,
    };
    let lines: Vec<Line> = curves.iter().map(line).collect();
    let last = extent(&lines, |point| point.0).end;
    let ticks = steps(&(0.0..last)).into_iter().map(|at| (at, format!("{at}"))).collect();
    (lines, Axes { across: "seconds after the last real frame", ticks })
}

fn by_weight(figures: &Figures) -> (Vec<Line>, Axes) {
    // A weight of 0 has its place left of the least other one.
    let place = |weight: f32| f64::from(weight).max(0.01).log10();
    let mut lines: Vec<Line> = Vec::new();
    for weighed in &figures.weights {
        let kind = weighed.arm.split('@').next().unwrap_or_default();
        let suffix =
            weighed.arm.split_once('+').map_or(String::new(), |(_, how)| format!("+{how}"));
        for (task, psnr) in &weighed.tasks {
            let name = format!("{kind}{suffix}: {task}");
            let point = (place(weighed.weight), *psnr);
            match lines.iter_mut().find(|line| line.name == name) {
                Some(line) => line.points.push(point),
                None => lines.push(Line { name, points: vec![point], joined: true }),
            }
        }
    }
    let weights = figures.weights.iter().map(|weighed| weighed.weight);
    let mut ticks: Vec<(f64, String)> =
        weights.map(|weight| (place(weight), weight.to_string())).collect();
    ticks.sort_by(|a, b| a.0.total_cmp(&b.0));
    ticks.dedup_by(|a, b| a.1 == b.1);
    (lines, Axes { across: "weight of nearness in time (logarithmic)", ticks })
}

fn by_tokens(report: &Report) -> (Vec<Line>, Axes) {
    // The task that most depends on history among those that were tried.
    let task = [Task::Revisit, Task::Rollout, Task::Turn, Task::Next];
    let task = task.into_iter().find(|&task| report.rows(task).next().is_some());
    let rows: Vec<_> = task.into_iter().flat_map(|task| report.rows(task)).collect();
    let mut lines: Vec<Line> = Vec::new();
    for row in rows {
        let point = (row.history_tokens + row.section_tokens as f64, row.psnr);
        match lines.iter_mut().find(|line| line.name == row.arm) {
            Some(line) => line.points.push(point),
            None => lines.push(Line { name: row.arm.clone(), points: vec![point], joined: false }),
        }
    }
    let across = extent(&lines, |point| point.0);
    let ticks = steps(&(0.0..across.end)).into_iter().map(|at| (at, format!("{at}"))).collect();
    (lines, Axes { across: "tokens", ticks })
}

/// From the least to the greatest.
fn extent(lines: &[Line], value: fn(&(f64, f64)) -> f64) -> Range<f64> {
    let values = lines.iter().flat_map(|line| line.points.iter().map(value));
    values.fold(f64::INFINITY..f64::NEG_INFINITY, |all, one| all.start.min(one)..all.end.max(one))
}

/// Round numbers within a range, four to ten of them.
fn steps(range: &Range<f64>) -> Vec<f64> {
    let span = (range.end - range.start).max(1e-9);
    let power = 10_f64.powf((span / 4.0).log10().floor());
    let step =
        [5.0, 2.0, 1.0].map(|times| times * power).into_iter().find(|step| span / step >= 4.0);
    let step = step.unwrap_or(power);
    let first = (range.start / step).ceil();
    let places = (0..12).map(|at| (first + f64::from(at)) * step);
    // Tenths that are not quite tenths would be written with seventeen digits.
    let round = |at: f64| (at * 1e6).round() / 1e6;
    places.filter(|&at| at <= range.end + 1e-9).map(round).collect()
}

fn draw(lines: &[Line], axes: &Axes) -> Result<String, Failed> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let split = i32::try_from(SIZE.0)? - NAMES_WIDTH;
        let (chart, names) = root.split_horizontally(split);
        draw_chart(&chart, lines, axes)?;
        for (at, line) in lines.iter().enumerate() {
            let y = 24 + 20 * i32::try_from(at)?;
            let style = style_of(at);
            let mark = PathElement::new(vec![(8, y), (30, y)], style.stroke_width(3));
            names.draw(&mark).map_err(|error| error.to_string())?;
            let text = Text::new(line.name.clone(), (38, y), text(HPos::Left, VPos::Center));
            names.draw(&text).map_err(|error| error.to_string())?;
        }
        root.present().map_err(|error| error.to_string())?;
    }
    let start = svg.find('>').ok_or("expected an element")? + 1;
    svg.insert_str(start, STYLE);
    Ok(svg)
}

fn draw_chart(area: &Area<'_>, lines: &[Line], axes: &Axes) -> Result<(), Failed> {
    let (x, y) = (extent(lines, |point| point.0), extent(lines, |point| point.1));
    let ends = axes.ticks.iter().map(|tick| tick.0);
    let (low, high) =
        ends.fold((x.start, x.end), |(low, high), tick| (low.min(tick), high.max(tick)));
    let pad = |span: f64| (span * 0.05).max(0.05);
    let (x, y) = (
        low - pad(high - low)..high + pad(high - low),
        y.start - pad(y.end - y.start)..y.end + pad(y.end - y.start),
    );
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        // Room for the unit above the highest level.
        .margin_top(28)
        .set_left_and_bottom_label_area_size(44)
        .build_cartesian_2d(x.clone(), y.clone())
        .map_err(|error| error.to_string())?;
    draw_axes(area, &mut chart, axes, (&x, &y))?;
    for (at, line) in lines.iter().enumerate() {
        let style = style_of(at);
        if line.joined {
            let series = LineSeries::new(line.points.iter().copied(), style.stroke_width(2));
            chart.draw_series(series).map_err(|error| error.to_string())?;
        }
        // Beyond so many, marks hide the lines.
        if line.points.len() <= 12 {
            let marks = line.points.iter().map(|&point| Circle::new(point, 4, style));
            chart.draw_series(marks).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

fn draw_axes(
    area: &Area<'_>,
    chart: &mut Chart<'_, '_>,
    axes: &Axes,
    (x, y): (&Range<f64>, &Range<f64>),
) -> Result<(), Failed> {
    let grid = |from, to| PathElement::new(vec![from, to], GREY.mix(0.35));
    let levels = steps(y);
    let across = levels.iter().map(|&at| grid((x.start, at), (x.end, at)));
    let up = axes.ticks.iter().map(|&(at, _)| grid((at, y.start), (at, y.end)));
    chart.draw_series(across.chain(up)).map_err(|error| error.to_string())?;
    let origin = area.get_base_pixel();
    let pixel = |chart: &Chart<'_, '_>, point: (f64, f64)| {
        let (x, y) = chart.backend_coord(&point);
        (x - origin.0, y - origin.1)
    };
    let write = |words: String, place: (i32, i32), across: HPos, up: VPos| {
        let text = Text::new(words, place, text(across, up));
        area.draw(&text).map_err(|error| Failed::from(error.to_string()))
    };
    for &level in &levels {
        let (left, height) = pixel(chart, (x.start, level));
        write(format!("{level}"), (left - 6, height), HPos::Right, VPos::Center)?;
    }
    for (at, words) in &axes.ticks {
        let (place, bottom) = pixel(chart, (*at, y.start));
        write(words.clone(), (place, bottom + 6), HPos::Center, VPos::Top)?;
    }
    let (right, bottom) = pixel(chart, (x.end, y.start));
    write(axes.across.to_owned(), (right, bottom + 24), HPos::Right, VPos::Top)?;
    let (left, top) = pixel(chart, (x.start, y.end));
    write("dB".to_owned(), (left - 6, top - 6), HPos::Right, VPos::Bottom)?;
    Ok(())
}

fn style_of(at: usize) -> ShapeStyle {
    COLOURS[at % COLOURS.len()].filled()
}

fn text(across: HPos, up: VPos) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", 12).into_font()).pos(Pos::new(across, up))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_within_the_range() {
        assert_eq!(steps(&(0.0..2.0)), [0.0, 0.5, 1.0, 1.5, 2.0]);
        assert_eq!(steps(&(13.2..18.1)), [14.0, 15.0, 16.0, 17.0, 18.0]);
        assert_eq!(steps(&(0.0..328.0)), [0.0, 50.0, 100.0, 150.0, 200.0, 250.0, 300.0]);
        assert!(steps(&(5.0..5.0)).len() <= 12);
    }

    #[test]
    fn names_cannot_break_out_of_the_drawing() {
        let line = Line { name: "<script>&".to_owned(), points: vec![(0.0, 1.0)], joined: true };
        let svg =
            draw(&[line], &Axes { across: "x", ticks: vec![(0.0, "<b>".to_owned())] }).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
        assert!(!svg.contains("<script>") && !svg.contains("<b>"), "{svg}");
        assert!(svg.contains("&lt;script&gt;&amp;"), "{svg}");
    }
}
