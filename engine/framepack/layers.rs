//! Layers that the published networks have in common. Tokens are (B, L, D).

use crate::adapter::LowRank;
use crate::ops::{self, Linear, Phases, Precision, Rows, silu, softmax_last};
use crate::weights::Weights;
use candle_core::{D, DType, Device, Result, Tensor};

/// Numbers that describe a noise level or a guidance scale.
const SINUSOIDS: usize = 256;
/// Scores that attention holds at once: 2^26 are 256 MiB in 32 bits.
const SCORES_MAX: usize = 1 << 26;

/// A linear layer with the low-rank adapter beside it, if one is worn.
#[derive(Clone, Debug)]
pub(super) struct Projection {
    linear: Linear,
    /// Type of the weight, which is 32 bits where it is trained, and of the network.
    weight: DType,
    network: DType,
    low_rank: Option<LowRank>,
}

impl Projection {
    /// Reads `weight` (out, in) and `bias` (out).
    pub(super) fn new(inputs: usize, outputs: usize, weights: &Weights) -> Result<Self> {
        let weight = weights.get((outputs, inputs), "weight")?;
        Self::of(weight, weights)
    }

    /// Reads the `weight` (out, C, k, 2k, 2k) and `bias` of a convolution whose stride is its size, as the product
    /// with a patch that it is.
    pub(super) fn patch(
        channels: usize,
        k: usize,
        outputs: usize,
        weights: &Weights,
    ) -> Result<Self> {
        let weight = weights.get((outputs, channels, k, 2 * k, 2 * k), "weight")?;
        Self::of(weight.flatten_from(1)?, weights)
    }

    fn of(weight: Tensor, weights: &Weights) -> Result<Self> {
        let (outputs, inputs) = weight.dims2()?;
        let dtype = weight.dtype();
        let linear = Linear::from_tensors(weight, weights.get(outputs, "bias")?, Precision::F32);
        let low_rank = weights.low_rank(inputs, outputs)?;
        Ok(Self { linear, weight: dtype, network: weights.dtype(), low_rank })
    }

    /// x: (…, in) to (…, out).
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut shape = x.dims().to_vec();
        let rows = x.flatten_to(D::Minus2)?.to_dtype(self.weight)?;
        let mut y = self.linear.forward(&rows)?.to_dtype(self.network)?;
        if let Some(low_rank) = &self.low_rank {
            y = (y + low_rank.forward(&rows)?.to_dtype(self.network)?)?;
        }
        *shape.last_mut().expect("a layer's input has a width") = y.dim(1)?;
        y.reshape(shape)
    }
}

/// Two linear layers with a function between them.
#[derive(Clone, Debug)]
pub(super) struct Perceptron {
    up: Projection,
    down: Projection,
    between: fn(&Tensor) -> Result<Tensor>,
}

impl Perceptron {
    /// `up` and `down`: path of each layer.
    pub(super) fn new(
        [inputs, hidden, outputs]: [usize; 3],
        (up, down): (&str, &str),
        between: fn(&Tensor) -> Result<Tensor>,
        weights: &Weights,
    ) -> Result<Self> {
        let up = Projection::new(inputs, hidden, &weights.pp(up))?;
        Ok(Self { up, down: Projection::new(hidden, outputs, &weights.pp(down))?, between })
    }

    /// The perceptron of a transformer's block.
    pub(super) fn feed_forward(
        width: usize,
        hidden: usize,
        between: fn(&Tensor) -> Result<Tensor>,
        weights: &Weights,
    ) -> Result<Self> {
        Self::new([width, hidden, width], ("net.0.proj", "net.2"), between, weights)
    }

    /// What turns the description of a condition into an embedding of `width`.
    pub(super) fn embedder(
        inputs: usize,
        width: usize,
        between: fn(&Tensor) -> Result<Tensor>,
        weights: &Weights,
    ) -> Result<Self> {
        Self::new([inputs, width, width], ("linear_1", "linear_2"), between, weights)
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.down.forward(&(self.between)(&self.up.forward(x)?)?)
    }
}

/// An embedding of a noise level or guidance scale in 0..=1000.
#[derive(Clone, Debug)]
pub(super) struct LevelEmbedder(Perceptron);

impl LevelEmbedder {
    pub(super) fn new(width: usize, weights: &Weights) -> Result<Self> {
        Ok(Self(Perceptron::embedder(SINUSOIDS, width, silu, weights)?))
    }

    /// levels: (B) in 0..=1000, to (B, D).
    pub(super) fn forward(&self, levels: &Tensor) -> Result<Tensor> {
        self.0.forward(&sinusoids(levels)?)
    }
}

/// Cosines, then sines, of `levels` (B) at frequencies from 1 down to 1e-4: (B, 256).
fn sinusoids(levels: &Tensor) -> Result<Tensor> {
    let half = SINUSOIDS / 2;
    // The exponent is rounded to 32 bits as in training: at levels in the thousands that is seen in the angle.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "f32 is what the networks use"
    )]
    let frequency = |j: usize| {
        let exponent = -(1e4_f64.ln() as f32) * j as f32 / half as f32;
        f64::from(exponent).exp() as f32
    };
    let frequencies: Vec<f32> = (0..half).map(frequency).collect();
    let frequencies = Tensor::new(frequencies, levels.device())?;
    let angles =
        levels.to_dtype(DType::F32)?.unsqueeze(1)?.broadcast_mul(&frequencies.unsqueeze(0)?)?;
    Tensor::cat(&[angles.cos()?, angles.sin()?], 1)
}

