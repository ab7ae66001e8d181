//! Weights that stay, with an adapter that is trained beside them.
//!
//! A world learnt on one map is brought to another one so: pairs of low rank beside the layers of its blocks are all
//! that is trained, and worked into the weights they make a world like any other.

use crate::adapter::{Adapter, AdapterConfig};
use crate::weights::Weights;
use candle_core::{DType, Device, Result, Tensor, Var};
use std::collections::BTreeMap;

/// The weights with their adapter.
#[derive(Debug)]
pub(super) struct Adapted {
    weights: BTreeMap<String, Tensor>,
    /// Made of the variables.
    adapter: Adapter,
}

impl Adapted {
    /// A new adapter beside `weights`, with its variables by name.
    pub(super) fn new(
        weights: BTreeMap<String, Tensor>,
        config: AdapterConfig,
        device: &Device,
    ) -> Result<(Self, BTreeMap<String, Var>)> {
        let known = Weights::from_tensors(weights.clone(), DType::F32, device);
        let (adapter, vars) = Adapter::new(&known, BTreeMap::new(), config)?.variables()?;
        Ok((Self { weights, adapter }, vars))
    }

    /// The network's weights as they are now; gradients lead through them to the variables.
    pub(super) fn applied(&self) -> Result<BTreeMap<String, Tensor>> {
        let applied = |(name, weight): (&String, &Tensor)| {
            Ok((name.clone(), self.adapter.applied(name, weight)?))
        };
        self.weights.iter().map(applied).collect()
    }

    /// The network's weights, on the CPU, for other values of the variables.
    pub(super) fn merged(
        &self,
        values: BTreeMap<String, Tensor>,
    ) -> Result<BTreeMap<String, Tensor>> {
        let adapter = self.adapter.of(values);
        let merged = |(name, weight): (&String, &Tensor)| {
            Ok((name.clone(), adapter.merged(name, &weight.to_device(&Device::Cpu)?)?))
        };
        self.weights.iter().map(merged).collect()
    }
}
