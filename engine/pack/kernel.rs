//! Patchify kernels and how many tokens they leave.

use std::fmt;

/// Size of one latent frame in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grid {
    /// Rows of cells.
    pub height: u16,
    /// Columns of cells.
    pub width: u16,
}

/// Patchify kernel `(frames, height, width)` in latent cells; each a power of two.
///
/// The simplified name `k` stands for `(k, 2k, 2k)` (FramePack §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kernel {
    frames: u8,
    height: u8,
    width: u8,
}

impl Kernel {
    /// `k1`, the base patch `(1, 2, 2)`: the finest kernel of the realtime network.
    pub const FINEST: Self = Self { frames: 1, height: 2, width: 2 };

    /// Largest temporal size; `k64` is the coarsest schedule of the paper four times over.
    pub const FRAMES_MAX: u16 = 64;

    /// Largest spatial size, that of `k64`.
    pub const CELLS_MAX: u16 = 2 * Self::FRAMES_MAX;

    /// The kernel of these sizes, or `None` where one is no power of two or too large.
    #[must_use]
    pub fn new(frames: u16, height: u16, width: u16) -> Option<Self> {
        let fits = |size: u16, largest: u16| size.is_power_of_two() && size <= largest;
        if !fits(frames, Self::FRAMES_MAX)
            || !fits(height, Self::CELLS_MAX)
            || !fits(width, Self::CELLS_MAX)
        {
            return None;
        }
        Some(Self {
            frames: u8::try_from(frames).ok()?,
            height: u8::try_from(height).ok()?,
            width: u8::try_from(width).ok()?,
        })
    }

    /// The simplified kernel `k`, that is `(k, 2k, 2k)`.
    #[must_use]
    pub fn simplified(k: u16) -> Option<Self> {
        Self::new(k, k.checked_mul(2)?, k.checked_mul(2)?)
    }

    /// Frames one group of this kernel holds.
    #[must_use]
    pub fn frames(self) -> usize {
        usize::from(self.frames)
    }

    /// Rows of latent cells in one token.
    #[must_use]
    pub fn height(self) -> usize {
        usize::from(self.height)
    }

    /// Columns of latent cells in one token.
    #[must_use]
    pub fn width(self) -> usize {
        usize::from(self.width)
    }

    /// Whether the name `k` says it all: `(k, 2k, 2k)`.
    #[must_use]
    pub fn is_simplified(self) -> bool {
        Self::simplified(u16::from(self.frames)) == Some(self)
    }

    /// Tokens of one group; a group's ragged ends are padded by replication.
    #[must_use]
    pub fn tokens(self, grid: Grid) -> usize {
        usize::from(grid.height).div_ceil(self.height())
            * usize::from(grid.width).div_ceil(self.width())
    }

    /// Groups that a run of `frames` takes.
    #[must_use]
    pub fn groups(self, frames: usize) -> usize {
        frames.div_ceil(self.frames())
    }

    /// The full name, `k4h8w8`.
    #[must_use]
    pub fn long_name(self) -> String {
        format!("k{}h{}w{}", self.frames, self.height, self.width)
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_simplified() {
            f.pad(&format!("k{}", self.frames))
        } else {
            f.pad(&self.long_name())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_up_at_ragged_edges() {
        let grid = Grid { height: 12, width: 16 };
        let tokens = |k| Kernel::simplified(k).unwrap().tokens(grid);
        assert_eq!([tokens(1), tokens(2), tokens(4), tokens(8)], [48, 12, 4, 1]);
        assert_eq!(Kernel::FINEST.tokens(Grid { height: 3, width: 5 }), 2 * 3);
    }

    #[test]
    fn sizes_are_checked() {
        assert_eq!(Kernel::new(3, 2, 2), None);
        assert_eq!(Kernel::new(1, 0, 2), None);
        assert_eq!(Kernel::simplified(128), None);
        assert_eq!(Kernel::simplified(40_000), None);
        assert_eq!(Kernel::new(64, 128, 128), Kernel::simplified(64));
    }

    #[test]
    fn names_are_short_where_they_can_be() {
        assert_eq!(Kernel::new(4, 8, 8).unwrap().to_string(), "k4");
        assert_eq!(Kernel::new(1, 4, 4).unwrap().to_string(), "k1h4w4");
    }
}
