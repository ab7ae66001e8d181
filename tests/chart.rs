//! Walks on the map of a tiny world with random weights, whose places are known.

use std::sync::Arc;

use candle_core::Device;
use engine::dreamer::{DreamOptions, Dreamer};
use engine::model::StepSize;
use engine::noise::Random;
use engine::world::World;
use input::{Action, Pose};
use memory::FrameId;

use crate::support::world::{VIEWS, write_charted_world};

const LEFT: Action = Action { turn: -1.0, ..Action::NEUTRAL };

/// Names of the atlas's views among the hits; nothing else is named before them.
fn views_of(dreamer: &Dreamer) -> Vec<u32> {
    let hits = dreamer.account().hits.iter().map(|hit| hit.stamp.frame.0);
    hits.filter(|&frame| frame < u32::from(VIEWS)).collect()
}

#[test]
fn a_walk_on_the_map_sees_the_views_that_its_actions_lead_to() {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    write_charted_world(dir.path(), false).expect("a world can be written");
    let world = Arc::new(World::open(dir.path(), &Device::Cpu, |_| ()).expect("a world"));
    let start = &world.starts[0];
    let begin = |poses: &[Pose]| {
        let mut dreamer = Dreamer::new(Arc::clone(&world), DreamOptions::default()).expect("fits");
        let frames: Vec<&[u8]> = start.frames().collect();
        dreamer.open_on_map(&frames, &start.actions, poses).expect("the opening fits");
        dreamer
    };
    let poses = start.poses.clone().expect("they are known");
    let ahead = Action { forward: 1.0, ..Action::NEUTRAL };
    let mut walk = begin(&poses);
    walk.section(&[Action::NEUTRAL]).expect("a section");
    // Along the hall, as far as is looked; its sides are half a step away.
    let room = walk.room().expect("the map tells");
    assert!(room.ahead == 8.0 && room.left < 1.5 && room.right < 1.5, "{room:?}");
    assert_eq!(views_of(&walk)[0], 40, "from step 20, to the east");
    assert!(walk.is_charted(FrameId(40)) && !walk.is_charted(FrameId(u32::from(VIEWS))));
    // Known, nowhere else, turned nowhere; the second is a frame of the walk's own, from the same place.
    let bearings = walk.account().bearings.clone();
    assert_eq!((bearings.len(), &bearings[..4]), (8, &[1.0, 0.0, 0.0, 0.0][..]));
    assert_eq!(bearings[4..], bearings[..4]);
    (0..11).for_each(|_| drop(walk.section(&[ahead]).expect("a section")));
    // Eleven frames, one of them lost to momentum.
    assert_eq!(views_of(&walk)[0], 60);
    let bookmark = walk.bookmark();
    // A quarter turn to the left, into the wall of the hall; momentum carries it on for a step.
    (0..6).for_each(|_| drop(walk.section(&[LEFT]).expect("a section")));
    (0..9).for_each(|_| drop(walk.section(&[ahead]).expect("a section")));
    assert_eq!(views_of(&walk)[0], 65);
    walk.go_back(&bookmark).expect("of this walk");
    walk.section(&[ahead]).expect("a section");
    assert!([60, 64].contains(&views_of(&walk)[0]), "{:?}", views_of(&walk));
    // Off the map, or without its poses, there is none.
    let away = poses.iter().map(|pose| Pose { y: 900.0, ..*pose }).collect::<Vec<_>>();
    // Where one can stand, but what is seen is not seen from there.
    let wrong = poses.iter().map(|pose| Pose { x: 400.0, ..*pose }).collect::<Vec<_>>();
    for poses in [&away[..], &wrong, &poses[1..]] {
        let mut lost = begin(poses);
        lost.section(&[ahead]).expect("a section");
        assert_eq!(lost.history().warm().len(), start.len() + 1);
        assert!(lost.account().bearings.is_empty() && lost.room().is_none());
    }
}

#[test]
fn frames_have_the_detail_of_views_that_are_warped_to_them() {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    write_charted_world(dir.path(), true).expect("a world can be written");
    let settings = dir.path().join("world.toml");
    let text = std::fs::read_to_string(&settings).expect("it was written");
    std::fs::write(&settings, format!("evaluations_on_map = 1\n{text}")).expect("it can be");
    let world = Arc::new(World::open(dir.path(), &Device::Cpu, |_| ()).expect("a world"));
    let start = &world.starts[0];
    let frames: Vec<&[u8]> = start.frames().collect();
    let walk = |poses: &[Pose], evaluations| {
        let options = DreamOptions { evaluations, ..DreamOptions::default() };
        let mut walk = Dreamer::new(Arc::clone(&world), options).expect("it fits");
        walk.open_on_map(&frames, &start.actions, poses).expect("the opening fits");
        let shown = walk.section(&[Action::NEUTRAL]).expect("a section").concat();
        let made = walk.history().warm().peek(walk.account().made[0]).expect("it is remembered");
        assert_eq!(walk.history().warm().len(), start.len() + 1, "no view is packed besides");
        let decoded = world.picture(&made.latent).expect("it can be decoded");
        // What it was painted over is a picture as large, and another one.
        let over = walk.painted_over().map(<[u8]>::to_vec);
        assert!(over.is_none_or(|over| over.len() == shown.len() && over != shown));
        assert_eq!(walk.painted_over().is_some(), !poses.is_empty());
        (shown != decoded, walk.account().evaluations)
    };
    let poses = start.poses.clone().expect("they are known");
    assert_eq!(walk(&poses, None), (true, 1), "the views' detail is added");
    assert_eq!(walk(&poses, Some(3)), (true, 3));
    assert_eq!(walk(&[], None), (false, world.config.evaluations), "off the map there is none");
}

#[test]
fn bearings_are_seen() {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    write_charted_world(dir.path(), false).expect("a world can be written");
    let world = World::open(dir.path(), &Device::Cpu, |_| ()).expect("a world");
    let (model, count) = (&world.model, world.model.config().told());
    let latent: Vec<f32> = Random::new(3, 0).normals(model.config().latent_len());
    let shape = [1, model.config().channels, model.config().height, model.config().width];
    let latent = model.tensor(latent, &shape).expect("it fits");
    let estimate = |last: f32| {
        let told = (1..count).map(|_| 0.0).chain([last]).collect();
        let lead = model.lead(None, None, &model.tensor(told, &[1, count]).expect("it fits"));
        let context = model.place(&[]).expect("nothing is placed");
        let seen = model.estimate(&latent, 0.7, StepSize::Flow, &lead.expect("a lead"), &context);
        seen.and_then(|seen| seen.flatten_all()?.to_vec1::<f32>()).expect("an estimate")
    };
    assert_ne!(estimate(0.0), estimate(1.0));
}
