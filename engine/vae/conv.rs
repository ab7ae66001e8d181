//! Convolution over frames, rows and columns, made of convolutions over rows and columns.
//!
//! A kernel of `kt` frames is `kt` kernels of one frame: each sees the pictures shifted by its place in time, and the
//! results are summed. So nothing is needed but a convolution of pictures.

use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;

/// Most values that the pictures of one product may be unfolded to; 0.5 GB in f32.
const UNFOLDED_MAX: usize = 1 << 27;

/// What lies outside of a picture, as far as the kernel reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Border {
    /// Zeros.
    Zero,
    /// The nearest pixel.
    Replicate,
}

/// Sizes of a convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernel {
    /// Frames, and pixels along each side: odd.
    pub(super) size: (usize, usize),
    /// Distance of outputs in frames, and in pixels.
    pub(super) stride: (usize, usize),
    /// What lies outside of a picture.
    pub(super) border: Border,
}

impl Kernel {
    /// `frames` by `side` by `side`, as many outputs as inputs.
    pub(super) fn same(frames: usize, side: usize, border: Border) -> Self {
        Self { size: (frames, side), stride: (1, 1), border }
    }
}

/// A convolution of videos (T, in, H, W), frames first.
#[derive(Clone, Debug)]
pub(super) struct Conv3d {
    /// One kernel (out, in, side, side) per frame.
    taps: Vec<Tensor>,
    /// (1, out, 1, 1)
    bias: Tensor,
    kernel: Kernel,
}

impl Conv3d {
    /// Reads `weight` (out, in, frames, side, side) and `bias` (out).
    pub(super) fn new(
        inputs: usize,
        outputs: usize,
        kernel: Kernel,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let (frames, side) = kernel.size;
        let weight = vb.get((outputs, inputs, frames, side, side), "weight")?;
        let taps = (0..frames).map(|at| weight.narrow(2, at, 1)?.squeeze(2)?.contiguous());
        let bias = vb.get(outputs, "bias")?.reshape((1, outputs, 1, 1))?;
        Ok(Self { taps: taps.collect::<Result<_>>()?, bias, kernel })
    }

    /// A convolution of one cell.
    pub(super) fn pointwise(inputs: usize, outputs: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        Self::new(inputs, outputs, Kernel::same(1, 1, Border::Zero), vb)
    }

    /// Frames that an output reaches back beyond its own.
    pub(super) fn reach(&self) -> usize {
        self.taps.len() - 1
    }

    /// x: (T, in, H, W), the frames that the first output reaches back to included: one output per stride over what
    /// remains of T.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (frames, channels, height, width) = x.dims4()?;
        if frames < self.taps.len() {
            bail!("expected at least {} frames, got {frames}", self.taps.len());
        }
        let count = (frames - self.taps.len()) / self.kernel.stride.0 + 1;
        let side = self.kernel.size.1;
        let unfolded = (channels * side * side).saturating_mul(height * width);
        let at_once = (UNFOLDED_MAX / unfolded.max(1)).max(1);
        let parts = (0..count).step_by(at_once);
        let parts = parts.map(|first| self.outputs(x, first, at_once.min(count - first)));
        let parts = parts.collect::<Result<Vec<_>>>()?;
        if let [part] = &parts[..] { Ok(part.clone()) } else { Tensor::cat(&parts, 0) }
    }

    /// Behind `reach` copies of the first frame: what a video's beginning is taken to be.
    pub(super) fn causal(&self, x: &Tensor) -> Result<Tensor> {
        self.forward(&x.pad_with_same(0, self.reach(), 0)?)
    }

    /// `count` outputs from the `first` on.
    fn outputs(&self, x: &Tensor, first: usize, count: usize) -> Result<Tensor> {
        let step = self.kernel.stride.0;
        let mut sum: Option<Tensor> = None;
        for (at, tap) in self.taps.iter().enumerate() {
            let pictures = every(x, first * step + at, step, count)?;
            let part = self.pictures(&pictures, tap)?;
            sum = Some(match sum {
                Some(sum) => (sum + part)?,
                None => part,
            });
        }
        let Some(sum) = sum else { bail!("expected a kernel of at least one frame") };
        sum.broadcast_add(&self.bias)
    }

    /// One tap over pictures (T, in, H, W).
    fn pictures(&self, x: &Tensor, tap: &Tensor) -> Result<Tensor> {
        let reach = self.kernel.size.1 / 2;
        let stride = self.kernel.stride.1;
        match self.kernel.border {
            Border::Zero => x.conv2d(tap, reach, stride, 1, 1),
            Border::Replicate => {
                let x = x.pad_with_same(2, reach, reach)?.pad_with_same(3, reach, reach)?;
                x.conv2d(tap, 0, stride, 1, 1)
            }
        }
    }
}

