//! The dream's thread and the window's end of it.

use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::bail;
use input::{Action, ActionLayout, Episode, Frame, FrameRecord};
use oneiro::bench::pacing;
use oneiro::bench::soak::{self, SoakReport};
use oneiro::clock::Clock;
use oneiro::controls::Controls;
use oneiro::dream::{Dream as _, Lineage, Opener};
use oneiro::hash::FramesHash;
use oneiro::headless;
use oneiro::pace::Due;
use oneiro::queue::DueQueue;
use oneiro::recall::Place;
use oneiro::steer::ByHand;
use oneiro::stream::Section;
use oneiro::tape::Tape;
use oneiro::walk::{ENDING, Ended, News, Plan, Walk};
use oneiro::world::{self, Beginning, STAGES};

use crate::support::world::write_tiny_world;
use crate::support::{Arithmetic, Listed, colour};

/// A test that waits this long has failed; usually it is a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

fn plan(frames: Option<u64>) -> Plan {
    Plan {
        dream: Box::new(|tell| {
            tell("adding up".into());
            Ok(Box::new(Arithmetic::new(1, Clock::stepped(), &[])))
        }),
        steer: Box::new(Listed {
            turns: vec![1.0; 100].into_iter(),
            clock: Clock::stepped(),
            polled_at: Arc::default(),
            touched: None,
        }),
        frames,
        sessions: PathBuf::new(),
        auto_steps: false,
    }
}

#[test]
fn a_walk_tells_its_stages_makes_its_frames_and_ends() {
    let walk = Walk::start(plan(Some(3)), Box::new(|| {})).unwrap();
    let mut told = Vec::new();
    loop {
        match walk.news.recv_timeout(PATIENCE).unwrap() {
            News::Starting(stage) => told.push(stage),
            News::Ready(facts, opening) => {
                told.push(facts.name);
                assert_eq!(opening.pixels[..3], [0; 3]);
            }
            News::Notice(text) => panic!("nothing to notice, but: {text}"),
            News::Ended(ended) => break ended.unwrap(),
        }
    }
    assert_eq!(told, ["adding up", "arithmetic"]);

    let mut hash = FramesHash::default();
    for turned in [1.0, 2.0, 3.0] {
        hash.add(&Frame::filled(16, 16, colour(turned)));
    }
    let figures = walk.leave().figures;
    assert_eq!((figures.frames, figures.frames_hash), (3, hash.finish()));
}

#[test]
fn a_world_that_cannot_be_opened_is_told_not_crashed() {
    let plan = Plan { dream: Box::new(|_| bail!("no such world")), ..plan(None) };
    let walk = Walk::start(plan, Box::new(|| {})).unwrap();
    let News::Ended(Err(error)) = walk.news.recv_timeout(PATIENCE).unwrap() else {
        panic!("the first news is the failure");
    };
    assert_eq!(error.to_string(), "no such world");
}

#[test]
fn a_paused_walk_makes_one_frame_for_each_step() {
    let (waker, woken) = sync_channel(100);
    let walk = Walk::start(plan(None), Box::new(move || _ = waker.try_send(()))).unwrap();
    walk.gate.toggle_pause();
    // Whatever was under way when pausing is finished; then nothing comes unless asked for.
    while woken.recv_timeout(Duration::from_millis(100)).is_ok() {}
    let before = walk.stats.lock().frames();
    for step in 1..=3 {
        walk.gate.step();
        woken.recv_timeout(PATIENCE).unwrap();
        assert!(woken.recv_timeout(Duration::from_millis(20)).is_err(), "only one frame came");
        assert_eq!(walk.stats.lock().frames(), before + step);
    }
    walk.leave();
}

#[test]
fn leaving_ends_a_walk_that_nobody_listens_to() {
    let plan = Plan {
        dream: Box::new(|tell| {
            // More than the channel holds: the thread waits for a reader that never comes.
            for number in 0..1000 {
                tell(format!("stage {number}"));
            }
            Ok(Box::new(Arithmetic::new(1, Clock::stepped(), &[])))
        }),
        ..plan(None)
    };
    let walk = Walk::start(plan, Box::new(|| {})).unwrap();
    assert_eq!(walk.leave().figures.frames, 0);
}

