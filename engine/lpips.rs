//! LPIPS, a perceptual distance of pictures, from published weights that the reader brings along.
//!
//! AlexNet looks at both pictures; at five depths the squared difference of its unit feature vectors is weighed by
//! channel and averaged over positions, and the five are summed.
//!
//! R. Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (2018), version 0.1.

use crate::error::Error;
use candle_core::{DType, Device, IndexOp as _, Tensor};
use candle_nn::{Conv2d, Conv2dConfig, Module as _, VarBuilder};
use sha2::{Digest as _, Sha256};
use std::path::Path;

/// Tensors of AlexNet in torchvision, with inputs, outputs, side, stride and padding of each.
const LAYERS: [(&str, usize, usize, usize, usize, usize); 5] = [
    ("features.0", 3, 64, 11, 4, 2),
    ("features.3", 64, 192, 5, 1, 2),
    ("features.6", 192, 384, 3, 1, 1),
    ("features.8", 384, 256, 3, 1, 1),
    ("features.10", 256, 256, 3, 1, 1),
];
/// Layers behind whose rectifier the picture is halved.
const POOLED: [bool; 5] = [true, true, false, false, false];
/// Mean and standard deviation of each colour, of values in -1..=1.
const SHIFT: [f32; 3] = [-0.030, -0.088, -0.188];
const SCALE: [f32; 3] = [0.458, 0.448, 0.450];
/// Least side of a picture that the network can look at.
const SIDE_MIN: usize = 31;
/// Largest file of weights that is read.
const BYTES_MAX: u64 = 1 << 30;

/// The network with its weights.
#[derive(Clone, Debug)]
pub struct Lpips {
    layers: Vec<(Conv2d, Tensor)>,
    device: Device,
    hash: String,
}

impl Lpips {
    /// Reads the weights from a safetensors file: torchvision's `features.{0,3,6,8,10}.{weight,bias}` of AlexNet and
    /// the published `lin{0..4}.model.1.weight`.
    ///
    /// # Errors
    /// When it cannot be read or lacks a tensor; the tensor is named.
    pub fn open(path: &Path, device: &Device) -> Result<Self, Error> {
        let read = |source| Error::Read { what: "weights of LPIPS", source, path: path.to_owned() };
        let bytes = std::fs::metadata(path).map_err(read)?.len();
        let wrong = |error: &dyn std::fmt::Display| Error::World {
            reason: format!(
                "expected AlexNet of torchvision (features.0, 3, 6, 8, 10: weight and bias) and lin0 to lin4.model.1.weight of LPIPS 0.1: {error}"
            ),
            path: path.to_owned(),
        };
        if bytes > BYTES_MAX {
            return Err(wrong(&format!("got {bytes} bytes")));
        }
        let bytes = std::fs::read(path).map_err(read)?;
        let tensors =
            candle_core::safetensors::load_buffer(&bytes, device).map_err(|error| wrong(&error))?;
        let vb = VarBuilder::from_tensors(tensors, DType::F32, device);
        let layers = LAYERS.iter().enumerate().map(|(at, &layer)| read_layer(&vb, at, layer));
        let layers = layers.collect::<candle_core::Result<_>>().map_err(|error| wrong(&error))?;
        let hash = format!("{:x}", Sha256::digest(&bytes));
        Ok(Self { layers, device: device.clone(), hash })
    }

    /// SHA-256 of the file of weights, in hex.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The distance of two RGB pictures of this width, bytes row by row: 0 for the same picture, seldom above 1.
    ///
    /// # Errors
    /// When the pictures differ in size, or are smaller than 31 pixels on a side.
    pub fn distance(&self, a: &[u8], b: &[u8], width: usize) -> Result<f64, Error> {
        let height = a.len() / (3 * width.max(1));
        if a.len() != b.len() || width.min(height) < SIDE_MIN || a.len() != height * width * 3 {
            let expected = format!("two pictures of one size, at least {SIDE_MIN} pixels a side");
            return Err(Error::Size { expected, got: format!("{width}x{height}") });
        }
        let mut x = self.input(&[a, b].concat(), height, width)?;
        let mut distance = 0.0_f64;
        for (at, (convolution, weights)) in self.layers.iter().enumerate() {
            x = convolution.forward(&x)?.relu()?;
            let length = (x.sqr()?.sum_keepdim(1)?.sqrt()? + 1e-10)?;
            let units = x.broadcast_div(&length)?; // (2, C, H, W)
            let difference = (units.i(0)? - units.i(1)?)?.sqr()?;
            let weighed = difference.broadcast_mul(weights)?.sum(0)?.mean_all()?;
            distance += f64::from(weighed.to_scalar::<f32>()?);
            if POOLED[at] {
                x = x.max_pool2d_with_stride(3, 2)?;
            }
        }
        Ok(distance)
    }

    /// Pictures as the network wants them: (2, 3, H, W).
    fn input(&self, bytes: &[u8], height: usize, width: usize) -> candle_core::Result<Tensor> {
        let values = bytes.chunks_exact(3).flat_map(|pixel| {
            [0, 1, 2].map(|c| (f32::from(pixel[c]) / 127.5 - 1.0 - SHIFT[c]) / SCALE[c])
        });
        let pictures = Tensor::from_vec(values.collect(), (2, height, width, 3), &self.device)?;
        pictures.permute((0, 3, 1, 2))?.contiguous()
    }
}

fn read_layer(
    vb: &VarBuilder<'_>,
    at: usize,
    (name, inputs, outputs, side, stride, padding): (&str, usize, usize, usize, usize, usize),
) -> candle_core::Result<(Conv2d, Tensor)> {
    let config = Conv2dConfig { stride, padding, ..Conv2dConfig::default() };
    let convolution = candle_nn::conv2d(inputs, outputs, side, config, vb.pp(name))?;
    let weights = vb.get((1, outputs, 1, 1), &format!("lin{at}.model.1.weight"))?;
    Ok((convolution, weights.reshape((outputs, 1, 1))?))
}
