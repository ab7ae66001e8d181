//! Ways against drift on the tiny world: made in parts, broken off and gone on with, reported.

use std::path::Path;

use crate::cli::oneiro;
use crate::support::lpips::lpips_weights;
use crate::support::world::{write_charted_world, write_tiny_world};

const RUN: &str = "bench drift --world world --episodes episodes --starts 2 --history 4 --steps 1";
const SHORT: &str = "--seconds 0.6 --films 1";

/// A folder with the tiny world and some episodes.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    for name in ["world", "episodes"] {
        std::fs::create_dir(dir.path().join(name)).expect("a folder can be made");
    }
    write_tiny_world(&dir.path().join("world")).expect("the world can be written");
    for seed in [1, 2] {
        let episode = input::simulate(seed, 60, input::Policy::Explore, (64, 48), 17.5);
        let path = dir.path().join(format!("episodes/e{seed}.npz"));
        input::write_npz(&episode, &path).expect("an episode can be written");
    }
    dir
}

fn run(dir: &Path, words: &str) -> String {
    succeed(dir, &format!("{RUN} {SHORT} {words}"))
}

fn succeed(dir: &Path, words: &str) -> String {
    let output = oneiro(dir, &words.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What was measured, without how long it took.
fn report(dir: &Path, out: &str) -> serde_json::Value {
    let text = std::fs::read_to_string(dir.join(out).join("report.json")).expect("a report");
    let mut report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for row in report["rows"].as_array_mut().expect("rows") {
        row["took"] = serde_json::Value::Null;
    }
    report
}

#[test]
fn every_arm_is_measured_on_the_same_beginnings() {
    let dir = folder();
    let table = run(dir.path(), "--out out");
    let arms = ["game", "anchor", "discrete", "endpoint", "guidance@0.5", "guidance@1", "inverted"];
    for arm in arms.into_iter().chain(["noise@0", "noise@0.1", "noise@0.5", "repeat", "vanilla"]) {
        assert_eq!(table.matches(&format!("| {arm} |")).count(), 2, "{arm}: {table}");
    }
    let report = report(dir.path(), "out");
    let row = |arm: &str| {
        let rows = report["rows"].as_array().expect("rows");
        let mut row = rows.iter().find(|row| row["arm"] == arm).expect("the arm").clone();
        for name in ["arm", "told"] {
            row[name] = serde_json::Value::Null;
        }
        row
    };
    assert_eq!(row("game")["means"]["psnr"]["mean"], 100.0);
    // A share of noise of nothing is vanilla; everything else is not.
    assert_eq!(row("noise@0"), row("vanilla"));
    for arm in ["anchor", "discrete", "endpoint", "guidance@1", "inverted", "noise@0.5", "repeat"] {
        assert_ne!(row(arm), row("vanilla"), "{arm}");
    }
    // One beginning is filmed, in a folder for each arm, under the same name.
    let films = std::fs::read_dir(dir.path().join("out/films")).expect("the folder");
    let names: Vec<_> = films
        .map(|arm| {
            let mut films = std::fs::read_dir(arm.expect("an entry").path()).expect("a folder");
            let film = films.next().expect("a film").expect("an entry").file_name();
            assert!(films.next().is_none());
            film
        })
        .collect();
    assert!(names.len() == 12 && names.iter().all(|name| *name == names[0]), "{names:?}");
}

#[test]
fn episodes_of_one_name_in_two_folders_are_two() {
    let dir = folder();
    for (from, to) in [("e1", "one/e"), ("e2", "two/e")] {
        let [from, to] = [from, to].map(|it| dir.path().join(format!("episodes/{it}.npz")));
        std::fs::create_dir(to.parent().expect("a folder")).expect("a folder can be made");
        std::fs::rename(from, to).expect("it was written");
    }
    run(dir.path(), "--arms game --out out");
    let units = std::fs::read_to_string(dir.path().join("out/units.1-of-1.jsonl")).expect("units");
    assert!(units.contains("\"one/e\"") && units.contains("\"two/e\""), "{units}");
}

#[test]
fn a_way_is_on_the_map_where_its_beginning_is() {
    let dir = folder();
    for (name, warped) in [("hall", true), ("bare", false)] {
        std::fs::create_dir(dir.path().join(name)).expect("a folder can be made");
        write_charted_world(&dir.path().join(name), warped).expect("the world can be written");
    }
    // Five frames where the map has a view, and ten of something else; without places, nobody knows where that is.
    let hall = dir.path().join("hall/starts/start_00.npz");
    let start = input::Episode::open(&hall).expect("the hall's start");
    let walk = input::simulate(1, 10, input::Policy::Explore, (64, 48), 17.5);
    let episode = input::Episode {
        video: [start.frame(0).repeat(5), walk.video].concat(),
        actions: vec![input::Action { turn: 0.5, ..input::Action::NEUTRAL }; 15],
        poses: Some(vec![start.poses.expect("they are known")[0]; 15]),
        ..walk
    };
    let lost = input::Episode { poses: None, ..episode.clone() };
    let measured = |name: &str, episode: &input::Episode| {
        let folder = dir.path().join(name);
        std::fs::create_dir(&folder).expect("a folder can be made");
        input::write_npz(episode, &folder.join("e.npz")).expect("an episode can be written");
        let words = format!("--episodes {name} --history 4 --steps 1 {SHORT} --out {name}_out");
        succeed(dir.path(), &format!("bench drift --world hall --arms vanilla,map {words}"));
        let report = report(dir.path(), &format!("{name}_out"));
        let rows = report["rows"].as_array().expect("rows");
        ["vanilla", "map"].map(|arm| {
            let row = rows.iter().find(|row| row["arm"] == arm).expect("the arm");
            (row["means"]["psnr"]["mean"].as_f64().expect("a number"), row["on_map"].as_u64())
        })
    };
    let [vanilla, map] = measured("known", &episode);
    assert_ne!(vanilla.0, map.0);
    assert_eq!((vanilla.1, map.1), (None, Some(1)));
    let [vanilla, map] = measured("lost", &lost);
    assert_eq!((vanilla.0, map.1), (map.0, Some(0)));
    let text = std::fs::read_to_string(dir.path().join("lost_out/report.md")).expect("a report");
    assert!(text.contains("0 of 1 beginnings on the map"), "{text}");
    for world in ["world", "bare"] {
        let words = format!(
            "bench drift --world {world} --episodes known --history 4 {SHORT} --arms map --out x"
        );
        let output = oneiro(dir.path(), &words.split(' ').collect::<Vec<_>>());
        let error = String::from_utf8_lossy(&output.stderr);
        let said = error
            .contains("expected a world with an atlas whose views can be warped for map, got Tiny")
            && error.contains("--arm map=WORLD");
        assert!(output.status.code() == Some(1) && said, "{world}: {error}");
    }
}

/// Writes the tiny world with other settings.
fn write_trained(dir: &Path, changed: impl Fn(&str) -> String) {
    std::fs::create_dir(dir).expect("a folder can be made");
    write_tiny_world(dir).expect("the world can be written");
    let path = dir.join("world.toml");
    let settings = std::fs::read_to_string(&path).expect("the settings");
    std::fs::write(&path, changed(&settings)).expect("they can be written");
}

#[test]
fn arms_with_worlds_of_their_own_are_made_by_their_masks_and_noise() {
    let dir = folder();
    write_trained(&dir.path().join("causal"), |settings| {
        settings.to_owned() + "history = \"causal\"\n"
    });
    write_trained(&dir.path().join("forcing"), |settings| "forcing = true\n".to_owned() + settings);
    let trained = "--arm causal=causal --arm forcing@0=forcing --arm forcing@0.5=forcing --arm \
                   history-guidance@1=forcing --arms game,vanilla";
    let table = run(dir.path(), &format!("{trained} --out out"));
    assert!(table.contains("causal attention (resembles CausVid); uncached"), "{table}");
    let report = report(dir.path(), "out");
    let psnr = |arm: &str| {
        let rows = report["rows"].as_array().expect("rows");
        rows.iter().find(|row| row["arm"] == arm).expect("the arm")["means"]["psnr"]["mean"].clone()
    };
    // With no noise there is nothing to be told of; the weights are the same.
    assert_eq!(psnr("forcing@0"), psnr("vanilla"));
    for arm in ["causal", "forcing@0.5", "history-guidance@1"] {
        assert_ne!(psnr(arm), psnr("vanilla"), "{arm}");
    }
    assert_ne!(psnr("forcing@0.5"), psnr("history-guidance@1"));
    for (words, said) in [
        ("--arms causal", "trained with causal attention for causal, got Tiny"),
        ("--arms forcing@0.1", "trained with diffusion forcing for forcing@0.1"),
        ("--arm vanilla=causal", "history attends to itself for vanilla"),
        ("--arm causal=none", "none"),
    ] {
        let words = format!("{RUN} {SHORT} --out other {words}");
        let output = oneiro(dir.path(), &words.split(' ').collect::<Vec<_>>());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && error.contains(said), "{words}: {error}");
    }
    // Other weights for an arm that was measured already.
    let path = dir.path().join("causal/codec.safetensors");
    let mut weights = std::fs::read(&path).expect("weights");
    let middle = weights.len() / 2;
    weights[middle] ^= 1;
    std::fs::write(&path, weights).expect("they can be written");
    let words = format!("{RUN} {SHORT} {trained} --out out");
    let output = oneiro(dir.path(), &words.split(' ').collect::<Vec<_>>());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && error.contains("videos of causal by the weights"),
        "{error}"
    );
}