#[test]
fn what_is_recorded_of_a_walk_is_what_was_dreamed() {
    let dir = tempfile::tempdir().unwrap();
    let walk = Plan { sessions: dir.path().to_owned(), ..plan(None) };
    let walk = Walk::start(walk, Box::new(|| {})).unwrap();
    let notice = |walk: &Walk| loop {
        if let News::Notice(notice) = walk.news.recv_timeout(PATIENCE).unwrap() {
            return notice;
        }
    };
    walk.gate.set_recording(true);
    assert!(notice(&walk).starts_with("recording into "));
    while walk.stats.lock().frames() < 6 {
        std::thread::yield_now();
    }
    walk.gate.set_recording(false);
    assert!(notice(&walk).starts_with("recorded "));
    let recordings = walk.leave().recordings;
    let [recording] = &recordings[..] else { panic!("one recording, got {recordings:?}") };
    assert_eq!(recording.lost, 0);

    let episode = Episode::open(&recording.dir).unwrap();
    assert_eq!(episode.len() as u64, recording.frames);
    assert_eq!(episode.actions[0], Action::NEUTRAL);
    assert!(episode.actions[1..].iter().all(|action| action.turn == 1.0));
}

/// A section of two frames, polled 100 ms after the one before.
fn section(number: u64) -> Section {
    let at = Duration::from_millis(100 * number);
    let frame = Arc::new(Frame::filled(16, 16, [9; 3]));
    Section {
        number,
        first: 2 * number + 1,
        actions: vec![Action::NEUTRAL; 2],
        frames: vec![frame; 2],
        polled_at: at,
        input_at: at,
        touched: false,
        due: Due { first: at, spacing: Duration::ZERO, late: false },
        account: serde_json::Value::Null,
        lineage: Lineage::default(),
    }
}

#[test]
fn a_recording_says_of_each_frame_when_it_was_shown_or_that_it_was_not() {
    let dir = tempfile::tempdir().unwrap();
    let dream = Arithmetic::new(2, Clock::stepped(), &[]);
    let queue = DueQueue::new(4);
    let mut tape =
        Tape::new(dream.facts().clone(), dir.path().to_owned(), dream.opening(), queue.clone());
    tape.take(&section(0), false);
    queue.note_shown(2, Duration::from_millis(90));
    // The session begins with frame 2, polled at zero. Of the frames after it every third is never shown.
    let shown_ms = |number: u64| (!number.is_multiple_of(3)).then_some(50 * number + 7);
    for number in 1..8 {
        tape.take(&section(number), true);
        // One section is on the screen while the next one is made.
        for number in [2 * number - 1, 2 * number] {
            let at = shown_ms(number).map(Duration::from_millis);
            at.into_iter().for_each(|at| queue.note_shown(number, at));
        }
    }
    tape.take(&section(8), false);
    let (recordings, notices) = tape.finish();
    assert_eq!(recordings.len(), 1, "{notices:?}");
    let text = std::fs::read_to_string(recordings[0].dir.join("frames.jsonl")).unwrap();
    let records: Vec<FrameRecord> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.iter().map(|it| it.tick).collect::<Vec<_>>(), (2..=16).collect::<Vec<_>>());
    for record in &records {
        let expected = match record.tick {
            2 => Some(90),
            // Nobody has seen what was made last.
            16 => None,
            number => shown_ms(number),
        };
        assert_eq!(record.present_time_us, expected.map(|ms| ms * 1000), "frame {}", record.tick);
    }
}

