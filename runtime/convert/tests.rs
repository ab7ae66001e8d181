//! What was converted, read back.

use std::fs::{self, File};

use input::{
    Account, ActionLayout, Buttons, Frame, FrameRecord, Policy, SESSION_FORMAT, SessionHeader,
    SessionWriter, simulate,
};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use serde_json::{Value, json};

use super::*;

/// Two episodes of 7 and 5 frames in a folder, with a button that is pressed once.
fn recorded(dir: &Path) -> Vec<Episode> {
    let episodes = [(3, 7), (4, 5)].map(|(seed, frames)| {
        let mut episode = simulate(seed, frames, Policy::Explore, (32, 16), 20.0);
        episode.layout.buttons = vec!["attack".to_owned()];
        episode.actions[2].buttons = Buttons(1);
        write_npz(&episode, &dir.join(format!("in/{seed}.npz"))).unwrap();
        episode
    });
    episodes.to_vec()
}

fn convert(dir: &Path, to: Form) -> Result<()> {
    let out = dir.join("out");
    run(&ConvertArgs { paths: vec![dir.join("in")], to, out })
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("in")).unwrap();
    dir
}

fn read_json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The rows of a Parquet file, each a list of names and fields.
fn read_rows(path: &Path) -> Vec<Vec<(String, Field)>> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    rows.map(|row| row.unwrap().into_columns()).collect()
}

fn whole(row: &[(String, Field)], name: &str) -> i64 {
    match row.iter().find(|(column, _)| column == name) {
        Some((_, Field::Long(value))) => *value,
        other => panic!("{name}: {other:?}"),
    }
}

fn floats(row: &[(String, Field)], name: &str) -> Vec<f32> {
    let float = |field: &Field| match field {
        Field::Float(value) => *value,
        other => panic!("{name}: {other:?}"),
    };
    match row.iter().find(|(column, _)| column == name) {
        Some((_, Field::ListInternal(list))) => list.elements().iter().map(float).collect(),
        Some((_, field)) => vec![float(field)],
        None => panic!("{name} is not there"),
    }
}

#[test]
fn clips_read_back_as_they_were() {
    let dir = folder();
    let episodes = recorded(dir.path());
    convert(dir.path(), Form::Npz).unwrap();
    for (at, episode) in episodes.iter().enumerate() {
        let path = dir.path().join(format!("out/episode-{at:06}.npz"));
        assert_eq!(Episode::open(&path).unwrap(), *episode);
    }
    let error = convert(dir.path(), Form::Npz).unwrap_err().to_string();
    assert!(error.starts_with("expected a new folder"), "{error}");
}

