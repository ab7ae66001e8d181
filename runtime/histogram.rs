//! A histogram of durations with percentiles, of fixed size however long the run.

use std::time::Duration;

use serde::Serialize;

/// Buckets per factor of two: neighbours differ by at most 1/32, so a percentile is off by 3 %.
const STEPS: u64 = 32;
/// Factors of two covered above [`STEPS`] microseconds: up to about an hour.
const OCTAVES: u64 = 27;

/// Counts of durations in buckets that widen with the value.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

/// Three percentiles in milliseconds; zero where nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// What 95 of 100 stay at or below.
    pub p95: f64,
    /// What 99 of 100 stay at or below.
    pub p99: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        let buckets = usize::try_from(STEPS * (OCTAVES + 1)).expect("a small constant");
        Self { counts: vec![0; buckets], total: 0 }
    }
}

impl Histogram {
    /// Counts one duration; those past the last bucket count there.
    pub fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let last = self.counts.len() - 1;
        self.counts[bucket(micros).min(last)] += 1;
        self.total += 1;
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The smallest bucket bound that `per_cent` of the counted durations stay at or below.
    pub fn percentile(&self, per_cent: u64) -> Duration {
        let wanted = (self.total * per_cent).div_ceil(100).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_micros(upper_bound(index));
            }
        }
        Duration::ZERO
    }

    /// The usual three, in milliseconds.
    pub fn percentiles(&self) -> Percentiles {
        // From whole microseconds, so that three digits say it all.
        let ms = |per_cent| f64::from(micros(self.percentile(per_cent))) / 1e3;
        Percentiles { p50: ms(50), p95: ms(95), p99: ms(99) }
    }
}

/// Microseconds, up to an hour.
fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// The bucket of a value: itself below [`STEPS`], then [`STEPS`] buckets for each factor of two.
fn bucket(micros: u64) -> usize {
    let octave = u64::from((micros / STEPS).checked_ilog2().map_or(0, |log| log + 1));
    let index = match octave {
        0 => micros,
        _ => octave * STEPS + (micros >> (octave - 1)) - STEPS,
    };
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// The largest value of a bucket: the inverse of [`bucket`].
fn upper_bound(index: usize) -> u64 {
    let index = u64::try_from(index).unwrap_or(u64::MAX);
    match index / STEPS {
        0 => index,
        octave => ((index % STEPS + STEPS + 1) << (octave - 1)) - 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_histogram_answers_zero() {
        assert_eq!(Histogram::default().percentiles(), Percentiles::default());
    }

    #[test]
    fn percentiles_split_a_known_run() {
        let mut histogram = Histogram::default();
        for ms in 1..=100 {
            histogram.record(Duration::from_millis(ms));
        }
        let Percentiles { p50, p95, p99 } = histogram.percentiles();
        // 1/32 of the value is the widest a bucket gets.
        assert!((50.0..=50.0 * 33.0 / 32.0).contains(&p50), "{p50}");
        assert!((95.0..=95.0 * 33.0 / 32.0).contains(&p95), "{p95}");
        assert!((99.0..=99.0 * 33.0 / 32.0).contains(&p99), "{p99}");
    }

    #[test]
    fn a_duration_beyond_every_bucket_is_still_counted() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::MAX);
        assert_eq!(histogram.count(), 1);
        assert!(histogram.percentile(50) > Duration::from_secs(3600));
    }

    proptest! {
        #[test]
        fn a_value_lies_in_its_bucket(micros in 0_u64..3_600_000_000) {
            let index = bucket(micros);
            prop_assert!(micros <= upper_bound(index));
            prop_assert!(index == 0 || micros > upper_bound(index - 1));
        }
    }
}
