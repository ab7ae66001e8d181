//! Figures of a walk: how fast, how late, what each stage took.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::histogram::{Histogram, Percentiles};
use crate::pace::Recent;
use crate::resident::{Trace, rss_mb, rss_peak_mb};
use crate::stage::Stage;

/// Width of the window whose worst rate is reported.
const WINDOW: Duration = Duration::from_secs(10);

/// What one stage took: over the whole walk, and lately.
#[derive(Clone, Debug, Default)]
struct StageTimes {
    whole: Histogram,
    recent: Recent,
}

impl StageTimes {
    fn record(&mut self, time: Duration) {
        self.whole.record(time);
        self.recent.record(time);
    }

    /// Median, 95th and 99th percentile of late.
    fn lately(&self) -> [Duration; 3] {
        [50, 95, 99].map(|per_cent| self.recent.percentile(per_cent).unwrap_or_default())
    }
}

/// What is measured while walking.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    stages: [StageTimes; Stage::ALL.len()],
    input_to_present: StageTimes,
    /// Those of them that began with a touch.
    touch_to_present: StageTimes,
    rate: Rate,
    late: u64,
    memory_lost: u64,
    rss: Trace,
}

/// Frames over time, and the worst ten seconds of them.
#[derive(Clone, Debug, Default)]
struct Rate {
    began: Option<Duration>,
    last: Duration,
    frames: u64,
    window: VecDeque<Duration>,
    worst: Option<f64>,
}

/// Lately's figures, for the screen.
#[derive(Clone, Debug, Default)]
pub struct Lately {
    /// Frames a second over the last ten seconds or less.
    pub fps: f64,
    /// Stage, its median and its 95th percentile.
    pub stages: Vec<(&'static str, Duration, Duration)>,
    /// From a touch, or else from sampling the controls, to the screen: median, 95th and 99th percentile.
    pub input_to_present: [Duration; 3],
    /// From a touch to the screen, likewise; zero where nothing was touched.
    pub touch_to_present: [Duration; 3],
    /// Sections that were not ready when due, since the walk began.
    pub late: u64,
    /// Memories that did not reach the disk, since the walk began.
    pub memory_lost: u64,
}

/// The figures of a finished walk, as printed on the last line of its output.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Frames generated.
    pub frames: u64,
    /// Seconds from the first section's beginning to the last frame.
    pub seconds: f64,
    /// Frames a second, decoding included.
    pub fps: f64,
    /// Frames a second in the worst ten seconds; the same as `fps` in a shorter walk.
    pub fps_worst_10s: f64,
    /// SHA-256 over the pixels of all frames in order, in hex.
    pub frames_hash: String,
    /// From the touch of a device that a frame is the first to obey, else from sampling the controls, to showing
    /// it, or handing it on where none is shown.
    pub input_to_present_ms: Percentiles,
    /// The same of the frames that are the first to obey a touch alone; zero where nothing was touched.
    pub touch_to_present_ms: Percentiles,
    /// Each stage's time for one section.
    #[serde(serialize_with = "as_map")]
    pub stages_ms: Vec<(&'static str, Percentiles)>,
    /// Sections that were not ready when due; without a beat to keep there are none.
    pub late_sections: u64,
    /// Most memory held at once, where the system tells.
    pub rss_peak_mb: Option<f64>,
    /// Memory held over the walk, where that was looked at.
    pub rss_mb: Trace,
}

impl Stats {
    /// Counts a stage's time for one section.
    pub fn stage(&mut self, stage: Stage, time: Duration) {
        self.stages[stage as usize].record(time);
    }

    /// Marks the beginning of the walk: the first section's; later calls change nothing.
    pub fn begin(&mut self, at: Duration) {
        self.rate.began.get_or_insert(at);
    }

    /// Counts a frame handed on at time `at`.
    pub fn frame(&mut self, at: Duration) {
        self.rate.frame(at);
    }

