//! Small square pictures that are read between their points, at any size.

/// A pixel as `0x00RRGGBB`, so that two channels are mixed by one multiplication.
pub(super) type Packed = u32;

const RED_BLUE: u32 = 0x00FF_00FF;
const GREEN: u32 = 0x0000_FF00;

/// Packs three channels.
pub(super) fn pack([r, g, b]: [u8; 3]) -> Packed {
    u32::from(r) << 16 | u32::from(g) << 8 | u32::from(b)
}

/// The three channels.
pub(super) fn unpack(pixel: Packed) -> [u8; 3] {
    let [_, r, g, b] = pixel.to_be_bytes();
    [r, g, b]
}

/// `a` at `weight` 0, `b` at 256.
#[inline]
pub(super) fn lerp(a: Packed, b: Packed, weight: u32) -> Packed {
    let red_blue = (a & RED_BLUE) * (256 - weight) + (b & RED_BLUE) * weight;
    let green = (a & GREEN) * (256 - weight) + (b & GREEN) * weight;
    red_blue >> 8 & RED_BLUE | green >> 8 & GREEN
}

/// A colour at `brightness` 0 (black) to 256 (unchanged).
#[inline]
pub(super) fn dim(colour: Packed, brightness: u32) -> Packed {
    let red_blue = (colour & RED_BLUE) * brightness;
    let green = (colour & GREEN) * brightness;
    red_blue >> 8 & RED_BLUE | green >> 8 & GREEN
}

/// The mean of two colours.
#[inline]
pub(super) fn mean(a: Packed, b: Packed) -> Packed {
    (a & b) + ((a ^ b) >> 1 & 0x007F_7F7F)
}

/// A picture and its halves, quarters, and so on down to one pixel; it repeats in both directions.
#[derive(Clone, Debug)]
pub(super) struct Texture {
    /// Side of the largest level as a power of two.
    bits: u32,
    levels: Vec<Vec<Packed>>,
}

/// One level of a texture, ready to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level<'a> {
    /// Side as a power of two.
    pub(super) bits: u32,
    pixels: &'a [Packed],
}

impl Texture {
    /// Draws a picture of `2^bits` pixels a side by asking `colour` at places in `0..1`.
    pub(super) fn draw(bits: u32, colour: impl Fn(f32, f32) -> [u8; 3]) -> Self {
        let largest = places(bits).map(|(u, v)| pack(colour(u, v))).collect();
        Self::with_levels(bits, largest)
    }

    /// The same picture painted over: `colour` is asked with each place and what lies there.
    pub(super) fn painted(&self, colour: impl Fn(f32, f32, [u8; 3]) -> [u8; 3]) -> Self {
        let under = self.levels[0].iter().map(|&pixel| unpack(pixel));
        let pixels = places(self.bits).zip(under).map(|((u, v), under)| colour(u, v, under));
        Self::with_levels(self.bits, pixels.map(pack).collect())
    }

    fn with_levels(bits: u32, largest: Vec<Packed>) -> Self {
        let mut levels = vec![largest];
        for level in (0..bits).rev() {
            let halved = halve(&levels[levels.len() - 1], 1 << (level + 1));
            levels.push(halved);
        }
        Self { bits, levels }
    }

    /// The level with at most about one pixel per `footprint`, a part of the picture's side that
    /// one pixel of the screen covers.
    #[inline]
    pub(super) fn level_for(&self, footprint: f32) -> Level<'_> {
        self.level(smaller_levels(self.bits, footprint))
    }

    /// The picture halved `times` times, at most down to one pixel.
    #[inline]
    pub(super) fn level(&self, times: u32) -> Level<'_> {
        let times = times.min(self.bits);
        Level { bits: self.bits - times, pixels: &self.levels[times as usize] }
    }
}

/// How often a picture of `2^bits` pixels a side is halved to fit `footprint`.
pub(super) fn smaller_levels(bits: u32, footprint: f32) -> u32 {
    let mut texels = footprint * (1_u32 << bits) as f32;
    let mut times = 0;
    // A little sharper than one to one: reading between pixels blurs by itself.
    while texels > 1.3 && times < bits {
        texels *= 0.5;
        times += 1;
    }
    times
}

/// The middles of all pixels, row by row.
fn places(bits: u32) -> impl Iterator<Item = (f32, f32)> {
    let side = 1_u16 << bits;
    let place = move |i: u16| (f32::from(i) + 0.5) / f32::from(side);
    (0..side).flat_map(move |y| (0..side).map(move |x| (place(x), place(y))))
}

impl Level<'_> {
    /// The colour at a place in 1/256 pixels of this level, mixed from the four pixels around it.
    #[inline]
    pub(super) fn sample(&self, u: u32, v: u32) -> Packed {
        let mask = (1_u32 << self.bits) - 1;
        // Pixels have their colour in their middle.
        let (u, v) = (u.wrapping_sub(128), v.wrapping_sub(128));
        let (x0, y0) = (u >> 8 & mask, v >> 8 & mask);
        let (x1, y1) = ((x0 + 1) & mask, (y0 + 1) & mask);
        let at = |x: u32, y: u32| self.pixels[(y << self.bits | x) as usize];
        let upper = lerp(at(x0, y0), at(x1, y0), u & 255);
        let lower = lerp(at(x0, y1), at(x1, y1), u & 255);
        lerp(upper, lower, v & 255)
    }
}

fn halve(pixels: &[Packed], side: usize) -> Vec<Packed> {
    let rows = pixels.chunks_exact(2 * side).map(|pair| pair.split_at(side));
    rows.flat_map(|(upper, lower)| {
        upper.chunks_exact(2).zip(lower.chunks_exact(2)).map(|(a, b)| {
            // In 64 bits, channels 16 apart: four values add without touching their neighbour.
            let spread = |c: Packed| u64::from(c & RED_BLUE) | u64::from(c & GREEN) << 32;
            let sum = spread(a[0]) + spread(a[1]) + spread(b[0]) + spread(b[1]);
            let channel =
                |shift: u32| u8::try_from(((sum >> shift & 0x3FF) + 2) >> 2).unwrap_or(255);
            pack([channel(16), channel(40), channel(0)])
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixing_keeps_channels_apart() {
        let (a, b) = (pack([255, 0, 10]), pack([0, 255, 20]));
        assert_eq!(lerp(a, b, 0), a);
        assert_eq!(lerp(a, b, 256), b);
        assert_eq!(lerp(a, b, 128), pack([127, 127, 15]));
        assert_eq!(mean(a, b), pack([127, 127, 15]));
        assert_eq!(dim(a, 128), pack([127, 0, 5]));
        assert_eq!(dim(a, 256), a);
    }

    #[test]
    fn smaller_levels_keep_the_mean_colour() {
        let texture =
            Texture::draw(3, |x, y| if x < 0.5 && y < 0.5 { [240, 80, 4] } else { [0; 3] });
        let whole = texture.level_for(1.0);
        assert_eq!(whole.bits, 0);
        assert_eq!(whole.sample(0, 0), pack([60, 20, 1]));
    }

    #[test]
    fn places_are_read_between_the_four_pixels_around() {
        let texture = Texture::draw(1, |x, _| if x < 0.5 { [0; 3] } else { [200; 3] });
        let level = texture.level_for(0.0);
        assert_eq!(level.sample(128, 128), 0, "middle of the left pixel");
        assert_eq!(level.sample(384, 128), pack([200; 3]), "middle of the right pixel");
        assert_eq!(level.sample(256, 128), pack([100; 3]), "halfway");
        assert_eq!(level.sample(512, 128), pack([100; 3]), "halfway to the next repetition");
    }
}