#[test]
fn a_recording_of_frames_that_nobody_sees_waits_for_none() {
    let dir = tempfile::tempdir().unwrap();
    let dream = Arithmetic::new(2, Clock::stepped(), &[]);
    let queue = DueQueue::new(4);
    let mut tape = Tape::new(dream.facts().clone(), dir.path().to_owned(), dream.opening(), queue);
    for number in 0..100 {
        tape.take(&section(number), true);
    }
    // Far fewer than are waited for at the end; the writer may be behind, but it was given them.
    let (_, running) = tape.take(&section(100), true);
    assert!(running);
    let (recordings, _) = tape.finish();
    assert_eq!((recordings[0].frames, recordings[0].lost), (203, 0));
}

#[test]
fn a_recording_that_cannot_begin_is_told_and_play_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("not-a-folder");
    std::fs::write(&file, "").unwrap();
    let walk = Walk::start(Plan { sessions: file, ..plan(None) }, Box::new(|| {})).unwrap();
    walk.gate.set_recording(true);
    let told = loop {
        if let News::Notice(notice) = walk.news.recv_timeout(PATIENCE).unwrap() {
            break notice;
        }
    };
    assert!(told.contains("no recording") && told.contains("not-a-folder"), "{told}");
    assert!(!walk.gate.recording());
    let before = walk.stats.lock().frames();
    while walk.stats.lock().frames() < before + 3 {
        std::thread::yield_now();
    }
    assert!(walk.leave().recordings.is_empty());
}

#[test]
fn a_headless_walk_is_recorded_and_repeats_to_the_bit() {
    let dir = tempfile::tempdir().unwrap();
    let walk = |name| headless::run(plan(Some(5)), &dir.path().join(name)).unwrap();
    let (first, second) = (walk("a"), walk("b"));
    assert_eq!(first.figures.frames, 5);
    assert_eq!(first.figures.frames_hash, second.figures.frames_hash);
    let figures = serde_json::to_value(&first.figures).unwrap();
    let samples = figures["rss_mb"].as_array().unwrap();
    assert_eq!(samples.is_empty(), cfg!(not(target_os = "linux")), "memory is looked at");
    let episode = Episode::open(&dir.path().join("a")).unwrap();
    assert_eq!(episode.len(), 6, "the opening picture and five frames");

    let error = headless::run(plan(Some(1)), &dir.path().join("a")).unwrap_err();
    assert!(format!("{error:#}").contains("begin a recording in"), "{error:#}");
}

#[test]
fn a_walk_that_follows_another_opens_after_it_has_ended_and_both_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let first = Plan { sessions: dir.path().to_owned(), ..plan(None) };
    let mut walk = Walk::start(first, Box::new(|| {})).unwrap();
    walk.gate.set_recording(true);
    while walk.stats.lock().frames() < 3 {
        std::thread::yield_now();
    }
    let ended = Ended::default();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (before, looked) = (ended.clone(), Arc::clone(&seen));
    let second = plan(Some(2));
    let open = second.dream;
    let dream: Opener = Box::new(move |tell| {
        looked.lock().unwrap().extend(before.take());
        open(tell)
    });
    walk.follow(Plan { dream, ..second }, Box::new(|| {}), &ended).unwrap();
    let mut told = Vec::new();
    loop {
        match walk.news.recv_timeout(PATIENCE).unwrap() {
            News::Starting(stage) => told.push(stage),
            News::Ended(result) => break result.unwrap(),
            News::Ready(..) | News::Notice(_) => {}
        }
    }
    assert_eq!(told, [ENDING, "adding up"]);
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    let [first] = &seen[..] else { panic!("one walk had ended before, got {seen:?}") };
    assert!(first.figures.frames >= 3);
    // Its recording is whole by the time the second world opens.
    assert_eq!(Episode::open(&first.recordings[0].dir).unwrap().fps, 20.0);
    assert_eq!(walk.leave().figures.frames, 2);
}

#[test]
fn a_world_tells_all_stages_of_its_opening_in_order() {
    let dir = tempfile::tempdir().unwrap();
    write_tiny_world(dir.path()).unwrap();
    let beginning = Beginning { seed: 0, evaluations: None, start: None, memory: Place::Nowhere };
    let mut told = Vec::new();
    let opener = world::opener(dir.path().to_owned(), beginning);
    opener(&mut |stage| told.push(stage)).unwrap();
    let stages: Vec<_> = told.iter().filter(|stage| STAGES.contains(&stage.as_str())).collect();
    assert_eq!(stages, STAGES.iter().collect::<Vec<_>>(), "{told:?}");
}