/// A training of `assets/configs/drift` at the tiny size.
fn tiny_config(text: &str) -> String {
    let read = |text: &str| text.parse::<toml::Table>().expect("TOML");
    let mut config = read(text);
    let mut tiny = read(include_str!("../assets/configs/tiny.toml"));
    for part in ["codec", "model"] {
        let mut table = tiny.remove(part).expect("its sizes");
        if let Some(history) = config[part].get("history") {
            let table = table.as_table_mut().expect("a table");
            table.insert("history".to_owned(), history.clone());
        }
        config.insert(part.to_owned(), table);
    }
    toml::to_string(&config).expect("TOML")
}

#[test]
fn trainings_from_one_checkpoint_leave_worlds_that_their_arms_take() {
    let dir = folder();
    let play = input::simulate(3, 100, input::Policy::Explore, (64, 48), 17.5);
    std::fs::create_dir(dir.path().join("play")).expect("a folder can be made");
    input::write_npz(&play, &dir.path().join("play/e.npz")).expect("an episode can be written");
    let mut arms = String::new();
    for (name, arm, text) in [
        ("vanilla", "vanilla", include_str!("../assets/configs/drift/vanilla.toml")),
        ("discrete", "discrete", include_str!("../assets/configs/drift/discrete.toml")),
        ("repeat", "repeat", include_str!("../assets/configs/drift/repeat.toml")),
        ("causal", "causal", include_str!("../assets/configs/drift/causal.toml")),
        ("forcing", "forcing@0.5", include_str!("../assets/configs/drift/forcing.toml")),
    ] {
        let config = format!("{name}.toml");
        std::fs::write(dir.path().join(&config), tiny_config(text)).expect("it can be written");
        let words = format!(
            "train world --episodes play --codec world/codec.safetensors --from world/model.safetensors \
             --config {config} --out {name} --steps 2"
        );
        let output = oneiro(dir.path(), &words.split(' ').collect::<Vec<_>>());
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        arms += &format!(" --arm {arm}={name}/world");
    }
    let words = format!(
        "bench drift --world vanilla/world --episodes episodes --starts 1 --history 4 --steps 1 {SHORT} --out out{arms}"
    );
    let output = oneiro(dir.path(), &words.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let units = std::fs::read_to_string(dir.path().join("out/units.1-of-1.jsonl")).expect("units");
    let weights: std::collections::BTreeSet<String> = units
        .lines()
        .skip(1)
        .map(|line| {
            let unit: serde_json::Value = serde_json::from_str(line).expect("JSON");
            unit["weights"].as_str().expect("a hash").to_owned()
        })
        .collect();
    // The game's own frames are counted as the shared world's.
    assert_eq!((units.lines().count(), weights.len()), (1 + 6, 5));
}

#[test]
fn a_training_goes_on_in_its_own_folder_with_its_own_codec_or_another() {
    let dir = folder();
    for (name, frames) in [("play", 100), ("short", 40)] {
        let play = input::simulate(3, frames, input::Policy::Explore, (64, 48), 17.5);
        std::fs::create_dir(dir.path().join(name)).expect("a folder can be made");
        let path = dir.path().join(name).join("e.npz");
        input::write_npz(&play, &path).expect("an episode can be written");
    }
    let config = tiny_config(include_str!("../assets/configs/drift/vanilla.toml"));
    std::fs::write(dir.path().join("config.toml"), config).expect("it can be written");
    let train = |more: &str| {
        let words = "train world --from world/model.safetensors --episodes play --config config.toml --out out";
        succeed(dir.path(), &format!("{words} {more}"));
    };
    let read = |name: &str| std::fs::read(dir.path().join(name)).expect("it is there");
    let encoders =
        || std::fs::read_dir(dir.path().join("out/latents")).expect("it is there").count();
    train("--codec world/codec.safetensors --steps 1");
    // A world may be trained on by what it consists of. No held-out episode is long enough for a strip.
    train("--codec out/world/codec.safetensors --held-out short --steps 2");
    assert!(read("out/world/codec.safetensors") == read("world/codec.safetensors"));
    assert_eq!(encoders(), 1);
    let strip = |step: u8| dir.path().join(format!("out/strip_00000{step}.png")).exists();
    assert!(strip(1) && !strip(2));
    // What another codec has encoded is not taken for this one's.
    let mut codec = read("world/codec.safetensors");
    *codec.last_mut().expect("it holds weights") ^= 1;
    std::fs::write(dir.path().join("other.safetensors"), &codec).expect("it can be written");
    train("--codec other.safetensors --steps 3");
    assert!(read("out/world/codec.safetensors") == codec);
    assert_eq!(encoders(), 2);
}

#[test]
fn a_world_of_causal_attention_is_not_played() {
    let dir = folder();
    write_trained(&dir.path().join("causal"), |settings| {
        settings.to_owned() + "history = \"causal\"\n"
    });
    let words = "play --headless --frames 2 --world causal --out walk";
    let output = oneiro(dir.path(), &words.split(' ').collect::<Vec<_>>());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(1) && error.contains("causal attention in Tiny"),
        "{error}"
    );
}

