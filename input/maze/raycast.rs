//! The picture that a player sees, one ray per half column.
//!
//! Walls: a ray walks the grid from line to line (digital differential analysis) until it meets a
//! solid cell. Two rays a column and the exact share of the first and last pixel of a wall make its
//! edges smooth. Floors and ceilings: along a row of the screen all places are equally far, so that
//! they follow by addition. Textures are read between their pixels, at the level that fits.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "screen and texture places: as-casts from f32 clamp, and wrapping is wanted in textures"
)]

use glam::Vec2;

use super::Maze;
use super::angle::direction;
use super::style::FLOOR_BITS;
use super::texture::{Level, Packed, dim, lerp, mean, smaller_levels, unpack};
use crate::Pose;

/// Half the width of the view at distance 1: 0.8 sees 77 degrees.
const HALF_VIEW: f32 = 0.8;

/// Height of a wall and of the eye, in cells.
const WALL_HEIGHT: f32 = 1.0;
const EYE_HEIGHT: f32 = 0.5;

/// Share of light lost per cell of distance.
const DIMMING: f32 = 0.085;

/// Faces along one axis are darker, so that corners can be seen.
const SIDE_LIGHT: f32 = 0.8;

/// Nearer than this a wall fills the screen anyway.
const NEAREST: f32 = 0.05;

/// What one ray met.
#[derive(Clone, Debug)]
struct Hit<'a> {
    /// First row of the wall and the row after its last, in pixels with fractions.
    top: f32,
    bottom: f32,
    level: Level<'a>,
    /// Column of the texture, in 1/256 of its pixels.
    u: u32,
    /// Row of the texture at the middle of the screen's row 0, and rows of it per row of the screen,
    /// in 1/65536 of its pixels.
    v_start: i64,
    v_step: i64,
    /// Rows of the screen that the wall covers wholly.
    covered: std::ops::Range<usize>,
    brightness: u32,
}

/// Draws pictures of one size.
#[derive(Clone, Debug)]
pub(super) struct Raycaster {
    width: usize,
    height: usize,
    /// Distance of the screen, in pixels.
    focal: f32,
    pixels: Vec<Packed>,
}

impl Raycaster {
    pub(super) fn new(width: u32, height: u32) -> Self {
        let (width, height) = (width as usize, height as usize);
        let focal = width as f32 / (2.0 * HALF_VIEW);
        Self { width, height, focal, pixels: vec![0; width * height] }
    }

    /// Writes the view from `pose` into `out`, `(H, W, 3)` bytes.
    pub(super) fn draw(&mut self, maze: &Maze, pose: Pose, out: &mut [u8]) {
        let eye = Vec2::new(pose.x, pose.y);
        let ahead = direction(pose.yaw);
        let right = Vec2::new(ahead.y, -ahead.x) * HALF_VIEW;
        let rays = self.width * 2;
        let hits: Vec<Hit<'_>> = (0..rays)
            .map(|i| {
                let across = (i as f32 + 0.5) * 2.0 / rays as f32 - 1.0;
                self.cast(maze, eye, ahead + right * across)
            })
            .collect();
        self.draw_floors(maze, (eye, ahead, right), &hits);
        for (x, pair) in hits.chunks_exact(2).enumerate() {
            self.draw_walls(x, &pair[0], &pair[1]);
        }
        for (pixel, bytes) in self.pixels.iter().zip(out.chunks_exact_mut(3)) {
            bytes.copy_from_slice(&unpack(*pixel));
        }
    }

