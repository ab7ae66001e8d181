//! What a GPU is worth, in one command: `oneiro bench device`.
//!
//! First whether it computes what the CPU does, then how long a section takes there: of the worlds that came with
//! the program, of larger ones, and of a published network. The larger ones have random weights, since speed does
//! not depend on them. What fails is told in the report, and the rest goes on.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use engine::agreement::{Agreement, agreement};
use engine::codec::CodecConfig;
use engine::device::Device;
use engine::dreamer::DreamOptions;
use engine::framepack::hunyuan::Config;
use engine::model::ModelConfig;
use engine::untrained::{self, Section, SectionSize};
use engine::world::{World, WorldConfig};
use input::ActionLayout;
use serde::Serialize;

use super::speed::{self, SpeedReport};
use crate::clock::Clock;
use crate::worlds;

/// Evaluations of a section in the release of `FramePack`.
const EVALUATIONS: u32 = 25;
/// Evaluations of which the fastest counts.
const TRIES: u32 = 3;

/// Options of `bench device`.
#[derive(Args, Clone, Debug)]
pub struct DeviceArgs {
    /// Folder for device.json and device.md
    #[arg(long, value_name = "DIR", default_value = "device")]
    pub out: PathBuf,
    /// Sections of each walk
    #[arg(long, value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub sections: u32,
    /// Leave out the published network: its weights take 26 GB
    #[arg(long)]
    pub no_published: bool,
    /// A Python with torch, to measure the larger networks in PyTorch on the same GPU
    #[arg(long, value_name = "PYTHON")]
    pub rival: Option<PathBuf>,
}

/// What is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Folders or names of worlds.
    pub worlds: Vec<PathBuf>,
    /// Larger ones: a name, and settings.
    pub untrained: Vec<(String, WorldConfig)>,
    /// A published network, and the section it makes.
    pub published: Option<(Config, SectionSize)>,
}

impl Plan {
    /// Everything that a GPU is asked.
    pub fn whole() -> Self {
        // The second size is 640x360 brought to whole tokens of 16 pixels.
        let pictures = [(384, 256), (640, 368)];
        let large = ModelConfig::large();
        let larger = ModelConfig { dim: 1536, depth: 16, heads: 24, ..large.clone() };
        let networks = [("100 million weights", large), ("500 million weights", larger)];
        let untrained = networks.iter().flat_map(|(name, model)| {
            pictures.map(|(width, height)| {
                (format!("{name}, {width}x{height}"), settings(model, width, height))
            })
        });
        // Nine latent frames of 640x640; texts are cut to their length.
        let size = SectionSize { frames: 9, height: 80, width: 80, words: 64, views: 729 };
        Self {
            worlds: ["doom-rooms", "mazes"].map(PathBuf::from).into(),
            untrained: untrained.collect(),
            published: Some((Config::released(), size)),
        }
    }
}

/// A world of this network for pictures of a size.
fn settings(model: &ModelConfig, width: usize, height: usize) -> WorldConfig {
    WorldConfig {
        title: "Untrained".to_owned(),
        description: "Random weights.".to_owned(),
        credits: Vec::new(),
        width,
        height,
        fps: 17.5,
        schedule: "td_f16k4f4k2f5k1_g1".to_owned(),
        time_weight: 0.3,
        place_weight: WorldConfig::PLACE_WEIGHT,
        evaluations: 4,
        evaluations_on_map: None,
        shortcut: false,
        guidance: 0.0,
        forcing: false,
        layout: ActionLayout { turn_degrees: 15.0, pitch_degrees: 0.0, buttons: Vec::new() },
        codec: CodecConfig { channels: model.channels, ..CodecConfig::base() },
        model: ModelConfig { height: height / 8, width: width / 8, ..model.clone() },
    }
}

/// What was measured, or why not.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome<T> {
    /// The figures.
    Measured(T),
    /// What went wrong.
    Failed(String),
}

