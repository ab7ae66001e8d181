//! Scenery: what stands where on the map, and how a picture of it is taken.

use super::Pose;
use super::ground::Ground;
use super::walls::Walls;
use crate::ops::{make_with, share, vectorized};
use std::array::from_fn;

/// Widest margin of walls that is believed, in squares: eight steps.
pub(super) const MARGIN_MAX: u8 = 64;
/// Nearest that anything is, in steps.
const NEAREST: f32 = 0.05;
/// How far behind the wall that a view shows something may lie and still be it, in steps: walls are known to a square or
/// two, and seen aslant. Other values were not tried.
const SLACK: f32 = 1.5;

/// Rows of a picture that are worth handing to another thread.
pub(super) const TASK_ROWS: usize = 8;
/// Columns of which the walls are looked for by one thread.
const TASK_COLUMNS: usize = 16;
/// Columns that are painted at a time: what is reckoned of them fills a register each.
const LANES: usize = 16;

/// An eye at one height that looks straight ahead, over level ground and under a level ceiling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Camera {
    /// Focal length, in half widths of the picture: 1 for a field of view of 90 degrees.
    pub focal: f32,
    /// Height of the eye above the ground, in steps.
    pub eye: f32,
    /// Height of the ceiling above the eye, in steps.
    pub ceiling: f32,
    /// How far walls stand from where one can stand, in eighths of a step: half of what a player is wide.
    pub margin: u8,
}

impl Camera {
    /// From focal length, both heights and margin, as a file holds them.
    pub(super) fn read(numbers: &[f32]) -> Option<Self> {
        let &[focal, eye, ceiling, margin] = numbers else { return None };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a byte")]
        let margin = (0.0..=255.0).contains(&margin).then_some(margin as u8)?;
        Some(Self { focal, eye, ceiling, margin })
    }

    /// Whether the numbers are those of a camera.
    pub(super) fn is_sound(&self) -> bool {
        let lengths = [self.focal, self.eye, self.ceiling];
        lengths.iter().all(|length| (0.01..1000.0).contains(length)) && self.margin <= MARGIN_MAX
    }
}

/// Upright walls around the ground of a map, with the camera that sees them.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenery {
    pub(super) camera: Camera,
    walls: Walls,
}

/// A picture's place, and how far the wall in each of its columns is, straight ahead, in steps.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outline {
    pub(super) pose: Pose,
    depths: Vec<f32>,
}

/// A picture to paint from: of each pixel red in the lowest byte, then green and blue, row by row. Around it pixels of the edge
/// are repeated, one before and two behind, so that it has all that are mixed for any place in it.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    pixels: Vec<u32>,
    /// Pixels of a row, with those around it.
    stride: usize,
}

/// A picture that is painted from others.
#[derive(Clone, Debug)]
pub(crate) struct Canvas {
    pub(crate) pixels: Vec<u8>,
    /// Whether each pixel was seen by somebody.
    pub(super) seen: Vec<bool>,
    pub(super) width: usize,
}

impl Canvas {
    pub(super) fn new(width: usize, height: usize) -> Self {
        let pixels = width * height;
        Self { pixels: vec![127; 3 * pixels], seen: vec![false; pixels], width }
    }

    /// Whether all but one pixel in two hundred were seen.
    pub(super) fn is_full(&self) -> bool {
        200 * self.seen.iter().filter(|&&seen| !seen).count() <= self.seen.len()
    }
}

impl std::fmt::Display for Camera {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { focal, eye, ceiling, margin } = self;
        let view = 2.0 * (1.0 / focal).atan().to_degrees();
        let margin = f32::from(*margin) * super::walls::SQUARE;
        write!(
            f,
            "a field of view of {view:.0} degrees, eyes {eye:.1} steps above the ground and {ceiling:.1} below the ceiling, walls {margin:.1} steps off"
        )
    }
}

impl Scenery {
    /// What sees it.
    #[must_use]
    pub fn camera(&self) -> Camera {
        self.camera
    }

