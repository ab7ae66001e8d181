//! What the views of an atlas show from another place.
//!
//! Views are warped to where the walk has come to (depth-image-based rendering; W. R. Mark et al., "Post-Rendering 3D
//! Warping", 1997), the nearest first, over what the ground tells of walls. The network is shown the result as the frame that
//! its memory expects, as others show it renderings of a 3D cache (X. Ren et al., "GEN3C", 2025), with how much of
//! it anybody saw.

use super::bearing::turned;
use super::photo::developed;
use super::scenery::{Canvas, Outline, Picture};
use super::{Atlas, Pose, View};
use crate::codec::{CELL, Codec};
use crate::model::ModelConfig;
use candle_core::{Device, Result, Tensor};
use memory::ByteLru;
use std::sync::Arc;

/// Views that are warped at most: in rooms of Doom six show 97 % of what is seen, or more.
const VIEWS: usize = 8;
/// Steps that a view may be farther off than another for looking a right angle less astray. Other values were not tried.
const STEPS_FOR_A_TURN: f32 = 2.5;

/// A view, decoded.
#[derive(Debug)]
struct Shown {
    outline: Outline,
    picture: Picture,
}

/// Warps views, keeping those that it decoded.
#[derive(Debug)]
pub(crate) struct Renderer {
    width: usize,
    height: usize,
    shown: ByteLru<usize, Arc<Shown>>,
}

impl Renderer {
    /// For pictures of a network with these sizes; keeps at most so many bytes of decoded views.
    pub(crate) fn new(config: &ModelConfig, budget_bytes: usize) -> Self {
        let (width, height) = (CELL * config.width, CELL * config.height);
        Self { width, height, shown: ByteLru::new(budget_bytes) }
    }

    /// Columns of a latent.
    pub(super) fn columns(&self) -> usize {
        self.width / CELL
    }

    /// What the atlas shows from each of these places, in steps: the latent of it, and over that the share of each cell that
    /// some view shows, (places, C + 1, H, W), with the pictures. `None` where it has no scenery, or a place lies in a wall.
    pub(crate) fn latents(
        &mut self,
        sources: (&Atlas, &Codec),
        places: impl IntoIterator<Item = Pose>,
        left_out: impl Fn(usize) -> bool,
    ) -> Result<Option<(Vec<f32>, Vec<Canvas>)>> {
        let (mut latents, mut canvases) = (Vec::new(), Vec::new());
        for here in places {
            let Some(canvas) = self.canvas(sources, here, &left_out)? else { return Ok(None) };
            latents.extend(self.encoded(&canvas, sources.1)?);
            canvases.push(canvas);
        }
        Ok(Some((latents, canvases)))
    }

    fn encoded(&self, canvas: &Canvas, codec: &Codec) -> Result<Vec<f32>> {
        let latent = codec.encode(&canvas.pixels, self.height, self.width)?;
        let mut latent: Vec<f32> = latent.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?;
        let cells = latent.len() / codec.config().channels;
        let mut shares = vec![0.0; cells];
        let per_row = self.width / CELL;
        #[expect(clippy::cast_precision_loss, reason = "64 pixels")]
        let pixel = 1.0 / (CELL * CELL) as f32;
        for (row, seen) in canvas.seen.chunks_exact(self.width).enumerate() {
            let shares = shares[row / CELL * per_row..].iter_mut();
            for (share, seen) in shares.zip(seen.chunks_exact(CELL)) {
                *share += seen.iter().map(|&seen| f32::from(u8::from(seen)) * pixel).sum::<f32>();
            }
        }
        latent.extend(shares);
        Ok(latent)
    }

    /// What the atlas shows from a place, in steps. `None` where it has no scenery, or the place lies in a wall.
    pub(crate) fn canvas(
        &mut self,
        (atlas, codec): (&Atlas, &Codec),
        here: Pose,
        left_out: impl Fn(usize) -> bool,
    ) -> Result<Option<Canvas>> {
        let Some(scenery) = &atlas.scenery else { return Ok(None) };
        let Some(outline) = scenery.outline(here, self.width) else { return Ok(None) };
        let nearest = nearest(&atlas.views, here, left_out);
        let mut canvas = Canvas::new(self.width, self.height);
        for &number in &nearest {
            let Some(shown) = self.shown((atlas, codec), number)? else { continue };
            scenery.paint(&mut canvas, &outline, (&shown.outline, &shown.picture), false);
            if canvas.is_full() {
                break;
            }
        }
        if let Some(&number) = nearest.first()
            && let Some(shown) = self.shown((atlas, codec), number)?
        {
            scenery.paint(&mut canvas, &outline, (&shown.outline, &shown.picture), true);
        }
        Ok(Some(canvas))
    }

    /// A view, decoded; `None` of one that was seen from inside a wall.
    fn shown(
        &mut self,
        (atlas, codec): (&Atlas, &Codec),
        number: usize,
    ) -> Result<Option<Arc<Shown>>> {
        if let Some(shown) = self.shown.get(&number) {
            return Ok(Some(Arc::clone(shown)));
        }
        let view = &atlas.views[number];
        let scenery = atlas.scenery.as_ref();
        let Some(outline) = scenery.and_then(|it| it.outline(view.pose, self.width)) else {
            return Ok(None);
        };
        let size = (self.width, self.height);
        let pixels = match &view.picture {
            Some(picture) => developed(picture, size)?,
            None => decoded(codec, view, size)?,
        };
        let picture = Picture::new(&pixels, self.width);
        let bytes = picture.bytes() + size_of::<f32>() * self.width;
        let shown = Arc::new(Shown { outline, picture });
        // One that is larger than the whole budget is simply not kept.
        let _not_kept = self.shown.insert(number, Arc::clone(&shown), bytes);
        Ok(Some(shown))
    }
}

/// The picture of a view.
pub(super) fn decoded(
    codec: &Codec,
    view: &View,
    (width, height): (usize, usize),
) -> Result<Vec<u8>> {
    let shape = (1, codec.config().channels, height / CELL, width / CELL);
    codec.decode(&Tensor::from_vec(view.values().collect(), shape, &Device::Cpu)?)
}

/// The views that are likely to show most of what is seen from a place, best first.
pub(super) fn nearest(views: &[View], here: Pose, left_out: impl Fn(usize) -> bool) -> Vec<usize> {
    let astray = |view: &View| {
        let turn = turned(here, view.pose);
        let apart = (view.pose.x - here.x).hypot(view.pose.y - here.y);
        (turn.abs() < 90.0).then(|| apart + turn.abs() / 90.0 * STEPS_FOR_A_TURN)
    };
    let views = views.iter().enumerate().filter(|&(number, _)| !left_out(number));
    let mut all: Vec<(f32, usize)> =
        views.filter_map(|(number, view)| Some((astray(view)?, number))).collect();
    let order = |a: &(f32, usize), b: &(f32, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
    if all.len() > VIEWS {
        all.select_nth_unstable_by(VIEWS, order);
        all.truncate(VIEWS);
    }
    all.sort_unstable_by(order);
    all.into_iter().map(|(_, number)| number).collect()
}
