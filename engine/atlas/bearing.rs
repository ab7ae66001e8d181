//! Where a view lies, as seen from another place.

use super::Pose;

/// Features of a bearing.
pub(crate) const BEARING: usize = 4;

/// Steps that count as one: about how far apart views are.
const STEPS: f32 = 4.0;
/// Degrees that count as one.
const DEGREES: f32 = 15.0;
/// Largest number that is told.
const MOST: f32 = 3.0;

/// How far to the left of what is looked at from here a view looks, in degrees of -180..180; so also how far one turned who
/// looked that way first.
pub(crate) fn turned(here: Pose, view: Pose) -> f32 {
    (view.yaw - here.yaw + 180.0).rem_euclid(360.0) - 180.0
}

/// A view's place as the network is told it: 1 for being known, then how far ahead and to the left it was seen from,
/// and how far to the left it looks. All are 0 of a view whose place is not known.
pub(crate) fn bearing(here: Pose, view: Pose) -> [f32; BEARING] {
    let (dx, dy) = (view.x - here.x, view.y - here.y);
    let (sin, cos) = here.yaw.to_radians().sin_cos();
    let told = |value: f32| value.clamp(-MOST, MOST);
    [
        1.0,
        told((dx * cos + dy * sin) / STEPS),
        told((dy * cos - dx * sin) / STEPS),
        told(turned(here, view) / DEGREES),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearing_is_ahead_left_and_turned_left() {
        let here = Pose { x: 10.0, y: 5.0, yaw: 90.0 };
        for (x, y, yaw, expected) in [
            (10.0, 5.0, 90.0, [0.0, 0.0, 0.0]),
            (10.0, 9.0, 90.0, [1.0, 0.0, 0.0]),
            (8.0, 5.0, 105.0, [0.0, 0.5, 1.0]),
            (10.0, 5.0, 60.0, [0.0, 0.0, -2.0]),
            (500.0, 5.0, 460.0, [0.0, -3.0, 2.0 / 3.0]),
        ] {
            let got = bearing(here, Pose { x, y, yaw });
            let near = got[1..].iter().zip(expected).all(|(got, want)| (got - want).abs() < 1e-4);
            assert!(near && got[0] == 1.0, "{got:?}, expected {expected:?}");
        }
    }
}
