//! The atlas of a world: views of recorded play that a walk begins with, each with its place.
//!
//! A network of a few million weights does not hold a map, and what it makes up behind a corner it makes up anew each
//! time. Where recorded play tells its places, the world keeps some of its frames; a walk that begins at a known place on
//! their map is shown what its actions lead to. Where the frames also tell with which camera they were taken, they are warped
//! to where the walk is, for the network to paint over; otherwise it retrieves them as it retrieves what it saw itself.

mod bearing;
mod bins;
mod detail;
mod fit;
mod ground;
mod locate;
mod motion;
mod photo;
mod render;
mod scenery;
mod walls;
mod way;

pub(crate) use bearing::{BEARING, bearing, turned};
pub(crate) use bins::cosine;
pub(crate) use detail::add_detail;
pub use ground::Ground;
pub use memory::Pose;
pub use motion::Motion;
pub(crate) use motion::{Walker, command};
pub(crate) use render::Renderer;
pub(crate) use scenery::Canvas;
pub use scenery::{Camera, Scenery};

use self::bins::{Bins, are_alike};
use crate::error::Error;
use crate::model::ModelConfig;
use crate::train::LatentEpisode;
use candle_core::{DType, Device, Result, Tensor};
use half::f16;
use memory::{Reckoned, Warm};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Largest latent value that is told from larger ones. Of an episode of Doom none was larger, and one in ten thousand
/// above 10.
const VALUE_MAX: f32 = 16.0;
/// Most views: what a walk sees itself takes as much room again.
const VIEWS_MAX: usize = Warm::CAPACITY_DEFAULT / 2;
/// Most cells of ground that are read.
const CELLS_MAX: usize = 1 << 22;
/// Nearness from which on a view is one of the place.
const NEAR: f32 = 0.2;
/// Parts that an atlas is cut into, to look at a view of each but the one that a place is in.
const ELSEWHERE: u8 = 9;
/// Largest file that is read, 1 GiB.
const BYTES_MAX: u64 = 1 << 30;

/// A frame that somebody saw.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Its latent (C, H, W), normalised, in 16-bit floats by their bits; of those, one of the 255 that a file tells apart.
    pub latent: Arc<[u16]>,
    /// Its picture (JPEG), where the map has scenery.
    pub picture: Option<Arc<[u8]>>,
    /// Features of the action that led to it.
    pub action: Arc<[f32]>,
    /// Where it was seen from, in steps.
    pub pose: Pose,
}

impl View {
    /// Its latent.
    pub(crate) fn values(&self) -> impl Iterator<Item = f32> + '_ {
        self.latent.iter().map(|&bits| f16::from_bits(bits).to_f32())
    }
}

/// Views of one map, and how one walks on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Atlas {
    /// Views, in the order of their squares and directions.
    pub views: Vec<View>,
    /// How walking moves.
    pub motion: Motion,
    /// Where one can stand.
    pub ground: Arc<Ground>,
    /// What stands where, if that is known: then views can be warped to other places.
    pub scenery: Option<Arc<Scenery>>,
}