    /// Follows a ray from cell to cell; `ray` is as long as 1 of depth.
    fn cast<'a>(&self, maze: &'a Maze, eye: Vec2, ray: Vec2) -> Hit<'a> {
        let (mut x, mut y) = (eye.x as usize, eye.y as usize);
        // Depth per cell crossed; a ray along an axis never crosses the lines of that axis.
        let step = Vec2::new(1.0 / ray.x.abs().max(1e-6), 1.0 / ray.y.abs().max(1e-6));
        let inside = eye - eye.floor();
        let mut next = Vec2::new(
            if ray.x > 0.0 { 1.0 - inside.x } else { inside.x },
            if ray.y > 0.0 { 1.0 - inside.y } else { inside.y },
        ) * step;
        // The room that the ray is in: a wall has the look of the room that it is seen from.
        let mut room = maze.layout.room_at(x, y).unwrap_or(0);
        loop {
            let crosses_x = next.x < next.y;
            let depth = if crosses_x { next.x } else { next.y };
            if crosses_x {
                x = if ray.x > 0.0 { x + 1 } else { x.wrapping_sub(1) };
                next.x += step.x;
            } else {
                y = if ray.y > 0.0 { y + 1 } else { y.wrapping_sub(1) };
                next.y += step.y;
            }
            if let Some(open) = maze.layout.room_at(x, y) {
                room = open;
                continue;
            }
            let place = eye + ray * depth;
            let along = if crosses_x { place.y } else { place.x };
            // Signs would be seen in a mirror on faces that run the other way.
            let flipped = if crosses_x { ray.x > 0.0 } else { ray.y < 0.0 };
            let share = along - along.floor();
            let u = if flipped { 1.0 - share } else { share };
            let light = if crosses_x { 1.0 } else { SIDE_LIGHT };
            let texture = maze.wall_texture(room, (x, y), crosses_x);
            return self.hit(texture, depth.max(NEAREST), u, light);
        }
    }

    fn hit<'a>(&self, texture: &'a super::Texture, depth: f32, u: f32, light: f32) -> Hit<'a> {
        let scale = self.focal / depth;
        let middle = self.height as f32 / 2.0;
        let level = texture.level_for(1.0 / scale);
        let texels = (1_u32 << level.bits) as f32;
        let (top, bottom) =
            (middle - scale * (WALL_HEIGHT - EYE_HEIGHT), middle + scale * EYE_HEIGHT);
        let v_step = texels * 65_536.0 / (scale * WALL_HEIGHT);
        Hit {
            top,
            bottom,
            level,
            u: (u * texels * 256.0) as u32,
            v_start: ((0.5 - top) * v_step) as i64,
            v_step: v_step as i64,
            covered: top.ceil() as usize..bottom as usize,
            brightness: brightness(depth, light),
        }
    }

    /// Fills all rows above and below the walls.
    fn draw_floors(&mut self, maze: &Maze, view: (Vec2, Vec2, Vec2), hits: &[Hit<'_>]) {
        let horizon = self.height / 2;
        // Where a column's floor begins, at the nearer end of its two walls.
        let begins: Vec<f32> =
            hits.chunks_exact(2).map(|pair| pair[0].bottom.min(pair[1].bottom)).collect();
        for below in 0..self.height - horizon {
            let y = horizon + below;
            let offset = y as f32 + 0.5 - self.height as f32 / 2.0;
            if begins.iter().all(|&begin| (y + 1) as f32 <= begin) {
                continue;
            }
            self.draw_floor_row(maze, view, (y, offset), &begins);
        }
    }

    /// One row of floor and the row of ceiling that mirrors it.
    fn draw_floor_row(
        &mut self,
        maze: &Maze,
        (eye, ahead, right): (Vec2, Vec2, Vec2),
        (y, offset): (usize, f32),
        begins: &[f32],
    ) {
        let depth = self.focal * EYE_HEIGHT / offset;
        let step = right * (2.0 * depth / self.width as f32);
        let first = eye + (ahead - right) * depth + step * 0.5;
        // A pixel covers more in depth than across; the level lies between the two.
        let footprint = depth / self.focal * (depth / EYE_HEIGHT).max(1.0).sqrt();
        let level = smaller_levels(FLOOR_BITS, footprint);
        let light = brightness(depth, 1.0);
        let mirrored = self.height - 1 - y;
        for (x, &begin) in begins.iter().enumerate() {
            if (y + 1) as f32 <= begin {
                continue;
            }
            let place = first + step * x as f32;
            let room = maze.layout.room_at(place.x as usize, place.y as usize).unwrap_or(0);
            let style = &maze.styles[usize::from(room)];
            let sample = |texture: &super::Texture| {
                let level = texture.level(level);
                let texels = (256_u32 << level.bits) as f32;
                dim(level.sample((place.x * texels) as u32, (place.y * texels) as u32), light)
            };
            self.pixels[y * self.width + x] = sample(&style.floor);
            self.pixels[mirrored * self.width + x] = sample(&style.ceiling);
        }
    }

    /// Lays the two walls of column `x` over its floor and ceiling, each counting half.
    fn draw_walls(&mut self, x: usize, a: &Hit<'_>, b: &Hit<'_>) {
        let first = a.top.min(b.top).max(0.0) as usize;
        let end = (a.bottom.max(b.bottom).ceil() as usize).min(self.height);
        for y in first..end {
            let pixel = &mut self.pixels[y * self.width + x];
            let under = *pixel;
            *pixel = mean(a.over(y, under), b.over(y, under));
        }
    }
}

