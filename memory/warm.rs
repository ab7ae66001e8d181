//! Warm memory: the frames that ranking sees.

use std::collections::HashSet;
use std::sync::Arc;

use lru::LruCache;

use crate::error::Error;
use crate::feature::{Estimate, Feature, FeatureShape, Sketch, vectorized};
use crate::frame::{FrameId, FrameStamp};
use crate::pose::Pose;
use crate::reckoned::Reckoned;
use crate::rows::Rows;

/// A frame to be remembered.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Where it lies in play.
    pub stamp: FrameStamp,
    /// Its latent in 16-bit floats, by their bits; as it was stored, never rounded again.
    pub latent: Arc<[u16]>,
    /// Features of the action that led to it.
    pub action: Arc<[f32]>,
    /// What it looks like.
    pub feature: Feature,
    /// Where it was seen from, where that is known.
    pub pose: Option<Pose>,
    /// Where the actions of its branch had led, where they tell.
    pub reckoned: Option<Reckoned>,
}

/// A remembered frame. What it looks like lies beside what all others look like.
#[derive(Clone, Debug, PartialEq)]
pub struct Remembered {
    /// Where it lies in play.
    pub stamp: FrameStamp,
    /// Its latent in 16-bit floats, by their bits.
    pub latent: Arc<[u16]>,
    /// Features of the action that led to it.
    pub action: Arc<[f32]>,
    /// Where it was seen from, where that is known.
    pub pose: Option<Pose>,
    /// Where the actions of its branch had led, where they tell.
    pub reckoned: Option<Reckoned>,
}

/// At most so many frames, the least recently used let go.
#[derive(Clone, Debug)]
pub struct Warm {
    shape: FeatureShape,
    capacity: usize,
    /// Place of each frame in `frames`, by age.
    places: LruCache<FrameId, usize>,
    /// Frames that are never let go for others; fewer than the capacity.
    fixed: HashSet<FrameId>,
    frames: Vec<Remembered>,
    /// Steps of each frame's feature.
    features: Rows,
    /// Sketch of each frame, without its steps.
    sketches: Vec<Sketch<i8>>,
    /// Steps of the sketches.
    sketch_steps: Rows,
}

impl Warm {
    /// Frames kept where nothing else is asked for.
    pub const CAPACITY_DEFAULT: usize = 20_000;

    /// An empty memory of at most `capacity` frames, at least one.
    ///
    /// # Errors
    /// When the shape is empty or too large.
    pub fn new(shape: FeatureShape, capacity: usize) -> Result<Self, Error> {
        shape.validate()?;
        Ok(Self {
            shape,
            capacity: capacity.max(1),
            places: LruCache::unbounded(),
            fixed: HashSet::new(),
            frames: Vec::new(),
            features: Rows::new(shape.values()),
            sketches: Vec::new(),
            sketch_steps: Rows::new(shape.sketch()),
        })
    }

    /// Remembers a frame as the most recently used, in place of an older record of it; gives back
    /// the record that had to go.
    ///
    /// # Errors
    /// When the feature has another shape than the memory's.
    pub fn insert(&mut self, record: Record) -> Result<Option<Record>, Error> {
        if record.feature.shape() != self.shape {
            return Err(Error::OtherShape { expected: self.shape, got: record.feature.shape() });
        }
        let Record { stamp, latent, action, feature, pose, reckoned } = record;
        let known = self.places.get(&stamp.frame).copied();
        let full = self.frames.len() == self.capacity;
        let place = known.or_else(|| if full { self.pop_oldest() } else { None });
        let gone = place.map(|place| self.record_at(place));
        let place = place.unwrap_or(self.frames.len());
        self.places.put(stamp.frame, place);
        let mut sketch = feature.sketch();
        self.features.set(place, feature.steps());
        self.sketch_steps.set(place, &std::mem::take(&mut sketch.steps));
        let frame = Remembered { stamp, latent, action, pose, reckoned };
        if gone.is_some() {
            self.sketches[place] = sketch;
            self.frames[place] = frame;
        } else {
            self.sketches.push(sketch);
            self.frames.push(frame);
        }
        Ok(gone)
    }

