//! Finetuning of a published network with `FramePack`.
//!
//! What is trained is an [`Adapter`](crate::adapter::Adapter): low-rank pairs beside the layers of the blocks, and the
//! projections of packed history whole. The loss is that of flow matching: along `x_s` = (1 - s) x + s n the network
//! is to answer n - x, on the tokens of the section alone.

use super::packed::{Packed, Stream};
use super::window::{HISTORY, Order};
use crate::noise::Random;
use candle_core::{Result, Tensor, bail};

/// Shift that noise levels of training are drawn with: less than that of sampling, as sections are short.
const SHIFT: f64 = 3.0;

/// Most sections that lie between the start picture and one, as sampling takes it.
const PADDING_MAX: usize = 3;

/// A section to learn from, with the true history before it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The noisy section at its level with its packed history.
    pub packed: Packed,
    /// What the network is to answer: (B, C, T, H, W).
    pub velocity: Tensor,
    /// Noise level s, 0 clean to 1 noise.
    pub level: f64,
}

impl Sample {
    /// Section `section` of the clip (B, C, T, H, W), whose first frame is the start picture, in sections of `frames`
    /// frames. Forward, its history is what comes before it; inverted, what comes after. Where there is none it is
    /// zeros.
    ///
    /// # Errors
    /// The clip ends before the section does.
    pub fn new(
        order: Order,
        clip: &Tensor,
        section: usize,
        frames: usize,
        random: &mut Random,
    ) -> Result<Self> {
        let length = clip.dim(2)?;
        let first = 1 + section * frames;
        if frames == 0 || first + frames > length {
            bail!("expected at least {} frames, got {length}", first + frames.max(1));
        }
        let history = history(order, clip, first, frames)?;
        let [near, half, quarter] =
            order.split().map(|range| history.narrow(2, range.start, range.len()));
        let clean = Tensor::cat(&[clip.narrow(2, 0, 1)?, near?], 2)?;
        // As in sampling, what lies between is taken to be no longer than some sections.
        let times = order.times(frames, section.min(PADDING_MAX) * frames);
        let section = clip.narrow(2, first, frames)?;
        let noise =
            Tensor::from_vec(random.normals(section.elem_count()), section.shape(), clip.device())?;
        let level = level(random);
        let noisy = ((&section * (1.0 - level))? + (&noise * level)?)?;
        Ok(Self {
            packed: Packed {
                history: vec![
                    (4, Stream { latents: quarter?, times: times.quarter }),
                    (2, Stream { latents: half?, times: times.half }),
                    (1, Stream { latents: clean, times: times.clean }),
                ],
                noisy: Stream { latents: noisy, times: times.noisy },
            },
            velocity: (noise - section)?,
            level,
        })
    }

    /// The noise level as networks are told it: (B) in 0..=1000.
    pub fn levels(&self) -> Result<Tensor> {
        let latents = &self.packed.noisy.latents;
        #[expect(clippy::cast_possible_truncation, reason = "f32 is what the networks use")]
        let level = (1000.0 * self.level) as f32;
        Tensor::full(level, latents.dim(0)?, latents.device())
    }

    /// Mean squared error of a predicted velocity.
    pub fn loss(&self, predicted: &Tensor) -> Result<Tensor> {
        (predicted - &self.velocity)?.sqr()?.mean_all()
    }
}

/// The frames of a clip that are nearest to the section of `frames` frames from `first` on, zeros where there are none.
fn history(order: Order, clip: &Tensor, first: usize, frames: usize) -> Result<Tensor> {
    let (batch, channels, length, height, width) = clip.dims5()?;
    let there = match order {
        Order::Forward => first.saturating_sub(HISTORY)..first,
        Order::Inverted => first + frames..length.min(first + frames + HISTORY),
    };
    let absent = (batch, channels, HISTORY - there.len(), height, width);
    let absent = Tensor::zeros(absent, clip.dtype(), clip.device())?;
    let there = clip.narrow(2, there.start, there.len())?;
    match order {
        Order::Forward => Tensor::cat(&[absent, there], 2),
        Order::Inverted => Tensor::cat(&[there, absent], 2),
    }
}

/// A noise level above 0, drawn evenly and then shifted towards noise.
fn level(random: &mut Random) -> f64 {
    let u = 1.0 - f64::from(random.uniform());
    SHIFT * u / (1.0 + (SHIFT - 1.0) * u)
}

#[cfg(test)]
mod tests;
