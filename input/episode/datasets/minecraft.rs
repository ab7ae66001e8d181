//! What Minecraft's data sets have in common.

use crate::Pose;

/// A pose from Minecraft's coordinates: x is east and z south, and yaw counts clockwise from south. Here the second axis
/// is north and yaw counts counter-clockwise from east. Height and pitch have no place in a [`Pose`].
pub(super) fn pose(x: f32, z: f32, yaw_degrees: f32) -> Pose {
    Pose { x, y: -z, yaw: -90.0 - yaw_degrees }
}

/// The way from `before` to `degrees`, the shorter way round, in `-180..=180`.
pub(super) fn turned(before: f32, degrees: f32) -> f32 {
    let way = (degrees - before).rem_euclid(360.0);
    if way > 180.0 { way - 360.0 } else { way }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facing_south_is_a_quarter_turn_clockwise_from_east() {
        assert_eq!(pose(3.0, 5.0, 0.0), Pose { x: 3.0, y: -5.0, yaw: -90.0 });
        // West, as seen by someone who turned right from south.
        assert_eq!(turned(pose(0.0, 0.0, 90.0).yaw, 180.0), 0.0);
    }

    #[test]
    fn turns_go_the_shorter_way() {
        assert_eq!(turned(350.0, 10.0), 20.0);
        assert_eq!(turned(10.0, 350.0), -20.0);
        assert_eq!(turned(-170.0, 170.0), -20.0);
    }
}
