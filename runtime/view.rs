//! Memory at work, to be looked at: the packed frames of a section, small.

use std::sync::{Arc, Mutex, PoisonError};

use input::Frame;
use memory::{ByteLru, FrameId};

/// About how wide a small picture is, in pixels.
const WIDTH: u32 = 32;
/// Bytes of small pictures kept, some four thousand; the least recently used go first.
const BUDGET_BYTES: usize = 10 << 20;

/// What a section was made from, for people.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryView {
    /// Frames remembered in all, earlier walks' included.
    pub remembered: usize,
    /// What the atlas showed from here, which the network painted over, small; `None` where it showed nothing.
    pub painted_over: Option<Arc<Frame>>,
    /// The packed groups: recent ones from the newest back, then retrieved ones, best first.
    pub groups: Vec<PackedGroup>,
}

/// One packed group of frames.
#[derive(Clone, Debug, PartialEq)]
pub struct PackedGroup {
    /// Frames its kernel spans; the coarser, the more frames share a token.
    pub kernel: usize,
    /// Its newest frame.
    pub frame: FrameId,
    /// When it was seen.
    pub seen: Seen,
    /// What the ranking gave it; `None` where time alone chose.
    pub score: Option<f32>,
    /// Whether its keys and values were still there.
    pub reused: bool,
    /// Its newest frame, small; `None` until it has been decoded.
    pub picture: Option<Arc<Frame>>,
}

/// When a frame was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Seen {
    /// On this walk, so many seconds of play ago.
    Ago(f32),
    /// On an earlier walk.
    Earlier,
    /// When the world was recorded: a view of its atlas.
    Recorded,
}

/// The newest view, handed from the dream to the window. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct SharedView(Arc<Mutex<Option<Arc<MemoryView>>>>);

impl SharedView {
    /// Puts a view in the place of the one before.
    pub fn put(&self, view: MemoryView) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(view));
    }

    /// The newest view.
    pub fn get(&self) -> Option<Arc<MemoryView>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Small pictures of remembered frames.
#[derive(Debug)]
pub struct Thumbnails(ByteLru<FrameId, Arc<Frame>>);

impl Default for Thumbnails {
    fn default() -> Self {
        Self(ByteLru::new(BUDGET_BYTES))
    }
}

impl Thumbnails {
    /// Keeps a small copy of `picture`.
    pub fn add(&mut self, frame: FrameId, picture: &Frame) -> Arc<Frame> {
        let kept = Arc::new(small(picture));
        // One that is larger than the whole budget is simply not kept.
        let _not_kept = self.0.insert(frame, Arc::clone(&kept), kept.pixels.len());
        kept
    }

    /// The small picture of a frame, if it is kept.
    pub fn get(&mut self, frame: FrameId) -> Option<Arc<Frame>> {
        self.0.get(&frame).cloned()
    }
}

/// Means over squares of whole pixels; what is left at the right and below is cut off.
pub fn small(picture: &Frame) -> Frame {
    let side = (picture.width / WIDTH).clamp(1, picture.height.max(1));
    let (width, height) = (picture.width / side, picture.height / side);
    let mean = |x: u32, y: u32, channel: u32| {
        let pixels = (0..side * side).map(|at| {
            let (x, y) = (x * side + at % side, y * side + at / side);
            u32::from(picture.pixels[(3 * (y * picture.width + x) + channel) as usize])
        });
        u8::try_from(pixels.sum::<u32>() / (side * side)).expect("a mean of bytes is a byte")
    };
    let all = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let pixels = all.flat_map(|(x, y)| (0..3).map(move |channel| mean(x, y, channel))).collect();
    Frame { width, height, pixels }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_picture_is_made_of_means() {
        // 64 wide: squares of 2. Columns of 0, 100, 0, 100, ... average to 50.
        let pixels = (0..64 * 48_u32).flat_map(|at| [if at % 2 == 0 { 0 } else { 100 }; 3]);
        let picture = Frame { width: 64, height: 48, pixels: pixels.collect() };
        let shrunk = small(&picture);
        assert_eq!((shrunk.width, shrunk.height), (32, 24));
        assert_eq!(shrunk.pixels, vec![50; 32 * 24 * 3]);
        // Smaller ones stay as they are, odd ones lose an edge.
        let tiny = Frame::filled(5, 3, [1, 2, 3]);
        assert_eq!(small(&tiny), tiny);
        assert_eq!(small(&Frame::filled(97, 50, [9; 3])), Frame::filled(32, 16, [9; 3]));
    }
}
