//! Trained weights as a world's folder.

use super::{TrainConfig, picture_size};
use anyhow::{Context as _, Result, bail};
use engine::train::{WorldTrainer, save_half};
use engine::world::WorldConfig;
use input::{Episode, Recording};
use std::path::{Path, PathBuf};

/// Real frames a world opens with: more than the default schedule sees.
const OPENING_FRAMES: usize = 32;
/// Openings of a world.
const OPENINGS: usize = 4;

/// Makes `dir` a world of its own: settings, weights in f16, and openings from `episodes`.
///
/// Settings and openings that are there already are left as they are, but for what the network is to be
/// told: its step size and bearings.
pub(super) fn world(
    dir: &Path,
    (config, base): (&TrainConfig, Option<&WorldConfig>),
    trainer: &WorldTrainer,
    codec: &Path,
    episodes: &[PathBuf],
) -> Result<()> {
    let (width, height) = picture_size(&config.model)?;
    let starts = dir.join("starts");
    std::fs::create_dir_all(&starts).with_context(|| format!("create {}", starts.display()))?;
    let Some(first) = episodes.first() else { bail!("expected episodes to take openings from") };
    if input::episodes_in(&starts)?.is_empty() {
        let every = (episodes.len() / OPENINGS).max(1);
        for (number, path) in episodes.iter().step_by(every).take(OPENINGS).enumerate() {
            let opening = opening(Recording::open(path)?.resized(width, height))?;
            input::write_npz(&opening, &starts.join(format!("start_{number:02}.npz")))?;
        }
    }
    let shortcut = trainer.knows_shortcuts() || base.is_some_and(|base| base.shortcut);
    settings(&dir.join("world.toml"), (config, base), first, shortcut)?;
    copy(codec, &dir.join("codec.safetensors"))?;
    let path = dir.join("atlas.safetensors");
    if let Some(atlas) = trainer.atlas() {
        atlas.save(&path, &config.model)?;
    } else if path.exists() {
        std::fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
    }
    save_half(&trainer.average()?, &dir.join("model.safetensors"))?;
    Ok(())
}

/// Writes a world's settings, or what the network is told where they are there already.
fn settings(
    path: &Path,
    (config, base): (&TrainConfig, Option<&WorldConfig>),
    episode: &Path,
    shortcut: bool,
) -> Result<()> {
    let mut settings = if path.exists() {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let settings: WorldConfig =
            toml::from_str(&text).with_context(|| format!("read {}", path.display()))?;
        if settings.shortcut == shortcut && settings.model == config.model {
            return Ok(());
        }
        let known = settings.model.rendering;
        let on_map = settings.evaluations_on_map.or(evaluations_on_map(config));
        WorldConfig {
            evaluations_on_map: if known { settings.evaluations_on_map } else { on_map },
            ..settings
        }
    } else {
        let new = describe(config, &Recording::open(episode)?)?;
        base.map_or(new.clone(), |base| adapted(base, new))
    };
    settings.shortcut = shortcut;
    settings.model = config.model.clone();
    let begun = path.with_extension("begun");
    std::fs::write(&begun, toml::to_string(&settings)?)
        .and_then(|()| std::fs::rename(&begun, path))
        .with_context(|| format!("write {}", path.display()))
}

/// Frames from the middle of a recording.
fn opening(recording: Recording) -> Result<Episode> {
    let all = recording.actions.len();
    let count = OPENING_FRAMES.min(all);
    let first = (all - count) / 2;
    Ok(recording.into_part(first..first + count)?)
}

/// Copies a file, unless it is there already, whole: a copy that is broken off leaves what was there.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let context = || format!("copy {} to {}", from.display(), to.display());
    let same = |a: &Path, b: &Path| Some(a.canonicalize().ok()? == b.canonicalize().ok()?);
    if same(from, to) == Some(true) {
        return Ok(());
    }
    let begun = to.with_extension("begun");
    std::fs::copy(from, &begun).with_context(context)?;
    std::fs::rename(&begun, to).with_context(context)
}

fn describe(config: &TrainConfig, episode: &Recording) -> Result<WorldConfig> {
    let (width, height) = picture_size(&config.model)?;
    Ok(WorldConfig {
        title: "A new world".to_owned(),
        description: format!("Trained on {}.", episode.source),
        credits: vec![episode.source.clone()],
        width: width as usize,
        height: height as usize,
        fps: episode.fps,
        schedule: engine::pack::Schedule::DEFAULT_NAME.to_owned(),
        time_weight: 0.3,
        place_weight: WorldConfig::PLACE_WEIGHT,
        evaluations: 4,
        evaluations_on_map: evaluations_on_map(config),
        shortcut: false,
        guidance: config.world_training.guidance,
        forcing: config.world_training.forcing.is_some(),
        layout: episode.layout.clone(),
        codec: config.codec.clone(),
        model: config.model.clone(),
    })
}