#[test]
fn a_loop_is_measured_as_a_player_meets_it() {
    let controls = Controls::without_pads(&ActionLayout::default());
    // A world of 20 frames/s that takes no time at all.
    let plan = Plan {
        dream: Box::new(|_| Ok(Box::new(Arithmetic::new(1, Clock::stepped(), &[])))),
        steer: Box::new(ByHand::new(controls.clone())),
        ..plan(None)
    };
    let report = pacing::play(plan, &controls, Duration::from_secs(2), 1).unwrap();
    assert!((20..=42).contains(&report.shown), "{} frames in two seconds", report.shown);
    assert!(report.figures.touch_to_present_ms.p95 > 0.0, "no touch reached a picture");
    assert!((report.aim_ms() - 125.0).abs() < 1e-9, "two and a half ticks of 50 ms");
    let table = report.table();
    assert!(table.contains("from touch to picture") && table.contains("denoise"), "{table}");
}

#[test]
fn long_play_is_looked_at_as_it_was_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let controls = Controls::without_pads(&ActionLayout::default());
    // A world of 20 frames/s that takes no time, but once so long.
    let soaked = |stall: Duration, sessions| {
        let plan = Plan {
            dream: Box::new(move |_| {
                let mut world = Arithmetic::new(1, Clock::stepped(), &[]);
                world.stalls_at = Some((30, stall));
                Ok(Box::new(world))
            }),
            steer: Box::new(ByHand::new(controls.clone())),
            sessions,
            ..plan(None)
        };
        soak::soak(plan, &controls, Duration::from_secs(4), 1).unwrap()
    };
    let report = soaked(Duration::ZERO, dir.path().join("good"));
    let found = |text: &str, good: bool, report: &SoakReport| {
        let found = report.checks.iter().find(|(found, _)| found.starts_with(text)).unwrap();
        assert_eq!(found.1, good, "{}", report.table());
    };
    for text in ["recorded: ", "ticks: ", "clocks: "] {
        found(text, true, &report);
    }
    let report = soaked(Duration::from_secs(1), dir.path().join("stalled"));
    found("longest time without a new picture: ", false, &report);
    found("recorded: ", true, &report);
    let table = report.table();
    assert!(!report.passed() && table.contains("FAILED longest"), "{table}");
    // Others may come, on a busy machine; this one is told of, with what the host had to do with it where that is known.
    let stall = report.played.stalls.iter().find(|stall| stall.ms > 900.0).expect("of a second");
    assert!(table.contains(&format!("{:.0} ms, {:.0} s after the opening", stall.ms, stall.at)));
    assert_eq!(stall.stolen_ms.is_some(), cfg!(target_os = "linux"));
    assert!(table.contains("\nmemory held "), "what it held over the walk: {table}");
}

#[test]
fn a_touch_is_counted_in_the_first_frame_that_obeys_it() {
    let plan = Plan {
        dream: Box::new(|_| Ok(Box::new(Arithmetic::new(2, Clock::stepped(), &[])))),
        steer: Box::new(Listed {
            turns: vec![1.0; 2].into_iter(),
            clock: Clock::stepped(),
            polled_at: Arc::default(),
            touched: Some(Duration::ZERO),
        }),
        ..plan(Some(2))
    };
    let walk = Walk::start(plan, Box::new(|| {})).unwrap();
    while !matches!(walk.news.recv_timeout(PATIENCE).unwrap(), News::Ended(_)) {}
    let [first, second] = [(); 2].map(|()| walk.queue.next().expect("two frames were made"));
    assert_eq!((first.input_at, first.touched, second.touched), (Duration::ZERO, true, false));
    assert!(second.input_at > Duration::ZERO, "the second is later by the beat, not by the touch");
    walk.leave();
}
