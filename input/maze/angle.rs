//! Sine and cosine that give the same bits on every machine; the system's may not.

use glam::Vec2;

/// The direction of `degrees` counter-clockwise from the x axis, to seven digits.
pub(super) fn direction(degrees: f32) -> Vec2 {
    let quarter = (degrees / 90.0).round();
    let x = (degrees - quarter * 90.0).to_radians();
    let square = x * x;
    // Taylor series; at an eighth of a turn the first term left out is below one unit of rounding.
    let sine = x
        * (1.0
            + square
                * (-1.0 / 6.0
                    + square * (1.0 / 120.0 + square * (-1.0 / 5040.0 + square / 362_880.0))));
    let cosine =
        1.0 + square * (-0.5 + square * (1.0 / 24.0 + square * (-1.0 / 720.0 + square / 40320.0)));
    let turned = quarter.rem_euclid(4.0);
    if turned < 0.5 {
        Vec2::new(cosine, sine)
    } else if turned < 1.5 {
        Vec2::new(-sine, cosine)
    } else if turned < 2.5 {
        Vec2::new(-cosine, -sine)
    } else {
        Vec2::new(sine, -cosine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_those_of_the_system_to_seven_digits() {
        for step in -800..800_i16 {
            let degrees = f32::from(step) * 0.9;
            let radians = f64::from(degrees).to_radians();
            let got = direction(degrees);
            assert!((f64::from(got.x) - radians.cos()).abs() < 3e-7, "{degrees}");
            assert!((f64::from(got.y) - radians.sin()).abs() < 3e-7, "{degrees}");
        }
    }
}
