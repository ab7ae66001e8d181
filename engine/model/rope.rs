//! Rotary phases over time, rows and columns, pooled for packed tokens (`FramePack` §3.1).

use super::{Embedding, ModelConfig};
use crate::ops::Phases;
use crate::pack::Kernel;
use memory::ByteLru;
use std::sync::{Arc, Mutex, PoisonError};

/// Base of the frequencies, as in the released network.
const THETA: f64 = 256.0;

/// How heads are turned: the base of the frequencies, and the channels for time, rows and columns, all even.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rotary {
    /// Base of the frequencies.
    pub theta: f64,
    /// Channels of a head for time, rows and columns.
    pub axes: [usize; 3],
}

impl Rotary {
    /// Complex numbers of a head.
    pub fn half(&self) -> usize {
        self.axes.iter().sum::<usize>() / 2
    }

    /// Phases of the tokens of kernel `k` over frames at `times`, of `rows` × `columns` tokens at kernel 1.
    pub fn phases(&self, times: &[i32], grid: (usize, usize), k: usize) -> Phases {
        self.phases_of_boxes(times, grid, Embedding { k, pool: [1; 3] })
    }

    /// Phases where the embedding pools boxes first.
    ///
    /// The phases of the base patches that a token covers are averaged as its cells are: over the boxes that
    /// are pooled first, then, on the grid of these padded by its last one, over what the projection covers.
    /// They are not renormalised.
    pub fn phases_of_boxes(
        &self,
        times: &[i32],
        (rows, columns): (usize, usize),
        Embedding { k, pool }: Embedding,
    ) -> Phases {
        let [of_time, of_rows, of_columns] = self.axes;
        let times: Vec<f64> = times.iter().copied().map(f64::from).collect();
        let times = self.pooled(&times, of_time, pool[0], k);
        let rows = self.pooled(&cells(rows), of_rows, pool[1], k);
        let columns = self.pooled(&cells(columns), of_columns, pool[2], k);
        let mut phases = Phases { real: Vec::new(), imaginary: Vec::new(), half: self.half() };
        for time in &times {
            for row in &rows {
                for column in &columns {
                    for [real, imaginary] in [time, row, column] {
                        phases.real.extend_from_slice(real);
                        phases.imaginary.extend_from_slice(imaginary);
                    }
                }
            }
        }
        phases
    }

    /// Phases at `positions`, averaged over runs of `pool` (the last one may be short), then over runs of `k`
    /// of these, the last one repeated to fill the last run. Real and imaginary parts of each run.
    fn pooled(
        &self,
        positions: &[f64],
        channels: usize,
        pool: usize,
        k: usize,
    ) -> Vec<[Vec<f32>; 2]> {
        let boxes: Vec<&[f64]> = positions.chunks(pool).collect();
        let last = boxes[boxes.len() - 1];
        let runs = boxes.len().div_ceil(k);
        let mut boxes = boxes.iter().copied().chain(std::iter::repeat(last));
        let small = |count: usize| f64::from(u32::try_from(count).expect("kernels are small"));
        let frequency = |channel: usize| self.theta.powf(-small(channel) / small(channels));
        let frequencies: Vec<f64> = (0..channels).step_by(2).map(frequency).collect();
        let run = |_| {
            let run: Vec<&[f64]> = boxes.by_ref().take(k).collect();
            [f64::cos, f64::sin].map(|part: fn(f64) -> f64| {
                let mean = |frequency: &f64| {
                    let of_box = |positions: &&[f64]| {
                        let sum: f64 = positions.iter().map(|p| part(p * frequency)).sum();
                        sum / small(positions.len())
                    };
                    let mean = run.iter().map(of_box).sum::<f64>() / small(k);
                    #[expect(
                        clippy::cast_possible_truncation,
                        reason = "f32 is what the kernels use"
                    )]
                    return mean as f32;
                };
                frequencies.iter().map(mean).collect()
            })
        };
        (0..runs).map(run).collect()
    }
}

/// Phases of the tokens of a group whose first frame is at `time`.
///
/// # Panics
/// When the kernel has no [embedding](ModelConfig::embedding).
pub fn group_phases(config: &ModelConfig, kernel: Kernel, time: i32) -> Phases {
    let times: Vec<i32> = (time..).take(kernel.frames()).collect();
    let embedding = config.embedding(kernel).expect("kernels are checked before");
    rotary(config).phases_of_boxes(&times, config.grid(), embedding)
}

/// Bytes of phases that are kept: those of more than a hundred groups of the shipped size.
const KEPT_BYTES: usize = 2 << 20;

/// Phases of the groups that were encoded or placed lately: from section to section, the newest frames' groups come to lie where
/// others lay.
#[derive(Debug)]
pub(super) struct KeptPhases(Mutex<ByteLru<(Kernel, i32), Arc<Phases>>>);

impl Default for KeptPhases {
    fn default() -> Self {
        Self(Mutex::new(ByteLru::new(KEPT_BYTES)))
    }
}

