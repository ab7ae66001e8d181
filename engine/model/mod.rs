//! The realtime network: a plain one-stream diffusion transformer whose history can be cached.
//!
//! A *group* (a run of frames packed by one kernel) goes through the blocks attending only to
//! itself, so that its keys and values depend on the group and the weights alone. The tokens of a
//! section attend to all placed groups and to themselves. Unlike the released `FramePack`, history
//! never sees the section.

mod block;
mod config;
mod patchify;
mod rope;
mod span;
mod world;

pub use config::{Embedding, ModelConfig};
pub use patchify::{embed_cells, patchify, unpatchify};
pub use rope::{group_phases, section_phases};
pub use span::spanned;
pub use world::{Batch, GroupKv, GroupTokens, PlacedContext, StepSize, WorldModel};
