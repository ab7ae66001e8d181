//! `oneiro train`: a codec, then a world model, from recorded episodes.

mod codec;
mod export;
mod going;
mod model;
pub(crate) mod picture;
mod progress;
mod world;

pub use model::ModelArgs;

use crate::{cores, hash, paths};
use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use engine::codec::CodecConfig;
use engine::model::ModelConfig;
use engine::train::{CodecTraining, WorldTraining};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};

/// What to train.
#[derive(Clone, Debug, Subcommand)]
pub enum Train {
    /// Pictures to latents and back; comes first
    Codec(TrainArgs),
    /// The world model, on a codec's latents
    World(WorldArgs),
    /// An adapter that finetunes a published video model with FramePack; the whole network has to fit in memory
    Model(ModelArgs),
}

/// Sizes and rates that come with the program.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Preset {
    /// Seconds; for trying things out
    Tiny,
    /// The shipped worlds' size
    Base,
    /// For a GPU
    Large,
}

/// What every training needs.
#[derive(Args, Clone, Debug)]
pub struct TrainArgs {
    /// Folder of recorded play: .npz clips, sessions or a public data set (see `episodes inspect`), searched through
    #[arg(long, value_name = "DIR")]
    pub episodes: PathBuf,
    /// Folder for checkpoints, curves and weights; a training found there goes on
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Sizes and rates
    #[arg(long, value_enum, default_value = "base")]
    pub preset: Preset,
    /// A TOML file in place of a preset
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Steps in all, in place of the configuration's
    #[arg(long, value_name = "N")]
    pub steps: Option<u32>,
    /// Minutes between checkpoints
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub checkpoint_minutes: u64,
    /// Weights to start from where no checkpoint is found (.safetensors); for `train world` also a world, by its folder
    /// or the name of one that came with the program: its sizes, codec and settings are taken too
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
}

/// What the world model needs beside.
#[derive(Args, Clone, Debug)]
pub struct WorldArgs {
    /// Common settings
    #[command(flatten)]
    pub common: TrainArgs,
    /// The codec's weights (codec.safetensors of `train codec`, or of a world) [default: those of the world in --from]
    #[arg(long, value_name = "FILE")]
    pub codec: Option<PathBuf>,
    /// Leave the weights of --from as they are and train an adapter of this rank beside them: a world brought to
    /// other play
    #[arg(long, value_name = "RANK", requires = "from", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub adapter: Option<u16>,
    /// Episodes for the pictures of real against dreamed frames
    #[arg(long, value_name = "DIR")]
    pub held_out: Option<PathBuf>,
}

/// A training configuration: `assets/configs/*.toml`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Sizes of the codec; those of the base preset where a file has none.
    #[serde(default = "CodecConfig::base")]
    pub codec: CodecConfig,
    /// Sizes of the world model, likewise.
    #[serde(default = "ModelConfig::base")]
    pub model: ModelConfig,
    /// Training of the codec.
    #[serde(default)]
    pub codec_training: CodecTraining,
    /// Training of the world model.
    #[serde(default)]
    pub world_training: WorldTraining,
}

impl TrainConfig {
    /// The configuration that the arguments ask for.
    fn read(args: &TrainArgs) -> Result<Self> {
        if let Some(path) = &args.config {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("read {}", path.display()))?;
            let config: Self =
                toml::from_str(&text).with_context(|| format!("read {}", path.display()))?;
            return match config.model.check() {
                Ok(()) => Ok(config),
                Err(wrong) => bail!("{wrong}: {}", path.display()),
            };
        }
        let text = match args.preset {
            Preset::Tiny => include_str!("../../assets/configs/tiny.toml"),
            Preset::Base => include_str!("../../assets/configs/base.toml"),
            Preset::Large => include_str!("../../assets/configs/large.toml"),
        };
        toml::from_str(text).context("read a preset")
    }
}

/// Runs a training.
pub fn run(train: &Train) -> Result<()> {
    let _ = cores::keep_memory();
    match train {
        Train::Codec(args) => codec::train(args),
        Train::World(args) => world::train(args),
        Train::Model(args) => model::train(args),
    }
}

/// Episode files, or an error that says what was looked for.
fn episode_paths(dir: &Path) -> Result<Vec<PathBuf>> {
    let paths = input::episodes_in(dir)?;
    if paths.is_empty() {
        bail!(
            "expected recorded play (.npz clips, sessions, or a public data set) in {}",
            dir.display()
        );
    }
    Ok(paths)
}

/// Most characters of a path that the name of a file tells; with all that file systems allow it could be too long.
const NAME_MAX: usize = 40;

/// Name of the file that keeps what was encoded of an episode. The whole path is in it, as a hash as well: files of one
/// name in two folders are two episodes; and how many bytes lie there, which play that was recorded anew seldom has.
fn kept_name(path: &Path) -> String {
    let plain = |c: char| if c.is_alphanumeric() { c } else { '_' };
    let text = path.to_string_lossy();
    let name: Vec<char> = text.chars().map(plain).collect();
    // The end of a long path says the most.
    let name: String = name[name.len().saturating_sub(NAME_MAX)..].iter().collect();
    let hash = hash::hex(&Sha256::digest(text.as_bytes()));
    // The episodes of one file or folder have paths beyond it, where nothing lies.
    let lies = path.ancestors().find(|path| path.exists());
    format!("{name}-{}-{}.safetensors", &hash[..8], lies.map_or(0, paths::bytes))
}

