//! Packing, codec, world model, sampler and training.

pub mod pack;