    /// Walls around this ground, seen by this camera. `None` where there are none that can be looked at.
    #[must_use]
    pub fn new(camera: Camera, ground: &Ground) -> Option<Self> {
        let walls = camera.is_sound().then(|| Walls::around(ground, camera.margin)).flatten()?;
        Some(Self { camera, walls })
    }

    /// What a picture of `width` pixels shows of the walls; `None` from inside one.
    pub(super) fn outline(&self, pose: Pose, width: usize) -> Option<Outline> {
        let (sin, cos) = pose.yaw.to_radians().sin_cos();
        let depth = |&side: &f32| {
            // A length of 1 straight ahead is so long along the ray.
            let ray = side.hypot(1.0);
            let direction = ((cos + side * sin) / ray, (sin - side * cos) / ray);
            self.walls.distance((pose.x, pose.y), direction) / ray
        };
        let sides: Vec<f32> = self.sides(width).collect();
        let parts = [width, TASK_COLUMNS];
        let depths = make_with(
            width,
            parts,
            || (),
            |(), [_, part], depths| {
                let sides = &sides[part * TASK_COLUMNS..];
                depths.iter_mut().zip(sides).for_each(|(out, side)| *out = depth(side));
            },
        );
        depths.iter().all(|&depth| depth > 0.0).then_some(Outline { pose, depths })
    }

    /// How far to the right of the middle each column looks, for a length of 1 straight ahead.
    fn sides(&self, width: usize) -> impl Iterator<Item = f32> + '_ {
        let half = halved(width);
        (0..width).map(move |column| (halved(2 * column + 1) - half) / (half * self.camera.focal))
    }

    /// Paints what `view` shows of `outline` where nothing is painted yet. `guessing`: paints the rest as well, with
    /// what lies next to it in the view; that counts as seen by nobody.
    pub(super) fn paint(
        &self,
        canvas: &mut Canvas,
        outline: &Outline,
        (view, picture): (&Outline, &Picture),
        guessing: bool,
    ) {
        let Camera { eye, ceiling, focal, .. } = self.camera;
        let width = canvas.width;
        let height = canvas.seen.len() / width;
        let (half_width, half_height) = (halved(width), halved(height));
        let scale = half_width * focal;
        let (here, there) = (outline.pose, view.pose);
        let (sin, cos) = there.yaw.to_radians().sin_cos();
        let (dx, dy) = (here.x - there.x, here.y - there.y);
        // Where this place lies for the view: ahead and to the right.
        let (ahead, right) = (dx * cos + dy * sin, dx * sin - dy * cos);
        let (turn_sin, turn_cos) = (here.yaw - there.yaw).to_radians().sin_cos();
        let mut columns = vec![[[0.0; LANES]; 3]; width.div_ceil(LANES)];
        for (at, (side, &wall)) in self.sides(width).zip(&outline.depths).enumerate() {
            let of_column = [wall, turn_cos + side * turn_sin, side * turn_cos - turn_sin];
            for (lanes, value) in columns[at / LANES].iter_mut().zip(of_column) {
                lanes[at % LANES] = value;
            }
        }
        let sight = Sight {
            columns,
            place: (ahead, right),
            scale,
            half: (half_width, half_height),
            levels: (eye, ceiling),
            view,
            picture,
            guessing,
        };
        let pixels = canvas.pixels.chunks_mut(TASK_ROWS * 3 * width);
        let tasks = pixels.zip(canvas.seen.chunks_mut(TASK_ROWS * width)).enumerate();
        share(tasks, |(task, (pixels, seen))| {
            let rows = pixels.chunks_exact_mut(3 * width).zip(seen.chunks_exact_mut(width));
            for (row, (pixels, seen)) in (task * TASK_ROWS..).zip(rows) {
                vectorized(
                    #[inline(always)]
                    || sight.paint(row, pixels, seen),
                );
            }
        });
    }
}