/// Width and height of the pictures that a model of this size sees; those of recordings are brought to it.
fn picture_size(model: &ModelConfig) -> Result<(u32, u32)> {
    Ok((u32::try_from(8 * model.width)?, u32::try_from(8 * model.height)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_episodes_is_named_by_whole_path_and_size() {
        let dir = tempfile::tempdir().unwrap();
        let name = |file: &str, text: &str| {
            let path = dir.path().join(file);
            std::fs::write(&path, text).unwrap();
            kept_name(&path)
        };
        let long = "x".repeat(200);
        let names = [("a-b", "1"), ("a_b", "1"), ("a-b", "22"), (&*long, "1")]
            .map(|(file, text)| name(file, text));
        for (number, name) in names.iter().enumerate() {
            assert!(!names[..number].contains(name) && name.len() < 100, "{names:?}");
        }
        assert_eq!(name("a-b", "1"), names[0]);
        // A session is a folder.
        let before = kept_name(dir.path());
        std::fs::write(dir.path().join("more"), "333").unwrap();
        assert_ne!(kept_name(dir.path()), before);
        // Episodes of one file or folder lie where no file lies.
        let [one, two] =
            ["more/episode_1", "more/episode_2"].map(|it| kept_name(&dir.path().join(it)));
        assert_ne!(one, two);
    }

    #[test]
    fn presets_are_the_sizes_the_engine_names() {
        let read = |preset| {
            let (episodes, out) = (PathBuf::new(), PathBuf::new());
            let args = TrainArgs {
                episodes,
                out,
                preset,
                config: None,
                steps: None,
                checkpoint_minutes: 1,
                from: None,
            };
            TrainConfig::read(&args).unwrap()
        };
        assert_eq!(read(Preset::Base).model, ModelConfig::base());
        assert_eq!(read(Preset::Base).codec, CodecConfig::base());
        assert_eq!(read(Preset::Large).model, ModelConfig::large());
        assert_eq!(read(Preset::Tiny).codec, CodecConfig::tiny());
    }

    #[test]
    fn sizes_that_no_network_has_are_refused_with_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wrong.toml");
        let tiny = include_str!("../../assets/configs/tiny.toml");
        let args = |config: &Path| TrainArgs {
            episodes: PathBuf::new(),
            out: PathBuf::new(),
            preset: Preset::Tiny,
            config: Some(config.to_owned()),
            steps: None,
            checkpoint_minutes: 1,
            from: None,
        };
        let read = |line: &str| {
            let (name, _) = line.split_once(" = ").unwrap();
            let model = tiny.find("[model]").unwrap();
            let (head, tail) = tiny.split_at(model);
            let old = tail.lines().find(|it| it.starts_with(&format!("{name} = "))).unwrap();
            std::fs::write(&path, format!("{head}{}", tail.replacen(old, line, 1))).unwrap();
            TrainConfig::read(&args(&path)).map(drop)
        };
        read("depth = 3").unwrap();
        for wrong in [
            "dim = 0",
            "heads = 0",
            "heads = 3",
            "depth = 0",
            "depth = 100000000",
            "height = 7",
            "dim = 65536",
            "kernels = []",
            "kernels = [2, 4]",
            "width = 0",
        ] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains("expected") && error.contains("wrong.toml"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_file_may_leave_sizes_out() {
        let map: TrainConfig =
            toml::from_str(include_str!("../../examples/another_map.toml")).unwrap();
        assert_eq!((&map.model, &map.codec), (&ModelConfig::base(), &CodecConfig::base()));
        assert_eq!(map.world_training.steps, 160);
    }

    /// The trainings of `assets/configs/drift`.
    const DRIFT: [(&str, &str); 9] = [
        ("anchor", include_str!("../../assets/configs/drift/anchor.toml")),
        ("causal", include_str!("../../assets/configs/drift/causal.toml")),
        ("discrete", include_str!("../../assets/configs/drift/discrete.toml")),
        ("endpoint", include_str!("../../assets/configs/drift/endpoint.toml")),
        ("forcing", include_str!("../../assets/configs/drift/forcing.toml")),
        ("forcing-fixed", include_str!("../../assets/configs/drift/forcing-fixed.toml")),
        ("inverted", include_str!("../../assets/configs/drift/inverted.toml")),
        ("repeat", include_str!("../../assets/configs/drift/repeat.toml")),
        ("vanilla", include_str!("../../assets/configs/drift/vanilla.toml")),
    ];

    #[test]
    fn ways_against_drift_are_trained_alike_but_for_plan_mask_and_noise() {
        let read = |text: &str| toml::from_str::<TrainConfig>(text).unwrap();
        let vanilla = read(DRIFT[8].1);
        assert_eq!(vanilla.model, ModelConfig::base());
        for (name, text) in DRIFT {
            let config = read(text);
            let training = &config.world_training;
            let [one] = &training.schedules[..] else { panic!("{name} has one schedule") };
            let schedule: engine::pack::Schedule = one.name.parse().unwrap();
            let frames = training.clips * one.sections * schedule.generate();
            assert_eq!(frames * training.steps as usize, 20_736, "samples of {name}");
            // The schedule that the benchmark plans by, and what else makes it this way.
            let arm = match name {
                "forcing" | "forcing-fixed" => format!("{name}@0.1"),
                other => other.to_owned(),
            };
            let arm: crate::bench::prevention::arm::Arm = arm.parse().unwrap();
            let way = arm.way(&engine::pack::Schedule::default(), None, 0).unwrap().unwrap();
            assert_eq!(way.options.schedule, schedule, "{name}");
            let causal = config.model.history == engine::model::HistoryAttention::Causal;
            assert_eq!(causal, name == "causal");
            assert_eq!(training.forcing.is_some(), name.starts_with("forcing"));
            let alike = WorldTraining {
                schedules: vanilla.world_training.schedules.clone(),
                steps: vanilla.world_training.steps,
                codebook: vanilla.world_training.codebook,
                forcing: None,
                ..training.clone()
            };
            assert_eq!(alike, vanilla.world_training, "{name}");
        }
    }
}
