//! `oneiro episodes inspect`: what recorded play is, how long, and what its actions mean.

use std::fmt;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use input::{Action, ActionLayout, EpisodeError, Frame, Kind, Recording, episodes_in};

use crate::train::picture::write_strip;

/// Episodes in a sheet, one a row.
const SHEET_ROWS: usize = 6;
/// Frames of each.
const SHEET_COLUMNS: usize = 8;
/// Most frames between two of a row: what comes later takes long to decode.
const MOST_BETWEEN: usize = 20;
/// Width of a frame in a sheet, in pixels.
const SHEET_WIDTH: u32 = 160;

/// Options of `episodes inspect`.
#[derive(Args, Clone, Debug)]
pub struct InspectArgs {
    /// Recorded play, or folders of it: .npz clips, sessions, or public data sets as they are downloaded (TECO DMLab
    /// and Minecraft, Memory Maze, VPT, WorldMem, LoopNav, GF-Minecraft, Counter-Strike of Pearce, LeRobot v3, Minari)
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// Draw frames of some episodes into this picture, an episode a row
    #[arg(long, value_name = "FILE.png")]
    pub sheet: Option<PathBuf>,
}

/// Prints a line for each episode at or below the paths, what the actions of each kind mean, and a line for all.
/// Pictures are read only for the sheet.
///
/// # Errors
/// When an episode cannot be read, or there is none; the others are printed all the same.
pub fn run(args: &InspectArgs) -> Result<()> {
    if let Some(sheet) = &args.sheet {
        let is_picture = sheet.extension().is_some_and(|it| it.eq_ignore_ascii_case("png"));
        ensure!(is_picture, "expected --sheet FILE.png, got {}", sheet.display());
    }
    let mut found = Vec::new();
    for path in &args.paths {
        found.extend(episodes_in(path)?);
    }
    if found.is_empty() {
        bail!("expected recorded play, found none at {}", list(&args.paths));
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} episodes, {eta} left")?;
    let bar = ProgressBar::new(found.len() as u64).with_style(style);
    let mut groups: Vec<Group> = Vec::new();
    let mut sheet = Sheet { every: found.len().div_ceil(SHEET_ROWS), rows: Vec::new() };
    let mut unreadable = 0;
    for (number, path) in found.iter().enumerate() {
        let wanted = args.sheet.is_some() && number % sheet.every == 0;
        let read = Recording::open(path).and_then(|recording| {
            let (kind, layout) = (recording.kind, recording.layout.clone());
            let (summary, actions) = (Summary::of(&recording), recording.actions.clone());
            if wanted {
                sheet.add(recording)?;
            }
            Ok((kind, layout, summary, actions))
        });
        bar.suspend(|| match read {
            Ok((kind, layout, summary, actions)) => {
                writeln!(io::stdout(), "{}: {summary}", path.display())?;
                let known =
                    groups.iter().position(|group| group.kind == kind && group.layout == layout);
                let at = known.unwrap_or_else(|| {
                    groups.push(Group::new(kind, layout));
                    groups.len() - 1
                });
                groups[at].add(&summary, &actions);
                Ok(())
            }
            Err(error) => {
                unreadable += 1;
                writeln!(io::stderr(), "oneiro: {error}")
            }
        })?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    print_all(&groups, args, &sheet)?;
    if unreadable > 0 {
        bail!("{unreadable} of {} episodes could not be read", found.len());
    }
    Ok(())
}

fn print_all(groups: &[Group], args: &InspectArgs, sheet: &Sheet) -> Result<()> {
    let mut out = io::stdout().lock();
    for group in groups {
        write!(out, "{group}")?;
    }
    if let Some(path) = &args.sheet
        && !sheet.rows.is_empty()
    {
        sheet.write(path).with_context(|| format!("write {}", path.display()))?;
        writeln!(out, "wrote {}", path.display())?;
    }
    let episodes: usize = groups.iter().map(|group| group.episodes).sum();
    let frames: usize = groups.iter().map(|group| group.frames).sum();
    let seconds = groups.iter().fold(0.0, |sum, group| sum + group.seconds);
    writeln!(out, "{episodes} episodes, {frames} frames, {:.1} minutes", seconds / 60.0)?;
    Ok(())
}

fn list(paths: &[PathBuf]) -> String {
    let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    names.join(", ")
}

/// What is worth knowing of an episode.
#[derive(Clone, Debug, PartialEq)]
struct Summary {
    frames: usize,
    width: u32,
    height: u32,
    fps: f32,
    seconds: f64,
    moving: f64,
    turning: f64,
    poses: bool,
    source: String,
}

impl Summary {
    fn of(recording: &Recording) -> Self {
        let frames = recording.actions.len();
        let share = |wanted: fn(&Action) -> bool| {
            let count = recording.actions.iter().filter(|action| wanted(action)).count();
            ratio(count, frames)
        };
        Self {
            frames,
            width: recording.width,
            height: recording.height,
            fps: recording.fps,
            seconds: ratio(frames, 1) / f64::from(recording.fps),
            moving: share(|action| action.forward.abs() + action.strafe.abs() > 0.0),
            turning: share(|action| action.turn.abs() > 0.0),
            poses: recording.poses.is_some(),
            source: recording.source.chars().filter(|c| !c.is_control()).collect(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { frames, width, height, fps, seconds, moving, turning, poses, source } = self;
        let poses = if *poses { "poses" } else { "no poses" };
        write!(
            f,
            "{frames} frames of {width}x{height} at {fps}/s ({seconds:.1} s), \
             {:.0} % moving, {:.0} % turning, {poses}, {source}",
            moving * 100.0,
            turning * 100.0
        )
    }
}

/// Episodes of one kind whose actions mean the same.
#[derive(Clone, Debug)]
struct Group {
    kind: Kind,
    layout: ActionLayout,
    episodes: usize,
    frames: usize,
    seconds: f64,
    /// Least and greatest value of each axis.
    axes: [(f32, f32); 4],
    /// Frames with each button down.
    buttons: Vec<usize>,
}

impl Group {
    fn new(kind: Kind, layout: ActionLayout) -> Self {
        let buttons = vec![0; layout.buttons.len()];
        Self { kind, layout, episodes: 0, frames: 0, seconds: 0.0, axes: [(0.0, 0.0); 4], buttons }
    }

    fn add(&mut self, summary: &Summary, actions: &[Action]) {
        self.episodes += 1;
        self.frames += summary.frames;
        self.seconds += summary.seconds;
        for action in actions {
            for ((least, greatest), value) in self.axes.iter_mut().zip(action.axes()) {
                *least = least.min(value);
                *greatest = greatest.max(value);
            }
            for (index, count) in self.buttons.iter_mut().enumerate() {
                *count += usize::from(action.buttons.contains(index));
            }
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, layout, episodes, frames, axes, buttons, .. } = self;
        writeln!(f, "{kind}: {episodes} episodes, {frames} frames")?;
        writeln!(f, "  actions  {}", kind.alignment())?;
        let degrees = |degrees: f32| match degrees {
            0.0 => String::new(),
            degrees => format!(", 1 being {} degrees a frame", hundredths(degrees)),
        };
        let (turn, pitch) = (degrees(layout.turn_degrees), degrees(layout.pitch_degrees));
        let named = [
            ("turn", turn),
            ("forward", String::new()),
            ("strafe", String::new()),
            ("pitch", pitch),
        ];
        for ((name, meaning), (least, greatest)) in named.into_iter().zip(axes) {
            if (*least, *greatest) == (0.0, 0.0) {
                writeln!(f, "  {name:<8} never used")?;
            } else {
                let (least, greatest) = (hundredths(*least), hundredths(*greatest));
                writeln!(f, "  {name:<8} {least} to {greatest}{meaning}")?;
            }
        }
        let (used, unused): (Vec<_>, Vec<_>) =
            layout.buttons.iter().zip(buttons).partition(|(_, count)| **count > 0);
        if !used.is_empty() {
            let share = |(name, count): (&String, &usize)| {
                format!("{name} {:.1} %", 100.0 * ratio(*count, *frames))
            };
            writeln!(
                f,
                "  buttons  {}",
                used.into_iter().map(share).collect::<Vec<_>>().join(", ")
            )?;
        }
        if !unused.is_empty() {
            let names: Vec<_> = unused.into_iter().map(|(name, _)| name.as_str()).collect();
            writeln!(f, "  unused   {}", names.join(", "))?;
        }
        Ok(())
    }
}

/// Frames of some episodes, one episode a row, all of one size.
#[derive(Debug)]
struct Sheet {
    /// One in so many episodes has a row.
    every: usize,
    rows: Vec<Vec<Frame>>,
}

impl Sheet {
    fn add(&mut self, recording: Recording) -> Result<(), EpisodeError> {
        let first = self.rows.first().and_then(|row| row.first());
        let (width, height) = first.map_or_else(
            || (SHEET_WIDTH, (SHEET_WIDTH * recording.height / recording.width).max(1)),
            |frame| (frame.width, frame.height),
        );
        let between = (recording.actions.len() / SHEET_COLUMNS).clamp(1, MOST_BETWEEN);
        let frames = recording.step_by(between).take(SHEET_COLUMNS);
        let row =
            frames.map(|frame| Ok(frame?.resized(width, height))).collect::<Result<Vec<_>, _>>()?;
        if !row.is_empty() {
            self.rows.push(row);
        }
        Ok(())
    }

    fn write(&self, path: &Path) -> Result<()> {
        let rows: Vec<Vec<&[u8]>> = self
            .rows
            .iter()
            .map(|row| row.iter().map(|frame| frame.pixels.as_slice()).collect())
            .collect();
        let size =
            self.rows.first().and_then(|row| row.first()).map(|frame| (frame.width, frame.height));
        write_strip(path, &rows, size.context("a sheet has a frame")?)
    }
}

/// A number to two digits after the point, as short as it goes.
fn hundredths(value: f32) -> f32 {
    // Adding 0 makes a 0 of -0.
    (value * 100.0).round() / 100.0 + 0.0
}

#[expect(clippy::cast_precision_loss, reason = "counts of frames are far below 2^52")]
fn ratio(count: usize, of: usize) -> f64 {
    count as f64 / of.max(1) as f64
}

#[cfg(test)]
mod tests {
    use input::Buttons;

    use super::*;

    #[test]
    fn what_actions_mean_and_how_far_they_go_is_told() {
        let buttons = ["jump", "fire"].map(str::to_owned).to_vec();
        let layout = ActionLayout { turn_degrees: 5.729_578, pitch_degrees: 0.0, buttons };
        let mut group = Group::new(Kind::Vpt, layout);
        let action =
            Action { buttons: Buttons(0b10), ..Action::from_axes([0.5, -0.001, 0.0, 0.0]) };
        let summary = Summary {
            frames: 2,
            width: 8,
            height: 8,
            fps: 20.0,
            seconds: 0.1,
            moving: 0.5,
            turning: 0.5,
            poses: false,
            source: String::new(),
        };
        group.add(&summary, &[Action::NEUTRAL, action]);
        let text = group.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "VPT Minecraft (mp4, jsonl): 1 episodes, 2 frames");
        assert!(lines[1].contains("moved to the next frame"), "{text}");
        let rest = [
            "  turn     0 to 0.5, 1 being 5.73 degrees a frame",
            "  forward  0 to 0",
            "  strafe   never used",
            "  pitch    never used",
            "  buttons  fire 50.0 %",
            "  unused   jump",
        ];
        assert_eq!(lines[2..], rest);
    }
}