impl<T> From<Result<T>> for Outcome<T> {
    fn from(result: Result<T>) -> Self {
        result.map_or_else(|error| Self::Failed(format!("{error:#}")), Self::Measured)
    }
}

/// A world's speed.
#[derive(Clone, Debug, Serialize)]
pub struct WorldSpeed {
    /// Which world.
    pub name: String,
    /// Its stages.
    pub outcome: Outcome<SpeedReport>,
    /// The same where the evaluations of a section are one captured graph.
    pub at_once: Outcome<SpeedReport>,
}

/// A published network's speed.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PublishedSpeed {
    /// What was made.
    pub section: SectionSize,
    /// What one evaluation takes, in seconds, the fastest of a few.
    pub evaluation_seconds: f64,
    /// What a section takes, counted from that.
    pub section_seconds: f64,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceReport {
    /// What it was measured on.
    pub device: String,
    /// Whether it computes what the CPU does.
    pub agreement: Outcome<Vec<Agreement>>,
    /// Worlds, trained and untrained.
    pub worlds: Vec<WorldSpeed>,
    /// A published network, where one was asked for.
    pub published: Option<Outcome<PublishedSpeed>>,
    /// A table of the larger networks in PyTorch beside ours, where one was asked for.
    pub rival: Option<Outcome<String>>,
}

/// The larger networks in PyTorch.
const RIVAL: &str = include_str!("../../examples/rival_cuda.py");

/// Measures the first CUDA GPU and writes both files.
///
/// # Errors
/// When there is none, when it does not compute what the CPU does, or the files cannot be written.
pub fn run(args: &DeviceArgs, clock: &Clock) -> Result<DeviceReport> {
    let device = engine::device::cuda()
        .map_err(|reason| anyhow::anyhow!("there is no CUDA device to measure: {reason}"))?;
    let mut plan = Plan::whole();
    if args.no_published {
        plan.published = None;
    }
    let mut report =
        measure(&device, &plan, args.sections, clock, |so_far| so_far.write(&args.out))?;
    if let Some(python) = &args.rival {
        report.rival = Some(rival(python, &args.out).into());
        report.write(&args.out)?;
    }
    report.check()?;
    Ok(report)
}

/// Measures a device. `keep` is given what is known after each part: a run may be cut off.
///
/// # Errors
/// When it cannot be kept.
pub fn measure(
    device: &Device,
    plan: &Plan,
    sections: u32,
    clock: &Clock,
    keep: impl Fn(&DeviceReport) -> Result<()>,
) -> Result<DeviceReport> {
    let speed = |name: String, world: Result<World>| {
        eprintln!("measuring {name}");
        let world = world.map(Arc::new);
        let [outcome, at_once] = [false, true].map(|at_once| match &world {
            Ok(world) => {
                let options = DreamOptions { at_once, ..DreamOptions::default() };
                speed::measure(world, &options, sections, clock).into()
            }
            Err(error) => Outcome::Failed(format!("{error:#}")),
        });
        WorldSpeed { name, outcome, at_once }
    };
    let mut report = DeviceReport {
        device: engine::device::name(device),
        agreement: agreement(device, |what| eprintln!("comparing {what}"))
            .map_err(anyhow::Error::from)
            .into(),
        worlds: Vec::new(),
        published: None,
        rival: None,
    };
    keep(&report)?;
    for name in &plan.worlds {
        let open = |dir: PathBuf| Ok(World::open(&dir, device, |_| ())?);
        let world = worlds::find(name).and_then(open);
        report.worlds.push(speed(name.display().to_string(), world));
        keep(&report)?;
    }
    for (name, config) in &plan.untrained {
        let world = untrained::world(config.clone(), device).map_err(Into::into);
        report.worlds.push(speed(name.clone(), world));
        keep(&report)?;
    }
    if let Some((config, size)) = &plan.published {
        report.published = Some(published(config, *size, device, clock).into());
        keep(&report)?;
    }
    Ok(report)
}

