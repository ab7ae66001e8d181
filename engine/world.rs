//! A world: a folder of settings, weights, opening frames and, where its places are known, an atlas.

mod map;

use crate::atlas::Atlas;
use crate::codebook::{CODEBOOK, Codebook};
use crate::codec::{Codec, CodecConfig};
use crate::error::Error;
use crate::model::{ModelConfig, WorldModel};
use crate::pack::Schedule;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use half::f16;
use input::{ActionLayout, Episode};
use memory::Ranking;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// What `world.toml` says.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct WorldConfig {
    /// Name for people.
    pub title: String,
    /// One sentence about it.
    pub description: String,
    /// Who made what it was trained on.
    pub credits: Vec<String>,
    /// Picture width in pixels.
    pub width: usize,
    /// Picture height in pixels.
    pub height: usize,
    /// Frames a second of the recorded play.
    pub fps: f32,
    /// Packing schedule, such as `td_f16k4f4k2f5k1_g1`.
    pub schedule: String,
    /// Weight of nearness in time in the ranking, `λ_time`.
    pub time_weight: f32,
    /// Weight of nearness in place in the ranking, `λ_place`.
    #[serde(default = "WorldConfig::place_weight")]
    pub place_weight: f32,
    /// Evaluations per section unless the player asks for others.
    pub evaluations: u32,
    /// The same for walks that are shown what an atlas shows: it leaves the network less to find. `None` for as many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluations_on_map: Option<u32>,
    /// Whether the network was trained to be told its step size.
    #[serde(default)]
    pub shortcut: bool,
    /// How far actions are led on beyond what the network makes of them: see [`sample`](crate::sampler::sample).
    #[serde(default)]
    pub guidance: f32,
    /// Whether the network was trained to be told how much noise history has (diffusion forcing).
    #[serde(default, skip_serializing_if = "is_false")]
    pub forcing: bool,
    /// What actions mean.
    pub layout: ActionLayout,
    /// Sizes of the codec.
    pub codec: CodecConfig,
    /// Sizes of the network.
    pub model: ModelConfig,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl WorldConfig {
    /// `λ_place` where nothing else is known: with 2, a view that comes back outweighs likeness. In mazes 1 and
    /// 4 did about as well.
    pub const PLACE_WEIGHT: f32 = 2.0;

    fn place_weight() -> f32 {
        Self::PLACE_WEIGHT
    }

    /// How history is ranked in play.
    pub fn ranking(&self) -> Ranking {
        let Self { time_weight, place_weight, .. } = *self;
        Ranking::Reckoned { time_weight, place_weight }
    }
}

/// A world, read and checked.
#[derive(Debug)]
pub struct World {
    /// Settings.
    pub config: WorldConfig,
    /// The schedule, parsed.
    pub schedule: Schedule,
    /// Pictures to latents and back.
    pub codec: Codec,
    /// The network.
    pub model: WorldModel,
    /// What history is discretized by under a schedule with `+D`; absent in worlds not trained for it.
    pub codebook: Option<Codebook>,
    /// Views of recorded play with their places; absent where the play told none.
    pub atlas: Option<Atlas>,
    /// Recorded openings, at least one.
    pub starts: Vec<Episode>,
    /// SHA-256 of both files of weights and of the atlas, one after the other, in hex: what memory and sessions are bound to.
    pub hash: String,
    /// Where the weights are.
    pub device: Device,
}

/// Most bearings: as many as a schedule packs frames.
const BEARINGS_MAX: usize = 64;

/// Most guidance: beyond, pictures tear long before.
const GUIDANCE_MAX: f32 = 8.0;

/// Largest weights file that is read, 4 GiB.
const WEIGHTS_MAX_BYTES: u64 = 4 << 30;

