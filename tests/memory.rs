//! What a world remembers between walks, by the program's own commands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use candle_core::Device;
use engine::world::World;

use crate::cli::oneiro;
use crate::support::world::write_tiny_world;

/// A folder with a tiny world in it.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir(dir.path().join("tiny")).expect("a folder");
    write_tiny_world(&dir.path().join("tiny")).expect("it can be written");
    dir
}

fn walk(dir: &Path, seed: &str, more: &[&str]) -> Output {
    let out = format!("walk_{seed}");
    let args = ["play", "--world", "tiny", "--headless", "--frames", "40"];
    let args = [&args[..], &["--seed", seed, "--out", &out], more].concat();
    let output = oneiro(dir, &args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn memory(dir: &Path, args: &[&str]) -> (bool, String) {
    let args = [&["memory"], args, &["--world", "tiny", "--memory", "kept"]].concat();
    let Output { status, stdout, stderr } = oneiro(dir, &args);
    (
        status.success(),
        String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr),
    )
}

/// How many frames of earlier walks each section of a walk was made from.
fn recalled(dir: &Path, seed: &str) -> Vec<u64> {
    let lines =
        fs::read_to_string(dir.join(format!("walk_{seed}/frames.jsonl"))).expect("it was recorded");
    let line =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("a line of JSON");
    lines.lines().filter_map(|text| line(text)["plan"]["recalled"].as_u64()).collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("kept")).expect("memory was kept");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("listed").path()).collect();
    files.sort();
    files
}

