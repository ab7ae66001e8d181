//! How a world is dreamed, where not as it says itself.

use crate::pack::{Arrangement, Schedule};
use memory::{Ranking, Warm};

/// What the ranking takes for the section to come, X̂.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EstimateBy {
    /// The newest frame.
    #[default]
    Last,
    /// One evaluation of the network under the coming actions.
    Preview,
}

/// How a world is dreamed.
#[derive(Clone, Debug)]
pub struct DreamOptions {
    /// Of the noise.
    pub seed: u64,
    /// Evaluations per section; `None` for the world's own.
    pub evaluations: Option<u32>,
    /// The packing schedule; `None` for the world's own.
    pub schedule: Option<Schedule>,
    /// Which frames go where.
    pub arrangement: Arrangement,
    /// How history is ranked; `None` for the world's own way.
    pub ranking: Option<Ranking>,
    /// What is ranked against.
    pub estimate: EstimateBy,
    /// Whether keys and values are kept; without, every group is encoded for every section.
    pub reuse: bool,
    /// Budget of kept keys and values.
    pub kv_budget_bytes: usize,
    /// Frames that warm memory holds.
    pub warm_frames: usize,
    /// Whether a GPU is given all evaluations of a section at once, as a captured graph. Nothing else may use it then.
    pub at_once: bool,
}

impl Default for DreamOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            evaluations: None,
            schedule: None,
            arrangement: Arrangement::Default,
            ranking: None,
            estimate: EstimateBy::Last,
            reuse: true,
            // About 300 groups of k1 of the shipped size, twice as many on a GPU.
            kv_budget_bytes: 256 << 20,
            warm_frames: Warm::CAPACITY_DEFAULT,
            at_once: false,
        }
    }
}