impl World {
    /// Reads the world in `folder` onto `device`, telling `progress` what is being read.
    ///
    /// # Errors
    /// A file is missing, damaged, or does not fit the others; the message names it.
    pub fn open(
        folder: &Path,
        device: &Device,
        mut progress: impl FnMut(&str),
    ) -> Result<Self, Error> {
        progress("reading world.toml");
        let path = folder.join("world.toml");
        let text = std::fs::read_to_string(&path).map_err(|source| Error::Read {
            what: "the world's settings",
            source,
            path: path.clone(),
        })?;
        let config: WorldConfig =
            toml::from_str(&text).map_err(|error| world_error(&path, error))?;
        let schedule = check(&config).map_err(|reason| Error::World { reason, path })?;
        progress("reading the codec");
        let mut hash = Sha256::new();
        let codec = read_weights(&folder.join("codec.safetensors"), device, &mut hash, |vb| {
            let mut codec = Codec::new(&config.codec, vb)?;
            codec.freeze()?;
            Ok(codec)
        })?;
        progress("reading the world model");
        let path = folder.join("model.safetensors");
        let (model, codebook) = read_weights(&path, device, &mut hash, |vb| {
            let mut model = WorldModel::new(&config.model, vb)?;
            model.freeze()?;
            Ok((model, read_codebook(&config.model, vb)?))
        })?;
        if schedule.is_discrete() && codebook.is_none() {
            return Err(world_error(
                &path,
                format!("{schedule} needs a codebook, which is not here"),
            ));
        }
        progress("reading the atlas");
        let path = folder.join("atlas.safetensors");
        let atlas = Atlas::load(&path, &config.model, |bytes| hash.update(bytes))?;
        progress("reading openings");
        let starts = read_starts(&folder.join("starts"), &config)?;
        let hash = format!("{:x}", hash.finalize());
        let device = device.clone();
        Ok(Self { config, schedule, codec, model, codebook, atlas, starts, hash, device })
    }

    /// The picture of a remembered latent, given by its 16-bit floats' bits: RGB, row by row.
    ///
    /// # Errors
    /// The latent has another size than the world's.
    pub fn picture(&self, latent: &[u16]) -> Result<Vec<u8>, Error> {
        let model = &self.config.model;
        if latent.len() != model.latent_len() {
            let expected = format!("{} latent values", model.latent_len());
            return Err(Error::Size { expected, got: latent.len().to_string() });
        }
        let values = latent.iter().map(|&bits| f16::from_bits(bits).to_f32()).collect();
        let shape = (1, model.channels, model.height, model.width);
        let latent = Tensor::from_vec::<_, f32>(values, shape, &Device::Cpu)?;
        Ok(self.codec.decode(&latent)?)
    }

    /// The latents of RGB pictures, (B, height, width, 3) bytes, one after another, each in 16-bit floats by
    /// their bits.
    ///
    /// # Errors
    /// The bytes are no whole number of pictures.
    pub fn latents(
        &self,
        frames: &[u8],
        height: usize,
        width: usize,
    ) -> Result<Vec<Arc<[u16]>>, Error> {
        let latents = self.codec.encode(frames, height, width)?.to_dtype(DType::F16)?;
        let values: Vec<f16> = latents.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?;
        let bits = |latent: &[f16]| latent.iter().map(|half| half.to_bits()).collect();
        Ok(values.chunks(self.config.model.latent_len()).map(bits).collect())
    }
}

fn world_error(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::World { reason: error.to_string().trim_end().to_owned(), path: path.to_owned() }
}

