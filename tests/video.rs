//! Videos made in any order on the tiny world: what they hold, what they see, and what is refused.

use std::path::Path;
use std::sync::Arc;

use candle_core::Device;
use engine::pack::Schedule;
use engine::video::{Video, VideoOptions};
use engine::world::World;
use input::{Action, VideoReader};
use serde_json::{Value, json};

use crate::cli::oneiro;
use crate::support::world::{tiny_world, write_charted_world, write_tiny_world};

const GREY: [u8; 3] = [90, 120, 150];

fn video(schedule: &str, frames: u32, seed: u64) -> Video {
    let schedule: Schedule = schedule.parse().expect("a schedule");
    let options = VideoOptions { evaluations: Some(2), ..VideoOptions::new(schedule, seed) };
    let mut video = Video::new(tiny_world(), frames, options).expect("the schedule fits");
    video.give(0, &GREY.repeat(64 * 48)).expect("a picture of the world's size");
    video
}

fn pictures(video: &mut Video, frames: u32) -> Vec<Vec<u8>> {
    (0..frames).map(|at| video.picture(at).expect("within").expect("known")).collect()
}

#[test]
fn a_video_forward_from_its_opening_is_the_walk_that_play_dreams() {
    for schedule in ["td_f16k4f4k2f5k1_g1", "tc_f4k4f2k2f2k1_g1"] {
        let schedule: Schedule = schedule.parse().expect("a schedule");
        check_forward(&tiny_world(), &schedule, false);
    }
}

#[test]
fn a_video_of_a_world_with_a_map_is_a_walk_on_it_or_off_it() {
    let dir = tempfile::tempdir().expect("a folder for the world");
    write_charted_world(dir.path(), true).expect("the world can be written");
    let world = Arc::new(World::open(dir.path(), &Device::Cpu, |_| ()).expect("it can be read"));
    let schedule = world.schedule.clone();
    check_forward(&world, &schedule, false);
    check_forward(&world, &schedule, true);
}

fn check_forward(world: &Arc<World>, schedule: &Schedule, on_map: bool) {
    use engine::dreamer::{DreamOptions, Dreamer};
    use engine::pack::Arrangement;
    // Play by time alone, as nothing else is planned in a video.
    let options = DreamOptions {
        seed: 4,
        schedule: Some(schedule.clone()),
        arrangement: Arrangement::Recency,
        evaluations: Some(2),
        ..DreamOptions::default()
    };
    let mut dreamer = Dreamer::new(Arc::clone(world), options).expect("fits");
    let start = &world.starts[0];
    let frames: Vec<&[u8]> = start.frames().collect();
    let poses = start.poses.as_deref().filter(|_| on_map).unwrap_or_default();
    dreamer.open_on_map(&frames, &start.actions, poses).expect("the opening fits");
    let count = u32::try_from(frames.len()).expect("few");
    let options = VideoOptions::new(schedule.clone(), 4);
    let options = VideoOptions { evaluations: Some(2), ..options };
    let mut video = Video::new(Arc::clone(world), count + 6, options).expect("fits");
    for ((at, frame), action) in (0..).zip(&frames).zip(&start.actions) {
        video.tell(at, action).expect("within");
        video.give(at, frame).expect("a picture");
    }
    assert_eq!(video.open_on_map(count - 1, &frames, poses).expect("it fits"), on_map);
    for at in count..count + 6 {
        let action = Action { turn: 0.25, forward: 1.0, ..Action::NEUTRAL };
        video.tell(at, &action).expect("within");
        let made = video.make(at..at + 1).expect("a section");
        let walked = dreamer.section(&[action]).expect("a section");
        let plan = dreamer.account().plan.as_ref().expect("it was planned");
        let positions = |plan: &engine::pack::PackPlan| -> Vec<(u32, i32)> {
            plan.slots.iter().map(|slot| (slot.group.frames[0].0, slot.position)).collect()
        };
        assert_eq!(positions(&made.plan), positions(plan), "frame {at}");
        assert!(made.told);
        assert!(video.picture(at).expect("within").expect("known") == walked[0], "frame {at}");
    }
}

