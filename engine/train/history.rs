//! What the sections of a step see of their past: frames as they were recorded or dreamed, made noisy, or made of words.

use super::clip::Clip;
use super::groups::PlannedSection;
use super::rollout::stored;
use crate::model::spanned;
use crate::noise::Random;
use crate::pack::Kernel;
use memory::FrameId;
use std::collections::BTreeMap;

/// History frames, recorded or dreamed, with their noise or in words: a frame is the same in every group that holds it.
pub(super) struct NoisyHistory<'a> {
    pub(super) clips: Vec<Clip<'a>>,
    frames: BTreeMap<(usize, usize), Vec<f32>>,
    /// Noise that diffusion forcing mixes into frames, at any share the same.
    noises: BTreeMap<(usize, usize), Vec<f32>>,
}

impl<'a> NoisyHistory<'a> {
    pub(super) fn new(clips: Vec<Clip<'a>>) -> Self {
        Self { clips, frames: BTreeMap::new(), noises: BTreeMap::new() }
    }

    /// The same clips, each with a history of its own.
    pub(super) fn apart(self) -> impl Iterator<Item = Self> {
        let (mut frames, mut noises) = (self.frames, self.noises);
        self.clips.into_iter().enumerate().map(move |(number, clip)| {
            let of_clip = |all: &mut BTreeMap<(usize, usize), Vec<f32>>| {
                all.extract_if((number, 0)..=(number, usize::MAX), |_, _| true)
                    .map(|((_, frame), values)| ((0, frame), values))
                    .collect()
            };
            Self { clips: vec![clip], frames: of_clip(&mut frames), noises: of_clip(&mut noises) }
        })
    }

    /// Shares of noise in what sections of these levels see, where diffusion forcing mixes any in.
    pub(super) fn shares(&self, planned: &[PlannedSection], levels: &[f32]) -> Option<Vec<f32>> {
        let share = |(section, level): (&PlannedSection, &f32)| {
            self.clips[section.clip].forcing.map(|share| share * level)
        };
        planned.iter().zip(levels).map(share).collect()
    }

    /// The latents that a kernel spans, of a clip and with a share of noise: those of the frames, or where they are
    /// another number their mean for each.
    pub(super) fn group(
        &mut self,
        of: (usize, f32),
        kernel: Kernel,
        frames: &[FrameId],
        random: &mut Random,
    ) -> Vec<f32> {
        let latents: Vec<Vec<f32>> =
            frames.iter().map(|frame| self.shown(of, frame.0 as usize, random)).collect();
        spanned(kernel, &latents)
    }

    /// The mean of the actions that led to frames.
    pub(super) fn mean_action(&self, clip: usize, frames: &[FrameId]) -> Vec<f32> {
        let Clip { episode, around, charted, .. } = &self.clips[clip];
        let view = charted.and_then(|(charted, _)| charted.view(frames[0].0 as usize));
        let mut mean = match view {
            // Views lie apart: no group holds two.
            Some(view) => view.action.to_vec(),
            None => episode.mean_action(frames.iter().map(|frame| frame.0 as usize)),
        };
        if around.as_ref().is_some_and(|around| around.null_history) {
            mean.fill(0.0);
        }
        mean
    }

    /// A frame of a clip with a share of noise.
    pub(super) fn shown(
        &mut self,
        (clip, share): (usize, f32),
        frame: usize,
        random: &mut Random,
    ) -> Vec<f32> {
        let mut latent = self.frame(clip, frame, random).to_vec();
        if share > 0.0 {
            let noise = self.noises.entry((clip, frame));
            let noise = noise.or_insert_with(|| random.normals(latent.len()));
            latent.iter_mut().zip(noise).for_each(|(x, n)| *x = (1.0 - share) * *x + share * *n);
        }
        latent
    }

    pub(super) fn frame(&mut self, clip: usize, frame: usize, random: &mut Random) -> &[f32] {
        let Clip { episode, dreams, noise, codebook, charted, .. } = &self.clips[clip];
        self.frames.entry((clip, frame)).or_insert_with(|| {
            // A dream has faults enough of its own, and a view of the atlas is always as it was recorded.
            let view = charted.and_then(|(charted, _)| charted.view(frame));
            let clean = view.map(|view| view.values().collect());
            let mut latent = dreams.get(&frame).cloned().or(clean).unwrap_or_else(|| {
                let mut latent: Vec<f32> = episode.latents(frame, 1).collect();
                if *noise > 0.0 {
                    latent.iter_mut().for_each(|x| *x += noise * random.normal());
                }
                latent
            });
            if let Some(codebook) = codebook {
                codebook.quantise(&mut latent);
            }
            latent
        })
    }

    /// Puts a dream in the place of a frame.
    pub(super) fn replace(&mut self, clip: usize, frame: usize, latent: &[f32]) {
        self.clips[clip].dreams.insert(frame, stored(latent));
        self.frames.remove(&(clip, frame));
    }
}
