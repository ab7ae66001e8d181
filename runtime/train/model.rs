//! `oneiro train model`: an adapter for a published model.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use engine::adapter::AdapterConfig;
use engine::device::Device;
use engine::framepack::check::Model;
use engine::framepack::told::{Eye, open_vae, read_prompts};
use engine::framepack::tune::{Clip, Tuner, Tuning, load_clips, save_clips};
use engine::framepack::window::Order;
use engine::picture::covering;
use engine::train::Checkpoint;
use engine::vae::Autoencoder;
use indicatif::{ProgressBar, ProgressIterator as _, ProgressStyle};
use input::{Frame, Recording};
use serde_json::json;

use super::going::{Trainer, go_on};
use super::{episode_paths, kept_name};
use crate::cli::parse_size;
use crate::models::{known, sound};
use crate::published::settings::{self, Kept};
use crate::video::VideoOrder;

/// Latent frames of a section, and pictures of one.
const FRAMES: usize = 9;
const SECTION: usize = 4 * FRAMES;
/// Sections of a clip: with its first frame as much history as a section sees, and a section.
const SECTIONS: usize = 3;

/// Options of `train model`.
#[derive(Args, Clone, Debug)]
pub struct ModelArgs {
    /// Folder of Wan 2.1 or HunyuanVideo, with a folder for each part (see `model check`)
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Folder of recorded play, searched through; its pictures are taken at the rate that the model makes them
    #[arg(long, value_name = "DIR")]
    pub episodes: PathBuf,
    /// Folder for the adapter, checkpoints and curves; a training found there goes on
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// What the play shows
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub prompt: String,
    /// Pixels, width by height in multiples of 16
    #[arg(long, value_name = "WxH", default_value = "832x480", value_parser = parse_size)]
    pub size: (u32, u32),
    /// The order that videos are to be made in: vanilla or inverted
    #[arg(long, value_enum, default_value = "inverted")]
    pub order: VideoOrder,
    /// Rank of the adapter's pairs
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub rank: u16,
    /// Rate after warm-up
    #[arg(long, value_name = "RATE", default_value_t = 1e-4)]
    pub rate: f64,
    /// Steps in all, each on one section
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub steps: u32,
    /// Minutes between checkpoints
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub checkpoint_minutes: u64,
    /// Seed of everything random
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

/// Trains until the last step, however often it is stopped on the way.
pub(super) fn train(args: &ModelArgs) -> Result<()> {
    let model = known(&args.model)?;
    sound(model, &args.model, false)?;
    let tuning = tuning(model, args)?;
    let (device, notice) = engine::device::best();
    if let Some(notice) = notice {
        eprintln!("{notice}");
    }
    begin(args)?;
    let clips = encoded(model, args, &device)?;
    let mut texts = read_prompts(model, &args.model, &[&args.prompt], &device)?;
    let text = texts.pop().context("a prompt was read")?;
    let tuner = Tuner::new(model, &args.model, clips, text, tuning, &device)?;
    let checkpoint = args.out.join("model.checkpoint.safetensors");
    let mut trained = Trained { tuner, out: &args.out };
    go_on(&mut trained, (&checkpoint, &device), args.steps, args.checkpoint_minutes)
}

/// An adapter in training, with its folder.
struct Trained<'a> {
    tuner: Tuner,
    out: &'a Path,
}

impl Trainer for Trained<'_> {
    fn steps(&self) -> u32 {
        self.tuner.steps()
    }

    fn step(&mut self) -> Result<(f32, usize)> {
        Ok((self.tuner.step()?, 1))
    }

    fn checkpoint(&self) -> Result<Checkpoint> {
        Ok(self.tuner.checkpoint()?)
    }

    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        Ok(self.tuner.restore(checkpoint)?)
    }

    fn save(&mut self) -> Result<String> {
        let path = self.out.join("adapter.safetensors");
        self.tuner.adapter().save(&path)?;
        Ok(path.display().to_string())
    }
}

