//! Between space and channels, in PyTorch's order of channels: (channel, row, column).

use crate::ops::{is_untracked, make_with, with_floats};
use candle_core::{Result, Tensor};

/// (B, H, W, C) to (B, H / by, W / by, C · by²): each channel's blocks become channels.
pub(super) fn unshuffle(x: &Tensor, by: usize) -> Result<Tensor> {
    let (b, h, w, c) = x.dims4()?;
    let shape = (b, h / by, w / by, c * by * by);
    if is_untracked(x) {
        let values = with_floats([&x.contiguous()?], |[x]| Ok(deinterleaved(x, [w, c, by])))?;
        return Tensor::from_vec(values, shape, x.device());
    }
    let blocks = x.reshape(vec![b, h / by, by, w / by, by, c])?;
    let blocks = blocks.permute(vec![0, 1, 3, 5, 2, 4])?; // B, H / by, W / by, C, row, column
    blocks.reshape(shape)
}

/// (B, H, W, C · by²) to (B, H · by, W · by, C): the inverse of [`unshuffle`].
pub(super) fn shuffle(x: &Tensor, by: usize) -> Result<Tensor> {
    let (b, h, w, c) = x.dims4()?;
    let c = c / (by * by);
    if is_untracked(x) {
        let values = with_floats([&x.contiguous()?], |[x]| Ok(interleaved(x, [w, c, by])))?;
        return Tensor::from_vec(values, (b, h * by, w * by, c), x.device());
    }
    let blocks = x.reshape(vec![b, h, w, c, by, by])?;
    let blocks = blocks.permute(vec![0, 1, 4, 2, 5, 3])?; // B, H, row, W, column, C
    blocks.reshape((b, h * by, w * by, c))
}

/// [`shuffle`] line by line: lines of `width` pixels, each of so many channels for each of `by` rows and columns.
fn interleaved(x: &[f32], [width, channels, by]: [usize; 3]) -> Vec<f32> {
    let line = width * channels * by * by;
    make_with(
        x.len(),
        [x.len(), line],
        || (),
        |(), [_, at], out| {
            let x = &x[at * line..][..line];
            for (row, out) in out.chunks_exact_mut(line / by).enumerate() {
                let pixels = x.chunks_exact(line / width).zip(out.chunks_exact_mut(by * channels));
                for (pixel, out) in pixels {
                    for (column, out) in out.chunks_exact_mut(channels).enumerate() {
                        let values = pixel[row * by + column..].iter().step_by(by * by);
                        out.iter_mut().zip(values).for_each(|(out, value)| *out = *value);
                    }
                }
            }
        },
    )
}

/// [`unshuffle`] line by line: lines of `width / by` cells, each of so many pixels of `channels` for each of `by` rows.
fn deinterleaved(x: &[f32], [width, channels, by]: [usize; 3]) -> Vec<f32> {
    let (row, cell) = (width * channels, by * by * channels);
    make_with(
        x.len(),
        [x.len(), row * by],
        || (),
        |(), [_, at], out| {
            let x = &x[at * row * by..][..out.len()];
            for (down, x) in x.chunks_exact(row).enumerate() {
                let cells = x.chunks_exact(by * channels).zip(out.chunks_exact_mut(cell));
                for (pixels, out) in cells {
                    for (across, pixel) in pixels.chunks_exact(channels).enumerate() {
                        let places = out[down * by + across..].iter_mut().step_by(by * by);
                        places.zip(pixel).for_each(|(out, value)| *out = *value);
                    }
                }
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

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

    #[test]
    fn training_shuffles_as_play_does() {
        // Values that no two places share.
        let x: Vec<f32> = (0..2 * 3 * 5 * 12_u16).map(f32::from).collect();
        let x = Tensor::from_vec(x, (2, 3, 5, 12), &Device::Cpu).unwrap();
        let values = |x: &Tensor| shuffle(x, 2).unwrap().flatten_all().unwrap().to_vec1::<f32>();
        let trained = values(&Var::from_tensor(&x).unwrap()).unwrap();
        assert_eq!(values(&x).unwrap(), trained);
        let x = shuffle(&x, 2).unwrap();
        let values = |x: &Tensor| unshuffle(x, 2).unwrap().flatten_all().unwrap().to_vec1::<f32>();
        let trained = values(&Var::from_tensor(&x).unwrap()).unwrap();
        assert_eq!(values(&x).unwrap(), trained);
    }
}
