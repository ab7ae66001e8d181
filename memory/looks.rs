//! What all frames look like, from coarse to fine.
//!
//! A ranking takes as long as it reads. Averages over blocks of positions bound how like the estimate a frame is, and of
//! most frames the bound does not reach the best ones' cosines. Of recorded views of the shipped `doom-rooms` two in five
//! reach the most like one by the coarser averages; one in four do by the finer ones, and are read whole.

use rayon::prelude::*;

use crate::feature::{BLOCKS, Estimate, Feature, FeatureShape, Sketch, products, vectorized};
use crate::rows::Rows;

/// Frames that a core looks at closely before it is worth waking another.
const TASK: usize = 128;

/// Features of all frames, by their places.
#[derive(Clone, Debug)]
pub(crate) struct Looks {
    shape: FeatureShape,
    /// The coarser averages, and the finer ones.
    levels: [Level; 2],
    /// Steps of the features.
    features: Rows,
}

/// Averages over blocks of one size.
#[derive(Clone, Debug)]
struct Level {
    /// The sketches without their steps.
    sketches: Vec<Sketch<i8>>,
    steps: Rows,
}

impl Looks {
    /// None yet, of latents of this size.
    pub(crate) fn new(shape: FeatureShape) -> Self {
        let level = |block| Level { sketches: Vec::new(), steps: Rows::new(shape.sketch(block)) };
        Self { shape, levels: BLOCKS.map(level), features: Rows::new(shape.values()) }
    }

    /// Writes the feature of the frame at `place`, which is there already or the next.
    pub(crate) fn set(&mut self, place: usize, feature: &Feature) {
        self.features.set(place, feature.steps());
        for (level, mut sketch) in self.levels.iter_mut().zip(feature.sketches()) {
            level.steps.set(place, &std::mem::take(&mut sketch.steps));
            match level.sketches.get_mut(place) {
                Some(known) => *known = sketch,
                None => level.sketches.push(sketch),
            }
        }
    }

    /// The feature of the frame at `place`.
    pub(crate) fn get(&self, place: usize) -> Feature {
        Feature::from_steps(self.shape, self.features.get(place))
    }

    /// Takes the frame at `place` away; the last one moves there.
    pub(crate) fn swap_remove(&mut self, place: usize) {
        self.features.swap_remove(place);
        for level in &mut self.levels {
            level.steps.swap_remove(place);
            level.sketches.swap_remove(place);
        }
    }

    /// What no cosine of each frame with `estimate` exceeds (eq. 3), but for the rounding of floats.
    pub(crate) fn bounds(&self, estimate: &Estimate) -> Vec<f32> {
        let [level, _] = &self.levels;
        let [sought, _] = &estimate.sketches;
        let width = sought.steps.len();
        let sums = level.steps.read(|rows, sums| {
            vectorized(
                #[inline(always)]
                || {
                    for (sum, steps) in sums.iter_mut().zip(rows.chunks_exact(width)) {
                        *sum = products(steps, &sought.steps) as f32;
                    }
                },
            );
        });
        let bound = |(sum, sketch): (f32, &Sketch<i8>)| sketch.bound(sum, sought);
        sums.into_iter().zip(&level.sketches).map(bound).collect()
    }

    /// The same of the frames at `places`, by finer averages.
    pub(crate) fn closer_bounds(&self, estimate: &Estimate, places: &[usize]) -> Vec<f32> {
        let [_, level] = &self.levels;
        let [_, sought] = &estimate.sketches;
        each(places, |place| level.sketches[place].bound(level.sum(place, sought), sought))
    }

    /// The cosines of the frames at `places`.
    pub(crate) fn cosines(&self, estimate: &Estimate, places: &[usize]) -> Vec<f32> {
        each(places, |place| {
            vectorized(
                #[inline(always)]
                || estimate.cosine(self.features.get(place)),
            )
        })
    }

    /// The cosines of the finer averages of all frames, one over all of each.
    pub(crate) fn pooled_cosines(&self, estimate: &Estimate) -> Vec<f32> {
        let [_, level] = &self.levels;
        let [_, sought] = &estimate.sketches;
        let cosine = |place: usize| level.sketches[place].cosine(level.sum(place, sought), sought);
        (0..level.sketches.len()).map(cosine).collect()
    }
}

