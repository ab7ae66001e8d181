//! Fused operations with gradients, for the places where candle's own are slow on a CPU.
//!
//! Every operation here has a plain form made of candle's differentiable primitives. That form trains
//! on CUDA and is what the tests hold the fused one to. On a CPU the fused one runs: it passes over
//! memory once, vectorises by run-time detection, and gives the same bits at any number of threads. In
//! play on CUDA, kernels of our own run in its place (`cuda`).

mod attend;
mod conv;
mod cuda;
mod elementwise;
mod gather;
mod int16;
mod linear;
mod norm;
mod pass;
mod place;
mod share;
mod stack;
mod wide;

pub(crate) use attend::softmax_last;
pub use attend::{Route, attend};
pub use conv::Conv2d;
#[cfg(feature = "cuda")]
pub(crate) use cuda::{hold, sealed};
pub use elementwise::{add, gated_add, gelu, silu};
pub(crate) use int16::View;
pub use linear::Linear;
pub use norm::{modulate, rms_norm};
pub(crate) use pass::{approach, in_place, product, square_sum, update, update_by_two};
pub use place::{Phases, place};
pub(crate) use share::{make_with, share};
pub(crate) use stack::{BlockWeights, PackedKeys, Stack, Token};

use gather::gather;
use wide::exp;
pub(crate) use wide::vectorized;

use candle_core::{CpuStorage, DType, Layout, Result, Shape, Tensor, bail};
use std::sync::Arc;

/// How products of matrices are rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats throughout.
    #[default]
    F32,
    /// Operands rounded to integers of 12 bits and a sign with scales of their own, accumulated in 32 bits (of convolutions
    /// some 15 bits of the picture, 9 or more of the filter); on a GPU to floats of 10 bits and a sign, which are 16-bit
    /// floats in a world's blocks and pictures, elsewhere TF32.
    Int16,
}

impl Precision {
    /// Whether the integer kernels run.
    pub(crate) fn is_int16(self) -> bool {
        self == Self::Int16
    }
}

/// The features of this CPU that decide which kernels run, ours and candle's.
pub(crate) fn features() -> Vec<&'static str> {
    let mut features = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            features.push("fma");
        }
        if is_x86_feature_detected!("avx512f") {
            features.push("avx512");
        }
    }
    features
}

/// Which group each row of a (rows, width) tensor belongs to, groups in order.
///
/// A group shares one modulation: the tokens of one packed history group, or of one section frame.
#[derive(Clone, Debug)]
pub struct Rows {
    lengths: Arc<[usize]>,
    group_of: Arc<[u32]>,
}

impl Rows {
    /// Rows of groups with the given numbers of rows.
    pub fn new(lengths: &[usize]) -> Self {
        let group_of = (0_u32..).zip(lengths).flat_map(|(group, &n)| std::iter::repeat_n(group, n));
        Self { lengths: lengths.into(), group_of: group_of.collect() }
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.lengths.len()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.group_of.len()
    }

    /// `per_group`: (groups, width) repeated for each row: (rows, width).
    fn spread(&self, per_group: &Tensor) -> Result<Tensor> {
        gather(per_group, &self.group_of)
    }

    /// The first row of each group.
    fn starts(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.lengths.iter().scan(0, |next, &length| {
            let start = *next;
            *next += length;
            Some((start, length))
        })
    }
}

/// The contiguous values of a CPU storage.
fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let CpuStorage::F32(values) = storage else { bail!("expected f32 on the CPU") };
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => bail!("expected a contiguous tensor"),
    }
}

/// A result on the CPU.
fn stored(values: Vec<f32>, shape: impl Into<Shape>) -> (CpuStorage, Shape) {
    (CpuStorage::F32(values), shape.into())
}

/// Calls `work` with the values of contiguous CPU tensors.
pub(crate) fn with_floats<const N: usize, R>(
    tensors: [&Tensor; N],
    work: impl FnOnce([&[f32]; N]) -> Result<R>,
) -> Result<R> {
    with_all_floats(tensors, |all| work(*all.as_array().expect("as many")))
}

/// The same for as many as there are.
pub(crate) fn with_all_floats<'a, R>(
    tensors: impl IntoIterator<Item = &'a Tensor>,
    work: impl FnOnce(&[&[f32]]) -> Result<R>,
) -> Result<R> {
    let guards: Vec<_> = tensors.into_iter().map(Tensor::storage_and_layout).collect();
    let floats = guards.iter().map(|(storage, layout)| match &**storage {
        candle_core::Storage::Cpu(storage) => floats(storage, layout),
        _ => bail!("expected the CPU"),
    });
    work(&floats.collect::<Result<Vec<_>>>()?)
}

/// Whether plain loops may take the place of what candle does value by value, on one thread: on a CPU, where no gradient is
/// asked for.
pub(crate) fn is_untracked(tensor: &Tensor) -> bool {
    fused(tensor) && !tensor.track_op()
}

/// Whether the fused CPU form applies.
fn fused(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && tensor.dtype() == DType::F32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_name_their_groups() {
        let rows = Rows::new(&[2, 0, 3]);
        assert_eq!((rows.groups(), rows.rows()), (3, 5));
        assert_eq!(&rows.group_of[..], [0, 0, 2, 2, 2]);
    }
}

#[cfg(test)]
pub(crate) mod check {
    //! Compares a fused operation and its gradients with the plain form.
    use candle_core::{Result, Tensor, Var};

    /// `fused` and `plain` agree on values and on the gradient of every input, to `tolerance`.
    pub(crate) fn same_with_gradients(
        shapes: &[&[usize]],
        tolerance: f32,
        fused: impl Fn(&[Tensor]) -> Result<Tensor>,
        plain: impl Fn(&[Tensor]) -> Result<Tensor>,
    ) {
        let run = || -> Result<()> {
            let inputs = shapes.iter().enumerate().map(|(i, &shape)| random(shape, i + 1));
            let vars = inputs.map(|t| Var::from_tensor(&t?)).collect::<Result<Vec<_>>>()?;
            let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
            let (a, b) = (fused(&tensors)?, plain(&tensors)?);
            close("values", &a, &b, tolerance)?;
            // A random weighting of the outputs, so that no gradient cancels.
            let weight = random(b.dims(), 99)?;
            let (a, b) =
                ((a * &weight)?.sum_all()?.backward()?, (b * &weight)?.sum_all()?.backward()?);
            for (i, var) in vars.iter().enumerate() {
                let a = a.get(var).expect("the fused form has a gradient for every input");
                let b = b.get(var).expect("the plain form has a gradient for every input");
                close(&format!("gradient {i}"), a, b, tolerance)?;
            }
            Ok(())
        };
        run().expect("both forms run");
    }

    fn close(what: &str, a: &Tensor, b: &Tensor, tolerance: f32) -> Result<()> {
        let worst = (a - b)?.abs()?.max_all()?.to_scalar::<f32>()?;
        let scale = b.abs()?.max_all()?.to_scalar::<f32>()?.max(1.0);
        assert!(worst <= tolerance * scale, "{what}: off by {worst} at scale {scale}");
        Ok(())
    }

    /// Values in -1..1 that depend on the shape and `seed` alone.
    pub(crate) fn random(shape: &[usize], seed: usize) -> Result<Tensor> {
        let mut state = u32::try_from(seed).expect("a small seed").wrapping_mul(2_654_435_761);
        let values: Vec<f32> = (0..shape.iter().product())
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f32::from(u16::try_from(state >> 16).expect("16 bits")) / 32_768.0 - 1.0
            })
            .collect();
        Tensor::from_vec(values, shape, &candle_core::Device::Cpu)
    }
}