/// The hall of the world with a map, a video in it from its opening on, and the number of the opening's last frame.
fn in_the_hall(schedule: &str, evaluations: Option<u32>) -> (Arc<World>, Video, u32) {
    let dir = tempfile::tempdir().expect("a folder for the world");
    write_charted_world(dir.path(), true).expect("the world can be written");
    let settings = dir.path().join("world.toml");
    let text = std::fs::read_to_string(&settings).expect("it was written");
    std::fs::write(&settings, format!("evaluations_on_map = 1\n{text}")).expect("it can be");
    let world = Arc::new(World::open(dir.path(), &Device::Cpu, |_| ()).expect("it can be read"));
    let schedule: Schedule = schedule.parse().expect("a schedule");
    let options = VideoOptions { evaluations, ..VideoOptions::new(schedule, 4) };
    let start = &world.starts[0];
    let frames: Vec<&[u8]> = start.frames().collect();
    let last = u32::try_from(frames.len()).expect("few") - 1;
    let mut video = Video::new(Arc::clone(&world), last + 40, options).expect("fits");
    for (at, frame) in (0..).zip(&frames) {
        video.give(at, frame).expect("a picture");
    }
    let poses = start.poses.as_deref().expect("they are known");
    assert!(video.open_on_map(last, &frames, poses).expect("it fits"));
    (world, video, last)
}

#[test]
fn on_the_map_the_end_is_known_before_what_leads_there() {
    let end = |turn: f32, evaluations| {
        let (_, mut video, last) = in_the_hall("f1k1_x_g1_f5k1f4k2f16k4_td", evaluations);
        assert_eq!(video.evaluations(), evaluations.unwrap_or(1));
        for at in last + 1..last + 40 {
            video.tell(at, &Action { turn, ..Action::NEUTRAL }).expect("within");
        }
        let made = video.make(last + 39..last + 40).expect("a section");
        assert!(!made.told, "it touches nothing that is known");
        video.picture(last + 39).expect("within").expect("known")
    };
    let stood = end(0.0, None);
    assert!(stood == end(0.0, Some(1)));
    assert!(stood != end(0.1, None), "another view of the hall");
    // Once round is where one began, but for rounding.
    let round = end(24.0 / 39.0, None);
    let off = round.iter().zip(&stood).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
    assert!(off < u32::try_from(round.len()).expect("few"), "{off}");
}

#[test]
fn who_is_sent_somewhere_gets_there() {
    use engine::video::Astray;
    let (world, mut video, last) = in_the_hall("td_f16k4f4k2f5k1_g1_x_f1k1", None);
    let atlas = world.atlas.as_ref().expect("it has one");
    let there = world.picture(&atlas.views[52].latent).expect("it can be decoded");
    let pose = world.locate(&there).expect("it can be looked for").expect("it is shown");
    // From step 26, to the east; a step has ten units.
    assert!((pose.x - 260.0).abs() < 2.0 && pose.y.abs() < 2.0, "{pose:?}");
    assert_eq!(world.locate(&GREY.repeat(64 * 48)).expect("it can be looked for"), None);
    assert!(matches!(video.walk_to((last, last + 3), pose), Err(Astray::Far(4..20))));
    let room = video.room(last).expect("the map tells");
    assert!(room.ahead == 8.0 && room.left < 1.5 && room.right < 1.5, "{room:?}");
    assert_eq!((video.room(last - 1), video.room(1 << 30)), (None, None));
    let nowhere = input::Pose { y: 500.0, ..pose };
    assert_eq!(video.walk_to((last, last + 39), nowhere), Err(Astray::NoWay));
    for outside in [(last + 90, last + 1), (last, last + 90), (last, last)] {
        assert_eq!(video.walk_to(outside, pose), Err(Astray::NoWay));
    }
    video.walk_to((last, last + 20), pose).expect("there is time");
    let mut arrived = |at: u32| {
        video.make(at..at + 1).expect("a section");
        video.picture(at).expect("within").expect("known")
    };
    // Two frames that nothing tells apart but their noise show one place.
    let [then, later] = [20, 30].map(|at| arrived(last + at));
    let off = |a: &[u8], b: &[u8]| {
        a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / 9216.0
    };
    let (_, mut stood, _) = in_the_hall("td_f16k4f4k2f5k1_g1_x_f1k1", None);
    stood.make(last + 20..last + 21).expect("a section");
    let stood = stood.picture(last + 20).expect("within").expect("known");
    assert!(off(&then, &there) < off(&stood, &there), "nearer to what is seen there");
    assert!(off(&then, &later) < off(&then, &stood));
}

