//! Tests of videos of others; that their pictures are right is tested with the data sets that they belong to.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("episode/datasets/fixtures").join(name)
}

fn frames(path: &Path, first: usize) -> Vec<Frame> {
    open(path, first).unwrap().frames.collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_video_begun_in_its_middle_gives_the_same_pictures() {
    // Key frames every six pictures, B-frames between.
    let path = fixture("worldmem_h264/000000.mp4");
    let all = frames(&path, 0);
    assert_eq!(all.len(), 106);
    for first in [1, 5, 6, 7, 99, 103, 105] {
        assert_eq!(frames(&path, first), all[first..], "from {first}");
    }
    assert!(frames(&path, 106).is_empty());
    let avi = fixture("loopnav/04-01_10-00-00.avi");
    assert_eq!(frames(&avi, 2), frames(&avi, 0)[2..]);
}

#[test]
fn other_codecs_without_ffmpeg_name_themselves_and_the_remedy() {
    for (name, codec) in [
        ("worldmem/000000.mp4", "`mp4v`"),
        ("lerobot_av1/videos/observation.images.front/chunk-000/file-000.mp4", "`av01`"),
    ] {
        let path = fixture(name);
        let Err(error) = open_with("/no/such/program", &path, 0) else {
            panic!("{name} was decoded")
        };
        let error = error.to_string();
        for part in [codec, "install it, or convert the video", "libx264", name] {
            assert!(error.contains(part), "{error}");
        }
    }
}

#[test]
fn a_program_that_fails_or_gives_no_pictures_is_an_error() {
    let path = fixture("worldmem/000000.mp4");
    for program in ["false", "echo"] {
        let mut frames = open_with(program, &path, 0).unwrap().frames;
        assert!(frames.next().unwrap().is_err(), "{program}");
        assert!(frames.next().is_none());
    }
}

#[cfg(unix)]
#[test]
fn a_program_too_old_for_an_option_is_asked_by_the_one_before() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("ffmpeg");
    let script =
        "#!/bin/sh\ncase \"$*\" in *-fps_mode*) exit 1 ;; esac\nprintf 'P6\\n1 1\\n255\\nabc'\n";
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let video = open_with(program.to_str().unwrap(), &fixture("worldmem/000000.mp4"), 0).unwrap();
    let pictures: Vec<Frame> = video.frames.collect::<Result<_, _>>().unwrap();
    assert_eq!(pictures, [Frame { width: 1, height: 1, pixels: b"abc".to_vec() }]);
}

#[test]
fn our_own_fragmented_videos_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("own.mp4");
    let mut writer = VideoWriter::create(&path, 32, 16, 20.0).unwrap();
    let shade = |t: u8| Frame::filled(32, 16, [40 * t; 3]);
    for t in 0..5 {
        writer.push(&shade(t).pixels).unwrap();
    }
    writer.finish().unwrap();
    let read = frames(&path, 2);
    assert_eq!(read.len(), 3);
    // A plain picture survives but for the rounding of limited range.
    assert!(read[0].pixels[0].abs_diff(80) <= 4, "{}", read[0].pixels[0]);
    let video = Video::open(&path).unwrap();
    assert_eq!((video.width, video.height, video.fps), (32, 16, Some(20.0)));
    assert_eq!(video.count(), 5);
}

/// Replaces the one table of this kind in a copy of a video by what `change` makes of its content.
fn with_table(kind: &[u8; 4], change: impl Fn(&mut [u8])) -> EpisodeError {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = fs::read(fixture("vpt/cheeky-cornflower-1.mp4")).unwrap();
    let at = bytes.windows(4).position(|four| four == kind).unwrap();
    change(&mut bytes[at + 4..]);
    let path = dir.path().join("v.mp4");
    fs::write(&path, bytes).unwrap();
    match open(&path, 0) {
        Ok(video) => video.frames.collect::<Result<Vec<_>, _>>().unwrap_err(),
        Err(error) => error,
    }
}

#[test]
fn tables_that_claim_what_is_not_there_are_refused() {
    // Four billion samples of one byte, in 12 bytes of table.
    let message = with_table(b"stsz", |table| {
        table[4..12].copy_from_slice(&[0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF]);
    });
    assert!(message.to_string().contains("samples within the file"), "{message}");
    let message = with_table(b"stsz", |table| table[8..12].copy_from_slice(&[0xFF; 4]));
    assert!(message.to_string().contains("a size for every sample"), "{message}");
    let message = with_table(b"stco", |table| table[8..12].copy_from_slice(&[0xFF; 4]));
    assert!(message.to_string().contains("byte 4294967295"), "{message}");
    let message = with_table(b"stss", |table| table[8..12].copy_from_slice(&[0; 4]));
    assert!(message.to_string().contains("`stss`"), "{message}");
}

#[test]
fn the_size_is_read_in_all_profiles() {
    let track = mp4::read(&fixture("vpt/cheeky-cornflower-1.mp4")).unwrap();
    assert_eq!((track.width, track.height, track.fps), (32, 24, Some(20.0)));
    let parameters = track.parameters.unwrap();
    // Five bytes, a count, and the length of the first unit come before it.
    assert_eq!(sps::macroblocks_of_any_profile(&parameters[8..]), Some((2, 2)));
    assert_eq!(sps::macroblocks(&parameters[8..]), None);
}

#[test]
fn pictures_that_are_passed_over_change_nothing_of_those_after() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("own.mp4");
    let mut writer = VideoWriter::create(&path, 16, 16, 10.0).unwrap();
    for t in 0..45 {
        writer.push(&Frame::filled(16, 16, [5 * t, 250 - 5 * t, 90]).pixels).unwrap();
    }
    writer.finish().unwrap();
    let all = frames(&path, 0);
    assert_eq!(all.len(), 45);
    for count in [0, 1, 9, 10, 11, 20, 37, 44, 45, 60] {
        let mut reader = VideoReader::open(&path, 16, 16).unwrap();
        reader.skip_pictures(count).unwrap();
        let rest: Vec<Frame> = reader.map(Result::unwrap).collect();
        assert_eq!(rest, all[count.min(45)..], "after {count}");
    }
    // From within a second, too.
    let mut reader = VideoReader::open(&path, 16, 16).unwrap();
    reader.skip_pictures(13).unwrap();
    reader.skip_pictures(12).unwrap();
    assert_eq!(reader.next().unwrap().unwrap(), all[25]);
    // Seconds before it are not decoded: what is damaged in them is no fault.
    let mut bytes = fs::read(&path).unwrap();
    let data = bytes.windows(4).position(|name| name == b"mdat").unwrap();
    bytes[data + 9..data + 25].fill(0);
    fs::write(&path, bytes).unwrap();
    assert!(VideoReader::open(&path, 16, 16).unwrap().any(|frame| frame.is_err()));
    let mut reader = VideoReader::open(&path, 16, 16).unwrap();
    reader.skip_pictures(20).unwrap();
    assert_eq!(reader.map(Result::unwrap).collect::<Vec<_>>(), all[20..]);
}
