//! Training, on the CPU and on CUDA.

mod adapted;
mod charted;
mod checkpoint;
mod clip;
mod codec;
mod forcing;
mod groups;
mod history;
mod init;
mod latents;
mod optimizer;
mod rollout;
mod scene;
mod schedules;
mod slopes;
mod surroundings;
mod teacher;
mod world;

pub use candle_core::Tensor;
pub(crate) use checkpoint::save_atomically;
pub use checkpoint::{Checkpoint, load_weights, save_half, save_weights};
pub use codec::{CodecStep, CodecTrainer, CodecTraining, initial_codec_weights};
pub use forcing::{DrawnShare, Forcing};
pub use init::initial_weights;
pub use latents::LatentEpisode;
pub use optimizer::{Muon, MuonConfig};
pub use schedules::DrawnSchedule;
pub(crate) use world::rate_at;
pub use world::{WorldStep, WorldTrainer, WorldTraining};
