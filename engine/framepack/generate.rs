//! The loop over the sections of a video, as a state that can be looked at, kept and gone on with between sections.

use super::packed::{Packed, Stream};
use super::window::{HISTORY, Order, paddings};
use candle_core::{Result, Tensor, bail};

/// A video in the making: its latents so far, and what the next section is shown of them.
#[derive(Clone, Debug)]
pub struct Generation {
    order: Order,
    /// Latent frames of a section: 9 in the release.
    frames: usize,
    /// Sections left out before each section, those still to be made.
    paddings: Vec<usize>,
    start: Tensor,
    end: Option<Tensor>,
    /// Everything made so far in order of time: (B, C, T, H, W), after or before the frames that are not there.
    made: Tensor,
    /// Sections made.
    section: usize,
}

impl Generation {
    /// A video of `sections` sections of `frames` latent frames after the latent of the picture `start`.
    ///
    /// start: (B, C, 1, H, W), in 32 bits. History that is not there is zeros. Forward, `start` is the history of the
    /// first section; inverted, it is put before the last section that is made.
    ///
    /// # Errors
    /// There is nothing to make, or `start` is not one frame.
    pub fn new(order: Order, start: &Tensor, sections: usize, frames: usize) -> Result<Self> {
        let (batch, channels, one, height, width) = start.dims5()?;
        if one != 1 || sections == 0 || frames == 0 {
            bail!(
                "expected sections of frames and one start frame, got {sections}, {frames} and {one}"
            );
        }
        let nothing =
            Tensor::zeros((batch, channels, 0, height, width), start.dtype(), start.device())?;
        Ok(Self {
            order,
            frames,
            paddings: match order {
                Order::Inverted => paddings(sections),
                Order::Forward => vec![0; sections],
            },
            made: match order {
                Order::Inverted => nothing,
                Order::Forward => start.clone(),
            },
            start: start.clone(),
            end: None,
            section: 0,
        })
    }

    /// The same with a picture that the video ends at: (B, C, 1, H, W). The first section, which is the last in time,
    /// is shown it as its nearest history.
    ///
    /// # Errors
    /// Sections are made forward, some are made already, or `end` has another shape than the start.
    pub fn ending(mut self, end: &Tensor) -> Result<Self> {
        if self.order != Order::Inverted || self.section > 0 {
            bail!("expected an end picture before the first section, inverted");
        }
        if end.dims() != self.start.dims() {
            bail!("expected an end picture of {:?}, got {:?}", self.start, end);
        }
        self.end = Some(end.clone());
        Ok(self)
    }

    /// Goes on, inverted, with the `sections` sections before what is made, after another start picture (B, C, 1, H, W).
    ///
    /// What was the start picture so far is the nearest history of these sections: the picture that they end at.
    ///
    /// # Errors
    /// Sections are made forward, some are still to be made, or the start has another shape.
    pub fn before(mut self, start: &Tensor, sections: usize) -> Result<Self> {
        if self.order != Order::Inverted || self.left() > 0 || sections == 0 {
            bail!("expected sections before others that are all made, inverted");
        }
        if start.dims() != self.start.dims() {
            bail!("expected a start picture of {:?}, got {start:?}", self.start);
        }
        self.start = start.clone();
        self.end = None;
        self.paddings = paddings(sections);
        self.section = 0;
        Ok(self)
    }

    /// Sections still to be made.
    pub fn left(&self) -> usize {
        self.paddings.len() - self.section
    }

    /// Shape of the noise that the next section starts from.
    pub fn noise_shape(&self) -> Vec<usize> {
        let mut shape = self.start.dims().to_vec();
        shape[2] = self.frames;
        shape
    }

    /// What the network is shown of the next section, whose latents are `noisy` as yet.
    ///
    /// # Errors
    /// All sections are made, or `noisy` has another shape than [`noise_shape`](Self::noise_shape).
    pub fn packed(&self, noisy: &Tensor) -> Result<Packed> {
        let Some(&padding) = self.paddings.get(self.section) else {
            bail!("all sections are made")
        };
        if noisy.dims() != self.noise_shape() {
            bail!("expected a section of {:?}, got {:?}", self.noise_shape(), noisy);
        }
        let times = self.order.times(self.frames, padding * self.frames);
        let history = self.history()?;
        let [near, half, quarter] =
            self.order.split().map(|range| history.narrow(2, range.start, range.len()));
        let near = match &self.end {
            Some(end) if self.section == 0 => end.clone(),
            Some(_) | None => near?,
        };
        let clean = Tensor::cat(&[&self.start, &near], 2)?;
        Ok(Packed {
            history: vec![
                (4, Stream { latents: quarter?, times: times.quarter }),
                (2, Stream { latents: half?, times: times.half }),
                (1, Stream { latents: clean, times: times.clean }),
            ],
            noisy: Stream { latents: noisy.clone(), times: times.noisy },
        })
    }

    /// The frames nearest to the next section, zeros where there are none.
    fn history(&self) -> Result<Tensor> {
        let made = self.made.dim(2)?;
        let kept = made.min(HISTORY);
        let mut shape = self.start.dims().to_vec();
        shape[2] = HISTORY - kept;
        let absent = Tensor::zeros(shape, self.start.dtype(), self.start.device())?;
        match self.order {
            Order::Inverted => Tensor::cat(&[self.made.narrow(2, 0, kept)?, absent], 2),
            Order::Forward => Tensor::cat(&[absent, self.made.narrow(2, made - kept, kept)?], 2),
        }
    }

