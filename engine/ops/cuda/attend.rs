//! Attention over gathered rows, tile by tile.

use super::super::Route;
use super::super::place::rotate;
use super::{Input, Kernel, Launch, Value, check_rows, kept, number};
use candle_core::{Result, Tensor, bail};

/// Queries of a block; in the source as well, as the next two.
const QUERIES: u32 = 32;
/// Keys of a tile.
const KEYS: usize = 32;
/// Threads of a query.
const LANES: u16 = 4;
/// The widest head whose tiles fit into the memory that every block may have.
const HEAD_MAX: usize = 128;

pub(in super::super) static ATTEND: Kernel = Kernel {
    name: "attend",
    source: include_str!("attend.cu"),
    block: [QUERIES * LANES as u32, 1],
    twin,
};

/// Whether the kernel can be made for heads of this width.
pub(in super::super) fn fits(head: usize) -> bool {
    head <= HEAD_MAX && head.is_multiple_of(usize::from(LANES))
}

/// As [`attend`](crate::ops::attend).
pub(in super::super) fn attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    routes: &[Route],
) -> Result<Tensor> {
    match routes {
        [route] => launch(q, k, v, route)?.run(),
        routes => {
            let outputs = routes.iter().map(|route| launch(q, k, v, route)?.run());
            Tensor::cat(&outputs.collect::<Result<Vec<_>>>()?, 0)
        }
    }
}

pub(super) fn launch(q: &Tensor, k: &Tensor, v: &Tensor, route: &Route) -> Result<Launch> {
    let (width, head, device) = (q.dim(1)?, 2 * route.query_phases.half, q.device());
    check_rows(&route.queries, q)?;
    check_rows(&route.keys, k)?;
    let (queries, keys) = (route.query_phases.tokens(), route.key_phases.tokens());
    if !fits(head) || !width.is_multiple_of(head) || keys == 0 {
        bail!("attend: {width} columns in heads of {head}, {keys} keys");
    }
    if k.dims() != v.dims() || k.dim(1)? != width || 2 * route.key_phases.half != head {
        bail!("attend: q {:?}, k {:?}, v {:?}", q.dims(), k.dims(), v.dims());
    }
    let sequences = route.sequences();
    if route.queries.len() != sequences * queries || route.keys.len() != sequences * keys {
        bail!("attend: {} queries, {} keys", route.queries.len(), route.keys.len());
    }
    let [query_real, query_imaginary] = kept::phases(&route.query_phases, device)?;
    let [key_real, key_imaginary] = kept::phases(&route.key_phases, device)?;
    let tensors = [
        q.clone(),
        k.clone(),
        v.clone(),
        kept::indices(&route.queries, device)?,
        kept::indices(&route.keys, device)?,
        query_real,
        query_imaginary,
        key_real,
        key_imaginary,
    ];
    let (tokens, head) = (number(queries)?, number(head)?);
    let numbers = [tokens, number(keys)?, number(width)?].map(Input::Number);
    Ok(Launch {
        kernel: &ATTEND,
        head: Some(head),
        grid: [tokens.div_ceil(QUERIES), number(width)? / head, number(sequences)?],
        inputs: tensors.map(Input::Tensor).into_iter().chain(numbers).collect(),
        shape: (route.queries.len(), width).into(),
    })
}

fn twin(inputs: &[Value<'_>], out: &mut [f32]) {
    let [
        Value::Floats(q),
        Value::Floats(k),
        Value::Floats(v),
        Value::Indices(queries),
        Value::Indices(keys),
        Value::Floats(query_real),
        Value::Floats(query_imaginary),
        Value::Floats(key_real),
        Value::Floats(key_imaginary),
        Value::Number(query_tokens),
        Value::Number(key_tokens),
        Value::Number(width),
    ] = *inputs
    else {
        unreachable!("the inputs of `launch`")
    };
    let [query_tokens, key_tokens, width] =
        [query_tokens, key_tokens, width].map(|size| size as usize);
    let head = 2 * (query_real.len() / query_tokens);
    let turned = |x: &[f32], row: u32, column: usize, token: usize, phases: [&[f32]; 2]| {
        let [real, imaginary] = phases.map(|part| &part[token * (head / 2)..][..head / 2]);
        let mut out = vec![0.0; head];
        rotate::<1>(&x[row as usize * width + column..][..head], (real, imaginary), &mut out);
        out
    };
    for (sequence, keys) in keys.chunks(key_tokens).enumerate() {
        for column in (0..width).step_by(head) {
            let turn = |(token, &row): (usize, &u32)| {
                turned(k, row, column, token, [key_real, key_imaginary])
            };
            let turned_keys: Vec<_> = keys.iter().enumerate().map(turn).collect();
            let value = |&row: &u32| &v[row as usize * width + column..][..head];
            let values: Vec<&[f32]> = keys.iter().map(value).collect();
            for token in 0..query_tokens {
                let at = sequence * query_tokens + token;
                let query = turned(q, queries[at], column, token, [query_real, query_imaginary]);
                let out = &mut out[at * width + column..][..head];
                attend_one(&query, &turned_keys, &values, out);
            }
        }
    }
}

/// What the threads of one query do.
fn attend_one(query: &[f32], keys: &[Vec<f32>], values: &[&[f32]], out: &mut [f32]) {
    let scale = super::super::attend::scale(query.len());
    let (mut top, mut sum) = (f32::MIN, 0.0_f32);
    out.fill(0.0);
    for (keys, values) in keys.chunks(KEYS).zip(values.chunks(KEYS)) {
        let mut weights = [f32::MIN; KEYS];
        let mut best = top;
        for (weight, key) in weights.iter_mut().zip(keys) {
            let score = query.iter().zip(key).fold(0.0, |sum: f32, (x, y)| x.mul_add(*y, sum));
            *weight = score * scale;
            best = best.max(*weight);
        }
        let fade = (top - best).exp();
        let mut parts = [0.0; LANES as usize];
        for (at, weight) in weights.iter_mut().enumerate() {
            *weight = (*weight - best).exp();
            parts[at % usize::from(LANES)] += *weight;
        }
        sum = sum.mul_add(fade, (parts[0] + parts[1]) + (parts[2] + parts[3]));
        top = best;
        out.iter_mut().for_each(|x| *x *= fade);
        for (weight, value) in weights.iter().zip(values) {
            for (x, value) in out.iter_mut().zip(*value) {
                *x = weight.mul_add(*value, *x);
            }
        }
    }
    out.iter_mut().for_each(|x| *x /= sum);
}
