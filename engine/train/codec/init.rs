//! First weights of the codec, from a seed.

use crate::codec::{CELL, COLOURS, CodecConfig};
use crate::noise::Random;
use candle_core::{Device, Result, Tensor};
use std::collections::BTreeMap;

/// Untrained weights of both networks under their names, on the CPU, without statistics.
///
/// The second filter of a residual block starts small, so that a deep stack starts near the
/// identity.
pub fn initial_codec_weights(config: &CodecConfig, seed: u64) -> Result<BTreeMap<String, Tensor>> {
    let mut weights = Weights { all: BTreeMap::new(), random: Random::new(seed, 0) };
    let &CodecConfig { channels, low, mid, high, blocks, high_blocks, .. } = config;
    weights.filter("encoder.filter", COLOURS * CELL * CELL, channels, 1.0)?;
    weights.filter("decoder.stem", channels, low, 1.0)?;
    weights.stack("decoder.low", blocks, low)?;
    weights.filter("decoder.up1", low, 4 * mid, 1.0)?;
    weights.stack("decoder.mid", blocks, mid)?;
    weights.filter("decoder.up2", mid, 4 * high, 1.0)?;
    weights.stack("decoder.high", high_blocks, high)?;
    weights.filter("decoder.head", high, 4 * COLOURS, 1.0)?;
    Ok(weights.all)
}

struct Weights {
    all: BTreeMap<String, Tensor>,
    random: Random,
}

impl Weights {
    /// Uniform in ±scale/sqrt(9 · inputs), as the field's convolutions start.
    fn filter(&mut self, name: &str, inputs: usize, outputs: usize, scale: f32) -> Result<()> {
        #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^24")]
        let bound = scale / (9.0 * inputs as f32).sqrt();
        let count = outputs * inputs * 9;
        let values = (0..count).map(|_| bound * (2.0 * self.random.uniform() - 1.0)).collect();
        let weight = Tensor::from_vec(values, (outputs, inputs, 3, 3), &Device::Cpu)?;
        self.all.insert(format!("{name}.weight"), weight);
        let bias = Tensor::zeros(outputs, candle_core::DType::F32, &Device::Cpu)?;
        self.all.insert(format!("{name}.bias"), bias);
        Ok(())
    }

    fn stack(&mut self, name: &str, blocks: usize, width: usize) -> Result<()> {
        for i in 0..blocks {
            self.filter(&format!("{name}.{i}.conv1"), width, width, 1.0)?;
            self.filter(&format!("{name}.{i}.conv2"), width, width, 0.1)?;
        }
        Ok(())
    }
}
