//! Latents to pictures.

use super::block::{Head, Middle, Residual, convolution};
use super::config::WanVaeConfig;
use super::past::Past;
use crate::vae::conv::{Border, Conv3d, Kernel};
use crate::vae::video::{COLOURS, double};
use candle_core::{Result, Tensor};
use candle_nn::{Conv2d, Conv2dConfig, Module as _, VarBuilder};

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
    up: Option<Up>,
}

impl Decoder {
    pub(super) fn new(config: &WanVaeConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let widths: Vec<usize> = config.widths().into_iter().rev().collect();
        let time: Vec<bool> = config.temperal_downsample.iter().rev().copied().collect();
        let depths = widths.iter().enumerate().map(|(at, &width)| {
            // Behind the first depth, doubling the picture has halved the width.
            let inputs = if at == 0 { width } else { widths[at - 1] / 2 };
            let sizes = (config.num_res_blocks + 1, inputs, width);
            Depth::new(sizes, time.get(at).copied(), &vb.pp("up_blocks").pp(at))
        });
        Ok(Self {
            stem: convolution(config.z_dim, widths[0], &vb.pp("conv_in"))?,
            middle: Middle::new(widths[0], &vb.pp("mid_block"))?,
            depths: depths.collect::<Result<_>>()?,
            head: Head::new(widths[widths.len() - 1], COLOURS, vb)?,
        })
    }

    /// One latent of a video, (1, C, h, w): (1, 3, 8 h, 8 w) at its beginning and (4, ..) behind it.
    pub(super) fn forward(&self, x: &Tensor, past: &mut Past) -> Result<Tensor> {
        let x = self.stem.forward(&past.extend(x, self.stem.reach())?)?;
        let mut x = self.middle.forward(&x, past)?;
        for depth in &self.depths {
            x = depth.forward(&x, past)?;
        }
        self.head.forward(&x, past)
    }
}

impl Depth {
    /// `up`: whether time is doubled beside the picture; nothing is where there is none.
    fn new(
        (blocks, inputs, width): (usize, usize, usize),
        up: Option<bool>,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let blocks = (0..blocks).map(|at| {
            Residual::new(if at == 0 { inputs } else { width }, width, &vb.pp("resnets").pp(at))
        });
        let up = up.map(|time| Up::new(width, time, &vb.pp("upsamplers.0")));
        Ok(Self { blocks: blocks.collect::<Result<_>>()?, up: up.transpose()? })
    }

    fn forward(&self, x: &Tensor, past: &mut Past) -> Result<Tensor> {
        let mut x = x.clone();
        for block in &self.blocks {
            x = block.forward(&x, past)?;
        }
        self.up.as_ref().map_or(Ok(x.clone()), |up| up.forward(&x, past))
    }
}

/// Doubles the sides of pictures and halves their channels, and doubles time where it has a second convolution.
#[derive(Clone, Debug)]
struct Up {
    pictures: Conv2d,
    time: Option<Conv3d>,
}

impl Up {
    fn new(width: usize, time: bool, vb: &VarBuilder<'_>) -> Result<Self> {
        let config = Conv2dConfig { padding: 1, ..Conv2dConfig::default() };
        let kernel = Kernel::same(3, 1, Border::Zero);
        let time = time.then(|| Conv3d::new(width, 2 * width, kernel, &vb.pp("time_conv")));
        Ok(Self {
            pictures: candle_nn::conv2d(width, width / 2, 3, config, vb.pp("resample.1"))?,
            time: time.transpose()?,
        })
    }

    fn forward(&self, x: &Tensor, past: &mut Past) -> Result<Tensor> {
        let (frames, channels, height, width) = x.dims4()?;
        let x = match &self.time {
            // The video's first latent is one frame, and the next ones do not see it here.
            Some(time) if past.is_first() => {
                past.skip(x, time.reach())?;
                x.clone()
            }
            Some(time) => {
                let pairs = time.forward(&past.extend(x, time.reach())?)?;
                pairs.reshape((2 * frames, channels, height, width))?
            }
            None => x.clone(),
        };
        self.pictures.forward(&double(&x)?)
    }
}
