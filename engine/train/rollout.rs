//! Rollouts: play that training goes on with, clip after clip, from what the average dreams.
//!
//! Play soon sees nothing but frames that the network made itself, with all their faults. A rollout
//! follows the recorded actions of one episode; its history is dreamed, what its sections are to be
//! stays recorded, and so the network learns to lead a dream back to the game (DIAMOND, E. Alonso et
//! al. 2024, does so over a few frames). It ends where the dream has strayed from the recording.

use super::clip::Clip;
use crate::atlas::cosine;
use candle_core::{DType, Device, Result, Tensor};
use half::f16;
use std::collections::BTreeMap;

/// Dreams kept behind the next frame: no schedule looks further back.
const KEPT: usize = 32;
/// Cosine to what was recorded below which a dream has strayed: what was recorded next does not follow from it, and
/// would teach a network to make nothing of its history. Of frames that have nothing to do with each other one in
/// nine is as near.
const STRAYED: f32 = 0.7;
/// The same where views of the atlas show what comes next: they are there to lead a dream back, as long as it shows
/// anything of the place.
const LOST: f32 = 0.4;

/// Where a rollout stands between two clips.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rollout {
    /// Number of the episode whose actions it follows.
    pub(super) episode: usize,
    /// First frame of its next clip.
    pub(super) next: usize,
    /// History frames that are known there.
    pub(super) known: usize,
    /// Dreamed latents of the last frames before `next`, in order.
    pub(super) dreams: Vec<Vec<f32>>,
}

impl Rollout {
    /// What is left when `clip` of `frames` frames was dreamed.
    pub(super) fn after(clip: &Clip<'_>, frames: usize) -> Self {
        let next = clip.first + frames;
        let dreams = clip.dreams.range(next.saturating_sub(KEPT)..next);
        Self {
            episode: clip.number,
            next,
            known: clip.known + frames,
            dreams: dreams.map(|(_, dream)| dream.clone()).collect(),
        }
    }

    /// The dreams by frame.
    pub(super) fn by_frame(&self) -> BTreeMap<usize, Vec<f32>> {
        (self.next - self.dreams.len()..).zip(self.dreams.iter().cloned()).collect()
    }

    /// As tensors of a checkpoint, under the names of rollout `number`.
    pub(super) fn tensors(&self, number: usize) -> Result<[(String, Tensor); 2]> {
        let place = [self.episode, self.next, self.known];
        let place = place.map(|x| u32::try_from(x).expect("episodes are short"));
        let len = self.dreams.first().map_or(0, Vec::len);
        let dreams = Tensor::from_vec(self.dreams.concat(), (self.dreams.len(), len), &Device::Cpu);
        Ok([
            (format!("{number}.place"), Tensor::new(&place, &Device::Cpu)?),
            (format!("{number}.dreams"), dreams?),
        ])
    }

    /// Rollout `number` of a checkpoint; `None` where it has none.
    pub(super) fn restore(
        tensors: &BTreeMap<String, Tensor>,
        number: usize,
    ) -> Result<Option<Self>> {
        let tensor = |part: &str| tensors.get(&format!("{number}.{part}"));
        let (Some(place), Some(dreams)) = (tensor("place"), tensor("dreams")) else {
            return Ok(None);
        };
        let place = place.to_device(&Device::Cpu)?.to_dtype(DType::U32)?.to_vec1::<u32>()?;
        let &[episode, next, known] = &place.iter().map(|&x| x as usize).collect::<Vec<_>>()[..]
        else {
            candle_core::bail!("expected three numbers in rollouts/{number}.place");
        };
        let dreams = dreams.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.to_vec2()?;
        Ok(Some(Self { episode, next, known, dreams }))
    }
}

/// Whether a dream of a frame still shows what was recorded there; `charted`: enough of it to be led back by views of
/// the atlas.
pub(super) fn is_near(dream: &[f32], recorded: impl Iterator<Item = f32>, charted: bool) -> bool {
    cosine(dream.iter().copied(), recorded) > if charted { LOST } else { STRAYED }
}

/// A dream as play stores it.
pub(super) fn stored(latent: &[f32]) -> Vec<f32> {
    latent.iter().map(|&x| f16::from_f32(x).to_f32()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dream_is_near_up_to_an_angle_whatever_its_length() {
        let recorded = [1.0_f32, 0.0];
        for (dream, near, charted) in [
            ([0.1, 0.099], true, true),
            ([5.0, 5.5], false, true),
            ([0.5, 1.0], false, true),
            ([0.4, 1.0], false, false),
            ([-1.0, 0.0], false, false),
        ] {
            assert_eq!(is_near(&dream, recorded.into_iter(), false), near, "{dream:?}");
            assert_eq!(is_near(&dream, recorded.into_iter(), true), charted, "{dream:?}");
        }
        assert!(!is_near(&[0.0, 0.0], recorded.into_iter(), true));
    }
}