/// `layer_norm(x) · (1 + scale) + shift`: x (B, L, D); shift, scale (B, D).
pub(super) fn modulate(x: &Tensor, shift: &Tensor, scale: &Tensor) -> Result<Tensor> {
    let (rows, x_rows) = rows(x)?;
    let (shift, scale) = (shift.contiguous()?, scale.contiguous()?);
    ops::modulate(&x_rows, &shift, &scale, &rows, x.dtype())?.reshape(x.shape())
}

/// `x + update · gate`: x, update (B, L, D); gate (B, D).
pub(super) fn gated_add(x: &Tensor, update: &Tensor, gate: &Tensor) -> Result<Tensor> {
    let (rows, x_rows) = rows(x)?;
    let update = update.reshape(x_rows.shape())?.contiguous()?;
    ops::gated_add(&x_rows, &update, &gate.contiguous()?, &rows)?.reshape(x.shape())
}

/// Tokens as rows, each batch a group of them.
fn rows(x: &Tensor) -> Result<(Rows, Tensor)> {
    let (batch, tokens, width) = x.dims3()?;
    Ok((Rows::new(&vec![tokens; batch]), x.reshape((batch * tokens, width))?.contiguous()?))
}

/// RMS norm over each run of `gain.len()` channels: x (B, L, D).
pub(super) fn rms_norm(x: &Tensor, gain: &Tensor) -> Result<Tensor> {
    ops::rms_norm(&rows(x)?.1, gain)?.reshape(x.shape())
}

/// Tokens of several heads: (B, L, N · head) to (B, N, L, head).
pub(super) fn heads(x: &Tensor, count: usize) -> Result<Tensor> {
    let (batch, tokens, width) = x.dims3()?;
    x.reshape((batch, tokens, count, width / count))?.transpose(1, 2)?.contiguous()
}

/// Projections of an attention to queries, keys and values, of which the first two are normed.
#[derive(Clone, Debug)]
pub(super) struct Qkv {
    heads: usize,
    q: Projection,
    k: Projection,
    v: Projection,
    q_norm: Tensor,
    k_norm: Tensor,
}

/// Names of the projections of an attention and of its norms.
#[derive(Clone, Copy, Debug)]
pub(super) struct QkvNames {
    pub(super) qkv: [&'static str; 3],
    pub(super) norms: [&'static str; 2],
}

impl QkvNames {
    /// Those of the video's tokens.
    pub(super) const VIDEO: Self =
        Self { qkv: ["to_q", "to_k", "to_v"], norms: ["norm_q", "norm_k"] };
    /// Those of the text's, where it has its own.
    pub(super) const TEXT: Self = Self {
        qkv: ["add_q_proj", "add_k_proj", "add_v_proj"],
        norms: ["norm_added_q", "norm_added_k"],
    };
}

impl Qkv {
    /// `run`: channels that are normed together.
    pub(super) fn new(
        width: usize,
        heads: usize,
        run: usize,
        names: QkvNames,
        weights: &Weights,
    ) -> Result<Self> {
        let layer = |name| Projection::new(width, width, &weights.pp(name));
        let norm = |name| weights.pp(name).get(run, "weight");
        let ([q, k, v], [q_norm, k_norm]) = (names.qkv, names.norms);
        let (q, k, v) = (layer(q)?, layer(k)?, layer(v)?);
        Ok(Self { heads, q, k, v, q_norm: norm(q_norm)?, k_norm: norm(k_norm)? })
    }

    /// x: (B, L, D) to (B, N, L, head).
    pub(super) fn queries(&self, x: &Tensor) -> Result<Tensor> {
        heads(&rms_norm(&self.q.forward(x)?, &self.q_norm)?, self.heads)
    }

    /// x: (B, L, D) to (B, N, L, head).
    pub(super) fn keys(&self, x: &Tensor) -> Result<Tensor> {
        heads(&rms_norm(&self.k.forward(x)?, &self.k_norm)?, self.heads)
    }

    /// x: (B, L, D) to (B, N, L, head).
    pub(super) fn values(&self, x: &Tensor) -> Result<Tensor> {
        heads(&self.v.forward(x)?, self.heads)
    }
}

/// Rotary phases on a device.
#[derive(Clone, Debug)]
pub(super) struct Rotation {
    /// (L, head / 2).
    cos: Tensor,
    sin: Tensor,
}

impl Rotation {
    pub(super) fn new(phases: &Phases, device: &Device) -> Result<Self> {
        let shape = (phases.tokens(), phases.half);
        Ok(Self {
            cos: Tensor::from_slice(&phases.real, shape, device)?,
            sin: Tensor::from_slice(&phases.imaginary, shape, device)?,
        })
    }

    /// x: (B, N, L, head), turned in 32 bits.
    pub(super) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        // The fused form has no gradient.
        let turned =
            candle_nn::rotary_emb::rope_i_slow(&x.to_dtype(DType::F32)?, &self.cos, &self.sin)?;
        turned.to_dtype(x.dtype())
    }
}

/// Softmax attention: q (B, N, Lq, head) and k, v (B, N, Lk, head) to (B, Lq, N · head).
///
/// `mask` is added to the scores: (B, 1, 1 or Lq, Lk), 0 where a query may look and -inf where it may not.
pub(super) fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    mask: Option<&Tensor>,
) -> Result<Tensor> {
    let (batch, count, queries, _) = q.dims4()?;
    let run = SCORES_MAX / (batch * count * k.dim(2)?).max(1);
    attention_in_runs(q, k, v, mask, run.clamp(1, queries))
}

