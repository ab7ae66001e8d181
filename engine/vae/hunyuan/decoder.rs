//! Latents to pictures.

use super::block::{Head, Middle, Residual, convolution};
use super::config::{Halving, HunyuanVaeConfig};
use crate::vae::conv::Conv3d;
use crate::vae::video::{COLOURS, double};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// The decoder.
#[derive(Clone, Debug)]
pub(super) struct Decoder {
    stem: Conv3d,
    middle: Middle,
    depths: Vec<Depth>,
    head: Head,
}

#[derive(Clone, Debug)]
struct Depth {
    blocks: Vec<Residual>,
    /// The size that is doubled, and the convolution behind it.
    up: Option<(Halving, Conv3d)>,
}

impl Decoder {
    pub(super) fn new(config: &HunyuanVaeConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let widths: Vec<usize> = config.block_out_channels.iter().rev().copied().collect();
        let depths = widths.iter().enumerate().map(|(at, &width)| {
            let inputs = widths[at.saturating_sub(1)];
            Depth::new(config, at, (inputs, width), &vb.pp("up_blocks").pp(at))
        });
        let shallowest = config.block_out_channels[0];
        Ok(Self {
            stem: convolution(config.latent_channels, config.deepest(), &vb.pp("conv_in"))?,
            middle: Middle::new(config, &vb.pp("mid_block"))?,
            depths: depths.collect::<Result<_>>()?,
            head: Head::new(config, shallowest, COLOURS, vb)?,
        })
    }

    /// x: (1 + k, C, h, w) to (1 + 4 k, 3, 8 h, 8 w).
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = self.middle.forward(&self.stem.causal(x)?)?;
        for depth in &self.depths {
            x = depth.forward(&x)?;
        }
        self.head.forward(&x)
    }
}

impl Depth {
    fn new(
        config: &HunyuanVaeConfig,
        at: usize,
        (inputs, width): (usize, usize),
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let blocks =
            Residual::run(config, config.layers_per_block + 1, (inputs, width), &vb.pp("resnets"))?;
        let halving = config.halving(at);
        let up =
            halving.any().then(|| convolution(width, width, &vb.pp("upsamplers.0").pp("conv")));
        let up = up.transpose()?.map(|convolution| (halving, convolution));
        Ok(Self { blocks, up })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        let Some((halving, convolution)) = &self.up else { return Ok(x) };
        if halving.side {
            x = double(&x)?;
        }
        if halving.time {
            x = lengthen(&x)?;
        }
        convolution.causal(&x)
    }
}

/// Every frame twice but the first, which is a latent of its own: (T, ..) to (2 T - 1, ..).
fn lengthen(x: &Tensor) -> Result<Tensor> {
    let frames = u32::try_from(x.dim(0)?)?;
    let source: Vec<u32> = (0..2 * frames - 1).map(|at| at.div_ceil(2)).collect();
    let source = Tensor::new(source, x.device())?;
    x.index_select(&source, 0)
}
