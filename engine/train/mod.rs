//! Training, on the CPU and on CUDA.

mod checkpoint;
mod clip;
mod groups;
mod init;
mod latents;
mod optimizer;
mod world;

pub use checkpoint::Checkpoint;
pub use clip::{ClipSampler, Sample};
pub use init::initial_weights;
pub use latents::LatentEpisode;
pub use optimizer::{Muon, MuonConfig};
pub use world::{WorldStep, WorldTrainer, WorldTraining};
