//! `oneiro train world`.

use super::going::{Trainer, go_on};
use super::{TrainConfig, WorldArgs, episode_paths, export, kept_name, picture, picture_size};
use crate::hash::file_sha256;
use anyhow::{Context as _, Result, bail, ensure};
use engine::adapter::AdapterConfig;
use engine::atlas::Atlas;
use engine::codec::Codec;
use engine::dreamer::{DreamOptions, Dreamer};
use engine::model::{HistoryAttention, ModelConfig};
use engine::train::{Checkpoint, LatentEpisode, WorldTrainer};
use engine::video::{Video, VideoOptions};
use engine::world::{World, WorldConfig};
use indicatif::{ProgressBar, ProgressIterator as _, ProgressStyle};
use input::{ActionLayout, Episode, Recording};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Frames that the codec encodes together.
const ENCODED_AT_ONCE: usize = 32;

/// Retrieved frames whose places are told where training makes an atlas: all that the default schedule has room for.
const BEARINGS: usize = 4;

/// Ending of the files of latents: those of earlier builds, without places, have another.
const KEPT_AS: &str = "placed.safetensors";

/// Frames of history and of dream in a strip.
const STRIP: (usize, usize) = (26, 32);

/// Trains until the last step, however often it is stopped on the way.
pub(super) fn train(args: &WorldArgs) -> Result<()> {
    let common = &args.common;
    let mut config = TrainConfig::read(common)?;
    let (device, notice) = engine::device::best();
    if let Some(notice) = notice {
        eprintln!("{notice}");
    }
    let paths = episode_paths(&common.episodes)?;
    let layout = match paths.first() {
        Some(first) => Recording::open(first)?.layout,
        None => bail!("expected recorded play"),
    };
    let base = Base::read(common.from.as_deref())?;
    let codec = base.settle(&mut config, args.codec.as_deref())?;
    let features = layout.feature_count();
    ensure!(
        base.config.is_none() || config.model.action == features,
        "expected actions of {} numbers as the world in --from has, got {features}: {}",
        config.model.action,
        paths[0].display()
    );
    config.model.action = features;
    config.world_training.check(&config.model)?;
    let opened = Codec::open(&config.codec, &codec, &device)?;
    // Of other codecs' latents those that are read nothing can be made.
    let latents_dir = common.out.join("latents").join(&file_sha256(&codec)?[..16]);
    std::fs::create_dir_all(&latents_dir)
        .with_context(|| format!("create {}", latents_dir.display()))?;
    let episodes = encoded(&paths, &layout, &opened, &config.model, &latents_dir)?;
    let surveyed = if layout.turn_degrees > 0.0 {
        Atlas::survey(&episodes, config.world_training.atlas)
    } else {
        Err("nothing tells how far a turn goes")
    };
    let atlas = match surveyed {
        Ok(atlas) => {
            let atlas = with_scenery(atlas, &paths, &config.model, &opened)?;
            // An adapter leaves what is told as it is.
            if args.adapter.is_none() {
                config.model.bearings = config.model.bearings.max(BEARINGS);
                config.model.rendering |= atlas.scenery.is_some();
            }
            Some(atlas)
        }
        Err(why) => {
            eprintln!("no atlas: {why}");
            None
        }
    };
    let mut training = config.world_training.clone();
    training.steps = common.steps.unwrap_or(training.steps);
    let (steps, minutes) = (training.steps, common.checkpoint_minutes);
    let from = base.weights.as_deref().map(|path| engine::train::load_weights(path, &device));
    let from = from.transpose()?;
    let mut trainer = match (args.adapter, from) {
        (Some(rank), Some(weights)) => {
            let alpha = f32::from(rank);
            let adapter = AdapterConfig { rank: rank.into(), alpha, seed: training.seed };
            WorldTrainer::adapting(&config.model, training, episodes, weights, adapter, &device)?
        }
        (_, from) => WorldTrainer::new(&config.model, training, episodes, from, &device)?,
    };
    if let Some(atlas) = atlas {
        trainer.chart(atlas, &opened);
    }
    let checkpoint = common.out.join("world.checkpoint.safetensors");
    let mut trained = Trained { trainer, args, config, base: base.config, codec, paths };
    go_on(&mut trained, (&checkpoint, &device), steps, minutes)
}

