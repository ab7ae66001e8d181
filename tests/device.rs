//! Where there is a GPU, the program on it against the program on the CPU; where there is none, that it says so.

use std::path::Path;
use std::sync::Arc;

use candle_core::Device;
use engine::dreamer::{DreamOptions, Dreamer};
use engine::world::World;
use input::Action;

use crate::cli::said;
use crate::support::world::write_tiny_world;

/// Pictures of a short walk in the world of this folder.
fn walk(world: &Path, device: &Device) -> Vec<u8> {
    let world = Arc::new(World::open(world, device, |_| ()).expect("the world can be read"));
    let mut dreamer =
        Dreamer::new(Arc::clone(&world), DreamOptions::default()).expect("the schedule fits");
    let start = &world.starts[0];
    let frames: Vec<&[u8]> = start.frames().collect();
    dreamer.open_with(&frames, &start.actions).expect("the frames fit");
    let section = |_| dreamer.section(&[Action::NEUTRAL]).expect("a section");
    (0..4).flat_map(section).flatten().collect()
}

#[test]
fn a_walk_on_a_gpu_is_the_walk_on_the_cpu() {
    let device = match engine::device::cuda() {
        Ok(device) => device,
        Err(reason) => return println!("skipped: no CUDA ({reason})"),
    };
    let dir = tempfile::tempdir().expect("a folder for the world");
    write_tiny_world(dir.path()).expect("the world can be written");
    let (here, there) = (walk(dir.path(), &Device::Cpu), walk(dir.path(), &device));
    assert_eq!(there, walk(dir.path(), &device), "the same bits every time");
    let squares = here.iter().zip(&there).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
    let error = squares.sum::<f64>() / here.len() as f64;
    // Both work in 32 bits, but a value at half a step of a picture, or of a stored latent, may round either way,
    // and what follows starts from that: a tenth of a step, or 68 dB.
    assert!(error.sqrt() < 0.1, "off by {} of 255", error.sqrt());
}

#[test]
fn a_benchmark_of_no_gpu_says_why() {
    let Err(reason) = engine::device::cuda() else {
        return println!("skipped: this machine has a GPU, and `oneiro bench device` measures it");
    };
    let dir = tempfile::tempdir().expect("a folder");
    let (code, text) = said(dir.path(), "bench device");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&format!("there is no CUDA device to measure: {reason}")), "{text}");
    assert!(!dir.path().join("device").exists(), "nothing was measured");
}

#[test]
fn without_a_driver_the_program_runs_and_says_so_once() {
    if engine::device::cuda().is_ok() {
        return println!("skipped: this machine has a GPU");
    }
    let dir = tempfile::tempdir().expect("a folder for the world");
    write_tiny_world(dir.path()).expect("the world can be written");
    let (code, text) =
        said(dir.path(), "play --world . --headless --frames 2 --memory none --out walk");
    assert_eq!(code, Some(0), "{text}");
    // Builds without CUDA have nothing to say: nobody asked for it.
    let notices = text.lines().filter(|line| line.contains("no CUDA (")).count();
    assert_eq!(notices, usize::from(cfg!(feature = "cuda")), "{text}");
}
