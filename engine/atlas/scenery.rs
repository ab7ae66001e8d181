//! Scenery: what stands where on the map, and how a picture of it is taken.

use super::Pose;
use super::ground::Ground;
use super::walls::Walls;
use crate::ops::{share, vectorized};
use rayon::prelude::*;

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

/// A picture, row by row: red, green and blue of each pixel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Picture<'a> {
    pub(super) pixels: &'a [u8],
    pub(super) width: usize,
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
        let depths: Vec<f32> = sides.par_iter().with_min_len(TASK_COLUMNS).map(depth).collect();
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
        (view, picture): (&Outline, Picture<'_>),
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
        let columns = self
            .sides(width)
            .zip(&outline.depths)
            .map(|(side, &wall)| (wall, turn_cos + side * turn_sin, side * turn_cos - turn_sin));
        let sight = Sight {
            columns: columns.collect(),
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
    /// Of each column: the depth of the wall, and what a length of 1 ahead of here adds to both of `place`.
    columns: Vec<(f32, f32, f32)>,
    /// Where this place lies for the view: ahead and to the right.
    place: (f32, f32),
    /// Pixels of a length of 1 across, at a depth of 1.
    scale: f32,
    /// Half of the picture's width and height.
    half: (f32, f32),
    /// Heights of the eye above the ground, and of the ceiling above the eye.
    levels: (f32, f32),
    view: &'a Outline,
    picture: Picture<'a>,
    guessing: bool,
}

impl Sight<'_> {
    /// Paints a row where nothing is painted yet.
    #[inline(always)]
    fn paint(&self, row: usize, pixels: &mut [u8], seen: &mut [bool]) {
        let (scale, (half_width, half_height)) = (self.scale, self.half);
        let (last_column, last_row) = (2.0 * half_width - 1.0, 2.0 * half_height - 1.0);
        let slope = (halved(2 * row + 1) - half_height) / scale;
        let level = if slope > 0.0 { self.levels.0 / slope } else { -self.levels.1 / slope };
        let pixels = pixels.chunks_exact_mut(3).zip(seen).zip(&self.columns);
        for ((pixel, seen), &(wall, ahead_more, right_more)) in pixels {
            if *seen {
                continue;
            }
            let depth = wall.min(level);
            let far = depth.mul_add(ahead_more, self.place.0);
            let is_ahead = far > NEAREST;
            if !is_ahead && !self.guessing {
                continue;
            }
            let far = far.max(NEAREST);
            let x = scale * depth.mul_add(right_more, self.place.1) / far + half_width - 0.5;
            let y = scale * (slope * depth) / far + half_height - 0.5;
            let inside = x > -0.5 && x < last_column + 0.5 && y > -0.5 && y < last_row + 0.5;
            let (x, y) = (x.clamp(0.0, last_column), y.clamp(0.0, last_row));
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "clamped to the picture"
            )]
            let shown = is_ahead && inside && far < self.view.depths[x.round() as usize] + SLACK;
            if shown || self.guessing {
                pixel.copy_from_slice(&self.picture.between(x, y));
                *seen = shown;
            }
        }
    }
}

impl Picture<'_> {
    /// The colour at a place, column and row, mixed from the sixteen pixels around it (bicubic: R. Keys, "Cubic Convolution
    /// Interpolation for Digital Image Processing", 1981): what is warped once should not be softer than it has to be.
    #[inline(always)]
    fn between(&self, x: f32, y: f32) -> [u8; 3] {
        let (columns, across) = taps(x, self.width);
        let (rows, down) = taps(y, self.pixels.len() / (3 * self.width));
        let mut sums = [0.0_f32; 3];
        for (row, weight) in rows.into_iter().zip(down) {
            for (column, across) in columns.into_iter().zip(across) {
                let pixel = &self.pixels[3 * (row * self.width + column)..][..3];
                for (sum, &byte) in sums.iter_mut().zip(pixel) {
                    *sum += weight * across * f32::from(byte);
                }
            }
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let byte = |sum: f32| sum.round().clamp(0.0, 255.0) as u8;
        sums.map(byte)
    }
}

/// The four of `count` pixels in a row around a place, and what each counts for; beyond the ends the last one repeats.
#[inline(always)]
fn taps(at: f32, count: usize) -> ([usize; 4], [f32; 4]) {
    let part = at - at.floor();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in the picture")]
    let first = at as usize;
    let pixels = [first.saturating_sub(1), first, first + 1, first + 2];
    let (square, cube) = (part * part, part * part * part);
    let weights = [
        -0.5 * part + square - 0.5 * cube,
        1.0 - 2.5 * square + 1.5 * cube,
        0.5 * part + 2.0 * square - 1.5 * cube,
        -0.5 * square + 0.5 * cube,
    ];
    (pixels.map(|pixel| pixel.min(count - 1)), weights)
}

#[expect(clippy::cast_precision_loss, reason = "pictures are small")]
#[inline(always)]
fn halved(count: usize) -> f32 {
    count as f32 / 2.0
}
