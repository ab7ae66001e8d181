//! Recorded play as the world model sees it.

use candle_core::{DType, Device, Result, Tensor, bail};
use half::f16;
use memory::Pose;
use std::collections::HashMap;
use std::path::Path;

/// Root mean square of what changes at most between two frames of a rest, in standard deviations of a latent; a step
/// of walking changes ten times as much.
const RESTING: f32 = 0.05;

/// One episode of normalised latents with the actions that led to them.
#[derive(Clone, Debug)]
pub struct LatentEpisode {
    latents: Vec<f16>,
    actions: Vec<f32>,
    /// One for each frame, in the game's units; none where the recording does not tell.
    poses: Vec<Pose>,
    latent_len: usize,
    action_len: usize,
}

impl LatentEpisode {
    /// `latents`: (T, C, H, W), normalised per channel; `actions`: (T, A), applied before each frame.
    ///
    /// # Errors
    /// The two do not have the same number of frames.
    pub fn new(latents: &Tensor, actions: &Tensor) -> Result<Self> {
        let (frames, channels, height, width) = latents.dims4()?;
        let (action_frames, action_len) = actions.dims2()?;
        if frames != action_frames {
            bail!("{frames} latents but {action_frames} actions");
        }
        Ok(Self {
            latents: latents.to_dtype(DType::F16)?.flatten_all()?.to_vec1()?,
            actions: actions.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?,
            poses: Vec::new(),
            latent_len: channels * height * width,
            action_len,
        })
    }

    /// The same with the places that its frames were seen from, in the game's units.
    ///
    /// # Errors
    /// They are not as many as the frames.
    pub fn with_poses(self, poses: Vec<Pose>) -> Result<Self> {
        if poses.len() != self.frames() {
            bail!("{} latents but {} poses", self.frames(), poses.len());
        }
        Ok(Self { poses, ..self })
    }

    /// Latents in parts of (T, C, H, W), and one action after another, each of `action_len` features.
    pub fn from_parts(latents: &[Tensor], actions: Vec<f32>, action_len: usize) -> Result<Self> {
        let frames = actions.len() / action_len;
        let actions = Tensor::from_vec(actions, (frames, action_len), &Device::Cpu)?;
        Self::new(&Tensor::cat(latents, 0)?.to_device(&Device::Cpu)?, &actions)
    }

    /// Reads an episode written by [`Self::save`].
    pub fn load(path: &Path) -> Result<Self> {
        let tensors = candle_core::safetensors::load(path, &Device::Cpu)?;
        let tensor = |name: &str| {
            let missing = || candle_core::Error::Msg(format!("{}: no {name}", path.display()));
            tensors.get(name).ok_or_else(missing)
        };
        let episode = Self::new(tensor("latents")?, tensor("actions")?)?;
        let Some(poses) = tensors.get("poses") else { return Ok(episode) };
        let poses = poses.to_dtype(DType::F32)?.to_vec2::<f32>()?;
        let pose = |numbers: Vec<f32>| match numbers[..] {
            [x, y, yaw] => Ok(Pose { x, y, yaw }),
            _ => bail!("expected poses of three numbers: {}", path.display()),
        };
        episode.with_poses(poses.into_iter().map(pose).collect::<Result<_>>()?)
    }

    /// Writes the episode; `shape` is (C, H, W).
    pub fn save(&self, path: &Path, shape: (usize, usize, usize)) -> Result<()> {
        let frames = self.frames();
        let latents =
            Tensor::from_slice(&self.latents, (frames, shape.0, shape.1, shape.2), &Device::Cpu)?;
        let actions = Tensor::from_slice(&self.actions, (frames, self.action_len), &Device::Cpu)?;
        let mut tensors = HashMap::from([("latents", latents), ("actions", actions)]);
        if !self.poses.is_empty() {
            let poses = self.poses.iter().flat_map(|pose| [pose.x, pose.y, pose.yaw]).collect();
            tensors.insert("poses", Tensor::from_vec(poses, (frames, 3), &Device::Cpu)?);
        }
        let unfinished = path.with_extension("partial");
        candle_core::safetensors::save(&tensors, &unfinished)?;
        Ok(std::fs::rename(&unfinished, path)?)
    }