fn tuning(model: Model, args: &ModelArgs) -> Result<Tuning> {
    let (width, height) = args.size;
    ensure!(
        width % 16 == 0 && height % 16 == 0,
        "expected a size in multiples of 16 pixels, got {width}x{height}"
    );
    ensure!(
        args.rate > 0.0 && args.rate < 1.0,
        "expected a rate between 0 and 1, got {}",
        args.rate
    );
    let order = match args.order {
        VideoOrder::Vanilla => Order::Forward,
        VideoOrder::Inverted => Order::Inverted,
        VideoOrder::Endpoint => bail!("expected vanilla or inverted order, got endpoint"),
    };
    let rank = usize::from(args.rank);
    let adapter = AdapterConfig { rank, alpha: f32::from(args.rank), seed: args.seed };
    let (rate, steps, seed, guidance) = (args.rate, args.steps, args.seed, model.guidance());
    Ok(Tuning { adapter, order, frames: FRAMES, rate, steps, guidance, seed })
}

/// Begins or goes on in the folder, whose training has to have these settings.
fn begin(args: &ModelArgs) -> Result<()> {
    let settings = json!({
        "model": settings::weights(&args.model)?,
        "prompt": args.prompt,
        "size": [args.size.0, args.size.1],
        "order": args.order.to_string(),
        "rank": args.rank,
        "seed": args.seed,
    });
    Kept::open(&args.out, "training.json", &settings).map(drop)
}

/// The episodes' clips, each encoded once and kept.
fn encoded(model: Model, args: &ModelArgs, device: &Device) -> Result<Vec<Clip>> {
    let dir = args.out.join("latents");
    std::fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    let paths = episode_paths(&args.episodes)?;
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} episodes encoded, {eta} left")?;
    let bar = ProgressBar::new(paths.len() as u64).with_style(style);
    let (mut encoder, mut clips) = (None, Vec::new());
    for path in paths.iter().progress_with(bar) {
        let kept = dir.join(kept_name(path));
        if !kept.exists() {
            let (vae, eye) = match encoder.take() {
                Some(both) => both,
                None => {
                    (open_vae(model, &args.model, device)?, Eye::open(model, &args.model, device)?)
                }
            };
            save_clips(&cut(path, model, args.size, &vae, &eye, device)?, &kept)?;
            encoder = Some((vae, eye));
        }
        clips.extend(load_clips(&kept, &Device::Cpu)?);
    }
    ensure!(
        !clips.is_empty(),
        "expected play of at least {} pictures at {} a second in {}",
        1 + SECTION,
        model.fps(),
        args.episodes.display()
    );
    Ok(clips)
}

/// The clips of a recording: as many whole sections as are left, up to three, after a first picture.
fn cut(
    path: &Path,
    model: Model,
    (width, height): (u32, u32),
    vae: &Autoencoder,
    eye: &Eye,
    device: &Device,
) -> Result<Vec<Clip>> {
    let recording = Recording::open(path)?;
    let ratio = f64::from(recording.fps) / f64::from(model.fps());
    let (mut clips, mut pictures, mut taken) = (Vec::new(), Vec::new(), 0_u32);
    let mut encode = |pictures: &mut Vec<Frame>| -> Result<()> {
        let whole = pictures.len().saturating_sub(1) / SECTION;
        if whole > 0 {
            pictures.truncate(1 + whole * SECTION);
            let latents = vae.encode_frames(pictures, device)?;
            clips.push(Clip { latents, states: eye.look(&pictures[0])? });
        }
        pictures.clear();
        Ok(())
    };
    for (number, frame) in (0_u32..).zip(recording) {
        let frame = frame?;
        // At the model's rate a picture is shown until the next is due: some are left out, or shown again.
        while f64::from(taken) * ratio < f64::from(number) + 1.0 {
            pictures.push(covering(&frame, width, height));
            taken += 1;
            if pictures.len() == 1 + SECTIONS * SECTION {
                encode(&mut pictures)?;
            }
        }
    }
    encode(&mut pictures)?;
    Ok(clips)
}