/// An atlas with the pictures of its views, and what stands where if a camera is found.
fn with_scenery(
    mut atlas: Atlas,
    paths: &[PathBuf],
    model: &ModelConfig,
    codec: &Codec,
) -> Result<Atlas> {
    eprintln!("an atlas of {} views", atlas.views.len());
    take_pictures(&mut atlas, paths, model)?;
    atlas.fit_scenery(codec, model)?;
    match &atlas.scenery {
        Some(scenery) => eprintln!("{}", scenery.camera()),
        None => eprintln!("no scenery: no camera over level ground explains the views"),
    }
    Ok(atlas)
}

/// A world in training, with where it comes from and goes to.
struct Trained<'a> {
    trainer: WorldTrainer,
    args: &'a WorldArgs,
    config: TrainConfig,
    base: Option<WorldConfig>,
    codec: PathBuf,
    paths: Vec<PathBuf>,
}

impl Trainer for Trained<'_> {
    fn steps(&self) -> u32 {
        self.trainer.steps()
    }

    fn step(&mut self) -> Result<(f32, usize)> {
        let step = self.trainer.step()?;
        Ok((step.loss, step.frames))
    }

    fn checkpoint(&self) -> Result<Checkpoint> {
        Ok(self.trainer.checkpoint()?)
    }

    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        Ok(self.trainer.restore(checkpoint)?)
    }

    /// The world's folder, and real frames above dreamed ones.
    fn save(&mut self) -> Result<String> {
        let common = &self.args.common;
        let world = common.out.join(crate::worlds::TRAINED);
        let settings = (&self.config, self.base.as_ref());
        export::world(&world, settings, &self.trainer, &self.codec, &self.paths)?;
        let shown = self.args.held_out.as_deref().unwrap_or(&common.episodes);
        let strip = common.out.join(format!("strip_{:06}.png", self.steps()));
        let drawn = draw_strip(&world, shown, &strip, picture_size(&self.config.model)?)?;
        Ok(if drawn { strip } else { world }.display().to_string())
    }
}

/// What a training starts from.
#[derive(Default)]
struct Base {
    weights: Option<PathBuf>,
    /// Settings and folder, where it is a world.
    config: Option<WorldConfig>,
    codec: Option<PathBuf>,
}

impl Base {
    /// `from`: a file of weights, a world's folder, or the name of one that came with the program.
    fn read(from: Option<&Path>) -> Result<Self> {
        let Some(from) = from else { return Ok(Self::default()) };
        if from.is_file() || from.extension().is_some_and(|it| it == "safetensors") {
            return Ok(Self { weights: Some(from.to_owned()), ..Self::default() });
        }
        let from = crate::worlds::find(from)?;
        let path = from.join("world.toml");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let config = toml::from_str(&text).with_context(|| format!("read {}", path.display()))?;
        Ok(Self {
            weights: Some(from.join("model.safetensors")),
            config: Some(config),
            codec: Some(from.join("codec.safetensors")),
        })
    }

    /// Brings the sizes of a training to those of the world, and its teaching to what the world knows already; answers
    /// where the codec is.
    fn settle(&self, config: &mut TrainConfig, codec: Option<&Path>) -> Result<PathBuf> {
        if let Some(world) = &self.config {
            config.codec = world.codec.clone();
            config.model = world.model.clone();
            let training = &mut config.world_training;
            training.guidance = world.guidance;
            training.rollout_from = 0;
            training.shortcut_from = 0;
            if !world.shortcut {
                training.shortcut_share = 0.0;
            }
        }
        let codec = codec.map(Path::to_owned).or_else(|| self.codec.clone());
        codec.context("expected --codec, or a world's folder in --from")
    }
}

/// The episodes' latents, each encoded once and kept in `dir`; all have to have actions of this layout.
fn encoded(
    paths: &[PathBuf],
    layout: &ActionLayout,
    codec: &Codec,
    model: &ModelConfig,
    dir: &Path,
) -> Result<Vec<LatentEpisode>> {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} episodes encoded, {eta} left")?;
    let bar = ProgressBar::new(paths.len() as u64).with_style(style);
    let mut episodes = Vec::with_capacity(paths.len());
    for path in paths.iter().progress_with(bar) {
        let kept = dir.join(kept_name(path)).with_extension(KEPT_AS);
        if kept.exists() {
            episodes.push(LatentEpisode::load(&kept)?);
            continue;
        }
        let recording = Recording::open(path)?;
        ensure!(
            recording.layout == *layout,
            "expected the actions of {}, got {:?} instead of {layout:?}: {}",
            paths[0].display(),
            recording.layout,
            path.display()
        );
        let latents = encode(recording, codec, model)?;
        latents.save(&kept, (model.channels, model.height, model.width))?;
        episodes.push(latents);
    }
    Ok(episodes)
}

