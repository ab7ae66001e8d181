//! `oneiro episodes convert`: recorded play in the forms that others train on.
//!
//! Here `actions[t]` led to frame `t`. VPT and LeRobot keep beside a frame what was done upon seeing it, so that
//! there line `t` has `actions[t + 1]`, and the last line nothing.

mod figures;
mod lerobot;
mod table;
mod vpt;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use input::{Action, Episode, SessionReader, VideoWriter, episodes_in, write_npz};

/// Most bytes of pictures held at once; a longer session becomes several episodes. Four minutes of 128×96 at 30
/// frames a second.
const PIECE_BYTES: usize = 256 << 20;

/// Options of `episodes convert`.
#[derive(Args, Clone, Debug)]
pub struct ConvertArgs {
    /// Sessions, episodes (.npz), or folders of them
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// Form to convert to
    #[arg(long, value_enum, value_name = "FORM")]
    pub to: Form,
    /// New folder for the converted play
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// A form of recorded play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A LeRobot data set, version 3.0: Parquet, MP4 and JSON
    Lerobot,
    /// Video and a JSON line for each frame, as in OpenAI's Video PreTraining
    Vpt,
    /// NumPy arrays, as this program records and trains on
    Npz,
}

/// Where episodes go.
trait Target {
    /// Takes one; `video` already holds just its frames.
    fn add(&mut self, episode: &Episode, video: Option<&Path>) -> Result<()>;

    /// Writes what is known only at the end.
    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// Converts what the command line names.
///
/// # Errors
/// When something cannot be read or written, or does not belong in one data set with the others; it is named.
pub fn run(args: &ConvertArgs) -> Result<()> {
    let mut found = Vec::new();
    for path in &args.paths {
        found.extend(episodes_in(path)?);
    }
    let looked_at: Vec<_> = args.paths.iter().map(|path| path.display().to_string()).collect();
    let looked_at = looked_at.join(", ");
    ensure!(!found.is_empty(), "expected sessions or episodes, found none at {looked_at}");
    let out = &args.out;
    let used =
        out.exists() && fs::read_dir(out).map_or(true, |mut entries| entries.next().is_some());
    ensure!(!used, "expected a new folder, got one in use: {}", out.display());
    fs::create_dir_all(out).with_context(|| format!("create {}", out.display()))?;
    let mut target: Box<dyn Target> = match args.to {
        Form::Lerobot => Box::new(lerobot::DataSet::create(out)?),
        Form::Vpt => Box::new(vpt::Lines::new(out)),
        Form::Npz => Box::new(Clips { out: out.clone(), written: 0 }),
    };
    let unfinished = || format!("leave {} unfinished: remove it to begin anew", out.display());
    let progress = ProgressBar::new(found.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}, {eta} left") {
        progress.set_style(style);
    }
    let (mut episodes, mut frames) = (0, 0);
    for path in &found {
        progress.set_message(path.display().to_string());
        let converted = each_piece(path, PIECE_BYTES, &mut |episode, video| {
            let added = target.add(episode, video);
            added.with_context(|| format!("convert {}", path.display()))?;
            episodes += 1;
            frames += episode.len();
            Ok(())
        });
        converted.with_context(unfinished)?;
        progress.inc(1);
    }
    target.finish().with_context(unfinished)?;
    progress.finish_and_clear();
    writeln!(io::stdout(), "{frames} frames in {episodes} episodes: {}", out.display())?;
    Ok(())
}

/// Hands on the episode at `path`, a session in pieces of at most so many bytes of pictures.
fn each_piece(
    path: &Path,
    piece_bytes: usize,
    take: &mut dyn FnMut(&Episode, Option<&Path>) -> Result<()>,
) -> Result<()> {
    if !path.is_dir() {
        return take(&Episode::open(path)?, None);
    }
    let session = SessionReader::open(path)?;
    let header = session.header();
    let records = session.records();
    let mut piece = Episode {
        width: header.width,
        height: header.height,
        video: Vec::new(),
        actions: Vec::new(),
        poses: None,
        fps: header.fps,
        layout: header.layout.clone(),
        source: format!("session of {}", header.world),
    };
    let (mut done, mut frames) = (0, session.video()?);
    // The longer of records and video is cut to the shorter, as wherever a session is read.
    for record in records {
        let Some(frame) = frames.next().transpose()? else { break };
        if !piece.is_empty() && piece.video.len() + frame.pixels.len() > piece_bytes {
            take(&piece, None)?;
            done += piece.len();
            (piece.video, piece.actions) = (Vec::new(), Vec::new());
        }
        piece.video.extend(frame.pixels);
        piece.actions.push(record.action);
    }
    ensure!(!piece.is_empty(), "expected at least one whole frame: {}", path.display());
    let (given, told) = (done + piece.len(), records.len());
    if given < told {
        tracing::warn!("{given} of {told} frames: the video ends there: {}", path.display());
    }
    // Its video as it is loses nothing a second time.
    let whole = done == 0 && piece.len() == records.len() && frames.next().is_none();
    let video = path.join("video.mp4");
    take(&piece, whole.then_some(video.as_path()))
}

/// What was done upon seeing frame `t`.
fn action_upon(episode: &Episode, t: usize) -> Action {
    episode.actions.get(t + 1).copied().unwrap_or(Action::NEUTRAL)
}

/// Writes an episode's frames as a video, or copies the one that holds them.
fn write_video(episode: &Episode, video: Option<&Path>, to: &Path) -> Result<()> {
    if let Some(video) = video {
        let copied = fs::copy(video, to);
        copied.with_context(|| format!("copy {} to {}", video.display(), to.display()))?;
        return Ok(());
    }
    let mut writer = VideoWriter::create(to, episode.width, episode.height, episode.fps)?;
    for frame in episode.frames() {
        writer.push(frame)?;
    }
    Ok(writer.finish()?)
}

/// Clips of this program's own form.
struct Clips {
    out: PathBuf,
    written: usize,
}

impl Target for Clips {
    fn add(&mut self, episode: &Episode, _: Option<&Path>) -> Result<()> {
        write_npz(episode, &self.out.join(format!("episode-{:06}.npz", self.written)))?;
        self.written += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
