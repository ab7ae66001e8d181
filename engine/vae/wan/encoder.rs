//! Pictures to the moments of latents.

use super::block::{Head, Middle, Residual, convolution};
use super::config::WanVaeConfig;
use super::past::Past;
use crate::vae::conv::{Border, Conv3d, Kernel};
use crate::vae::video::COLOURS;
use candle_core::{Result, Tensor};
use candle_nn::{Conv2d, Conv2dConfig, Module as _, VarBuilder};

/// The encoder.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    stem: Conv3d,
    layers: Vec<Layer>,
    middle: Middle,
    head: Head,
}

#[derive(Clone, Debug)]
enum Layer {
    Residual(Residual),
    Down(Down),
}

impl Encoder {
    pub(super) fn new(config: &WanVaeConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let widths = config.widths();
        let mut layers = Vec::new();
        let mut inputs = config.base_dim;
        for (depth, &width) in widths.iter().enumerate() {
            let under = |layers: &Vec<Layer>| vb.pp("down_blocks").pp(layers.len());
            for _ in 0..config.num_res_blocks {
                layers.push(Layer::Residual(Residual::new(inputs, width, &under(&layers))?));
                inputs = width;
            }
            if let Some(&time) = config.temperal_downsample.get(depth) {
                layers.push(Layer::Down(Down::new(width, time, &under(&layers))?));
            }
        }
        let deepest = widths[widths.len() - 1];
        Ok(Self {
            stem: convolution(COLOURS, config.base_dim, &vb.pp("conv_in"))?,
            layers,
            middle: Middle::new(deepest, &vb.pp("mid_block"))?,
            head: Head::new(deepest, 2 * config.z_dim, vb)?,
        })
    }

    /// One piece of a video, (1, 3, 8 h, 8 w) at its beginning and (4, ..) behind it: (1, 2 C, h, w).
    pub(super) fn forward(&self, x: &Tensor, past: &mut Past) -> Result<Tensor> {
        let mut x = self.stem.forward(&past.extend(x, self.stem.reach())?)?;
        for layer in &self.layers {
            x = match layer {
                Layer::Residual(residual) => residual.forward(&x, past)?,
                Layer::Down(down) => down.forward(&x, past)?,
            };
        }
        self.head.forward(&self.middle.forward(&x, past)?, past)
    }
}

/// Halves the sides of pictures, and time where it has a second convolution.
#[derive(Clone, Debug)]
struct Down {
    pictures: Conv2d,
    time: Option<Conv3d>,
}

impl Down {
    fn new(width: usize, time: bool, vb: &VarBuilder<'_>) -> Result<Self> {
        let config = Conv2dConfig { stride: 2, ..Conv2dConfig::default() };
        let kernel = Kernel { size: (3, 1), stride: (2, 1), border: Border::Zero };
        let time = time.then(|| Conv3d::new(width, width, kernel, &vb.pp("time_conv")));
        Ok(Self {
            pictures: candle_nn::conv2d(width, width, 3, config, vb.pp("resample.1"))?,
            time: time.transpose()?,
        })
    }

    fn forward(&self, x: &Tensor, past: &mut Past) -> Result<Tensor> {
        let padded = x.pad_with_zeros(2, 0, 1)?.pad_with_zeros(3, 0, 1)?;
        let x = self.pictures.forward(&padded)?;
        let Some(time) = &self.time else { return Ok(x) };
        if past.is_first() {
            // The video's first frame is a latent of its own.
            past.keep(&x)?;
            return Ok(x);
        }
        // Outputs lie two frames apart and see three: one frame of the past.
        time.forward(&past.extend(&x, 1)?)
    }
}
