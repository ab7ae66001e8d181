//! What the views of an atlas show from where a section is, and how far the network takes it over.

use super::{ModelConfig, patchify};
use crate::ops::{Linear, is_untracked, with_floats};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::ops::sigmoid;
use std::array::from_fn;

/// Variance of what renderings are off by, over that of latents: a guess, for the gate learns what it leaves.
const OFF: f32 = 0.2;

/// How renderings are shown to the network, and what it answers is mixed with them.
#[derive(Clone, Debug)]
pub(super) struct RenderingLayer {
    embedding: Linear,
    gate: Linear,
}

/// Renderings of a section's frames as token vectors that [`patchify()`] orders.
#[derive(Clone, Debug)]
pub(super) struct Rendered {
    /// Their latents: (R, C · 4).
    latents: Tensor,
    /// The share of each cell that anybody saw: (R, 4).
    seen: Tensor,
    /// As an addition to the section's tokens: (R, D).
    pub(super) tokens: Tensor,
}

impl RenderingLayer {
    /// Reads `rendering.embedding.weight` (D, (C + 1) · 4), `rendering.gate.weight` (4, D) and its bias (4).
    pub(super) fn new(config: &ModelConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let (dim, precision) = (config.dim, config.precision);
        let inputs = 4 * (config.channels + 1);
        Ok(Self {
            embedding: Linear::without_bias(inputs, dim, precision, &vb.pp("embedding"))?,
            gate: Linear::new(dim, 4, precision, &vb.pp("gate"))?,
        })
    }

    pub(super) fn freeze(&mut self) -> Result<()> {
        self.embedding.freeze()?;
        self.gate.freeze()
    }

    /// renderings: latents, and over them the share of each cell that anybody saw, (F, C + 1, H, W).
    pub(super) fn embed(&self, renderings: &Tensor) -> Result<Rendered> {
        let all = patchify(&renderings.unsqueeze(1)?, 1)?;
        let channels = all.dim(1)? - 4;
        Ok(Rendered {
            latents: all.narrow(1, 0, channels)?.contiguous()?,
            seen: all.narrow(1, channels, 4)?.contiguous()?,
            tokens: self.embedding.forward(&all)?,
        })
    }

    /// The answer (R, C · 4) of tokens `x` (R, D), mixed with the renderings where these were seen: by what the gate lets
    /// pass of them, and by [`trust`] at the noise level of each row.
    pub(super) fn mix(
        &self,
        answer: &Tensor,
        x: &Tensor,
        rendered: &Rendered,
        levels: &[f32],
    ) -> Result<Tensor> {
        let (rows, values) = answer.dims2()?;
        let gates = self.gate.forward(x)?;
        let Rendered { latents, seen, .. } = rendered;
        if [answer, latents, seen, &gates].into_iter().all(is_untracked) {
            let mixed =
                with_floats([answer, latents, seen, &gates], |[answer, latents, seen, gates]| {
                    Ok(mixed([answer, latents], [seen, gates], levels))
                })?;
            return Tensor::from_vec(mixed, (rows, values), answer.device());
        }
        let trusts = levels.iter().map(|&level| trust(level));
        let trusts = Tensor::from_vec(trusts.collect(), (rows, 1), x.device())?;
        let share = sigmoid(&gates)?.mul(seen)?;
        let share = share.broadcast_mul(&trusts)?.unsqueeze(1)?; // R, 1, 4
        let towards = (latents - answer)?.reshape((rows, values / 4, 4))?;
        answer + towards.broadcast_mul(&share)?.reshape((rows, values))?
    }
}

/// [`RenderingLayer::mix`] in one pass: answers and latents (R, C · 4), shares that were seen and gates (R, 4), levels (R).
fn mixed([answer, latents]: [&[f32]; 2], [seen, gates]: [&[f32]; 2], levels: &[f32]) -> Vec<f32> {
    let mut mixed = answer.to_vec();
    let width = answer.len() / levels.len();
    let rows = mixed.chunks_exact_mut(width).zip(latents.chunks_exact(width));
    let shares = seen.as_chunks::<4>().0.iter().zip(gates.as_chunks::<4>().0).zip(levels);
    for ((mixed, latents), ((seen, gates), &level)) in rows.zip(shares) {
        let trust = trust(level);
        let share: [f32; 4] = from_fn(|at| 1.0 / ((-gates[at]).exp() + 1.0) * seen[at] * trust);
        let values = mixed.as_chunks_mut::<4>().0.iter_mut().zip(latents.as_chunks::<4>().0);
        for (mixed, latents) in values {
            for at in 0..4 {
                mixed[at] += (latents[at] - mixed[at]) * share[at];
            }
        }
    }
    mixed
}

/// How far a rendering is to be believed beside a noisy frame, were these two all that is known (N. Wiener's filter): in
/// frames at level t there is noise of variance (t / (1 - t))² for each unit of signal. Little at low levels, where frames tell
/// nearly all, so that a velocity's error stays as small as the level.
fn trust(level: f32) -> f32 {
    let (noise, signal) = (level * level, (1.0 - level) * (1.0 - level));
    noise / (noise + OFF * signal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Random;
    use candle_core::{DType, Device, Var};

    #[test]
    fn training_mixes_as_play_does() {
        let config = ModelConfig::tiny();
        let (dim, channels, rows) = (config.dim, config.channels, 6);
        let mut random = Random::new(9, 0);
        let mut normals = |shape: (usize, usize)| {
            Tensor::from_vec(random.normals(shape.0 * shape.1), shape, &Device::Cpu).unwrap()
        };
        let weights = [
            ("embedding.weight".to_owned(), normals((dim, 4 * (channels + 1)))),
            ("gate.weight".to_owned(), normals((4, dim))),
            ("gate.bias".to_owned(), normals((1, 4)).squeeze(0).unwrap()),
        ];
        let vb = VarBuilder::from_tensors(weights.into(), DType::F32, &Device::Cpu);
        let layer = RenderingLayer::new(&config, &vb).unwrap();
        let rendered = Rendered {
            latents: normals((rows, 4 * channels)),
            seen: normals((rows, 4)).abs().unwrap(),
            tokens: normals((rows, dim)),
        };
        let (answer, x) = (normals((rows, 4 * channels)), normals((rows, dim)));
        let levels = [1.0, 0.75, 0.5, 0.25, 0.1, 0.0];
        let mix = |answer: &Tensor| {
            let mixed = layer.mix(answer, &x, &rendered, &levels).unwrap();
            mixed.to_vec2::<f32>().unwrap()
        };
        let played = mix(&answer);
        assert_eq!(played, mix(&Var::from_tensor(&answer).unwrap()));
        // Nothing is believed at the last level, and something before.
        let answer = answer.to_vec2::<f32>().unwrap();
        assert!(played[5] == answer[5] && (0..5).all(|row| played[row] != answer[row]));
    }

    #[test]
    fn renderings_are_believed_as_far_as_noise_hides_the_frame() {
        for (level, expected) in [(1.0, 1.0), (0.5, 1.0 / 1.2), (0.25, 1.0 / 2.8), (0.0, 0.0)] {
            assert!((trust(level) - expected).abs() < 1e-6, "{level}: {}", trust(level));
        }
    }
}
