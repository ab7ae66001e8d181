//! Residual blocks, as both networks use them.

use crate::ops::{Conv2d, Precision};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// `x + conv2(silu(conv1(silu(x))))`.
#[derive(Clone, Debug)]
struct Residual {
    conv1: Conv2d,
    conv2: Conv2d,
}

impl Residual {
    fn new(width: usize, precision: Precision, vb: &VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            conv1: Conv2d::new(width, width, precision, &vb.pp("conv1"))?,
            conv2: Conv2d::new(width, width, precision, &vb.pp("conv2"))?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.conv2.forward_silu_onto(&self.conv1.forward_silu(x)?, x)
    }
}

/// Residual blocks one after another.
#[derive(Clone, Debug)]
pub(super) struct Stack(Vec<Residual>);

impl Stack {
    pub(super) fn new(
        blocks: usize,
        width: usize,
        precision: Precision,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let blocks = (0..blocks).map(|i| Residual::new(width, precision, &vb.pp(i)));
        blocks.collect::<Result<_>>().map(Self)
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.0.iter().try_fold(x.clone(), |x, block| block.forward(&x))
    }

    pub(super) fn convolutions(&mut self) -> impl Iterator<Item = &mut Conv2d> {
        self.0.iter_mut().flat_map(|block| [&mut block.conv1, &mut block.conv2])
    }
}