/// How a place sees what a view shows.
struct Sight<'a> {
    /// Of [`LANES`] columns each: the depth of the wall, and what a length of 1 ahead of here adds to both of `place`. Behind
    /// the last column all are zero.
    columns: Vec<[[f32; LANES]; 3]>,
    /// Where this place lies for the view: ahead and to the right.
    place: (f32, f32),
    /// Pixels of a length of 1 across, at a depth of 1.
    scale: f32,
    /// Half of the picture's width and height.
    half: (f32, f32),
    /// Heights of the eye above the ground, and of the ceiling above the eye.
    levels: (f32, f32),
    view: &'a Outline,
    picture: &'a Picture,
    guessing: bool,
}

/// Where a view would show some columns of a row.
struct Spots {
    /// How far ahead of the view each lies.
    far: [f32; LANES],
    /// Column and row in the view's picture, or the nearest that there are.
    x: [f32; LANES],
    y: [f32; LANES],
    /// Whether it lies ahead of the view and within its picture.
    is_within: [bool; LANES],
}

impl Sight<'_> {
    /// Paints a row where nothing is painted yet.
    #[inline(always)]
    fn paint(&self, row: usize, pixels: &mut [u8], seen: &mut [bool]) {
        let lanes = pixels.chunks_mut(3 * LANES).zip(seen.chunks_mut(LANES)).zip(&self.columns);
        for ((pixels, seen), columns) in lanes.filter(|((_, seen), _)| seen.contains(&false)) {
            let spots = self.spots(row, columns);
            let mut is_shown = [false; LANES];
            for i in (0..seen.len()).filter(|&i| !seen[i]) {
                let depth = self.view.depths[whole(spots.x[i].round())];
                is_shown[i] = spots.is_within[i] && spots.far[i] < depth + SLACK;
            }
            if !self.guessing && !is_shown.contains(&true) {
                continue;
            }
            let mixed = self.picture.mixed(&spots);
            let pixels = pixels.as_chunks_mut::<3>().0.iter_mut().zip(seen);
            for (i, (pixel, seen)) in pixels.enumerate().filter(|(_, (_, seen))| !**seen) {
                if is_shown[i] || self.guessing {
                    *pixel = mixed.map(|channel| channel[i]);
                    *seen = is_shown[i];
                }
            }
        }
    }

    /// Where the view would show these columns of a row.
    #[inline(always)]
    fn spots(&self, row: usize, [walls, aheads, rights]: &[[f32; LANES]; 3]) -> Spots {
        let (scale, (half_width, half_height)) = (self.scale, self.half);
        let (last_column, last_row) = (2.0 * half_width - 1.0, 2.0 * half_height - 1.0);
        let slope = (halved(2 * row + 1) - half_height) / scale;
        let level = if slope > 0.0 { self.levels.0 / slope } else { -self.levels.1 / slope };
        let none = [0.0; LANES];
        let mut spots = Spots { far: none, x: none, y: none, is_within: [false; LANES] };
        for i in 0..LANES {
            let depth = walls[i].min(level);
            let far = depth.mul_add(aheads[i], self.place.0);
            let is_ahead = far > NEAREST;
            let far = far.max(NEAREST);
            let x = scale * depth.mul_add(rights[i], self.place.1) / far + half_width - 0.5;
            let y = scale * (slope * depth) / far + half_height - 0.5;
            let inside = (x > -0.5) & (x < last_column + 0.5) & (y > -0.5) & (y < last_row + 0.5);
            spots.far[i] = far;
            spots.x[i] = x.clamp(0.0, last_column);
            spots.y[i] = y.clamp(0.0, last_row);
            spots.is_within[i] = is_ahead & inside;
        }
        spots
    }
}