impl Atlas {
    /// Picks at most `count` views of the episodes, spread evenly over places and directions.
    ///
    /// # Errors
    /// Why there can be no atlas: the episodes do not tell their places, nobody walks, or one place of theirs looks
    /// different in each, so that they are of different maps.
    pub fn survey(
        episodes: &[LatentEpisode],
        count: usize,
    ) -> std::result::Result<Self, &'static str> {
        if count == 0 {
            return Err("none was asked for");
        }
        if episodes.iter().all(|episode| episode.poses().is_empty()) {
            return Err("the episodes do not tell their places");
        }
        let motion = Motion::fit(episodes).ok_or("nobody walks in the episodes")?;
        let bins = Bins::of(episodes, motion);
        if !bins.are_of_one_map(episodes) {
            return Err("the episodes are of different maps, or have no place in common");
        }
        let all = bins.nearest();
        let kept = count.min(all.len()).min(VIEWS_MAX);
        let view = |(number, frame): (usize, usize)| {
            let episode: &LatentEpisode = &episodes[number];
            View {
                latent: episode.latents(frame, 1).map(|x| widened(narrowed(x)).to_bits()).collect(),
                picture: None,
                action: episode.action(frame).into(),
                pose: motion.in_steps(episode.poses()[frame]),
            }
        };
        let views = (0..kept).map(|at| view(all[at * all.len() / kept])).collect();
        let stood = episodes.iter().flat_map(|episode| episode.poses());
        let stood = stood.map(|&pose| motion.in_steps(pose)).map(|pose| (pose.x, pose.y));
        let ground = Ground::under(stood);
        let motion = motion.among_walls(&ground, episodes);
        Ok(Self { views, motion, ground: Arc::new(ground), scenery: None })
    }

    /// Which view was seen from exactly a place, in the game's units.
    pub fn by_place(&self) -> impl Fn(Pose) -> Option<usize> + use<> {
        let key = |pose: Pose| [pose.x, pose.y, pose.yaw].map(f32::to_bits);
        let views = self.views.iter().enumerate();
        let numbers: HashMap<_, _> = views.map(|(number, view)| (key(view.pose), number)).collect();
        let motion = self.motion;
        move |pose| numbers.get(&key(motion.in_steps(pose))).copied()
    }

    /// Whether somebody stood at a place or next to it, in the game's units.
    #[must_use]
    pub fn is_known(&self, (x, y): (f32, f32)) -> bool {
        self.ground.is_near(x / self.motion.step, y / self.motion.step)
    }

    /// Whether frames (latents) that were seen from these places, in the game's units, are of this map: whether they look more
    /// like the nearest view than like views from elsewhere.
    pub(crate) fn shows(&self, frames: &[(Pose, Vec<f32>)]) -> bool {
        let reckoned = |pose| Reckoned { pose, walked: 0.0 };
        let (mut alike, mut any, mut count) = (0.0, 0.0, 0.0);
        for (pose, frame) in frames {
            let here = reckoned(self.motion.in_steps(*pose));
            let near = |view: &View| here.nearness_on_map(reckoned(view.pose));
            let nearness = self.views.iter().map(near).enumerate();
            let nearest = nearness.max_by(|a, b| a.1.total_cmp(&b.1));
            let Some((nearest, _)) = nearest.filter(|&(_, nearness)| nearness > NEAR) else {
                continue;
            };
            let like = |view: &View| cosine(frame.iter().copied(), view.values());
            alike += like(&self.views[nearest]);
            let elsewhere = (1..usize::from(ELSEWHERE)).map(|part| {
                let other = nearest + part * self.views.len() / usize::from(ELSEWHERE);
                like(&self.views[other % self.views.len()])
            });
            any += elsewhere.sum::<f32>() / f32::from(ELSEWHERE - 1);
            count += 1.0;
        }
        count > 0.0 && are_alike(alike / count, any / count)
    }

    /// Writes the atlas; `model` says how large its latents are.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path, model: &ModelConfig) -> Result<()> {
        let (count, cpu) = (self.views.len(), &Device::Cpu);
        let latents = self.views.iter().flat_map(|view| view.latent.iter());
        let latents: Vec<u8> =
            latents.map(|&bits| narrowed(f16::from_bits(bits).to_f32())).collect();
        let actions: Vec<f32> = self.views.iter().flat_map(|view| view.action.to_vec()).collect();
        let poses = self.views.iter().map(|view| view.pose);
        let poses: Vec<f32> = poses.flat_map(|pose| [pose.x, pose.y, pose.yaw]).collect();
        let cells: Vec<i64> =
            self.ground.cells().flat_map(|(x, y)| [i64::from(x), i64::from(y)]).collect();
        let ground = (cells.len() / 2, 2);
        let mut tensors = HashMap::from([
            (
                "latents",
                Tensor::from_vec(latents, (count, model.channels, model.height, model.width), cpu)?,
            ),
            ("actions", Tensor::from_vec(actions, (count, model.action), cpu)?),
            ("poses", Tensor::from_vec(poses, (count, 3), cpu)?),
            ("ground", Tensor::from_vec(cells, ground, cpu)?),
            ("motion", Tensor::new(&self.motion.write(), cpu)?),
        ]);
        if let Some(Camera { focal, eye, ceiling, margin }) =
            self.scenery.as_ref().map(|it| it.camera)
        {
            let camera = [focal, eye, ceiling, f32::from(margin)];
            tensors.insert("camera", Tensor::new(&camera, cpu)?);
        }
        let pictures: Vec<&[u8]> =
            self.views.iter().filter_map(|view| view.picture.as_deref()).collect();
        if pictures.len() == count {
            let lengths = pictures.iter().map(|picture| u32::try_from(picture.len()));
            let lengths = lengths
                .collect::<std::result::Result<Vec<_>, _>>()
                .map_err(candle_core::Error::wrap)?;
            tensors.insert("picture_lengths", Tensor::from_vec(lengths, count, cpu)?);
            let (pictures, bytes) =
                (pictures.concat(), pictures.iter().map(|it| it.len()).sum::<usize>());
            tensors.insert("pictures", Tensor::from_vec(pictures, bytes, cpu)?);
        }
        let unfinished = path.with_extension("partial");
        candle_core::safetensors::save(&tensors, &unfinished)?;
        Ok(std::fs::rename(&unfinished, path)?)
    }

    /// Reads the atlas of a world with latents and actions of `model`'s sizes; `None` where there is no file. `witness` is
    /// shown its bytes.
    ///
    /// # Errors
    /// The file is damaged, or of another world; the message names it.
    pub fn load(
        path: &Path,
        model: &ModelConfig,
        witness: impl FnOnce(&[u8]),
    ) -> std::result::Result<Option<Self>, Error> {
        let bytes = match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(unread(path, source)),
            Ok(file) if file.len() > BYTES_MAX => {
                let reason = format!("expected at most 1 GiB, got {} bytes", file.len());
                return Err(Error::World { reason, path: path.to_owned() });
            }
            Ok(_) => std::fs::read(path).map_err(|source| unread(path, source))?,
        };
        witness(&bytes);
        Self::parse(&bytes, model).map(Some).map_err(|error| {
            let reason = error.to_string().lines().next().unwrap_or_default().to_owned();
            Error::World { reason, path: path.to_owned() }
        })
    }

    fn parse(bytes: &[u8], model: &ModelConfig) -> Result<Self> {
        let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu)?;
        let tensor = |name: &str| {
            tensors.get(name).ok_or_else(|| candle_core::Error::Msg(format!("no tensor {name}")))
        };
        let latents = tensor("latents")?;
        let count = latents.dims().first().copied().unwrap_or_default();
        let size = |name: &str, expected: &[usize]| {
            let got = tensor(name)?.dims();
            if got == expected {
                return Ok(());
            }
            candle_core::bail!("expected {name} of {expected:?}, got {got:?}")
        };
        if !(1..=VIEWS_MAX).contains(&count) {
            candle_core::bail!("expected 1 to {VIEWS_MAX} views, got {count}");
        }
        size("latents", &[count, model.channels, model.height, model.width])?;
        size("actions", &[count, model.action])?;
        size("poses", &[count, 3])?;
        size("motion", &[5])?;
        let cells = tensor("ground")?.dims().first().copied().unwrap_or_default();
        size("ground", &[cells, 2])?;
        if cells > CELLS_MAX {
            candle_core::bail!("expected at most {CELLS_MAX} cells of ground, got {cells}");
        }
        let numbers = |name: &str| -> Result<Vec<f32>> {
            let values = tensor(name)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            if !values.iter().all(|x| x.is_finite()) {
                candle_core::bail!("a number of {name} is none");
            }
            Ok(values)
        };
        let latents = latents.flatten_all()?.to_vec1::<u8>()?;
        let (actions, poses) = (numbers("actions")?, numbers("poses")?);
        let mut pictures = pictures(&tensors, count)?.into_iter();
        let views = latents
            .chunks(model.latent_len())
            .zip(actions.chunks(model.action))
            .zip(poses.chunks(3));
        let views = views.map(|((latent, action), pose)| View {
            latent: latent.iter().map(|&byte| widened(byte).to_bits()).collect(),
            picture: pictures.next(),
            action: action.into(),
            pose: Pose { x: pose[0], y: pose[1], yaw: pose[2] },
        });
        let motion = numbers("motion")?;
        let Some(motion) = Motion::read(&motion) else {
            candle_core::bail!("expected step, momentum and ticks of a motion, got {motion:?}");
        };
        let cells = tensor("ground")?.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>()?;
        let cells = cells
            .chunks(2)
            .filter_map(|cell| Some((i32::try_from(cell[0]).ok()?, i32::try_from(cell[1]).ok()?)));
        let ground = Ground::of(cells);
        let scenery = match tensors.contains_key("camera") {
            true => {
                size("camera", &[4])?;
                let camera = Camera::read(&numbers("camera")?);
                let Some(scenery) = camera.and_then(|camera| Scenery::new(camera, &ground)) else {
                    candle_core::bail!("expected a camera and ground with walls around it");
                };
                Some(Arc::new(scenery))
            }
            false => None,
        };
        Ok(Self { views: views.collect(), motion, ground: Arc::new(ground), scenery })
    }
}