/// A recording's latents, encoded as its pictures are read.
fn encode(recording: Recording, codec: &Codec, model: &ModelConfig) -> Result<LatentEpisode> {
    let (width, height) = picture_size(model)?;
    let mut recording = recording.resized(width, height);
    let (mut parts, mut part, mut frames) = (Vec::new(), Vec::new(), 0);
    loop {
        let frame = recording.next().transpose()?;
        let ended = frame.is_none();
        if let Some(frame) = frame {
            part.extend(frame.pixels);
            frames += 1;
        }
        if !part.is_empty() && (ended || frames % ENCODED_AT_ONCE == 0) {
            parts.push(codec.encode(&part, 8 * model.height, 8 * model.width)?);
            part.clear();
        }
        if ended {
            break;
        }
    }
    ensure!(frames > 0, "expected at least one frame: {}", recording.source);
    let actions = recording.actions.iter().take(frames);
    let actions = actions.flat_map(|action| action.to_features(&recording.layout)).collect();
    let latents = LatentEpisode::from_parts(&parts, actions, model.action)?;
    let Some(poses) = recording.poses else { return Ok(latents) };
    let pose = |pose: &input::Pose| memory::Pose { x: pose.x, y: pose.y, yaw: pose.yaw };
    Ok(latents.with_poses(poses.iter().take(frames).map(pose).collect())?)
}

/// Takes the pictures of an atlas's views out of the recordings that it was made of.
fn take_pictures(atlas: &mut Atlas, paths: &[PathBuf], model: &ModelConfig) -> Result<()> {
    let size = picture_size(model)?;
    let seen_from = atlas.by_place();
    let style =
        ProgressStyle::with_template("{bar:30} {pos}/{len} episodes looked at, {eta} left")?;
    let bar = ProgressBar::new(paths.len() as u64).with_style(style);
    for path in paths.iter().progress_with(bar) {
        let mut recording = Recording::open(path)?.resized(size.0, size.1);
        let poses = recording.poses.take().unwrap_or_default();
        for pose in poses {
            let Some(frame) = recording.next().transpose()? else { break };
            let pose = memory::Pose { x: pose.x, y: pose.y, yaw: pose.yaw };
            // Who stands still sees the same again.
            if let Some(number) = seen_from(pose)
                && atlas.views[number].picture.is_none()
            {
                let size = (8 * model.width, 8 * model.height);
                atlas.take_picture(number, &frame.pixels, size)?;
            }
        }
    }
    Ok(())
}

/// Real frames above, dreamed ones below, from the first episode of `dir` that is long enough; answers whether one is.
fn draw_strip(world: &Path, dir: &Path, out: &Path, (width, height): (u32, u32)) -> Result<bool> {
    let (before, count) = STRIP;
    let world = Arc::new(World::open(world, &engine::device::Device::Cpu, |_| ())?);
    for path in episode_paths(dir)? {
        let recording = Recording::open(&path)?;
        if recording.actions.len() < before + count {
            continue;
        }
        let episode = recording.resized(width, height).into_part(0..before + count)?;
        if episode.len() < before + count {
            continue;
        }
        let dreamed = match world.config.model.history {
            HistoryAttention::Own => walked(&world, &episode)?,
            // It cannot be played.
            HistoryAttention::Causal => filmed(&world, &episode)?,
        };
        let shown = (before..before + count).step_by(4);
        let rows = [
            shown.map(|t| episode.frame(t)).collect(),
            dreamed.iter().step_by(4).map(Vec::as_slice).collect(),
        ];
        picture::write_strip(out, &rows, (episode.width, episode.height))?;
        return Ok(true);
    }
    Ok(false)
}

/// The frames of a strip as play dreams them.
fn walked(world: &Arc<World>, episode: &Episode) -> Result<Vec<Vec<u8>>> {
    let (before, count) = STRIP;
    let mut dreamer = Dreamer::new(Arc::clone(world), DreamOptions::default())?;
    let history: Vec<&[u8]> = (0..before).map(|t| episode.frame(t)).collect();
    let poses = episode.poses.as_ref().map_or(&[][..], |poses| &poses[..before]);
    dreamer.open_on_map(&history, &episode.actions[..before], poses)?;
    let mut dreamed = Vec::with_capacity(count);
    for t in before..before + count {
        dreamed.extend(dreamer.section(&episode.actions[t..=t])?);
    }
    Ok(dreamed)
}

