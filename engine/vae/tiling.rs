//! Videos cut into overlapping tiles, so that memory does not grow with the picture, and blended together again.
//!
//! Where two tiles overlap, the later one fades in linearly. A tile is blended with its upper neighbour first, then
//! with its left one, both as they are after their own blending; so do the reference implementations.

use candle_core::{Result, Tensor, bail};

/// Tiles along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiles {
    /// Length of a tile.
    pub size: usize,
    /// Distance of the beginnings of neighbours, at most `size`.
    pub stride: usize,
}

impl Tiles {
    /// One tile, however long the axis.
    pub const WHOLE: Self = Self { size: usize::MAX, stride: usize::MAX };

    /// Where tiles begin on an axis of this length.
    fn starts(self, length: usize) -> impl Iterator<Item = usize> {
        (0..length).step_by(self.stride)
    }

    /// The tile of x that begins at `start` along `dim`, `more` longer than usual where the axis goes on.
    fn cut(self, x: &Tensor, dim: usize, start: usize, more: usize) -> Result<Tensor> {
        x.narrow(dim, start, self.size.saturating_add(more).min(x.dim(dim)? - start))
    }

    /// The same tiles where `by` units are one.
    fn over(self, by: usize) -> Self {
        if self == Self::WHOLE {
            return self;
        }
        Self { size: self.size / by, stride: self.stride / by }
    }

    /// Length in which neighbours overlap.
    fn overlap(self) -> usize {
        self.size - self.stride
    }

    /// # Errors
    /// A length is no multiple of `unit`, or the stride leaves gaps.
    pub(super) fn check(self, what: &str, unit: usize) -> Result<()> {
        let Self { size, stride } = self;
        let fits = size.is_multiple_of(unit) && stride.is_multiple_of(unit);
        if self != Self::WHOLE && (!fits || stride == 0 || stride > size) {
            bail!(
                "expected tiles of {what} in multiples of {unit}, at most as far apart as long, got {size} every {stride}"
            );
        }
        Ok(())
    }
}

/// How a video is cut: lengths in frames and in pixels of the video, not of its latents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// Along time. A tile has one frame more: the one that fixes where it begins.
    pub frames: Tiles,
    /// Along rows and columns.
    pub side: Tiles,
}

impl Default for Tiling {
    /// The released sizes: 16 frames every 12, 256 pixels every 192. The released program cuts time always, and pictures
    /// on cards of up to 60 GB.
    fn default() -> Self {
        Self { frames: Tiles { size: 16, stride: 12 }, side: Tiles { size: 256, stride: 192 } }
    }
}

impl Tiling {
    /// No tiles.
    pub const WHOLE: Self = Self { frames: Tiles::WHOLE, side: Tiles::WHOLE };

    /// # Errors
    /// A length is no multiple of the frames or pixels of a latent, or a stride leaves gaps.
    pub(super) fn check(self, frames: usize, side: usize) -> Result<()> {
        self.frames.check("frames", frames)?;
        self.side.check("pixels", side)
    }
}

/// Tiles of an axis before and after a network, in units of each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scaled {
    before: Tiles,
    after: Tiles,
}

impl Scaled {
    /// From the video to its latents.
    pub(super) fn encode(tiles: Tiles, ratio: usize) -> Self {
        Self { before: tiles, after: tiles.over(ratio) }
    }

    /// From latents to their video.
    pub(super) fn decode(tiles: Tiles, ratio: usize) -> Self {
        Self { before: tiles.over(ratio), after: tiles }
    }
}

