//! A walk in a world that remembers: what is kept of it, what is shown of its memory.

use std::path::Path;

use candle_core::Device;
use engine::world::World;
use input::Action;
use memory::cold::ColdFrame;
use oneiro::dream::Dream;
use oneiro::recall::{self, Place};
use oneiro::view::Seen;
use oneiro::world::{Beginning, opener};

use crate::support::world::write_tiny_world;

/// Begins a walk in the tiny world in `dir`, with its memory beside it.
fn begin(dir: &Path) -> Box<dyn Dream> {
    let memory = Place::Folder { dir: dir.join("kept"), forget: false };
    let beginning = Beginning { seed: 3, evaluations: Some(1), start: None, memory };
    opener(dir.join("tiny"), beginning)(&mut |_| ()).expect("the world opens")
}

fn section(dream: &mut dyn Dream) {
    let action = Action { turn: 1.0, ..Action::NEUTRAL };
    dream.section(&[action]).expect("a section");
}

/// Ticks of each remembered run.
fn runs(dir: &Path) -> Vec<Vec<u64>> {
    let world = World::open(&dir.join("tiny"), &Device::Cpu, |_| ()).expect("it opens").into();
    let cold = recall::open_existing(&dir.join("kept"), &world, "tiny").expect("it was kept");
    let entries = cold.entries().expect("it is readable");
    let ticks = |frames: Vec<ColdFrame>| frames.iter().map(|f| f.tick).collect();
    entries.iter().map(|entry| ticks(cold.frames(entry.id).expect("it is readable"))).collect()
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(dir.path().join("tiny")).expect("a folder");
    write_tiny_world(&dir.path().join("tiny")).expect("it can be written");
    dir
}

#[test]
fn no_run_reaches_over_a_moment_gone_back_to() {
    let dir = folder();
    let mut dream = begin(dir.path());
    for _ in 0..8 {
        section(dream.as_mut());
    }
    for sections in [6, 3, 5, 7] {
        dream.bookmark().expect("it can be marked");
        for _ in 0..sections {
            section(dream.as_mut());
        }
        assert!(dream.go_back().expect("it was marked"));
        assert_eq!(dream.account()["went_back"], false, "the section before did not");
        section(dream.as_mut());
        assert_eq!(dream.account()["went_back"], true);
        section(dream.as_mut());
        assert_eq!(dream.account()["went_back"], false);
    }
    drop(dream);
    let runs = runs(dir.path());
    assert!(runs.len() > 4, "{runs:?}");
    for run in runs {
        assert!(run.windows(2).all(|pair| pair[1] == pair[0] + 1), "{run:?} are not successive");
    }
}

#[test]
fn memory_at_work_shows_what_a_section_is_made_from() {
    let dir = folder();
    let mut dream = begin(dir.path());
    for _ in 0..60 {
        section(dream.as_mut());
    }
    let view = dream.memory().expect("it can be looked at");
    // 40 opening frames and those of the walk.
    assert_eq!(view.remembered, 100);
    let slots = dream.account()["slots"].as_array().map_or(0, Vec::len);
    assert_eq!(view.groups.len(), slots);
    let newest = &view.groups[0];
    assert_eq!((newest.kernel, newest.score), (1, None), "time alone chose the newest frame");
    assert!(matches!(newest.seen, Seen::Ago(age) if age < 0.1) && newest.picture.is_some());
    assert!(view.groups.iter().any(|group| group.score.is_some()), "ranking chose some");
    assert!(view.groups.iter().any(|group| group.kernel == 4));
    assert!(view.groups.iter().any(|group| group.reused));
    assert!(view.groups.iter().any(|group| !group.reused), "one of each tier is new");
    drop(dream);

    let mut later = begin(dir.path());
    let mut earlier = 0;
    for _ in 0..30 {
        section(later.as_mut());
        let view = later.memory().expect("it can be looked at");
        earlier += view.groups.iter().filter(|group| group.seen == Seen::Earlier).count();
    }
    assert!(earlier > 0, "nothing of the earlier walk was shown");
}
