//! Ways over the ground, round walls.

use super::ground::{CELL, Ground};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Cells between the points that a way is made of.
const POINT: i32 = 4;
/// Cells around a point that should be ground as well, for who walks past a corner closely hits it.
const BERTH: i32 = 6;
/// How much longer a way may be that keeps that berth.
const DETOUR: u32 = 4;
/// Cost of a way straight to the next point, and aslant.
const COSTS: (u32, u32) = (5, 7);
/// Points around the ends of a way that are searched for ground.
const ENDS: i32 = 3;

type Point = (i32, i32);

impl Ground {
    /// Points half a step apart that lead from one place to another, in steps; `None` where no ground does.
    pub(crate) fn way(&self, from: (f32, f32), to: (f32, f32)) -> Option<Vec<(f32, f32)>> {
        let (from, to) = (self.point(from)?, self.point(to)?);
        // A*, backwards, so that the way is read from its beginning.
        let mut costs = HashMap::from([(to, 0)]);
        let mut next: HashMap<Point, Point> = HashMap::new();
        let mut open = BinaryHeap::from([(Reverse(least(to, from)), to)]);
        while let Some((Reverse(reckoned), here)) = open.pop() {
            if here == from {
                break;
            }
            let cost = costs[&here];
            if reckoned > cost + least(here, from) {
                continue;
            }
            for (dx, dy) in (-1..=1).flat_map(|dx| (-1..=1).map(move |dy| (dx, dy))) {
                let there = (here.0 + dx, here.1 + dy);
                let half = (POINT * here.0 + POINT / 2 * dx, POINT * here.1 + POINT / 2 * dy);
                if there == here || !self.has(scaled(there)) || !self.has(half) {
                    continue;
                }
                let step = if dx == 0 || dy == 0 { COSTS.0 } else { COSTS.1 };
                let cost = cost + step * if self.has_berth(there) { 1 } else { DETOUR };
                if costs.get(&there).is_none_or(|&known| cost < known) {
                    costs.insert(there, cost);
                    next.insert(there, here);
                    open.push((Reverse(cost + least(there, from)), there));
                }
            }
        }
        let mut way = vec![from];
        while let Some(&here) = next.get(&way[way.len() - 1]).filter(|_| way[way.len() - 1] != to) {
            way.push(here);
        }
        (way[way.len() - 1] == to).then(|| way.into_iter().map(place).collect())
    }

    /// Whether all ground between two places, in steps, keeps a berth to walls.
    pub(crate) fn is_clear(&self, from: (f32, f32), to: (f32, f32)) -> bool {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy);
        let (aside_x, aside_y) = (-dy / length.max(CELL), dx / length.max(CELL));
        let berth = CELL * 4.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "casts saturate"
        )]
        let strides = (length / (2.0 * CELL)).ceil() as u16;
        (0..=strides).all(|stride| {
            let part = f32::from(stride) / f32::from(strides.max(1));
            let (x, y) = (from.0 + part * dx, from.1 + part * dy);
            [-berth, 0.0, berth].iter().all(|by| self.holds(x + by * aside_x, y + by * aside_y))
        })
    }

    /// The nearest point on the ground.
    fn point(&self, (x, y): (f32, f32)) -> Option<Point> {
        #[expect(clippy::cast_possible_truncation, reason = "casts saturate")]
        #[expect(clippy::cast_precision_loss, reason = "4")]
        let number = |at: f32| (at / CELL / POINT as f32 - 0.5 / POINT as f32).round() as i32;
        let near = (-ENDS..=ENDS).flat_map(|dx| (-ENDS..=ENDS).map(move |dy| (dx, dy)));
        let near =
            near.map(|(dx, dy)| (number(x).saturating_add(dx), number(y).saturating_add(dy)));
        let far = |&point: &Point| {
            let at = place(point);
            (at.0 - x).hypot(at.1 - y)
        };
        near.filter(|&point| self.has(scaled(point))).min_by(|a, b| far(a).total_cmp(&far(b)))
    }

    fn has_berth(&self, point: Point) -> bool {
        let (x, y) = scaled(point);
        let sides = [(BERTH, 0), (-BERTH, 0), (0, BERTH), (0, -BERTH)];
        sides.iter().all(|(dx, dy)| self.has((x.saturating_add(*dx), y.saturating_add(*dy))))
    }
}

/// The cell of a point.
fn scaled((x, y): Point) -> (i32, i32) {
    (x.saturating_mul(POINT), y.saturating_mul(POINT))
}

/// The middle of a point's cell, in steps.
fn place(point: Point) -> (f32, f32) {
    let (x, y) = scaled(point);
    #[expect(
        clippy::cast_precision_loss,
        reason = "a map has fewer cells than a float has numbers"
    )]
    let middle = |cell: i32| (cell as f32 + 0.5) * CELL;
    (middle(x), middle(y))
}

/// The least that a way between two points costs.
fn least(a: Point, b: Point) -> u32 {
    let (dx, dy) = (a.0.abs_diff(b.0), a.1.abs_diff(b.1));
    let aslant = dx.min(dy);
    COSTS.0 * (dx.max(dy) - aslant) + COSTS.1 * aslant
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two rooms of ten steps each, one above the other, with a door of three steps at their eastern end.
    fn rooms() -> Ground {
        let lower = (0..80).flat_map(|x| (0..80).map(move |y| (x, y)));
        let upper = (0..80).flat_map(|x| (88..168).map(move |y| (x, y)));
        let door = (56..80).flat_map(|x| (80..88).map(move |y| (x, y)));
        Ground::of(lower.chain(upper).chain(door))
    }

    #[test]
    fn ways_lead_through_doors() {
        let ground = rooms();
        let way = ground.way((1.0, 8.0), (1.0, 13.0)).expect("there is one");
        let ends = [way[0], way[way.len() - 1]];
        for ((x, y), (to_x, to_y)) in ends.iter().zip([(1.0, 8.0), (1.0, 13.0)]) {
            assert!((x - to_x).abs() < 0.3 && (y - to_y).abs() < 0.3, "{ends:?}");
        }
        assert!(way.iter().all(|&(x, y)| ground.holds(x, y)));
        // Past the door's corner at x = 7 with a berth of three quarters of a step, and not far beyond.
        let (door, _) = way.iter().find(|at| at.1 > 10.0).expect("it goes up");
        assert!((7.7..8.6).contains(door), "{door}");
        let steps = |way: &[(f32, f32)]| {
            way.windows(2).map(|it| (it[1].0 - it[0].0).hypot(it[1].1 - it[0].1)).sum::<f32>()
        };
        assert!(steps(&way) < 18.0, "{}", steps(&way));
        assert!(
            !ground.is_clear((1.0, 8.0), (1.0, 13.0)) && ground.is_clear((1.0, 8.0), (8.0, 1.0))
        );
        assert!(
            ground.is_clear((8.5, 8.0), (8.5, 13.0)) && !ground.is_clear((0.1, 1.0), (0.1, 5.0))
        );
    }

    #[test]
    fn where_no_ground_leads_there_is_no_way() {
        let ground = rooms();
        assert_eq!(ground.way((1.0, 1.0), (30.0, 1.0)), None);
        let apart = Ground::of([(0, 0), (400, 400)]);
        assert_eq!(apart.way((0.0, 0.0), (50.0, 50.0)), None);
        assert_eq!(ground.way((1.0, 1.0), (1.0, 1.0)).map(|way| way.len()), Some(1));
        assert_eq!(ground.way((f32::NAN, 1.0), (1.0e30, 1.0)), None);
    }
}
