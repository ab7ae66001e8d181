//! Kernels of our own for CUDA, compiled when the program runs.
//!
//! Each has its source, a `.cu` file that NVRTC compiles for the GPU that is found, and a twin in Rust that does what
//! the threads do, sum by sum. Neither needs a GPU to be checked: tests hold the twin to the plain form, made of
//! candle's operations, and run the source itself, compiled as C, beside the twin (`tests::emulate`).
//!
//! They have no gradients: tensors that are trained take the plain form. So does everything where the compiler is
//! missing or refuses, which is said once.

mod attend;
mod kept;
#[cfg(feature = "cuda")]
mod launch;
mod norm;
mod place;
mod pointwise;
#[cfg(any(test, feature = "cuda"))]
mod source;
#[cfg(test)]
mod tests;

pub(super) use attend::{EXACT, ROUNDED};
#[cfg(feature = "cuda")]
pub(crate) use kept::{hold, sealed};
pub(super) use kept::{indices, phases};
pub(super) use norm::{modulate, modulates, rms_norm, rms_norms};
pub(super) use place::{place, places};
pub(super) use pointwise::{gated_add, gated_adds, gelu, gelus};

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, bail};
use half::f16;
use std::borrow::Cow;

/// A kernel. Its parameters are its inputs in their order, then the result.
#[derive(Debug)]
pub(super) struct Kernel {
    name: &'static str,
    #[cfg_attr(not(any(test, feature = "cuda")), expect(dead_code, reason = "a GPU's"))]
    source: &'static str,
    /// Threads of a block along x and y.
    block: [u32; 2],
    /// Computes the result from the inputs as the threads do.
    twin: fn(&[Value<'_>], &mut [f32]),
}

/// What a kernel is compiled for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Variant {
    /// What `HEAD` stands for in the source, where it does.
    head: Option<u32>,
    /// Whether `number` is a 16-bit float there, not one of 32 bits; sums have 32 bits either way.
    halves: bool,
}

/// An input as a twin sees it: 16-bit floats are widened.
#[derive(Debug)]
enum Value<'a> {
    Floats(Cow<'a, [f32]>),
    Indices(&'a [u32]),
    Number(u32),
}

/// An input.
#[derive(Clone, Debug)]
enum Input {
    /// A contiguous tensor of f32, f16 or u32.
    Tensor(Tensor),
    Number(u32),
}

/// A kernel with its inputs, to be run on the device that they lie on: a CPU runs the twin.
#[derive(Clone, Debug)]
struct Launch {
    kernel: &'static Kernel,
    #[cfg_attr(not(any(test, feature = "cuda")), expect(dead_code, reason = "a GPU's"))]
    variant: Variant,
    /// Blocks along x, y and z.
    #[cfg_attr(not(any(test, feature = "cuda")), expect(dead_code, reason = "a GPU's"))]
    grid: [u32; 3],
    /// The first one is a tensor.
    inputs: Vec<Input>,
    shape: Shape,
    /// Of the result: f32 or f16.
    dtype: DType,
}

/// Whether our kernel, rather than the plain form, runs on these tensors: those of 32-bit floats, and those of `number`s.
fn runs<const F: usize, const N: usize>(
    kernel: &'static Kernel,
    variant: Variant,
    floats: [&Tensor; F],
    numbers: [&Tensor; N],
) -> bool {
    let takes = |x: &Tensor, dtype: DType| {
        x.device().is_cuda() && x.dtype() == dtype && x.is_contiguous() && !x.track_op()
    };
    floats.iter().all(|x| takes(x, DType::F32))
        && numbers.iter().all(|x| takes(x, variant.number()))
        && floats.iter().chain(&numbers).next().is_some_and(|x| is_ready(kernel, variant, x))
}

#[cfg(feature = "cuda")]
fn is_ready(kernel: &'static Kernel, variant: Variant, tensor: &Tensor) -> bool {
    launch::is_ready(kernel, variant, tensor.device())
}

#[cfg(not(feature = "cuda"))]
fn is_ready(_: &Kernel, _: Variant, _: &Tensor) -> bool {
    false
}

impl Variant {
    /// For `number`s of this type.
    fn of(dtype: DType) -> Self {
        Self { halves: dtype == DType::F16, head: None }
    }

    fn number(self) -> DType {
        if self.halves { DType::F16 } else { DType::F32 }
    }
}

impl Launch {
    fn run(&self) -> Result<Tensor> {
        match &self.inputs[..] {
            [Input::Tensor(first), ..] => first.apply_op1_no_bwd(self),
            _ => bail!("{}: expected a tensor first", self.kernel.name),
        }
    }
}

impl CustomOp1 for Launch {
    fn name(&self) -> &'static str {
        self.kernel.name
    }

    fn cpu_fwd(&self, first: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        // The first input is held by the caller.
        let held: Vec<_> = self.inputs[1..]
            .iter()
            .map(|input| match input {
                Input::Tensor(tensor) => Some(tensor.storage_and_layout()),
                Input::Number(_) => None,
            })
            .collect();
        let mut values = vec![value(first, layout)?];
        for (input, held) in self.inputs[1..].iter().zip(&held) {
            values.push(match (input, held) {
                (Input::Number(number), _) => Value::Number(*number),
                (_, Some((storage, layout))) => match &**storage {
                    candle_core::Storage::Cpu(storage) => value(storage, layout)?,
                    _ => bail!("expected all inputs on the CPU"),
                },
                (Input::Tensor(_), None) => unreachable!("every tensor is held"),
            });
        }
        let mut out = vec![0.0; self.shape.elem_count()];
        (self.kernel.twin)(&values, &mut out);
        let storage = match self.dtype {
            DType::F16 => CpuStorage::F16(out.into_iter().map(nearest_half).collect()),
            _ => CpuStorage::F32(out),
        };
        Ok((storage, self.shape.clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        first: &candle_core::CudaStorage,
        layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        Ok((launch::launch(self, first, layout)?, self.shape.clone()))
    }
}

fn value<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<Value<'a>> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("expected a contiguous tensor")
    };
    match storage {
        CpuStorage::F32(values) => Ok(Value::Floats(values[start..end].into())),
        CpuStorage::F16(values) => {
            Ok(Value::Floats(values[start..end].iter().map(|x| x.to_f32()).collect()))
        }
        CpuStorage::U32(values) => Ok(Value::Indices(&values[start..end])),
        _ => bail!("expected f32, f16 or u32"),
    }
}

/// The nearest number that 16-bit floats have, none of them infinite.
fn nearest_half(x: f32) -> f16 {
    let largest = f16::MAX.to_f32();
    f16::from_f32(x.clamp(-largest, largest))
}

/// A size as kernels take it.
fn number(size: usize) -> Result<u32> {
    u32::try_from(size).map_err(candle_core::Error::wrap)
}

/// Fails where a row is named that a tensor does not have.
fn check_rows(index: &[u32], tensor: &Tensor) -> Result<()> {
    let rows = tensor.dim(0)?;
    match index.iter().max() {
        Some(&last) if last as usize >= rows => bail!("row {last} of {rows}"),
        _ => Ok(()),
    }
}
