//! What the host of a virtual machine takes of its processors' time.

use std::time::Duration;

/// Milliseconds that /proc/stat counts in, whatever the system's own clock ticks at.
const TICK_MS: u64 = 10;

/// Time that the host gave to others while this machine had work to do, of all its processors together since it was started;
/// `None` where the system does not tell.
pub fn stolen() -> Option<Duration> {
    steal(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// The eighth number of the line of all processors.
fn steal(stat: &str) -> Option<Duration> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: u64 = line.split_whitespace().nth(7)?.parse().ok()?;
    Some(Duration::from_millis(ticks.saturating_mul(TICK_MS)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_time_taken_is_read_from_among_the_others() {
        let stat = "cpu  1 2 3 4 5 6 7 1523 9 10\ncpu0 1 1 1 1 1 1 1 1 1 1\nintr 4\n";
        assert_eq!(steal(stat), Some(Duration::from_millis(15_230)));
        assert_eq!(steal("cpu  1 2 3 4\n"), None);
        assert_eq!(steal("cpu0 1 2 3 4 5 6 7 8\n"), None);
        #[cfg(target_os = "linux")]
        assert!(stolen().is_some());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_fault(text in "(cpu )?([0-9]{0,22} ){0,11}\n?") {
            let _ = steal(&text);
        }
    }
}
