//! Attention over gathered rows, tile by tile.

use super::super::Route;
use super::super::place::rotate;
use super::{Input, Kernel, Launch, Value, Variant, check_rows, kept, nearest_half, number, runs};
use candle_core::{DType, Result, Tensor, bail};
use std::borrow::Cow;

/// A way of attending: what is set here is in the sources as well.
#[derive(Debug)]
pub(in super::super) struct Attention {
    kernel: &'static Kernel,
    /// Queries of a block.
    queries: u32,
    /// What the widths of heads are multiples of.
    step: usize,
    /// Whether it takes 16-bit floats as well.
    halves: bool,
}

/// In 32-bit floats throughout.
pub(in super::super) static EXACT: Attention = Attention {
    kernel: &Kernel {
        name: "attend",
        source: include_str!("attend.cu"),
        block: [32 * LANES as u32, 1],
        twin: |inputs, out| twin(inputs, out, 32, |x| x),
    },
    queries: 32,
    step: 4,
    halves: false,
};

/// Factors rounded to 16-bit floats, summed in 32 bits.
pub(in super::super) static ROUNDED: Attention = Attention {
    kernel: &Kernel {
        name: "attend_rounded",
        source: include_str!("attend_rounded.cu"),
        block: [256, 1],
        twin: |inputs, out| twin(inputs, out, 64, |x| nearest_half(x).to_f32()),
    },
    queries: 128,
    step: 16,
    halves: true,
};

/// Threads among which the keys of a query are dealt out.
const LANES: u16 = 4;
/// The widest head whose tiles fit into the memory that every block may have.
const HEAD_MAX: usize = 128;

impl Attention {
    /// Whether the kernel can be made for heads of this width.
    pub(super) fn fits(&self, head: usize) -> bool {
        head <= HEAD_MAX && head.is_multiple_of(self.step)
    }

    /// Whether the kernel, rather than the plain form, runs on these.
    pub(in super::super) fn runs(&self, tensors: [&Tensor; 3], routes: &[Route]) -> bool {
        let Some(route) = routes.first() else { return false };
        let (head, dtype) = (2 * route.query_phases.half, tensors[0].dtype());
        self.fits(head)
            && (self.halves || dtype == DType::F32)
            && Self::variant(head, dtype).is_ok_and(|it| runs(self.kernel, it, [], tensors))
    }

    fn variant(head: usize, dtype: DType) -> Result<Variant> {
        Ok(Variant { head: Some(number(head)?), ..Variant::of(dtype) })
    }

    /// As [`attend`](crate::ops::attend()).
    pub(in super::super) fn attend(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        routes: &[Route],
    ) -> Result<Tensor> {
        match routes {
            [route] => self.launch(q, k, v, route)?.run(),
            routes => {
                let outputs = routes.iter().map(|route| self.launch(q, k, v, route)?.run());
                Tensor::cat(&outputs.collect::<Result<Vec<_>>>()?, 0)
            }
        }
    }

    pub(super) fn launch(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        route: &Route,
    ) -> Result<Launch> {
        let (width, head, device) = (q.dim(1)?, 2 * route.query_phases.half, q.device());
        check_rows(&route.queries, q)?;
        check_rows(&route.keys, k)?;
        let (queries, keys) = (route.query_phases.tokens(), route.key_phases.tokens());
        if !self.fits(head) || !width.is_multiple_of(head) || keys == 0 {
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
        let (tokens, variant) = (number(queries)?, Self::variant(head, q.dtype())?);
        let numbers = [tokens, number(keys)?, number(width)?].map(Input::Number);
        Ok(Launch {
            kernel: self.kernel,
            variant,
            grid: [tokens.div_ceil(self.queries), number(width / head)?, number(sequences)?],
            inputs: tensors.map(Input::Tensor).into_iter().chain(numbers).collect(),
            shape: (route.queries.len(), width).into(),
            dtype: q.dtype(),
        })
    }
}

/// What the threads do, factors `round`ed, with so many keys in a tile.
fn twin(inputs: &[Value<'_>], out: &mut [f32], tile: usize, round: fn(f32) -> f32) {
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
    ] = inputs
    else {
        unreachable!("the inputs of `launch`")
    };
    let [query_tokens, key_tokens, width] =
        [query_tokens, key_tokens, width].map(|size| *size as usize);
    let head = 2 * (query_real.len() / query_tokens);
    let turned =
        |x: &[f32], row: u32, column: usize, token: usize, phases: [&Cow<'_, [f32]>; 2]| {
            let [real, imaginary] = phases.map(|part| &part[token * (head / 2)..][..head / 2]);
            let mut out = vec![0.0; head];
            rotate::<1>(&x[row as usize * width + column..][..head], (real, imaginary), &mut out);
            out.iter_mut().for_each(|x| *x = round(*x));
            out
        };
    for (sequence, keys) in keys.chunks(key_tokens).enumerate() {
        for column in (0..width).step_by(head) {
            let turn = |(token, &row): (usize, &u32)| {
                turned(k, row, column, token, [key_real, key_imaginary])
            };
            let turned_keys: Vec<_> = keys.iter().enumerate().map(turn).collect();
            let value = |&row: &u32| {
                let value = &v[row as usize * width + column..][..head];
                value.iter().map(|&x| round(x)).collect()
            };
            let rows = Rows { keys: turned_keys, values: keys.iter().map(value).collect() };
            for token in 0..query_tokens {
                let at = sequence * query_tokens + token;
                let query = turned(q, queries[at], column, token, [query_real, query_imaginary]);
                let out = &mut out[at * width + column..][..head];
                attend_one(&query, &rows, out, tile, round);
            }
        }
    }
}

/// What a query attends to.
struct Rows {
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
}

/// What the threads of one query do.
fn attend_one(query: &[f32], rows: &Rows, out: &mut [f32], tile: usize, round: fn(f32) -> f32) {
    let scale = super::super::attend::scale(query.len());
    let (mut top, mut sum) = (f32::MIN, 0.0_f32);
    out.fill(0.0);
    for (keys, values) in rows.keys.chunks(tile).zip(rows.values.chunks(tile)) {
        let mut weights = vec![f32::MIN; tile];
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
            for (x, value) in out.iter_mut().zip(value) {
                *x = round(*weight).mul_add(*value, *x);
            }
        }
    }
    out.iter_mut().for_each(|x| *x /= sum);
}