    /// Counts the time from a touch, or from sampling the controls, to showing what it led to.
    pub fn presented(&mut self, input_at: Duration, shown_at: Duration, touched: bool) {
        let time = shown_at.saturating_sub(input_at);
        self.input_to_present.record(time);
        if touched {
            self.touch_to_present.record(time);
        }
    }

    /// Leaves a pause of this length, which ends now, out of all rates.
    pub fn leave_out(&mut self, pause: Duration) {
        self.rate.put_off(pause);
    }

    /// Counts a section that was not ready when due.
    pub fn late(&mut self) {
        self.late += 1;
    }

    /// Notes how many memories have not reached the disk so far.
    pub fn memory_lost(&mut self, lost: u64) {
        self.memory_lost = lost;
    }

    /// Looks, now and then, at the memory that is held at time `at`.
    pub fn resident(&mut self, at: Duration) {
        self.rss.offer(at.saturating_sub(self.rate.began.unwrap_or(at)), rss_mb);
    }

    /// Frames counted so far.
    pub fn frames(&self) -> u64 {
        self.rate.frames
    }

    /// The figures of the last few seconds.
    pub fn lately(&self) -> Lately {
        let stages = Stage::ALL.into_iter().zip(&self.stages).map(|(stage, times)| {
            let [median, p95, _] = times.lately();
            (stage.name(), median, p95)
        });
        Lately {
            fps: self.rate.lately(),
            stages: stages.collect(),
            input_to_present: self.input_to_present.lately(),
            touch_to_present: self.touch_to_present.lately(),
            late: self.late,
            memory_lost: self.memory_lost,
        }
    }

    /// The figures of the whole walk.
    pub fn figures(&self, frames_hash: String) -> Figures {
        let stages = Stage::ALL.into_iter().zip(&self.stages);
        Figures {
            frames: self.rate.frames,
            seconds: self.rate.seconds(),
            fps: self.rate.mean(),
            fps_worst_10s: self.rate.worst.unwrap_or_else(|| self.rate.mean()),
            frames_hash,
            input_to_present_ms: self.input_to_present.whole.percentiles(),
            touch_to_present_ms: self.touch_to_present.whole.percentiles(),
            stages_ms: stages.map(|(stage, it)| (stage.name(), it.whole.percentiles())).collect(),
            late_sections: self.late,
            rss_peak_mb: rss_peak_mb(),
            rss_mb: self.rss.clone(),
        }
    }
}

impl Rate {
    fn frame(&mut self, at: Duration) {
        let began = *self.began.get_or_insert(at);
        while self.window.front().is_some_and(|&first| first + WINDOW < at) {
            self.window.pop_front();
        }
        // Counted before this frame joins, so that a stall lowers the window it ends.
        if at.saturating_sub(began) > WINDOW {
            let fps = count(self.window.len()) / WINDOW.as_secs_f64();
            self.worst = Some(self.worst.map_or(fps, |worst: f64| worst.min(fps)));
        }
        self.window.push_back(at);
        self.frames += 1;
        self.last = at;
    }

    fn put_off(&mut self, by: Duration) {
        let began = self.began.iter_mut();
        began.chain(&mut self.window).chain([&mut self.last]).for_each(|time| *time += by);
    }

    fn seconds(&self) -> f64 {
        self.last.saturating_sub(self.began.unwrap_or_default()).as_secs_f64()
    }

    fn mean(&self) -> f64 {
        per_second(usize::try_from(self.frames).unwrap_or(usize::MAX), self.seconds())
    }

    fn lately(&self) -> f64 {
        let first = self.window.front().copied().unwrap_or_default();
        let intervals = self.window.len().saturating_sub(1);
        per_second(intervals, self.last.saturating_sub(first).as_secs_f64())
    }
}

/// Statistics that the dream writes and the window reads. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct SharedStats(Arc<Mutex<Stats>>);

impl SharedStats {
    /// The statistics, for the moment of a few additions.
    pub fn lock(&self) -> MutexGuard<'_, Stats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn per_second(frames: usize, seconds: f64) -> f64 {
    if seconds > 0.0 { count(frames) / seconds } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "a count of frames is far below 2^52")]
