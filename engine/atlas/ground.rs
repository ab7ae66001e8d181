//! Where a player can stand, as far as recorded play tells.

use std::collections::BTreeSet;

/// Side of a cell, in steps.
pub(super) const CELL: f32 = 0.25;
/// Cells that the ground is grown by and taken back again, to close gaps: recordings leave some where anybody could stand.
const CLOSED: usize = 2;
/// How far aside of the ground one may be and still belong to it, in steps.
const ASIDE: f32 = 0.5;
/// Longest way in one go, in steps: no more than a cell, so that no wall is jumped over.
const STRIDE: f32 = CELL;

/// Cells that somebody stood in, with the gaps between them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ground {
    cells: BTreeSet<(i32, i32)>,
}

impl Ground {
    /// Ground that holds all these places, in steps, and what lies between places less than a step apart.
    pub fn under(places: impl IntoIterator<Item = (f32, f32)>) -> Self {
        let mut cells: BTreeSet<_> = places.into_iter().map(|(x, y)| cell(x, y)).collect();
        for _ in 0..CLOSED {
            cells = cells.iter().flat_map(|&cell| around(cell)).collect();
        }
        for _ in 0..CLOSED {
            let inner = |cell: &(i32, i32)| around(*cell).all(|near| cells.contains(&near));
            cells = cells.iter().copied().filter(inner).collect();
        }
        Self { cells }
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
    pub(crate) fn walk(&self, from: (f32, f32), way: (f32, f32)) -> (f32, f32) {
        let strides = (way.0.hypot(way.1) / STRIDE).ceil().clamp(1.0, 64.0);
        let (dx, dy) = (way.0 / strides, way.1 / strides);
        let (mut x, mut y) = from;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 64")]
        for _ in 0..strides as u32 {
            let (beside, astray) = (!self.holds(x, y), !self.is_near(x, y));
            let is_free =
                |x: f32, y: f32| astray || self.holds(x, y) || (beside && self.is_near(x, y));
            if is_free(x + dx, y + dy) {
                (x, y) = (x + dx, y + dy);
            } else if is_free(x + dx, y) {
                x += dx;
            } else if is_free(x, y + dy) {
                y += dy;
            }
        }
        (x, y)
    }

    /// Whether one can stand there or at most half a step aside, in steps: recordings leave edges out.
    pub(super) fn is_near(&self, x: f32, y: f32) -> bool {
        let offs = [-ASIDE, 0.0, ASIDE];
        offs.iter().any(|dx| offs.iter().any(|dy| self.holds(x + dx, y + dy)))
    }

    /// Whether one can stand there, in steps.
    pub(super) fn holds(&self, x: f32, y: f32) -> bool {
        self.cells.contains(&cell(x, y))
    }
}

fn cell(x: f32, y: f32) -> (i32, i32) {
    #[expect(clippy::cast_possible_truncation, reason = "casts saturate")]
    let number = |at: f32| (at / CELL).floor() as i32;
    (number(x), number(y))
}

/// A cell and its eight neighbours.
fn around((x, y): (i32, i32)) -> impl Iterator<Item = (i32, i32)> {
    (-1..=1)
        .flat_map(move |dx| (-1..=1).map(move |dy| (x.saturating_add(dx), y.saturating_add(dy))))
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
        assert_eq!(ground.walk((1.0, 1.0), (4.0, 0.0)), (5.0, 1.0));
        let (x, y) = ground.walk((1.0, 1.0), (4.0, 9.0));
        assert!((x - 5.0).abs() < 1e-5 && (1.0..3.0).contains(&y), "{x} {y}");
        let (x, _) = ground.walk((1.0, 1.0), (60.0, 0.0));
        assert!((9.0..10.1).contains(&x), "{x}");
        // Beside it one gets back onto it, and not farther off.
        assert!(!ground.holds(5.0, -0.3) && ground.is_near(5.0, -0.3));
        assert_eq!(ground.walk((5.0, -0.3), (1.0, 0.0)), (6.0, -0.3));
        let (_, y) = ground.walk((5.0, -0.3), (0.0, -4.0));
        assert!((-0.51..-0.29).contains(&y), "{y}");
        let (_, y) = ground.walk((5.0, -0.3), (0.0, 2.0));
        assert!((y - 1.7).abs() < 1e-4, "{y}");
        // Off the ground nothing is in the way.
        assert_eq!(ground.walk((1.0, 50.0), (4.0, 0.0)), (5.0, 50.0));
    }

    proptest! {
        #[test]
        fn who_stands_on_the_ground_stays_on_it(ways in prop::collection::vec((-9.0_f32..9.0, -9.0_f32..9.0), 1..20)) {
            let ground = corridor();
            let mut at = (1.0, 1.0);
            for way in ways {
                at = ground.walk(at, way);
                prop_assert!(ground.holds(at.0, at.1), "{at:?}");
            }
        }
    }
}
