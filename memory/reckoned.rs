//! Where actions have led: dead reckoning, and how far it is to be believed.

use crate::pose::Pose;

/// Where the actions of a branch have led from where it began. The unit of length is a step: a tick's
/// walking at full speed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reckoned {
    /// The place, which is approximate, and the heading, which is exact.
    pub pose: Pose,
    /// Steps walked on the way.
    pub walked: f32,
}

/// Steps that a view may be away and still show the same.
const STEPS: f32 = 12.0;
/// The same where places are known on a map.
const STEPS_ON_MAP: f32 = 4.0;
/// Steps that reckoning is off by for each step walked: who walks into a wall is reckoned to have gone
/// through it.
const STEPS_OFF: f32 = 0.1;
/// Degrees that a view may be turned away and still show the same.
const DEGREES: f32 = 10.0;

impl Reckoned {
    /// How near the views from two places of one branch are, in 0..=1: `exp(-(Δs / σ)² - (Δφ / 10°)²)`,
    /// where Δs is the distance in steps, Δφ the angle between the headings, and `σ² = 12² + (w / 10)²`
    /// after `w` steps on the way from one to the other. After a long way the heading alone tells.
    ///
    /// The shape is that of eq. 4; the numbers found the most frames that show a returning view, of
    /// those seen half a minute before in both shipped worlds and four minutes before in mazes. The
    /// share of the view that the other covers, as in [`Ranking::Pose`](crate::Ranking::Pose), found
    /// half to three fifths as many: of places that are only nearly known, those that overlap most
    /// are rarely those that look the same.
    #[must_use]
    pub fn nearness(self, other: Self) -> f32 {
        let off = STEPS_OFF * (self.walked - other.walked);
        self.bell(other, STEPS * STEPS + off * off)
    }

    /// The same of places on one map, which says where walls are: `σ` is 4 steps however long the way. Views of a map
    /// lie about as far apart.
    #[must_use]
    pub fn nearness_on_map(self, other: Self) -> f32 {
        self.bell(other, STEPS_ON_MAP * STEPS_ON_MAP)
    }

    fn bell(self, other: Self, square: f32) -> f32 {
        let (dx, dy) = (self.pose.x - other.pose.x, self.pose.y - other.pose.y);
        let turn = (self.pose.yaw - other.pose.yaw).rem_euclid(360.0);
        let turn = turn.min(360.0 - turn) / DEGREES;
        bell((dx * dx + dy * dy) / square + turn * turn)
    }
}

/// `exp(-square)`, and 0 where that is below all normal numbers: so it is for nearly all that is
/// remembered, and there the exponential takes longest.
pub(crate) fn bell(square: f32) -> f32 {
    // ln of the smallest normal number is -87.3.
    if square < 87.0 { (-square).exp() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f32, yaw: f32, walked: f32) -> Reckoned {
        Reckoned { pose: Pose { x, y: 3.0, yaw }, walked }
    }

    #[test]
    fn nearness_falls_with_the_turn_and_with_the_way() {
        let here = at(0.0, 350.0, 50.0);
        let near = |other: Reckoned| {
            assert_eq!(here.nearness(other).to_bits(), other.nearness(here).to_bits());
            here.nearness(other)
        };
        assert_eq!(near(here), 1.0);
        assert!((near(at(12.0, 350.0, 50.0)) - (-1.0_f32).exp()).abs() < 1e-6);
        assert!((near(at(0.0, 0.0, 50.0)) - (-1.0_f32).exp()).abs() < 1e-6, "across north");
        assert!(near(at(0.0, 80.0, 50.0)) > 0.0, "nearly a quarter turn");
        assert_eq!(near(at(0.0, 170.0, 50.0)), 0.0);
        assert!(near(at(30.0, 350.0, 50.0)) < 0.01);
    }

    #[test]
    fn the_longer_the_way_the_less_a_place_tells() {
        let here = at(0.0, 0.0, 1000.0);
        let [soon, late] = [995.0, 0.0].map(|walked| here.nearness(at(30.0, 0.0, walked)));
        assert!(soon < 0.01 && late > 0.9, "{soon} {late}");
        // Headings tell as much as before.
        assert!(here.nearness(at(0.0, 40.0, 0.0)) < 1e-6);
    }
}
