//! Warm memory: the frames that ranking sees.

use std::sync::Arc;

use lru::LruCache;

use crate::error::Error;
use crate::feature::{Feature, FeatureShape, Sketch};
use crate::frame::{FrameId, FrameStamp};
use crate::pose::Pose;

/// One remembered frame.
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
}

/// At most so many frames, the least recently used let go.
#[derive(Clone, Debug)]
pub struct Warm {
    shape: FeatureShape,
    capacity: usize,
    /// Place of each frame in `records`, by age.
    places: LruCache<FrameId, usize>,
    records: Vec<Record>,
    /// Sketch of each record, without its steps.
    sketches: Vec<Sketch<i8>>,
    /// Steps of the sketches side by side: what every search reads through.
    steps: Vec<i8>,
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
            records: Vec::new(),
            sketches: Vec::new(),
            steps: Vec::new(),
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
        let frame = record.stamp.frame;
        let mut sketch = record.feature.sketch();
        let steps = std::mem::take(&mut sketch.steps);
        let known = self.places.get(&frame).copied();
        let full = self.records.len() == self.capacity;
        let place = known
            .or_else(|| if full { self.places.pop_lru().map(|(_, place)| place) } else { None });
        let Some(place) = place else {
            self.places.put(frame, self.records.len());
            self.steps.extend_from_slice(&steps);
            self.sketches.push(sketch);
            self.records.push(record);
            return Ok(None);
        };
        self.places.put(frame, place);
        self.steps_mut(place).copy_from_slice(&steps);
        self.sketches[place] = sketch;
        Ok(Some(std::mem::replace(&mut self.records[place], record)))
    }

    /// The record of a frame, which becomes the most recently used.
    pub fn get(&mut self, frame: FrameId) -> Option<&Record> {
        self.places.get(&frame).map(|place| &self.records[*place])
    }

    /// The record of a frame, its age left as it is.
    #[must_use]
    pub fn peek(&self, frame: FrameId) -> Option<&Record> {
        self.places.peek(&frame).map(|place| &self.records[*place])
    }

    /// Lets a frame go, if it is there.
    pub fn remove(&mut self, frame: FrameId) -> Option<Record> {
        let place = self.places.pop(&frame)?;
        let (last, width) = (self.records.len() - 1, self.shape.sketch());
        // The last record moves into the place that is free.
        if place != last {
            if let Some(moved) = self.places.peek_mut(&self.records[last].stamp.frame) {
                *moved = place;
            }
            self.steps.copy_within(last * width..(last + 1) * width, place * width);
        }
        self.steps.truncate(last * width);
        self.sketches.swap_remove(place);
        Some(self.records.swap_remove(place))
    }

    /// Marks a frame as used, if it is there.
    pub fn touch(&mut self, frame: FrameId) {
        self.places.promote(&frame);
    }

    /// Frames remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
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

    /// All records, in no particular order.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Sketch of the record at `place`, and its steps.
    pub(crate) fn sketch(&self, place: usize) -> (&Sketch<i8>, &[i8]) {
        let width = self.shape.sketch();
        (&self.sketches[place], &self.steps[place * width..(place + 1) * width])
    }

    fn steps_mut(&mut self, place: usize) -> &mut [i8] {
        let width = self.shape.sketch();
        &mut self.steps[place * width..(place + 1) * width]
    }
}
