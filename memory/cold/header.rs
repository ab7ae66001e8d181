//! Whose memory a file is.

use super::bytes::{Reader, sealed, unsealed};
use super::error::ColdError;
use super::run::Layout;
use crate::feature::FeatureShape;

/// Format of the file; larger ones are of later versions.
///
/// Every later format keeps the header's first 4 bytes, the format, and its last 4, the checksum.
pub const FORMAT: u32 = 1;

/// Whose memory a file is: of one world, dreamed by one set of weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The world's name, at most 1000 bytes.
    pub world: String,
    /// SHA-256 of its weights.
    pub weights: [u8; 32],
    /// Size of its latents.
    pub shape: FeatureShape,
    /// Features of an action.
    pub action: usize,
}

/// Most bytes of a name, and most features of an action: far above any in use.
const WORLD_MAX: usize = 1000;
const ACTION_MAX: usize = 4096;

impl Header {
    /// Checks that sizes are in range.
    ///
    /// # Errors
    /// [`ColdError::Memory`] for the shape, [`ColdError::Run`] for the rest.
    pub fn validate(&self) -> Result<(), ColdError> {
        self.shape.validate()?;
        if self.world.len() > WORLD_MAX || self.action > ACTION_MAX {
            return Err(ColdError::Run {
                expected: format!("a name of {WORLD_MAX} bytes and {ACTION_MAX} action features"),
                got: format!("{} and {}", self.world.len(), self.action),
            });
        }
        Ok(())
    }

    /// Name of the file: `WORLD-HASH.memory`, the first 16 hexadecimal digits of the weights' hash,
    /// so that new weights leave the old file alone. Odd characters of the world become `_`.
    #[must_use]
    pub fn file_name(&self) -> String {
        let digits: String = self.weights[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}{digits}.memory", self.file_prefix())
    }

    /// What the names of all files of the world begin with.
    pub(crate) fn file_prefix(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
        self.world.chars().map(plain).chain(['-']).collect()
    }

    pub(crate) fn layout(&self) -> Layout {
        Layout { values: self.shape.values(), action: self.action }
    }

    /// `format: u32, name's length: u16, name, weights: [u8; 32], rows, columns, channels, action
    /// features: u32, crc: u32`, little-endian.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = FORMAT.to_le_bytes().to_vec();
        let length = u16::try_from(self.world.len()).unwrap_or(u16::MAX);
        bytes.extend(length.to_le_bytes());
        bytes.extend(self.world.as_bytes());
        bytes.extend(self.weights);
        let FeatureShape { rows, columns, channels } = self.shape;
        for size in [rows, columns, channels, self.action] {
            bytes.extend(u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes());
        }
        sealed(bytes)
    }

    /// Checks that `bytes` are this header.
    ///
    /// # Errors
    /// [`ColdError::Newer`] for a later format, [`ColdError::Damaged`] for anything else.
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<(), ColdError> {
        let content =
            unsealed(bytes).ok_or_else(|| ColdError::damaged("its header does not add up"))?;
        let format = Reader(content).u32().unwrap_or_default();
        if format > FORMAT {
            return Err(ColdError::Newer { format });
        }
        if bytes != self.encode() {
            return Err(ColdError::damaged("it is of another world or other weights"));
        }
        Ok(())
    }
}
