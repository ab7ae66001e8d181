//! `UniPC`, a predictor-corrector method of order three that asks the network once a step.
//!
//! With λ = -ln s the path obeys dx/dλ = x̂(λ) - x. Over a step h = λ' - λ that is
//!
//! ```text
//! x(λ') = e^-h x(λ) + ∫ e^-(λ' - l) x̂(l) dl
//! ```
//!
//! and x̂ is taken as the polynomial through the newest estimates. With differences D of estimates to the newest
//! one, each divided by its distance r in steps, the integral is (1 - e^-h) x̂(λ) + B Σ ρ D, where ρ makes it exact
//! for every polynomial of that degree. The predictor has the estimates behind; the corrector also the new one, and
//! makes the step again.
//!
//! W. Zhao et al., "`UniPC`: A Unified Predictor-Corrector Framework for Fast Sampling of Diffusion Models",
//! arXiv 2302.04867, equations 5 to 9.

use candle_core::{Result, Tensor, bail};
use nalgebra::{DMatrix, DVector};
use std::collections::VecDeque;

/// Order of the method; the first steps have what there is.
const ORDER: usize = 3;

/// The factor B of the differences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// The step itself, `bh1`: what the release samples with.
    #[default]
    Step,
    /// 1 - e^-h, `bh2`.
    Exponential,
}

/// From `noise` down `levels`, whose last is 0: `estimate` answers the clean latents in noisy ones at a level.
///
/// The network is asked at every level but 0, and the last answer is the result.
///
/// # Errors
/// There is no level above 0, levels do not fall, or the estimate fails.
pub fn unipc(
    noise: &Tensor,
    levels: &[f64],
    scale: Scale,
    mut estimate: impl FnMut(&Tensor, f64) -> Result<Tensor>,
) -> Result<Tensor> {
    let Some((_, levels)) = levels.split_last().filter(|(last, _)| **last == 0.0) else {
        bail!("expected noise levels down to 0, got {levels:?}");
    };
    let falling =
        levels.windows(2).all(|pair| pair[0] > pair[1]) && levels.iter().all(|&s| s > 0.0);
    let Some((&first, rest)) = levels.split_first().filter(|_| falling) else {
        bail!("expected falling noise levels, got {levels:?}");
    };
    let order = ORDER.min(rest.len());
    let mut x = noise.clone();
    let mut past = VecDeque::from([Estimate { log: -first.ln(), clean: estimate(&x, first)? }]);
    for &level in rest {
        let step = Step::new(&past, -level.ln(), order.min(past.len()), scale)?;
        let predicted = step.predict(&x)?;
        let clean = estimate(&predicted, level)?;
        x = step.correct(&x, &clean)?;
        past.push_front(Estimate { log: -level.ln(), clean });
        past.truncate(order);
    }
    Ok(past.pop_front().expect("the first estimate at least").clean)
}

/// What the network saw at a level, λ = -ln s.
struct Estimate {
    log: f64,
    clean: Tensor,
}

/// One step from the newest estimate.
struct Step {
    /// How much of x is left, e^-h.
    left: f64,
    newest: Tensor,
    /// Divided differences of older estimates to the newest.
    differences: Vec<Tensor>,
    /// The factor B of all differences.
    factor: f64,
    predictor: Vec<f64>,
    corrector: Vec<f64>,
}

impl Step {
    /// The step to λ = `log` at an order of at most the estimates that there are.
    fn new(past: &VecDeque<Estimate>, log: f64, order: usize, scale: Scale) -> Result<Self> {
        let newest = &past[0];
        let h = log - newest.log;
        let distances: Vec<f64> =
            past.iter().take(order).skip(1).map(|old| (old.log - newest.log) / h).collect();
        let difference = |(old, &r): (&Estimate, &f64)| (&old.clean - &newest.clean)? / r;
        let factor = match scale {
            Scale::Step => h,
            Scale::Exponential => -(-h).exp_m1(),
        };
        Ok(Self {
            left: (-h).exp(),
            newest: newest.clean.clone(),
            differences: past
                .iter()
                .skip(1)
                .zip(&distances)
                .map(difference)
                .collect::<Result<_>>()?,
            factor,
            predictor: weights(&distances, h, factor)?,
            corrector: weights(&[&distances[..], &[1.0]].concat(), h, factor)?,
        })
    }