#[test]
fn schedules_and_numbers_of_words_have_tables_of_their_own() {
    let dir = folder();
    let arms =
        "--arms vanilla,discrete@16,discrete@2,td_f16k4f2k2f1k1_g4,f1k1_x_g9_f1k1f4k2f1k1_g9+D";
    let table = run(dir.path(), &format!("{arms} --words-from episodes --out out"));
    let lines = |part: usize| -> Vec<String> {
        let part = table.split("## ").nth(part).expect("a part");
        let lines = part.lines().filter(|line| line.starts_with("| ") && !line.contains("| arm"));
        lines.map(|line| line.split(' ').nth(1).expect("a name").to_owned()).collect()
    };
    assert_eq!(lines(1)[..2], ["f1k1_x_g9_f1k1f4k2f1k1_g9+D", "td_f16k4f2k2f1k1_g4"]);
    assert_eq!(lines(3)[..3], ["discrete@2", "discrete@16", "vanilla"]);
}

#[test]
fn a_metric_is_taken_where_its_weights_are() {
    let dir = folder();
    let path = dir.path().join("lpips.safetensors");
    candle_core::safetensors::save(&lpips_weights(), &path).expect("weights can be written");
    let arms = "--arms game,vanilla --metric lpips=lpips.safetensors --out out";
    let table = run(dir.path(), arms);
    assert!(table.contains("| SSIM | LPIPS |"), "{table}");
    let report = report(dir.path(), "out");
    let lpips =
        |row: usize| report["rows"][row]["means"]["lpips"]["mean"].as_f64().expect("a number");
    assert!(lpips(0).abs() < 1e-12 && lpips(1) > 1e-3, "{} {}", lpips(0), lpips(1));
    assert!(dir.path().join("out/lpips.svg").is_file());
    let words = format!("{RUN} {SHORT} --metric musiq=lpips.safetensors --out out");
    let output = oneiro(dir.path(), &words.split(' ').collect::<Vec<_>>());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && error.contains("expected lpips"), "{error}");
}

