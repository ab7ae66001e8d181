//! Shared memory that frames are handed over in: a file whose slots are filled and read in turn.

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// Folder in which Linux shows shared memory as files.
pub(super) const SHARED_MEMORY: &str = "/dev/shm";
/// Most slots of a ring.
const SLOTS_MAX: usize = 64;
/// Longest name of shared memory, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// Slots of the host's shared memory. What is written into the file is seen in the memory, without a map of our own.
#[derive(Debug)]
pub(super) struct Ring {
    file: File,
    slot_bytes: u64,
    /// Slots that the host has read, or never held anything, in the order in which they are filled.
    free: Vec<usize>,
    slots: usize,
}

impl Ring {
    /// Opens the shared memory of this name in `folder`.
    ///
    /// # Errors
    /// When the name is that of another place, or the memory is not there or too small.
    pub(super) fn open(folder: &Path, name: &str, slots: usize, slot_bytes: u64) -> Result<Self> {
        let is_plain =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        ensure!(
            name.bytes().all(is_plain) && !name.starts_with('.') && !name.is_empty(),
            "expected ring_name to be letters, digits, _, - and . only, got {name:?}"
        );
        ensure!(name.len() <= NAME_BYTES_MAX, "expected a shorter ring_name");
        ensure!((1..=SLOTS_MAX).contains(&slots), "expected 1 to {SLOTS_MAX} slots, got {slots}");
        let path = folder.join(name);
        let found = std::fs::symlink_metadata(&path)
            .with_context(|| format!("open the shared memory {}", path.display()))?;
        ensure!(found.is_file(), "expected shared memory, got something else: {}", path.display());
        let wanted = u64::try_from(slots)?.checked_mul(slot_bytes);
        ensure!(
            wanted.is_some_and(|wanted| wanted <= found.len()),
            "expected shared memory of {slots} slots of {slot_bytes} bytes, got {} bytes",
            found.len()
        );
        let file = OpenOptions::new().write(true).open(&path);
        let file = file.with_context(|| format!("open the shared memory {}", path.display()))?;
        Ok(Self { file, slot_bytes, free: (0..slots).collect(), slots })
    }

    /// Whether no slot may be filled before the host has read one.
    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    /// Every slot may be filled: a new walk begins.
    pub(super) fn clear(&mut self) {
        self.free = (0..self.slots).collect();
    }

    /// Fills the next free slot and says which it is.
    pub(super) fn fill(&mut self, pictures: &[&[u8]]) -> Result<usize> {
        let bytes: usize = pictures.iter().map(|picture| picture.len()).sum();
        ensure!(
            u64::try_from(bytes)? <= self.slot_bytes,
            "expected slots of {bytes} bytes at least, got {}",
            self.slot_bytes
        );
        ensure!(!self.is_full(), "expected an ack of the host before another section");
        let slot = self.free.remove(0);
        self.file.seek(SeekFrom::Start(u64::try_from(slot)? * self.slot_bytes))?;
        for picture in pictures {
            self.file.write_all(picture)?;
        }
        Ok(slot)
    }

    /// The host has read a slot.
    pub(super) fn release(&mut self, slot: usize) -> Result<()> {
        ensure!(
            slot < self.slots && !self.free.contains(&slot),
            "expected an ack of a slot that was filled, got {slot}"
        );
        self.free.push(slot);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn memory(bytes: usize) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("psm_1"), vec![0; bytes]).unwrap();
        dir
    }

    #[test]
    fn slots_are_filled_in_turn_and_only_once_read() {
        let dir = memory(12);
        let mut ring = Ring::open(dir.path(), "psm_1", 2, 6).unwrap();
        assert_eq!(ring.fill(&[&[1, 2, 3], &[4, 5, 6]]).unwrap(), 0);
        assert_eq!(ring.fill(&[&[7]]).unwrap(), 1);
        assert!(ring.is_full() && ring.fill(&[&[8]]).is_err());
        ring.release(1).unwrap();
        assert!(ring.release(1).is_err() && ring.release(2).is_err());
        assert_eq!(ring.fill(&[&[9, 9]]).unwrap(), 1);
        let bytes = std::fs::read(dir.path().join("psm_1")).unwrap();
        assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 9, 9, 0, 0, 0, 0]);
        let error = ring.fill(&[&[0; 7]]).unwrap_err().to_string();
        assert_eq!(error, "expected slots of 7 bytes at least, got 6");
        ring.clear();
        assert_eq!(ring.fill(&[&[1]]).unwrap(), 0);
    }

    #[test]
    fn only_shared_memory_that_is_there_and_large_enough_is_opened() {
        let dir = memory(12);
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        let check = |name: &str, slots, bytes, expected: &str| {
            let error = format!("{:#}", Ring::open(dir.path(), name, slots, bytes).unwrap_err());
            assert!(error.contains(expected), "{name:?}: {error}");
        };
        for name in ["", ".", "..", "a/b", "/etc/passwd", "../psm_1", "a\\b", "a\0b"] {
            check(name, 2, 6, "expected ring_name to be letters");
        }
        check(&"a".repeat(256), 2, 6, "expected a shorter ring_name");
        check("psm_2", 2, 6, "open the shared memory");
        check("folder", 2, 6, "got something else");
        check("psm_1", 0, 6, "expected 1 to 64 slots, got 0");
        check("psm_1", 65, 0, "expected 1 to 64 slots, got 65");
        check("psm_1", 2, 7, "2 slots of 7 bytes, got 12 bytes");
        check("psm_1", 2, u64::MAX, "got 12 bytes");
    }

    proptest! {
        #[test]
        fn no_name_leads_out_of_the_folder(name in "[a-z./\\\\]{0,8}") {
            let dir = memory(12);
            let inner = dir.path().join("inner");
            std::fs::create_dir(&inner).unwrap();
            prop_assert!(Ring::open(&inner, &name, 1, 1).is_err());
        }
    }
}
