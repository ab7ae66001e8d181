//! Sessions shown again, and made again to the bit from what they stored.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use engine::dreamer::{DreamOptions, Dreamer, Recipe};
use engine::pack::{Group, Kernel};
use input::{Action, FrameRecord, PastFrame, Script, SessionReader};
use memory::{BranchId, FrameId};
use oneiro::clock::Clock;
use oneiro::gate::{Gate, Pass, Wish};
use oneiro::pace::Pace;
use oneiro::queue::DueQueue;
use oneiro::recall::Place;
use oneiro::replay::{self, ReplayArgs};
use oneiro::stats::SharedStats;
use oneiro::steer::ByScript;
use oneiro::stream::{Publish, Section, Stream};
use oneiro::tape::Tape;
use oneiro::world::{self, Beginning};
use proptest::prelude::*;

use crate::cli::oneiro;
use crate::support::world::{tiny_world, write_charted_world, write_tiny_world};

/// Frames of the walks here; the recent window is 20 frames long.
const FRAMES: &str = "60";

/// A folder with a tiny world in it.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir(dir.path().join("tiny")).expect("a folder");
    write_tiny_world(&dir.path().join("tiny")).expect("it can be written");
    dir
}

/// Gives the world another schedule.
fn set_schedule(dir: &Path, schedule: &str) {
    let settings = dir.join("tiny/world.toml");
    let text = fs::read_to_string(&settings).expect("it is there");
    let text = text.replace("td_f16k4f4k2f5k1_g1", schedule);
    fs::write(&settings, text).expect("it can be written");
}