/// [`attention`] of `run` queries at a time, so that few scores are held.
fn attention_in_runs(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    mask: Option<&Tensor>,
    run: usize,
) -> Result<Tensor> {
    let (batch, count, queries, head) = q.dims4()?;
    #[expect(clippy::cast_precision_loss, reason = "heads are narrow")]
    let scale = 1.0 / (head as f64).sqrt();
    let k = k.t()?.contiguous()?;
    let mut parts = Vec::with_capacity(queries.div_ceil(run));
    for start in (0..queries).step_by(run) {
        let length = run.min(queries - start);
        let q = q.narrow(2, start, length)?.contiguous()?;
        let mut scores = (q.matmul(&k)?.to_dtype(DType::F32)? * scale)?; // B, N, run, Lk
        if let Some(mask) = mask {
            let own = mask.dim(2)? == queries;
            let mask = if own { mask.narrow(2, start, length)? } else { mask.clone() };
            scores = scores.broadcast_add(&mask)?;
        }
        parts.push(softmax_last(&scores)?.to_dtype(v.dtype())?.matmul(v)?);
    }
    Tensor::cat(&parts, 2)?.transpose(1, 2)?.reshape((batch, queries, count * head))
}

/// A mask for [`attention`] under which keys at and beyond `lengths[b] + open` of batch `b` are not looked at:
/// (B, 1, 1, keys).
pub(super) fn key_mask(
    lengths: &[usize],
    open: usize,
    keys: usize,
    device: &Device,
) -> Result<Tensor> {
    let row = |&length: &usize| {
        (0..keys).map(move |at| if at < open + length { 0.0_f32 } else { f32::NEG_INFINITY })
    };
    let values: Vec<f32> = lengths.iter().flat_map(row).collect();
    Tensor::from_vec(values, (lengths.len(), 1, 1, keys), device)
}

/// A layer norm with weights of its own.
#[derive(Clone, Debug)]
pub(super) struct Norm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f32,
}

impl Norm {
    /// Reads `weight` and `bias` (D).
    pub(super) fn new(width: usize, epsilon: f32, weights: &Weights) -> Result<Self> {
        Ok(Self {
            weight: weights.get(width, "weight")?,
            bias: weights.get(width, "bias")?,
            epsilon,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        // The fused form has no gradient.
        candle_nn::ops::layer_norm_slow(
            &x.to_dtype(self.weight.dtype())?,
            &self.weight,
            &self.bias,
            self.epsilon,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Random;

    fn randn(shape: &[usize], seed: u64) -> Tensor {
        let values = Random::new(seed, 0).normals(shape.iter().product());
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn queries_in_runs_see_what_they_see_together() {
        let (q, k, v) = (randn(&[2, 3, 7, 4], 1), randn(&[2, 3, 9, 4], 2), randn(&[2, 3, 9, 4], 3));
        let of_keys = key_mask(&[2, 5], 4, 9, &Device::Cpu).unwrap();
        let of_pairs = of_keys.broadcast_as((2, 1, 7, 9)).unwrap().contiguous().unwrap();
        let whole = attention(&q, &k, &v, Some(&of_keys)).unwrap();
        assert_eq!(whole.dims(), [2, 7, 12]);
        for (mask, run) in [(&of_keys, 3), (&of_pairs, 3), (&of_pairs, 1), (&of_pairs, 7)] {
            let parts = attention_in_runs(&q, &k, &v, Some(mask), run).unwrap();
            let off = (parts - &whole).unwrap().abs().unwrap().max_all().unwrap();
            assert!(off.to_scalar::<f32>().unwrap() < 1e-6, "runs of {run}");
        }
    }

    #[test]
    fn masked_keys_are_not_looked_at() {
        let (q, k, v) = (randn(&[1, 1, 2, 4], 1), randn(&[1, 1, 5, 4], 2), randn(&[1, 1, 5, 4], 3));
        let mask = key_mask(&[1], 2, 5, &Device::Cpu).unwrap();
        let masked = attention(&q, &k, &v, Some(&mask)).unwrap();
        let cut = |x: &Tensor| x.narrow(2, 0, 3).unwrap().contiguous().unwrap();
        let off = (masked - attention(&q, &cut(&k), &cut(&v), None).unwrap()).unwrap();
        assert!(off.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap() < 1e-6);
    }
}
