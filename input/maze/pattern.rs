//! What walls, floors and ceilings are made of: eleven patterns and nine signs, all drawn by rule.
//!
//! A place `(u, v)` lies in `0..1`; `v` runs downwards. Every pattern repeats without a seam.

use crate::random::mix;

/// A material.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Bricks,
    Blocks,
    Planks,
    Tiles,
    Stripes,
    Diamonds,
    Plaster,
    Plates,
    Panels,
    Waves,
    Cobbles,
}

impl Pattern {
    /// Those that look right on a wall.
    pub(super) const WALLS: [Self; 9] = [
        Self::Bricks,
        Self::Blocks,
        Self::Planks,
        Self::Tiles,
        Self::Stripes,
        Self::Diamonds,
        Self::Plates,
        Self::Panels,
        Self::Waves,
    ];

    /// Those that look right underfoot.
    pub(super) const FLOORS: [Self; 6] =
        [Self::Tiles, Self::Planks, Self::Cobbles, Self::Diamonds, Self::Plaster, Self::Blocks];

    /// How much of the second colour lies at a place (0 to 1), and how bright it is there.
    pub(super) fn at(self, u: f32, v: f32, seed: u64) -> (f32, f32) {
        let (mix, brightness) = match self {
            Self::Bricks => masonry(u, v, (4, 2), 0.06, seed),
            Self::Blocks => masonry(u, v, (2, 1), 0.035, seed),
            Self::Planks => planks(u, v, seed),
            Self::Tiles => tiles(u, v),
            Self::Stripes => stripes(u),
            Self::Diamonds => diamonds(u, v),
            Self::Plaster => (0.5 * noise(u, v, 4, seed), 1.0),
            Self::Plates => plates(u, v),
            Self::Panels => panels(u, v),
            Self::Waves => waves(u, v),
            Self::Cobbles => cobbles(u, v, seed),
        };
        // No surface is perfectly even; without grain, a wall close by would show no motion.
        (mix, brightness * (0.92 + 0.16 * noise(u, v, 16, seed)))
    }
}

/// Boards from floor to ceiling, each of its own tone.
fn planks(u: f32, v: f32, seed: u64) -> (f32, f32) {
    let (plank, across) = cell(u, 4);
    let wood = noise(u * 4.0 + plank * 0.375, v, 4, seed ^ 5);
    let tone = 0.8 + 0.25 * hash(plank.rem_euclid(4.0), 3.0, seed);
    (seam(across, 0.06), tone * (0.88 + 0.24 * wood))
}

/// A checkerboard with dark grout.
fn tiles(u: f32, v: f32) -> (f32, f32) {
    let ((x, across), (y, down)) = (cell(u, 4), cell(v, 4));
    let grout = seam(across, 0.05).max(seam(down, 0.05));
    ((x + y).rem_euclid(2.0) * 0.85, 1.0 - 0.45 * grout)
}

/// Upright stripes.
fn stripes(u: f32) -> (f32, f32) {
    let (stripe, across) = cell(u, 4);
    (stripe.rem_euclid(2.0), 1.0 - 0.25 * seam(across, 0.05))
}

/// A checkerboard standing on its corner, with light lines.
fn diamonds(u: f32, v: f32) -> (f32, f32) {
    let ((a, across_a), (b, across_b)) = (cell(u + v, 3), cell(u - v, 3));
    let line = seam(across_a, 0.07).max(seam(across_b, 0.07));
    ((a + b).rem_euclid(2.0) * 0.5 + line * 0.5, 1.0)
}

/// Four metal plates with a rivet in each corner.
fn plates(u: f32, v: f32) -> (f32, f32) {
    let ((_, across), (_, down)) = (cell(u, 2), cell(v, 2));
    let (a, b) = (across.min(1.0 - across), down.min(1.0 - down));
    let rivet = 1.0 - smooth(0.05, 0.08, (a - 0.14).abs().max((b - 0.14).abs()));
    let bevel = 1.0 - 0.35 * ((0.14 - a).max(0.0) + (0.14 - b).max(0.0));
    let gap = seam(across, 0.04).max(seam(down, 0.04));
    (rivet, bevel * (1.0 - 0.5 * gap))
}

