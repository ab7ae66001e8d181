//! `oneiro dream`: a video of a world made in any order (FramePack §4.1), with the plan it followed.

mod followed;
mod waypoint;

pub use waypoint::{Aim, Waypoint};

use std::fmt::{self, Display};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::{Args, ValueEnum};
use engine::pack::{Order, Schedule};
use engine::video::{Astray, Made, Video, VideoOptions};
use engine::world::World;
use input::{Action, Controller, Pose, Script, VideoWriter, Wander};

use crate::commands::Usage;
use crate::headless::progress;
use crate::published::{self, PublishedArgs};
use crate::train::picture::write_strip;
use crate::{cores, start, worlds};

/// Longest video, in seconds: an hour.
const SECONDS_MAX: f64 = 3600.0;
/// Pictures of the sheet: two rows of eight.
const SHEET: (usize, usize) = (2, 8);

/// Options of `dream`.
#[derive(Args, Clone, Debug)]
pub struct VideoArgs {
    /// Folder of the world, or the name of one that came with the program
    #[arg(long, value_name = "WORLD", default_value = "doom-rooms")]
    pub world: PathBuf,
    /// In which order sections are made [default: vanilla; with --model inverted]
    #[arg(long, value_enum)]
    pub order: Option<VideoOrder>,
    /// What sections see, in the notation of FramePack [default: the world's own, turned to the order]
    #[arg(long, value_name = "SCHEDULE")]
    pub schedule: Option<Schedule>,
    /// Length of the video
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = parse_seconds)]
    pub seconds: f64,
    /// Begin from your own picture, on the world's map where that shows it [default: the world's first opening; with --model, from
    /// nothing]
    #[arg(long, visible_alias = "image", value_name = "PNG")]
    pub start: Option<PathBuf>,
    /// A picture that the video comes by, T seconds from its beginning, or with --model what it shows from then on; where the world's
    /// map shows it, the walk leads there, without --actions; may be given again
    #[arg(long = "waypoint", value_name = "T=PNG|TEXT")]
    pub waypoints: Vec<Waypoint>,
    /// Actions, one for each frame [default: a walk to the waypoints that the map shows, then anywhere]
    #[arg(long, value_name = "FILE")]
    pub actions: Option<PathBuf>,
    /// Seed of the noise, and of the walk
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Evaluations of the network for each section [default: the world's own; with --model 25]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub steps: Option<u32>,
    /// Folder for the video, a sheet of its pictures, and the plan it followed; with --model a video found there goes on
    #[arg(long, value_name = "DIR", required_unless_present = "check")]
    pub out: Option<PathBuf>,
    /// Options of published models
    #[command(flatten)]
    pub published: PublishedArgs,
}

impl VideoArgs {
    /// The order that a world's sections are made in.
    fn order(&self) -> VideoOrder {
        self.order.unwrap_or(VideoOrder::Vanilla)
    }

    /// The folder for the video.
    ///
    /// # Errors
    /// There is none, as where a model is only looked over.
    pub(crate) fn out(&self) -> Result<&Path> {
        self.out.as_deref().context("expected --out")
    }
}

/// An order of making sections, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum VideoOrder {
    /// From the past to the future
    Vanilla,
    /// Beginning and end first, then what lies between
    Endpoint,
    /// From the end towards the beginning
    Inverted,
}

impl VideoOrder {
    /// The order of the plans; with waypoints, sections look ahead in any case.
    fn planned(self, waypoints: bool) -> Order {
        match self {
            Self::Vanilla if !waypoints => Order::Forward,
            Self::Vanilla | Self::Endpoint => Order::Endpoint,
            Self::Inverted => Order::Inverted,
        }
    }

    /// The order of the making.
    fn made(self) -> Order {
        match self {
            Self::Vanilla => Order::Forward,
            Self::Endpoint => Order::Endpoint,
            Self::Inverted => Order::Inverted,
        }
    }
}

impl Display for VideoOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vanilla => "vanilla",
            Self::Endpoint => "endpoint",
            Self::Inverted => "inverted",
        })
    }
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| *seconds > 0.0 && *seconds <= SECONDS_MAX);
    seconds.ok_or_else(|| format!("expected more than 0 and at most {SECONDS_MAX} seconds"))
}

