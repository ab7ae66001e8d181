//! The blocks of a network, in memory or read block by block.

use crate::weights::Weights;
use candle_core::Result;
use std::borrow::Cow;

/// Whether a network's blocks stay in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Residence {
    /// All blocks are read once and stay.
    #[default]
    Held,
    /// Each block is read from its files when its turn comes and then let go, at every evaluation: one block is in
    /// memory. For weights that do not fit.
    Streamed,
}

/// A run of blocks of one kind, made from sizes `C`.
#[derive(Clone, Debug)]
pub(super) struct Blocks<C, B: Clone> {
    config: C,
    /// The weights of all blocks; those of one are under its number.
    weights: Weights,
    count: usize,
    read: fn(&C, &Weights) -> Result<B>,
    /// The blocks, where they are held.
    held: Option<Vec<B>>,
}

impl<C: Clone, B: Clone> Blocks<C, B> {
    pub(super) fn new(
        config: &C,
        count: usize,
        read: fn(&C, &Weights) -> Result<B>,
        weights: Weights,
        residence: Residence,
    ) -> Result<Self> {
        let all = || (0..count).map(|at| read(config, &weights.pp(at))).collect::<Result<_>>();
        let held = match residence {
            Residence::Held => Some(all()?),
            Residence::Streamed => None,
        };
        Ok(Self { config: config.clone(), weights, count, read, held })
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Block `at`.
    ///
    /// # Errors
    /// It is not held, and a tensor of it is missing or has another shape.
    pub(super) fn get(&self, at: usize) -> Result<Cow<'_, B>> {
        match &self.held {
            Some(blocks) => Ok(Cow::Borrowed(&blocks[at])),
            None => Ok(Cow::Owned((self.read)(&self.config, &self.weights.pp(at))?)),
        }
    }
}
