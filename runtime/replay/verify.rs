//! A session made again from what it stored, and held against what it recorded.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use engine::dreamer::{DreamOptions, Dreamer};
use engine::world::World;
use input::{Frame, PastReader, SessionHeader, SessionReader, VideoReader};
use memory::FrameId;

use super::recipe::{Recorded, sections};
use crate::bench::metric::{Picture, psnr};
use crate::hash::frame_sha256;
use crate::origin::Origin;
use crate::{headless, worlds};

/// Makes every frame of the session in `dir` again and compares it with what was recorded, in `world` or where the
/// session was recorded. Nothing but world and session is read: no memory of any walk.
///
/// # Errors
/// When a frame differs; the message names the first. When session or world cannot be read, or do not belong
/// together.
pub(super) fn verify(dir: &Path, world: Option<&Path>) -> Result<()> {
    let session = SessionReader::open(dir)?;
    let sections = sections(dir, session.records())?;
    let frames: usize = sections.iter().map(|section| section.frames.len()).sum();
    ensure!(frames > 0, "expected at least one whole section, got none: {}", dir.display());
    let world = open(session.header(), world)?;
    let differences = differences(session.header(), &Origin::here(&world));

    let progress = headless::progress(frames as u64);
    let mut repeat = Repeat::new(&world, dir, &session, &sections)?;
    let mut found = Found { frames, different: Vec::new(), likeness: Vec::new() };
    let mut video = None;
    for section in &sections {
        let line = section.frames.start + 1;
        let pictures = repeat.section(section).with_context(|| {
            format!("make line {line} of {} again", dir.join("frames.jsonl").display())
        })?;
        for (at, picture) in section.frames.clone().zip(pictures) {
            progress.inc(1);
            if session.records()[at].frame_sha256 == frame_sha256(&picture) {
                continue;
            }
            found.different.push(at);
            if !differences.is_empty() {
                let video = match &mut video {
                    Some(video) => video,
                    None => video.insert(Shown::new(&session)?),
                };
                found.likeness.extend(video.likeness(at, &picture)?.map(|psnr| (at, psnr)));
            }
        }
    }
    progress.finish_and_clear();
    found.report(&session, &differences)
}

/// The world that a session was recorded in.
fn open(header: &SessionHeader, world: Option<&Path>) -> Result<Arc<World>> {
    let recorded = header.settings["folder"].as_str().map(PathBuf::from);
    let recorded = recorded.filter(|folder| folder.join(worlds::WORLD_FILE).is_file());
    let named = PathBuf::from(&header.world);
    let wanted = world.map(PathBuf::from).or(recorded).unwrap_or(named);
    let dir = worlds::find(&wanted).context("say where the session's world is with --world")?;
    let (device, _) = engine::device::best();
    let world = World::open(&dir, &device, |_| ())?;
    ensure!(
        world.hash == header.world_hash,
        "expected the world {} with weights {:.12}, got {} with weights {:.12}; say where it is with --world",
        header.world,
        header.world_hash,
        dir.display(),
        world.hash
    );
    Ok(Arc::new(world))
}

/// Why bits may differ, as far as session and machine say.
fn differences(header: &SessionHeader, here: &Origin) -> Vec<String> {
    match serde_json::from_value::<Origin>(header.settings["origin"].clone()) {
        Ok(there) => here.differences(&there),
        Err(_) => vec!["the session does not say what it was recorded with".to_owned()],
    }
}

/// A session being made again.
struct Repeat {
    dreamer: Dreamer,
    past: PastReader,
    file: PathBuf,
    /// How often each frame will still be seen; only those that will are held.
    uses: HashMap<FrameId, usize>,
    size: (u32, u32),
}

impl Repeat {
    fn new(
        world: &Arc<World>,
        dir: &Path,
        session: &SessionReader,
        sections: &[Recorded],
    ) -> Result<Self> {
        let header = session.header();
        let schedule = header.settings["schedule"].as_str().map(str::parse).transpose();
        let options = DreamOptions {
            seed: header.seed,
            schedule: schedule.context("read the session's schedule")?,
            // Frames are let go when no section will see them again.
            warm_frames: usize::MAX,
            ..DreamOptions::default()
        };
        let mut uses = HashMap::new();
        for frame in sections.iter().flat_map(|section| section.recipe.sees()) {
            *uses.entry(frame).or_default() += 1;
        }
        Ok(Self {
            dreamer: Dreamer::new(Arc::clone(world), options)?,
            past: session.past()?,
            file: dir.join("past.bin"),
            uses,
            size: (header.width, header.height),
        })
    }