/// Frames that a time in seconds has, the nearest whole number.
fn frames_in(seconds: f64, fps: f32) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an hour of at most 240 frames a second"
    )]
    let frames = (seconds * f64::from(fps)).round() as u32;
    frames
}

/// Makes the video and writes it.
///
/// # Errors
/// When the world, a picture or the actions cannot be read, the schedule does not fit, or a file cannot be written.
pub fn run(args: &VideoArgs) -> Result<()> {
    if let Some(folder) = &args.published.model {
        return published::run(folder, args);
    }
    let (out, order) = (args.out()?, args.order());
    let dir = worlds::find(&args.world)?;
    let (device, notice) = engine::device::best();
    if let Some(notice) = notice {
        eprintln!("{notice}");
    }
    let world = Arc::new(World::open(&dir, &device, |_| ())?);
    let schedule = schedule(args, &world.schedule)?;
    let holds = |name: &str| out.join(name).exists();
    let foreign = holds("session.json") || (holds("video.mp4") && !holds("plan.json"));
    ensure!(!foreign, "expected a folder without a video of anything else: {}", out.display());
    fs::create_dir_all(out).with_context(|| format!("create {}", out.display()))?;
    let mut film = Film::begin(args, (&dir, &world), &schedule)?;
    let made = film.make(order.made(), &schedule)?;
    let plan = followed::json(args, &world, &schedule, &film, &made);
    let path = out.join("plan.json");
    film.write(out)?;
    fs::write(&path, serde_json::to_string_pretty(&plan)? + "\n")
        .with_context(|| format!("write {}", path.display()))?;
    let seconds = f64::from(film.frames - film.first) / f64::from(world.config.fps);
    let sections = made.len();
    writeln!(io::stdout(), "{sections} sections, {seconds:.1} s: {}", out.display())?;
    Ok(())
}

/// The schedule asked for, which has to be of the order asked for, or the world's own turned to it.
fn schedule(args: &VideoArgs, own: &Schedule) -> Result<Schedule> {
    let order = args.order().planned(!args.waypoints.is_empty());
    let Some(schedule) = &args.schedule else { return Ok(own.in_order(order)?) };
    if schedule.order() != order {
        let such = own.in_order(order)?;
        let wanted = if args.waypoints.is_empty() { "" } else { " with waypoints" };
        let order = args.order();
        let message =
            format!("expected a schedule such as {such} for {order} order{wanted}, got {schedule}");
        return Err(Usage(message).into());
    }
    Ok(schedule.clone())
}

/// A video with what is given of it.
struct Film {
    video: Video,
    /// Frame that the written video begins with; those before are history alone.
    first: u32,
    frames: u32,
    fps: f32,
    size: (u32, u32),
    /// What it comes by, in order, and at which frames.
    waypoints: Vec<(u32, String)>,
}

/// A picture that the video comes by.
struct Passed<'a> {
    waypoint: &'a Waypoint,
    /// Its frame.
    at: u32,
    pixels: Vec<u8>,
    /// Where it was seen from, as far as that is known.
    pose: Option<Pose>,
}

impl Film {
    /// The video before its first section.
    fn begin(
        args: &VideoArgs,
        (dir, world): (&Path, &Arc<World>),
        schedule: &Schedule,
    ) -> Result<Self> {
        let config = &world.config;
        let size = (u32::try_from(config.width)?, u32::try_from(config.height)?);
        let Opening { pictures, actions, poses } = Opening::of(args, world, size)?;
        let first = u32::try_from(pictures.len() - 1)?;
        let frames = first + 1 + frames_in(args.seconds, config.fps).max(1);
        let evaluations = args.steps;
        let options =
            VideoOptions { evaluations, ..VideoOptions::new(schedule.clone(), args.seed) };
        let mut video = Video::new(Arc::clone(world), frames, options)?;
        for ((at, picture), action) in (0..).zip(&pictures).zip(&actions) {
            video.tell(at, action)?;
            video.give(at, picture)?;
        }
        let fps = config.fps;
        let mut film = Self { video, first, frames, fps, size, waypoints: Vec::new() };
        let mut passed = film.passed(args)?;
        // Who is told every action cannot be sent anywhere as well.
        let told = !passed.is_empty() && args.actions.is_some();
        if told && world.atlas.is_some() {
            eprintln!("--actions say where to walk: waypoints are dreamed without the map");
        } else {
            find(&mut passed, (dir, world))?;
            let begin: Vec<&[u8]> = pictures.iter().map(Vec::as_slice).collect();
            if passed.iter().all(|it| it.pose.is_some())
                && !film.video.open_on_map(first, &begin, &poses)?
                && let Some(start) = args.start.as_ref().filter(|_| world.atlas.is_some())
            {
                say_off_map(start.display(), dir);
            }
        }
        film.lead(args, &passed)?;
        Ok(film)
    }

