//! Layers that the encoders share. A sequence is (L, D): prompts and pictures go through one at a time, without padding.

use candle_core::{D, DType, Device, Result, Tensor, bail};
use candle_nn::{Embedding, Module as _, VarBuilder};

/// Tensors that are read when they are needed.
#[derive(Clone)]
pub(super) struct Tensors(pub(super) VarBuilder<'static>);

impl std::fmt::Debug for Tensors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tensors").field(&self.0.prefix()).finish()
    }
}

impl std::ops::Deref for Tensors {
    type Target = VarBuilder<'static>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// (L, N · d) to (N, L, d).
pub(super) fn split_heads(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (length, width) = x.dims2()?;
    x.reshape((length, heads, width / heads))?.transpose(0, 1)?.contiguous()
}

/// Softmax attention, `query` (N, L, d), `key` and `value` (N, S, d): (L, N · d).
///
/// `bias`, of a shape that broadcasts to (N, L, S), is added to the scaled scores. Weights are made in f32.
pub(super) fn attend(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    scale: f64,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let (heads, length, width) = query.dims3()?;
    let scores = (query * scale)?.matmul(&key.t()?)?.to_dtype(DType::F32)?;
    let scores = match bias {
        Some(bias) => scores.broadcast_add(&bias.to_dtype(DType::F32)?)?,
        None => scores,
    };
    let weights = candle_nn::ops::softmax(&scores, D::Minus1)?.to_dtype(value.dtype())?;
    let attended = weights.matmul(value)?.transpose(0, 1)?; // L, N, d
    attended.reshape((length, heads * width))
}

/// The scale of scores of heads of this width.
pub(super) fn head_scale(width: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a width is small")]
    let width = width as f64;
    width.sqrt().recip()
}

/// What hides from each of `length` tokens those behind it: (L, L).
pub(super) fn causal(length: usize, device: &Device) -> Result<Tensor> {
    let hidden = |at: usize| if at % length > at / length { f32::NEG_INFINITY } else { 0.0 };
    let mask: Vec<f32> = (0..length * length).map(hidden).collect();
    Tensor::from_vec(mask, (length, length), device)
}

/// x (L, D) divided by its root mean square, made in f32, times `weight` (D).
pub(super) fn rms_norm(x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<Tensor> {
    let wide = x.to_dtype(DType::F32)?;
    let size = (wide.sqr()?.mean_keepdim(D::Minus1)? + epsilon)?.sqrt()?;
    wide.broadcast_div(&size)?.to_dtype(weight.dtype())?.broadcast_mul(weight)
}

/// Rows of the table `name` (`vocabulary`, `width`) that the `ids` name: (L, D).
pub(super) fn embed(
    ids: &[u32],
    (vocabulary, width): (usize, usize),
    name: &str,
    vb: &VarBuilder<'_>,
) -> Result<Tensor> {
    if let Some(id) = ids.iter().find(|&&id| id as usize >= vocabulary) {
        bail!("expected tokens below {vocabulary}, got {id}");
    }
    if ids.is_empty() {
        bail!("expected at least one token");
    }
    let table = Embedding::new(vb.get((vocabulary, width), name)?, width);
    table.forward(&Tensor::new(ids, vb.device())?)
}

/// The first of `prefixes` under which there is a tensor `name`: networks are published alone and as part of others.
///
/// # Errors
/// There is none; the last prefix tried is named.
pub(super) fn under<'a>(
    vb: &VarBuilder<'a>,
    prefixes: &[&str],
    name: &str,
) -> Result<VarBuilder<'a>> {
    let at = |prefix: &&str| if prefix.is_empty() { vb.clone() } else { vb.pp(prefix) };
    match prefixes.iter().map(at).find(|vb| vb.contains_tensor(name)) {
        Some(found) => Ok(found),
        None => bail!("cannot find tensor {name}, nor behind any of {prefixes:?}"),
    }
}