impl Picture {
    /// Of pixels row by row, red, green and blue of each.
    pub(super) fn new(pixels: &[u8], width: usize) -> Self {
        let (stride, rows) = (width + 3, pixels.as_chunks::<3>().0.chunks_exact(width));
        let mut padded = Vec::with_capacity(stride * (rows.len() + 3));
        for (at, row) in rows.clone().enumerate() {
            let (first, last) = (padded.len(), width - 1);
            let columns = std::iter::once(0).chain(0..=last).chain([last; 2]);
            padded.extend(columns.map(|column| {
                let [red, green, blue] = row[column];
                u32::from_le_bytes([red, green, blue, 0])
            }));
            let repeats = usize::from(at == 0) + 2 * usize::from(at + 1 == rows.len());
            (0..repeats).for_each(|_| padded.extend_from_within(first..first + stride));
        }
        Self { pixels: padded, stride }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.pixels[..])
    }

    /// Red, green and blue at some places, each mixed from the sixteen pixels around it (bicubic: R. Keys, "Cubic Convolution
    /// Interpolation for Digital Image Processing", 1981): what is warped once should not be softer than it has to be.
    #[inline(always)]
    fn mixed(&self, spots: &Spots) -> [[u8; LANES]; 3] {
        let (across, down) = (taps(&spots.x), taps(&spots.y));
        let firsts: [usize; LANES] =
            from_fn(|i| whole(spots.y[i]) * self.stride + whole(spots.x[i]));
        let mut sums = [[0.0_f32; LANES]; 3];
        for (row, down) in down.iter().enumerate() {
            for (column, across) in across.iter().enumerate() {
                let pixels = &self.pixels[row * self.stride + column..];
                let pixels = firsts.map(|first| pixels[first]);
                for i in 0..LANES {
                    let weight = down[i] * across[i];
                    for (channel, sums) in sums.iter_mut().enumerate() {
                        #[expect(clippy::cast_precision_loss, reason = "a byte")]
                        let value = (pixels[i] >> (8 * channel) & 0xff) as f32;
                        sums[i] += weight * value;
                    }
                }
            }
        }
        let mut mixed = [[0; LANES]; 3];
        for (sums, bytes) in sums.iter().zip(&mut mixed) {
            for i in 0..LANES {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "clamped"
                )]
                let byte = sums[i].round().clamp(0.0, 255.0) as u8;
                bytes[i] = byte;
            }
        }
        mixed
    }
}

/// The whole number in a place within a picture.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the picture")]
#[inline(always)]
fn whole(at: f32) -> usize {
    at as usize
}

/// What each of the four pixels in a row around some places counts for, the first one that before the place's own.
#[inline(always)]
fn taps(at: &[f32; LANES]) -> [[f32; LANES]; 4] {
    let mut weights = [[0.0; LANES]; 4];
    for i in 0..LANES {
        let part = at[i] - at[i].floor();
        let (square, cube) = (part * part, part * part * part);
        weights[0][i] = -0.5 * part + square - 0.5 * cube;
        weights[1][i] = 1.0 - 2.5 * square + 1.5 * cube;
        weights[2][i] = 0.5 * part + 2.0 * square - 1.5 * cube;
        weights[3][i] = -0.5 * square + 0.5 * cube;
    }
    weights
}