fn count(frames: usize) -> f64 {
    frames as f64
}

fn as_map<S: Serializer>(
    stages: &[(&'static str, Percentiles)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(stages.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn the_worst_ten_seconds_hold_the_stall() {
        let mut stats = Stats::default();
        stats.begin(Duration::ZERO);
        let mut at = Duration::ZERO;
        for number in 0..1000 {
            at += if number == 500 { MS(5_000) } else { MS(50) };
            stats.frame(at);
        }
        let figures = stats.figures(String::new());
        assert_eq!(figures.frames, 1000);
        // Ten seconds that hold a stall of five: half of the usual 200 frames, and the stall's own.
        assert!((10.0..=10.2).contains(&figures.fps_worst_10s), "{}", figures.fps_worst_10s);
        assert!((figures.fps - 1000.0 / 54.95).abs() < 1e-9, "{}", figures.fps);
        assert!((stats.lately().fps - 20.0).abs() < 1e-9);
    }

    #[test]
    fn a_walk_shorter_than_the_window_reports_its_mean() {
        let mut stats = Stats::default();
        stats.begin(Duration::ZERO);
        for number in 1..=10 {
            stats.frame(MS(100) * number);
        }
        let figures = stats.figures(String::new());
        assert!((figures.fps_worst_10s - 10.0).abs() < 1e-9, "{}", figures.fps_worst_10s);
    }

    #[test]
    fn a_pause_lowers_no_rate() {
        let mut stats = Stats::default();
        stats.begin(Duration::ZERO);
        let (mut at, pause) = (Duration::ZERO, Duration::from_secs(60));
        for number in 0..600 {
            if number == 300 {
                stats.leave_out(pause);
                at += pause;
            }
            at += MS(50);
            stats.frame(at);
        }
        let figures = stats.figures(String::new());
        assert!((figures.fps - 20.0).abs() < 1e-9, "{}", figures.fps);
        assert!((figures.fps_worst_10s - 20.0).abs() < 1e-9, "{}", figures.fps_worst_10s);
    }

    #[test]
    fn memory_is_traced_from_the_beginning_of_the_walk() {
        let mut stats = Stats::default();
        stats.begin(MS(5_000));
        stats.resident(MS(5_000));
        stats.leave_out(MS(60_000));
        stats.resident(MS(65_500));
        let json = serde_json::to_value(stats.figures(String::new())).unwrap();
        let seconds: Vec<_> = json["rss_mb"].as_array().unwrap().iter().map(|it| &it[0]).collect();
        if cfg!(target_os = "linux") {
            assert_eq!(seconds, [0.0, 0.5]);
        }
    }

    #[test]
    fn frames_that_nobody_asked_for_do_not_make_touches_quicker() {
        let mut stats = Stats::default();
        for number in 0..100 {
            stats.presented(Duration::ZERO, MS(10), false);
            if number % 10 == 0 {
                stats.presented(Duration::ZERO, MS(80), true);
            }
        }
        let figures = stats.figures(String::new());
        assert!(figures.input_to_present_ms.p50 < 11.0 && figures.touch_to_present_ms.p50 > 79.0);
        assert_eq!(stats.lately().touch_to_present, [MS(80); 3]);
    }

    #[test]
    fn a_walk_of_nothing_has_figures() {
        let figures = Stats::default().figures(String::new());
        assert_eq!(figures.frames, 0);
        assert!(figures.fps.abs() < f64::EPSILON);
    }

    #[test]
    fn stages_keep_their_order_in_json() {
        let mut stats = Stats::default();
        stats.stage(Stage::Denoise, MS(20));
        let json = serde_json::to_string(&stats.figures("ab".into())).unwrap();
        let at = |name| json.find(&format!("\"{name}\":{{")).expect(name);
        assert!(at("poll") < at("encode") && at("encode") < at("denoise"));
        assert!(!json.contains('\n'));
    }
}
