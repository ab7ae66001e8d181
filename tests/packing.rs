//! Ways of picking history on the tiny world: broken off and gone on with, compared, shown and handed on.

use std::path::Path;

use candle_core::Device;
use engine::lpips::Lpips;
use input::{Episode, Policy};
use oneiro::bench::metric::{Picture, psnr};
use oneiro::bench::similarity::similarity;

use crate::cli::oneiro;
use crate::support::lpips::lpips_weights;
use crate::support::world::write_tiny_world;

const RUN: &str = "bench packing --world world --episodes episodes --out out --limit 1 --seconds 0.3 --dream 6 --lambda 0.1,1";

/// A folder with the tiny world and some episodes that come back.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let [world, episodes] = ["world", "episodes"].map(|name| dir.path().join(name));
    std::fs::create_dir(&world).expect("a folder");
    std::fs::create_dir(&episodes).expect("a folder");
    write_tiny_world(&world).expect("the world can be written");
    for seed in 0..2 {
        let episode = input::simulate(seed, 700, Policy::Revisit, (64, 48), 17.5);
        let path = episodes.join(format!("{seed}.npz"));
        input::write_npz(&episode, &path).expect("an episode");
    }
    dir
}

#[track_caller]
fn run(dir: &Path, words: &str) -> String {
    let output = oneiro(dir, &words.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn units(dir: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(dir.join("out/units.jsonl")).expect("the units");
    let line = |line: &str| {
        let mut unit: serde_json::Value = serde_json::from_str(line).expect("JSON");
        // Time alone may differ.
        unit.as_object_mut().expect("an object").remove("section_ms");
        unit
    };
    let mut units: Vec<_> = text.lines().map(line).collect();
    units.sort_by_key(ToString::to_string);
    units
}

#[test]
fn every_arm_is_tried_and_a_broken_run_goes_on_to_the_same_end() {
    let dir = folder();
    let table = run(dir.path(), RUN);
    for arm in
        ["none", "time", "random", "cosine", "pooled", "hybrid@", "reckoned", "pose", "oracle"]
    {
        assert!(table.contains(&format!("\n| {arm}")), "{arm}: {table}");
    }
    let whole = units(dir.path());
    let tasks = whole.iter().filter_map(|unit| unit["task"].as_str());
    let tasks: std::collections::BTreeSet<&str> = tasks.collect();
    assert_eq!(tasks.into_iter().collect::<Vec<_>>(), ["next", "revisit", "rollout", "turn"]);
    assert!(dir.path().join("out/report.html").exists());
    let page = std::fs::read_to_string(dir.path().join("out/report.html")).expect("the page");
    assert!(page.contains("data:image/png;base64,"), "filmstrips");

    // Killed within a line; then one core instead of all.
    let path = dir.path().join("out/units.jsonl");
    let text = std::fs::read(&path).expect("the units");
    std::fs::write(&path, &text[..text.len() / 2]).expect("half of them");
    let words: Vec<&str> = RUN.split(' ').collect();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_oneiro"));
    command.args(&words).current_dir(dir.path()).env("RAYON_NUM_THREADS", "1");
    assert!(command.output().expect("it runs").status.success());
    assert_eq!(units(dir.path()), whole);

    let other = RUN.replace("--dream 6", "--dream 7");
    let output = oneiro(dir.path(), &other.split(' ').collect::<Vec<_>>());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("back_frames 7, got 6"), "{error}");

    let same = run(dir.path(), "bench packing --compare out/report.json out/report.json");
    assert!(same.contains("| +0.00 |"), "{same}");
}

#[test]
fn the_oracle_and_the_poses_find_what_chance_does_not() {
    let dir = folder();
    run(dir.path(), &format!("{RUN} --tasks revisit --arms time,random,pose,oracle"));
    let found = |arm: &str| {
        let units = units(dir.path());
        let unit = units.iter().find(|unit| unit["arm"] == arm).expect("the arm").clone();
        assert!(unit["overlapping"].as_u64() > Some(0), "{unit}");
        unit["found"][1].as_u64().expect("a count")
    };
    assert_eq!(found("time"), 0);
    assert!(found("pose") > 0 && found("oracle") > 0 && found("oracle") >= found("random"));
}

#[test]
fn schedules_by_name_change_the_tokens_and_the_length_of_a_section() {
    let dir = folder();
    let schedules = "td_f16k4f4k2f5k1_g1,td_f4k2f3k1_g2";
    run(dir.path(), &format!("{RUN} --tasks next --arms time --schedules {schedules}"));
    let units = units(dir.path());
    let of = |schedule: &str| {
        units.iter().find(|unit| unit["schedule"] == schedule).expect("the schedule")
    };
    let [long, short] = ["td_f16k4f4k2f5k1_g1", "td_f4k2f3k1_g2"].map(of);
    assert!(long["history_tokens"].as_f64() > short["history_tokens"].as_f64());
    assert_eq!(
        short["section_tokens"].as_u64(),
        long["section_tokens"].as_u64().map(|one| 2 * one)
    );
    let frames = |unit: &serde_json::Value| unit["frames"].as_array().map(Vec::len);
    assert_eq!((frames(long), frames(short)), (Some(1), Some(2)));
    let wrong = RUN.replace("--lambda", "--schedules td_f16k8_g1 --lambda");
    let output = oneiro(dir.path(), &wrong.split(' ').collect::<Vec<_>>());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("a kernel among [1, 2, 4]"), "{error}");
}

