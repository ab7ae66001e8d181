//! Packing, codec, world model, sampler and training.

pub mod codec;
pub mod model;
pub mod noise;
pub mod ops;
pub mod pack;
pub mod train;
