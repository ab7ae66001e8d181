//! Latents to token vectors and back.

use candle_core::{Result, Tensor};

/// The token vectors of groups of kernel `k`: (G, k, C, H, W) to (G · L, C · k · 2k · 2k).
///
/// The ends are padded by their last cells. A vector is ordered channel, time, row, column, as the
/// weight of a strided 3-D convolution is.
pub fn patchify(latents: &Tensor, k: usize) -> Result<Tensor> {
    let (groups, frames, channels, height, width) = latents.dims5()?;
    assert_eq!(frames, k, "a group of kernel k holds k frames");
    let side = 2 * k;
    let (rows, columns) = (height.div_ceil(side), width.div_ceil(side));
    let mut x = latents.clone();
    if rows * side > height {
        x = x.pad_with_same(3, 0, rows * side - height)?;
    }
    if columns * side > width {
        x = x.pad_with_same(4, 0, columns * side - width)?;
    }
    x.reshape(vec![groups, k, channels, rows, side, columns, side])?
        .permute(vec![0, 3, 5, 2, 1, 4, 6])? // G, rows, columns, C, k, 2k, 2k
        .reshape((groups * rows * columns, channels * k * side * side))
}

/// Frames of the token vectors of kernel 1: (frames · L, C · 4) to (frames, C, H, W).
pub fn unpatchify(
    tokens: &Tensor,
    channels: usize,
    (rows, columns): (usize, usize),
) -> Result<Tensor> {
    let frames = tokens.dim(0)? / (rows * columns);
    tokens
        .reshape(vec![frames, rows, columns, channels, 2, 2])?
        .permute(vec![0, 3, 1, 4, 2, 5])? // frames, C, rows, 2, columns, 2
        .reshape((frames, channels, 2 * rows, 2 * columns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn unpatchify_undoes_patchify() {
        let x = Tensor::arange(0_f32, 3.0 * 5.0 * 6.0 * 8.0, &Device::Cpu).unwrap();
        let x = x.reshape((3, 1, 5, 6, 8)).unwrap();
        let back = unpatchify(&patchify(&x, 1).unwrap(), 5, (3, 4)).unwrap();
        let difference = (back - x.squeeze(1).unwrap()).unwrap().abs().unwrap().max_all().unwrap();
        assert_eq!(difference.to_scalar::<f32>().unwrap(), 0.0);
    }

    #[test]
    fn packed_tokens_cover_replicated_ends() {
        let x = Tensor::arange(0_f32, 4.0 * 12.0 * 16.0, &Device::Cpu).unwrap();
        let x = x.reshape((1, 4, 1, 12, 16)).unwrap();
        let tokens = patchify(&x, 4).unwrap();
        assert_eq!(tokens.dims(), [4, 4 * 8 * 8]);
        let last = tokens.get(3).unwrap().reshape((4, 8, 8)).unwrap().to_vec3::<f32>().unwrap();
        // Rows 8 to 11 are real, the four below repeat row 11.
        assert_eq!(
            last[3][4..],
            [last[3][3].clone(), last[3][3].clone(), last[3][3].clone(), last[3][3].clone()]
        );
    }
}