    /// The same with every rest, where the neutral action leads to what was there before, `frames` frames longer.
    #[must_use]
    pub fn with_longer_rests(self, frames: usize) -> Self {
        if frames == 0 {
            return self;
        }
        let all = self.frames();
        let rests = |at: usize| (1..all).contains(&at) && self.rests_at(at);
        let (mut latents, mut actions, mut poses) = (Vec::new(), Vec::new(), Vec::new());
        for at in 0..all {
            let times = if rests(at) && !rests(at + 1) { 1 + frames } else { 1 };
            let latent = &self.latents[at * self.latent_len..][..self.latent_len];
            for _ in 0..times {
                latents.extend_from_slice(latent);
                actions.extend_from_slice(self.action(at));
                poses.extend(self.poses.get(at));
            }
        }
        Self { latents, actions, poses, ..self }
    }

    /// Whether nothing is done and nothing changes at a frame after the first.
    fn rests_at(&self, frame: usize) -> bool {
        let change = self.latents(frame, 1).zip(self.latents(frame - 1, 1));
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let square = change.map(|(a, b)| (a - b).powi(2)).sum::<f32>() / self.latent_len as f32;
        square < RESTING * RESTING && self.action(frame).iter().all(|&x| x == 0.0)
    }

    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.latents.len() / self.latent_len
    }

    /// Values of `count` latents from frame `first`.
    pub fn latents(&self, first: usize, count: usize) -> impl Iterator<Item = f32> + '_ {
        let range = first * self.latent_len..(first + count) * self.latent_len;
        self.latents[range].iter().map(|value| value.to_f32())
    }

    /// Where frames were seen from, in the game's units: as many as there are frames, or none.
    pub fn poses(&self) -> &[Pose] {
        &self.poses
    }

    /// The action that led to a frame.
    pub fn action(&self, frame: usize) -> &[f32] {
        &self.actions[frame * self.action_len..(frame + 1) * self.action_len]
    }

    /// The mean action of frames.
    pub fn mean_action(&self, frames: impl ExactSizeIterator<Item = usize>) -> Vec<f32> {
        let mut mean = vec![0.0; self.action_len];
        #[expect(clippy::cast_precision_loss, reason = "groups are short")]
        let share = 1.0 / frames.len() as f32;
        for frame in frames {
            mean.iter_mut().zip(self.action(frame)).for_each(|(mean, x)| *mean += share * x);
        }
        mean
    }

    /// The actions of a frame and of the two before it, oldest first; neutral before the episode.
    pub fn last_actions(&self, frame: usize) -> Vec<f32> {
        let neutral = vec![0.0; self.action_len];
        let actions = (0..3)
            .rev()
            .map(|back| frame.checked_sub(back).map_or(&neutral[..], |frame| self.action(frame)));
        actions.flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_last_longer_and_nothing_else_does() {
        // Two rests, of two frames and of one; a frame that changes all alone; one that stays under an action.
        let latents: [f32; 9] = [0.0, 1.0, 1.02, 1.0, 3.0, 3.0, 5.0, 6.0, 6.0];
        let actions: [f32; 9] = [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0];
        let tensor = |values: &[f32], shape: &[usize]| {
            Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
        };
        let episode =
            LatentEpisode::new(&tensor(&latents, &[9, 1, 1, 1]), &tensor(&actions, &[9, 1]));
        let longer = episode.unwrap().with_longer_rests(2);
        let order = [0, 1, 2, 3, 3, 3, 4, 5, 6, 7, 8, 8, 8];
        let expected = order.map(|at| f16::from_f32(latents[at]).to_f32());
        assert_eq!(longer.latents(0, longer.frames()).collect::<Vec<_>>(), expected);
        assert_eq!(longer.actions, order.map(|at| actions[at]));
    }
}
