//! A noisy section with its packed history.

use candle_core::{Result, Tensor, bail};

/// Latent frames that one kernel embeds, and when they are.
#[derive(Clone, Debug)]
pub struct Stream {
    /// (B, C, T, H, W).
    pub latents: Tensor,
    /// Time of each frame, in latent frames: T of them.
    pub times: Vec<i32>,
}

/// What a network is shown: the tokens of the history come before those of the section, in this order.
#[derive(Clone, Debug)]
pub struct Packed {
    /// History by kernel, coarsest first: `(k, frames)` for the kernel (k, 2k, 2k).
    pub history: Vec<(usize, Stream)>,
    /// The section on its way from noise to clean.
    pub noisy: Stream,
}

impl Packed {
    /// Checks that all streams have one batch and one picture size, whose sides are even.
    ///
    /// # Errors
    /// The message names the stream.
    pub(super) fn check(&self) -> Result<()> {
        let (batch, channels, _, height, width) = self.noisy.latents.dims5()?;
        if height % 2 != 0 || width % 2 != 0 {
            bail!("expected latents with even sides, got {width}x{height}");
        }
        for (k, stream) in self.history.iter().map(|(k, s)| (*k, s)).chain([(1, &self.noisy)]) {
            let (b, c, frames, h, w) = stream.latents.dims5()?;
            if (b, c, h, w) != (batch, channels, height, width) {
                bail!(
                    "kernel {k}: expected ({batch}, {channels}, T, {height}, {width}), got {:?}",
                    stream.latents
                );
            }
            if frames == 0 || frames != stream.times.len() {
                bail!(
                    "kernel {k}: expected as many times as frames, {} of {frames}",
                    stream.times.len()
                );
            }
        }
        Ok(())
    }

    /// Token rows and columns of a frame of the section.
    pub(super) fn grid(&self) -> Result<(usize, usize)> {
        let (_, _, _, height, width) = self.noisy.latents.dims5()?;
        Ok((height / 2, width / 2))
    }
}
