//! The realtime network: a plain one-stream diffusion transformer whose history can be cached.
//!
//! A *group* (a run of frames packed by one kernel) goes through the blocks attending only to
//! itself, so that its keys and values depend on the group and the weights alone. The tokens of a
//! section attend to all placed groups and to themselves. Unlike the released `FramePack`, history
//! never sees the section. A variant, [`HistoryAttention::Causal`], lets groups attend to earlier ones, and cannot be
//! cached. The section's own tokens begin with the newest frame as the actions move it.

mod block;
mod config;
mod history;
mod motion;
mod patchify;
mod rendering;
mod rope;
mod span;
mod step;
mod world;

pub use config::{Embedding, HistoryAttention, ModelConfig};
pub(crate) use history::causal;
pub use history::{GroupKv, PlacedContext, PlannedGroup};
pub(crate) use motion::{FILTERS, WINDOW};
pub use patchify::{embed_cells, patchify, unpatchify};
pub use rope::{Rotary, group_phases, section_phases};
pub use span::spanned;
pub use step::StepSize;
pub use world::{Answer, Batch, GroupTokens, Lead, WorldModel};

#[cfg(test)]
mod tests;
