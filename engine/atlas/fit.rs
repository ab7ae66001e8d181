//! Which camera took the views: the one with which each shows what its neighbours show.

use super::photo::{developed, taken};
use super::render::{decoded, nearest};
use super::scenery::{Camera, Canvas, MARGIN_MAX, Picture, Scenery};
use super::{Atlas, View};
use crate::codec::{CELL, Codec};
use crate::model::ModelConfig;
use candle_core::Result;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// Views that are looked at.
const COMPARED: usize = 96;
/// Neighbours that each is warped from.
const NEIGHBOURS: usize = 4;
/// How much of the error of unwarped neighbours may be left: otherwise the map has no scenery of this kind. A camera that
/// explains nothing leaves all of it, because what nobody shows counts as unwarped.
const LEFT: f32 = 0.75;
/// Focal lengths and heights of the eye that the search begins with.
const COARSE: [f32; 5] = [0.5, 0.7, 1.0, 1.4, 2.0];
/// What a number is multiplied by in turn while that makes it better.
const FACTORS: [f32; 8] = [0.7, 0.85, 0.93, 0.97, 1.03, 1.07, 1.15, 1.4];
/// Rounds over all numbers at most.
const ROUNDS: usize = 6;

/// Views and their pictures.
pub(super) struct Views<'a> {
    atlas: &'a Atlas,
    size: (usize, usize),
    /// Their pixels, RGB, row by row, and the same to paint from.
    pictures: BTreeMap<usize, (Vec<u8>, Picture)>,
    /// A view, and those that it is warped from, best first.
    compared: Vec<(usize, Vec<usize>)>,
}

impl Atlas {
    /// Finds out with which camera the views were taken, so that they can be warped, and takes pictures of those that
    /// have none; leaves out the scenery where there is none that explains them: the map is not level, or seen in another way.
    ///
    /// # Errors
    /// A view cannot be decoded.
    pub fn fit_scenery(&mut self, codec: &Codec, config: &ModelConfig) -> Result<()> {
        let size = (CELL * config.width, CELL * config.height);
        let pixels = |view: &View| match &view.picture {
            Some(picture) => developed(picture, size),
            None => decoded(codec, view, size),
        };
        let views = Views::with(self, size, |number| pixels(&self.views[number]))?;
        self.scenery = views.fit().map(Arc::new);
        for view in &mut self.views {
            view.picture = match (&self.scenery, view.picture.take()) {
                (None, _) => None,
                (Some(_), Some(picture)) => Some(picture),
                (Some(_), None) => Some(taken(&decoded(codec, view, size)?, size)?.into()),
            };
        }
        Ok(())
    }

    /// Takes the picture of a view, `width` x `height` pixels, RGB, row by row: as it was recorded, it has more detail than
    /// what a codec leaves of it.
    ///
    /// # Errors
    /// It has another size.
    ///
    /// # Panics
    /// When there are not so many views.
    pub fn take_picture(
        &mut self,
        number: usize,
        pixels: &[u8],
        size: (usize, usize),
    ) -> Result<()> {
        self.views[number].picture = Some(taken(pixels, size)?.into());
        Ok(())
    }
}

impl<'a> Views<'a> {
    /// With the pictures of those that are looked at.
    pub(super) fn with(
        atlas: &'a Atlas,
        size: (usize, usize),
        picture: impl Fn(usize) -> Result<Vec<u8>>,
    ) -> Result<Self> {
        let every = atlas.views.len().div_ceil(COMPARED).max(1);
        let neighbours = |(number, view): (usize, &View)| {
            let mut near = nearest(&atlas.views, view.pose, |other| other == number);
            near.truncate(NEIGHBOURS);
            (number, near)
        };
        let compared = atlas.views.iter().enumerate().step_by(every).map(neighbours);
        let compared: Vec<(usize, Vec<usize>)> =
            compared.filter(|(_, near)| !near.is_empty()).collect();
        let mut pictures = BTreeMap::new();
        for &number in compared.iter().flat_map(|(number, near)| near.iter().chain([number])) {
            if let Entry::Vacant(missing) = pictures.entry(number) {
                let pixels = picture(number)?;
                let picture = Picture::new(&pixels, size.0);
                missing.insert((pixels, picture));
            }
        }
        Ok(Self { atlas, size, pictures, compared })
    }

