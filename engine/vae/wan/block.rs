//! Blocks that encoder and decoder share.

use super::past::Past;
use crate::vae::conv::{Border, Conv3d, Kernel};
use candle_core::{D, DType, Result, Tensor};
use candle_nn::VarBuilder;

/// Least length of a vector that is divided by its own.
const LENGTH_MIN: f64 = 1e-12;

/// A convolution of 3x3x3 between borders of zeros.
pub(super) fn convolution(inputs: usize, outputs: usize, vb: &VarBuilder<'_>) -> Result<Conv3d> {
    Conv3d::new(inputs, outputs, Kernel::same(3, 3, Border::Zero), vb)
}

/// Each cell's channels over their root mean square.
#[derive(Clone, Debug)]
pub(super) struct RmsNorm {
    /// (1, C, 1, 1)
    weight: Tensor,
    root: f64,
}

impl RmsNorm {
    /// Reads `gamma` (C, 1, 1, 1), or (C, 1, 1) where `pictures`.
    pub(super) fn new(channels: usize, pictures: bool, vb: &VarBuilder<'_>) -> Result<Self> {
        let weight = if pictures {
            vb.get((channels, 1, 1), "gamma")?
        } else {
            vb.get((channels, 1, 1, 1), "gamma")?
        };
        #[expect(clippy::cast_precision_loss, reason = "a width is small")]
        let root = (channels as f64).sqrt();
        Ok(Self { weight: weight.reshape((1, channels, 1, 1))?, root })
    }

    /// x: (T, C, H, W), lengths in f32 whatever the type.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let wide = x.to_dtype(DType::F32)?;
        let length = wide.sqr()?.sum_keepdim(1)?.sqrt()?.maximum(LENGTH_MIN)?;
        let unit = wide.broadcast_div(&length)?.to_dtype(x.dtype())?;
        (unit * self.root)?.broadcast_mul(&self.weight)
    }
}

/// Two convolutions around which the input goes by.
#[derive(Clone, Debug)]
pub(super) struct Residual {
    norm1: RmsNorm,
    conv1: Conv3d,
    norm2: RmsNorm,
    conv2: Conv3d,
    shortcut: Option<Conv3d>,
}

impl Residual {
    pub(super) fn new(inputs: usize, outputs: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let shortcut = (inputs != outputs)
            .then(|| Conv3d::pointwise(inputs, outputs, &vb.pp("conv_shortcut")));
        Ok(Self {
            norm1: RmsNorm::new(inputs, false, &vb.pp("norm1"))?,
            conv1: convolution(inputs, outputs, &vb.pp("conv1"))?,
            norm2: RmsNorm::new(outputs, false, &vb.pp("norm2"))?,
            conv2: convolution(outputs, outputs, &vb.pp("conv2"))?,
            shortcut: shortcut.transpose()?,
        })
    }

    /// x: (T, in, H, W) to (T, out, H, W).
    pub(super) fn forward(&self, x: &Tensor, past: &mut Past) -> Result<Tensor> {
        let inner = self.norm1.forward(x)?.silu()?;
        let inner = self.conv1.forward(&past.extend(&inner, self.conv1.reach())?)?;
        let inner = self.norm2.forward(&inner)?.silu()?;
        let inner = self.conv2.forward(&past.extend(&inner, self.conv2.reach())?)?;
        match &self.shortcut {
            Some(shortcut) => shortcut.forward(x)? + inner,
            None => x + inner,
        }
    }
}

/// Every cell attends to all cells of its own frame.
#[derive(Clone, Debug)]
struct Attention {
    norm: RmsNorm,
    qkv: (Tensor, Tensor),
    out: (Tensor, Tensor),
}

impl Attention {
    fn new(width: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let pixelwise = |outputs: usize, name: &str| {
            let weight = vb.get((outputs, width, 1, 1), &format!("{name}.weight"))?;
            let bias = vb.get(outputs, &format!("{name}.bias"))?;
            Ok::<_, candle_core::Error>((weight, bias.reshape((1, outputs, 1, 1))?))
        };
        Ok(Self {
            norm: RmsNorm::new(width, true, &vb.pp("norm"))?,
            qkv: pixelwise(3 * width, "to_qkv")?,
            out: pixelwise(width, "proj")?,
        })
    }

    /// x: (T, C, H, W)
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (frames, channels, height, width) = x.dims4()?;
        let apply = |x: &Tensor, (weight, bias): &(Tensor, Tensor)| {
            x.conv2d(weight, 0, 1, 1, 1)?.broadcast_add(bias)
        };
        let qkv = apply(&self.norm.forward(x)?, &self.qkv)?.flatten_from(2)?; // T, 3 C, H W
        let part = |at: usize| qkv.narrow(1, at * channels, channels)?.t()?.contiguous();
        let (query, key, value) = (part(0)?, part(1)?, part(2)?); // T, H W, C
        #[expect(clippy::cast_precision_loss, reason = "a width is small")]
        let query = (query / (channels as f64).sqrt())?;
        let scores = query.matmul(&key.t()?)?.to_dtype(DType::F32)?;
        let weights = candle_nn::ops::softmax(&scores, D::Minus1)?.to_dtype(x.dtype())?;
        let attended = weights.matmul(&value)?.t()?.reshape((frames, channels, height, width))?;
        apply(&attended, &self.out)? + x
    }
}

/// The deepest blocks: residual, attention, residual.
#[derive(Clone, Debug)]
pub(super) struct Middle {
    before: Residual,
    attention: Attention,
    after: Residual,
}

impl Middle {
    pub(super) fn new(width: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            before: Residual::new(width, width, &vb.pp("resnets.0"))?,
            attention: Attention::new(width, &vb.pp("attentions.0"))?,
            after: Residual::new(width, width, &vb.pp("resnets.1"))?,
        })
    }

    /// x: (T, C, H, W)
    pub(super) fn forward(&self, x: &Tensor, past: &mut Past) -> Result<Tensor> {
        let x = self.attention.forward(&self.before.forward(x, past)?)?;
        self.after.forward(&x, past)
    }
}

/// What stands between the last block and the output: normalisation, silu, convolution.
#[derive(Clone, Debug)]
pub(super) struct Head {
    norm: RmsNorm,
    conv: Conv3d,
}

impl Head {
    pub(super) fn new(width: usize, outputs: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            norm: RmsNorm::new(width, false, &vb.pp("norm_out"))?,
            conv: convolution(width, outputs, &vb.pp("conv_out"))?,
        })
    }

    /// x: (T, width, H, W) to (T, outputs, H, W).
    pub(super) fn forward(&self, x: &Tensor, past: &mut Past) -> Result<Tensor> {
        let x = self.norm.forward(x)?.silu()?;
        self.conv.forward(&past.extend(&x, self.conv.reach())?)
    }
}
