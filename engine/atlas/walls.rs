//! Walls, as far as the ground tells that people walked on: they stand a little beyond it.

use super::ground::{CELL, Ground};

/// Squares along the side of a cell of ground.
const FINE: i32 = 1;
/// Side of a square, in steps.
pub(super) const SQUARE: f32 = CELL;
/// Most squares: a map of 500 steps in square.
const SQUARES_MAX: usize = 1 << 24;
/// Longest sight, in squares.
const FAR: f32 = 4096.0;

/// Squares that nothing stands in, row by row from the south-west.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Walls {
    west: i32,
    south: i32,
    columns: usize,
    open: Vec<bool>,
}

impl Walls {
    /// Walls that stand `margin` squares beyond where one can stand; `None` of no ground, or of more than can be looked at.
    pub(super) fn around(ground: &Ground, margin: u8) -> Option<Self> {
        let margin = i32::from(margin);
        let (mut west, mut south, mut east, mut north) = (i32::MAX, i32::MAX, i32::MIN, i32::MIN);
        for (x, y) in ground.cells() {
            (west, east) = (west.min(x), east.max(x));
            (south, north) = (south.min(y), north.max(y));
        }
        // Squares from the first to behind the last, and a closed one on each side.
        let range = |first: i32, last: i32| {
            let first = first.checked_mul(FINE)?.checked_sub(margin + 1)?;
            let end = last.checked_add(1)?.checked_mul(FINE)?.checked_add(margin + 1)?;
            Some((first, usize::try_from(end.checked_sub(first)?).ok()?))
        };
        if west > east {
            return None;
        }
        let ((west, columns), (south, rows)) = (range(west, east)?, range(south, north)?);
        let squares = columns.checked_mul(rows).filter(|&squares| squares <= SQUARES_MAX)?;
        let mut open = vec![false; squares];
        let index = |at: i32, first: i32| usize::try_from(at - first).expect("within the bounds");
        for (x, y) in ground.cells() {
            let (left, bottom) = (x * FINE - margin, y * FINE - margin);
            let side = index(FINE + 2 * margin, 0);
            for row in index(bottom, south)..index(bottom, south) + side {
                open[row * columns + index(left, west)..][..side].fill(true);
            }
        }
        Some(Self { west, south, columns, open })
    }

    /// How far one sees from a place along a direction of length 1, in steps; 0 inside a wall.
    ///
    /// From square to square (J. Amanatides, A. Woo, "A Fast Voxel Traversal Algorithm for Ray Tracing", 1987), and without a
    /// jump at each, as which side is crossed next cannot be foretold.
    pub(super) fn distance(&self, (x, y): (f32, f32), (east, north): (f32, f32)) -> f32 {
        let mut along_x = Crossings::new(x / SQUARE, east, self.west);
        let mut along_y = Crossings::new(y / SQUARE, north, self.south);
        let Some(mut at) = self.index(along_x.square, along_y.square) else { return 0.0 };
        let (column, row) = (along_x.step, along_y.step * self.columns.cast_signed());
        let mut gone = 0.0;
        // Closed squares all around: no row is left without one of them.
        while gone < FAR && self.open.get(at) == Some(&true) {
            let is_x = along_x.next < along_y.next;
            gone = if is_x { along_x.next } else { along_y.next };
            along_x.next += if is_x { along_x.every } else { 0.0 };
            along_y.next += if is_x { 0.0 } else { along_y.every };
            at = at.wrapping_add_signed(if is_x { column } else { row });
        }
        gone.min(FAR) * SQUARE
    }

    /// Where a square lies among all; `None` off the map.
    fn index(&self, column: i64, row: i64) -> Option<usize> {
        let column = usize::try_from(column).ok().filter(|&column| column < self.columns)?;
        usize::try_from(row).ok()?.checked_mul(self.columns)?.checked_add(column)
    }
}

/// Where a ray crosses from square to square along one axis.
struct Crossings {
    square: i64,
    step: isize,
    /// How far along the ray the next crossing is, in squares, and how far each is from the one before.
    next: f32,
    every: f32,
}

impl Crossings {
    fn new(at: f32, direction: f32, first: i32) -> Self {
        let floor = at.floor();
        #[expect(clippy::cast_possible_truncation, reason = "casts saturate")]
        let square = (floor as i64).saturating_sub(i64::from(first));
        let (step, left) = if direction < 0.0 { (-1, at - floor) } else { (1, 1.0 - (at - floor)) };
        // A ray across the axis never crosses: both are infinite.
        let every = 1.0 / direction.abs();
        let next = if every.is_finite() { left * every } else { f32::INFINITY };
        Self { square, step, next, every }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Four steps wide from west to east, two from south to north, from the origin on.
    fn room() -> Ground {
        Ground::of((0..32).flat_map(|x| (0..16).map(move |y| (x, y))))
    }

    #[test]
    fn walls_stand_a_margin_beyond_the_ground() {
        let walls = Walls::around(&room(), 4).unwrap();
        let see = |from, direction| walls.distance(from, direction);
        for (direction, expected) in [
            ((1.0, 0.0), 3.5),
            ((-1.0, 0.0), 1.5),
            ((0.0, 1.0), 1.5),
            ((0.0, -1.0), 1.5),
            // Half a right angle, to the north wall.
            ((0.5_f32.sqrt(), 0.5_f32.sqrt()), 1.5 * 2.0_f32.sqrt()),
        ] {
            let got = see((1.0, 1.0), direction);
            assert!((got - expected).abs() < 1e-4, "{direction:?}: {got}, not {expected}");
        }
        assert_eq!(see((-1.0, 1.0), (1.0, 0.0)), 0.0, "inside a wall");
        assert_eq!(see((f32::MAX, 1.0), (1.0, 0.0)), 0.0, "off the map");
    }

    #[test]
    fn too_much_ground_has_no_walls() {
        assert_eq!(Walls::around(&Ground::of([]), 3), None);
        assert_eq!(Walls::around(&Ground::of([(0, 0), (90_000, 90_000)]), 3), None);
        assert_eq!(Walls::around(&Ground::of([(i32::MIN, 0), (i32::MAX, 0)]), 3), None);
    }

    proptest! {
        #[test]
        fn sight_ends_where_a_wall_is(x in 0.0_f32..4.0, y in 0.0_f32..2.0, degrees in 0.0_f32..360.0) {
            let walls = Walls::around(&room(), 2).unwrap();
            let (north, east) = degrees.to_radians().sin_cos();
            let far = walls.distance((x, y), (east, north));
            // The room is a rectangle: the nearest of the sides that the ray goes towards.
            let side = |at: f32, way: f32, end: f32| {
                if way > 0.0 { (end + 0.25 - at) / way } else { (at + 0.25) / -way }
            };
            let expected = side(x, east, 4.0).min(side(y, north, 2.0));
            prop_assert!((far - expected).abs() < 1e-3, "{far}, not {expected}");
        }
    }
}
