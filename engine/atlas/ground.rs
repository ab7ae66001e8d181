//! Where a player can stand, as far as recorded play tells.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Side of a cell, in steps.
pub(super) const CELL: f32 = 0.125;
/// Cells that the ground is grown by and taken back again, to close gaps: recordings leave some where anybody could stand.
const REACH: RangeInclusive<i32> = -4..=4;
/// How far aside of the ground one may be and still belong to it, in steps.
const ASIDE: f32 = 0.5;
/// Longest way in one go, in steps: less than a cell, so that no wall is jumped over, and it is known where one stands.
const STRIDE: f32 = CELL / 2.0;
/// Most of such goes; longer ways make longer ones.
const STRIDES_MAX: f32 = 128.0;

/// Where a way led.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Walked {
    pub(crate) to: (f32, f32),
    /// The part of the way after which a wall took what of it went east or west, and what went north or south; 1 where none did.
    pub(crate) free: [f32; 2],
}

/// Cells that somebody stood in, with the gaps between them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ground {
    cells: BTreeSet<(i32, i32)>,
}

impl Ground {
    /// Ground that holds all these places, in steps, and what lies between places less than a step apart.
    pub fn under(places: impl IntoIterator<Item = (f32, f32)>) -> Self {
        let cells: BTreeSet<_> = places.into_iter().map(|(x, y)| cell(x, y)).collect();
        // A square is grown by, and taken back, in rows and then in columns.
        let grown = |cells: BTreeSet<_>, aside: fn(_, _) -> _| {
            let more: Vec<_> =
                cells.iter().flat_map(|&at| REACH.map(move |by| aside(at, by))).collect();
            BTreeSet::from_iter(more)
        };
        let shrunk = |mut cells: BTreeSet<_>, aside: fn(_, _) -> _| {
            let edge =
                |at: &(i32, i32)| REACH.into_iter().any(|by| !cells.contains(&aside(*at, by)));
            let edges: Vec<_> = cells.iter().copied().filter(edge).collect();
            edges.iter().for_each(|at| _ = cells.remove(at));
            cells
        };
        let cells = grown(grown(cells, across), along);
        Self { cells: shrunk(shrunk(cells, across), along) }
    }

    /// Of these cells, each by its column and row.
    pub(super) fn of(cells: impl IntoIterator<Item = (i32, i32)>) -> Self {
        Self { cells: cells.into_iter().collect() }
    }

    /// All cells, in order.
    pub(super) fn cells(&self) -> impl ExactSizeIterator<Item = (i32, i32)> + '_ {
        self.cells.iter().copied()
    }

    /// Where a way from a place leads, in steps: along walls, not through them. Who stands beside the ground stays near it
    /// until it is found again; who stands far off walks as if there were none.
    pub(crate) fn walk(&self, from: (f32, f32), way: (f32, f32)) -> Walked {
        let strides = (way.0.hypot(way.1) / STRIDE).ceil().clamp(1.0, STRIDES_MAX);
        let (mut dx, mut dy) = (way.0 / strides, way.1 / strides);
        let ((mut x, mut y), mut free) = (from, [1.0, 1.0]);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 128")]
        for stride in 0..strides as u8 {
            let (beside, astray) = (!self.holds(x, y), !self.is_near(x, y));
            let is_free =
                |x: f32, y: f32| astray || self.holds(x, y) || (beside && self.is_near(x, y));
            let gone = f32::from(stride) / strides;
            if !is_free(x + dx, y + dy) {
                // The first wall that is met turns the way; a second one, in a corner, ends it.
                if dx != 0.0 && is_free(x, y + dy) {
                    (dx, free[0]) = (0.0, gone);
                } else if dy != 0.0 && is_free(x + dx, y) {
                    (dy, free[1]) = (0.0, gone);
                } else {
                    let ended = |before: f32, by: f32| if by == 0.0 { before } else { gone };
                    free = [ended(free[0], dx), ended(free[1], dy)];
                    break;
                }
            }
            (x, y) = (x + dx, y + dy);
        }
        Walked { to: (x, y), free }
    }

    /// Whether one can stand there or at most half a step aside, in steps: recordings leave edges out.
    pub(super) fn is_near(&self, x: f32, y: f32) -> bool {
        let offs = [-ASIDE, 0.0, ASIDE];
        offs.iter().any(|dx| offs.iter().any(|dy| self.holds(x + dx, y + dy)))
    }

    /// Whether one can stand there, in steps.
    pub(super) fn holds(&self, x: f32, y: f32) -> bool {
        self.has(cell(x, y))
    }

    /// Whether a cell is ground.
    pub(super) fn has(&self, cell: (i32, i32)) -> bool {
        self.cells.contains(&cell)
    }
}

