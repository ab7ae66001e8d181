//! Where the player stood.

use serde::{Deserialize, Serialize};

/// Place and view direction in the game's own units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pose {
    /// Place along the first axis, in game units.
    pub x: f32,
    /// Place along the second axis, in game units, a quarter turn counter-clockwise from the first.
    pub y: f32,
    /// View direction in degrees counter-clockwise from the first axis, so that `turn > 0` lowers it.
    pub yaw: f32,
}

impl Pose {
    /// Whether all three are finite numbers.
    pub fn is_finite(&self) -> bool {
        self.x.is_finite() && self.y.is_finite() && self.yaw.is_finite()
    }
}
