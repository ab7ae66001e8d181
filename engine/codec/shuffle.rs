//! Between space and channels, in PyTorch's order of channels: (channel, row, column).

use candle_core::{Result, Tensor};

/// (B, H, W, C) to (B, H / by, W / by, C · by²): each channel's blocks become channels.
pub(super) fn unshuffle(x: &Tensor, by: usize) -> Result<Tensor> {
    let (b, h, w, c) = x.dims4()?;
    let blocks = x.reshape(vec![b, h / by, by, w / by, by, c])?;
    let blocks = blocks.permute(vec![0, 1, 3, 5, 2, 4])?; // B, H / by, W / by, C, row, column
    blocks.reshape((b, h / by, w / by, c * by * by))
}

/// (B, H, W, C · by²) to (B, H · by, W · by, C): the inverse of [`unshuffle`].
pub(super) fn shuffle(x: &Tensor, by: usize) -> Result<Tensor> {
    let (b, h, w, c) = x.dims4()?;
    let c = c / (by * by);
    let blocks = x.reshape(vec![b, h, w, c, by, by])?;
    let blocks = blocks.permute(vec![0, 1, 4, 2, 5, 3])?; // B, H, row, W, column, C
    blocks.reshape((b, h * by, w * by, c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn channels_are_in_pytorch_order() {
        // One 2x2 picture of 2 channels, written (row, column, channel): channel 1 adds 10.
        let x = [0.0_f32, 10.0, 1.0, 11.0, 2.0, 12.0, 3.0, 13.0];
        let x = Tensor::from_slice(&x, (1, 2, 2, 2), &Device::Cpu).unwrap();
        let y = unshuffle(&x, 2).unwrap();
        let want = [0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0];
        assert_eq!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap(), want);
        let back = shuffle(&y, 2).unwrap();
        let same = (back - x).unwrap().abs().unwrap().sum_all().unwrap();
        assert!(same.to_scalar::<f32>().unwrap() == 0.0);
    }
}
