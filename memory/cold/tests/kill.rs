//! A program that is killed while it remembers: the file opens, sound, and lacks at most the last
//! second. `ONEIRO_KILLS` sets how often; 200 for the test of record.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::play::{offer, start};
use super::*;

/// Tells this test, run as another process, where the file is.
const PATH: &str = "ONEIRO_COLD_PATH";
const BUDGET: u64 = 1 << 30;

/// What the child offered: session, number, milliseconds since it began.
fn log(path: &Path) -> Vec<(u32, u64, u64)> {
    let text = fs::read_to_string(path.with_extension("log")).unwrap_or_default();
    let line = |line: &str| {
        let mut fields = line.split(' ').map(str::parse::<u64>);
        let mut field = || fields.next()?.ok();
        Some((u32::try_from(field()?).ok()?, field()?, field()?))
    };
    // A line that was cut by the kill does not end.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|text| line(text).expect("whole lines are well-formed")).collect()
}

/// Remembers one new view after the other until it is killed.
fn remember_forever(path: &Path) -> ! {
    let cold = open(path, BUDGET);
    let session = cold.session();
    let (writer, _, _) = start(cold);
    let mut log =
        OpenOptions::new().append(true).create(true).open(path.with_extension("log")).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the test is about real time")]
    let began = Instant::now();
    for number in 0_u64.. {
        writer.keep(offer((u64::from(session) << 32) | number, 4 * number, false));
        let line = format!("{session} {number} {}\n", began.elapsed().as_millis());
        log.write_all(line.as_bytes()).unwrap();
        assert_eq!((writer.lost(), writer.notice()), (0, None));
        sleep(Duration::from_millis(15));
    }
    unreachable!("it is killed long before numbers run out")
}

#[test]
fn a_kill_costs_a_second_at_most() {
    if let Some(path) = env::var_os(PATH) {
        remember_forever(Path::new(&path));
    }
    let kills: u64 = env::var("ONEIRO_KILLS").map_or(12, |kills| kills.parse().unwrap());
    let (_folder, path) = place();
    let mut state = 7_u64;
    for kill in 0..kills {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "cold::tests::kill::a_kill_costs_a_second_at_most"])
            .env(PATH, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // From before the file is open to after several commits.
        sleep(Duration::from_millis((state >> 33) % 1700));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), None, "kill {kill}: it ended before it was killed");
        check(&path, kill);
    }
    let runs = open(&path, BUDGET).stat().unwrap().runs;
    assert!(runs > 10 * kills, "{runs} runs after {kills} kills");
}

fn check(path: &Path, kill: u64) {
    let log = log(path);
    let mut cold = open(path, BUDGET);
    cold.verify().unwrap();
    let runs = cold.export().unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    let mut kept: Vec<_> =
        runs.iter().map(|run| (run.entry.session, run.frames[0].tick / 4)).collect();
    kept.sort_unstable();
    for run in &runs {
        let seed = (u64::from(run.entry.session) << 32) | (run.frames[0].tick / 4);
        assert_eq!(run.frames[0].latent, offer(seed, 0, false).records[0].latent);
    }
    // Of the session that was killed last; of earlier ones this was checked before.
    let Some(&(last, _, end)) = log.last() else { return };
    for &(session, number, at) in log.iter().filter(|line| line.0 == last && line.2 + 1000 < end) {
        let there = kept.binary_search(&(session, number)).is_ok();
        assert!(there, "kill {kill}: run {number} at {at} ms is lost after {end} ms");
    }
    // Nothing is kept that was not offered, and no hole lies between.
    let newest = kept.iter().filter(|run| run.0 == last).count();
    assert!(kept.iter().filter(|run| run.0 == last).map(|run| run.1).eq(0..newest as u64));
}