/// Warped views leave little to decide: in a simulated maze, 40 rollouts in one evaluation came as near to the game as in
/// four (frame 32: 22.9 and 22.6 dB), half as fast again.
fn evaluations_on_map(config: &TrainConfig) -> Option<u32> {
    config.model.rendering.then_some(1)
}

/// The settings of a world that was brought to the play that `new` describes.
fn adapted(base: &WorldConfig, new: WorldConfig) -> WorldConfig {
    let mut credits = base.credits.clone();
    credits.extend(new.credits.into_iter().filter(|credit| !base.credits.contains(credit)));
    WorldConfig {
        title: format!("{}, adapted", base.title),
        description: format!("{} Adapted: {}", base.description, new.description),
        credits,
        fps: new.fps,
        layout: new.layout,
        evaluations_on_map: base.evaluations_on_map.or(new.evaluations_on_map),
        ..base.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::model::ModelConfig;
    use input::Policy;

    #[test]
    fn a_world_that_is_trained_on_in_its_own_folder_keeps_its_codec() {
        let dir = tempfile::tempdir().unwrap();
        let [codec, other] = ["codec.safetensors", "other"].map(|name| dir.path().join(name));
        std::fs::write(&codec, "weights").unwrap();
        copy(&codec, &dir.path().join(".").join("codec.safetensors")).unwrap();
        copy(&codec, &other).unwrap();
        for path in [codec, other] {
            assert_eq!(std::fs::read_to_string(path).unwrap(), "weights");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn openings_are_the_middle_of_a_recording() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.npz");
        let episode = input::simulate(3, 40, Policy::Explore, (32, 24), 17.5);
        input::write_npz(&episode, &path).unwrap();
        let opening = opening(Recording::open(&path).unwrap()).unwrap();
        assert_eq!((opening.len(), opening.frame(0)), (32, episode.frame(4)));
        assert_eq!(opening.actions, episode.actions[4..36]);
        assert_eq!(opening.poses.unwrap(), episode.poses.unwrap()[4..36]);
    }

    #[test]
    fn settings_stay_but_for_the_shortcuts_that_a_training_has_taught() {
        let mut config: TrainConfig =
            toml::from_str(include_str!("../../assets/configs/tiny.toml")).unwrap();
        config.model.bearings = 3;
        let dir = tempfile::tempdir().unwrap();
        let (path, episode) = (dir.path().join("world.toml"), dir.path().join("e.npz"));
        let simulated = input::simulate(3, 40, Policy::Explore, (64, 48), 17.5);
        input::write_npz(&simulated, &episode).unwrap();
        let write = |shortcut| {
            settings(&path, (&config, None), &episode, shortcut).unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            toml::from_str::<WorldConfig>(&text).unwrap()
        };
        let young = write(false);
        assert!(!young.shortcut);
        assert_eq!(young.evaluations_on_map, None, "nothing is rendered");
        let named = WorldConfig { title: "Mine".to_owned(), ..young };
        std::fs::write(&path, toml::to_string(&named).unwrap()).unwrap();
        assert_eq!(write(false), named);
        assert_eq!(write(true), WorldConfig { shortcut: true, ..named.clone() });
        assert_eq!(named.model.bearings, 3);
        let untold = ModelConfig { bearings: 0, ..named.model.clone() };
        let untold = toml::to_string(&WorldConfig { model: untold, ..named.clone() }).unwrap();
        std::fs::write(&path, untold).unwrap();
        assert_eq!(write(false), named, "told again");
        let rendering = ModelConfig { rendering: true, ..config.model.clone() };
        let shown = TrainConfig { model: rendering, ..config.clone() };
        let read = || {
            let text = std::fs::read_to_string(&path).unwrap();
            toml::from_str::<WorldConfig>(&text).unwrap()
        };
        settings(&path, (&shown, None), &episode, false).unwrap();
        assert_eq!(read().evaluations_on_map, Some(1), "it has learnt to be shown a map");
        std::fs::remove_file(&path).unwrap();
        settings(&path, (&shown, Some(&named)), &episode, false).unwrap();
        assert_eq!(read().evaluations_on_map, Some(1), "another world has");
        // A world brought to this play keeps what is not of the play.
        std::fs::remove_file(&path).unwrap();
        let base = WorldConfig { fps: 35.0, evaluations: 7, time_weight: 0.9, ..named };
        settings(&path, (&config, Some(&base)), &episode, false).unwrap();
        let adapted = read();
        assert_eq!((adapted.fps, adapted.evaluations, adapted.time_weight), (17.5, 7, 0.9));
        assert_eq!(adapted.title, "Mine, adapted");
    }
}