impl Level {
    fn sum(&self, place: usize, sought: &Sketch<i16>) -> f32 {
        vectorized(
            #[inline(always)]
            || products(self.steps.get(place), &sought.steps) as f32,
        )
    }
}

fn each(places: &[usize], of: impl Fn(usize) -> f32 + Sync) -> Vec<f32> {
    if places.len() <= TASK {
        return places.iter().map(|place| of(*place)).collect();
    }
    places.par_iter().with_min_len(TASK).map(|place| of(*place)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bounds_hold_from_coarse_to_fine(
            (rows, columns, channels) in (1_usize..9, 1_usize..9, 1_usize..4),
            // From noise to one look everywhere.
            even in 0.0_f32..1.0,
            latents in prop::collection::vec(prop::collection::vec(-3.0_f32..3.0, 192), 1..9),
            removed in any::<prop::sample::Index>(),
        ) {
            let shape = FeatureShape { rows, columns, channels };
            let latents: Vec<Vec<f32>> = latents
                .iter()
                .map(|latent| {
                    let value = |at: usize| (1.0 - even) * latent[at] + even * latent[at % channels];
                    (0..shape.values()).map(value).collect()
                })
                .collect();
            let mut features: Vec<Feature> =
                latents.iter().map(|latent| Feature::new(shape, latent).unwrap()).collect();
            // Of two frames: shorter than one by itself.
            let both: Vec<&[f32]> = latents.iter().take(2).map(Vec::as_slice).collect();
            let estimate = Estimate::new(shape, &both).unwrap();
            let mut looks = Looks::new(shape);
            for (place, feature) in features.iter().enumerate() {
                looks.set(place, feature);
            }
            let removed = removed.index(features.len());
            looks.swap_remove(removed);
            features.swap_remove(removed);
            let places: Vec<usize> = (0..features.len()).collect();
            let coarse = looks.bounds(&estimate);
            let fine = looks.closer_bounds(&estimate, &places);
            let cosines = looks.cosines(&estimate, &places);
            prop_assert_eq!((coarse.len(), cosines.len()), (features.len(), features.len()));
            for (place, feature) in features.iter().enumerate() {
                prop_assert_eq!(&looks.get(place), feature);
                prop_assert_eq!(cosines[place].to_bits(), feature.cosine(&estimate).to_bits());
                prop_assert!(fine[place] > cosines[place] - 1e-5);
                prop_assert!(coarse[place] > cosines[place] - 1e-5);
            }
        }
    }

    #[test]
    fn bounds_tell_other_views_from_the_same() {
        let shape = FeatureShape { rows: 12, columns: 16, channels: 16 };
        let views: Vec<Vec<f32>> = (0..8)
            .map(|view| {
                // A look for each sixth of the picture, and a little of its own for each position.
                let value = |at: usize| {
                    let (position, channel) = (at / 16, at % 16);
                    let part = position / 64 * 2 + position % 16 / 8;
                    let wave = |of: usize| (f32::from(u16::try_from(of).unwrap()) * 2.4).sin();
                    wave(channel * (view + 3) * (part + 5)) + 0.2 * wave(at * (view + 7))
                };
                (0..shape.values()).map(value).collect()
            })
            .collect();
        let mut looks = Looks::new(shape);
        for (place, view) in views.iter().enumerate() {
            looks.set(place, &Feature::new(shape, view).unwrap());
        }
        let estimate = Estimate::new(shape, &[&views[3]]).unwrap();
        let places: Vec<usize> = (0..8).collect();
        let closer = looks.closer_bounds(&estimate, &places);
        for (place, coarse) in looks.bounds(&estimate).into_iter().enumerate() {
            let like = looks.cosines(&estimate, &[place])[0];
            assert!((place == 3) == (like > 0.9), "{place}: {like}");
            // What is left out of either is three tenths long: a tenth multiplied.
            assert!((like..like + 0.1).contains(&coarse), "{place}: {coarse}, {like}");
            assert!((like..like + 0.1).contains(&closer[place]), "{place}: {}", closer[place]);
        }
    }
}
