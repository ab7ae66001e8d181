//! Rotary phases over time, rows and columns, pooled for packed tokens (`FramePack` §3.1).

use super::ModelConfig;
use crate::ops::Phases;

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
    ///
    /// The phases of the cells that a token covers are averaged, on the grid padded by its last cell,
    /// and not renormalised.
    pub fn phases(&self, times: &[i32], (rows, columns): (usize, usize), k: usize) -> Phases {
        let [of_time, of_rows, of_columns] = self.axes;
        let times: Vec<f64> = times.iter().copied().map(f64::from).collect();
        let times = self.pooled(&times, of_time, k);
        let rows = self.pooled(&cells(rows), of_rows, k);
        let columns = self.pooled(&cells(columns), of_columns, k);
        let mut phases = Phases { real: Vec::new(), imaginary: Vec::new(), half: self.half() };
        for time in &times {
            for row in &rows {
                for column in &columns {
                    for &(real, imaginary) in time.iter().chain(row).chain(column) {
                        #[expect(
                            clippy::cast_possible_truncation,
                            reason = "f32 is what the kernels use"
                        )]
                        let (real, imaginary) = (real as f32, imaginary as f32);
                        phases.real.push(real);
                        phases.imaginary.push(imaginary);
                    }
                }
            }
        }
        phases
    }

    /// Phases at `positions`, averaged over runs of `k`, the last position repeated to fill the last run.
    fn pooled(&self, positions: &[f64], channels: usize, k: usize) -> Vec<Vec<(f64, f64)>> {
        let last = positions[positions.len() - 1];
        let runs = positions.len().div_ceil(k);
        let mut positions = positions.iter().copied().chain(std::iter::repeat(last));
        let count = f64::from(u32::try_from(k).expect("kernels are small"));
        let channels = f64::from(u32::try_from(channels).expect("heads are small"));
        (0..runs)
            .map(|_| {
                let run: Vec<f64> = positions.by_ref().take(k).collect();
                (0_u32..)
                    .map(|j| f64::from(2 * j))
                    .take_while(|&j| j < channels)
                    .map(|j| {
                        let frequency = self.theta.powf(-j / channels);
                        let mean = |part: fn(f64) -> f64| {
                            run.iter().map(|p| part(p * frequency)).sum::<f64>() / count
                        };
                        (mean(f64::cos), mean(f64::sin))
                    })
                    .collect()
            })
            .collect()
    }
}

/// Phases of the tokens of a group of kernel `k` whose first frame is at `time`.
pub fn group_phases(config: &ModelConfig, k: usize, time: i32) -> Phases {
    let times: Vec<i32> = (time..).take(k).collect();
    rotary(config).phases(&times, config.grid(), k)
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

    #[test]
    fn moduli_are_those_of_a_box_average() {
        // |sin(k w / 2) / (k sin(w / 2))|: time has 16 channels of a 64-wide head.
        let config = ModelConfig::base();
        let phases = group_phases(&config, 4, -7);
        for j in 0..8_u8 {
            let w = THETA.powf(-f64::from(2 * j) / 16.0);
            let want = ((2.0 * w).sin() / (4.0 * (w / 2.0).sin())).abs();
            let at = usize::from(j);
            let got = f64::from(phases.real[at]).hypot(f64::from(phases.imaginary[at]));
            assert!((got - want).abs() < 1e-6, "frequency {j}: {got}, not {want}");
        }
        assert_eq!(phases.tokens(), config.group_tokens(4));
    }

    #[test]
    fn a_shift_in_time_is_a_rotation() {
        let config = ModelConfig::base();
        let (here, there) = (group_phases(&config, 2, 0), group_phases(&config, 2, -9));
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
}