#[expect(clippy::cast_precision_loss, reason = "pictures are small")]
#[inline(always)]
fn halved(count: usize) -> f32 {
    count as f32 / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Random;

    /// A hall of 20 steps by 8.
    fn hall() -> Scenery {
        let ground = Ground::of((0..160).flat_map(|x| (0..64).map(move |y| (x, y))));
        let camera = Camera { focal: 1.1, eye: 2.0, ceiling: 3.0, margin: 4 };
        Scenery::new(camera, &ground).unwrap()
    }

    /// The colour at a place, tap by tap, of a picture without repeated edges.
    fn colour(pixels: &[u8], width: usize, x: f32, y: f32) -> [u8; 3] {
        let taps = |at: f32, count: usize| -> [(usize, f32); 4] {
            let (first, weights) = (whole(at), taps(&[at; LANES]));
            from_fn(|tap| ((first + tap).saturating_sub(1).min(count - 1), weights[tap][0]))
        };
        let mut sums = [0.0_f32; 3];
        for (row, down) in taps(y, pixels.len() / (3 * width)) {
            for (column, across) in taps(x, width) {
                let pixel = &pixels[3 * (row * width + column)..][..3];
                for (sum, &byte) in sums.iter_mut().zip(pixel) {
                    *sum += down * across * f32::from(byte);
                }
            }
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        sums.map(|sum| sum.round().clamp(0.0, 255.0) as u8)
    }

    /// [`Scenery::paint`] pixel by pixel.
    fn painted(
        (scenery, canvas): (&Scenery, &mut Canvas),
        outline: &Outline,
        (view, pixels): (&Outline, &[u8]),
        guessing: bool,
    ) {
        let (width, camera) = (canvas.width, scenery.camera);
        let height = canvas.seen.len() / width;
        let (half_width, half_height) = (halved(width), halved(height));
        let (scale, there, here) = (half_width * camera.focal, view.pose, outline.pose);
        let (sin, cos) = there.yaw.to_radians().sin_cos();
        let (dx, dy) = (here.x - there.x, here.y - there.y);
        let (turn_sin, turn_cos) = (here.yaw - there.yaw).to_radians().sin_cos();
        let (ahead, right) = (dx * cos + dy * sin, dx * sin - dy * cos);
        for at in (0..width * height).filter(|&at| !canvas.seen[at]).collect::<Vec<_>>() {
            let (row, column) = (at / width, at % width);
            let slope = (halved(2 * row + 1) - half_height) / scale;
            let level = if slope > 0.0 { camera.eye / slope } else { -camera.ceiling / slope };
            let side = scenery.sides(width).nth(column).unwrap();
            let depth = outline.depths[column].min(level);
            let far = depth.mul_add(turn_cos + side * turn_sin, ahead);
            let is_ahead = far > NEAREST;
            let far = far.max(NEAREST);
            let x = depth.mul_add(side * turn_cos - turn_sin, right);
            let x = scale * x / far + half_width - 0.5;
            let y = scale * (slope * depth) / far + half_height - 0.5;
            let (last_column, last_row) = (2.0 * half_width - 1.0, 2.0 * half_height - 1.0);
            let inside = x > -0.5 && x < last_column + 0.5 && y > -0.5 && y < last_row + 0.5;
            let (x, y) = (x.clamp(0.0, last_column), y.clamp(0.0, last_row));
            let shown = is_ahead && inside && far < view.depths[whole(x.round())] + SLACK;
            if shown || guessing {
                canvas.pixels[3 * at..][..3].copy_from_slice(&colour(pixels, width, x, y));
                canvas.seen[at] = shown;
            }
        }
    }

    #[test]
    fn columns_side_by_side_are_painted_as_each_is_alone() {
        let scenery = hall();
        let mut random = Random::new(5, 0);
        // The last columns are fewer than are painted at a time; of an odd height the middle row looks straight ahead.
        for (width, height) in [(64, 48), (72, 51)] {
            let bytes = 3 * width * height;
            let pixels: Vec<u8> = (0..bytes).map(|_| random.bits().to_le_bytes()[0]).collect();
            let outline = |x, y, yaw| scenery.outline(Pose { x, y, yaw }, width).unwrap();
            let (here, picture) = (outline(6.0, 3.0, 10.0), Picture::new(&pixels, width));
            for view in [
                outline(6.0, 3.0, 10.0),
                outline(3.5, 4.2, 31.0),
                outline(15.0, 6.0, 350.0),
                outline(9.0, 2.0, 200.0),
            ] {
                for guessing in [false, true] {
                    let [mut together, mut alone] = [(); 2].map(|()| Canvas::new(width, height));
                    // What is seen stays, in whole runs and in parts of them.
                    for canvas in [&mut together, &mut alone] {
                        canvas.seen[200..230].fill(true);
                    }
                    scenery.paint(&mut together, &here, (&view, &picture), guessing);
                    painted((&scenery, &mut alone), &here, (&view, &pixels), guessing);
                    assert!(together.pixels == alone.pixels && together.seen == alone.seen);
                }
            }
        }
    }
}