/// A plain wall above, two framed panels below.
fn panels(u: f32, v: f32) -> (f32, f32) {
    let (_, across) = cell(u, 2);
    let rail = seam(v, 0.05).max(1.0 - smooth(0.02, 0.035, (v - 0.62).abs()));
    let lower = if v > 0.62 { 1.0 } else { 0.0 };
    let frame = lower * (1.0 - smooth(0.06, 0.09, across.min(1.0 - across)));
    (lower, 1.0 - 0.35 * rail.max(frame))
}

/// Rows of round scales.
fn waves(u: f32, v: f32) -> (f32, f32) {
    let (row, down) = cell(v, 4);
    let (_, across) = cell(u + 0.25 * row.rem_euclid(2.0), 2);
    let height = 1.0 - 4.0 * (across - 0.5) * (across - 0.5);
    (smooth(-0.08, 0.08, down - 0.25 - 0.5 * height), 1.0)
}

/// Round stones in mortar.
fn cobbles(u: f32, v: f32, seed: u64) -> (f32, f32) {
    // Six rows, so that the shift of every other row repeats as well.
    let (row, down) = cell(v, 6);
    let (stone, across) = cell(u + 0.1 * row.rem_euclid(2.0), 5);
    let far = (across - 0.5) * (across - 0.5) + (down - 0.5) * (down - 0.5);
    let tone = hash(stone.rem_euclid(5.0), row.rem_euclid(6.0), seed);
    (smooth(0.17, 0.26, far), 0.8 + 0.3 * tone - 0.5 * far)
}

/// A painted sign, by which a place is told from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Disc,
    Ring,
    Square,
    Diamond,
    Triangle,
    Cross,
    Bars,
    Arrow,
    Quarters,
}

impl Sign {
    /// All of them.
    pub(super) const ALL: [Self; 9] = [
        Self::Disc,
        Self::Ring,
        Self::Square,
        Self::Diamond,
        Self::Triangle,
        Self::Cross,
        Self::Bars,
        Self::Arrow,
        Self::Quarters,
    ];

    /// Cover of the sign's board and of its figure at a place, each 0 to 1.
    pub(super) fn at(self, u: f32, v: f32) -> (f32, f32) {
        let (x, y) = ((u - 0.5) * 2.0, (0.47 - v) * 2.0);
        let board = 1.0 - smooth(0.66, 0.70, x.abs().max(y.abs()));
        let (a, b) = (x.abs(), y.abs());
        // Signed distances: negative inside the figure.
        let outside = match self {
            Self::Disc => (x * x + y * y).sqrt() - 0.45,
            Self::Ring => ((x * x + y * y).sqrt() - 0.36).abs() - 0.12,
            Self::Square => a.max(b) - 0.38,
            Self::Diamond => a + b - 0.52,
            Self::Triangle => (-y - 0.34).max(a * 0.87 + y * 0.5 - 0.24),
            Self::Cross => a.min(b).max(a.max(b) - 0.46) - 0.13,
            Self::Bars => ((y * 2.2).rem_euclid(1.0) - 0.5).abs() * 0.45 - 0.11,
            Self::Arrow => (b - 0.14).max(x.abs() - 0.46).min((x - 0.46).max(-x).max(x + b - 0.46)),
            Self::Quarters => {
                if x * y > 0.0 {
                    0.02 - a.min(b)
                } else {
                    a.min(b) - 0.02
                }
            }
        };
        let within = 1.0 - smooth(0.52, 0.56, a.max(b));
        (board, within * (1.0 - smooth(-0.02, 0.02, outside)))
    }
}

