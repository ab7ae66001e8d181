//! Metrics that are networks, with weights that the reader brings along.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, ensure};
use engine::device::Device;
use engine::lpips::Lpips;

use super::score::Measure;
use crate::bench::metric::Picture;

/// A metric and its weights, as they are typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// The metric.
    pub measure: Measure,
    /// Its file of weights.
    pub path: PathBuf,
}

impl FromStr for Weights {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, path) = text
            .split_once('=')
            .filter(|(_, path)| !path.is_empty())
            .ok_or("expected a metric and its weights, such as lpips=FILE.safetensors")?;
        if name != "lpips" {
            return Err(format!(
                "expected lpips (AlexNet of torchvision and LPIPS 0.1 as safetensors), the only network that is known \
                 here, got {name}; sharpness, smoothness and change stand in for MUSIQ, frame interpolation and RAFT"
            ));
        }
        Ok(Self { measure: Measure::Lpips, path: path.into() })
    }
}

/// The networks, opened.
#[derive(Debug, Default)]
pub struct Networks {
    lpips: Option<Lpips>,
}

impl Networks {
    /// Reads their weights.
    ///
    /// # Errors
    /// When a file cannot be read, lacks a tensor, or a metric is given twice.
    pub fn open(weights: &[Weights], device: &Device) -> Result<Self> {
        let mut networks = Self::default();
        for Weights { path, .. } in weights {
            ensure!(networks.lpips.is_none(), "expected the weights of lpips once");
            networks.lpips = Some(Lpips::open(path, device)?);
        }
        Ok(networks)
    }

    /// Hashes of the weights by the metrics.
    #[must_use]
    pub fn hashes(&self) -> BTreeMap<Measure, String> {
        self.lpips.iter().map(|lpips| (Measure::Lpips, lpips.hash().to_owned())).collect()
    }

    /// The value of a measure for every frame of a video; `real` are the game's frames at the same times.
    ///
    /// # Errors
    /// When a network cannot look at the pictures.
    ///
    /// # Panics
    /// When the network of the measure was not opened.
    pub fn values(
        &self,
        measure: Measure,
        frames: &[Picture<'_>],
        real: &[Picture<'_>],
    ) -> Result<Vec<f64>> {
        if measure != Measure::Lpips {
            return Ok(measure.values(frames, real));
        }
        let lpips = self.lpips.as_ref().expect("measures are those of the header");
        let distance = |(a, b): (&Picture<'_>, &Picture<'_>)| {
            Ok(lpips.distance(a.pixels(), b.pixels(), a.width())?)
        };
        frames.iter().zip(real).map(distance).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_known_is_refused_by_what_is() {
        let lpips = Weights { measure: Measure::Lpips, path: PathBuf::from("a=b.safetensors") };
        assert_eq!("lpips=a=b.safetensors".parse(), Ok(lpips));
        let error = "musiq=m.safetensors".parse::<Weights>().unwrap_err();
        assert!(error.contains("expected lpips") && error.contains("got musiq"), "{error}");
        assert!("lpips".parse::<Weights>().is_err() && "lpips=".parse::<Weights>().is_err());
    }

    proptest! {
        #[test]
        fn reading_one_never_panics(text in "\\PC*") {
            let _ = text.parse::<Weights>();
        }
    }
}
