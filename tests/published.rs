//! Videos of published models by the command line, with tiny random weights.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use candle_core::{Device, Tensor};
use input::VideoReader;

use crate::cli::{done, said};
use crate::support::models::{write_hunyuan, write_wan};
use crate::support::world::write_tiny_world;

/// A folder with both models and two pictures.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    write_hunyuan(&dir.path().join("hunyuan"));
    write_wan(&dir.path().join("wan"));
    for (name, shade) in [("a.png", [200, 30, 0]), ("b.png", [0, 60, 255])] {
        let pixels = shade.repeat(40 * 30);
        oneiro::picture::write(&dir.path().join(name), &pixels, (40, 30)).expect("a picture");
    }
    dir
}

/// Two sections of 36 pictures at 30 a second.
const BASE: &str = "dream --model hunyuan --prompt maze --size 32x32 --seconds 2.4 --steps 2";

#[track_caller]
fn refused(dir: &Path, words: &str, code: i32, complaint: &str) {
    let (got, text) = said(dir, words);
    assert_eq!(got, Some(code), "{words}: {text}");
    assert!(text.contains(complaint), "{words}: {complaint:?} is not in {text}");
}

fn pictures(dir: &Path, out: &str) -> usize {
    let video = VideoReader::open(&dir.join(out).join("video.mp4"), 32, 32).expect("a video");
    video.fold(0, |count, picture| picture.map(|_| count + 1).expect("a picture"))
}

/// The latents of a section.
fn latents(dir: &Path, out: &str, number: usize) -> Vec<f32> {
    let path = dir.join(out).join(format!("section_{number:03}.safetensors"));
    let tensors: HashMap<String, Tensor> =
        candle_core::safetensors::load(path, &Device::Cpu).expect("latents are kept");
    let latents = tensors["latents"].flatten_all().and_then(|latents| latents.to_vec1());
    latents.expect("numbers")
}

fn video(dir: &Path, out: &str) -> Vec<u8> {
    fs::read(dir.join(out).join("video.mp4")).expect("a video")
}

#[test]
fn a_video_is_made_section_by_section() {
    let dir = folder();
    let text = done(dir.path(), &format!("{BASE} --image a.png --out out"));
    for part in ["LLaMA (text_encoder)", "SigLIP", "4 of the network's 4 blocks", "at most at once"]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(text.contains("2 sections, 2.4 s: out"), "{text}");
    // The start picture's latent and two sections of nine.
    assert_eq!(pictures(dir.path(), "out"), 4 * 19 - 3);
    assert!(dir.path().join("out/section_002.png").is_file());
    // The last section was made first, towards the start picture.
    let other = done(dir.path(), &format!("{BASE} --image b.png --out other"));
    assert!(other.contains("section 2 of 2"), "{other}");
    assert!(latents(dir.path(), "out", 1) != latents(dir.path(), "other", 1));
}

#[test]
fn forward_it_begins_from_nothing_too() {
    let dir = folder();
    let words = "--size 32x32 --seconds 4.5 --steps 2 --order vanilla --out out";
    let text = done(dir.path(), &format!("dream --model wan --prompt maze {words}"));
    assert!(text.contains("no projections of packed history"), "{text}");
    assert!(text.contains("UMT5"), "{text}");
    // Two sections at 16 pictures a second.
    assert_eq!(pictures(dir.path(), "out"), 4 * 18 - 3);
}

#[test]
fn a_killed_video_goes_on_with_the_same_bits() {
    let dir = folder();
    let base = BASE.replace("--steps 2", "--steps 24").replace("2.4", "3.6");
    let words = format!("{base} --image a.png");
    let mut program = Command::new(env!("CARGO_BIN_EXE_oneiro"))
        .args(format!("{words} --out killed").split(' '))
        .current_dir(dir.path())
        .spawn()
        .expect("the program was built for this test");
    let first = dir.path().join("killed/section_001.safetensors");
    while !first.exists() && program.try_wait().expect("a program").is_none() {
        std::thread::sleep(Duration::from_millis(2));
    }
    program.kill().expect("it is killed");
    program.wait().expect("it has ended");
    assert!(first.exists() && !dir.path().join("killed/section_003.safetensors").exists());

    done(dir.path(), &format!("{words} --out killed"));
    done(dir.path(), &format!("{words} --out whole"));
    assert!(latents(dir.path(), "killed", 3) == latents(dir.path(), "whole", 3));
    assert!(video(dir.path(), "killed") == video(dir.path(), "whole"));

    // What is whole is only shown again; other settings have to go elsewhere.
    let text = done(dir.path(), &format!("{words} --out whole"));
    assert!(text.contains("section 3 of 3"), "{text}");
    let other = "seed 0 there, 7 now";
    refused(dir.path(), &format!("{words} --seed 7 --out whole"), 1, other);
    refused(dir.path(), &format!("{base} --image b.png --out whole"), 1, "pictures");
}

#[test]
fn block_by_block_makes_the_same_bits() {
    let dir = folder();
    done(dir.path(), &format!("{BASE} --image a.png --out held"));
    // The least is said by what complains of less.
    let (code, text) = said(dir.path(), &format!("{BASE} --image a.png --ram 0.001 --out none"));
    assert_eq!(code, Some(1), "{text}");
    let (_, least) = text.split_once("expected a bound of at least ").expect("it complains");
    let least: f64 = least.split(' ').next().and_then(|mb| mb.parse().ok()).expect("a number");
    assert!(!dir.path().join("none").exists());
    let ram = (least + 0.002) / 1000.0;
    let text = done(dir.path(), &format!("{BASE} --image a.png --ram {ram} --out streamed"));
    assert!(text.contains("0 of the network's 4 blocks"), "{text}");
    assert!(text.contains("block by block"), "{text}");
    assert!(video(dir.path(), "held") == video(dir.path(), "streamed"));
}

