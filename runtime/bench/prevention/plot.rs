//! Lines over seconds as SVG.

use std::fmt::Write as _;

/// Room for the lines, from the left and from above, and its size.
const AREA: [f64; 4] = [64.0, 36.0, 520.0, 260.0];
/// Size of the drawing; the names stand at the right, and many of them make it higher.
const SIZE: [f64; 2] = [760.0, 350.0];
/// Distance of two names.
const LINE: f64 = 18.0;
/// Colours apart for most eyes, on black and on white.
const COLOURS: [&str; 12] = [
    "#8c8c96", "#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f", "#c9a624", "#b07aa1",
    "#ff899d", "#9c755f", "#2f6f9f", "#d37295",
];

/// Named lines, a point for every second.
pub(super) fn lines(title: &str, lines: &[(&str, &[f64])]) -> String {
    let [left, top, width, height] = AREA;
    let all = || lines.iter().flat_map(|(_, values)| values.iter().copied());
    let (low, high) = all().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let (low, high) = match high - low {
        span if span > 0.0 => (low, high),
        0.0 => (low - 1.0, low + 1.0),
        // No value at all.
        _ => (0.0, 1.0),
    };
    let longest = lines.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    let x = |second: usize| left + width * (second as f64 + 0.5) / longest.max(1) as f64;
    let y = |value: f64| top + height * (high - value) / (high - low);
    let [across, up] = SIZE;
    let up = up.max(top + LINE * (lines.len() as f64 + 1.0));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{across}\" height=\"{up}\" font-family=\"sans-serif\" \
         font-size=\"12\"><rect width=\"{across}\" height=\"{up}\" fill=\"#ffffff\"/>\n"
    );
    let mut text = |x: f64, y: f64, anchor: &str, words: &str| {
        let words = words.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"
        );
    };
    text(left, 20.0, "start", title);
    for part in 0..=4_u32 {
        let value = low + (high - low) * f64::from(part) / 4.0;
        text(left - 6.0, y(value) + 4.0, "end", &round(value, high - low));
    }
    for second in (0..longest).step_by(longest.div_ceil(8).max(1)) {
        text(x(second), top + height + 18.0, "middle", &second.to_string());
    }
    for (at, (name, _)) in lines.iter().enumerate() {
        text(left + width + 40.0, top + 14.0 + LINE * at as f64, "start", name);
    }
    for part in 0..=4_u32 {
        let y = top + height * f64::from(part) / 4.0;
        let _ = writeln!(svg, "<path d=\"M{left} {y}h{width}\" stroke=\"#dddddd\"/>");
    }
    for (at, (_, values)) in lines.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        // Beyond the colours that can be told apart, lines are dashed.
        let dash = 5 * (at / COLOURS.len());
        let points = values.iter().enumerate().map(|(at, &v)| format!("{:.1},{:.1}", x(at), y(v)));
        let points = points.collect::<Vec<_>>().join(" ");
        let _ = writeln!(
            svg,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"/>"
        );
        let (x, y) = (left + width + 12.0, top + 10.0 + LINE * at as f64);
        let _ = writeln!(
            svg,
            "<path d=\"M{x} {y}h22\" stroke=\"{colour}\" stroke-width=\"3\" stroke-dasharray=\"{dash}\"/>"
        );
    }
    svg + "</svg>\n"
}

/// With as many digits as tell values of this span apart.
fn round(value: f64, span: f64) -> String {
    match span {
        span if span >= 40.0 => format!("{value:.0}"),
        span if span >= 4.0 => format!("{value:.1}"),
        span if span >= 0.04 => format!("{value:.3}"),
        _ => format!("{value:.5}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_run_from_corner_to_corner_and_names_cannot_break_out() {
        let svg = lines("a", &[("<b>&", &[1.0, 2.0]), ("c", &[])]);
        assert!(svg.contains("points=\"194.0,296.0 454.0,36.0\""), "{svg}");
        assert!(svg.contains("&lt;b>&amp;") && !svg.contains("<b>"), "{svg}");
        assert_eq!(svg.matches("<polyline").count(), 2);
        // A flat line, or none, is drawn all the same.
        assert!(!lines("a", &[("b", &[3.0])]).contains("NaN"));
        assert!(!lines("a", &[]).contains("NaN"));
    }
}