#[test]
fn features_of_ones_own_rank_history() {
    let dir = folder();
    // Features that say which frame is which: the walk back is told to look like frame 3.
    let features = dir.path().join("features");
    std::fs::create_dir(&features).expect("a folder");
    let words =
        format!("{RUN} --tasks revisit --arms features,features+permuted --features features");
    let output = oneiro(dir.path(), &words.split(' ').collect::<Vec<_>>());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains(".npy") && error.contains("f32 (T, D)"), "{error}");
    for name in ["0", "1"] {
        let clip = dir.path().join(format!("episodes/{name}.npz"));
        let episode = Episode::open(&clip).expect("it was written");
        let poses = episode.poses.as_ref().expect("a maze knows where it is");
        let row = |pose: &input::Pose| {
            let (sin, cos) = pose.yaw.to_radians().sin_cos();
            [pose.x, pose.y, cos, sin]
        };
        let values: Vec<f32> = poses.iter().flat_map(row).collect();
        let path = features.join(format!("{name}.npy"));
        input::write_npy(&path, &[poses.len(), 4], &values).expect("features");
    }
    let table = run(dir.path(), &words);
    assert!(table.contains("| features |") && table.contains("| features+permuted |"), "{table}");
}

#[test]
fn walks_are_written_as_worldproof_reads_them() {
    let dir = folder();
    run(dir.path(), &format!("{RUN} --tasks rollout --arms time --seeds 2 --export"));
    let root = dir.path().join("out/worldproof");
    let folders: Vec<_> = std::fs::read_dir(root).expect("walks").collect();
    let folder = folders[0].as_ref().expect("a walk").path();
    assert_eq!(folders.len(), 1);
    let manifest = std::fs::read(folder.join("manifest.json")).expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    assert_eq!(manifest["format_version"], "0.1-provisional");
    assert_eq!((&manifest["horizon"], &manifest["n_samples"]), (&5.into(), &2.into()));
    assert_eq!(manifest["resolution"], serde_json::json!([48, 64]));
    let (shape, _) = input::read_npy(&folder.join("actions.npy")).expect("actions");
    assert_eq!(shape, [5, 4]);
    // Scored anew from the files, as a second tool does.
    let read = |name: &str| {
        let file = std::fs::File::open(folder.join(name)).expect("a picture");
        let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().expect("PNG");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
        reader.next_frame(&mut pixels).expect("pixels");
        pixels
    };
    for sample in 0..2_u64 {
        let units = units(dir.path());
        let of_seed = |unit: &&serde_json::Value| unit["seed"].as_u64() == Some(sample);
        let unit = units.iter().find(of_seed).expect("a unit");
        for at in 0..5 {
            let dreamed = read(&format!("predictions/sample_{sample:02}/frame_{at:05}.png"));
            let real = read(&format!("ground_truth/frame_{at:05}.png"));
            let (dreamed, real) = (Picture::new(&dreamed, 64), Picture::new(&real, 64));
            let stated = unit["frames"][at]["psnr"].as_f64().expect("a figure");
            assert!((psnr(dreamed, real) - stated).abs() < 1e-9, "sample {sample}, frame {at}");
        }
    }
    assert!(folder.join("context/frame_00003.png").exists());
}