/// `count` frames of x, every `step`-th from `first` on.
fn every(x: &Tensor, first: usize, step: usize, count: usize) -> Result<Tensor> {
    if step == 1 {
        return x.narrow(0, first, count)?.contiguous();
    }
    let frames = (0..count).map(|at| x.narrow(0, first + at * step, 1));
    Tensor::cat(&frames.collect::<Result<Vec<_>>>()?, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::random;
    use candle_core::{DType, Device};
    use std::collections::HashMap;

    const SHAPE: [usize; 4] = [5, 2, 4, 6];

    fn convolution(kernel: Kernel) -> Conv3d {
        let (frames, side) = kernel.size;
        let weight = random(&[3, 2, frames, side, side], 1).unwrap();
        let bias = random(&[3], 2).unwrap();
        let tensors = HashMap::from([("weight".to_owned(), weight), ("bias".to_owned(), bias)]);
        let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        Conv3d::new(2, 3, kernel, &vb).unwrap()
    }

    /// Sums straight from the definition.
    fn expected(kernel: Kernel, x: &Tensor, at: [usize; 4]) -> f32 {
        let (frames, side) = kernel.size;
        let weight = random(&[3, 2, frames, side, side], 1).unwrap().flatten_all().unwrap();
        let weight = weight.to_vec1::<f32>().unwrap();
        let values = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let [_, channels, height, width] = SHAPE;
        let [frame, out, row, column] = at;
        // A coordinate of the picture, or none in a border of zeros.
        let place = |output: usize, tap: usize, length: usize| {
            let inside =
                (output * kernel.stride.1 + tap).checked_sub(side / 2).filter(|at| *at < length);
            match kernel.border {
                Border::Zero => inside,
                Border::Replicate => {
                    let at = (output * kernel.stride.1 + tap).saturating_sub(side / 2);
                    Some(at.min(length - 1))
                }
            }
        };
        let mut sum = random(&[3], 2).unwrap().to_vec1::<f32>().unwrap()[out];
        for (tap, weight) in weight[out * channels * frames * side * side..]
            .iter()
            .take(channels * frames * side * side)
            .enumerate()
        {
            let (x, y) = (tap % side, tap / side % side);
            let (t, channel) = (tap / side / side % frames, tap / side / side / frames);
            let time = (frame * kernel.stride.0 + t).saturating_sub(frames - 1);
            if let (Some(y), Some(x)) = (place(row, y, height), place(column, x, width)) {
                sum += weight * values[((time * channels + channel) * height + y) * width + x];
            }
        }
        sum
    }

    #[test]
    fn every_kernel_sums_what_it_covers() {
        let x = random(&SHAPE, 3).unwrap();
        for border in [Border::Zero, Border::Replicate] {
            for (size, stride) in
                [((3, 3), (1, 1)), ((3, 3), (2, 2)), ((1, 1), (1, 1)), ((3, 1), (2, 1))]
            {
                let kernel = Kernel { size, stride, border };
                let y = convolution(kernel).causal(&x).unwrap();
                let (frames, channels, height, width) = y.dims4().unwrap();
                assert_eq!((frames, channels), ((SHAPE[0] - 1) / stride.0 + 1, 3));
                assert_eq!((height, width), (SHAPE[2] / stride.1, SHAPE[3] / stride.1));
                for at in [[0, 0, 0, 0], [frames - 1, 2, height - 1, width - 1], [1, 1, 1, 2]] {
                    let got = y.get(at[0]).unwrap().get(at[1]).unwrap().get(at[2]).unwrap();
                    let got = got.get(at[3]).unwrap().to_scalar::<f32>().unwrap();
                    let want = expected(kernel, &x, at);
                    // At most 54 products below 1, in another order.
                    assert!((got - want).abs() < 1e-5, "{kernel:?} at {at:?}: {got}, not {want}");
                }
            }
        }
    }

    #[test]
    fn parts_of_a_video_come_out_like_the_whole() {
        let x = random(&SHAPE, 3).unwrap();
        let kernel = Kernel { size: (3, 3), stride: (2, 2), border: Border::Replicate };
        let convolution = convolution(kernel);
        let whole = convolution.forward(&x).unwrap();
        for at in 0..2 {
            let part = convolution.outputs(&x, at, 1).unwrap();
            let apart = (whole.narrow(0, at, 1).unwrap() - part).unwrap().abs().unwrap();
            assert_eq!(apart.max_all().unwrap().to_scalar::<f32>().unwrap(), 0.0);
        }
        let short = x.narrow(0, 0, 2).unwrap();
        assert!(convolution.forward(&short).unwrap_err().to_string().contains("at least 3 frames"));
    }
}