    /// What the video comes by, in order.
    fn passed<'a>(&self, args: &'a VideoArgs) -> Result<Vec<Passed<'a>>> {
        let passed = args.waypoints.iter().map(|waypoint| {
            let Waypoint { seconds, aim } = waypoint;
            let Aim::Picture(picture) = aim else {
                let wanted =
                    "expected waypoints of a world to be pictures (.png); --model takes text";
                return Err(Usage(format!("{wanted}, got {aim}")).into());
            };
            let at = self.first + frames_in(*seconds, self.fps);
            ensure!(
                (self.first + 1..self.frames).contains(&at),
                "expected waypoints within the video, got one at {seconds} s: {}",
                picture.display()
            );
            let pixels = start::fit(&start::read(picture)?, self.size.0, self.size.1).pixels;
            Ok(Passed { waypoint, at, pixels, pose: None })
        });
        let mut passed = passed.collect::<Result<Vec<_>>>()?;
        passed.sort_by_key(|it| it.at);
        for pair in passed.windows(2) {
            let [first, second] = [&pair[0], &pair[1]].map(|it| it.waypoint);
            ensure!(
                pair[0].at != pair[1].at,
                "expected one waypoint a frame, got {first} and {second}"
            );
        }
        Ok(passed)
    }

    /// Gives what the video comes by, with actions that lead there where a map tells how; the others are those of the walk.
    fn lead(&mut self, args: &VideoArgs, passed: &[Passed<'_>]) -> Result<()> {
        let mut last = self.first;
        for Passed { waypoint, at, pose, .. } in passed {
            if let Some(pose) = pose.filter(|_| self.video.is_on_map()) {
                self.video.walk_to((last, *at), pose).map_err(|astray| match astray {
                    Astray::NoWay => {
                        anyhow!("expected a place that one can walk to, got {waypoint}")
                    }
                    Astray::Far(frames) => {
                        let seconds = f64::from(last - self.first) + frames as f64;
                        let seconds = (10.0 * seconds / f64::from(self.fps)).ceil() / 10.0;
                        anyhow!(
                            "expected {waypoint} no sooner than after {seconds:.1} s: it is so far"
                        )
                    }
                })?;
                last = *at;
            }
        }
        let mut walk = walk(args)?;
        for at in last + 1..self.frames {
            self.video.tell(at, &walk.poll())?;
            // There is no picture yet, but the map knows of walls.
            walk.see(&[], self.video.room(at));
        }
        // What is given has the action that was told before.
        for Passed { waypoint, at, pixels, .. } in passed {
            self.video.give(*at, pixels)?;
            self.waypoints.push((*at, waypoint.aim.to_string()));
        }
        Ok(())
    }

    fn make(&mut self, order: Order, schedule: &Schedule) -> Result<Vec<Made>> {
        let length = u32::try_from(schedule.generate())?;
        let sections = order.sections(self.video.known(), self.first..self.frames, length);
        let bar = progress(u64::from(self.frames - self.first));
        let made = sections.into_iter().map(|section| {
            let made = cores::awake(|| self.video.make(section))?;
            bar.inc(made.section.len() as u64);
            Ok(made)
        });
        let made = made.collect();
        bar.finish_and_clear();
        made
    }

    /// Writes `video.mp4`, and `sheet.png` with pictures at equal times.
    fn write(&mut self, dir: &Path) -> Result<()> {
        // What was there before is there until the video is whole.
        let (begun, whole) = (dir.join("video.begun"), dir.join("video.mp4"));
        let mut writer = VideoWriter::create(&begun, self.size.0, self.size.1, self.fps)?;
        let (rows, columns) = SHEET;
        let last = (self.frames - self.first) as usize - 1;
        let places: Vec<usize> =
            (0..rows * columns).map(|place| place * last / (rows * columns - 1)).collect();
        let mut pictures = Vec::with_capacity(places.len());
        for (number, at) in (self.first..self.frames).enumerate() {
            let picture = cores::awake(|| self.video.picture(at))?;
            let picture = picture.context("every frame was made")?;
            writer.push(&picture)?;
            let copies = places.iter().filter(|&&place| place == number).count();
            pictures.extend(std::iter::repeat_n(picture, copies));
        }
        writer.finish()?;
        fs::rename(&begun, &whole).with_context(|| format!("write {}", whole.display()))?;
        let row = |row: usize| {
            pictures[row * columns..(row + 1) * columns].iter().map(Vec::as_slice).collect()
        };
        let sheet: Vec<_> = (0..rows).map(row).collect();
        write_strip(&dir.join("sheet.png"), &sheet, self.size)
    }
}