impl Hit<'_> {
    /// The colour of row `y`, mixed with what lies behind where the wall covers only a part of it.
    #[inline]
    fn over(&self, y: usize, under: Packed) -> Packed {
        if self.covered.contains(&y) {
            return self.colour(y);
        }
        let row = y as f32;
        let share = (row + 1.0).min(self.bottom) - row.max(self.top);
        if share <= 0.0 { under } else { lerp(under, self.colour(y), (share * 256.0) as u32) }
    }

    #[inline]
    fn colour(&self, y: usize) -> Packed {
        let v = (self.v_start + y as i64 * self.v_step) >> 8;
        // The first and the last half pixel of a texture would mix with its other end.
        let limit = (256_i64 << self.level.bits) - 129;
        let v = v.clamp(128.min(limit), limit.max(128));
        dim(self.level.sample(self.u, v as u32), self.brightness)
    }
}

fn brightness(depth: f32, light: f32) -> u32 {
    (256.0 * light / (1.0 + DIMMING * depth)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maze::MazeConfig;

    #[test]
    fn textures_are_not_mirrored_on_any_face() {
        let config = MazeConfig::default();
        let maze = Maze::new(4, &config);
        let raycaster = Raycaster::new(128, 96);
        let start = maze.start();
        for yaw in [0.0, 90.0, 180.0, 270.0] {
            let (eye, ahead) = (Vec2::new(start.x, start.y), direction(yaw));
            let right = Vec2::new(ahead.y, -ahead.x);
            let across = |i: i16| raycaster.cast(&maze, eye, ahead + right * f32::from(i) * 0.002);
            let (left, middle) = (across(-1), across(0));
            // Unless the two rays meet different cells, the texture runs to the right.
            assert!(middle.u > left.u || left.u > middle.u + 200 * 128, "yaw {yaw}");
        }
    }

    #[test]
    fn walls_meet_floors_where_perspective_says() {
        let config = MazeConfig::default();
        let maze = Maze::new(4, &config);
        let raycaster = Raycaster::new(128, 96);
        let texture = &maze.styles[0].wall;
        let hit = raycaster.hit(texture, 2.0, 0.5, 1.0);
        // 80 pixels of focal length, half a cell of height, two cells away.
        assert_eq!((hit.top, hit.bottom), (48.0 - 20.0, 48.0 + 20.0));
        assert!(raycaster.hit(texture, 8.0, 0.5, 1.0).brightness < hit.brightness);
    }

    #[test]
    fn half_covered_rows_are_half_mixed() {
        let maze = Maze::new(4, &MazeConfig::default());
        let mut hit = Raycaster::new(128, 96).hit(&maze.styles[0].wall, 2.0, 0.5, 1.0);
        (hit.top, hit.bottom, hit.brightness) = (10.5, 20.0, 0);
        hit.covered = 11..20;
        let white = 0x00FF_FFFF;
        assert_eq!(hit.over(9, white), white);
        assert_eq!(hit.over(10, white), 0x007F_7F7F);
        assert_eq!(hit.over(11, white), 0);
    }
}
