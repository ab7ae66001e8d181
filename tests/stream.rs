//! The loop with a stepped clock: order, pace, lateness, failure.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use input::{Action, Frame, Room};
use oneiro::clock::Clock;
use oneiro::effort::Effort;
use oneiro::gate::{Gate, Pass, Wish};
use oneiro::pace::Pace;
use oneiro::stats::SharedStats;
use oneiro::stream::{Publish, Section, Steer, Stream};
use oneiro::view::MemoryView;

use crate::support::{Arithmetic, Listed, colour};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Keeps sections until it has enough.
struct Keep {
    sections: Vec<Section>,
    wanted: usize,
    gate: Gate,
}

impl Publish for Keep {
    fn publish(&mut self, section: &Section) -> Result<Pass> {
        self.sections.push(section.clone());
        assert!(!self.gate.paused(), "a paused walk makes nothing");
        Ok(if self.sections.len() == self.wanted { Pass::Leave } else { Pass::Go })
    }
}

struct Walked {
    sections: Vec<Section>,
    stats: SharedStats,
    polled_at: Vec<Duration>,
    calls: Vec<&'static str>,
    ended: Result<()>,
}

/// Walks `wanted` sections of `section_frames` frames whose sampler takes `times`.
fn walk(wanted: usize, section_frames: u32, times: &[u64], fails_at: Option<usize>) -> Walked {
    let clock = Clock::stepped();
    let mut dream = Arithmetic::new(section_frames, clock.clone(), times);
    dream.fails_at = fails_at;
    let calls = Arc::clone(&dream.calls);
    let turns = (1_u8..=200).map(f32::from).collect::<Vec<_>>().into_iter();
    let mut steer =
        Listed { turns, clock: clock.clone(), polled_at: Arc::default(), touched: None };
    let polled_at = Arc::clone(&steer.polled_at);
    let mut keep = Keep { sections: Vec::new(), wanted, gate: Gate::default() };
    let stats = SharedStats::default();
    let mut stream = Stream {
        dream: &mut dream,
        steer: &mut steer,
        publish: &mut keep,
        pace: Pace::at(20.0, section_frames),
        effort: None,
        gate: Gate::default(),
        clock,
        stats: stats.clone(),
    };
    let ended = stream.run();
    let polled_at = polled_at.lock().expect("the walk is over").clone();
    let calls = calls.lock().expect("the walk is over").clone();
    Walked { sections: keep.sections, stats, polled_at, calls, ended }
}

/// Turns by one each frame; notes the colours that came of it, and the room there was then.
#[derive(Default)]
struct Watcher(Vec<([u8; 3], Option<Room>)>);

impl Steer for Watcher {
    fn poll(&mut self, frames: u32) -> Vec<Action> {
        vec![Action { turn: 1.0, ..Action::NEUTRAL }; frames as usize]
    }

    fn see(&mut self, frames: &[Arc<Frame>], room: Option<Room>) {
        self.0.extend(frames.iter().map(|frame| ([0, 1, 2].map(|at| frame.pixels[at]), room)));
    }
}

#[test]
fn who_steers_sees_what_came_of_it() {
    let (clock, mut steer) = (Clock::stepped(), Watcher::default());
    let mut keep = Keep { sections: Vec::new(), wanted: 3, gate: Gate::default() };
    let mut stream = Stream {
        dream: &mut Arithmetic::new(2, clock.clone(), &[1]),
        steer: &mut steer,
        publish: &mut keep,
        pace: Pace::unpaced(2),
        effort: None,
        gate: Gate::default(),
        clock,
        stats: SharedStats::default(),
    };
    stream.run().expect("nothing fails");
    // Of two frames a section; the room is that after both.
    let seen = [(1.0, 2.0), (2.0, 2.0), (3.0, 4.0), (4.0, 4.0), (5.0, 6.0), (6.0, 6.0)];
    let seen =
        seen.map(|(turned, ahead)| (colour(turned), Some(Room { ahead, left: 0.0, right: 0.0 })));
    assert_eq!(steer.0, seen);
}

