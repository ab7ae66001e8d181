//! Oneiro.
pub mod clock;
pub mod dream;
pub mod gate;
pub mod hash;
pub mod histogram;
pub mod latest;
pub mod pace;
#[cfg(feature = "window")]
pub mod present;
pub mod queue;
pub mod stage;
pub mod start;
pub mod stats;
pub mod stream;
pub mod walk;