    pub(super) fn fit(&self) -> Option<Scenery> {
        let copied = self.mean(|number, near| {
            let (pixels, other) = (&self.pictures[&number].0, &self.pictures[&near[0]].0);
            pixels.iter().zip(other).map(|(&a, &b)| f32::from(a.abs_diff(b))).sum()
        })?;
        let error = |camera: &Camera| self.error(camera, copied);
        let start = COARSE.iter().flat_map(|focal| COARSE.iter().map(move |eye| (focal, eye)));
        let start = start.map(|(&focal, &eye)| {
            // A room is about twice as high as who stands in it, and a player half a step to two wide on each side.
            Camera { focal, eye: 2.0 * eye, ceiling: 2.0 * eye, margin: 8 }
        });
        let scored = start.map(|camera| (error(&camera), camera));
        let (mut least, mut best) = scored.min_by(|a, b| a.0.total_cmp(&b.0))?;
        for _ in 0..ROUNDS {
            let before = least;
            for which in 0..4 {
                let others = FACTORS.iter().map(|&factor| changed(best, which, factor));
                let scored = others.map(|camera| (error(&camera), camera));
                let (error, camera) = scored.min_by(|a, b| a.0.total_cmp(&b.0))?;
                if error < least {
                    (least, best) = (error, camera);
                }
            }
            if least > 0.999 * before {
                break;
            }
        }
        Scenery::new(best, &self.atlas.ground).filter(|_| least < LEFT * copied)
    }

    /// Mean error of a byte of warped views, where what nobody shows counts like a neighbour's pixel as it is.
    fn error(&self, camera: &Camera, copied: f32) -> f32 {
        let Some(scenery) = Scenery::new(*camera, &self.atlas.ground) else { return f32::MAX };
        let (width, height) = self.size;
        let outline = |number: usize| scenery.outline(self.atlas.views[number].pose, width);
        let of_view = |number: usize, near: &[usize]| {
            let mut canvas = Canvas::new(width, height);
            if let Some(here) = outline(number) {
                for &other in near {
                    let Some(view) = outline(other) else { continue };
                    let picture = &self.pictures[&other].1;
                    scenery.paint(&mut canvas, &here, (&view, picture), false);
                }
            }
            let pixels = canvas.pixels.chunks(3).zip(self.pictures[&number].0.chunks(3));
            let errors = pixels.zip(&canvas.seen).map(|((a, b), &seen)| match seen {
                true => a.iter().zip(b).map(|(&a, &b)| f32::from(a.abs_diff(b))).sum(),
                false => 3.0 * copied,
            });
            errors.sum()
        };
        self.mean(of_view).unwrap_or(f32::MAX)
    }

    /// Mean, over the bytes of all pictures, of sums over each.
    fn mean(&self, of_view: impl Fn(usize, &[usize]) -> f32 + Sync) -> Option<f32> {
        let sums: Vec<f32> =
            self.compared.par_iter().map(|(number, near)| of_view(*number, near)).collect();
        #[expect(clippy::cast_precision_loss, reason = "millions")]
        let bytes = (3 * self.size.0 * self.size.1 * sums.len()) as f32;
        (!sums.is_empty()).then(|| sums.iter().sum::<f32>() / bytes)
    }
}

/// The camera with one of its numbers multiplied.
fn changed(mut camera: Camera, which: usize, factor: f32) -> Camera {
    match which {
        0 => camera.focal *= factor,
        1 => camera.eye *= factor,
        2 => camera.ceiling *= factor,
        _ => {
            let margin = f32::from(camera.margin);
            let moved = margin * factor;
            // At least a square.
            let moved =
                if factor > 1.0 { moved.max(margin + 1.0) } else { moved.min(margin - 1.0) };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "clamped to a byte"
            )]
            let margin = moved.round().clamp(0.0, f32::from(MARGIN_MAX)) as u8;
            camera.margin = margin;
        }
    }
    camera
}
