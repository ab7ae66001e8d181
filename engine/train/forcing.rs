//! Diffusion forcing: training on history that has noise of a level of its own, which the network is told.
//!
//! History's level is a share σ of the section's, as in `FramePack` §5.4: B. Chen et al., "Diffusion Forcing", 2024,
//! with the schedule of `SkyReels-V2`.

use crate::noise::Random;
use candle_core::{Result, bail};

/// How σ is drawn for a clip in training.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(untagged)]
pub enum Forcing {
    /// Always this one, from 0 to 1.
    Always(f32),
    /// As a word says.
    Drawn(DrawnShare),
}

/// Ways of drawing σ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DrawnShare {
    /// Uniform in 0..1.
    Random,
}

impl Forcing {
    /// Refuses a share that is none.
    pub(super) fn check(self) -> Result<()> {
        match self {
            Self::Always(share) if !(0.0..=1.0).contains(&share) => {
                bail!("expected forcing = \"random\" or a share from 0 to 1, got {share}")
            }
            Self::Always(_) | Self::Drawn(_) => Ok(()),
        }
    }

    /// σ of a clip.
    pub(super) fn draw(self, random: &mut Random) -> f32 {
        match self {
            Self::Always(share) => share,
            Self::Drawn(DrawnShare::Random) => random.uniform(),
        }
    }
}
