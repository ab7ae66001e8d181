//! Gathering rows and turning them by the phases of their places.

use super::super::place::rotate;
use super::{Input, Kernel, Launch, Value, Variant, check_rows, kept, number, runs};
use crate::ops::Phases;
use candle_core::{Result, Tensor, bail};
use std::sync::Arc;

static PLACE: Kernel =
    Kernel { name: "place", source: include_str!("place.cu"), block: [256, 1], twin };

/// Whether the kernel, rather than the plain form, runs on this.
pub(in super::super) fn places(pool: &Tensor) -> bool {
    runs(&PLACE, Variant::of(pool.dtype()), [], [pool])
}

/// Rows `index` of `pool`, as [`place`](crate::ops::place()).
pub(in super::super) fn place(
    pool: &Tensor,
    index: &Arc<[u32]>,
    phases: &Arc<Phases>,
) -> Result<Tensor> {
    launch(pool, index, phases)?.run()
}

pub(super) fn launch(pool: &Tensor, index: &Arc<[u32]>, phases: &Arc<Phases>) -> Result<Launch> {
    let (width, rows, half) = (pool.dim(1)?, index.len(), phases.half);
    check_rows(index, pool)?;
    if !width.is_multiple_of(2 * half) {
        bail!("expected whole heads of {}, got {width} columns", 2 * half);
    }
    let device = pool.device();
    let [real, imaginary] = kept::phases(phases, device)?;
    let inputs = vec![
        Input::Tensor(pool.clone()),
        Input::Tensor(kept::indices(index, device)?),
        Input::Tensor(real),
        Input::Tensor(imaginary),
        Input::Number(number(rows)?),
        Input::Number(number(width)?),
        Input::Number(number(phases.tokens())?),
        Input::Number(number(half)?),
    ];
    let threads = number(rows * width / 2)?;
    Ok(Launch {
        kernel: &PLACE,
        variant: Variant::of(pool.dtype()),
        grid: [threads.div_ceil(PLACE.block[0]), 1, 1],
        inputs,
        shape: (rows, width).into(),
        dtype: pool.dtype(),
    })
}

fn twin(inputs: &[Value<'_>], out: &mut [f32]) {
    let [
        Value::Floats(pool),
        Value::Indices(index),
        Value::Floats(real),
        Value::Floats(imaginary),
        Value::Number(rows),
        Value::Number(width),
        Value::Number(tokens),
        Value::Number(half),
    ] = inputs
    else {
        unreachable!("the inputs of `launch`")
    };
    let [rows, width, tokens, half] = [rows, width, tokens, half].map(|size| *size as usize);
    for (row, out) in out.chunks_exact_mut(width).take(rows).enumerate() {
        let x = &pool[index[row] as usize * width..][..width];
        let phase = row % tokens * half..(row % tokens + 1) * half;
        rotate::<1>(x, (&real[phase.clone()], &imaginary[phase]), out);
    }
}
