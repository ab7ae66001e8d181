//! Sizes and orders of videos.

use crate::picture;
use candle_core::{DType, Device, Result, Tensor, bail};
use input::Frame;

/// Values of a pixel: red, green, blue.
pub(super) const COLOURS: usize = 3;

/// A video of pictures of one size, in -1..=1: (1, 3, T, H, W).
///
/// # Errors
/// There is no picture, or they differ in size.
pub fn tensor(frames: &[Frame], dtype: DType, device: &Device) -> Result<Tensor> {
    let pictures = frames.iter().map(|frame| picture::tensor(frame, device));
    let pictures = pictures.collect::<Result<Vec<_>>>()?;
    Tensor::stack(&pictures, 1)?.unsqueeze(0)?.to_dtype(dtype)
}

/// The pictures of a video (1, 3, T, H, W), clamped to -1..=1.
///
/// # Errors
/// The tensor has another shape.
pub fn frames(video: &Tensor) -> Result<Vec<Frame>> {
    let video = video.squeeze(0)?;
    (0..video.dim(1)?).map(|at| picture::frame(&video.narrow(1, at, 1)?.squeeze(1)?)).collect()
}

/// `network`, from (T, C, H, W) to its like, for each video of (B, C, T, H, W).
pub(super) fn each(videos: &Tensor, network: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let one = |at| network(&videos.get(at)?.transpose(0, 1)?.contiguous()?)?.transpose(0, 1);
    let all = (0..videos.dim(0)?).map(one).collect::<Result<Vec<_>>>()?;
    Tensor::stack(&all, 0)
}

/// Every pixel of (T, C, H, W) twice along both sides: (T, C, 2 H, 2 W).
pub(super) fn double(x: &Tensor) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    x.upsample_nearest2d(2 * height, 2 * width)
}

/// Videos must be (B, 3, 1 + `frames` k, `side` h, `side` w).
pub(super) fn check_frames(videos: &Tensor, frames: usize, side: usize) -> Result<()> {
    let (batch, colours, length, height, width) = videos.dims5()?;
    let whole = |pixels: usize| pixels > 0 && pixels.is_multiple_of(side);
    let in_time = length > 0 && (length - 1).is_multiple_of(frames);
    if batch == 0 || colours != COLOURS || !in_time || !whole(height) || !whole(width) {
        bail!(
            "expected RGB videos of 1 + {frames} k frames whose sides are multiples of {side}, got {:?}",
            videos.dims()
        );
    }
    Ok(())
}

/// Latents must be (B, `channels`, T, H, W).
pub(super) fn check_latents(latents: &Tensor, channels: usize) -> Result<()> {
    let (_, got, ..) = latents.dims5()?;
    if got != channels || latents.elem_count() == 0 {
        bail!("expected latents of {channels} channels, got {:?}", latents.dims());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_survive_being_a_video() {
        let pictures = [[0, 9, 255], [1, 2, 3]].map(|colour| Frame::filled(4, 2, colour));
        let video = tensor(&pictures, DType::F32, &Device::Cpu).unwrap();
        assert_eq!(video.dims(), [1, 3, 2, 2, 4]);
        assert_eq!(frames(&video).unwrap(), pictures);
        let mixed = [Frame::filled(4, 2, [0; 3]), Frame::filled(2, 4, [0; 3])];
        assert!(tensor(&mixed, DType::F32, &Device::Cpu).is_err());
        assert!(tensor(&[], DType::F32, &Device::Cpu).is_err());
        assert!(frames(&video.narrow(1, 0, 2).unwrap()).is_err());
    }
}