#[test]
fn a_later_walk_is_made_from_what_an_earlier_one_saw() {
    let dir = folder();
    walk(dir.path(), "1", &["--memory", "kept"]);
    assert!(recalled(dir.path(), "1").iter().all(|&frames| frames == 0), "nothing was there yet");
    walk(dir.path(), "2", &["--memory", "kept"]);
    assert!(recalled(dir.path(), "2").iter().any(|&frames| frames > 0), "nothing came back");
    let (sound, said) = memory(dir.path(), &["verify"]);
    assert!(sound && said.starts_with("sound: "), "{said}");
    let (_, said) = memory(dir.path(), &["stat"]);
    assert!(said.contains("sessions  2") && !said.contains("hits      0 "), "{said}");

    walk(dir.path(), "3", &["--memory", "kept", "--forget"]);
    assert!(recalled(dir.path(), "3").iter().all(|&frames| frames == 0), "it was let go");
    let (_, said) = memory(dir.path(), &["stat"]);
    assert!(said.contains("1 of them pinned"), "where the third walk began: {said}");
    let output = oneiro(dir.path(), &["play", "--world", "tiny", "--headless", "--forget"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && error.contains("--memory DIR"), "{error}");
    walk(dir.path(), "4", &[]);
    assert!(
        recalled(dir.path(), "4").iter().all(|&frames| frames == 0),
        "headless walks have none"
    );
    walk(dir.path(), "5", &["--memory", "none"]);
    assert_eq!(files(dir.path()).len(), 1);
}

#[test]
fn a_walk_whose_memory_has_no_place_remembers_by_itself_alone() {
    let dir = folder();
    let walked = walk(dir.path(), "1", &["--memory", "tiny/world.toml/kept"]);
    let error = String::from_utf8_lossy(&walked.stderr);
    assert!(error.contains("this walk remembers by itself alone"), "{error}");
}

#[test]
fn remembered_frames_can_be_looked_at_and_let_go() {
    let dir = folder();
    walk(dir.path(), "1", &["--memory", "kept"]);
    let (done, said) = memory(dir.path(), &["export", "--out", "pictures"]);
    assert!(done, "{said}");
    let list = fs::read_to_string(dir.path().join("pictures/frames.json")).expect("the list");
    let list: Vec<serde_json::Value> = serde_json::from_str(&list).expect("JSON");
    assert!(!list.is_empty());
    for frame in &list {
        let name = frame["file"].as_str().expect("a name");
        assert!(dir.path().join("pictures").join(name).exists(), "{name}");
    }
    let (done, said) = memory(dir.path(), &["prune", "--budget", "0"]);
    assert!(done && said.starts_with("let go of "), "{said}");
    let (_, said) = memory(dir.path(), &["stat"]);
    assert!(said.contains("frames    4 in 1 runs, 1 of them pinned"), "{said}");
}

#[test]
fn other_weights_take_a_memory_over() {
    let dir = folder();
    walk(dir.path(), "1", &["--memory", "kept"]);
    // The same world with a codec that sees other latents in the same pictures.
    fs::create_dir(dir.path().join("other")).expect("a folder");
    write_tiny_world(&dir.path().join("other")).expect("it can be written");
    let codec = dir.path().join("other/codec.safetensors");
    let mut weights = candle_core::safetensors::load(&codec, &Device::Cpu).expect("weights");
    let doubled = (&weights["normalize.matrix"] * 2.0).expect("a product");
    weights.insert("normalize.matrix".to_owned(), doubled);
    candle_core::safetensors::save(&weights, &codec).expect("weights can be written");

    let (done, said) = memory(dir.path(), &["export", "--to", "tiny"]);
    assert!(!done && said.contains("the same weights"), "{said}");
    let (done, said) = memory(dir.path(), &["export", "--to", "other", "--out", "pictures"]);
    assert!(done && said.contains("runs taken over by"), "{said}");
    assert_eq!(files(dir.path()).len(), 2);
    let stat = |world: &str| {
        let args = ["memory", "stat", "--world", world, "--memory", "kept"];
        let said = String::from_utf8(oneiro(dir.path(), &args).stdout).expect("text");
        said.lines().find(|line| line.starts_with("frames")).expect("a count").to_owned()
    };
    assert_eq!(stat("tiny"), stat("other"));
    // What it took over is what it makes of the pictures.
    let args = ["memory", "export", "--world", "other", "--memory", "kept", "--out", "again"];
    assert!(oneiro(dir.path(), &args).status.success());
    let world = World::open(&dir.path().join("other"), &Device::Cpu, |_| ()).expect("a world");
    let again = |pixels: Vec<u8>| {
        let latents = world.latents(&pixels, 48, 64).expect("it is a picture of the world");
        world.picture(&latents[0]).expect("it is a latent of the world")
    };
    let mut expected: Vec<_> = pictures(&dir.path().join("pictures")).map(again).collect();
    let mut got: Vec<_> = pictures(&dir.path().join("again")).collect();
    expected.sort();
    got.sort();
    assert!(!got.is_empty() && got == expected);
}

/// The pixels of all pictures in a folder.
fn pictures(dir: &Path) -> impl Iterator<Item = Vec<u8>> {
    let paths = fs::read_dir(dir).expect("pictures").map(|entry| entry.expect("listed").path());
    paths.filter(|path| path.extension().is_some_and(|it| it == "png")).map(|path| {
        let file = std::io::BufReader::new(fs::File::open(path).expect("a picture"));
        let mut reader = png::Decoder::new(file).read_info().expect("a picture");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
        reader.next_frame(&mut pixels).expect("a picture");
        pixels
    })
}

#[test]
fn a_damaged_memory_is_set_aside_and_a_missing_one_named() {
    let dir = folder();
    let (done, said) = memory(dir.path(), &["stat"]);
    assert!(!done && said.contains("expected a memory of tiny, got none"), "{said}");
    walk(dir.path(), "1", &["--memory", "kept"]);
    let file = files(dir.path()).remove(0);
    let mut bytes = fs::read(&file).expect("the memory");
    let middle = bytes.len() / 2;
    bytes[..middle].fill(0x5a);
    fs::write(&file, &bytes).expect("it can be written");
    // Who only looks changes nothing, however often.
    for _ in 0..2 {
        let (sound, said) = memory(dir.path(), &["verify"]);
        assert!(!sound && said.contains("damaged") && said.contains(".memory"), "{said}");
        assert!(fs::read(&file).expect("it lies there") == bytes, "it was changed");
    }
    let said = walk(dir.path(), "2", &["--memory", "kept"]).stderr;
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("is kept as") && said.contains("damaged"), "{said}");
    let kept = files(dir.path());
    assert_eq!(kept.len(), 2, "{kept:?}");
    let aside =
        kept.iter().find(|path| path.to_string_lossy().contains("damaged")).expect("set aside");
    assert!(fs::read(aside).expect("it is there") == bytes, "it was changed");
    assert!(memory(dir.path(), &["verify"]).0);
}