#[test]
fn vpt_has_a_line_for_each_frame_with_what_was_done_upon_seeing_it() {
    let dir = folder();
    let episodes = recorded(dir.path());
    convert(dir.path(), Form::Vpt).unwrap();
    let text = fs::read_to_string(dir.path().join("out/episode-000000.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 7);
    for (t, line) in lines.iter().enumerate().take(6) {
        let action: Action = serde_json::from_value(line["action"].clone()).unwrap();
        assert_eq!(action, episodes[0].actions[t + 1]);
        let degrees = line["mouse"]["dx"].as_f64().unwrap() * 360.0 / 2400.0;
        let turned = f64::from(action.turn * episodes[0].layout.turn_degrees);
        assert!((degrees - turned).abs() < 1e-4, "{degrees} for {turned}");
        assert_eq!(line["tick"], t);
    }
    assert_eq!(lines[1]["mouse"]["newButtons"], json!([0]));
    assert_eq!(lines[2]["mouse"]["buttons"], json!([]));
    assert_eq!(lines[6]["action"], json!(Action::NEUTRAL));
    let pose = episodes[0].poses.as_ref().unwrap()[3];
    assert_eq!(lines[3]["xpos"], json!(pose.x));
    let video = input::VideoReader::open(&dir.path().join("out/episode-000001.mp4"), 32, 16);
    assert_eq!(video.unwrap().count(), 5);
}

#[test]
fn a_lerobot_data_set_holds_rows_videos_and_where_they_are() {
    let dir = folder();
    let episodes = recorded(dir.path());
    convert(dir.path(), Form::Lerobot).unwrap();
    let out = dir.path().join("out");
    let rows = read_rows(&out.join("data/chunk-000/file-000.parquet"));
    assert_eq!(rows.len(), 12);
    for (index, row) in rows.iter().enumerate() {
        let (number, t) = if index < 7 { (0, index) } else { (1, index - 7) };
        let upon = action_upon(&episodes[number], t).to_features(&episodes[number].layout);
        assert_eq!(floats(row, "action"), upon);
        let pose = episodes[number].poses.as_ref().unwrap()[t];
        assert_eq!(floats(row, "observation.state"), [pose.x, pose.y, pose.yaw]);
        assert_eq!(floats(row, "timestamp"), [t as f32 / 20.0]);
        let places = ["index", "episode_index", "frame_index", "task_index"];
        let expected = [index, number, t, 0].map(|value| i64::try_from(value).unwrap());
        assert_eq!(places.map(|name| whole(row, name)), expected);
    }
    let meta = read_rows(&out.join("meta/episodes/chunk-000/file-000.parquet"));
    let spans: Vec<_> = meta
        .iter()
        .map(|row| (whole(row, "dataset_from_index"), whole(row, "dataset_to_index")))
        .collect();
    assert_eq!(spans, [(0, 7), (7, 12)]);
    assert_eq!(whole(&meta[1], "videos/observation.image/file_index"), 1);
    for (row, episode) in meta.iter().zip(&episodes) {
        let turns = (0..episode.len()).map(|t| f64::from(action_upon(episode, t).turn));
        let mean = turns.sum::<f64>() / episode.len() as f64;
        let list = row.iter().find(|(name, _)| name == "stats/action/mean");
        let Some((_, Field::ListInternal(list))) = list else { panic!("{row:?}") };
        let Field::Double(first) = list.elements()[0] else { panic!("{list:?}") };
        assert!((first - mean).abs() < 1e-9 && list.elements().len() == 5);
        let count = row.iter().find(|(name, _)| name == "stats/observation.image/count");
        let Some((_, Field::ListInternal(count))) = count else { panic!("{row:?}") };
        assert_eq!(count.elements(), [Field::Long(i64::try_from(episode.len()).unwrap())]);
    }
    let video = out.join("videos/observation.image/chunk-000/file-001.mp4");
    assert_eq!(input::VideoReader::open(&video, 32, 16).unwrap().count(), 5);

    let info = read_json(&out.join("meta/info.json"));
    assert_eq!((&info["fps"], &info["total_frames"]), (&json!(20), &json!(12)));
    assert_eq!(info["features"]["action"]["names"][4], "attack");
    let stats = read_json(&out.join("meta/stats.json"));
    let turns: Vec<f64> = rows.iter().map(|row| f64::from(floats(row, "action")[0])).collect();
    let mean = turns.iter().sum::<f64>() / 12.0;
    let spread = turns.iter().map(|turn| (turn - mean).powi(2)).sum::<f64>() / 12.0;
    let figure = |name: &str| stats["action"][name][0].as_f64().unwrap();
    assert!((figure("mean") - mean).abs() < 1e-9 && (figure("std") - spread.sqrt()).abs() < 1e-6);
    let bytes: Vec<f64> =
        episodes.iter().flat_map(|e| e.video.iter().step_by(3)).map(|b| f64::from(*b)).collect();
    let red = stats["observation.image"]["mean"][0][0][0].as_f64().unwrap();
    assert!((red - bytes.iter().sum::<f64>() / bytes.len() as f64 / 255.0).abs() < 1e-9);
}

#[test]
fn what_was_converted_is_read_as_the_public_data_set_it_became() {
    let dir = folder();
    let episodes = recorded(dir.path());
    convert(dir.path(), Form::Lerobot).unwrap();
    let paths = episodes_in(&dir.path().join("out")).unwrap();
    assert_eq!(paths.len(), 2);
    for (path, episode) in paths.iter().zip(&episodes) {
        let read = Episode::open(path).unwrap();
        assert_eq!((&read.actions, &read.poses), (&episode.actions, &episode.poses));
        assert_eq!((&read.layout, read.fps), (&episode.layout, episode.fps));
        assert_frames_are_their_own(&read, episode);
    }
    fs::remove_dir_all(dir.path().join("out")).unwrap();
    convert(dir.path(), Form::Vpt).unwrap();
    let paths = episodes_in(&dir.path().join("out")).unwrap();
    assert_eq!(paths.len(), 2);
    for (path, episode) in paths.iter().zip(&episodes) {
        let read = Episode::open(path).unwrap();
        for (action, expected) in read.actions.iter().zip(&episode.actions) {
            let degrees =
                |action: &Action, layout: &ActionLayout| action.turn * layout.turn_degrees;
            let (got, wanted) = (degrees(action, &read.layout), degrees(expected, &episode.layout));
            // Floats multiplied in another order.
            assert!((got - wanted).abs() < 1e-3, "{got} for {wanted}");
            // Keys are down or up.
            let key = |value: f32| if value == 0.0 { 0.0 } else { value.signum() };
            assert_eq!(
                (action.forward, action.strafe),
                (key(expected.forward), key(expected.strafe))
            );
            assert_eq!(action.buttons, expected.buttons);
        }
        for (pose, expected) in
            read.poses.as_ref().unwrap().iter().zip(episode.poses.as_ref().unwrap())
        {
            let far = (pose.x - expected.x).abs() + (pose.y - expected.y).abs();
            assert!(far + (pose.yaw - expected.yaw).abs() < 1e-3, "{pose:?} for {expected:?}");
        }
        assert_frames_are_their_own(&read, episode);
    }
}

/// Such small pictures lose much of their colour in a video, but each stays nearest to itself.
fn assert_frames_are_their_own(read: &Episode, episode: &Episode) {
    assert_eq!(
        (read.len(), read.width, read.height),
        (episode.len(), episode.width, episode.height)
    );
    let difference = |a: &[u8], b: &[u8]| -> f64 {
        let sum: u32 = a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        f64::from(sum) / a.len() as f64
    };
    let (frame, last) = (episode.frame_bytes(), episode.video.len() - episode.frame_bytes());
    let own = difference(&read.video, &episode.video);
    let early = difference(&read.video[..last], &episode.video[frame..]);
    let late = difference(&read.video[frame..], &episode.video[..last]);
    assert!(own < early.min(late), "{own} beside {early} and {late}");
}

#[test]
fn episodes_that_do_not_belong_in_one_data_set_are_named() {
    let dir = folder();
    recorded(dir.path());
    let odd = simulate(9, 4, Policy::Explore, (64, 16), 20.0);
    write_npz(&odd, &dir.path().join("in/9.npz")).unwrap();
    let error = format!("{:#}", convert(dir.path(), Form::Lerobot).unwrap_err());
    assert!(
        error.contains("in/9.npz: expected one kind") && error.contains("got 64x16, 20"),
        "{error}"
    );
}

/// A session of five frames, each turned to by its number over ten.
fn record_session(dir: &Path) {
    let header = SessionHeader {
        format: SESSION_FORMAT.to_owned(),
        world: "greys".to_owned(),
        world_hash: String::new(),
        seed: 0,
        width: 32,
        height: 16,
        fps: 10.0,
        layout: ActionLayout::default(),
        settings: Value::Null,
        created: String::new(),
    };
    let mut writer = SessionWriter::create(dir, &header).unwrap();
    for t in 0..5_u8 {
        let record = FrameRecord {
            tick: t.into(),
            section: t.into(),
            action: Action { turn: f32::from(t) / 10.0, ..Action::NEUTRAL },
            frame_sha256: String::new(),
            device_time_us: 0,
            present_time_us: None,
            plan: Account::default(),
        };
        writer.push(&Frame::filled(32, 16, [50 * t; 3]), &record).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn a_session_keeps_its_own_video_and_a_long_one_comes_in_pieces() {
    let dir = tempfile::tempdir().unwrap();
    record_session(dir.path());
    let pieces = |bytes: usize| {
        let mut pieces = Vec::new();
        each_piece(dir.path(), bytes, &mut |episode, video| {
            let turns: Vec<f32> = episode.actions.iter().map(|action| action.turn).collect();
            assert_eq!(episode.frames().len(), turns.len());
            pieces.push((turns, video.is_some()));
            Ok(())
        })
        .unwrap();
        pieces
    };
    assert_eq!(pieces(PIECE_BYTES), [(vec![0.0, 0.1, 0.2, 0.3, 0.4], true)]);
    let frame = Frame::byte_count(32, 16);
    let halves = [(vec![0.0, 0.1], false), (vec![0.2, 0.3], false), (vec![0.4], false)];
    assert_eq!(pieces(2 * frame + 1), halves);
    assert_eq!(pieces(1).len(), 5, "a piece has at least a frame");
    // Of a session cut short, what its video still has.
    let path = dir.path().join("video.mp4");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
    assert_eq!(pieces(PIECE_BYTES), [(vec![0.0, 0.1, 0.2, 0.3], false)]);
}