/// What the video begins with.
struct Opening {
    pictures: Vec<Vec<u8>>,
    /// What led to each.
    actions: Vec<Action>,
    /// Where each was seen from; none where that is not known.
    poses: Vec<Pose>,
}

impl Opening {
    fn of(args: &VideoArgs, world: &World, (width, height): (u32, u32)) -> Result<Self> {
        if let Some(path) = &args.start {
            let picture = start::fit(&start::read(path)?, width, height);
            let poses = world.locate(&picture.pixels)?.into_iter().collect();
            return Ok(Self {
                pictures: vec![picture.pixels],
                actions: vec![Action::NEUTRAL],
                poses,
            });
        }
        let opening = world.starts.first().context("a world has openings")?;
        let pictures = opening.frames().map(<[u8]>::to_vec).collect();
        let poses = opening.poses.clone().unwrap_or_default();
        Ok(Self { pictures, actions: opening.actions.clone(), poses })
    }
}

/// Looks for the waypoints on the world's map.
fn find(passed: &mut [Passed<'_>], (dir, world): (&Path, &World)) -> Result<()> {
    for it in passed {
        it.pose = world.locate(&it.pixels)?;
        if it.pose.is_none() && world.atlas.is_some() {
            say_off_map(it.waypoint, dir);
        }
    }
    Ok(())
}

/// Says of a picture that the map of the world in `dir` does not show it, and what is made for that.
fn say_off_map(picture: impl Display, dir: &Path) {
    eprintln!("{picture} shows no place of the map: the video is dreamed without it");
    if let Some(beside) = worlds::off_map(dir) {
        eprintln!("--world {} is trained for that", beside.display());
    }
}

/// What tells the actions of the frames that nothing else leads to.
fn walk(args: &VideoArgs) -> Result<Box<dyn Controller>> {
    Ok(match &args.actions {
        Some(path) => Box::new(Script::open(path)?),
        None => Box::new(Wander::new(args.seed)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_bounded_and_whole_frames() {
        for wrong in ["0", "-1", "inf", "NaN", "3601", "long"] {
            assert!(parse_seconds(wrong).is_err(), "{wrong}");
        }
        assert_eq!((frames_in(0.4, 17.5), frames_in(3600.0, 240.0)), (7, 864_000));
    }

    #[test]
    fn sections_look_ahead_where_there_is_something_to_come_by() {
        let planned = |order: VideoOrder| [order.planned(false), order.planned(true)];
        assert_eq!(planned(VideoOrder::Vanilla), [Order::Forward, Order::Endpoint]);
        assert_eq!(planned(VideoOrder::Endpoint), [Order::Endpoint; 2]);
        assert_eq!(planned(VideoOrder::Inverted), [Order::Inverted; 2]);
    }
}
