//! What a person sees of a training: a bar with rate and time left, and the loss over time.

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use plotters::prelude as plot;
use plotters::prelude::IntoDrawingArea as _;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Steps whose mean loss is one point of the curve.
const POINT_STEPS: u32 = 25;

/// Progress of one training.
pub(super) struct Progress {
    bar: ProgressBar,
    curve: PathBuf,
    points: Vec<(u32, f32)>,
    sum: f32,
    count: u32,
}

impl Progress {
    /// Goes on with the curve in `dir` (`loss.csv`) where there is one.
    pub(super) fn new(dir: &Path, done: u32, steps: u32) -> Result<Self> {
        let template = "{bar:30} {pos}/{len} steps, {per_sec}, {eta} left, {msg}";
        let bar =
            ProgressBar::new(u64::from(steps)).with_style(ProgressStyle::with_template(template)?);
        bar.set_position(u64::from(done));
        bar.reset_eta();
        let curve = dir.join("loss.csv");
        let points = std::fs::read_to_string(&curve).unwrap_or_default();
        let points = points.lines().skip(1).filter_map(|line| {
            let (step, loss) = line.split_once(',')?;
            Some((step.parse().ok()?, loss.parse().ok()?))
        });
        let points = points.filter(|(step, _)| *step <= done).collect();
        Ok(Self { bar, curve, points, sum: 0.0, count: 0 })
    }

    /// One step was made; `samples` of them a second.
    pub(super) fn step(&mut self, step: u32, loss: f32, samples_per_second: f64) {
        self.sum += loss;
        self.count += 1;
        self.bar.set_position(u64::from(step));
        if self.count >= POINT_STEPS {
            #[expect(clippy::cast_precision_loss, reason = "25 steps")]
            let mean = self.sum / self.count as f32;
            self.points.push((step, mean));
            self.bar.set_message(format!("loss {mean:.4}, {samples_per_second:.1} samples/s"));
            if self.bar.is_hidden() {
                eprintln!("step {step}: loss {mean:.4}, {samples_per_second:.1} samples/s");
            }
            (self.sum, self.count) = (0.0, 0);
        }
    }

    /// Something to read above the bar.
    pub(super) fn say(&self, text: &str) {
        if self.bar.is_hidden() {
            eprintln!("{text}");
        } else {
            self.bar.println(text);
        }
    }

    /// Writes the curve: `loss.csv`, and a picture of it, `loss.png`.
    pub(super) fn save(&self) -> Result<()> {
        let mut text = String::from("step,loss\n");
        for (step, loss) in &self.points {
            writeln!(text, "{step},{loss}")?;
        }
        std::fs::write(&self.curve, text)
            .with_context(|| format!("write {}", self.curve.display()))?;
        let picture = self.curve.with_extension("png");
        draw(&picture, &self.points)
            .map_err(|error| anyhow::anyhow!("draw {}: {error}", picture.display()))
    }
}

fn draw(path: &Path, points: &[(u32, f32)]) -> Result<(), Box<dyn std::error::Error>> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Ok(()) };
    let low = points.iter().map(|point| point.1).fold(f32::MAX, f32::min);
    let high = points.iter().map(|point| point.1).fold(f32::MIN, f32::max);
    let root = plot::BitMapBackend::new(path, (800, 400)).into_drawing_area();
    root.fill(&plot::WHITE)?;
    // Grid lines without labels: those would need a font on the machine; numbers are in loss.csv.
    let mut chart = plot::ChartBuilder::on(&root).margin(10).build_cartesian_2d(
        f64::from(first.0)..f64::from(last.0.max(first.0 + 1)),
        low * 0.95..high * 1.05,
    )?;
    chart.configure_mesh().draw()?;
    let line = points.iter().map(|&(step, loss)| (f64::from(step), loss));
    chart.draw_series(plot::LineSeries::new(line, &plot::BLUE))?;
    root.present()?;
    Ok(())
}
