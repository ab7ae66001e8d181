//! Latents to token vectors and back.

use super::config::Embedding;
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