impl KeptPhases {
    /// [`group_phases`], of one network alone.
    pub(super) fn of_group(&self, config: &ModelConfig, kernel: Kernel, time: i32) -> Arc<Phases> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(phases) = kept.get(&(kernel, time)) {
            return Arc::clone(phases);
        }
        let phases = Arc::new(group_phases(config, kernel, time));
        let bytes = size_of_val(&phases.real[..]) + size_of_val(&phases.imaginary[..]);
        // One that is larger than all that is kept is simply not kept.
        let _not_kept = kept.insert((kernel, time), Arc::clone(&phases), bytes);
        phases
    }
}

/// Phases of a section of `frames` frames, the first at time 0.
pub fn section_phases(config: &ModelConfig, frames: usize) -> Phases {
    let times: Vec<i32> = (0..).take(frames).collect();
    rotary(config).phases(&times, config.grid(), 1)
}

/// 1/4 of a head's channels for time, 3/8 each for rows and columns.
fn rotary(config: &ModelConfig) -> Rotary {
    let head = config.dim / config.heads;
    let space = head * 3 / 16 * 2;
    Rotary { theta: THETA, axes: [head - 2 * space, space, space] }
}

fn cells(count: usize) -> Vec<f64> {
    (0_u32..).take(count).map(f64::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn k(k: u16) -> Kernel {
        Kernel::simplified(k).unwrap()
    }

    #[test]
    fn moduli_are_those_of_a_box_average() {
        // |sin(k w / 2) / (k sin(w / 2))|: time has 16 channels of a 64-wide head.
        let config = ModelConfig::base();
        let phases = group_phases(&config, k(4), -7);
        for j in 0..8_u8 {
            let w = THETA.powf(-f64::from(2 * j) / 16.0);
            let want = ((2.0 * w).sin() / (4.0 * (w / 2.0).sin())).abs();
            let at = usize::from(j);
            let got = f64::from(phases.real[at]).hypot(f64::from(phases.imaginary[at]));
            assert!((got - want).abs() < 1e-6, "frequency {j}: {got}, not {want}");
        }
        assert_eq!(phases.tokens(), k(4).tokens(config.cells()));
    }

    #[test]
    fn a_shift_in_time_is_a_rotation() {
        let config = ModelConfig::base();
        let (here, there) = (group_phases(&config, k(2), 0), group_phases(&config, k(2), -9));
        for (j, (x, y)) in here.real.iter().zip(&here.imaginary).enumerate() {
            let j = j % 32;
            let w = if j < 8 { THETA.powf(-(j as f64) * 2.0 / 16.0) } else { 0.0 };
            let (sin, cos) = (-9.0 * w).sin_cos();
            let (x, y) = (f64::from(*x), f64::from(*y));
            let at = there.real.iter().position(|_| true).map_or(0, |_| j);
            if j < 8 {
                let got = (f64::from(there.real[at]), f64::from(there.imaginary[at]));
                assert!((got.0 - (x * cos - y * sin)).abs() < 1e-6);
                assert!((got.1 - (x * sin + y * cos)).abs() < 1e-6);
            }
        }
    }

    /// The rotary tables of the public FramePack network, row by row as its tokens come: 16 frames at 4x, 2 at 2x,
    /// 2 at 1x, 3 of the section.
    fn check_reference(layout: &str, times: [&[i32]; 4]) {
        let bytes = include_bytes!("../../tests/golden/rope_tiny.safetensors");
        let tables = candle_core::safetensors::load_buffer(bytes, &candle_core::Device::Cpu);
        let tables = tables.unwrap();
        let table = |part: &str| -> Vec<f32> {
            tables[&format!("{layout}.{part}")].flatten_all().unwrap().to_vec1().unwrap()
        };
        // A grid of 5 x 7 tokens, which k2 and k4 do not divide; heads of 4 + 6 + 6 channels.
        let config = ModelConfig { height: 10, width: 14, ..ModelConfig::tiny() };
        let kernels = [4, 2, 1, 1].map(k);
        let groups = kernels
            .into_iter()
            .zip(times)
            .flat_map(|(kernel, times)| times.iter().map(move |&time| (kernel, time)));
        let parts: Vec<_> =
            groups.map(|(kernel, time)| group_phases(&config, kernel, time)).collect();
        let phases = Phases::concatenated(8, &parts);
        for (got, want) in [(&phases.real, table("cos")), (&phases.imaginary, table("sin"))] {
            assert_eq!(got.len(), want.len());
            for (at, (got, want)) in got.iter().zip(want).enumerate() {
                // The reference computes angles in f32, up to 28 · 1 radians.
                assert!((got - want).abs() < 4e-6, "{layout}, token {}: {got}, not {want}", at / 8);
            }
        }
    }

    #[test]
    fn phases_are_those_of_the_public_network() {
        check_reference("f1", [&[1, 5, 9, 13], &[17], &[0, 19], &[20, 21, 22]]);
        // The first frame, six blanks, the section, then history at 1x, 2x and 4x.
        check_reference("inv", [&[13, 17, 21, 25], &[11], &[0, 10], &[7, 8, 9]]);
    }
}
