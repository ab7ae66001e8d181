//! Memory that the process holds: how much, at most, and over time.

use std::time::Duration;

use serde::ser::{Serialize, SerializeSeq as _, Serializer};

/// Samples of a trace, at most.
const SAMPLES: usize = 64;
/// Time between samples of a short walk.
const SPACING: Duration = Duration::from_millis(100);

/// Memory over time, in at most 64 samples spread evenly however long it takes; as JSON a list of
/// `[seconds, MB]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    spacing: Duration,
    /// When, and how many MB.
    samples: Vec<(Duration, f64)>,
}

impl Default for Trace {
    fn default() -> Self {
        Self { spacing: SPACING, samples: Vec::new() }
    }
}

impl Trace {
    /// Takes a sample by `measure` when it is time for one; times never go back.
    ///
    /// A full trace doubles its spacing and keeps the first sample of each.
    pub fn offer(&mut self, at: Duration, measure: impl FnOnce() -> Option<f64>) {
        while self.is_due(at) {
            if self.samples.len() < SAMPLES {
                return self.samples.extend(measure().map(|mb| (at, mb)));
            }
            self.spacing *= 2;
            let spacing = self.spacing;
            self.samples.dedup_by_key(|(at, _)| slot(*at, spacing));
        }
    }

    /// MB held on the average in the second quarter of the walk, after everything was warm, and in the last; `None`
    /// where too little is known.
    pub fn levels(&self) -> Option<(f64, f64)> {
        let quarter = self.samples.len() / 4;
        let mean = |from: usize| {
            let samples = self.samples.get(from..from + quarter).filter(|some| !some.is_empty())?;
            Some(samples.iter().map(|(_, mb)| mb).sum::<f64>() / samples.len() as f64)
        };
        Some((mean(quarter)?, mean(self.samples.len() - quarter)?))
    }

    /// The trace in words: how far its samples are apart, and MB held at each.
    pub fn text(&self) -> String {
        let held: Vec<String> = self.samples.iter().map(|(_, mb)| format!("{mb:.0}")).collect();
        format!("every {:.1} s, in MB: {}", self.spacing.as_secs_f64(), held.join(" "))
    }

    fn is_due(&self, at: Duration) -> bool {
        let last = self.samples.last();
        last.is_none_or(|&(last, _)| slot(last, self.spacing) < slot(at, self.spacing))
    }
}

/// Which stretch of the walk a moment lies in.
fn slot(at: Duration, spacing: Duration) -> u128 {
    at.as_nanos() / spacing.as_nanos()
}

impl Serialize for Trace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.samples.len()))?;
        for (at, mb) in &self.samples {
            // Neither is known any closer.
            let round = |value: f64| (value * 10.0).round() / 10.0;
            list.serialize_element(&[round(at.as_secs_f64()), round(*mb)])?;
        }
        list.end()
    }
}

/// The memory this process holds, in MB of a million bytes; `None` where the system has no /proc.
pub fn rss_mb() -> Option<f64> {
    status_mb(&std::fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// The most that it has held.
pub fn rss_peak_mb() -> Option<f64> {
    status_mb(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// Bytes that this machine could still give to programs; `None` where the system has no /proc.
pub fn available_bytes() -> Option<u64> {
    let mb = status_mb(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number")]
    let bytes = (mb * 1e6) as u64;
    Some(bytes)
}

fn status_mb(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A trace of `count` moments this far apart, the memory being the moment's seconds.
    fn trace(count: u32, apart: Duration) -> Trace {
        let mut trace = Trace::default();
        for number in 0..count {
            let at = apart * number;
            trace.offer(at, || Some(at.as_secs_f64()));
        }
        trace
    }

    #[test]
    fn a_long_trace_is_no_longer_than_a_short_one_and_as_even() {
        // An hour of sections of 40 ms.
        let trace = trace(90_000, Duration::from_millis(40));
        assert!((SAMPLES / 2..=SAMPLES).contains(&trace.samples.len()), "{trace:?}");
        assert_eq!(trace.samples[0], (Duration::ZERO, 0.0));
        assert!(trace.text().starts_with("every 102.4 s, in MB: 0 102 205 "), "{}", trace.text());
        let gaps = trace.samples.windows(2).map(|pair| pair[1].0 - pair[0].0);
        // A sample is taken with the first section of its slot.
        let slack = Duration::from_millis(40);
        for gap in gaps {
            assert!(gap + slack >= trace.spacing && gap <= trace.spacing + slack, "{trace:?}");
        }
        let (last, _) = trace.samples[trace.samples.len() - 1];
        assert!(Duration::from_secs(3600) - last <= trace.spacing + slack);
        assert!(trace.samples.iter().all(|(at, mb)| *mb == at.as_secs_f64()), "{trace:?}");
    }

    #[test]
    fn memory_is_read_once_a_sample_and_may_be_unknown() {
        let (mut trace, mut read) = (Trace::default(), 0);
        for _ in 0..10 {
            trace.offer(Duration::from_millis(50), || {
                read += 1;
                Some(1.0)
            });
        }
        assert_eq!((trace.samples.len(), read), (1, 1));
        let mut unknown = Trace::default();
        unknown.offer(Duration::ZERO, || None);
        assert_eq!(serde_json::to_string(&unknown).unwrap(), "[]");
    }

    #[test]
    fn levels_are_those_of_the_second_and_the_last_quarter() {
        // The moments of 64 samples are a second apart, and as many MB.
        let (early, late) = trace(64, Duration::from_secs(1)).levels().unwrap();
        assert_eq!((early, late), (23.5, 55.5));
        assert_eq!(trace(3, Duration::from_secs(1)).levels(), None);
    }

    #[test]
    fn a_trace_after_long_pauses_still_fits() {
        let trace = trace(1000, Duration::from_secs(7));
        assert!(trace.samples.len() <= SAMPLES, "{}", trace.samples.len());
    }

    #[test]
    fn a_trace_is_a_list_of_pairs() {
        let mut trace = Trace::default();
        trace.offer(Duration::ZERO, || Some(128.04));
        trace.offer(Duration::from_millis(1234), || Some(130.0));
        assert_eq!(serde_json::to_string(&trace).unwrap(), "[[0.0,128.0],[1.2,130.0]]");
    }

    #[test]
    fn memory_is_read_from_the_systems_own_words() {
        let status = "Name:\toneiro\nVmPeak:\t 9 kB\nVmHWM:\t   125000 kB\nVmRSS:\t 62500 kB\n";
        assert_eq!(status_mb(status, "VmHWM:"), Some(128.0));
        assert_eq!(status_mb(status, "VmRSS:"), Some(64.0));
        assert_eq!(status_mb("VmHWM:\tlots\n", "VmHWM:"), None);
        assert_eq!(status_mb("", "VmRSS:"), None);
    }
}