/// The same as a video.
fn filmed(world: &Arc<World>, episode: &Episode) -> Result<Vec<Vec<u8>>> {
    let (before, count) = STRIP;
    let (known, frames) = (u32::try_from(before)?, u32::try_from(before + count)?);
    let options = VideoOptions::new(world.schedule.clone(), 0);
    let mut video = Video::new(Arc::clone(world), frames, options)?;
    for (at, t) in (0..frames).zip(0..) {
        video.tell(at, &episode.actions[t])?;
        if at < known {
            video.give(at, episode.frame(t))?;
        }
    }
    (known..frames).try_for_each(|at| video.make(at..at + 1).map(|_| ()))?;
    let picture = |at| video.picture(at)?.context("every frame was made");
    (known..frames).map(picture).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::device::Device;
    use engine::train::{CodecTrainer, save_weights};
    use input::{Buttons, Policy, simulate, write_npz};

    #[test]
    fn a_training_starts_from_a_world_by_folder_or_name_or_from_a_file_of_weights() {
        let read = |from: &str| Base::read(Some(Path::new(from)));
        let shipped = read("mazes").unwrap();
        assert!(shipped.config.is_some_and(|config| config.title == "Mazes"));
        let weights = shipped.weights.unwrap();
        let file = Base::read(Some(&weights)).unwrap();
        assert!(file.weights == Some(weights) && file.config.is_none() && file.codec.is_none());
        // That it is missing is said where it is opened.
        assert!(read("missing.safetensors").unwrap().weights.is_some());
        let error = read("nowhere").err().unwrap().to_string();
        assert!(error.contains("mazes; got nowhere"), "{error}");
    }

    #[test]
    fn pictures_are_those_of_the_frames_that_became_views() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("walk.npz");
        let episode = simulate(3, 40, Policy::Explore, (64, 48), 17.5);
        write_npz(&episode, &path).unwrap();
        let view = |pose: memory::Pose| engine::atlas::View {
            latent: [].into(),
            picture: None,
            action: [].into(),
            pose,
        };
        let motion = engine::atlas::Motion {
            step: 0.14,
            momentum: 0.0,
            ticks: 1,
            faster_aslant: false,
            slowed_by_walls: false,
        };
        let seen = episode.poses.as_ref().unwrap()[20];
        let seen = motion.in_steps(memory::Pose { x: seen.x, y: seen.y, yaw: seen.yaw });
        let views = vec![view(seen), view(memory::Pose { x: seen.x + 900.0, ..seen })];
        let ground = Arc::new(engine::atlas::Ground::under([]));
        let mut atlas = Atlas { views, motion, ground, scenery: None };
        take_pictures(&mut atlas, &[path], &ModelConfig::tiny()).unwrap();
        let taken = atlas.views[0].picture.clone();
        assert!(taken.is_some() && atlas.views[1].picture.is_none());
        atlas.take_picture(0, episode.frame(20), (64, 48)).unwrap();
        assert_eq!(taken, atlas.views[0].picture);
    }

    #[test]
    fn actions_and_their_layout_come_from_the_data_and_pictures_at_the_models_size() {
        let config: TrainConfig =
            toml::from_str(include_str!("../../assets/configs/tiny.toml")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let paths = ["plain", "pressed"].map(|name| dir.path().join(format!("{name}.npz")));
        let mut episode = simulate(3, 40, Policy::Explore, (128, 96), 17.5);
        write_npz(&episode, &paths[0]).unwrap();
        episode.layout.buttons = vec!["jump".to_owned()];
        episode.actions[7].buttons = Buttons(1);
        write_npz(&episode, &paths[1]).unwrap();

        let pictures = vec![Episode::open_sized(&paths[0], 64, 48).unwrap()];
        let training = config.codec_training.clone();
        let mut trainer =
            CodecTrainer::new(&config.codec, training, pictures, None, &Device::Cpu).unwrap();
        trainer.step().unwrap();
        let weights = dir.path().join("codec.safetensors");
        save_weights(&trainer.finish().unwrap(), &weights).unwrap();
        let codec = Codec::open(&config.codec, &weights, &Device::Cpu).unwrap();

        let model = ModelConfig { action: 5, ..config.model };
        let latents = encoded(&paths[1..], &episode.layout, &codec, &model, dir.path()).unwrap();
        assert_eq!(latents[0].frames(), 40);
        for t in [6, 7] {
            let wanted = episode.actions[t].to_features(&episode.layout);
            assert_eq!(latents[0].action(t), wanted);
        }
        assert_eq!(latents[0].action(7)[4], 1.0);
        let error = encoded(&paths, &episode.layout, &codec, &model, dir.path()).unwrap_err();
        assert!(error.to_string().ends_with("plain.npz"), "{error}");
    }
}
