//! Benchmarks of memory on the tiny world: what each way of picking history may use, what it costs.

use std::sync::Arc;

use engine::dreamer::{DreamOptions, Dreamer, EstimateBy};
use input::{Action, Episode, Policy, Pose};
use memory::{FrameStamp, Ranking};
use oneiro::bench::memory::Walk as _;
use oneiro::bench::memory::dreamed::Source;
use oneiro::bench::revisit::dreamed::Remembering;
use oneiro::bench::revisit::restart::OPENING;
use oneiro::bench::revisit::{Arm, Revisit as _};
use oneiro::bench::speed::{Part, SpeedArgs};
use oneiro::clock::Clock;

use crate::cli::oneiro;
use crate::support::world::{tiny_world, write_tiny_world};

/// Frames of the way out.
const OUT: usize = 100;

fn walk() -> Episode {
    input::simulate(7, OUT, Policy::Explore, (64, 48), 17.5)
}

/// The tiny world at the end of a way out past these frames.
fn at_the_end_of(frames: &[&[u8]], episode: &Episode) -> Remembering {
    let dir = tempfile::tempdir().expect("a folder for the world");
    write_tiny_world(dir.path()).expect("the world can be written");
    let mut world = Remembering::open(dir.path(), 0).expect("the world can be read");
    let poses = episode.poses.as_deref().expect("a maze knows where it is");
    world.go_out(frames, &episode.actions, poses).expect("the frames fit");
    world
}

fn turned<'a>(world: &'a mut Remembering, arm: Arm, picture: &mut Vec<u8>) -> &'a Dreamer {
    world.turn_back(arm).expect("it went out");
    *picture = world.next(&Action::NEUTRAL, Pose::default()).expect("a section");
    world.back().expect("it turned")
}

#[test]
fn a_preview_ranks_by_what_the_network_expects() {
    let episode = walk();
    let frames: Vec<&[u8]> = episode.frames().collect();
    let mut world = at_the_end_of(&frames, &episode);
    let (mut preview, mut hybrid) = (Vec::new(), Vec::new());
    let hits = turned(&mut world, Arm::Preview, &mut preview).account().hits.clone();
    assert_ne!(hits, turned(&mut world, Arm::Hybrid, &mut hybrid).account().hits);
    let hybrid = Ranking::Similarity { time_weight: tiny_world().config.time_weight };
    let estimate = EstimateBy::Preview;
    let options = DreamOptions { estimate, ranking: Some(hybrid), ..DreamOptions::default() };
    let mut expected = Dreamer::new(tiny_world(), options).expect("fits");
    expected.open_with(&frames, &episode.actions).expect("the frames fit");
    assert_eq!(expected.section(&[Action::NEUTRAL]).expect("a section"), [preview]);
    assert_eq!(expected.account().hits, hits);
}

#[test]
fn after_a_restart_only_what_the_file_kept_comes_back() {
    let episode = walk();
    // One view until the last moments: the file keeps one run of four for it.
    let opening = episode.frames().skip(OUT - OPENING);
    let frames: Vec<&[u8]> =
        std::iter::repeat_n(episode.frame(0), OUT - OPENING).chain(opening).collect();
    let mut world = at_the_end_of(&frames, &episode);
    let mut picture = Vec::new();
    let unbroken = turned(&mut world, Arm::Hybrid, &mut picture);
    assert_eq!(unbroken.history().warm().len(), OUT + 1);
    assert!(unbroken.account().hits.iter().all(|hit| hit.stamp.branch == unbroken.branch()));

    let back = turned(&mut world, Arm::Restarted, &mut picture);
    assert_eq!(back.history().warm().len(), 4 + OPENING + 1);
    let is_earlier = |stamp: &FrameStamp| stamp.branch != back.branch();
    assert!(back.account().hits.iter().any(|hit| is_earlier(&hit.stamp)), "nothing came back");
    // It stands where the walk was broken off, so that its noise is that of the other arms.
    let live = back.history().live();
    let ticks: Vec<u64> = live.iter().map(|stamp| stamp.tick).collect();
    assert_eq!(ticks, ((OUT - OPENING) as u64..=OUT as u64).collect::<Vec<_>>());
}

#[test]
fn a_walk_that_was_broken_off_goes_on_with_its_noise() {
    let world = tiny_world();
    let episode = walk();
    let frames: Vec<&[u8]> = episode.frames().collect();
    let from = |first: usize, tick| {
        let arrangement = engine::pack::Arrangement::Recency;
        let options = DreamOptions { arrangement, ..DreamOptions::default() };
        let mut dreamer = Dreamer::new(Arc::clone(&world), options).expect("fits");
        dreamer.count_from(tick);
        dreamer.open_with(&frames[first..], &episode.actions[first..]).expect("the frames fit");
        dreamer.section(&[Action::NEUTRAL]).expect("a section")
    };
    // Either way the recent window is full and the same.
    assert!(from(0, 0) == from(64, 64));
    assert!(from(0, 0) != from(64, 0));
}