/// Wishes for something after each of some sections; notes what it is told.
struct Wishing {
    gate: Gate,
    wishes: Vec<(u64, Wish)>,
    colours: Vec<[u8; 3]>,
    notices: Vec<String>,
    views: Vec<MemoryView>,
}

impl Publish for Wishing {
    fn memory(&mut self, view: MemoryView) {
        self.views.push(view);
    }

    fn notice(&mut self, line: String) {
        self.notices.push(line);
    }

    fn publish(&mut self, section: &Section) -> Result<Pass> {
        let pixels = &section.frames[0].pixels;
        self.colours.push([pixels[0], pixels[1], pixels[2]]);
        let wishes = self.wishes.iter().filter(|(number, _)| *number == section.number);
        wishes.for_each(|(_, wish)| self.gate.wish(*wish));
        self.gate.set_watching(section.number == 1);
        Ok(if section.number == 4 { Pass::Leave } else { Pass::Go })
    }
}

fn wish(wishes: &[(u64, Wish)]) -> (Wishing, SharedStats) {
    let (clock, gate) = (Clock::stepped(), Gate::default());
    let mut dream = Arithmetic::new(1, clock.clone(), &[5]);
    let turns = vec![1.0_f32, 2.0, 4.0, 8.0, 16.0].into_iter();
    let mut steer =
        Listed { turns, clock: clock.clone(), polled_at: Arc::default(), touched: None };
    let (wishes, stats) = (wishes.to_vec(), SharedStats::default());
    let mut publish = Wishing {
        gate: gate.clone(),
        wishes,
        colours: Vec::new(),
        notices: Vec::new(),
        views: Vec::new(),
    };
    let (pace, stats_of_loop) = (Pace::at(20.0, 1), stats.clone());
    let mut stream = Stream {
        dream: &mut dream,
        steer: &mut steer,
        publish: &mut publish,
        pace,
        effort: None,
        gate,
        clock,
        stats: stats_of_loop,
    };
    stream.run().expect("nothing fails");
    (publish, stats)
}

#[test]
fn fewer_evaluations_bring_a_slow_walk_back_to_its_rate() {
    for auto in [false, true] {
        let clock = Clock::stepped();
        let mut dream = Arithmetic::new(1, clock.clone(), &[100]);
        let turns = vec![1.0; 100].into_iter();
        let mut steer =
            Listed { turns, clock: clock.clone(), polled_at: Arc::default(), touched: None };
        let mut keep = Keep { sections: Vec::new(), wanted: 80, gate: Gate::default() };
        let mut stream = Stream {
            dream: &mut dream,
            steer: &mut steer,
            publish: &mut keep,
            pace: Pace::at(20.0, 1),
            effort: auto.then(|| Effort::new(4, MS(50))),
            gate: Gate::default(),
            clock,
            stats: SharedStats::default(),
        };
        stream.run().expect("nothing fails");
        let last = &keep.sections[70..];
        let apart = last[9].due.first - last[8].due.first;
        assert_eq!(apart, if auto { MS(50) } else { MS(100) });
    }
}

#[test]
fn latency_begins_with_a_touch() {
    let clock = Clock::stepped();
    let mut dream = Arithmetic::new(2, clock.clone(), &[10]);
    let turns = vec![1.0; 100].into_iter();
    let touched = Some(MS(20));
    let mut steer = Listed { turns, clock: clock.clone(), polled_at: Arc::default(), touched };
    let mut keep = Keep { sections: Vec::new(), wanted: 2, gate: Gate::default() };
    clock.advance(MS(35));
    let mut stream = Stream {
        dream: &mut dream,
        steer: &mut steer,
        publish: &mut keep,
        pace: Pace::at(20.0, 2),
        effort: None,
        gate: Gate::default(),
        clock,
        stats: SharedStats::default(),
    };
    stream.run().expect("nothing fails");
    let [first, second] = &keep.sections[..] else { panic!("two sections were wanted") };
    assert_eq!((first.polled_at, first.input_at), (MS(35), MS(20)));
    assert_eq!(second.input_at, second.polled_at, "nothing was touched");
}

