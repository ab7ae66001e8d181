//! Gradients of a step, the samples of which are worked on side by side.

use super::scene::Sample;
use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// The mean loss over the section frames of all samples, of which there is one at least, and its gradients to `vars`.
///
/// Each thread has samples of its own, for operations that all threads share wait for one another, and small ones are not
/// worth sharing. Gradients are added in the order of the samples, however many threads there are.
pub(super) fn slopes(
    samples: &[Sample],
    vars: &BTreeMap<String, Var>,
    loss: impl Fn(&Sample) -> Result<Tensor> + Sync,
) -> Result<(f32, GradStore)> {
    let frames: usize = samples.iter().map(|sample| sample.frames).sum();
    let of_sample = |sample: &Sample| {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let share = sample.frames as f64 / frames as f64;
        let loss = (loss(sample)? * share)?;
        Ok((loss.to_scalar::<f32>()?, loss.backward()?))
    };
    let parts = samples.par_iter().map(of_sample).collect::<Result<Vec<_>>>()?;
    let (losses, mut parts): (Vec<f32>, Vec<GradStore>) = parts.into_iter().unzip();
    let sums = vars.par_iter().map(|(_, var)| {
        let mut of_parts = parts.iter().filter_map(|part| part.get(var));
        let first = of_parts.next().cloned();
        let sum = first.map(|first| of_parts.try_fold(first, |sum, part| sum + part));
        Ok((var, sum.transpose()?))
    });
    let sums = sums.collect::<Result<Vec<_>>>()?;
    let mut gradients = parts.swap_remove(0);
    for (var, sum) in sums {
        sum.and_then(|sum| gradients.insert(var, sum));
    }
    Ok((losses.iter().sum(), gradients))
}
