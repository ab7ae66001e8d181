//! Packing, codec, world model, sampler and training.

pub mod model;
pub mod ops;
