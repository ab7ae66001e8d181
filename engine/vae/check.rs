//! What the tests of both autoencoders do.

use super::Posterior;
use crate::golden::{Golden, farthest};
use candle_core::Tensor;

/// Both implementations sum in f32, in another order, through some thirty layers; latents are below 2.
const TOLERANCE: f32 = 1e-5;

/// Latents of the reference's videos and pictures of its latents, run `name`, agree with the reference's, pictures to
/// `step`, half the distance of the values in which they are kept.
pub(super) fn parity(
    golden: &Golden,
    name: &str,
    latents: &Posterior,
    (pictures, step): (&Tensor, f32),
) {
    let apart = farthest(latents.mode(), &golden.get(&format!("{name}.mean")));
    assert!(apart < TOLERANCE, "{name}: means are off by {apart}");
    // Noise of ones: the mean, one deviation on.
    let one_on = latents.mode().ones_like().and_then(|noise| latents.sample(&noise));
    let deviation = one_on.and_then(|latents_on| latents_on - latents.mode());
    let deviation = deviation.expect("tensors of one shape");
    let apart = farthest(&deviation, &golden.get(&format!("{name}.deviation")));
    assert!(apart < TOLERANCE, "{name}: deviations are off by {apart}");
    let apart = farthest(pictures, &golden.get(&format!("{name}.pictures")));
    assert!(apart < step + 10.0 * TOLERANCE, "{name}: pictures are off by {apart}");
}