#[test]
fn sections_see_what_lies_after_them() {
    let between = |after: [u8; 3]| {
        let mut video = video("td_f2k2f2k1_g2_x_f1k1", 12, 1);
        video.give(9, &after.repeat(64 * 48)).expect("a picture");
        let made = video.make(1..3).expect("a section");
        let seen: Vec<_> = made.plan.slots.iter().map(|slot| slot.position).collect();
        assert_eq!(seen, [-1, 8]);
        pictures(&mut video, 3)
    };
    let (blue, red) = (between([0, 0, 255]), between([255, 0, 0]));
    assert!(blue[0] == red[0] && blue[1] != red[1] && blue[2] != red[2]);
    assert!(blue == between([0, 0, 255]), "the same plan gives the same frames");
}

#[test]
fn a_section_that_touches_nothing_is_told_no_action() {
    let end = |turn: f32, section: std::ops::Range<u32>| {
        let mut video = video("f1k1_x_g2_f2k1f2k2_td", 12, 1);
        for at in 1..12 {
            video.tell(at, &Action { turn, ..Action::NEUTRAL }).expect("within");
        }
        let made = video.make(section.clone()).expect("a section");
        assert_eq!(made.told, section.start == 1);
        video.picture(section.start).expect("within").expect("known")
    };
    assert!(end(0.5, 10..12) == end(-0.5, 10..12));
    assert!(end(0.5, 1..3) != end(-0.5, 1..3));
}

#[test]
fn tails_are_seen() {
    let last = |schedule: &str, first: [u8; 3]| {
        let mut video = video(schedule, 8, 2);
        video.give(0, &first.repeat(64 * 48)).expect("a picture");
        (1..7).for_each(|at| video.give(at, &GREY.repeat(64 * 48)).expect("a picture"));
        let made = video.make(7..8).expect("a section");
        (video.picture(7).expect("within").expect("known"), made.plan.history_tokens())
    };
    let mut tokens = Vec::new();
    for (schedule, seen) in
        [("td_f2k2f2k1_g1", false), ("ta_f2k2f2k1_g1", true), ("tc_f2k2f2k1_g1", true)]
    {
        let (blue, red) = (last(schedule, [0, 0, 255]), last(schedule, [255, 0, 0]));
        assert_eq!(blue.0 != red.0, seen, "{schedule}");
        tokens.push(blue.1);
    }
    // Three frames of tail: a token each, or two by two tokens of k2 on 6 x 8 cells.
    assert_eq!([tokens[1] - tokens[0], tokens[2] - tokens[0]], [3, 4]);
}