/// Walks without a window into the folder `walk`.
fn walk(dir: &Path, more: &[&str]) -> PathBuf {
    let args = ["play", "--world", "tiny", "--headless", "--frames", FRAMES, "--out", "walk"];
    let output = oneiro(dir, &[&args[..], more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    dir.join("walk")
}

/// Verifies in this process.
fn verify(session: &Path) -> Result<()> {
    replay::run(&ReplayArgs { session: session.to_owned(), verify: true, world: None })
}

/// Verifies by the program: exit code and all that it says.
fn verify_by_program(dir: &Path, more: &[&str]) -> (Option<i32>, String) {
    let output = oneiro(dir, &[&["replay", "walk", "--verify"], more].concat());
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text.into_owned())
}

/// Puts `to` in the place of the first `from` of a line of a session's file.
fn tamper(session: &Path, file: &str, line: usize, from: &str, to: &str) {
    let path = session.join(file);
    let text = fs::read_to_string(&path).expect("it was recorded");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert!(lines[line - 1].contains(from), "{from} is not in {}", lines[line - 1]);
    lines[line - 1] = lines[line - 1].replacen(from, to, 1);
    fs::write(path, lines.join("\n") + "\n").expect("it can be written");
}

#[test]
fn a_walk_on_a_map_is_made_again_to_the_bit_from_what_its_session_says() {
    let dir = folder();
    let tiny = dir.path().join("tiny");
    fs::remove_dir_all(&tiny).and_then(|()| fs::create_dir(&tiny)).expect("it can be emptied");
    write_charted_world(&tiny, true).expect("it can be written");
    let session = walk(dir.path(), &[]);
    verify(&session).expect("views, bearings and places are in the session");
    // Another atlas makes another world.
    let (atlas, aside) = (tiny.join("atlas.safetensors"), tiny.join("aside"));
    fs::rename(&atlas, &aside).expect("it was written");
    assert!(verify(&session).is_err());
    fs::rename(&aside, &atlas).expect("it was moved");
    // None is a decoration.
    let text = fs::read_to_string(session.join("frames.jsonl")).expect("it was recorded");
    let line = text.lines().nth(40).expect("a section");
    let places = &line[line.find("\"places\":[").expect("they are told")..];
    let places = &places[..places.find("]]").expect("they end") + 2];
    let elsewhere = "\"places\":[[25.0,0.0,180.0]]";
    tamper(&session, "frames.jsonl", 41, places, elsewhere);
    assert!(verify(&session).is_err(), "other places, other frames");
    tamper(&session, "frames.jsonl", 41, elsewhere, places);
    verify(&session).expect("as it was");
    let bearings = &line[line.find("\"bearings\":[").expect("they are told")..];
    let bearings = &bearings[..=bearings.find(']').expect("they end")];
    assert!(bearings.starts_with("\"bearings\":[1.0,"), "{bearings}");
    tamper(
        &session,
        "frames.jsonl",
        41,
        bearings,
        "\"bearings\":[0.0,9.0,9.0,9.0,0.0,9.0,9.0,9.0]",
    );
    assert!(verify(&session).is_err(), "other bearings, other frames");
}

/// What happens before a section of a taped walk.
#[derive(Clone, Copy, PartialEq)]
enum Act {
    Record,
    Stop,
    Wish(Wish),
}

struct Taped {
    tape: Tape,
    gate: Gate,
    acts: Vec<(u64, Act)>,
    wanted: bool,
    sections: u64,
}

impl Publish for Taped {
    fn publish(&mut self, section: &Section) -> Result<Pass> {
        for (_, act) in self.acts.iter().filter(|(at, _)| *at == section.number) {
            match act {
                Act::Record => self.wanted = true,
                Act::Stop => self.wanted = false,
                Act::Wish(wish) => self.gate.wish(*wish),
            }
        }
        self.tape.take(section, self.wanted);
        Ok(if section.number + 1 == self.sections { Pass::Leave } else { Pass::Go })
    }
}

/// Walks in a window's way, recording as told; answers with the sessions.
fn tape(dir: &Path, sections: u64, memory: Place, acts: &[(u64, Act)]) -> Vec<PathBuf> {
    let beginning = Beginning { seed: 5, evaluations: None, start: None, memory };
    let mut dream = world::opener(dir.join("tiny"), beginning)(&mut |_| ()).expect("it opens");
    let turns: String =
        (0..sections).map(|t| format!("{{\"turn\": 0.{}, \"forward\": 1}}\n", t % 10)).collect();
    let mut steer = ByScript::new(Script::parse(&turns, "turns").expect("it is a script"));
    let gate = Gate::default();
    let mut taped = Taped {
        tape: Tape::new(dream.facts().clone(), dir.to_owned(), dream.opening(), DueQueue::new(2)),
        gate: gate.clone(),
        acts: acts.to_vec(),
        wanted: false,
        sections,
    };
    let mut stream = Stream {
        dream: dream.as_mut(),
        steer: &mut steer,
        publish: &mut taped,
        pace: Pace::unpaced(1),
        effort: None,
        gate,
        clock: Clock::stepped(),
        stats: SharedStats::default(),
    };
    stream.run().expect("it walks");
    let (recordings, _) = taped.tape.finish();
    assert!(recordings.iter().all(|recording| recording.lost == 0), "{recordings:?}");
    recordings.into_iter().map(|recording| recording.dir).collect()
}

#[test]
fn a_walk_is_made_again_to_the_bit_in_sections_of_any_length() {
    let (long, words) = ("td_f16k4f4k2f5k1_g4", "td_f16k4f4k2f5k1_g1+D");
    for schedule in ["td_f16k4f4k2f5k1_g1", long, words, "tc_f4k4f2k2f2k1_g1"] {
        let dir = folder();
        set_schedule(dir.path(), schedule);
        let session = walk(dir.path(), &[]);
        let (code, said) = verify_by_program(dir.path(), &[]);
        assert_eq!(code, Some(0), "{schedule}: {said}");
        assert!(said.contains("verified: 60 frames are as recorded, to the bit"), "{said}");
        // Only what was there before the walk is stored.
        let past: Vec<PastFrame> =
            SessionReader::open(&session).unwrap().past().unwrap().map(Result::unwrap).collect();
        assert!(!past.is_empty() && past.iter().all(|frame| frame.name < 40), "{schedule}");
    }
}

#[test]
fn recordings_begun_in_mid_walk_and_going_back_are_made_again() {
    for schedule in ["td_f16k4f4k2f5k1_g1", "tc_f4k4f2k2f2k1_g1"] {
        go_back_and_forth(schedule);
    }
}

fn go_back_and_forth(schedule: &str) {
    let dir = folder();
    set_schedule(dir.path(), schedule);
    let (mark, back) = (Act::Wish(Wish::Bookmark), Act::Wish(Wish::GoBack));
    let sessions = tape(
        dir.path(),
        140,
        Place::Nowhere,
        &[
            (10, mark),
            (50, Act::Record),
            // To a mark from before the recording, then to one within it, twice.
            (60, back),
            (75, mark),
            (85, back),
            (95, back),
            (105, Act::Stop),
            (120, Act::Record),
        ],
    );
    assert_eq!(sessions.len(), 2);
    for session in &sessions {
        verify(session).expect("it is made again");
    }
    let records = SessionReader::open(&sessions[0]).expect("it was recorded").records().to_vec();
    assert_eq!(records[1].tick, 51);
    assert_eq!(records.iter().filter(|record| told(record)["went_back"] == true).count(), 3);
}

/// What a record says that its section was made from.
fn told(record: &FrameRecord) -> serde_json::Value {
    record.plan.read().expect("JSON").unwrap_or_default()
}

#[test]
fn what_came_back_from_an_earlier_walk_is_in_the_session_and_memory_is_never_read() {
    let dir = folder();
    let kept = dir.path().join("kept");
    let memory = || Place::Folder { dir: kept.clone(), forget: false };
    tape(dir.path(), 60, memory(), &[]);
    let sessions = tape(dir.path(), 60, memory(), &[(20, Act::Record)]);
    let [session] = &sessions[..] else { panic!("one was recorded, got {sessions:?}") };
    let records = SessionReader::open(session).unwrap().records().to_vec();
    let recalled = |record: &FrameRecord| told(record)["recalled"].as_u64();
    assert!(records.iter().any(|record| recalled(record) > Some(0)), "nothing back");
    // A third walk changes what there is to remember.
    tape(dir.path(), 30, memory(), &[]);
    verify(session).unwrap();
    // Whoever read it now would fail or set it aside.
    for file in fs::read_dir(&kept).unwrap() {
        fs::write(file.unwrap().path(), "not a memory").unwrap();
    }
    verify(session).unwrap();
    for file in fs::read_dir(&kept).unwrap() {
        assert_eq!(fs::read_to_string(file.unwrap().path()).unwrap(), "not a memory");
    }
    fs::remove_dir_all(&kept).unwrap();
    verify(session).unwrap();
    assert!(!kept.exists());
}

#[test]
fn a_session_that_was_changed_is_found_out_and_the_frame_is_named() {
    let dir = folder();
    let session = walk(dir.path(), &[]);
    let file = |name: &str| session.join(name);
    let (lines, past) =
        (fs::read(file("frames.jsonl")).unwrap(), fs::read(file("past.bin")).unwrap());
    let check = |expected: &str| {
        let (code, said) = verify_by_program(dir.path(), &[]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(expected), "{expected:?} is not in {said}");
        fs::write(file("frames.jsonl"), &lines).unwrap();
        fs::write(file("past.bin"), &past).unwrap();
    };
    let first = |line: usize| format!("frame {} (line {line} of frames.jsonl)", line - 1);

    tamper(&session, "frames.jsonl", 31, "\"strafe\":0.0", "\"strafe\":0.25");
    check(&first(31));
    tamper(&session, "frames.jsonl", 12, "\"frame_sha256\":\"", "\"frame_sha256\":\"0");
    check(&(first(12) + " is the first of 1 that differ among 60"));
    tamper(&session, "frames.jsonl", 9, "\"evaluations\":2", "\"evaluations\":3");
    check(&first(9));
    tamper(&session, "frames.jsonl", 9, "\"evaluations\":2", "\"evaluations\":0");
    check("line 9 of walk/frames.jsonl again: expected a section of 1 frames");

    // A latent, with a checksum that fits the lie.
    let record_bytes =
        (past.len() - 24) / SessionReader::open(&session).unwrap().past().unwrap().count();
    let mut lie = past.clone();
    lie[24 + record_bytes - 1] ^= 0x80;
    fs::write(file("past.bin"), &lie).unwrap();
    check("past.bin, byte 24");
    let checksum = crc32(&lie[28..24 + record_bytes]);
    lie[24..28].copy_from_slice(&checksum.to_le_bytes());
    fs::write(file("past.bin"), &lie).unwrap();
    check("the session was changed since");

    // Cut short.
    fs::write(file("past.bin"), &past[..past.len() - 9]).unwrap();
    check("got the end of walk/past.bin");
    fs::write(file("past.bin"), "oneiro").unwrap();
    check("walk/past.bin");
    fs::write(file("frames.jsonl"), &lines[..100]).unwrap();
    check("expected at least one whole section, got none: walk");
    let header = fs::read(file("session.json")).unwrap();
    fs::write(file("session.json"), &header[..header.len() / 2]).unwrap();
    check("walk/session.json");
    fs::write(file("session.json"), header).unwrap();
    assert_eq!(verify_by_program(dir.path(), &[]).0, Some(0));
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ ((crc & 1) * 0xedb8_8320))
    })
}

