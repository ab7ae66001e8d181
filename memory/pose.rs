//! Where a frame was seen from, and how much of one view another covers.

/// A viewpoint on the ground plane.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pose {
    /// East, in the game's units.
    pub x: f32,
    /// North, in the game's units.
    pub y: f32,
    /// Heading in degrees, counter-clockwise from east.
    pub yaw: f32,
}

/// A field of view: a wedge ahead of the pose. Walls are unknown here, so views overlap through
/// them; the reach keeps that within a room.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FieldOfView {
    /// Opening angle in degrees.
    pub degrees: f32,
    /// How far is seen, in the game's units.
    pub reach: f32,
}

/// Points sampled in a view: this many rays at this many distances. Their product fits a mask.
const RAYS: u8 = 12;
const RINGS: u8 = 10;

/// Points sampled in a view.
pub(crate) const POINTS: u8 = RAYS * RINGS;

/// Points of a view, by bit.
pub(crate) type Cover = u128;

impl FieldOfView {
    /// Points spread over the view from `pose`: rays across the angle, distances such that each
    /// stands for the same area.
    pub(crate) fn points(self, pose: Pose) -> Vec<(f32, f32)> {
        let point = |ray: u8, ring: u8| {
            let across = (f32::from(ray) + 0.5) / f32::from(RAYS) - 0.5;
            let angle = (pose.yaw + across * self.degrees).to_radians();
            let far = self.reach * ((f32::from(ring) + 0.5) / f32::from(RINGS)).sqrt();
            (pose.x + far * angle.cos(), pose.y + far * angle.sin())
        };
        (0..RAYS).flat_map(|ray| (0..RINGS).map(move |ring| point(ray, ring))).collect()
    }

    /// Which of `points`, at most 128 of them, the view from `pose` holds.
    pub(crate) fn cover(self, pose: Pose, points: &[(f32, f32)]) -> Cover {
        let (ahead_y, ahead_x) = pose.yaw.to_radians().sin_cos();
        let edge = (self.degrees / 2.0).to_radians().cos();
        let mut cover = 0;
        for (bit, (x, y)) in points.iter().enumerate() {
            let (dx, dy) = (x - pose.x, y - pose.y);
            let far = dx.hypot(dy);
            // The margin keeps a view's own outermost points inside it despite rounding.
            let margin = 1e-4 * self.reach;
            let inside =
                far <= self.reach + margin && dx * ahead_x + dy * ahead_y >= far * edge - margin;
            cover |= Cover::from(inside) << bit;
        }
        cover
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEW: FieldOfView = FieldOfView { degrees: 90.0, reach: 10.0 };
    const HERE: Pose = Pose { x: 3.0, y: -2.0, yaw: 30.0 };

    fn share(pose: Pose) -> u32 {
        VIEW.cover(pose, &VIEW.points(HERE)).count_ones()
    }

    #[test]
    fn a_view_covers_itself_and_nothing_behind() {
        assert_eq!(share(HERE), u32::from(POINTS));
        assert_eq!(share(Pose { yaw: 210.0, ..HERE }), 0);
        assert_eq!(share(Pose { x: 40.0, ..HERE }), 0);
    }

    #[test]
    fn overlap_falls_with_the_turn() {
        let turned = |degrees: f32| share(Pose { yaw: HERE.yaw + degrees, ..HERE });
        assert_eq!(turned(45.0), u32::from(POINTS) / 2);
        assert!(turned(20.0) > turned(45.0) && turned(45.0) > turned(70.0));
        assert_eq!(turned(-45.0), turned(45.0));
        assert_eq!(turned(360.0), u32::from(POINTS));
    }
}
