//! Random numbers that are the same on every machine.

/// `SplitMix64` (Steele, Lea and Flood 2014): a counter, mixed. Fast, seedable, 64 bits of state.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// A generator of its own for each `stream` of one seed.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(mix(seed).wrapping_add(mix(stream ^ 0xA5A5_5A5A_F00D_BEEF)))
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A whole number in `0..end`, or 0 where `end` is 0.
    ///
    /// The bias of a multiplication instead of a rejection is `end / 2^32`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let scaled = (u128::from(self.bits()) * end as u128) >> 64;
        usize::try_from(scaled).expect("it is below `end`")
    }

    /// A number in `0..1`, in steps of 2^-24.
    pub(crate) fn unit(&mut self) -> f32 {
        let top = u16::try_from(self.bits() >> 48).expect("16 bits are left");
        let low = u8::try_from(self.bits() >> 56).expect("8 bits are left");
        (f32::from(top) * 256.0 + f32::from(low)) / 16_777_216.0
    }

    /// A number in `low..high`.
    pub(crate) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// One of `choices`, which is not empty.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// The finaliser of `SplitMix64`: every bit of `x` reaches every bit of the result.
pub(crate) fn mix(x: u64) -> u64 {
    let x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_of_a_seed_never_changes() {
        // Recorded simulations name their seed; other numbers would make other mazes.
        let mut random = Random::new(1, 2);
        let drawn = [random.bits(), random.bits()];
        assert_eq!(drawn, Random::new(1, 2).draw_two());
        assert_ne!(drawn, Random::new(1, 3).draw_two());
        assert_eq!(mix(1), 0x5692_161D_100B_05E5);
    }

    #[test]
    fn numbers_fill_their_range_evenly() {
        let mut random = Random::new(7, 0);
        let mut counts = [0; 5];
        for _ in 0..5000 {
            counts[random.below(5)] += 1;
            assert!((0.0..1.0).contains(&random.unit()));
        }
        // Five standard deviations of a binomial of 5000 draws with p = 0.2.
        assert!(counts.iter().all(|count| (860..1140).contains(count)), "{counts:?}");
        assert_eq!(random.below(0), 0);
    }

    impl Random {
        fn draw_two(mut self) -> [u64; 2] {
            [self.bits(), self.bits()]
        }
    }
}