/// What PyTorch says of the networks of a report that lies in `dir`.
fn rival(python: &Path, dir: &Path) -> Result<String> {
    eprintln!("measuring PyTorch");
    let script = dir.join("rival_cuda.py");
    std::fs::write(&script, RIVAL).with_context(|| format!("write {}", script.display()))?;
    let output = Command::new(python)
        .args([&script, &dir.join("device.json")])
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("run {}", python.display()))?;
    ensure!(output.status.success(), "{} failed: {}", python.display(), output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn published(
    config: &Config,
    size: SectionSize,
    device: &Device,
    clock: &Clock,
) -> Result<PublishedSpeed> {
    eprintln!("measuring HunyuanVideo's network");
    let section = Section::new(config, size, device)?;
    section.evaluate()?;
    let mut best = Duration::MAX;
    for _ in 0..TRIES {
        let began = clock.now();
        section.evaluate()?;
        best = best.min(clock.now().saturating_sub(began));
    }
    let evaluation_seconds = best.as_secs_f64();
    let section_seconds = f64::from(EVALUATIONS) * evaluation_seconds;
    Ok(PublishedSpeed { section: size, evaluation_seconds, section_seconds })
}

impl DeviceReport {
    /// Writes `device.json` and `device.md` into a folder.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        let json = serde_json::to_string_pretty(self)? + "\n";
        for (name, text) in [("device.json", json), ("device.md", self.table())] {
            let path = dir.join(name);
            std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }

    /// Fails where the device does not compute what the CPU does.
    ///
    /// # Errors
    /// Names what does not agree.
    pub fn check(&self) -> Result<()> {
        let agreement = match &self.agreement {
            Outcome::Measured(agreement) => agreement,
            Outcome::Failed(reason) => anyhow::bail!("the device could not be compared: {reason}"),
        };
        let off = agreement.iter().filter(|part| !part.holds()).map(|part| part.what);
        let off: Vec<_> = off.collect();
        ensure!(
            off.is_empty(),
            "the device does not compute what the CPU does: {}",
            off.join(", ")
        );
        Ok(())
    }

    /// All of it in Markdown.
    pub fn table(&self) -> String {
        let mut text = format!("# {}\n\n## Agreement with the CPU\n\n", self.device);
        match &self.agreement {
            Outcome::Measured(parts) => {
                text += "| what | off by | allowed | because | |\n|---|---|---|---|---|\n";
                for part in parts {
                    let Agreement { what, off, tolerance, reason } = part;
                    let verdict = if part.holds() { "agrees" } else { "**does not agree**" };
                    let _ = writeln!(
                        text,
                        "| {what} | {off:.1e} | {tolerance:.0e} | {reason} | {verdict} |"
                    );
                }
            }
            Outcome::Failed(reason) => {
                let _ = writeln!(text, "failed: {reason}");
            }
        }
        for WorldSpeed { name, outcome, at_once } in &self.worlds {
            let _ = writeln!(text, "\n## {name}");
            for (how, outcome) in [("", outcome), ("As one captured graph:\n\n", at_once)] {
                let _ = match outcome {
                    Outcome::Measured(report) => write!(text, "\n{how}{}", report.table()),
                    Outcome::Failed(reason) => writeln!(text, "\n{how}failed: {reason}"),
                };
            }
        }
        if let Some(published) = &self.published {
            text += "\n## HunyuanVideo's network with packed history\n\n";
            let _ = match published {
                Outcome::Measured(speed) => {
                    let PublishedSpeed { section, evaluation_seconds, section_seconds } = speed;
                    let SectionSize { frames, height, width, .. } = section;
                    writeln!(
                        text,
                        "{evaluation_seconds:.3} s an evaluation, {section_seconds:.1} s a section of {frames} latent frames of {width}x{height} cells in {EVALUATIONS} evaluations, without encoders and decoder"
                    )
                }
                Outcome::Failed(reason) => writeln!(text, "failed: {reason}"),
            };
        }
        if let Some(rival) = &self.rival {
            let (Outcome::Measured(said) | Outcome::Failed(said)) = rival;
            let _ = write!(text, "\n## In PyTorch\n\n{said}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_has_the_sizes_that_it_says() {
        let plan = Plan::whole();
        assert_eq!((plan.worlds.len(), plan.untrained.len()), (2, 4));
        for (name, config) in &plan.untrained {
            let ModelConfig { dim, depth, condition, height, width, .. } = config.model;
            let weights = depth * (12 * dim * dim + 6 * dim * condition);
            let said = if name.starts_with('1') { 100_000_000_f64 } else { 500_000_000.0 };
            assert!((weights as f64 / said - 1.0).abs() < 0.05, "{name}: {weights}");
            assert_eq!((8 * width, 8 * height), (config.width, config.height));
            assert!(width % 2 == 0 && height % 2 == 0, "whole tokens");
        }
    }

    #[test]
    fn what_fails_is_told_and_the_rest_goes_on() {
        let model = ModelConfig::tiny();
        let tiny = WorldConfig { codec: CodecConfig::tiny(), ..settings(&model, 64, 48) };
        let broken = WorldConfig { schedule: "none".to_owned(), ..tiny.clone() };
        let config = Config {
            in_channels: 4,
            num_attention_heads: 2,
            attention_head_dim: 16,
            num_layers: 1,
            num_single_layers: 1,
            num_refiner_layers: 1,
            text_embed_dim: 12,
            pooled_projection_dim: 8,
            rope_axes_dim: [4, 6, 6],
            image_proj_dim: 10,
            ..Config::released()
        };
        let size = SectionSize { frames: 2, height: 6, width: 8, words: 3, views: 2 };
        let plan = Plan {
            worlds: vec!["no such world".into()],
            untrained: vec![("tiny".to_owned(), tiny), ("broken".to_owned(), broken)],
            published: Some((config, size)),
        };
        let kept = std::cell::Cell::new(0);
        let keep = |so_far: &DeviceReport| {
            assert_eq!(so_far.worlds.len(), kept.get().min(3), "after each");
            kept.set(kept.get() + 1);
            Ok(())
        };
        let report = measure(&Device::Cpu, &plan, 2, &Clock::real(), keep).unwrap();
        assert_eq!(kept.get(), 5, "agreement, three worlds, and a published network");
        report.check().unwrap();
        let outcomes: Vec<_> = report.worlds.iter().map(|world| &world.outcome).collect();
        assert!(matches!(
            outcomes[..],
            [Outcome::Failed(_), Outcome::Measured(_), Outcome::Failed(_)]
        ));
        assert!(matches!(report.worlds[1].at_once, Outcome::Measured(_)));
        assert!(matches!(report.published, Some(Outcome::Measured(_))));
        let dir = tempfile::tempdir().unwrap();
        report.write(dir.path()).unwrap();
        let text = std::fs::read_to_string(dir.path().join("device.md")).unwrap();
        for part in ["# the CPU", "| attend | 0.0e0 |", "| denoise |", "failed: ", "s a section"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        let json = std::fs::read_to_string(dir.path().join("device.json")).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["worlds"].is_array());

        let wrong = Agreement { what: "place", off: 1.0, tolerance: 1e-6, reason: "" };
        let report = DeviceReport { agreement: Outcome::Measured(vec![wrong]), ..report };
        assert!(report.check().unwrap_err().to_string().contains("place"));
        assert!(report.table().contains("does not agree"));
    }

    #[cfg(unix)]
    #[test]
    fn a_rival_is_given_the_script_and_the_report() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("device.json"), "a report").unwrap();
        let said = rival("cat".as_ref(), dir.path()).unwrap();
        assert!(said.starts_with(RIVAL) && said.ends_with("a report"));
        let reason = rival("false".as_ref(), dir.path()).unwrap_err().to_string();
        assert!(reason.contains("false failed"), "{reason}");
        assert!(rival("no such program".as_ref(), dir.path()).is_err());
    }
}
