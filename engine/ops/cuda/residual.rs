//! The gated residual.

use super::{Input, Kernel, Launch, Value, Variant, check_rows, kept, number, runs};
use crate::ops::Rows;
use candle_core::{DType, Result, Tensor, bail};

/// Threads of a block, each with one value.
const THREADS: u32 = 256;

static GATED_ADD: Kernel =
    Kernel { name: "gated_add", source: include_str!("residual.cu"), block: [THREADS, 1], twin };

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
    launch(x, update, gate, rows)?.run()
}

pub(super) fn launch(x: &Tensor, update: &Tensor, gate: &Tensor, rows: &Rows) -> Result<Launch> {
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

fn twin(inputs: &[Value<'_>], out: &mut [f32]) {
    let [
        Value::Floats(x),
        Value::Floats(update),
        Value::Floats(gate),
        Value::Indices(group_of),
        Value::Number(_),
        Value::Number(width),
    ] = inputs
    else {
        unreachable!("the inputs of `launch`")
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
