//! The evaluations of a section as one piece of work for a GPU.
//!
//! A small network is many short kernels, and a GPU waits for each to be asked for. Work that is the same every time
//! but for its tensors is captured once, as a graph of CUDA's, and from then on asked for whole.

#[cfg(feature = "cuda")]
mod captured;

use crate::sampler::Sampling;
use candle_core::{Result, Tensor};
#[cfg(feature = "cuda")]
use std::sync::Arc;

/// The graphs of an owner whose weights stay as they are. They belong to the thread that captured them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graphs {
    #[cfg(feature = "cuda")]
    owner: Arc<()>,
}

impl Graphs {
    /// The result of the work that `prepare` makes of `inputs`.
    ///
    /// Where these settings and shapes come for the second time, the work is captured; from then on its graph is
    /// launched. No other thread may use the device meanwhile: what it asks for would become part of the graph.
    pub(crate) fn run<W: Fn() -> Result<Tensor>>(
        &self,
        settings: Sampling,
        inputs: Vec<Tensor>,
        prepare: impl Fn(Vec<Tensor>) -> W,
    ) -> Result<Tensor> {
        #[cfg(feature = "cuda")]
        if let Some(result) = captured::run(&self.owner, settings, &inputs, &prepare)? {
            return Ok(result);
        }
        #[cfg(not(feature = "cuda"))]
        let _ = settings;
        prepare(inputs)()
    }
}
