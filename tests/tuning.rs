//! Finetuning by the command line: published models with tiny random weights, and worlds brought to other play.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use engine::adapter::AdapterConfig;
use engine::framepack::check::Model;
use engine::framepack::told::read_prompts;
use engine::framepack::tune::{Tuner, Tuning, load_clips};
use engine::framepack::window::Order;
use engine::world::World;
use input::{Policy, simulate, write_npz};

use crate::cli::{done, said};
use crate::support::models::{write_hunyuan, write_wan};
use crate::support::world::write_tiny_world;

/// A folder of recorded play, `frames` pictures at `fps`.
fn play(dir: &Path, frames: usize, fps: f32) {
    fs::create_dir(dir.join("play")).expect("a folder can be made");
    let episode = simulate(3, frames, Policy::Explore, (64, 48), fps);
    write_npz(&episode, &dir.join("play/a.npz")).expect("play can be written");
}

/// Points of the curve of a training.
fn curve(dir: &Path) -> Vec<f32> {
    let text = fs::read_to_string(dir.join("loss.csv")).expect("the curve was written");
    let loss = |line: &str| line.split(',').nth(1)?.parse().ok();
    text.lines().skip(1).filter_map(loss).collect()
}

fn tensors(path: &Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).expect("tensors")
}

fn farthest(a: &Tensor, b: &Tensor) -> f32 {
    let apart = (a - b).and_then(|apart| apart.abs()?.max_all()?.to_scalar());
    apart.expect("tensors of one shape")
}

/// Trains an adapter, goes on with it, and makes videos with it: worn, and worked into the network.
fn is_finetuned(name: &str, fps: f32, write: fn(&Path)) {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let dir = dir.path();
    write(&dir.join(name));
    play(dir, 160, fps);
    let base = format!(
        "train model --model {name} --episodes play --prompt maze --size 32x32 --order vanilla --rate 5e-3 --rank 4"
    );
    done(dir, &format!("{base} --steps 50 --out out"));
    let text = done(dir, &format!("{base} --steps 100 --out out"));
    assert!(text.contains("going on from step 50"), "{text}");
    let curve = curve(&dir.join("out"));
    println!("{name}: {curve:?}");
    assert_eq!(curve.len(), 4);
    assert!(curve[3] < 0.8 * curve[0], "{curve:?}");
    assert!(dir.join("out/loss.png").is_file());
    let (code, text) = said(dir, &format!("{base} --steps 100 --out out --seed 7"));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("seed 0 there, 7 now"), "{text}");

    let adapter = "out/adapter.safetensors";
    done(
        dir,
        &format!("model merge {name}/transformer --adapter {adapter} --out merged/transformer"),
    );
    for part in fs::read_dir(dir.join(name)).expect("parts") {
        let part = part.expect("a part").file_name();
        let to = dir.join("merged").join(&part);
        if part != "transformer" {
            std::os::unix::fs::symlink(dir.join(name).join(&part), to).expect("a link");
        }
    }
    let dream = "--prompt maze --size 32x32 --seconds 1 --steps 2 --order vanilla";
    let latents = |model: &str, more: &str, out: &str| {
        done(dir, &format!("dream --model {model} {dream} {more}--out {out}"));
        tensors(&dir.join(out).join("section_001.safetensors"))["latents"].clone()
    };
    let worn = latents(name, &format!("--adapter {adapter} "), "worn");
    let merged = latents("merged", "", "made_merged");
    assert!(farthest(&worn, &merged) < 1e-2, "off by {}", farthest(&worn, &merged));
    assert!(farthest(&worn, &latents(name, "", "plain")) > 0.1);
}

#[test]
fn wan_is_finetuned_on_recorded_play() {
    is_finetuned("wan", 16.0, write_wan);
}

#[test]
fn hunyuan_video_is_finetuned_on_recorded_play() {
    is_finetuned("hunyuan", 30.0, write_hunyuan);
}

#[test]
fn a_finetuning_goes_on_from_a_checkpoint_as_if_unbroken() {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let dir = dir.path();
    write_wan(&dir.join("wan"));
    play(dir, 80, 16.0);
    let words = "train model --model wan --episodes play --size 32x32 --steps 1 --out out";
    done(dir, words);
    let mut kept = fs::read_dir(dir.join("out/latents")).expect("latents were kept");
    let kept = kept.next().expect("of one episode").expect("a file").path();
    let tuner = || {
        let clips = load_clips(&kept, &Device::Cpu).expect("clips");
        // A picture, and two of two sections of nine latents.
        assert_eq!(clips.iter().map(|clip| clip.latents.dims()[2]).collect::<Vec<_>>(), [19]);
        let tuning = Tuning {
            adapter: AdapterConfig { rank: 2, alpha: 2.0, seed: 1 },
            order: Order::Inverted,
            frames: 9,
            rate: 1e-2,
            steps: 9,
            guidance: 1.0,
            seed: 4,
        };
        let folder = dir.join("wan");
        let mut texts = read_prompts(Model::Wan, &folder, &["maze"], &Device::Cpu).expect("read");
        let text = texts.remove(0);
        Tuner::new(Model::Wan, &folder, clips, text, tuning, &Device::Cpu).expect("it fits")
    };
    let (mut unbroken, mut resumed) = (tuner(), tuner());
    for _ in 0..3 {
        unbroken.step().expect("a step");
    }
    resumed.restore(&unbroken.checkpoint().expect("a checkpoint")).expect("it fits");
    for _ in 0..3 {
        assert_eq!(unbroken.step().expect("a step"), resumed.step().expect("a step"));
    }
    let (a, b) = (unbroken.checkpoint().expect("one"), resumed.checkpoint().expect("one"));
    for (name, weight) in &a.weights {
        assert_eq!(farthest(weight, &b.weights[name]), 0.0, "{name}");
    }
}

#[test]
fn a_world_is_brought_to_other_play() {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let dir = dir.path();
    fs::create_dir(dir.join("world")).expect("a folder can be made");
    write_tiny_world(&dir.join("world")).expect("the world can be written");
    play(dir, 120, 17.5);
    let words = "train world --preset tiny --from world --adapter 4 --episodes play --out out";
    done(dir, &format!("{words} --steps 3"));
    let text = done(dir, &format!("{words} --steps 6"));
    assert!(text.contains("going on from step 3"), "{text}");

    // The adapter is worked into a whole world, which opens like any other.
    let world = World::open(&dir.join("out/world"), &Device::Cpu, |_| ()).expect("a world");
    assert_eq!(world.config.title, "Tiny, adapted");
    assert_eq!(world.config.evaluations, 2);
    let half = |path: &str| tensors(&dir.join(path));
    let (before, after) = (half("world/model.safetensors"), half("out/world/model.safetensors"));
    let apart = |name: &str| {
        let wide = |tensor: &Tensor| tensor.to_dtype(candle_core::DType::F32).expect("numbers");
        farthest(&wide(&before[name]), &wide(&after[name]))
    };
    assert!(apart("blocks.0.q.weight") > 1e-3);
    // Numbers of about 1 in 16 bits.
    assert!(apart("head.weight") < 1e-3);
    done(dir, "play --world out/world --headless --frames 4 --out walk --steps 1");

    let (code, text) = said(dir, "train world --adapter 4 --episodes play --out other");
    assert_eq!(code, Some(2), "{text}");
    let (code, text) = said(dir, "train world --preset tiny --episodes play --out other");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("expected --codec"), "{text}");
}