fn cell(x: f32, y: f32) -> (i32, i32) {
    #[expect(clippy::cast_possible_truncation, reason = "casts saturate")]
    let number = |at: f32| (at / CELL).floor() as i32;
    (number(x), number(y))
}

/// The cell so many columns to the east.
fn across((x, y): (i32, i32), by: i32) -> (i32, i32) {
    (x.saturating_add(by), y)
}

/// The cell so many rows to the north.
fn along((x, y): (i32, i32), by: i32) -> (i32, i32) {
    (x, y.saturating_add(by))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A corridor from west to east, ten steps long and two wide, seen at every fourth cell.
    fn corridor() -> Ground {
        let row = |y: u8| (0..11_u8).map(move |x| (f32::from(x) + 0.2, f32::from(y) * 0.99));
        Ground::under((0..4).flat_map(row))
    }

    #[test]
    fn walls_are_slid_along_and_never_crossed() {
        let ground = corridor();
        let walk = |from, way| ground.walk(from, way).to;
        assert_eq!(walk((1.0, 1.0), (4.0, 0.0)), (5.0, 1.0));
        let Walked { to: (x, y), free } = ground.walk((1.0, 1.0), (4.0, 9.0));
        assert!((x - 5.0).abs() < 1e-5 && (2.8..3.2).contains(&y), "{x} {y}");
        // Some two steps of nine; a stride is known as a whole.
        assert!(free[0] == 1.0 && (free[1] - (y - 1.0) / 9.0).abs() < 0.01, "{free:?}");
        let Walked { to: (x, _), free } = ground.walk((1.0, 1.0), (60.0, 0.0));
        assert!((9.0..10.2).contains(&x) && (0.1..0.2).contains(&free[0]), "{x} {free:?}");
        assert_eq!(free[1], 1.0, "no wall takes what did not go its way");
        // In a corner both.
        let Walked { free, .. } = ground.walk((9.5, 2.5), (7.0, 7.0));
        assert!(free.iter().all(|&free| free < 0.2), "{free:?}");
        // Beside it one gets back onto it, and not farther off.
        assert!(!ground.holds(5.0, -0.3) && ground.is_near(5.0, -0.3));
        assert_eq!(walk((5.0, -0.3), (1.0, 0.0)), (6.0, -0.3));
        let (_, y) = walk((5.0, -0.3), (0.0, -4.0));
        assert!((-0.51..-0.29).contains(&y), "{y}");
        let (_, y) = walk((5.0, -0.3), (0.0, 2.0));
        assert!((y - 1.7).abs() < 1e-4, "{y}");
        // Off the ground nothing is in the way.
        assert_eq!(walk((1.0, 50.0), (4.0, 0.0)), (5.0, 50.0));
    }

    proptest! {
        #[test]
        fn who_stands_on_the_ground_stays_on_it(ways in prop::collection::vec((-9.0_f32..9.0, -9.0_f32..9.0), 1..20)) {
            let ground = corridor();
            let mut at = (1.0, 1.0);
            for way in ways {
                at = ground.walk(at, way).to;
                prop_assert!(ground.holds(at.0, at.1), "{at:?}");
            }
        }
    }
}
