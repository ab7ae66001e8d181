//! The blocks of a network, in memory or read block by block.

use crate::weights::Weights;
use candle_core::Result;
use std::borrow::Cow;

/// How many of a network's blocks stay in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Residence {
    /// All blocks are read once and stay.
    #[default]
    Held,
    /// The first so many stay. Each of the others is read from its files when its turn comes and then let go, at
    /// every evaluation: one of them is in memory. For weights that do not fit.
    First(usize),
}

impl Residence {
    /// Blocks that stay, of a network of `count`.
    pub fn held(self, count: usize) -> usize {
        match self {
            Self::Held => count,
            Self::First(held) => held.min(count),
        }
    }

    /// The same for the blocks that come after `count` others.
    pub(super) fn after(self, count: usize) -> Self {
        match self {
            Self::Held => Self::Held,
            Self::First(held) => Self::First(held.saturating_sub(count)),
        }
    }
}

/// A run of blocks of one kind, made from sizes `C`.
#[derive(Clone, Debug)]
pub(super) struct Blocks<C, B: Clone> {
    config: C,
    /// The weights of all blocks; those of one are under its number.
    weights: Weights,
    count: usize,
    read: fn(&C, &Weights) -> Result<B>,
    /// The first blocks, those that are held.
    held: Vec<B>,
}

impl<C: Clone, B: Clone> Blocks<C, B> {
    pub(super) fn new(
        config: &C,
        count: usize,
        read: fn(&C, &Weights) -> Result<B>,
        weights: Weights,
        residence: Residence,
    ) -> Result<Self> {
        let held = (0..residence.held(count)).map(|at| read(config, &weights.pp(at)));
        let held = held.collect::<Result<_>>()?;
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
        match self.held.get(at) {
            Some(block) => Ok(Cow::Borrowed(block)),
            None => Ok(Cow::Owned((self.read)(&self.config, &self.weights.pp(at))?)),
        }
    }
}
