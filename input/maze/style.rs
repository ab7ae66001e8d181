//! How each room looks: its materials, colours and signs.

use super::pattern::{Pattern, Sign};
use super::texture::Texture;
use crate::random::Random;

/// Side of wall textures: 128 pixels, so that a wall is sharp from half a cell away.
const WALL_BITS: u32 = 7;

/// Side of floor and ceiling textures: 64 pixels, as nobody gets closer than half a cell.
pub(super) const FLOOR_BITS: u32 = 6;

/// Signs of one room.
pub(super) const SIGNS: usize = 2;

/// The textures of one room or of the corridors.
#[derive(Clone, Debug)]
pub(super) struct Style {
    pub(super) wall: Texture,
    pub(super) signs: [Texture; SIGNS],
    pub(super) floor: Texture,
    pub(super) ceiling: Texture,
}

/// Colour as hue (in turns), saturation and value, the last two in `0..=1`.
#[derive(Clone, Copy, Debug)]
struct Hsv(f32, f32, f32);

/// Draws the styles of the corridors (first) and of `rooms` rooms. Hues of rooms are spread over
/// the colour circle, and no pattern comes again before all others had their turn.
pub(super) fn draw(random: &mut Random, rooms: usize) -> Vec<Style> {
    let first_hue = random.unit();
    let mut patterns = Pattern::WALLS.to_vec();
    shuffle(random, &mut patterns);
    let mut signs = Sign::ALL.to_vec();
    shuffle(random, &mut signs);
    let corridor = draw_style(random, (Pattern::Bricks, 0.09, 0.16), &signs);
    let mut styles = vec![corridor];
    let mut hue = first_hue;
    for room in 0..rooms {
        // The golden ratio spreads any number of hues without near neighbours.
        hue = (hue + 0.618_034).fract();
        let pattern = patterns[room % patterns.len()];
        signs.rotate_left(SIGNS);
        styles.push(draw_style(random, (pattern, hue, 0.55), &signs));
    }
    styles
}

fn draw_style(
    random: &mut Random,
    (pattern, hue, saturation): (Pattern, f32, f32),
    signs: &[Sign],
) -> Style {
    let base = Hsv(hue, saturation * random.between(0.8, 1.2), random.between(0.68, 0.88));
    // The second colour is a lighter or a darker one of nearly the same hue: rooms read as one.
    let contrast = if random.chance(0.5) { 0.55 } else { 1.25 };
    let accent =
        Hsv(hue + random.between(-0.06, 0.06), base.1 * 0.7, (base.2 * contrast).min(0.97));
    let ground =
        Hsv(hue + random.between(0.3, 0.7), random.between(0.2, 0.4), random.between(0.4, 0.6));
    let joint = Hsv(ground.0, ground.1, ground.2 * 0.62);
    let above = Hsv(hue, random.between(0.05, 0.2), random.between(0.6, 0.8));
    let seed = random.bits();
    let floor = random.pick(&Pattern::FLOORS);
    let paint = |pattern: Pattern, (a, b): (Hsv, Hsv), u: f32, v: f32| {
        let (mix, brightness) = pattern.at(u, v, seed);
        blend(rgb(a), rgb(b), mix).map(|channel| channel * brightness)
    };
    let sign_hue = hue + 0.5;
    let wall = Texture::draw(WALL_BITS, |u, v| bytes(paint(pattern, (base, accent), u, v)));
    Style {
        signs: std::array::from_fn(|i| {
            let figure = rgb(Hsv(sign_hue + 0.27 * if i == 0 { 0.0 } else { 1.0 }, 0.85, 0.95));
            let board = rgb(if i == 0 { Hsv(0.12, 0.06, 0.97) } else { Hsv(hue, 0.3, 0.18) });
            wall.painted(|u, v, under| {
                let (on_board, on_figure) = signs[i].at(u, v);
                let behind = blend(under.map(|byte| f32::from(byte) / 255.0), board, on_board);
                bytes(blend(behind, figure, on_figure))
            })
        }),
        wall,
        floor: Texture::draw(FLOOR_BITS, |u, v| bytes(paint(floor, (ground, joint), u, v))),
        ceiling: Texture::draw(FLOOR_BITS, |u, v| {
            // Plain plaster with a dark beam along two edges, so that motion can be seen above.
            let beam = if u < 0.07 || v < 0.07 { 0.7 } else { 1.0 };
            bytes(paint(Pattern::Plaster, (above, above), u, v).map(|channel| channel * beam))
        }),
    }
}

/// Draws an order, each as likely as any other (Fisher and Yates).
fn shuffle<T>(random: &mut Random, items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, random.below(last + 1));
    }
}

fn rgb(Hsv(hue, saturation, value): Hsv) -> [f32; 3] {
    [0.0, 2.0 / 3.0, 1.0 / 3.0].map(|offset| {
        let place = (hue + offset).rem_euclid(1.0) * 6.0;
        let amount = ((place - 3.0).abs() - 1.0).clamp(0.0, 1.0);
        value * (1.0 - saturation.clamp(0.0, 1.0) * (1.0 - amount))
    })
}

fn blend(a: [f32; 3], b: [f32; 3], weight: f32) -> [f32; 3] {
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * weight)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte")]
fn bytes(colour: [f32; 3]) -> [u8; 3] {
    colour.map(|channel| (channel.clamp(0.0, 1.0) * 255.0 + 0.5) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hues_become_the_colours_of_their_names() {
        assert_eq!(bytes(rgb(Hsv(0.0, 1.0, 1.0))), [255, 0, 0]);
        assert_eq!(bytes(rgb(Hsv(1.0 / 3.0, 1.0, 1.0))), [0, 255, 0]);
        assert_eq!(bytes(rgb(Hsv(2.0 / 3.0, 1.0, 1.0))), [0, 0, 255]);
        assert_eq!(bytes(rgb(Hsv(0.4, 0.0, 0.5))), [128; 3]);
    }

    #[test]
    fn rooms_of_one_maze_have_walls_of_different_colours() {
        let styles = draw(&mut Random::new(5, 0), 8);
        let mut means: Vec<_> = styles.iter().map(|s| s.wall.level_for(1.0).sample(0, 0)).collect();
        means.sort_unstable();
        means.dedup();
        assert_eq!(means.len(), 9);
    }
}