#[test]
fn elsewhere_likeness_is_measured_and_the_reason_given() {
    let dir = folder();
    let session = walk(dir.path(), &[]);
    let header = fs::read_to_string(session.join("session.json")).unwrap();
    let here = engine::device::arithmetic(&engine::device::Device::Cpu);
    let there = header.replace(&here, "abacus");
    assert!(header != there);
    fs::write(session.join("session.json"), there).unwrap();
    // Where the bits are the same all the same, nothing is to be explained.
    assert_eq!(verify_by_program(dir.path(), &[]).0, Some(0));
    tamper(&session, "frames.jsonl", 51, "\"strafe\":0.0", "\"strafe\":0.01");
    let (code, said) = verify_by_program(dir.path(), &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("frame 50: ") && said.contains("frame 60: "), "{said}");
    assert!(said.contains("PSNR to the video, itself not the exact pictures: mean "), "{said}");
    assert!(said.contains(&format!("the arithmetic of abacus, here {here}")), "{said}");
}

#[test]
fn another_world_is_refused_and_the_right_one_named() {
    let dir = folder();
    walk(dir.path(), &[]);
    fs::create_dir(dir.path().join("other")).unwrap();
    write_tiny_world(&dir.path().join("other")).unwrap();
    assert_eq!(verify_by_program(dir.path(), &["--world", "other"]).0, Some(0), "equal weights");
    let weights = dir.path().join("other/codec.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    let (code, said) = verify_by_program(dir.path(), &["--world", "other"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("expected the world tiny with weights"), "{said}");
    fs::rename(dir.path().join("tiny"), dir.path().join("moved")).unwrap();
    let (_, said) = verify_by_program(dir.path(), &[]);
    assert!(said.contains("say where the session's world is with --world"), "{said}");
    assert_eq!(verify_by_program(dir.path(), &["--world", "moved"]).0, Some(0));
}

#[test]
fn without_a_display_it_is_said_where_the_video_is() {
    let dir = folder();
    walk(dir.path(), &[]);
    let output = oneiro(dir.path(), &["replay", "walk"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("61 frames of tiny at 17.5 frames/s; video: walk/video.mp4"), "{text}");
}

/// Begins a walk without end.
fn endless(dir: &Path, out: &str) -> Child {
    let args = ["play", "--world", "tiny", "--headless", "--frames", "10000000", "--out", out];
    Command::new(env!("CARGO_BIN_EXE_oneiro"))
        .args(args)
        .current_dir(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program was built for this test")
}

#[test]
fn a_killed_recording_plays_and_is_made_again_up_to_its_last_second() {
    let dir = folder();
    for (at, lines) in [(0_u64, 20), (1, 47), (2, 90)] {
        let out = format!("walk_{at}");
        let session = dir.path().join(&out);
        let mut child = endless(dir.path(), &out);
        let written = || {
            let text = fs::read_to_string(session.join("frames.jsonl")).unwrap_or_default();
            text.lines().count()
        };
        while written() < lines {
            assert!(child.try_wait().unwrap().is_none(), "the walk ended by itself");
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();

        let reader = SessionReader::open(&session).unwrap();
        let video = reader.video().unwrap().map(Result::unwrap).count();
        let records = reader.records().len();
        // 18 frames are a second; a section in the making and a half-written line are never seen.
        assert!(records >= lines - 1 && records.abs_diff(video) <= 18, "{records}, {video}");
        verify(&session).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Sessions come from elsewhere: whatever a plan says is an error or a section.
    #[test]
    fn no_recipe_makes_it_panic(
        kernel in prop::sample::select(vec![1_u16, 2, 4, 8, 64]),
        frames in prop::collection::vec(0_u32..3, 0..9),
        position in prop_oneof![Just(-1), any::<i32>()],
        made in prop::collection::vec(any::<u32>(), 0..3),
        noise: u64,
        evaluations in 0_u32..4,
        before in prop::collection::vec(any::<f32>(), 3..6),
        bearings in prop::collection::vec(any::<f32>(), 0..9),
        places in prop::collection::vec(any::<[f32; 3]>(), 0..3),
    ) {
        let world = tiny_world();
        let mut dreamer = Dreamer::new(Arc::clone(&world), DreamOptions::default()).unwrap();
        let model = world.model.config();
        for frame in 0..2 {
            let (latent, action) = (vec![0; model.latent_len()], vec![0.0; model.action]);
            dreamer.hold(FrameId(frame), latent.into(), action.into()).unwrap();
        }
        let group = Group {
            kernel: Kernel::simplified(kernel).unwrap(),
            branch: BranchId(0),
            frames: frames.into_iter().map(FrameId).collect(),
        };
        let recipe = Recipe {
            noise,
            evaluations,
            before: [before.clone().into(), before.into()],
            groups: vec![(group, position)],
            bearings,
            places,
            made: made.into_iter().map(FrameId).collect(),
        };
        let _ = dreamer.repeat(&recipe, &[Action::NEUTRAL]);
    }
}

#[test]
fn a_recipe_of_endless_groups_is_refused() {
    let world = tiny_world();
    let mut dreamer = Dreamer::new(Arc::clone(&world), DreamOptions::default()).unwrap();
    let model = world.model.config();
    let before: Arc<[f32]> = vec![0.0; model.action].into();
    dreamer.hold(FrameId(0), vec![0; model.latent_len()].into(), Arc::clone(&before)).unwrap();
    let kernel = Kernel::simplified(1).unwrap();
    let group = Group { kernel, branch: BranchId(0), frames: vec![FrameId(0)] };
    let mut repeat = |count| {
        let recipe = Recipe {
            noise: 0,
            evaluations: 1,
            before: [Arc::clone(&before), Arc::clone(&before)],
            groups: vec![(group.clone(), -1); count],
            bearings: Vec::new(),
            places: Vec::new(),
            made: vec![FrameId(1)],
        };
        dreamer.repeat(&recipe, &[Action::NEUTRAL]).map(drop)
    };
    repeat(11).unwrap();
    let error = repeat(80_000).unwrap_err().to_string();
    assert!(error.contains("as this world plans them"), "{error}");
}