    /// The pictures of the next section.
    fn section(&mut self, section: &Recorded) -> Result<Vec<Frame>> {
        let recipe = &section.recipe;
        for frame in recipe.sees() {
            self.fetch(frame)?;
        }
        let pictures = self.dreamer.repeat(recipe, &section.actions)?;
        for frame in recipe.sees() {
            if let Some(uses) = self.uses.get_mut(&frame) {
                *uses -= 1;
                if *uses == 0 {
                    self.uses.remove(&frame);
                }
            }
        }
        for frame in recipe.sees().chain(recipe.made.iter().copied()) {
            if !self.uses.contains_key(&frame) {
                self.dreamer.let_go(frame);
            }
        }
        let (width, height) = self.size;
        Ok(pictures.into_iter().map(|pixels| Frame { width, height, pixels }).collect())
    }

    /// Reads on until the frame is held.
    fn fetch(&mut self, frame: FrameId) -> Result<()> {
        while !self.dreamer.holds(frame) {
            let Some(past) = self.past.next().transpose()? else {
                bail!("expected frame {frame}, got the end of {}", self.file.display());
            };
            let name = FrameId(past.name);
            if self.uses.contains_key(&name) {
                let held = self.dreamer.hold(name, past.latent, past.action);
                held.with_context(|| format!("take frame {name} from {}", self.file.display()))?;
            }
        }
        Ok(())
    }
}

/// The pictures that were recorded, as far as the video keeps them.
struct Shown {
    video: VideoReader,
    next: usize,
}

impl Shown {
    fn new(session: &SessionReader) -> Result<Self> {
        Ok(Self { video: session.video()?, next: 0 })
    }

    /// PSNR of a picture and frame `at`, in decibels; `None` behind the video's end.
    fn likeness(&mut self, at: usize, picture: &Frame) -> Result<Option<f64>> {
        let shown = self.video.nth(at - self.next).transpose()?;
        self.next = at + 1;
        let view = |frame: &Frame| (frame.width as usize, frame.height as usize);
        let Some(shown) = shown.filter(|shown| view(shown) == view(picture)) else {
            return Ok(None);
        };
        let width = view(picture).0;
        Ok(Some(psnr(Picture::new(&shown.pixels, width), Picture::new(&picture.pixels, width))))
    }
}

/// What came of it.
struct Found {
    frames: usize,
    /// Places of the frames that differ.
    different: Vec<usize>,
    /// How like the video they are, in decibels.
    likeness: Vec<(usize, f64)>,
}

impl Found {
    fn report(&self, session: &SessionReader, differences: &[String]) -> Result<()> {
        let mut out = io::stdout().lock();
        // The picture a session opens with was there before it.
        let left = session.records().len() - 1 - self.frames;
        let cut = if left > 0 {
            format!("; {left} of a section cut short left out")
        } else {
            String::new()
        };
        let Some(&first) = self.different.first() else {
            writeln!(out, "verified: {} frames are as recorded, to the bit{cut}", self.frames)?;
            return Ok(());
        };
        for (at, psnr) in &self.likeness {
            writeln!(out, "frame {}: {psnr:.2} dB", session.records()[*at].tick)?;
        }
        if !self.likeness.is_empty() {
            let values = || self.likeness.iter().map(|(_, psnr)| *psnr);
            let mean = values().sum::<f64>() / self.likeness.len() as f64;
            let least = values().fold(f64::INFINITY, f64::min);
            writeln!(
                out,
                "PSNR to the video, itself not the exact pictures: mean {mean:.2} dB, least {least:.2} dB"
            )?;
        }
        let why = match differences {
            [] => {
                "session and machine say they should not: the session was changed since".to_owned()
            }
            differences => differences.join("; "),
        };
        bail!(
            "frame {} (line {} of frames.jsonl) is the first of {} that differ among {}{cut}; {why}",
            session.records()[first].tick,
            first + 1,
            self.different.len(),
            self.frames
        )
    }
}
