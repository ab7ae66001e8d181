//! The benchmark against walks whose times are known.

use std::cell::RefCell;

use super::*;

/// A walk whose sections take known times, on a machine whose load changes for both.
struct StandIn<'a> {
    name: char,
    remembered: usize,
    /// Times of the sections, in milliseconds; what is beyond 30 is the encoding of groups.
    times: Box<dyn Fn(usize) -> u64>,
    made: usize,
    log: &'a RefCell<String>,
}

impl Walk for StandIn<'_> {
    fn section(&mut self) -> Result<Times> {
        self.log.borrow_mut().push(self.name);
        let time = (self.times)(self.made);
        (self.made, self.remembered) = (self.made + 1, self.remembered + 1);
        let ranking = Duration::from_micros(time * 10);
        let [section, encoding] = [time, time.saturating_sub(30)].map(Duration::from_millis);
        Ok(Times { section, ranking, encoding, encoded: self.made % 2 })
    }

    fn remembered(&self) -> usize {
        self.remembered
    }
}

fn report(
    few: fn(usize) -> u64,
    many: fn(usize) -> u64,
    sections: usize,
) -> (MemoryReport, String) {
    let log = RefCell::default();
    let walk = |name, remembered, times| StandIn {
        name,
        remembered,
        times: Box::new(times),
        made: 0,
        log: &log,
    };
    let (mut few, mut many) = (walk('f', 100, few), walk('m', 10_000, many));
    let report = measure(&mut [&mut few, &mut many], sections, 3).unwrap();
    drop((few, many));
    (report, log.into_inner())
}

#[test]
fn sections_alternate_and_those_that_warm_up_do_not_count() {
    let slow_at_first = |made| if made < WARM_UP { 900 } else { 30 };
    let (report, log) = report(slow_at_first, |_| 33, 21);
    assert_eq!(log.len(), 2 * (WARM_UP + 21));
    assert!(log.starts_with("fmmffmmf"), "{log}");
    let [few, many] = &report.walks;
    assert_eq!((few.section_ms, many.section_ms), (30.0, 33.0));
    assert_eq!((few.remembered, few.remembered_last), (100, 100 + WARM_UP + 21));
    assert_eq!(many.ranking_ms, 0.33);
    assert!((few.encoded - 0.5).abs() < 0.03, "{}", few.encoded);
    // Every pair says the same, so the interval is a point.
    let Interval { mean, low, high } = report.ratio;
    assert_eq!((mean, low, high), (1.1, 1.1, 1.1));
    assert_eq!(report.ratio_but_encoding.mean, 1.0, "all of the tenth is encoding");
}

#[test]
fn load_that_hits_both_alike_does_not_widen_the_interval() {
    // Four times slower in the second half, and now and then a hiccup of the one that remembers much.
    let load = |made| if made < 60 { 25 } else { 100 };
    let (report, _) = report(load, |made| if made % 10 == 3 { 4000 } else { 100 }, 100);
    let unlike = report.ratio;
    assert!(unlike.high - unlike.low > 1.0, "{unlike:?}");
    let alike = self::report(load, load, 100).0.ratio;
    assert_eq!((alike.mean, alike.low, alike.high), (1.0, 1.0, 1.0));
}

#[test]
fn the_table_has_the_aims_beside_the_figures() {
    let (mut report, _) = report(|_| 40, |made| if made % 20 == 0 { 400 } else { 42 }, 200);
    report.rss_mb = Resident { before: Some(500.4), filled: Some(620.0), after: None };
    let table = report.table();
    for line in [
        "| 100 to 308 | 40.00 ms | 0.400 ms | 0.400 ms | 0.5 groups in 10.00 ms |",
        "| 10000 to 10208 | 42.00 ms | 0.420 ms | 0.420 ms | 0.5 groups in 29.90 ms |",
        "section time, much over little: 1.050 (1.050 to 1.050, 95 % interval; aim: at most 1.05)",
        "without the encoding of groups, which what comes back anew brings: 1.000 (1.000 to 1.000)",
        "ranking 10000 frames: 0.420 ms (aim: 10000 in less than 2 ms on one core)",
        "resident memory: 500 MB before, 620 MB with 10000 frames, unknown after 200 sections",
    ] {
        assert!(table.contains(line), "{line} is not in {table}");
    }
}

#[test]
fn a_percentile_is_one_of_the_values() {
    let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
    assert_eq!((percentile(&mut values, 50), percentile(&mut values, 95)), (50.0, 95.0));
    assert_eq!(percentile(&mut [7.0], 95), 7.0);
}
