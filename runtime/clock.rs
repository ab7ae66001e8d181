//! Time as the loop sees it: real, or stepped by a test.
//!
//! The one place that reads the machine's clock; everything else is handed a [`Clock`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Time since the clock was made. Clones share one time line.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's monotonic clock, counted from the instant kept here.
    Real(Instant),
    /// Nanoseconds that pass only when [`Clock::advance`] says so.
    Stepped(Arc<AtomicU64>),
}

impl Clock {
    /// A clock that follows the machine's.
    #[expect(clippy::disallowed_methods, reason = "the one reader of the machine's clock")]
    pub fn real() -> Self {
        Self::Real(Instant::now())
    }

    /// A clock at zero that stands still until advanced.
    pub fn stepped() -> Self {
        Self::Stepped(Arc::default())
    }

    /// Time since the clock was made.
    pub fn now(&self) -> Duration {
        match self {
            Self::Real(start) => start.elapsed(),
            Self::Stepped(nanos) => Duration::from_nanos(nanos.load(Ordering::SeqCst)),
        }
    }

    /// Moves a stepped clock on; a real one moves by itself, so nothing happens.
    pub fn advance(&self, by: Duration) {
        if let Self::Stepped(nanos) = self {
            let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
            nanos.fetch_add(by, Ordering::SeqCst);
        }
    }

    /// The machine's instant for time `at`, which an event loop can sleep until.
    ///
    /// `None` for a stepped clock, whose times no machine will ever reach.
    pub fn instant(&self, at: Duration) -> Option<Instant> {
        match self {
            Self::Real(start) => start.checked_add(at),
            Self::Stepped(_) => None,
        }
    }

    /// The time at a machine's instant; `None` for one before the clock was made, and for a stepped clock.
    pub fn time_of(&self, instant: Instant) -> Option<Duration> {
        match self {
            Self::Real(start) => instant.checked_duration_since(*start),
            Self::Stepped(_) => None,
        }
    }

    /// The time at a moment of the machine's calendar, by which devices say when they were touched; `None` for one
    /// to come, for one before the clock was made, and for a stepped clock.
    pub fn time_of_date(&self, date: SystemTime) -> Option<Duration> {
        match self {
            Self::Real(_) => self.now().checked_sub(SystemTime::now().duration_since(date).ok()?),
            Self::Stepped(_) => None,
        }
    }
}

/// Processor time that this thread has used: what its work takes however busy the machine is. `None` where the
/// system does not say.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the standard library has no such clock")]
pub fn thread_time() -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a value of this function's, which the call fills in or leaves alone.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).ok().filter(|_| answer == 0)?;
    Some(Duration::new(seconds, u32::try_from(time.tv_nsec).ok()?))
}

/// Processor time that this thread has used: not known on this system.
#[cfg(not(target_os = "linux"))]
pub fn thread_time() -> Option<Duration> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_threads_own_time_passes_with_its_work_alone() {
        let before = thread_time().unwrap();
        let other = std::thread::Builder::new().spawn(|| {
            let start = thread_time().unwrap();
            let mut sum = 0_u64;
            while thread_time().unwrap() < start + Duration::from_millis(50) {
                sum = sum.wrapping_add(1);
            }
            sum
        });
        assert!(other.unwrap().join().unwrap() > 0);
        // Waiting costs next to nothing.
        assert!(thread_time().unwrap() < before + Duration::from_millis(25));
    }

    #[test]
    fn a_stepped_clock_moves_only_when_told_and_its_clones_move_with_it() {
        let clock = Clock::stepped();
        let twin = clock.clone();
        assert_eq!(clock.now(), Duration::ZERO);
        twin.advance(Duration::from_millis(40));
        assert_eq!(clock.now(), Duration::from_millis(40));
        assert_eq!(clock.instant(Duration::ZERO), None);
    }

    #[test]
    fn a_real_clock_runs_and_ignores_being_told() {
        let clock = Clock::real();
        clock.advance(Duration::from_secs(3600));
        let before = clock.now();
        assert!(before < Duration::from_secs(3600));
        assert!(clock.now() >= before);
        let instant = clock.instant(before).expect("it has a place on the machine's time line");
        assert_eq!(clock.time_of(instant), Some(before));
    }

    #[test]
    fn a_date_lies_on_the_line_when_it_is_past_and_not_before_the_beginning() {
        let clock = Clock::real();
        std::thread::sleep(Duration::from_millis(2));
        let (before, date, after) = (clock.now(), SystemTime::now(), clock.now());
        let at = clock.time_of_date(date).expect("it is past");
        // The two clocks are read one after another, and the calendar's may be stepped in between.
        let slack = Duration::from_millis(500);
        assert!(at + slack >= before && at <= after + slack, "{before:?} {at:?} {after:?}");
        assert_eq!(clock.time_of_date(date + Duration::from_secs(3600)), None);
        assert_eq!(clock.time_of_date(date - Duration::from_secs(3600)), None);
        assert_eq!(Clock::stepped().time_of_date(date), None);
    }
}