#[test]
fn parts_and_a_broken_run_come_to_the_same() {
    let dir = folder();
    let arms = "--arms game,vanilla,inverted,discrete@4 --words-from episodes";
    run(dir.path(), &format!("{arms} --out whole"));
    run(dir.path(), &format!("{arms} --out parts --shard 1/2"));
    run(dir.path(), &format!("{arms} --out parts --shard 2/2"));
    assert_eq!(report(dir.path(), "parts"), report(dir.path(), "whole"));
    // As after a kill in the third video.
    let file = dir.path().join("whole/units.1-of-1.jsonl");
    let text = std::fs::read_to_string(&file).expect("units");
    assert_eq!(text.lines().count(), 1 + 8);
    let before = report(dir.path(), "whole");
    let kept: usize = text.split_inclusive('\n').take(3).map(str::len).sum();
    std::fs::write(&file, &text[..kept + 9]).expect("it can be cut off");
    run(dir.path(), &format!("{arms} --out whole"));
    assert_eq!(report(dir.path(), "whole"), before);
    let words = format!("{RUN} {SHORT} {arms} --out whole --seed 7");
    let output = oneiro(dir.path(), &words.split(' ').collect::<Vec<_>>());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("choose another"), "{error}");
}

#[test]
fn what_cannot_be_tried_is_said() {
    let dir = folder();
    for (words, code, said) in [
        ("--seconds 1 --arms fly", 2, "expected game, vanilla"),
        ("--seconds 1 --arms discrete@4", 1, "--words-from"),
        ("--shard 3/2", 2, "such as 2/4"),
        ("--seconds 9", 1, "held-out play with a beginning of a video"),
    ] {
        let words = format!("{RUN} --out out {words}");
        let output = oneiro(dir.path(), &words.split(' ').collect::<Vec<_>>());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && error.contains(said), "{words}: {error}");
    }
}
