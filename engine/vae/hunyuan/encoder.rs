//! Pictures to the moments of latents.

use super::block::{Head, Middle, Residual, convolution};
use super::config::HunyuanVaeConfig;
use crate::vae::conv::{Border, Conv3d, Kernel};
use crate::vae::video::COLOURS;
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// The encoder.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    stem: Conv3d,
    depths: Vec<Depth>,
    middle: Middle,
    head: Head,
}

#[derive(Clone, Debug)]
struct Depth {
    blocks: Vec<Residual>,
    down: Option<Conv3d>,
}

impl Encoder {
    pub(super) fn new(config: &HunyuanVaeConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let widths = &config.block_out_channels;
        let depths = widths.iter().enumerate().map(|(at, &width)| {
            let inputs = widths[at.saturating_sub(1)];
            Depth::new(config, at, (inputs, width), &vb.pp("down_blocks").pp(at))
        });
        Ok(Self {
            stem: convolution(COLOURS, widths[0], &vb.pp("conv_in"))?,
            depths: depths.collect::<Result<_>>()?,
            middle: Middle::new(config, &vb.pp("mid_block"))?,
            head: Head::new(config, config.deepest(), 2 * config.latent_channels, vb)?,
        })
    }

    /// x: (1 + 4 k, 3, 8 h, 8 w) to (1 + k, 2 C, h, w).
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = self.stem.causal(x)?;
        for depth in &self.depths {
            x = depth.forward(&x)?;
        }
        self.head.forward(&self.middle.forward(&x)?)
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
            Residual::run(config, config.layers_per_block, (inputs, width), &vb.pp("resnets"))?;
        let halving = config.halving(at);
        let stride = (1 + usize::from(halving.time), 1 + usize::from(halving.side));
        let kernel = Kernel { size: (3, 3), stride, border: Border::Replicate };
        let down = halving.any().then(|| {
            Conv3d::new(width, width, kernel, &vb.pp("downsamplers.0").pp("conv").pp("conv"))
        });
        Ok(Self { blocks, down: down.transpose()? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        self.down.as_ref().map_or(Ok(x.clone()), |down| down.causal(&x))
    }
}
