//! Noise levels of the straight path `x_s` = (1 - s) x + s n, and the solvers that go down them.
//!
//! Both solvers are given the clean latents that the network sees in the noisy ones, x̂ = `x_s` - s v for the
//! velocity v that it predicts, and answer x̂ at the lowest level at which the network was asked.

mod unipc;

pub use unipc::{Scale, unipc};

use crate::sampler;
use candle_core::{Result, Tensor};

/// Tokens of the noisy section at which the shift has its two published values, ln s at each.
const SHIFT_LINE: [(f64, f64); 2] = [(256.0, 0.5), (4096.0, 1.15)];
/// Largest shift.
const SHIFT_MAX: f64 = 7.0;

/// Noise levels of `steps` evaluations, 1 first, and then 0.
///
/// Equal steps u are bent to s = shift · u / (1 + (shift - 1) u): a large shift stays long in the noise.
pub fn levels(steps: u32, shift: f64) -> Vec<f64> {
    let steps = steps.max(1);
    let bent = |left: u32| {
        let u = f64::from(left) / f64::from(steps);
        shift * u / (1.0 + (shift - 1.0) * u)
    };
    (0..=steps).rev().map(bent).collect()
}

/// The shift that goes with this many tokens of the noisy section: 1.65 at 256, 7 from 8800 on.
pub fn shift_for(tokens: usize) -> f64 {
    let [(low, at_low), (high, at_high)] = SHIFT_LINE;
    #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
    let tokens = tokens as f64;
    let slope = (at_high - at_low) / (high - low);
    (at_low + slope * (tokens - low)).exp().min(SHIFT_MAX)
}

/// The clean latents that a `velocity` points to, from `x` at `level`.
pub fn clean(x: &Tensor, velocity: &Tensor, level: f64) -> Result<Tensor> {
    x - (velocity * level)?
}

/// Euler's method from `noise` down `levels`: `estimate` answers the clean latents in noisy ones at a level.
///
/// # Errors
/// Those of the estimate.
pub fn euler(
    noise: &Tensor,
    levels: &[f64],
    mut estimate: impl FnMut(&Tensor, f64) -> Result<Tensor>,
) -> Result<Tensor> {
    let mut x = noise.clone();
    for pair in levels.windows(2) {
        let clean = estimate(&x, pair[0])?;
        x = sampler::euler(&x, clean, pair[1] / pair[0])?;
    }
    Ok(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn levels_are_bent_towards_noise() {
        let levels = levels(4, 7.0);
        let want = [1.0, 21.0 / 22.0, 7.0 / 8.0, 0.7, 0.0];
        assert!(levels.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12), "{levels:?}");
        assert_eq!(super::levels(2, 1.0), [1.0, 0.5, 0.0]);
    }

    #[test]
    fn the_shift_grows_with_tokens_up_to_seven() {
        // Nine frames of 608 x 640 pixels have 13 680 tokens.
        assert_eq!(shift_for(13_680), 7.0);
        assert!((shift_for(256) - 0.5_f64.exp()).abs() < 1e-12);
        assert!((shift_for(4096) - 1.15_f64.exp()).abs() < 1e-12);
        assert!(shift_for(8797) < 7.0 && shift_for(8799) == 7.0);
    }

    #[test]
    fn euler_follows_a_constant_velocity_exactly() {
        let at = |values: &[f64]| Tensor::new(values, &Device::Cpu).unwrap();
        let (x, n) = (at(&[0.3, -1.2]), at(&[1.5, 0.7]));
        let velocity = (&n - &x).unwrap();
        let end = euler(&n, &levels(5, 3.0), |x, s| clean(x, &velocity, s)).unwrap();
        let off = (end - x).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
        assert!(off < 1e-6, "off by {off}");
    }
}