#[test]
fn a_walk_remembers_as_many_frames_as_it_should_no_two_alike() {
    let dir = tempfile::tempdir().expect("a folder for the world");
    write_tiny_world(dir.path()).expect("the world can be written");
    let source = Source::open(dir.path(), 0, &Clock::stepped()).expect("the world can be read");
    for (frames, later) in [(100, 105), (300, 300)] {
        let mut walk = source.walk(frames).expect("the world takes them");
        assert_eq!(walk.remembered(), frames);
        let records = walk.dreamer().history().warm().frames();
        let latents: std::collections::BTreeSet<_> =
            records.iter().map(|record| &record.latent).collect();
        // A few frames of the opening may show the same.
        assert!(latents.len() >= frames - OPENING, "{} of {frames}", latents.len());
        for _ in 0..5 {
            walk.section().expect("a section");
        }
        assert!(!walk.dreamer().account().hits.is_empty(), "nothing is ranked");
        assert_eq!(walk.remembered(), later);
    }
}

#[test]
fn what_memory_costs_is_a_table_and_a_file() {
    let dir = tempfile::tempdir().expect("a folder for the world");
    write_tiny_world(dir.path()).expect("the world can be written");
    let words = "bench memory --world . --frames 200 --sections 3 --json figures.json";
    let output = oneiro(dir.path(), &words.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("| 100 to 111 |") && text.contains("| 200 to 200 |"), "{text}");
    let json = std::fs::read(dir.path().join("figures.json")).expect("the file");
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(json["sections"], 3);
    assert!(json["walks"][1]["section_ms"].as_f64() > Some(0.0), "{json}");
    let resident = json["rss_mb"]["filled"].as_f64();
    assert_eq!(resident.is_some_and(|mb| mb > 1.0), cfg!(target_os = "linux"), "{json}");
}

#[test]
fn stages_stand_beside_what_must_be_computed() {
    let dir = tempfile::tempdir().expect("a folder for the world");
    write_tiny_world(dir.path()).expect("the world can be written");
    let json = dir.path().join("speed.json");
    let args = SpeedArgs {
        world: dir.path().to_owned(),
        sections: 3,
        steps: Some(4),
        seed: 0,
        json: Some(json.clone()),
    };
    let report = oneiro::bench::speed::run(&args, &Clock::real()).expect("it is measured");
    let world = tiny_world();
    let guided = u32::from(world.config.guidance != 0.0);
    assert_eq!(report.evaluations, 4 + guided);
    let counted = |part| {
        let stage = report.stages.iter().find(|stage| stage.part == part).expect("a stage");
        assert!(stage.ms > 0.0, "{part:?} took time");
        stage.million_multiply_adds * 1e6
    };
    // The window is full after the opening, so that every section sees as much.
    let history = world.schedule.history_tokens(world.config.model.cells());
    let evaluation =
        engine::cost::evaluation(&world.config.model, 1, history, &candle_core::Device::Cpu);
    let multiply_adds = evaluation.multiply_adds as f64;
    assert_eq!(counted(Part::Denoise), f64::from(4 + guided) * multiply_adds);
    // Guided or not, weights are read once for each evaluation, and the history's keys and values once to be placed.
    let placing = engine::cost::placing(&world.config.model, history, &candle_core::Device::Cpu);
    let bytes = (placing.bytes + 4 * evaluation.bytes) as f64;
    let of_denoising = report.stages.iter().find(|stage| stage.part == Part::Denoise);
    assert_eq!(of_denoising.map(|stage| (stage.megabytes * 1e6).round()), Some(bytes));
    assert!(counted(Part::Encode) > 0.0, "the newest frame is a new group");
    assert_eq!(counted(Part::Remember), 0.0);
    for stage in report.stages.iter().filter(|stage| stage.part != Part::Retrieve) {
        // Nothing is rendered where there is no atlas; all else reads or writes something.
        let at_rate =
            [stage.million_multiply_adds / report.rate, stage.megabytes / report.bandwidth];
        let floor = at_rate[0].max(at_rate[1]);
        // Off by roundings alone, of a few parts in 10^16.
        assert!(stage.megabytes > 0.0 && (stage.floor_ms / floor - 1.0).abs() < 1e-6, "{stage:?}");
    }
    // Without reuse all groups are made for each evaluation, with it the new ones once.
    assert!(report.reuse_gain_counted > 2.0, "{}", report.reuse_gain_counted);
    assert!(report.table().contains("| denoise | "));
    let written = std::fs::read_to_string(json).expect("it was written");
    assert!(written.contains("\"reuse_gain\""));
}
