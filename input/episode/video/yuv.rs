//! RGB to and from YUV 4:2:0, BT.601 in limited range, as players assume for small pictures.

use rusty_h264::YuvFrame;

/// Fills `out` from `(H, W, 3)` RGB bytes; `width` and `height` of `out` are even.
pub(super) fn from_rgb(rgb: &[u8], out: &mut YuvFrame) {
    let (width, row_bytes) = (out.width, out.width * 3);
    for (pixel, y) in rgb.chunks_exact(3).zip(&mut out.y) {
        let [r, g, b] = [0, 1, 2].map(|i| i32::from(pixel[i]));
        *y = byte(((66 * r + 129 * g + 25 * b + 128) >> 8) + 16);
    }
    let chroma = out.u.chunks_exact_mut(width / 2).zip(out.v.chunks_exact_mut(width / 2));
    for (rows, (u_row, v_row)) in rgb.chunks_exact(2 * row_bytes).zip(chroma) {
        let (upper, lower) = rows.split_at(row_bytes);
        let blocks = upper.chunks_exact(6).zip(lower.chunks_exact(6));
        for ((above, below), (u, v)) in blocks.zip(u_row.iter_mut().zip(v_row)) {
            let sum = |i: usize| [above[i], above[i + 3], below[i], below[i + 3]].map(i32::from);
            // Sums of four pixels, so that two more bits are shifted out below.
            let [r, g, b] = [0, 1, 2].map(|i| sum(i).iter().sum::<i32>());
            *u = byte(((-38 * r - 74 * g + 112 * b + 512) >> 10) + 128);
            *v = byte(((112 * r - 94 * g - 18 * b + 512) >> 10) + 128);
        }
    }
}

/// Appends the `(H, W, 3)` RGB bytes of `frame` to `out`.
pub(super) fn to_rgb(frame: &YuvFrame, out: &mut Vec<u8>) {
    out.reserve(frame.width * frame.height * 3);
    for (row, luma) in frame.y.chunks_exact(frame.width).enumerate() {
        let start = row / 2 * (frame.width / 2);
        for (column, &y) in luma.iter().enumerate() {
            let at = start + column / 2;
            let c = 298 * (i32::from(y) - 16) + 128;
            let (d, e) = (i32::from(frame.u[at]) - 128, i32::from(frame.v[at]) - 128);
            let [r, g, b] = [c + 409 * e, c - 100 * d - 208 * e, c + 516 * d];
            out.extend([r, g, b].map(|value| byte(value >> 8)));
        }
    }
}

#[expect(clippy::cast_sign_loss, reason = "clamped to a byte")]
fn byte(value: i32) -> u8 {
    value.clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// One colour survives but for the rounding of 8-bit limited range: 219 luma steps.
        #[test]
        fn plain_colours_survive(colour: [u8; 3]) {
            let mut yuv = YuvFrame::black(4, 2);
            from_rgb(&colour.repeat(8), &mut yuv);
            let mut rgb = Vec::new();
            to_rgb(&yuv, &mut rgb);
            prop_assert_eq!(rgb.len(), 24);
            for (got, wanted) in rgb.iter().zip(colour.iter().cycle()) {
                prop_assert!(got.abs_diff(*wanted) <= 4, "{rgb:?} for {colour:?}");
            }
        }
    }

    #[test]
    fn white_and_black_are_those_of_the_standard() {
        for (rgb, luma) in [([255; 3], 235), ([0; 3], 16)] {
            let mut yuv = YuvFrame::black(2, 2);
            from_rgb(&rgb.repeat(4), &mut yuv);
            assert_eq!((yuv.y[0], yuv.u[0], yuv.v[0]), (luma, 128, 128));
        }
    }
}
