//! Where the walls are: rooms joined by corridors on a grid of cells.

use crate::random::Random;

/// Room that corridors belong to.
pub(super) const CORRIDOR: u8 = 0;

/// Marks a solid cell.
const SOLID: u8 = u8::MAX;

/// Most rooms, so that a room number fits in a byte beside the marks.
const MAX_ROOMS: usize = 24;

/// A rectangle of open cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) left: usize,
    pub(super) bottom: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Room {
    pub(super) fn centre(&self) -> (usize, usize) {
        (self.left + self.width / 2, self.bottom + self.height / 2)
    }

    fn touches(&self, other: &Self) -> bool {
        // A wall of one cell stays between two rooms.
        self.left < other.left + other.width + 1
            && other.left < self.left + self.width + 1
            && self.bottom < other.bottom + other.height + 1
            && other.bottom < self.bottom + self.height + 1
    }
}

/// A square of cells, each solid or belonging to a room or to the corridors.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    side: usize,
    cells: Vec<u8>,
    rooms: Vec<Room>,
}

impl Layout {
    /// Draws rooms and corridors; every open cell can be reached from every other.
    pub(super) fn new(random: &mut Random, side: usize) -> Self {
        let rooms = draw_rooms(random, side);
        let mut layout = Self { side, cells: vec![SOLID; side * side], rooms };
        for (a, b) in joins(random, &layout.rooms) {
            layout.dig_corridor(random, a, b);
        }
        for number in 0..layout.rooms.len() {
            layout.dig_room(number);
        }
        layout.stand_pillars(random);
        layout
    }

    /// Cells along one side of the square.
    pub(super) fn side(&self) -> usize {
        self.side
    }

    /// The rooms; room `n` has number `n + 1` in [`Self::room_at`].
    pub(super) fn rooms(&self) -> &[Room] {
        &self.rooms
    }

    /// Number of the room of an open cell ([`CORRIDOR`] for corridors), `None` for a solid one and
    /// outside the square.
    #[inline]
    pub(super) fn room_at(&self, x: usize, y: usize) -> Option<u8> {
        if x >= self.side || y >= self.side {
            return None;
        }
        let cell = self.cells[y * self.side + x];
        (cell != SOLID).then_some(cell)
    }

    /// Open cells beside an open cell.
    pub(super) fn neighbours(
        &self,
        (x, y): (usize, usize),
    ) -> impl Iterator<Item = (usize, usize)> {
        // The border is solid, so that nothing open lies at 0.
        let beside = [(x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)];
        beside.into_iter().filter(|&(x, y)| self.room_at(x, y).is_some())
    }

    /// All open cells.
    pub(super) fn open_cells(&self) -> impl Iterator<Item = (usize, usize)> {
        let cells = (0..self.side * self.side).map(|i| (i % self.side, i / self.side));
        cells.filter(|&(x, y)| self.room_at(x, y).is_some())
    }

    fn dig_room(&mut self, number: usize) {
        let room = self.rooms[number];
        let mark = u8::try_from(number + 1).expect("there are at most 24 rooms");
        for y in room.bottom..room.bottom + room.height {
            for x in room.left..room.left + room.width {
                self.cells[y * self.side + x] = mark;
            }
        }
    }

    /// An L of corridor from one room's centre to another's.
    fn dig_corridor(&mut self, random: &mut Random, a: usize, b: usize) {
        let ((ax, ay), (bx, by)) = (self.rooms[a].centre(), self.rooms[b].centre());
        let (corner_x, corner_y) = if random.chance(0.5) { (bx, ay) } else { (ax, by) };
        // Corridors two cells wide look different from narrow ones, and show more of the rooms.
        let width = if random.chance(0.4) { 2 } else { 1 };
        for ((x0, y0), (x1, y1)) in
            [((ax, ay), (corner_x, corner_y)), ((corner_x, corner_y), (bx, by))]
        {
            for y in y0.min(y1)..(y0.max(y1) + width).min(self.side - 1) {
                for x in x0.min(x1)..(x0.max(x1) + width).min(self.side - 1) {
                    self.cells[y * self.side + x] = CORRIDOR;
                }
            }
        }
    }

    /// A solid cell in the middle of some large rooms; the ring around it stays open.
    fn stand_pillars(&mut self, random: &mut Random) {
        for room in self.rooms.clone() {
            if room.width >= 5 && room.height >= 5 && random.chance(0.6) {
                let (x, y) = room.centre();
                self.cells[y * self.side + x] = SOLID;
            }
        }
    }
}

fn draw_rooms(random: &mut Random, side: usize) -> Vec<Room> {
    let mut rooms: Vec<Room> = Vec::new();
    for _ in 0..side * 12 {
        let (width, height) = (3 + random.below(4), 3 + random.below(4));
        let (left, bottom) = (1 + random.below(side - 8), 1 + random.below(side - 8));
        let room = Room { left, bottom, width, height };
        if rooms.len() < MAX_ROOMS && !rooms.iter().any(|other| room.touches(other)) {
            rooms.push(room);
        }
    }
    rooms
}

/// Pairs of rooms to join: each to the nearest earlier one, and some more for loops.
fn joins(random: &mut Random, rooms: &[Room]) -> Vec<(usize, usize)> {
    let distance = |a: usize, b: usize| {
        let ((ax, ay), (bx, by)) = (rooms[a].centre(), rooms[b].centre());
        ax.abs_diff(bx) + ay.abs_diff(by)
    };
    let mut pairs = Vec::new();
    for room in 1..rooms.len() {
        let nearest = (0..room).min_by_key(|&other| distance(room, other));
        pairs.extend(nearest.map(|other| (room, other)));
    }
    for room in 0..rooms.len() {
        let mut others: Vec<usize> = (0..rooms.len()).filter(|&other| other != room).collect();
        others.sort_by_key(|&other| distance(room, other));
        if let Some(&other) = others.get(1)
            && random.chance(0.5)
        {
            pairs.push((room, other));
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn layout(seed: u64) -> Layout {
        Layout::new(&mut Random::new(seed, 0), 21)
    }

    #[test]
    fn every_open_cell_can_be_reached() {
        for seed in 0..200 {
            let layout = layout(seed);
            let start = layout.open_cells().next().unwrap();
            let (mut reached, mut todo) = (BTreeSet::from([start]), vec![start]);
            while let Some(cell) = todo.pop() {
                todo.extend(layout.neighbours(cell).filter(|&next| reached.insert(next)));
            }
            assert_eq!(reached.len(), layout.open_cells().count(), "seed {seed}");
        }
    }

    #[test]
    fn the_border_is_solid_and_there_are_rooms() {
        for seed in 0..50 {
            let layout = layout(seed);
            for i in 0..21 {
                for (x, y) in [(i, 0), (i, 20), (0, i), (20, i)] {
                    assert_eq!(layout.room_at(x, y), None, "seed {seed}");
                }
            }
            assert!(layout.rooms().len() >= 3, "seed {seed}");
            assert_eq!(layout.room_at(21, 3), None);
        }
    }

    #[test]
    fn seeds_draw_different_mazes() {
        assert_ne!(layout(1).cells, layout(2).cells);
        assert_eq!(layout(3).cells, layout(3).cells);
    }
}
