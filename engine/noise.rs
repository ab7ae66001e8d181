//! Counter-based random numbers: a value is a pure function of its key and index.
//!
//! The same on every device and at every number of threads, and restorable anywhere.

/// Numbers drawn from a key, one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Random {
    key: u64,
    next: u64,
}

impl Random {
    /// The numbers of `stream` under `seed`.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self { key: mix(seed ^ mix(stream.wrapping_add(0x9e37_79b9_7f4a_7c15))), next: 0 }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.next += 1;
        mix(self.key.wrapping_add(self.next.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// Uniform in 0..1.
    pub fn uniform(&mut self) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "24 bits fit an f32")]
        let high = (self.bits() >> 40) as f32;
        high / 16_777_216.0
    }

    /// Uniform in 0..`count`.
    ///
    /// # Panics
    /// When `count` is 0.
    pub fn below(&mut self, count: usize) -> usize {
        assert!(count > 0, "there is something to choose from");
        let count = count as u64;
        usize::try_from((u128::from(self.bits()) * u128::from(count)) >> 64).expect("below a usize")
    }

    /// Whether an event of this probability happens.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.uniform() < probability
    }

    /// Standard normal (Box-Muller).
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - f64::from(self.uniform())).ln()).sqrt();
        let angle = std::f64::consts::TAU * f64::from(self.uniform());
        #[expect(clippy::cast_possible_truncation, reason = "f32 is what the networks use")]
        let value = (radius * angle.cos()) as f32;
        value
    }

    /// `count` standard normal numbers.
    pub fn normals(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.normal()).collect()
    }
}

/// The noise of a section of play: element by element a function of (seed, section).
pub fn section_noise(seed: u64, section: u64, count: usize) -> Vec<f32> {
    Random::new(seed, section).normals(count)
}

/// The finaliser of splitmix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normals_have_unit_variance_and_no_correlation() {
        let x = section_noise(1, 2, 100_000);
        let mean = x.iter().sum::<f32>() / 1e5;
        let variance = x.iter().map(|x| x * x).sum::<f32>() / 1e5;
        let lag = x.windows(2).map(|w| w[0] * w[1]).sum::<f32>() / 1e5;
        // Four standard errors of 1 / sqrt(100 000).
        assert!(mean.abs() < 0.013 && (variance - 1.0).abs() < 0.018 && lag.abs() < 0.013);
    }

    #[test]
    fn a_key_gives_one_sequence() {
        assert_eq!(section_noise(7, 3, 16), section_noise(7, 3, 16));
        assert_ne!(section_noise(7, 3, 16), section_noise(7, 4, 16));
        assert_ne!(section_noise(7, 3, 16), section_noise(8, 3, 16));
    }
}
