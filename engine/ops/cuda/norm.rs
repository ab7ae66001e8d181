//! Layer norm with modulation, and RMS norm of heads.

use super::{Input, Kernel, Launch, Value, Variant, check_rows, kept, number, runs};
use crate::ops::Rows;
use candle_core::{DType, Result, Tensor, bail};

const EPSILON: f32 = 1e-6;
/// Threads of a row; in the source as well.
const THREADS: u16 = 128;
/// Threads of a run of columns: a warp.
const LANES: u16 = 32;
/// Runs of a block.
const RUNS: u32 = 4;

static MODULATE: Kernel = Kernel {
    name: "modulate",
    source: include_str!("norm.cu"),
    block: [THREADS as u32, 1],
    twin: modulate_twin,
};

static RMS_NORM: Kernel = Kernel {
    name: "rms_norm",
    source: include_str!("norm.cu"),
    block: [LANES as u32, RUNS],
    twin: rms_norm_twin,
};

/// Whether the kernel, rather than the plain form, makes this result.
pub(in super::super) fn modulates(tensors: [&Tensor; 3], dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::F32) && runs(&MODULATE, Variant::of(dtype), tensors, [])
}

/// As [`modulate`](crate::ops::modulate).
pub(in super::super) fn modulate(
    x: &Tensor,
    shift: &Tensor,
    scale: &Tensor,
    rows: &Rows,
    dtype: DType,
) -> Result<Tensor> {
    modulate_launch(x, shift, scale, rows, dtype)?.run()
}

pub(super) fn modulate_launch(
    x: &Tensor,
    shift: &Tensor,
    scale: &Tensor,
    rows: &Rows,
    dtype: DType,
) -> Result<Launch> {
    let (count, width) = x.dims2()?;
    if count != rows.rows() || shift.dims2()? != (rows.groups(), width) {
        bail!("modulate: {count} rows of {width} do not fit {} in {:?}", rows.rows(), shift.dims());
    }
    if scale.dims() != shift.dims() {
        bail!("modulate: scale {:?}, shift {:?}", scale.dims(), shift.dims());
    }
    check_rows(&rows.group_of, shift)?;
    let inputs = vec![
        Input::Tensor(x.clone()),
        Input::Tensor(shift.clone()),
        Input::Tensor(scale.clone()),
        Input::Tensor(kept::indices(&rows.group_of, x.device())?),
        Input::Number(number(width)?),
    ];
    let grid = [number(count)?, 1, 1];
    let (variant, shape) = (Variant::of(dtype), x.shape().clone());
    Ok(Launch { kernel: &MODULATE, variant, grid, inputs, shape, dtype })
}

/// Whether the kernel, rather than the plain form, runs on these.
pub(in super::super) fn rms_norms(x: &Tensor, gain: &Tensor) -> bool {
    runs(&RMS_NORM, Variant::of(x.dtype()), [gain], [x])
}

/// As [`rms_norm`](crate::ops::rms_norm).
pub(in super::super) fn rms_norm(x: &Tensor, gain: &Tensor) -> Result<Tensor> {
    rms_norm_launch(x, gain)?.run()
}

pub(super) fn rms_norm_launch(x: &Tensor, gain: &Tensor) -> Result<Launch> {
    let ((rows, width), head) = (x.dims2()?, gain.dims1()?);
    if !width.is_multiple_of(head) {
        bail!("expected whole heads of {head}, got {width} columns");
    }
    let runs = number(rows * width / head)?;
    let inputs = vec![
        Input::Tensor(x.clone()),
        Input::Tensor(gain.clone()),
        Input::Number(runs),
        Input::Number(number(head)?),
    ];
    let grid = [runs.div_ceil(RUNS), 1, 1];
    let (variant, shape, dtype) = (Variant::of(x.dtype()), x.shape().clone(), x.dtype());
    Ok(Launch { kernel: &RMS_NORM, variant, grid, inputs, shape, dtype })
}

fn modulate_twin(inputs: &[Value<'_>], out: &mut [f32]) {
    let [
        Value::Floats(x),
        Value::Floats(shift),
        Value::Floats(scale),
        Value::Indices(group_of),
        Value::Number(width),
    ] = inputs
    else {
        unreachable!("the inputs of `modulate_launch`")
    };
    let width = *width as usize;
    #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^24")]
    let count = width as f32;
    for ((out, x), &group) in out.chunks_mut(width).zip(x.chunks(width)).zip(*group_of) {
        let group = group as usize * width..(group as usize + 1) * width;
        let (shift, scale) = (&shift[group.clone()], &scale[group]);
        let mean = total::<{ THREADS as usize }>(x, |sum, x| sum + x) / count;
        let squares = total::<{ THREADS as usize }>(x, |sum, x| (x - mean).mul_add(x - mean, sum));
        let deviation = 1.0 / (squares / count + EPSILON).sqrt();
        for (((out, x), shift), scale) in out.iter_mut().zip(x).zip(shift).zip(scale) {
            *out = ((x - mean) * deviation).mul_add(1.0 + scale, *shift);
        }
    }
}

fn rms_norm_twin(inputs: &[Value<'_>], out: &mut [f32]) {
    let [Value::Floats(x), Value::Floats(gain), Value::Number(_), Value::Number(head)] = inputs
    else {
        unreachable!("the inputs of `rms_norm_launch`")
    };
    let length = *head as usize;
    #[expect(clippy::cast_precision_loss, reason = "heads are far below 2^24 wide")]
    let count = *head as f32;
    for (out, x) in out.chunks_mut(length).zip(x.chunks(length)) {
        let squares = total::<{ LANES as usize }>(x, |sum, x| x.mul_add(x, sum));
        let inverse = 1.0 / (squares / count + EPSILON).sqrt();
        for ((out, x), gain) in out.iter_mut().zip(x).zip(gain.iter()) {
            *out = x * inverse * gain;
        }
    }
}

/// What `COUNT` threads sum, each every `COUNT`th value, and then in halves.
fn total<const COUNT: usize>(x: &[f32], add: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0; COUNT];
    for values in x.chunks(COUNT) {
        for (sum, &value) in sums.iter_mut().zip(values) {
            *sum = add(*sum, value);
        }
    }
    let mut half = COUNT / 2;
    while half > 0 {
        for thread in 0..half {
            sums[thread] += sums[thread + half];
        }
        half /= 2;
    }
    sums[0]
}
