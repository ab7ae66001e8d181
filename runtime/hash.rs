//! Hashes of frames: equal walks have equal hashes.

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};
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
        hex(&self.0.clone().finalize())
    }
}

/// SHA-256 of one frame's pixels, in hex.
pub fn frame_sha256(frame: &Frame) -> String {
    hex(&Sha256::digest(&frame.pixels))
}

/// SHA-256 of a file's bytes, in hex.
///
/// # Errors
/// When it cannot be read.
pub fn file_sha256(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let read = || format!("read {}", path.display());
    let mut file = File::open(path).with_context(read)?;
    std::io::copy(&mut file, &mut hash).with_context(read)?;
    Ok(hex(&hash.finalize()))
}

/// Bytes in hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_any_tool_gives() {
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let frame = |pixels: &[u8]| Frame { width: 1, height: 1, pixels: pixels.to_vec() };
        assert_eq!(frame_sha256(&frame(b"abc")), abc);
        let mut hash = FramesHash::default();
        hash.add(&frame(b"a"));
        hash.add(&frame(b"bc"));
        assert_eq!(hash.finish(), abc);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(file_sha256(&path).unwrap(), abc);
        let error = format!("{:#}", file_sha256(&dir.path().join("none")).unwrap_err());
        assert!(error.contains("none"), "{error}");
    }
}