    /// Takes in the clean latents of the section that was next.
    ///
    /// # Errors
    /// All sections are made, or `section` has another shape than [`noise_shape`](Self::noise_shape).
    pub fn push(&mut self, section: &Tensor) -> Result<()> {
        if self.left() == 0 || section.dims() != self.noise_shape() {
            bail!(
                "expected {} sections of {:?}, got {:?}",
                self.left(),
                self.noise_shape(),
                section
            );
        }
        self.section += 1;
        self.made = match self.order {
            Order::Inverted if self.left() == 0 => {
                Tensor::cat(&[&self.start, section, &self.made], 2)?
            }
            Order::Inverted => Tensor::cat(&[section, &self.made], 2)?,
            Order::Forward => Tensor::cat(&[&self.made, section], 2)?,
        };
        Ok(())
    }

    /// Everything made so far in order of time: (B, C, T, H, W).
    pub fn latents(&self) -> &Tensor {
        &self.made
    }
}

#[cfg(test)]
mod tests {
    use super::super::blocks::Residence;
    use super::super::flow::{clean, euler, levels};
    use super::super::hunyuan::tests::{Golden, worst};
    use super::super::hunyuan::{Condition, Transformer};
    use super::*;
    use candle_core::{DType, Device};

    /// Made by `tests/golden/make_framepack_sections.py`, with the weights of `framepack_tiny.safetensors`.
    const GOLDEN: &str =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/framepack_sections_tiny.safetensors");
    const WEIGHTS: &str =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/framepack_tiny.safetensors");

    /// Errors of the network, some 1e-5 each, carried through five sections of four evaluations.
    const TOLERANCE: f32 = 1e-4;

    fn follows(order: Order, name: &str, end: Option<&str>) {
        let (golden, weights) = (Golden::open(GOLDEN), Golden::open(WEIGHTS));
        let network =
            Transformer::new(&weights.config(), &weights.weights(), Residence::Held).unwrap();
        let text = golden.get("emb").clone();
        let condition = Condition {
            lengths: vec![text.dim(1).unwrap()],
            text,
            pooled: golden.get("pool").clone(),
            image: Some(golden.get("img").clone()),
            guidance: 6.0,
        };
        let want = golden.get(&format!("{name}.latents"));
        let mut video = Generation::new(order, golden.get("lat0"), 5, 3).unwrap();
        if let Some(end) = end {
            video = video.ending(golden.get(end)).unwrap();
        }
        while video.left() > 0 {
            let noise = golden.get(&format!("{name}.noise.{}", 5 - video.left()));
            let section = euler(noise, &levels(4, 7.0), |x, level| {
                let levels = Tensor::new(&[level * 1000.0], &Device::Cpu)?.to_dtype(DType::F32)?;
                clean(x, &network.forward(&video.packed(x)?, &levels, &condition)?, level)
            });
            video.push(&section.unwrap()).unwrap();
            // What was made is what the reference has at the end of its video.
            let made = video.latents().dim(2).unwrap();
            let first = match order {
                Order::Inverted => want.dim(2).unwrap() - made,
                Order::Forward => 0,
            };
            let off = worst(video.latents(), &want.narrow(2, first, made).unwrap());
            println!("{name}, {} sections left: {off:e}", video.left());
            assert!(off <= TOLERANCE, "{name}: off by {off} with {} sections left", video.left());
        }
        assert_eq!(video.latents().dims(), want.dims());
    }

    #[test]
    fn inverted_sections_are_the_references() {
        follows(Order::Inverted, "inverted_anti_drifting", None);
        follows(Order::Inverted, "ending", Some("lat1"));
    }

    #[test]
    fn forward_sections_are_the_references() {
        follows(Order::Forward, "vanilla", None);
    }

    fn frame(value: f32) -> Tensor {
        Tensor::full(value, (1, 1, 1, 2, 2), &Device::Cpu).unwrap()
    }

    #[test]
    fn the_end_picture_is_the_first_sections_nearest_history() {
        let video = Generation::new(Order::Inverted, &frame(1.0), 2, 3).unwrap();
        let mut video = video.ending(&frame(9.0)).unwrap();
        let section = Tensor::full(5.0_f32, video.noise_shape(), &Device::Cpu).unwrap();
        let clean = |video: &Generation| {
            let packed = video.packed(&section).unwrap();
            let (k, clean) = &packed.history[2];
            assert_eq!((*k, clean.latents.dims()), (1, &[1, 1, 2, 2, 2][..]));
            clean.latents.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(clean(&video), [1.0, 1.0, 1.0, 1.0, 9.0, 9.0, 9.0, 9.0]);
        video.push(&section).unwrap();
        assert_eq!(clean(&video), [1.0, 1.0, 1.0, 1.0, 5.0, 5.0, 5.0, 5.0]);
        assert!(video.clone().ending(&frame(9.0)).is_err(), "too late");
        video.push(&section).unwrap();
        assert!(video.packed(&section).is_err() && video.push(&section).is_err(), "all are made");
        assert_eq!(video.latents().dim(2).unwrap(), 7);
        let mut earlier = video.before(&frame(2.0), 1).unwrap();
        assert_eq!(clean(&earlier), [2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0]);
        earlier.push(&section).unwrap();
        assert_eq!(earlier.latents().dim(2).unwrap(), 11);
        let forward = Generation::new(Order::Forward, &frame(1.0), 2, 3).unwrap();
        assert!(forward.clone().before(&frame(1.0), 1).is_err(), "forward nothing comes before");
        assert!(forward.ending(&frame(9.0)).is_err(), "forward there is no end");
    }
}
