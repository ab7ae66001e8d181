//! What is asked for, brought to the model's sizes.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use engine::device::{Device, arithmetic};
use engine::framepack::check::Model;
use engine::framepack::film::Drawing;
use engine::framepack::memory::Demand;
use engine::framepack::window::{Order, sections};
use engine::picture::covering;
use input::Frame;
use serde_json::json;

use super::outline::{Outline, boundary};
use super::settings::{self, Kept};
use crate::commands::Usage;
use crate::hash::{frame_sha256, hex};
use crate::start;
use crate::video::{Aim, VideoArgs, VideoOrder};

/// Latent frames of a section, as in training.
const FRAMES: usize = 9;
/// Pictures of a latent frame.
const PICTURES: usize = 4;
/// Evaluations of a section.
const STEPS: u32 = 25;
/// Sides of pictures in pixels that the networks were trained at, narrow first (the released FramePack's
/// `bucket_options`).
const SIDES: [(u32, u32); 7] =
    [(416, 960), (448, 864), (480, 832), (512, 768), (544, 704), (576, 672), (608, 640)];

/// What is asked for.
pub(super) struct Request {
    pub(super) order: Order,
    pub(super) outline: Outline,
    /// The picture to begin from, if any, and those to come by.
    pub(super) pictures: Vec<Frame>,
    /// The prompt, and the texts that follow it.
    pub(super) texts: Vec<String>,
    pub(super) drawing: Drawing,
    pub(super) fps: f32,
    pub(super) size: (u32, u32),
}

impl Request {
    /// # Errors
    /// A picture cannot be read, a waypoint lies outside of the video, or the order or the size is none of the model's.
    pub(super) fn new(model: Model, args: &VideoArgs) -> Result<Self> {
        let order = match args.order.unwrap_or(VideoOrder::Inverted) {
            VideoOrder::Vanilla => Order::Forward,
            VideoOrder::Inverted => Order::Inverted,
            VideoOrder::Endpoint => {
                let message = "expected vanilla or inverted order with --model, got endpoint";
                return Err(Usage(message.to_owned()).into());
            }
        };
        let fps = model.fps();
        #[expect(clippy::cast_precision_loss, reason = "a section is short")]
        let section = (PICTURES * FRAMES) as f64 / f64::from(fps);
        let start = args.start.as_deref().map(start::read).transpose()?;
        let size = size(args.published.size, start.as_ref())?;
        let fitted = |picture: &Frame| covering(picture, size.0, size.1);
        let mut request = Self {
            order,
            outline: Outline { shots: Vec::new(), end: None, texts: Vec::new() },
            pictures: start.iter().map(fitted).collect(),
            texts: vec![args.published.prompt.clone().unwrap_or_default()],
            drawing: Drawing {
                steps: args.steps.unwrap_or(STEPS),
                guidance: args.published.guidance.unwrap_or(model.guidance()),
                seed: args.seed,
            },
            fps,
            size,
        };
        let (mut pictures, mut texts) = (Vec::new(), Vec::new());
        for waypoint in &args.waypoints {
            let at = boundary(waypoint.seconds, section)?;
            match &waypoint.aim {
                Aim::Picture(path) => {
                    pictures.push(at);
                    request.pictures.push(fitted(&start::read(path)?));
                }
                Aim::Text(text) => {
                    texts.push(at);
                    request.texts.push(text.clone());
                }
            }
        }
        if order == Order::Forward && !pictures.is_empty() {
            let message = "expected inverted order for pictures to come by";
            return Err(Usage(message.to_owned()).into());
        }
        let count = sections(args.seconds, f64::from(fps), FRAMES);
        request.outline = Outline::new(count, start.is_some(), &pictures, &texts)
            .with_context(|| format!("plan {count} sections of {section:.2} s"))?;
        Ok(request)
    }

    /// Sections in all.
    pub(super) fn sections(&self) -> usize {
        self.outline.texts.len()
    }

    /// Latent frames of a section.
    pub(super) fn frames(&self) -> usize {
        FRAMES
    }

    /// What memory has to be planned for.
    pub(super) fn demand(&self) -> Demand {
        let given = self.outline.shots.iter().filter(|(picture, _)| picture.is_some()).count();
        Demand {
            size: (self.size.0 as usize, self.size.1 as usize),
            frames: FRAMES,
            pictures: PICTURES * (self.sections() * FRAMES + given),
        }
    }

    /// The video's folder, begun or gone on with.
    ///
    /// # Errors
    /// A video with other settings is there.
    pub(super) fn kept(&self, folder: &Path, args: &VideoArgs, device: &Device) -> Result<Kept> {
        let adapter = args.published.adapter.as_deref().map(settings::file).transpose()?;
        let pictures: Vec<_> = self.pictures.iter().map(frame_sha256).collect();
        let settings = json!({
            "model": settings::weights(folder)?,
            "adapter": adapter.map(|hash| hex(&hash)),
            "order": args.order.unwrap_or(VideoOrder::Inverted).to_string(),
            "prompt": self.texts[0],
            "texts": self.texts[1..],
            "pictures": pictures,
            "shots": self.outline.shots,
            "end": self.outline.end,
            "texts_of_sections": self.outline.texts,
            "size": [self.size.0, self.size.1],
            "evaluations": self.drawing.steps,
            "guidance": self.drawing.guidance,
            "seed": self.drawing.seed,
            "arithmetic": arithmetic(device),
        });
        Kept::open(args.out()?, "dream.json", &settings)
    }
}

/// The size asked for, or that of training which is nearest to a picture's proportions.
fn size(asked: Option<(u32, u32)>, picture: Option<&Frame>) -> Result<(u32, u32)> {
    if let Some((width, height)) = asked {
        ensure!(
            width % 16 == 0 && height % 16 == 0,
            "expected a size in multiples of 16 pixels, got {width}x{height}"
        );
        return Ok((width, height));
    }
    let Some(picture) = picture else { return Ok((832, 480)) };
    let off = |&(width, height): &(u32, u32)| {
        (u64::from(width) * u64::from(picture.height))
            .abs_diff(u64::from(height) * u64::from(picture.width))
    };
    let all = SIDES.into_iter().flat_map(|(a, b)| [(a, b), (b, a)]);
    Ok(all.min_by_key(off).unwrap_or((832, 480)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_keep_their_proportions() {
        let of = |width, height| size(None, Some(&Frame::filled(width, height, [0; 3]))).unwrap();
        assert_eq!((of(1920, 1080), of(1080, 1920)), ((832, 480), (480, 832)));
        assert_eq!((of(64, 64), of(300, 100)), ((608, 640), (960, 416)));
        assert_eq!(size(None, None).unwrap(), (832, 480));
        assert_eq!(size(Some((32, 48)), None).unwrap(), (32, 48));
        assert!(size(Some((32, 40)), None).is_err());
    }
}