/// Bricks of `(rows, columns)`, every other row shifted by half, with mortar of this width.
fn masonry(u: f32, v: f32, (rows, columns): (u8, u8), mortar: f32, seed: u64) -> (f32, f32) {
    let (row, down) = cell(v, rows);
    let shift = 0.5 / f32::from(columns) * row.rem_euclid(2.0);
    let (column, across) = cell(u + shift, columns);
    let tone = hash(row, column.rem_euclid(f32::from(columns)), seed);
    let aspect = f32::from(columns) / f32::from(rows);
    let joint = seam(down, mortar / aspect).max(seam(across, mortar));
    (joint, 0.78 + 0.3 * tone)
}

/// Number of the part that a place falls in when 0..1 is cut into `count`, and the place within it.
fn cell(u: f32, count: u8) -> (f32, f32) {
    let scaled = u * f32::from(count);
    (scaled.floor(), scaled - scaled.floor())
}

/// 1 at the ends of `0..1`, 0 from `width` on.
fn seam(place: f32, width: f32) -> f32 {
    1.0 - smooth(width * 0.5, width, place.min(1.0 - place))
}

/// 0 below `low`, 1 above `high`, smooth between.
fn smooth(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// Smooth random values in `0..1` on a lattice of `count` points a side, repeating.
fn noise(u: f32, v: f32, count: u8, seed: u64) -> f32 {
    let ((x, fx), (y, fy)) = (cell(u, count), cell(v, count));
    let side = f32::from(count);
    let at = |dx: f32, dy: f32| hash((x + dx).rem_euclid(side), (y + dy).rem_euclid(side), seed);
    let (fx, fy) = (fx * fx * (3.0 - 2.0 * fx), fy * fy * (3.0 - 2.0 * fy));
    let upper = at(0.0, 0.0) * (1.0 - fx) + at(1.0, 0.0) * fx;
    let lower = at(0.0, 1.0) * (1.0 - fx) + at(1.0, 1.0) * fx;
    upper * (1.0 - fy) + lower * fy
}

/// A random value in `0..1` for each pair of whole numbers.
fn hash(x: f32, y: f32, seed: u64) -> f32 {
    let bits = mix(u64::from(x.to_bits()) << 32 | u64::from(y.to_bits()) ^ mix(seed));
    f32::from(u16::try_from(bits >> 48).expect("16 bits are left")) / 65_536.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_differ_and_stay_in_range() {
        let mut pictures = Vec::new();
        for pattern in [Pattern::WALLS.as_slice(), &[Pattern::Plaster, Pattern::Cobbles]].concat() {
            let mut picture = Vec::new();
            for i in 0..1024_u16 {
                let (u, v) = (f32::from(i % 32) / 32.0 + 0.01, f32::from(i / 32) / 32.0 + 0.01);
                let (mix, brightness) = pattern.at(u, v, 3);
                assert!((0.0..=1.0).contains(&mix), "{pattern:?} {u} {v}: {mix}");
                assert!((0.2..1.5).contains(&brightness), "{pattern:?} {u} {v}: {brightness}");
                picture.push((mix > 0.5, brightness > 0.9));
            }
            assert!(!pictures.contains(&picture), "{pattern:?} looks like another");
            pictures.push(picture);
        }
        assert_eq!(pictures.len(), 11);
    }

    #[test]
    fn signs_have_a_board_and_a_figure_of_their_own() {
        let mut figures = Vec::new();
        for sign in Sign::ALL {
            let cover = |i: u16| sign.at(f32::from(i % 40) / 40.0, f32::from(i / 40) / 40.0);
            let figure: Vec<bool> = (0..1600).map(|i| cover(i).1 > 0.5).collect();
            let inside = figure.iter().filter(|&&inside| inside).count();
            assert!((100..700).contains(&inside), "{sign:?}: {inside}");
            assert!((0..1600).all(|i| cover(i).0 >= cover(i).1), "{sign:?} leaves its board");
            assert!(!figures.contains(&figure));
            figures.push(figure);
        }
    }
}
