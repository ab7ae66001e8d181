//! Latents to token vectors and back.

use super::config::Embedding;
use crate::ops::{is_untracked, with_floats};
use candle_core::{Result, Tensor};

/// The token vectors of groups as a kernel is embedded: (G, frames, C, H, W) to (G · L, C · k · 2k · 2k).
pub fn embed_cells(latents: &Tensor, embedding: Embedding) -> Result<Tensor> {
    let mut x = latents.clone();
    for (dim, pool) in [1, 3, 4].into_iter().zip(embedding.pool) {
        x = pool_means(&x, dim, pool)?;
    }
    patchify(&x, embedding.k)
}

/// Means over runs of `pool` along a dimension; the last run is what is left.
fn pool_means(x: &Tensor, dim: usize, pool: usize) -> Result<Tensor> {
    if pool == 1 {
        return Ok(x.clone());
    }
    let length = x.dim(dim)?;
    let mean = |start: usize| x.narrow(dim, start, pool.min(length - start))?.mean_keepdim(dim);
    Tensor::cat(&(0..length).step_by(pool).map(mean).collect::<Result<Vec<_>>>()?, dim)
}

/// The token vectors of groups of kernel `k`: (G, k, C, H, W) to (G · L, C · k · 2k · 2k).
///
/// The ends are padded by their last cells. A vector is ordered channel, time, row, column, as the
/// weight of a strided 3-D convolution is.
pub fn patchify(latents: &Tensor, k: usize) -> Result<Tensor> {
    let (groups, frames, channels, height, width) = latents.dims5()?;
    assert_eq!(frames, k, "a group of kernel k holds k frames");
    let side = 2 * k;
    let (rows, columns) = (height.div_ceil(side), width.div_ceil(side));
    let shape = (groups * rows * columns, channels * k * side * side);
    if is_untracked(latents) {
        // Beyond the ends their last cells repeat.
        let cell = |at: usize, first: usize, end: usize| (first + at).min(end - 1);
        let values = with_floats([&latents.contiguous()?], |[x]| {
            let mut values = Vec::with_capacity(shape.0 * shape.1);
            for token in 0..shape.0 {
                let (group, row) = (token / (rows * columns), token / columns % rows);
                for plane in 0..channels * k {
                    let frame = group * k + plane % k;
                    let plane = &x[(frame * channels + plane / k) * height * width..];
                    for down in 0..side {
                        let line = &plane[cell(down, row * side, height) * width..][..width];
                        let first = token % columns * side;
                        values.extend((0..side).map(|across| line[cell(across, first, width)]));
                    }
                }
            }
            Ok(values)
        });
        return Tensor::from_vec(values?, shape, latents.device());
    }
    let mut x = latents.clone();
    if rows * side > height {
        x = x.pad_with_same(3, 0, rows * side - height)?;
    }
    if columns * side > width {
        x = x.pad_with_same(4, 0, columns * side - width)?;
    }
    x.reshape(vec![groups, k, channels, rows, side, columns, side])?
        .permute(vec![0, 3, 5, 2, 1, 4, 6])? // G, rows, columns, C, k, 2k, 2k
        .reshape(shape)
}

/// Frames of the token vectors of kernel 1: (frames · L, C · 4) to (frames, C, H, W).
pub fn unpatchify(
    tokens: &Tensor,
    channels: usize,
    (rows, columns): (usize, usize),
) -> Result<Tensor> {
    let frames = tokens.dim(0)? / (rows * columns);
    let shape = (frames, channels, 2 * rows, 2 * columns);
    if is_untracked(tokens) {
        let values = with_floats([&tokens.contiguous()?], |[tokens]| {
            let mut values = Vec::with_capacity(tokens.len());
            for line in 0..frames * channels * 2 * rows {
                let (plane, down) = (line / (2 * rows), line % (2 * rows));
                let first = (plane / channels * rows + down / 2) * columns;
                for token in first..first + columns {
                    let at = (token * channels + plane % channels) * 4 + down % 2 * 2;
                    values.extend_from_slice(&tokens[at..at + 2]);
                }
            }
            Ok(values)
        });
        return Tensor::from_vec(values?, shape, tokens.device());
    }
    tokens
        .reshape(vec![frames, rows, columns, channels, 2, 2])?
        .permute(vec![0, 3, 1, 4, 2, 5])? // frames, C, rows, 2, columns, 2
        .reshape(shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    fn values(x: &Tensor) -> Vec<f32> {
        x.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn pooling_comes_first_and_counts_real_cells_alone() {
        let x = Tensor::arange(0_f32, 2.0 * 6.0 * 10.0, &Device::Cpu).unwrap();
        let x = x.reshape((1, 2, 1, 6, 10)).unwrap();
        // Boxes of 2 frames and 4 x 4 cells: rows 0-3 and 4-5, columns 0-3, 4-7 and 8-9.
        let tokens = embed_cells(&x, Embedding { k: 1, pool: [2, 4, 4] }).unwrap();
        let mean = |rows: [f32; 2], columns: [f32; 2]| {
            30.0 + 5.0 * (rows[0] + rows[1]) + (columns[0] + columns[1]) / 2.0
        };
        let (top, low) = ([0.0, 3.0], [4.0, 5.0]);
        let (left, middle, right) = ([0.0, 3.0], [4.0, 7.0], [8.0, 9.0]);
        let want = [
            [mean(top, left), mean(top, middle), mean(low, left), mean(low, middle)],
            // The third column of means stands for the fourth, too.
            [mean(top, right), mean(top, right), mean(low, right), mean(low, right)],
        ];
        assert_eq!(values(&tokens), want.concat());
        let plain = Embedding { k: 2, pool: [1; 3] };
        assert_eq!(values(&embed_cells(&x, plain).unwrap()), values(&patchify(&x, 2).unwrap()));
    }

    #[test]
    fn training_patchifies_as_play_does() {
        // Two groups whose last rows and columns are padded, of values that no two places share.
        for (k, height, width) in [(1, 6, 8), (1, 5, 7), (2, 12, 9), (4, 12, 16)] {
            let count: u16 = (2 * k * 3 * height * width).try_into().unwrap();
            let x: Vec<f32> = (0..count).map(f32::from).collect();
            let x = Tensor::from_vec(x, (2, k, 3, height, width), &Device::Cpu).unwrap();
            let trained = patchify(&Var::from_tensor(&x).unwrap(), k).unwrap();
            let played = patchify(&x, k).unwrap();
            assert_eq!((played.dims(), values(&played)), (trained.dims(), values(&trained)));
        }
        let tokens: Vec<f32> = (0..2 * 3 * 4 * 20_u16).map(f32::from).collect();
        let tokens = Tensor::from_vec(tokens, (24, 20), &Device::Cpu).unwrap();
        let trained = unpatchify(&Var::from_tensor(&tokens).unwrap(), 5, (3, 4)).unwrap();
        let played = unpatchify(&tokens, 5, (3, 4)).unwrap();
        assert_eq!((played.dims(), values(&played)), (trained.dims(), values(&trained)));
    }

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