/// As in `worldproof/make.py`.
fn picture(width: usize, height: usize, kind: &str) -> Vec<u8> {
    let level = |x: i64, y: i64, c: i64| (x * (3 + c) + y * (5 - c) + (x * y) / 7) % 256;
    let byte = |x: usize, y: usize, c: i64| {
        let [x, y] = [x, y].map(|side| i64::try_from(side).expect("small"));
        let base = level(x, y, c);
        let value = match kind {
            "brighter" => (base + 24).min(255),
            "noisy" => (base + (x * 7919 + y * 104_729 + c * 31) % 41 - 20).clamp(0, 255),
            "shifted" => level(x + 3, y, c),
            "flat" => 90 + 20 * c,
            _ => base,
        };
        u8::try_from(value).expect("a level")
    };
    (0..width * height).flat_map(|at| [0, 1, 2].map(|c| byte(at % width, at / width, c))).collect()
}

fn scores() -> Vec<serde_json::Value> {
    serde_json::from_str(include_str!("worldproof/scores.json")).expect("the scores")
}

#[test]
fn figures_agree_with_those_of_worldproof() {
    for score in scores() {
        let side = |name: &str| usize::try_from(score[name].as_u64().unwrap()).unwrap();
        let (width, height) = (side("width"), side("height"));
        let kind = score["kind"].as_str().unwrap();
        let [real, dreamed] = ["real", kind].map(|kind| picture(width, height, kind));
        let (real, dreamed) = (Picture::new(&real, width), Picture::new(&dreamed, width));
        // Equal pictures stand at the top of either scale: 100 here, 148 there.
        let theirs = score["psnr"].as_f64().unwrap().min(100.0);
        assert!((psnr(dreamed, real) - theirs).abs() < 0.01, "{score}");
        let ours = similarity(dreamed, real);
        // Both are sums of doubles in another order.
        assert!((ours.ssim - score["ssim"].as_f64().unwrap()).abs() < 1e-6, "{score} {ours:?}");
        // Its window is in 32 bits.
        assert!(
            (ours.ms_ssim - score["ms_ssim"].as_f64().unwrap()).abs() < 1e-5,
            "{score} {ours:?}"
        );
    }
}

#[test]
fn perceptual_distances_agree_with_the_published_code() {
    let mut weights = lpips_weights();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lpips.safetensors");
    candle_core::safetensors::save(&weights, &path).unwrap();
    let lpips = Lpips::open(&path, &Device::Cpu).unwrap();
    for score in scores().into_iter().filter(|score| score["lpips"].is_number()) {
        let [real, dreamed] =
            ["real", score["kind"].as_str().unwrap()].map(|kind| picture(64, 48, kind));
        let ours = lpips.distance(&dreamed, &real, 64).unwrap();
        // Either is computed in 32 bits.
        let theirs = score["lpips"].as_f64().unwrap();
        assert!((ours - theirs).abs() < 1e-5 + 1e-3 * theirs, "{score}: {ours}");
    }
    assert!(lpips.distance(&[0; 30 * 30 * 3], &[0; 30 * 30 * 3], 30).is_err());
    weights.remove("lin3.model.1.weight");
    candle_core::safetensors::save(&weights, &path).unwrap();
    let error = Lpips::open(&path, &Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("lin3.model.1.weight") && error.contains("torchvision"), "{error}");
}
