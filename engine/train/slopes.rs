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
    let (mut mean, mut sum) = (0.0, None);
    // As many at a time as there are threads, for the gradients of each take as much memory as the weights.
    for samples in samples.chunks(rayon::current_num_threads()) {
        let parts = samples.par_iter().map(of_sample).collect::<Result<Vec<_>>>()?;
        for (loss, slopes) in parts {
            mean += loss;
            sum = Some(match sum {
                Some(sum) => added(sum, &slopes, vars)?,
                None => slopes,
            });
        }
    }
    Ok((mean, sum.expect("a step has samples")))
}

/// Gradients with others added to them.
fn added(mut sum: GradStore, more: &GradStore, vars: &BTreeMap<String, Var>) -> Result<GradStore> {
    let together = |(_, var): (&String, &Var)| {
        let more = more.get(var)?;
        let sum = sum.get(var).map_or_else(|| Ok(more.clone()), |known| known + more);
        Some(sum.map(|sum| (var.clone(), sum)))
    };
    let sums: Vec<_> = vars.par_iter().filter_map(together).collect::<Result<_>>()?;
    for (var, gradient) in sums {
        sum.insert(&var, gradient);
    }
    Ok(sum)
}
