//! What actions make of a frame: small filters, mixed as the actions say.
//!
//! Most of the next frame is the newest one, moved. A mixture of linear filters over neighbouring
//! cells (dynamic convolution, Y. Chen et al. 2020) tells where to; the transformer is shown the moved
//! frame, and is left with what moving does not explain.

use super::ModelConfig;
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::ops::softmax;

/// Filters that are mixed.
pub(crate) const FILTERS: usize = 16;
/// Cells that a filter sees: rows and columns. Turning moves a picture sideways farther than anything
/// moves it up or down.
pub(crate) const WINDOW: (usize, usize) = (3, 5);

/// The filters and what mixes them.
#[derive(Clone, Debug)]
pub(super) struct Motion {
    gate: Tensor,
    gate_bias: Tensor,
    filters: Tensor,
    bias: Tensor,
}

impl Motion {
    /// Reads `gate.weight` (F, 3 · A), `gate.bias` (F), `filters` (F, 15 · C · C), `bias` (F, C).
    pub(super) fn new(config: &ModelConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let (rows, columns) = WINDOW;
        let channels = config.channels;
        Ok(Self {
            gate: vb.pp("gate").get((FILTERS, config.told()), "weight")?,
            gate_bias: vb.pp("gate").get(FILTERS, "bias")?,
            filters: vb.get((FILTERS, rows * columns * channels * channels), "filters")?,
            bias: vb.get((FILTERS, channels), "bias")?,
        })
    }

    /// Frames (B, C, H, W) as they look a tick later, after their last three actions (B, 3 · A).
    pub(super) fn forward(&self, frames: &Tensor, actions: &Tensor) -> Result<Tensor> {
        let (batch, channels, height, width) = frames.dims4()?;
        let gates = actions.matmul(&self.gate.t()?)?.broadcast_add(&self.gate_bias)?;
        // `softmax_last_dim` would cut the gradient.
        let gates = softmax(&gates, 1)?; // B, F
        let seen = WINDOW.0 * WINDOW.1 * channels;
        let filters = gates.matmul(&self.filters)?.reshape((batch, seen, channels))?;
        let moved = windows(frames)?.matmul(&filters)?; // B, H · W, C
        let moved = moved.broadcast_add(&gates.matmul(&self.bias)?.unsqueeze(1)?)?;
        moved.transpose(1, 2)?.reshape((batch, channels, height, width))
    }
}

/// What the window around each cell holds, rows, columns, channels: (B, H · W, 15 · C).
///
/// Beyond the ends their last cells repeat.
fn windows(frames: &Tensor) -> Result<Tensor> {
    let (_, _, height, width) = frames.dims4()?;
    let (rows, columns) = WINDOW;
    let cells = frames.permute((0, 2, 3, 1))?.contiguous()?; // B, H, W, C
    let padded = cells.pad_with_same(1, rows / 2, rows / 2)?;
    let padded = padded.pad_with_same(2, columns / 2, columns / 2)?;
    let shifts = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    let shifted = shifts
        .map(|(row, column)| padded.narrow(1, row, height)?.narrow(2, column, width)?.contiguous());
    Tensor::cat(&shifted.collect::<Result<Vec<_>>>()?, 3)?.flatten(1, 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Random;
    use candle_core::{DType, Device};
    use std::collections::HashMap;

    /// Two filters that answer the cell to the left and the cell above; the sign of the newest turn decides.
    fn motion(config: &ModelConfig) -> Motion {
        let (c, per_cell) = (config.channels, config.channels * config.channels);
        let mut filters = vec![0.0_f32; FILTERS * WINDOW.0 * WINDOW.1 * per_cell];
        let one = WINDOW.0 * WINDOW.1 * per_cell;
        for channel in 0..c {
            // Row 1, column 1 is left of the middle; row 0, column 2 is above it.
            filters[6 * per_cell + channel * c + channel] = 1.0;
            filters[one + 2 * per_cell + channel * c + channel] = 1.0;
        }
        let mut gate = vec![0.0_f32; FILTERS * 3 * config.action];
        gate[2 * config.action] = 60.0;
        gate[3 * config.action + 2 * config.action] = -60.0;
        let bias: Vec<f32> = (0..FILTERS).map(|at| if at < 2 { 0.0 } else { -100.0 }).collect();
        let tensor = |values: Vec<f32>, rows: usize, columns: usize| {
            Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
        };
        let tensors = HashMap::from([
            ("gate.weight".to_owned(), tensor(gate, FILTERS, 3 * config.action)),
            ("gate.bias".to_owned(), Tensor::new(bias, &Device::Cpu).unwrap()),
            ("filters".to_owned(), tensor(filters, FILTERS, one)),
            ("bias".to_owned(), tensor(vec![0.0; FILTERS * c], FILTERS, c)),
        ]);
        Motion::new(config, &VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu)).unwrap()
    }

    #[test]
    fn actions_choose_where_a_frame_moves() {
        let config = ModelConfig::tiny();
        let (c, h, w) = (config.channels, config.height, config.width);
        let frames = Random::new(5, 0).normals(2 * config.latent_len());
        let frames = Tensor::from_vec(frames, (2, c, h, w), &Device::Cpu).unwrap();
        let mut actions = vec![0.0_f32; 2 * 3 * config.action];
        actions[2 * config.action] = 1.0;
        actions[3 * config.action + 2 * config.action] = -1.0;
        let actions = Tensor::from_vec(actions, (2, 3 * config.action), &Device::Cpu).unwrap();
        let moved = motion(&config).forward(&frames, &actions).unwrap();
        let at = |tensor: &Tensor, frame: usize| tensor.get(frame).unwrap().to_vec3().unwrap();
        let (before, after): (Vec<Vec<Vec<f32>>>, _) = (at(&frames, 0), at(&moved, 0));
        let (before_up, after_up): (Vec<Vec<Vec<f32>>>, _) = (at(&frames, 1), at(&moved, 1));
        for channel in 0..c {
            for row in 0..h {
                for column in 0..w {
                    let left = before[channel][row][column.saturating_sub(1)];
                    assert!((after[channel][row][column] - left).abs() < 1e-5);
                    let above = before_up[channel][row.saturating_sub(1)][column];
                    assert!((after_up[channel][row][column] - above).abs() < 1e-5);
                }
            }
        }
    }
}
