//! Blocks that encoder and decoder share.

use super::config::HunyuanVaeConfig;
use crate::vae::conv::{Border, Conv3d, Kernel};
use candle_core::{D, DType, Result, Tensor};
use candle_nn::{Linear, Module as _, VarBuilder};

/// As in every normalisation of this network.
const EPSILON: f64 = 1e-6;

/// A causal convolution of 3x3x3 that continues the video's edges and its first frame outwards.
pub(super) fn convolution(inputs: usize, outputs: usize, vb: &VarBuilder<'_>) -> Result<Conv3d> {
    Conv3d::new(inputs, outputs, Kernel::same(3, 3, Border::Replicate), &vb.pp("conv"))
}

/// Normalises groups of channels over the whole video, time included.
#[derive(Clone, Debug)]
pub(super) struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: usize,
}

impl GroupNorm {
    pub(super) fn new(groups: usize, channels: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let affine = |name| vb.get(channels, name)?.reshape((1, channels, 1, 1));
        Ok(Self { weight: affine("weight")?, bias: affine("bias")?, groups })
    }

    /// x: (T, C, H, W), statistics in f32 whatever the type.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (frames, channels, height, width) = x.dims4()?;
        let cells = channels / self.groups * height * width;
        let grouped = x.to_dtype(DType::F32)?.reshape((frames, self.groups, cells))?;
        let mean = grouped.mean_keepdim(2)?.mean_keepdim(0)?;
        let centred = grouped.broadcast_sub(&mean)?;
        let variance = centred.sqr()?.mean_keepdim(2)?.mean_keepdim(0)?;
        let normed = centred.broadcast_div(&(variance + EPSILON)?.sqrt()?)?;
        let normed = normed.reshape((frames, channels, height, width))?.to_dtype(x.dtype())?;
        normed.broadcast_mul(&self.weight)?.broadcast_add(&self.bias)
    }
}

/// Two convolutions around which the input goes by.
#[derive(Clone, Debug)]
pub(super) struct Residual {
    norm1: GroupNorm,
    conv1: Conv3d,
    norm2: GroupNorm,
    conv2: Conv3d,
    shortcut: Option<Conv3d>,
}

impl Residual {
    pub(super) fn new(
        config: &HunyuanVaeConfig,
        inputs: usize,
        outputs: usize,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let groups = config.norm_num_groups;
        let shortcut = (inputs != outputs)
            .then(|| Conv3d::pointwise(inputs, outputs, &vb.pp("conv_shortcut").pp("conv")));
        Ok(Self {
            norm1: GroupNorm::new(groups, inputs, &vb.pp("norm1"))?,
            conv1: convolution(inputs, outputs, &vb.pp("conv1"))?,
            norm2: GroupNorm::new(groups, outputs, &vb.pp("norm2"))?,
            conv2: convolution(outputs, outputs, &vb.pp("conv2"))?,
            shortcut: shortcut.transpose()?,
        })
    }

    /// `count` blocks in a row.
    pub(super) fn run(
        config: &HunyuanVaeConfig,
        count: usize,
        (inputs, width): (usize, usize),
        vb: &VarBuilder<'_>,
    ) -> Result<Vec<Self>> {
        let block = |at: usize| {
            let inputs = if at == 0 { inputs } else { width };
            Self::new(config, inputs, width, &vb.pp(at))
        };
        (0..count).map(block).collect()
    }

    /// x: (T, in, H, W) to (T, out, H, W).
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let inner = self.conv1.causal(&self.norm1.forward(x)?.silu()?)?;
        let inner = self.conv2.causal(&self.norm2.forward(&inner)?.silu()?)?;
        match &self.shortcut {
            Some(shortcut) => shortcut.forward(x)? + inner,
            None => x + inner,
        }
    }
}

/// Every cell attends to all cells of its own and of earlier frames.
#[derive(Clone, Debug)]
struct Attention {
    norm: GroupNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
}

impl Attention {
    fn new(config: &HunyuanVaeConfig, width: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let linear = |name: &str| candle_nn::linear(width, width, vb.pp(name));
        Ok(Self {
            norm: GroupNorm::new(config.norm_num_groups, width, &vb.pp("group_norm"))?,
            query: linear("to_q")?,
            key: linear("to_k")?,
            value: linear("to_v")?,
            out: linear("to_out.0")?,
        })
    }

    /// x: (T, C, H, W)
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (frames, channels, height, width) = x.dims4()?;
        let cells = height * width;
        let tokens = self.norm.forward(x)?.permute((0, 2, 3, 1))?; // T, H, W, C
        let tokens = tokens.reshape((frames * cells, channels))?;
        let query = (self.query.forward(&tokens)? / f64::sqrt(count(channels)))?;
        let key = self.key.forward(&tokens)?;
        let value = self.value.forward(&tokens)?;
        // Frame by frame, so that what is yet to come is left out instead of masked.
        let attended = (0..frames).map(|frame| {
            let known = (frame + 1) * cells;
            let scores =
                query.narrow(0, frame * cells, cells)?.matmul(&key.narrow(0, 0, known)?.t()?)?;
            let weights = candle_nn::ops::softmax(&scores.to_dtype(DType::F32)?, D::Minus1)?;
            weights.to_dtype(x.dtype())?.matmul(&value.narrow(0, 0, known)?)
        });
        let attended = Tensor::cat(&attended.collect::<Result<Vec<_>>>()?, 0)?;
        let out = self.out.forward(&attended)?.reshape((frames, height, width, channels))?;
        out.permute((0, 3, 1, 2))? + x
    }
}

#[expect(clippy::cast_precision_loss, reason = "a width is small")]
fn count(width: usize) -> f64 {
    width as f64
}

/// The deepest blocks: residual, attention, residual.
#[derive(Clone, Debug)]
pub(super) struct Middle {
    before: Residual,
    attention: Attention,
    after: Residual,
}

impl Middle {
    pub(super) fn new(config: &HunyuanVaeConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let width = config.deepest();
        let residual = |name: &str| Residual::new(config, width, width, &vb.pp(name));
        Ok(Self {
            before: residual("resnets.0")?,
            attention: Attention::new(config, width, &vb.pp("attentions.0"))?,
            after: residual("resnets.1")?,
        })
    }

    /// x: (T, C, H, W)
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.after.forward(&self.attention.forward(&self.before.forward(x)?)?)
    }
}

/// What stands between the last block and the output: normalisation, silu, convolution.
#[derive(Clone, Debug)]
pub(super) struct Head {
    norm: GroupNorm,
    conv: Conv3d,
}

impl Head {
    pub(super) fn new(
        config: &HunyuanVaeConfig,
        width: usize,
        outputs: usize,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        Ok(Self {
            norm: GroupNorm::new(config.norm_num_groups, width, &vb.pp("conv_norm_out"))?,
            conv: convolution(width, outputs, &vb.pp("conv_out"))?,
        })
    }

    /// x: (T, width, H, W) to (T, outputs, H, W).
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.conv.causal(&self.norm.forward(x)?.silu()?)
    }
}