    /// The step by what is behind.
    fn predict(&self, x: &Tensor) -> Result<Tensor> {
        self.step(x, &self.differences, &self.predictor)
    }

    /// The step again, with the estimate at its end.
    fn correct(&self, x: &Tensor, clean: &Tensor) -> Result<Tensor> {
        let mut differences = self.differences.clone();
        differences.push((clean - &self.newest)?);
        self.step(x, &differences, &self.corrector)
    }

    fn step(&self, x: &Tensor, differences: &[Tensor], weights: &[f64]) -> Result<Tensor> {
        let mut next = ((x * self.left)? + (&self.newest * (1.0 - self.left))?)?;
        for (difference, weight) in differences.iter().zip(weights) {
            next = (next + (difference * (self.factor * weight))?)?;
        }
        Ok(next)
    }
}

/// Weights ρ of differences at these distances, in steps h: B Σ ρ r^(q-1) is the q-th moment, for q from 1 on.
///
/// A single weight is 1/2, which it tends to for small steps, as the authors advise.
fn weights(distances: &[f64], h: f64, factor: f64) -> Result<Vec<f64>> {
    let count = distances.len();
    if count <= 1 {
        return Ok(vec![0.5; count]);
    }
    let matrix = DMatrix::from_fn(count, count, |power, at| {
        distances[at].powi(i32::try_from(power).expect("orders are small"))
    });
    let right = DVector::from_vec(moments(h, count).iter().map(|moment| moment / factor).collect());
    match matrix.lu().solve(&right) {
        Some(weights) => Ok(weights.as_slice().to_vec()),
        None => bail!("expected noise levels that differ"),
    }
}

/// The integrals of the monomials over a step, h ∫₀¹ e^-(1-τ)h τ^q dτ, for q = 1 to `count`.
fn moments(h: f64, count: usize) -> Vec<f64> {
    let mut moments = Vec::with_capacity(count);
    let mut before = -(-h).exp_m1() / h; // ∫₀¹ e^-(1-τ)h dτ
    for power in (1_u32..).take(count) {
        // By parts: ∫ e^-(1-τ)h τ^q dτ = (1 - q ∫ e^-(1-τ)h τ^(q-1) dτ) / h.
        before = (1.0 - f64::from(power) * before) / h;
        moments.push(h * before);
    }
    moments
}

#[cfg(test)]
mod tests {
    use super::super::levels;
    use super::*;
    use candle_core::Device;

    /// A network of one number: what it sees in x at level s.
    fn estimate(x: &Tensor, s: f64) -> Result<Tensor> {
        ((x * 0.7)?.tanh()? * (1.0 - 0.4 * s))? + 0.1 * s
    }

    fn check(steps: u32, scale: Scale, want: [f64; 3]) {
        let x = Tensor::new(&[1.0, -0.5, 0.25_f64], &Device::Cpu).unwrap();
        let got =
            unipc(&x, &levels(steps, 3.0), scale, estimate).unwrap().to_vec1::<f64>().unwrap();
        for (got, want) in got.iter().zip(want) {
            assert!((got - want).abs() < 1e-6, "{steps} steps: {got}, not {want}");
        }
    }

    /// Values of an independent implementation of the release's sampler.
    #[test]
    fn follows_the_release() {
        check(1, Scale::Step, [0.462_621, -0.101_825, 0.203_941]);
        check(2, Scale::Step, [0.453_893, -0.116_240, 0.190_784]);
        check(3, Scale::Step, [0.439_244, -0.121_757, 0.179_219]);
        check(4, Scale::Step, [0.422_942, -0.119_807, 0.170_807]);
        check(6, Scale::Step, [0.396_159, -0.115_180, 0.158_234]);
        check(25, Scale::Step, [0.285_214, -0.086_401, 0.112_238]);
        check(3, Scale::Exponential, [0.439_324, -0.121_409, 0.179_483]);
    }

    #[test]
    fn levels_must_fall_to_zero() {
        let x = Tensor::new(&[1.0_f64], &Device::Cpu).unwrap();
        for levels in [
            &[][..],
            &[0.0],
            &[1.0, 0.5],
            &[0.5, 1.0, 0.0],
            &[1.0, 1.0, 0.0],
            &[1.0, f64::NAN, 0.0],
        ] {
            assert!(unipc(&x, levels, Scale::Step, estimate).is_err(), "{levels:?}");
        }
    }
}