#[test]
fn what_cannot_be_dreamed_is_refused() {
    let new = |schedule: &str, frames| {
        let schedule = schedule.parse().expect("a schedule");
        Video::new(tiny_world(), frames, VideoOptions::new(schedule, 0))
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    assert!(new("td_f512k16f64k8f8k2f1k1_g9", 9).is_ok(), "kernels without weights are pooled");
    assert!(new("td_f1k1h1w2_g1", 9).unwrap_err().contains("got f1k1h1w2"));
    assert!(new("td_f3k2_g1", 9).unwrap_err().contains("multiple of 2 frames"));
    assert!(new("td_f1k1_g1", 0).unwrap_err().contains("got 0"));
    let mut video = video("td_f1k1_g1", 4, 0);
    assert!(video.give(4, &[0; 3]).is_err() && video.give(1, &[0; 3]).is_err());
    assert!(video.tell(4, &Action::NEUTRAL).is_err());
    assert!(video.make(3..5).is_err() && video.picture(4).is_err());
    assert_eq!(video.picture(1).expect("within"), None);
}

/// Runs `oneiro dream` on the tiny world and gives back the plan that it wrote.
fn dream(dir: &Path, words: &str) -> Value {
    let output = oneiro(dir, &words.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(dir.join("out/plan.json")).expect("the plan was written");
    serde_json::from_str(&text).expect("the plan is JSON")
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    std::fs::create_dir(dir.path().join("world")).expect("a folder can be made");
    write_tiny_world(&dir.path().join("world")).expect("the world can be written");
    for (name, shade) in [("a.png", [255, 0, 0]), ("b.png", [0, 0, 255])] {
        let pixels = shade.repeat(80 * 60);
        oneiro::picture::write(&dir.path().join(name), &pixels, (80, 60)).expect("a picture");
    }
    dir
}

/// First and last frames of the sections, in the order of their making.
fn sections(plan: &Value) -> Vec<(i64, i64)> {
    let frame = |value: &Value| value.as_i64().expect("a frame");
    let sections = plan["sections"].as_array().expect("a list").iter();
    sections.map(|s| (frame(&s["frames"][0]), frame(&s["frames"][1]))).collect()
}

#[test]
fn every_order_writes_a_video_and_the_plan_it_followed() {
    let dir = folder();
    // 0.4 s at 17.5 frames/s: seven frames after the opening one.
    let base = "dream --world world --seconds 0.4 --steps 1 --out out --start a.png";
    let g3 = "td_f4k4f2k2f2k1_g3";
    let vanilla = dream(dir.path(), &format!("{base} --schedule {g3}"));
    assert_eq!(sections(&vanilla), [(1, 3), (4, 6), (7, 7)]);
    let endpoint = dream(dir.path(), &format!("{base} --order endpoint --schedule {g3}_x_f1k1"));
    assert_eq!(sections(&endpoint), [(1, 3), (5, 7), (4, 4)]);
    let inverted = "f1k1_x_g3_f2k1f2k2f4k4_td";
    let inverted = dream(dir.path(), &format!("{base} --order inverted --schedule {inverted}"));
    assert_eq!(sections(&inverted), [(5, 7), (2, 4), (1, 1)]);
    assert_eq!(inverted["sections"][0]["told_actions"], false);
    assert_eq!(inverted["sections"][1]["told_actions"], true);
    assert_eq!(inverted["sections"][1]["slots"][0]["frames"], json!([[0, 0]]));
    assert_eq!(inverted["sections"][1]["slots"][0]["position"], -2);
    let ways = format!("{base} --waypoint 0.4=a.png --waypoint 0.2=b.png");
    let waypoints = dream(dir.path(), &ways);
    let come_by =
        [(4, "b.png"), (7, "a.png")].map(|(at, picture)| json!({"frame": at, "picture": picture}));
    assert_eq!(waypoints["waypoints"], json!(come_by));
    let made: Vec<_> = sections(&waypoints).iter().map(|section| section.0).collect();
    assert_eq!(made, [1, 2, 3, 5, 6]);
    assert_eq!(waypoints["schedule"], "td_f16k4f4k2f5k1_g1_x_f1k1");
    let video = VideoReader::open(&dir.path().join("out/video.mp4"), 64, 48).expect("a video");
    assert_eq!(video.count(), 8);
    assert!(dir.path().join("out/sheet.png").is_file());
}

#[test]
fn a_picture_that_is_come_by_has_the_action_that_was_told() {
    let dir = folder();
    let sheet = |turn: i32| {
        let moves = format!("{{\"forward\": 1, \"ticks\": 3}}\n{{\"turn\": {turn}}}\n");
        std::fs::write(dir.path().join("moves.jsonl"), moves).expect("written");
        let words = "dream --world world --seconds 0.4 --steps 1 --out out --start a.png";
        dream(dir.path(), &format!("{words} --waypoint 0.2=b.png --actions moves.jsonl"));
        std::fs::read(dir.path().join("out/sheet.png")).expect("written")
    };
    // The fourth action leads to the picture, and the frames after it are told so.
    assert_eq!(sheet(1), sheet(1));
    assert_ne!(sheet(1), sheet(-1));
}

#[test]
fn what_makes_no_video_is_said() {
    let dir = folder();
    let check = |words: &str, code: i32, said: &str| {
        let words = format!("dream --world world --steps 1 --out out {words}");
        let output = oneiro(dir.path(), &words.split(' ').collect::<Vec<_>>());
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words}: {text}");
        assert!(text.contains(said), "{words}: {said:?} is not in {text}");
    };
    check("--order inverted --schedule td_f1k1_g1", 2, "f1k1_x_g1_f5k1f4k2f16k4_td for inverted");
    check("--waypoint 1=b.png --schedule td_f1k1_g1", 2, "for vanilla order with waypoints");
    check("--seconds 1 --waypoint 2=b.png", 1, "within the video, got one at 2 s");
    check("--waypoint 0.5=a.png --waypoint 0.51=b.png", 1, "one waypoint a frame, got 0.5=a.png");
    check("--waypoint 2", 2, "such as 4.5=door.png");
    check("--seconds 0", 2, "more than 0");
    check("--start none.png", 1, "open none.png");
    check("--schedule td_f1k1", 2, "expected");
}

#[test]
fn pictures_of_the_map_are_begun_from_and_walked_to() {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let folder = dir.path().join("world");
    std::fs::create_dir(&folder).expect("a folder can be made");
    write_charted_world(&folder, true).expect("the world can be written");
    let world = World::open(&folder, &Device::Cpu, |_| ()).expect("a world");
    let atlas = world.atlas.as_ref().expect("it has one");
    let there = world.picture(&atlas.views[52].latent).expect("it can be decoded");
    for (name, pixels) in [("there", there), ("grey", GREY.repeat(64 * 48))] {
        let path = dir.path().join(name).with_extension("png");
        oneiro::picture::write(&path, &pixels, (64, 48)).expect("a picture");
    }
    let dream = |waypoint: &str| {
        let words =
            format!("dream --world world --steps 1 --seconds 2 --out out --waypoint {waypoint}");
        let output = oneiro(dir.path(), &words.split(' ').collect::<Vec<_>>());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), text)
    };
    let on_map = || {
        let plan = std::fs::read_to_string(dir.path().join("out/plan.json")).expect("written");
        let plan: Value = serde_json::from_str(&plan).expect("JSON");
        plan["on_map"].as_bool().expect("said")
    };
    let (made, text) = dream("1.5=there.png");
    assert!(made && on_map(), "{text}");
    // Who is told every action is sent nowhere.
    std::fs::write(dir.path().join("moves.jsonl"), "{\"forward\": 1, \"ticks\": 30}\n")
        .expect("written");
    let (made, text) = dream("1.5=there.png --actions moves.jsonl");
    assert!(made && !on_map() && text.contains("without the map"), "{text}");
    let (made, text) = dream("0.2=there.png");
    assert!(!made && text.contains("no sooner than after"), "{text}");
    // A walk from a picture goes on from its place.
    let walk = |start: &str, out: &str| {
        let words = format!(
            "play --headless --world world --steps 1 --frames 2 --memory none --start {start} --out {out}"
        );
        let output = oneiro(dir.path(), &words.split(' ').collect::<Vec<_>>());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let frames = std::fs::read_to_string(dir.path().join(out).join("frames.jsonl"));
        (frames.expect("written"), said.contains("the map does not show the picture"))
    };
    let ((known, lost), (unknown, told)) =
        (walk("there.png", "known"), walk("grey.png", "unknown"));
    assert!(known.contains("\"places\":[[26.") && !lost);
    assert!(!unknown.contains("\"places\"") && told);
    let (made, text) = dream("1.5=there.png --start grey.png");
    assert!(made && !on_map() && text.contains("grey.png shows no place of the map"), "{text}");
    assert!(!text.contains("is trained for that"), "{text}");
    let beside = dir.path().join("world/off-map");
    std::fs::create_dir(&beside).expect("a folder");
    std::fs::copy(dir.path().join("world/world.toml"), beside.join("world.toml")).expect("copied");
    let (made, text) = dream("1=grey.png");
    assert!(made && !on_map() && text.contains("grey.png shows no place of the map"), "{text}");
    assert!(text.contains("world/off-map is trained for that"), "{text}");
}