#[test]
fn texts_and_pictures_are_come_by() {
    let dir = folder();
    let forward = format!("{BASE} --image a.png --order vanilla");
    done(dir.path(), &format!("{forward} --out plain"));
    done(dir.path(), &format!("{forward} --waypoint 1.2=snow --out snow"));
    assert!(latents(dir.path(), "plain", 1) == latents(dir.path(), "snow", 1));
    assert!(latents(dir.path(), "plain", 2) != latents(dir.path(), "snow", 2));

    // Inverted, the first text is the section that is made last.
    done(dir.path(), &format!("{BASE} --image a.png --out plain_inverted"));
    done(
        dir.path(),
        &format!("{BASE} --image a.png --waypoint 0=snow --waypoint 1.2=maze --out late"),
    );
    assert!(latents(dir.path(), "plain_inverted", 1) == latents(dir.path(), "late", 1));
    assert!(latents(dir.path(), "plain_inverted", 2) != latents(dir.path(), "late", 2));

    // A picture between two sections is a latent of the video; one at the end is aimed at.
    let by = |waypoint: &str, out: &str| {
        done(dir.path(), &format!("{BASE} --image a.png --waypoint {waypoint} --out {out}"));
        pictures(dir.path(), out)
    };
    assert_eq!(by("1.2=b.png", "between"), 4 * 20 - 3);
    assert_eq!(by("2.4=b.png", "at_the_end"), 4 * 19 - 3);
    for out in ["between", "at_the_end"] {
        assert!(latents(dir.path(), out, 1) != latents(dir.path(), "plain_inverted", 1), "{out}");
    }
}

#[test]
fn a_model_is_looked_over_without_running_it() {
    let dir = folder();
    let check = "dream --model hunyuan --check";
    let text = done(dir.path(), check);
    assert!(text.contains("at most at once") && text.contains("nothing is missing"), "{text}");
    assert!(done(dir.path(), "dream --model wan --check").contains("nothing is missing"));
    assert!(done(dir.path(), "model check hunyuan").contains("nothing is missing"));

    let weights = dir.path().join("hunyuan/vae/diffusion_pytorch_model.safetensors");
    let mut tensors = candle_core::safetensors::load(&weights, &Device::Cpu).expect("weights");
    tensors.remove("decoder.conv_in.conv.bias").expect("the tensor is there");
    candle_core::safetensors::save(&tensors, &weights).expect("files can be written");
    let fault = "hunyuan/vae: expected a tensor decoder.conv_in.conv.bias of [8]; published at";
    refused(dir.path(), check, 1, fault);
    let bytes = fs::read(&weights).expect("weights");
    fs::write(&weights, &bytes[..bytes.len() - 1]).expect("files can be written");
    refused(dir.path(), check, 1, "expected a whole safetensors file");
    fs::remove_file(dir.path().join("hunyuan/tokenizer_2/merges.txt")).expect("it is there");
    refused(dir.path(), &format!("{BASE} --out out"), 1, "merges.txt");
    assert!(!dir.path().join("out").exists());
}

#[test]
fn what_makes_no_sense_is_said() {
    let dir = folder();
    let base = format!("{BASE} --out out");
    for (words, code, complaint) in [
        ("--order endpoint", 2, "expected vanilla or inverted order"),
        ("--order vanilla --waypoint 1.2=b.png", 2, "expected inverted order"),
        ("--waypoint 9=b.png", 1, "within the video"),
        ("--waypoint 1.2=b.png --waypoint 1.3=a.png", 1, "one section apart"),
        ("--world doom-rooms", 2, "cannot be used with"),
        ("--guidance much", 2, "expected a scale"),
        ("--ram little", 2, "gigabytes"),
        ("--adapter a.png", 1, "a.png"),
    ] {
        refused(dir.path(), &format!("{base} {words}"), code, complaint);
    }
    refused(dir.path(), "dream --model hunyuan --out out", 2, "expected --prompt");
    refused(dir.path(), "dream --prompt maze --out out", 2, "--model");
    refused(dir.path(), "dream --model hunyuan --prompt maze", 2, "--out");
    let odd = base.replace("32x32", "32x40");
    refused(dir.path(), &odd, 1, "multiples of 16");
    fs::create_dir(dir.path().join("world")).expect("a folder can be made");
    write_tiny_world(&dir.path().join("world")).expect("the world can be written");
    let text = "dream --world world --seconds 0.4 --out video --waypoint 0.2=door";
    refused(dir.path(), text, 2, "--model takes text");
    // What others made is not written over.
    let text = "dream --world world --seconds 0.4 --steps 1 --out mine";
    done(dir.path(), text);
    done(dir.path(), text);
    fs::remove_file(dir.path().join("mine/plan.json")).expect("it was written");
    refused(dir.path(), text, 1, "without a video of anything else: mine");
    fs::create_dir(dir.path().join("walk")).expect("a folder can be made");
    fs::write(dir.path().join("walk/session.json"), "{}").expect("it can be written");
    refused(dir.path(), &text.replace("mine", "walk"), 1, "anything else: walk");
}
