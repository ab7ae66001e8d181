//! One hash over all frames of a walk: equal walks have equal hashes.

use std::fmt::Write as _;

use input::Frame;
use sha2::{Digest as _, Sha256};

/// SHA-256 over the pixels of frames in order.
#[derive(Clone, Debug, Default)]
pub struct FramesHash(Sha256);

impl FramesHash {
    /// Adds a frame.
    pub fn add(&mut self, frame: &Frame) {
        self.0.update(&frame.pixels);
    }

    /// The hash of all frames so far, in hex.
    pub fn finish(&self) -> String {
        self.0.clone().finalize().iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_any_tool_gives() {
        let mut hash = FramesHash::default();
        hash.add(&Frame { width: 1, height: 1, pixels: b"abc".to_vec() });
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            hash.finish(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
