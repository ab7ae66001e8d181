//! A video of a published model in the making, section by section, with its pictures.
//!
//! It is made of shots: runs of sections between given pictures. Inverted, the last shot is made first, and each one
//! from its end to the picture that it begins with; what is made stays the history of the shots before it, so that
//! each aims at both of its pictures (`FramePack` §4.1, planned endpoints). Forward there is one shot.

use super::flow::{self, Scale, clean, unipc};
use super::generate::Generation;
use super::network::Network;
use super::told::{Text, Told};
use super::window::Order;
use crate::noise::Random;
use crate::vae::section::{append, overlap};
use crate::vae::{Autoencoder, video};
use candle_core::{DType, Device, Result, Tensor, bail};
use input::Frame;
use std::collections::VecDeque;

/// A given picture.
#[derive(Clone, Debug)]
pub struct Picture {
    /// (1, C, 1, H, W).
    pub latent: Tensor,
    /// States of the image encoder, where the model has one: (L, D).
    pub states: Option<Tensor>,
}

/// A run of sections after a given picture, or after nothing: the first alone.
#[derive(Clone, Debug)]
pub struct Shot {
    /// The picture that it begins with.
    pub start: Option<Picture>,
    /// Sections, at least one.
    pub sections: usize,
}

/// What a video is made from.
#[derive(Clone, Debug)]
pub struct Script {
    /// The order of making.
    pub order: Order,
    /// Latent frames of a section: 9 in the release.
    pub frames: usize,
    /// Shape of a latent frame: (C, H, W).
    pub latent: (usize, usize, usize),
    /// Shots in order of time.
    pub shots: Vec<Shot>,
    /// The picture that the last shot ends at.
    pub end: Option<Picture>,
    /// The prompt of each section in order of time.
    pub prompts: Vec<Text>,
}

/// How sections are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Drawing {
    /// Evaluations of a section.
    pub steps: u32,
    /// Guidance scale.
    pub guidance: f64,
    /// Seed of the noise.
    pub seed: u64,
}

/// The video.
#[derive(Debug)]
pub struct Film {
    script: Script,
    drawing: Drawing,
    network: Network,
    vae: Autoencoder,
    device: Device,
    generation: Generation,
    /// Shot in the making.
    shot: usize,
    /// Sections made.
    made: usize,
    /// Latents whose pictures there are.
    decoded: usize,
    pictures: VecDeque<Frame>,
}

impl Script {
    /// # Errors
    /// There is no section, not one prompt for each, a shot but the first has no picture, or pictures are to be come
    /// by forward.
    fn check(&self) -> Result<()> {
        let sections: usize = self.shots.iter().map(|shot| shot.sections).sum();
        if sections == 0
            || sections != self.prompts.len()
            || self.shots.iter().any(|s| s.sections == 0)
        {
            bail!("expected a prompt for each of {sections} sections, got {}", self.prompts.len());
        }
        if self.shots.iter().skip(1).any(|shot| shot.start.is_none()) {
            bail!("expected a picture that each shot but the first begins with");
        }
        if self.order == Order::Forward && (self.shots.len() > 1 || self.end.is_some()) {
            bail!("expected inverted order for pictures to come by");
        }
        Ok(())
    }

    /// The latent that a shot begins with: zeros where nothing is given.
    fn start(&self, shot: usize, device: &Device) -> Result<Tensor> {
        match &self.shots[shot].start {
            Some(picture) => Ok(picture.latent.clone()),
            None => {
                let (channels, height, width) = self.latent;
                Tensor::zeros((1, channels, 1, height, width), DType::F32, device)
            }
        }
    }

    /// Place in time of the section that is made after `made` others.
    fn place(&self, made: usize) -> usize {
        match self.order {
            Order::Forward => made,
            Order::Inverted => self.prompts.len() - 1 - made,
        }
    }

    /// What the sections of a shot are told of pictures: the mean of those at both of its ends, as released.
    fn states(&self, shot: usize) -> Result<Option<Tensor>> {
        let end = match self.shots.get(shot + 1) {
            Some(next) => next.start.as_ref(),
            None => self.end.as_ref(),
        };
        let states = |picture: Option<&Picture>| picture.and_then(|picture| picture.states.clone());
        match (states(self.shots[shot].start.as_ref()), states(end)) {
            (Some(start), Some(end)) => ((start + end)? / 2.0).map(Some),
            (start, end) => Ok(start.or(end)),
        }
    }
}

impl Film {
    /// A video before its first section.
    ///
    /// # Errors
    /// The script is none that can be made, or pictures differ in size.
    pub fn new(
        script: Script,
        drawing: Drawing,
        network: Network,
        vae: Autoencoder,
        device: &Device,
    ) -> Result<Self> {
        script.check()?;
        let shot = match script.order {
            Order::Forward => 0,
            Order::Inverted => script.shots.len() - 1,
        };
        let start = script.start(shot, device)?;
        let sections = script.shots[shot].sections;
        let mut generation = Generation::new(script.order, &start, sections, script.frames)?;
        if let Some(end) = &script.end {
            generation = generation.ending(&end.latent)?;
        }
        let device = device.clone();
        let (made, decoded, pictures) = (0, 0, VecDeque::new());
        Ok(Self {
            script,
            drawing,
            network,
            vae,
            device,
            generation,
            shot,
            made,
            decoded,
            pictures,
        })
    }