    /// The place of the least recently used frame that may go.
    fn pop_oldest(&mut self) -> Option<usize> {
        while let Some((frame, place)) = self.places.pop_lru() {
            if !self.fixed.contains(&frame) {
                return Some(place);
            }
            self.places.put(frame, place);
        }
        None
    }

    /// Keeps a frame whatever else is let go, if it is there and room is left for others; answers whether.
    pub fn fix(&mut self, frame: FrameId) -> bool {
        let fits = self.places.contains(&frame) && self.fixed.len() + 1 < self.capacity;
        if fits {
            self.fixed.insert(frame);
        }
        fits
    }

    /// Frames that are kept whatever else is let go.
    #[must_use]
    pub fn fixed(&self) -> usize {
        self.fixed.len()
    }

    /// A frame, its age left as it is.
    #[must_use]
    pub fn peek(&self, frame: FrameId) -> Option<&Remembered> {
        self.places.peek(&frame).map(|place| &self.frames[*place])
    }

    /// All of a frame, as it was given; its age is left as it is.
    #[must_use]
    pub fn record(&self, frame: FrameId) -> Option<Record> {
        self.places.peek(&frame).map(|place| self.record_at(*place))
    }

    fn record_at(&self, place: usize) -> Record {
        let Remembered { stamp, latent, action, pose, reckoned } = self.frames[place].clone();
        let feature = Feature::from_steps(self.shape, self.features.get(place));
        Record { stamp, latent, action, feature, pose, reckoned }
    }

    /// Lets a frame go, if it is there.
    pub fn remove(&mut self, frame: FrameId) -> Option<Record> {
        let place = self.places.pop(&frame)?;
        self.fixed.remove(&frame);
        let gone = self.record_at(place);
        // The last frame moves into the place that is free.
        self.features.swap_remove(place);
        self.sketch_steps.swap_remove(place);
        self.sketches.swap_remove(place);
        self.frames.swap_remove(place);
        let moved = self.frames.get(place).map(|moved| moved.stamp.frame);
        if let Some(moved) = moved.and_then(|moved| self.places.peek_mut(&moved)) {
            *moved = place;
        }
        Some(gone)
    }

    /// Marks a frame as used, if it is there.
    pub fn touch(&mut self, frame: FrameId) {
        self.places.promote(&frame);
    }

    /// Frames remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Most frames remembered.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Size of the latents that features are made of.
    #[must_use]
    pub fn shape(&self) -> FeatureShape {
        self.shape
    }

    /// All frames, in no particular order.
    #[must_use]
    pub fn frames(&self) -> &[Remembered] {
        &self.frames
    }

    /// The cosine of every frame with `estimate` (eq. 3), in the order of [`Self::frames`]: nearly
    /// all the work of a ranking.
    pub(crate) fn cosines(&self, estimate: &Estimate) -> Vec<f32> {
        let width = self.shape.values();
        self.features.read(|features, cosines| {
            vectorized(
                #[inline(always)]
                || {
                    for (cosine, steps) in cosines.iter_mut().zip(features.chunks_exact(width)) {
                        *cosine = estimate.cosine(steps);
                    }
                },
            );
        })
    }

    /// The same of block averages, one cosine over all of a frame.
    pub(crate) fn pooled_cosines(&self, estimate: &Estimate) -> Vec<f32> {
        let cosine = |(place, sketch): (usize, &Sketch<i8>)| {
            let dot = sketch.dot(self.sketch_steps.get(place), &estimate.sketch);
            let cosine = dot / (sketch.length * estimate.sketch.length);
            // A look without any direction is like nothing.
            if cosine.is_finite() { cosine } else { 0.0 }
        };
        self.sketches.iter().enumerate().map(cosine).collect()
    }
}
