//! Pictures as the networks see them.
//!
//! Resampling follows Pillow, whose pictures the published weights were trained on: along rows and then along columns,
//! each time rounded to bytes, with a filter that widens where a picture shrinks.

use candle_core::{DType, Device, Result, Tensor, bail};
use input::Frame;

/// Values of a pixel: red, green, blue.
const COLOURS: usize = 3;

/// A filter that resamples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Cubic, a = -1/2: two pixels on each side.
    Bicubic,
    /// Lanczos: three pixels on each side.
    Lanczos,
}

impl Filter {
    /// Pixels on each side.
    fn reach(self) -> f64 {
        match self {
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// The weight of a pixel at this distance.
    fn weight(self, distance: f64) -> f64 {
        let x = distance.abs();
        match self {
            Self::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Self::Lanczos if x < 3.0 => sinc(x) * sinc(x / 3.0),
            Self::Bicubic | Self::Lanczos => 0.0,
        }
    }
}

fn sinc(x: f64) -> f64 {
    let angle = std::f64::consts::PI * x;
    if angle == 0.0 { 1.0 } else { angle.sin() / angle }
}

/// The picture stretched to another size.
pub fn resampled(frame: &Frame, width: u32, height: u32, filter: Filter) -> Frame {
    let mut frame = frame.clone();
    if width != frame.width {
        frame = along_rows(&frame, width, filter);
    }
    if height != frame.height {
        frame = transposed(&along_rows(&transposed(&frame), height, filter));
    }
    frame
}

/// The middle of the picture, scaled until it just covers another size.
pub fn covering(frame: &Frame, width: u32, height: u32) -> Frame {
    if (frame.width, frame.height) == (width, height) {
        return frame.clone();
    }
    let scale = ratio(width, frame.width).max(ratio(height, frame.height));
    let side = |length: u32, least: u32| rounded(f64::from(length) * scale).max(least);
    let (wide, high) = (side(frame.width, width), side(frame.height, height));
    let scaled = resampled(frame, wide, high, Filter::Lanczos);
    let before = |length: u32, kept: u32| rounded(f64::from(length - kept) / 2.0) as usize;
    let (left, top) = (before(wide, width), before(high, height));
    let rows = scaled.pixels.chunks_exact(wide as usize * COLOURS).skip(top).take(height as usize);
    let row = |row: &'_ [u8]| row[left * COLOURS..][..width as usize * COLOURS].to_vec();
    Frame { width, height, pixels: rows.flat_map(row).collect() }
}

/// That there are pixels, and as many as the size says.
///
/// # Errors
/// There are not.
pub(crate) fn check(frame: &Frame) -> Result<()> {
    let Frame { width, height, ref pixels } = *frame;
    if pixels.is_empty() || pixels.len() != Frame::byte_count(width, height) {
        bail!("expected {width}x{height} pixels of RGB, got {} bytes", pixels.len());
    }
    Ok(())
}

/// The picture in -1..=1: (3, height, width).
///
/// # Errors
/// Its bytes are not as many as its size says.
pub fn tensor(frame: &Frame, device: &Device) -> Result<Tensor> {
    check(frame)?;
    let Frame { width, height, ref pixels } = *frame;
    let values: Vec<f32> = pixels.iter().map(|&byte| f32::from(byte) / 127.5 - 1.0).collect();
    let picture = Tensor::from_vec(values, (height as usize, width as usize, COLOURS), device)?;
    picture.permute((2, 0, 1))?.contiguous()
}

/// A picture of values in -1..=1, (3, height, width), what lies outside of them clamped.
///
/// # Errors
/// The tensor has another shape.
pub fn frame(picture: &Tensor) -> Result<Frame> {
    let (colours, height, width) = picture.dims3()?;
    if colours != COLOURS {
        bail!("expected pictures of {COLOURS} colours, got {colours}");
    }
    let values = picture.permute((1, 2, 0))?.to_dtype(DType::F32)?.flatten_all()?;
    let values = values.to_vec1::<f32>()?;
    let pixels = values.iter().map(|&value| byte(f64::from(value) * 127.5 + 127.5)).collect();
    Ok(Frame { width: u32::try_from(width)?, height: u32::try_from(height)?, pixels })
}

fn along_rows(frame: &Frame, width: u32, filter: Filter) -> Frame {
    let windows = windows(frame.width, width, filter);
    let mut pixels = Vec::with_capacity(Frame::byte_count(width, frame.height));
    for row in frame.pixels.chunks_exact(frame.width as usize * COLOURS) {
        for (first, weights) in &windows {
            for colour in 0..COLOURS {
                let values = row[first * COLOURS + colour..].iter().step_by(COLOURS);
                let sum: f64 = values.zip(weights).map(|(&p, w)| f64::from(p) * w).sum();
                pixels.push(byte(sum));
            }
        }
    }
    Frame { width, height: frame.height, pixels }
}

fn transposed(frame: &Frame) -> Frame {
    let (width, height) = (frame.width as usize, frame.height as usize);
    let pixel = |at: usize| {
        let at = ((at % height) * width + at / height) * COLOURS;
        &frame.pixels[at..at + COLOURS]
    };
    let pixels = (0..width * height).flat_map(pixel).copied().collect();
    Frame { width: frame.height, height: frame.width, pixels }
}

/// The pixels of `from` that each of `to` pixels sums: the first, and their weights.
fn windows(from: u32, to: u32, filter: Filter) -> Vec<(usize, Vec<f64>)> {
    let scale = ratio(from, to);
    let widen = scale.max(1.0);
    let reach = filter.reach() * widen;
    let window = |at: u32| {
        let centre = (f64::from(at) + 0.5) * scale;
        let first = whole(centre - reach + 0.5);
        let end = whole(centre + reach + 0.5).min(from);
        let weight = |x: u32| filter.weight((f64::from(x) - centre + 0.5) / widen);
        let sum: f64 = (first..end).map(weight).sum();
        (first as usize, (first..end).map(|x| weight(x) / sum).collect())
    };
    (0..to).map(window).collect()
}

fn ratio(a: u32, b: u32) -> f64 {
    f64::from(a) / f64::from(b)
}

/// The whole part, 0 below 0.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by a side")]
fn whole(x: f64) -> u32 {
    x.max(0.0) as u32
}

/// The nearest whole number, of two the even one, as where the reference rounds a size.
fn rounded(x: f64) -> u32 {
    whole(x.round_ties_even())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
fn byte(x: f64) -> u8 {
    x.round().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{Golden, golden};
    use proptest::prelude::*;

    fn picture(golden: &Golden, name: &str) -> Frame {
        let tensor = &golden.tensors[name];
        let (height, width, _) = tensor.dims3().unwrap();
        let pixels = tensor.flatten_all().unwrap().to_vec1().unwrap();
        Frame {
            width: u32::try_from(width).unwrap(),
            height: u32::try_from(height).unwrap(),
            pixels,
        }
    }

    #[test]
    fn pictures_are_resampled_like_the_reference() {
        let golden = golden("encoders_tiny.safetensors");
        let original = picture(&golden, "picture");
        for (name, filter) in [("bicubic", Filter::Bicubic), ("lanczos", Filter::Lanczos)] {
            for size in ["smaller", "larger"] {
                let want = picture(&golden, &format!("picture_{name}_{size}"));
                let got = resampled(&original, want.width, want.height, filter);
                // The reference's weights are rounded: a value next to a half may round the other way, twice.
                let apart = got.pixels.iter().zip(&want.pixels).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(apart <= Some(1), "{name} {size}: off by {apart:?}");
                assert_eq!(got.pixels.len(), want.pixels.len());
            }
        }
    }

    #[test]
    fn the_middle_is_kept_and_told_in_units() {
        let stripes: Vec<u8> = [0, 0, 0, 0, 255, 255, 0, 0].iter().flat_map(|&v| [v; 3]).collect();
        let picture = Frame { width: 8, height: 2, pixels: stripes.repeat(2) };
        let middle = covering(&picture, 2, 2);
        assert_eq!(middle.pixels, [0, 0, 0, 255, 255, 255].repeat(2));
        assert_eq!(covering(&picture, 8, 2), picture);
        let tensor_of = |frame| tensor(frame, &Device::Cpu);
        let green = tensor_of(&middle).unwrap().get(1).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(green, [[-1.0, 1.0], [-1.0, 1.0]]);
        assert_eq!(frame(&tensor_of(&middle).unwrap()).unwrap(), middle);
        let beyond = (tensor_of(&middle).unwrap() * 1.5).unwrap();
        assert_eq!(frame(&beyond).unwrap(), middle);
        let short = Frame { width: 1, height: 2, pixels: vec![0; 5] };
        let error = tensor_of(&short).unwrap_err().to_string();
        assert!(error.contains("1x2 pixels of RGB, got 5 bytes"), "{error}");
    }

    proptest! {
        #[test]
        fn one_colour_stays_it(
            (width, height, to_width, to_height) in (1_u32..20, 1_u32..20, 1_u32..30, 1_u32..30),
            colour: [u8; 3],
        ) {
            let picture = Frame::filled(width, height, colour);
            let want = Frame::filled(to_width, to_height, colour);
            for filter in [Filter::Bicubic, Filter::Lanczos] {
                prop_assert_eq!(&resampled(&picture, to_width, to_height, filter), &want);
            }
            prop_assert_eq!(covering(&picture, to_width, to_height), want);
        }
    }
}