/// The schedule of settings that fit together.
pub(crate) fn check(config: &WorldConfig) -> Result<Schedule, String> {
    let schedule: Schedule =
        config.schedule.parse().map_err(|error| format!("schedule: {error}"))?;
    let kernels = schedule.forward_tiers().map_err(|error| format!("schedule: {error}"))?;
    for tier in kernels {
        if !config.model.kernels.contains(&tier.kernel.frames()) || !tier.kernel.is_simplified() {
            return Err(format!("expected a kernel among {:?}, got {tier}", config.model.kernels));
        }
    }
    let model = &config.model;
    model.check()?;
    if (8 * model.width, 8 * model.height) != (config.width, config.height) {
        let (width, height) = (8 * model.width, 8 * model.height);
        let got = (config.width, config.height);
        return Err(format!("expected pictures of {width}x{height}, got {}x{}", got.0, got.1));
    }
    if config.codec.channels != model.channels {
        let (want, got) = (model.channels, config.codec.channels);
        return Err(format!("expected a codec of {want} channels, got {got}"));
    }
    if config.layout.feature_count() != model.action {
        let (want, got) = (model.action, config.layout.feature_count());
        return Err(format!("expected a layout of {want} features, got {got}"));
    }
    if !config.layout.has_angles() {
        return Err("expected turn_degrees and pitch_degrees of 0 to 360".to_owned());
    }
    if model.bearings > BEARINGS_MAX {
        return Err(format!("expected at most {BEARINGS_MAX} bearings, got {}", model.bearings));
    }
    if !(1.0..=240.0).contains(&config.fps) {
        return Err(format!("expected 1 to 240 frames a second, got {}", config.fps));
    }
    if !(0.0..=GUIDANCE_MAX).contains(&config.guidance) {
        return Err(format!("expected a guidance of 0 to {GUIDANCE_MAX}, got {}", config.guidance));
    }
    let finite = config.time_weight.is_finite() && config.place_weight.is_finite();
    let evaluations = [Some(config.evaluations), config.evaluations_on_map];
    if !evaluations.iter().flatten().all(|count| (1..=64).contains(count)) || !finite {
        let expected = "expected 1 to 64 evaluations, a finite time_weight and place_weight";
        return Err(expected.to_owned());
    }
    Ok(schedule)
}

fn read_weights<T>(
    path: &Path,
    device: &Device,
    hash: &mut Sha256,
    build: impl FnOnce(&VarBuilder<'_>) -> candle_core::Result<T>,
) -> Result<T, Error> {
    let read = |source| Error::Read { what: "weights", source, path: path.to_owned() };
    let size = std::fs::metadata(path).map_err(read)?.len();
    if size > WEIGHTS_MAX_BYTES {
        return Err(world_error(
            path,
            format!("expected at most 4 GiB of weights, got {size} bytes"),
        ));
    }
    let bytes = std::fs::read(path).map_err(read)?;
    hash.update(&bytes);
    let tensors: HashMap<String, Tensor> = candle_core::safetensors::load_buffer(&bytes, device)
        .map_err(|error| world_error(path, in_one_line(&error)))?;
    let vb = VarBuilder::from_tensors(tensors, DType::F32, device);
    let built = build(&vb).map_err(|error| world_error(path, in_one_line(&error)))?;
    Ok(built)
}

/// What is wrong, without the way there, which follows it in lines of its own where `RUST_BACKTRACE` asks for it.
fn in_one_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// The codebook beside the network's weights, if there is one.
fn read_codebook(
    config: &ModelConfig,
    vb: &VarBuilder<'_>,
) -> candle_core::Result<Option<Codebook>> {
    if !vb.contains_tensor(CODEBOOK) {
        return Ok(None);
    }
    let codebook = Codebook::new(&vb.get_unchecked(CODEBOOK)?)?;
    if codebook.channels() != config.channels {
        let (want, got) = (config.channels, codebook.channels());
        candle_core::bail!("expected a codebook of {want} channels, got {got}");
    }
    Ok(Some(codebook))
}

fn read_starts(folder: &Path, config: &WorldConfig) -> Result<Vec<Episode>, Error> {
    let paths = input::episodes_in(folder)?;
    if paths.is_empty() {
        return Err(world_error(folder, "expected at least one opening (.npz)"));
    }
    let mut starts = Vec::with_capacity(paths.len());
    for path in paths {
        let episode = Episode::open(&path)?;
        let size = (episode.width as usize, episode.height as usize);
        if size != (config.width, config.height) || episode.is_empty() {
            let reason = format!(
                "expected frames of {}x{}, got {} of {}x{}",
                config.width,
                config.height,
                episode.len(),
                size.0,
                size.1
            );
            return Err(Error::World { reason, path });
        }
        starts.push(episode);
    }
    Ok(starts)
}
