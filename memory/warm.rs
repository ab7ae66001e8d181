//! Warm memory: the frames that ranking sees.

use std::collections::HashSet;
use std::sync::Arc;

use lru::LruCache;

use crate::error::Error;
use crate::feature::{Feature, FeatureShape};
use crate::frame::{FrameId, FrameStamp};
use crate::looks::Looks;
use crate::pose::Pose;
use crate::reckoned::Reckoned;

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
    /// Each frame's feature.
    looks: Looks,
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
            looks: Looks::new(shape),
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
        self.looks.set(place, &feature);
        let frame = Remembered { stamp, latent, action, pose, reckoned };
        if gone.is_some() {
            self.frames[place] = frame;
        } else {
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
        let feature = self.looks.get(place);
        Record { stamp, latent, action, feature, pose, reckoned }
    }

    /// Lets a frame go, if it is there.
    pub fn remove(&mut self, frame: FrameId) -> Option<Record> {
        let place = self.places.pop(&frame)?;
        self.fixed.remove(&frame);
        let gone = self.record_at(place);
        // The last frame moves into the place that is free.
        self.looks.swap_remove(place);
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

    /// What all frames look like, in the order of [`Self::frames`].
    pub(crate) fn looks(&self) -> &Looks {
        &self.looks
    }
}
