//! The gated residual, and GELU.

use super::{Input, Kernel, Launch, Value, Variant, check_rows, kept, number, runs};
use crate::ops::Rows;
use candle_core::{DType, Result, Tensor, bail};

/// Threads of a block, each with one value.
const THREADS: u32 = 256;

static GATED_ADD: Kernel = Kernel {
    name: "gated_add",
    source: include_str!("pointwise.cu"),
    block: [THREADS, 1],
    twin: gated_add_twin,
};

static GELU: Kernel = Kernel {
    name: "gelu",
    source: include_str!("pointwise.cu"),
    block: [THREADS, 1],
    twin: gelu_twin,
};

/// Whether the kernel, rather than the plain form, runs on these.
pub(in super::super) fn gated_adds(x: &Tensor, update: &Tensor, gate: &Tensor) -> bool {
    runs(&GATED_ADD, Variant::of(update.dtype()), [x, gate], [update])
}

/// As [`gated_add`](crate::ops::gated_add()).
pub(in super::super) fn gated_add(
    x: &Tensor,
    update: &Tensor,
    gate: &Tensor,
    rows: &Rows,
) -> Result<Tensor> {
    gated_add_launch(x, update, gate, rows)?.run()
}

pub(super) fn gated_add_launch(
    x: &Tensor,
    update: &Tensor,
    gate: &Tensor,
    rows: &Rows,
) -> Result<Launch> {
    let (count, width) = x.dims2()?;
    if update.dims() != x.dims()
        || count != rows.rows()
        || gate.dims2()? != (rows.groups(), width)
        || width == 0
    {
        let (update, gate) = (update.dims(), gate.dims());
        bail!("gated_add: {update:?} by {gate:?} do not fit {count} rows of {width}");
    }
    check_rows(&rows.group_of, gate)?;
    let values = number(x.elem_count())?;
    let inputs = vec![
        Input::Tensor(x.clone()),
        Input::Tensor(update.clone()),
        Input::Tensor(gate.clone()),
        Input::Tensor(kept::indices(&rows.group_of, x.device())?),
        Input::Number(values),
        Input::Number(number(width)?),
    ];
    Ok(Launch {
        kernel: &GATED_ADD,
        variant: Variant::of(update.dtype()),
        grid: [values.div_ceil(THREADS), 1, 1],
        inputs,
        shape: x.shape().clone(),
        dtype: DType::F32,
    })
}

/// Whether the kernel, rather than the plain form, runs on this. Sums of 1 and little less than -1 are no work for 16 bits.
pub(in super::super) fn gelus(x: &Tensor) -> bool {
    runs(&GELU, Variant::of(x.dtype()), [], [x])
}

/// As [`gelu`](crate::ops::gelu()).
pub(in super::super) fn gelu(x: &Tensor) -> Result<Tensor> {
    gelu_launch(x)?.run()
}

pub(super) fn gelu_launch(x: &Tensor) -> Result<Launch> {
    let values = number(x.elem_count())?;
    Ok(Launch {
        kernel: &GELU,
        variant: Variant::of(x.dtype()),
        grid: [values.div_ceil(THREADS), 1, 1],
        inputs: vec![Input::Tensor(x.clone()), Input::Number(values)],
        shape: x.shape().clone(),
        dtype: x.dtype(),
    })
}

fn gated_add_twin(inputs: &[Value<'_>], out: &mut [f32]) {
    let [
        Value::Floats(x),
        Value::Floats(update),
        Value::Floats(gate),
        Value::Indices(group_of),
        Value::Number(_),
        Value::Number(width),
    ] = inputs
    else {
        unreachable!("the inputs of `gated_add_launch`")
    };
    let width = *width as usize;
    let rows = out.chunks_mut(width).zip(x.chunks(width)).zip(update.chunks(width));
    for (((out, x), update), &group) in rows.zip(*group_of) {
        let gate = &gate[group as usize * width..][..width];
        for (((out, x), update), gate) in out.iter_mut().zip(x).zip(update).zip(gate) {
            *out = update.mul_add(*gate, *x);
        }
    }
}

fn gelu_twin(inputs: &[Value<'_>], out: &mut [f32]) {
    let [Value::Floats(x), Value::Number(_)] = inputs else {
        unreachable!("the inputs of `gelu_launch`")
    };
    for (out, &x) in out.iter_mut().zip(x.iter()) {
        let inner = 0.797_884_6 * x * (0.044_715 * x).mul_add(x, 1.0);
        *out = 0.5 * x * (1.0 + inner.tanh());
    }
}