/// The pictures of `count` views; none of an atlas without.
fn pictures(tensors: &HashMap<String, Tensor>, count: usize) -> Result<Vec<Arc<[u8]>>> {
    let [Some(bytes), Some(lengths)] =
        ["pictures", "picture_lengths"].map(|name| tensors.get(name))
    else {
        return Ok(Vec::new());
    };
    if lengths.dims() != [count] {
        candle_core::bail!("expected {count} lengths of pictures, got {:?}", lengths.dims());
    }
    let (bytes, lengths) = (bytes.to_vec1::<u8>()?, lengths.to_vec1::<u32>()?);
    let (mut bytes, mut parts) = (&bytes[..], Vec::with_capacity(count));
    for length in lengths {
        let Some((part, rest)) = bytes.split_at_checked(length as usize) else {
            candle_core::bail!("expected {length} bytes of a picture, got {}", bytes.len());
        };
        parts.push(part.into());
        bytes = rest;
    }
    Ok(parts)
}

/// A latent value in a byte: sign and square root of its size, because most values are small and few are large.
fn narrowed(value: f32) -> u8 {
    let size = 127.0 * (value.abs() / VALUE_MAX).min(1.0).sqrt();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 255")]
    let byte = (128.0 + size.copysign(value)).round() as u8;
    byte
}

/// The value that a byte stands for.
fn widened(byte: u8) -> f16 {
    let root = (f32::from(byte) - 128.0) / 127.0;
    f16::from_f32(VALUE_MAX * root * root.abs())
}

fn unread(path: &Path, source: std::io::Error) -> Error {
    Error::Read { what: "the world's atlas", source, path: path.to_owned() }
}

#[cfg(test)]
mod scene_tests;
#[cfg(test)]
mod tests;