    /// Sections in all.
    pub fn sections(&self) -> usize {
        self.script.prompts.len()
    }

    /// Sections made.
    pub fn made(&self) -> usize {
        self.made
    }

    /// Draws the latents of the next section: (1, C, T, H, W). `evaluated` is called after every evaluation.
    ///
    /// What is random is a function of the seed and of the number of the section alone.
    ///
    /// # Errors
    /// All sections are made, or the parts do not fit each other.
    pub fn draw(&self, evaluated: &mut dyn FnMut()) -> Result<Tensor> {
        let Drawing { steps, guidance, seed } = self.drawing;
        if self.made == self.sections() {
            bail!("all sections are made");
        }
        let shape = self.generation.noise_shape();
        let stream = u64::try_from(self.made)?;
        let noise = Random::new(seed, stream).normals(shape.iter().product());
        let noise = Tensor::from_vec(noise, &shape[..], &self.device)?;
        let told = Told {
            text: self.script.prompts[self.script.place(self.made)].clone(),
            image: self.script.states(self.shot)?,
        };
        let tokens = shape[2] * (shape[3] / 2) * (shape[4] / 2);
        let levels = flow::levels(steps, self.network.shift(tokens));
        unipc(&noise, &levels, Scale::Step, |x, level| {
            let packed = self.generation.packed(x)?;
            let velocity = self.network.velocity(&packed, level, &told, guidance)?;
            evaluated();
            clean(x, &velocity, level)
        })
    }

    /// Takes in the latents of the next section and makes its pictures; answers how many are new. Forward they are the
    /// last ones, inverted the first ones.
    ///
    /// # Errors
    /// All sections are made, or the latents have another shape.
    pub fn take(&mut self, latents: &Tensor) -> Result<usize> {
        self.generation.push(&latents.to_device(&self.device)?)?;
        self.made += 1;
        let before = self.pictures.len();
        self.decode()?;
        if self.generation.left() == 0 && self.made < self.sections() {
            self.shot -= 1;
            let start = self.script.start(self.shot, &self.device)?;
            let sections = self.script.shots[self.shot].sections;
            self.generation = self.generation.clone().before(&start, sections)?;
        }
        Ok(self.pictures.len() - before)
    }

    /// The pictures made so far in order of time.
    pub fn pictures(&self) -> &VecDeque<Frame> {
        &self.pictures
    }

    /// Latents made so far, without a start that was not given.
    fn latents(&self) -> Result<Tensor> {
        let made = self.generation.latents();
        let whole = match self.script.order {
            Order::Forward => true,
            Order::Inverted => self.shot == 0 && self.generation.left() == 0,
        };
        let absent = usize::from(whole && self.script.shots[0].start.is_none());
        made.narrow(2, absent, made.dim(2)? - absent)
    }

    /// Decodes the newest latents with a section's length of known ones beside them, and fades the pictures in.
    fn decode(&mut self) -> Result<()> {
        let latents = self.latents()?;
        let length = latents.dim(2)?;
        let known = self.decoded.min(self.script.frames);
        let window = length - self.decoded + known;
        let shared = overlap(known);
        let joined = match self.script.order {
            Order::Forward => {
                let later = self.vae.decode(&latents.narrow(2, length - window, window)?)?;
                let first = self.pictures.len() - shared;
                faded(
                    self.pictures.split_off(first),
                    |earlier| append(earlier, &later, shared),
                    &later,
                )?
            }
            Order::Inverted => {
                let earlier = self.vae.decode(&latents.narrow(2, 0, window)?)?;
                let rest = self.pictures.split_off(shared);
                let later = std::mem::replace(&mut self.pictures, rest);
                faded(later, |later| append(&earlier, later, shared), &earlier)?
            }
        };
        match self.script.order {
            Order::Forward => self.pictures.extend(joined),
            Order::Inverted => {
                for frame in joined.into_iter().rev() {
                    self.pictures.push_front(frame);
                }
            }
        }
        self.decoded = length;
        Ok(())
    }
}

/// Pictures `shown` joined by `join` with what was `decoded`, or that alone where there are none.
fn faded(
    mut shown: VecDeque<Frame>,
    join: impl FnOnce(&Tensor) -> Result<Tensor>,
    decoded: &Tensor,
) -> Result<Vec<Frame>> {
    if shown.is_empty() {
        return video::frames(decoded);
    }
    let shown = video::tensor(shown.make_contiguous(), DType::F32, decoded.device())?;
    video::frames(&join(&shown)?)
}