#[test]
fn a_bookmark_is_gone_back_to() {
    let (walked, _) = wish(&[(1, Wish::Bookmark), (3, Wish::GoBack)]);
    // 1 + 2 is marked; 4 and 8 are taken back, 16 is not.
    assert_eq!(walked.colours, [1.0, 3.0, 7.0, 15.0, 19.0].map(colour));
    assert!(walked.notices[0].contains("bookmark set"), "{:?}", walked.notices);
    assert!(walked.notices[1].contains("back at"), "{:?}", walked.notices);
    let (unmarked, _) = wish(&[(2, Wish::GoBack)]);
    assert_eq!(unmarked.colours, [1.0, 3.0, 7.0, 15.0, 31.0].map(colour));
    assert!(unmarked.notices[0].contains("no bookmark"), "{:?}", unmarked.notices);
}

#[test]
fn memory_is_shown_to_those_who_watch_and_its_losses_to_all() {
    let (walked, stats) = wish(&[]);
    // Watched from after section 1 until after section 2.
    assert_eq!(walked.views, [MemoryView { remembered: 3, ..MemoryView::default() }]);
    assert_eq!(stats.lock().lately().memory_lost, 7);
}

#[test]
fn a_section_meets_the_stages_in_their_order() {
    let walked = walk(2, 1, &[5], None);
    let once = ["preview", "retrieve", "plan", "pack", "encode", "denoise", "remember", "decode"];
    // Nothing comes after the last.
    assert_eq!(walked.calls, [&once[..], &["anticipate"], &once].concat());
}

#[test]
fn frames_follow_the_actions_one_for_one() {
    let walked = walk(3, 4, &[5], None);
    let mut turned = 0.0;
    let mut number = 1;
    for section in &walked.sections {
        assert_eq!(section.first, number);
        for (frame, action) in section.frames.iter().zip(&section.actions) {
            turned += action.turn;
            assert_eq!(frame.pixels[..3], colour(turned));
            number += 1;
        }
    }
    assert_eq!(number, 13);
    // 1 + 2 + ... + 12
    assert!((turned - 78.0).abs() < f32::EPSILON);
}

#[test]
fn controls_are_sampled_as_late_as_the_slow_sections_allow() {
    // One section in ten takes 30 ms, the others 10: the 95th percentile is 30.
    let walked = walk(60, 1, &[10, 10, 10, 10, 30, 10, 10, 10, 10, 10], None);
    for (section, polled_at) in walked.sections.iter().zip(&walked.polled_at).skip(20) {
        assert_eq!(section.polled_at, *polled_at, "what is reported is when it was asked");
        assert_eq!(section.due.first - *polled_at, MS(30));
        assert!(!section.due.late);
    }
    let dues: Vec<_> = walked.sections[20..].iter().map(|section| section.due.first).collect();
    assert!(dues.windows(2).all(|pair| pair[1] - pair[0] == MS(50)), "the world's own speed");
}

#[test]
fn too_slow_a_machine_dreams_without_a_pause() {
    let walked = walk(10, 1, &[80], None);
    for pair in walked.polled_at[3..].windows(2) {
        assert_eq!(pair[1] - pair[0], MS(80));
    }
    let figures = walked.stats.lock().figures(String::new());
    assert!((figures.fps - 12.5).abs() < 0.01, "{}", figures.fps);
    assert_eq!(figures.frames, 10);
}

#[test]
fn the_time_of_a_stage_is_in_its_own_column() {
    let walked = walk(5, 1, &[40], None);
    let figures = walked.stats.lock().figures(String::new());
    for (name, times) in &figures.stages_ms {
        let expected = if *name == "denoise" { 40.0..42.0 } else { -0.1..0.1 };
        assert!(expected.contains(&times.p50), "{name}: {times:?}");
    }
}

#[test]
fn a_stage_that_fails_ends_the_walk_and_is_named() {
    let walked = walk(9, 1, &[5], Some(3));
    let error = format!("{:#}", walked.ended.unwrap_err());
    assert_eq!(error, "stage denoise: out of colours");
    assert_eq!(walked.sections.len(), 3);
}
