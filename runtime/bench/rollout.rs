//! Real history, then frames from actions alone, against what the game showed.

use std::time::Duration;

use anyhow::Result;
use input::Episode;
use serde::Serialize;

use super::held::Start;
use super::metric::{self, Picture};
use super::strip::Strip;
use super::{Bench, some_starts};

/// Dreamed frames that are looked at, counted from 1; the first is the next frame from real
/// history.
pub const HORIZONS: [usize; 5] = [1, 4, 8, 16, 32];

/// Frames of one rollout.
const LENGTH: usize = HORIZONS[HORIZONS.len() - 1];

/// Starts shown in the strip.
const STRIP_STARTS: usize = 6;

/// How rollouts compare with the game.
#[derive(Clone, Debug, Serialize)]
pub struct Rollouts {
    /// Rollouts made.
    pub starts: usize,
    /// What the codec alone makes of the real frames at [`HORIZONS`].
    pub codec: Likeness,
    /// One entry for each of [`HORIZONS`].
    pub horizons: Vec<Horizon>,
    /// Dreamed frames per second, decoding included, history not.
    pub frames_per_second: f64,
}

/// Rollouts at one distance from the start.
#[derive(Clone, Debug, Serialize)]
pub struct Horizon {
    /// Frames after the start.
    pub frame: usize,
    /// The dreamed frame.
    pub dream: Likeness,
    /// What the views of the world's atlas show from where the walk is reckoned to be, without the network; none where
    /// they cannot be warped.
    pub atlas: Option<Likeness>,
    /// Of how many starts that is: some may lie off its map.
    pub atlas_starts: usize,
    /// The start's own frame, shown again.
    pub copy: Likeness,
    /// The mean of all held-out frames.
    pub mean_frame: Likeness,
}

/// How like real frames others are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Likeness {
    /// Mean over frames of [`metric::psnr`], in decibels.
    pub psnr: f64,
    /// Mean over frames of [`metric::ssim`].
    pub ssim: f64,
    /// Mean [`metric::gradient_energy`] over the mean of the real frames'; 1 is as detailed as the
    /// game. The quotient of means, so that a bare wall in one frame does not decide.
    pub gradient_ratio: f64,
}

/// Sums of what [`Likeness`] averages.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    frames: usize,
    psnr: f64,
    ssim: f64,
    energy: f64,
    real_energy: f64,
}

impl Tally {
    fn add(&mut self, picture: Picture<'_>, real: Picture<'_>) {
        self.frames += 1;
        self.psnr += metric::psnr(picture, real);
        self.ssim += metric::ssim(picture, real);
        self.energy += metric::gradient_energy(picture);
        self.real_energy += metric::gradient_energy(real);
    }

    fn likeness(&self) -> Likeness {
        let over = |sum: f64, by: f64| if by == 0.0 { 0.0 } else { sum / by };
        Likeness {
            psnr: over(self.psnr, self.frames as f64),
            ssim: over(self.ssim, self.frames as f64),
            gradient_ratio: over(self.energy, self.real_energy),
        }
    }
}

#[derive(Debug, Default)]
struct Tallies {
    codec: Tally,
    /// Dream, copy, mean frame and atlas at each of [`HORIZONS`].
    horizons: [[Tally; 4]; HORIZONS.len()],
    spent: Duration,
}

/// Rolls out from the starts that move most, in the order of the files.
///
/// # Errors
/// When the episodes hold no start or cannot be read, or the world fails.
pub fn measure(bench: &mut Bench<'_>) -> Result<(Rollouts, Strip)> {
    let starts = bench.held.moving_starts(bench.rule(LENGTH));
    let starts = some_starts(starts, "32 moving frames after the history")?;
    let bar = super::progress(starts.len(), "rollouts");
    let mut strip = Strip::new(bench.held.width, bench.held.height);
    let shown = starts.len().div_ceil(STRIP_STARTS);
    let (mut tallies, mut reel) = (Tallies::default(), bench.held.reel());
    for (at, &start) in starts.iter().enumerate() {
        let episode = reel.episode(start)?;
        let dreamed = roll_out(bench, episode, start, &mut tallies)?;
        if at % shown == 0 {
            let real = HORIZONS.map(|horizon| episode.frame(start.frame + horizon));
            strip.row(&real);
            strip.row(&dreamed.each_ref().map(Vec::as_slice));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok((tallies.summary(starts.len()), strip))
}

/// One rollout; returns the frames at [`HORIZONS`].
fn roll_out(
    bench: &mut Bench<'_>,
    episode: &Episode,
    start: Start,
    tallies: &mut Tallies,
) -> Result<[Vec<u8>; HORIZONS.len()]> {
    bench.begin(episode, start)?;
    let copy = bench.held.picture(episode.frame(start.frame))?;
    let mean = bench.held.picture(&bench.held.mean_frame)?;
    let mut dreamed = [const { Vec::new() }; HORIZONS.len()];
    for ahead in 1..=LENGTH {
        let t = start.frame + ahead;
        let before = (bench.now)();
        let frame = bench.next(&episode.actions[t])?;
        tallies.spent += (bench.now)().saturating_sub(before);
        if let Some(at) = HORIZONS.iter().position(|&horizon| horizon == ahead) {
            let real = bench.held.picture(episode.frame(t))?;
            let atlas = bench.model.shown_by_atlas()?;
            let atlas = atlas.as_deref().map(|pixels| bench.held.picture(pixels)).transpose()?;
            let pictures = [Some(bench.held.picture(&frame)?), Some(copy), Some(mean), atlas];
            for (tally, picture) in tallies.horizons[at].iter_mut().zip(pictures) {
                if let Some(picture) = picture {
                    tally.add(picture, real);
                }
            }
            dreamed[at] = frame;
        }
    }
    for horizon in HORIZONS {
        let real = episode.frame(start.frame + horizon);
        let coded = bench.model.reconstruct(real)?;
        tallies.codec.add(bench.held.picture(&coded)?, bench.held.picture(real)?);
    }
    Ok(dreamed)
}

impl Tallies {
    fn summary(&self, starts: usize) -> Rollouts {
        let horizons = HORIZONS.iter().zip(&self.horizons).map(|(&frame, tallies)| {
            let [dream, copy, mean_frame, atlas] = tallies.map(|tally| tally.likeness());
            let atlas = (tallies[3].frames > 0).then_some(atlas);
            let atlas_starts = tallies[3].frames;
            Horizon { frame, dream, atlas, atlas_starts, copy, mean_frame }
        });
        let seconds = self.spent.as_secs_f64();
        let made = (starts * LENGTH) as f64;
        Rollouts {
            starts,
            codec: self.codec.likeness(),
            horizons: horizons.collect(),
            frames_per_second: if seconds > 0.0 { made / seconds } else { 0.0 },
        }
    }
}

impl Rollouts {
    /// The entry of a frame of [`HORIZONS`].
    ///
    /// # Panics
    /// When `frame` is none of them.
    pub fn at(&self, frame: usize) -> &Horizon {
        let found = self.horizons.iter().find(|horizon| horizon.frame == frame);
        found.expect("every horizon has an entry")
    }
}
