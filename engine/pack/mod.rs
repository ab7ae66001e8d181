//! Packing: which past frames the model sees, how coarsely, and at which positions.
//!
//! Arithmetic on integers alone: no tensors and no floats, so that a plan can be printed, tested,
//! recorded and replayed exactly. [`Schedule`] reads FramePack's notation (FramePack §5.1),
//! [`Schedule::plan`] fills it with frames, [`Budget`] counts what it costs.
//!
//! FramePack: L. Zhang, S. Cai, M. Li, G. Wetzstein, M. Agrawala, "Frame Context Packing and Drift
//! Prevention in Next-Frame-Prediction Video Diffusion Models".

mod budget;
mod drawing;
mod fill;
mod kernel;
mod known;
mod order;
#[cfg(test)]
mod paper_tests;
mod parse;
mod plan;
#[cfg(test)]
mod plan_tests;
mod progression;
mod schedule;
#[cfg(test)]
mod schedule_tests;
mod table;
mod timeline;
#[cfg(test)]
mod timeline_tests;

pub use budget::Budget;
pub use kernel::{Grid, Kernel};
pub use known::Known;
pub use plan::{
    Arrangement, Group, HistoryView, PackPlan, PlanError, PlanRules, SLOT_GAP, Slot, SlotKind,
    TAIL_MAX, WINDOW_MAX,
};
pub use progression::{Progression, ProgressionError, Ratio, Shape};
pub use schedule::{DiscreteMark, Order, Part, Schedule, ScheduleError, Tail, Tier};
pub use timeline::BLANK_MAX;