/// `network` on each tile of x (T, C, H, W), cut along rows and columns.
pub(super) fn pictures(
    x: &Tensor,
    tiles: Scaled,
    mut network: impl FnMut(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    let Scaled { before, after } = tiles;
    if height <= before.size && width <= before.size {
        return network(x);
    }
    let mut above: Vec<Tensor> = Vec::new();
    let mut lines = Vec::new();
    for top in before.starts(height) {
        let line = before.cut(x, 2, top, 0)?;
        let mut row: Vec<Tensor> = Vec::new();
        for (at, left) in before.starts(width).enumerate() {
            let mut tile = network(&before.cut(&line, 3, left, 0)?.contiguous()?)?;
            if let Some(above) = above.get(at) {
                tile = blend(above, &tile, 2, after.overlap())?;
            }
            if let Some(before) = row.last() {
                tile = blend(before, &tile, 3, after.overlap())?;
            }
            row.push(tile);
        }
        let kept = row.iter().map(|tile| keep(&keep(tile, 2, after.stride)?, 3, after.stride));
        lines.push(Tensor::cat(&kept.collect::<Result<Vec<_>>>()?, 3)?);
        above = row;
    }
    Tensor::cat(&lines, 2)
}

/// `network` on each tile of x (T, C, H, W), cut along time.
///
/// A tile but the first begins one frame early, and what that frame becomes is dropped: the network takes it for the
/// beginning of a video, which is coded unlike the rest.
pub(super) fn frames(
    x: &Tensor,
    tiles: Scaled,
    mut network: impl FnMut(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let length = x.dim(0)?;
    let Scaled { before, after } = tiles;
    if length <= before.size {
        return network(x);
    }
    let mut last: Option<Tensor> = None;
    let mut kept = Vec::new();
    for start in before.starts(length) {
        let part = before.cut(x, 0, start, 1)?;
        let Some(previous) = &last else {
            let tile = network(&part)?;
            kept.push(keep(&tile, 0, after.stride + 1)?);
            last = Some(tile);
            continue;
        };
        if part.dim(0)? < 2 {
            break;
        }
        let tile = network(&part)?;
        let tile = tile.narrow(0, 1, tile.dim(0)? - 1)?;
        let tile = blend(previous, &tile, 0, after.overlap())?;
        kept.push(keep(&tile, 0, after.stride)?);
        last = Some(tile);
    }
    Tensor::cat(&kept, 0)
}

/// At most the first `length` along `dim`.
fn keep(x: &Tensor, dim: usize, length: usize) -> Result<Tensor> {
    x.narrow(dim, 0, length.min(x.dim(dim)?))
}

/// `b`, whose first `overlap` along `dim` fade in over the last of `a`.
fn blend(a: &Tensor, b: &Tensor, dim: usize, overlap: usize) -> Result<Tensor> {
    let (end, length) = (a.dim(dim)?, b.dim(dim)?);
    let overlap = overlap.min(end).min(length);
    if overlap == 0 {
        return Ok(b.clone());
    }
    #[expect(clippy::cast_precision_loss, reason = "a tile has few lines")]
    let weights: Vec<f32> = (0..overlap).map(|at| at as f32 / overlap as f32).collect();
    let faded =
        fade(&a.narrow(dim, end - overlap, overlap)?, &b.narrow(dim, 0, overlap)?, dim, weights)?;
    Tensor::cat(&[&faded, &b.narrow(dim, overlap, length - overlap)?], dim)
}

/// `a` where a weight along `dim` is 0, `b` where it is 1.
pub(super) fn fade(a: &Tensor, b: &Tensor, dim: usize, weights: Vec<f32>) -> Result<Tensor> {
    let mut shape = vec![1; a.rank()];
    shape[dim] = weights.len();
    let weights = Tensor::from_vec(weights, shape, a.device())?.to_dtype(a.dtype())?;
    let rest = weights.affine(-1.0, 1.0)?;
    a.broadcast_mul(&rest)? + b.broadcast_mul(&weights)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::farthest;
    use crate::ops::check::random;
    use candle_core::{DType, Device};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tiles_of_what_nothing_changes_are_the_whole(
            (length, height, width) in (1_usize..12, 1_usize..12, 1_usize..12),
            (size, stride) in (1_usize..6).prop_flat_map(|size| (Just(size), 1..=size)),
        ) {
            let x = random(&[length, 2, height, width], 1).unwrap();
            let tiles = Scaled { before: Tiles { size, stride }, after: Tiles { size, stride } };
            let same = |x: &Tensor| Ok(x.clone());
            // A blend of equal values may round.
            prop_assert!(farthest(&pictures(&x, tiles, same).unwrap(), &x) < 1e-6);
            prop_assert!(farthest(&frames(&x, tiles, same).unwrap(), &x) < 1e-6);
        }
    }

    #[test]
    fn a_later_tile_fades_in() {
        let (a, b) =
            (Tensor::zeros(4, DType::F32, &Device::Cpu), Tensor::ones(3, DType::F32, &Device::Cpu));
        let (a, b) = (a.unwrap(), b.unwrap());
        let blended = |overlap| blend(&a, &b, 0, overlap).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(blended(2), [0.0, 0.5, 1.0]);
        assert_eq!(blended(0), [1.0, 1.0, 1.0]);
        // No more than there is.
        assert_eq!(blended(9), [0.0, 1.0 / 3.0, 2.0 / 3.0]);
    }

    #[test]
    fn a_tile_sees_no_more_than_its_size() {
        let x = random(&[9, 1, 10, 7], 1).unwrap();
        let tiles =
            Scaled { before: Tiles { size: 4, stride: 3 }, after: Tiles { size: 4, stride: 3 } };
        let mut seen = Vec::new();
        pictures(&x, tiles, |tile| {
            seen.push((tile.dim(2)?, tile.dim(3)?));
            Ok(tile.clone())
        })
        .unwrap();
        assert_eq!(seen.len(), 4 * 3);
        assert!(seen.iter().all(|(height, width)| *height <= 4 && *width <= 4));
        let mut lengths = Vec::new();
        frames(&x, tiles, |tile| {
            lengths.push(tile.dim(0)?);
            Ok(tile.clone())
        })
        .unwrap();
        assert_eq!(lengths, [5, 5, 3]);
    }
}
