//! A file that is read but never written: changes stay in memory.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::{Mutex, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

const PAGE: usize = 4096;

/// The store's view of a file while it is checked. Opening a database already writes to it, and
/// mends it; what turns out to be damaged has to stay as it was found.
#[derive(Debug)]
pub(crate) struct Overlay {
    file: FileBackend,
    changes: Mutex<Changes>,
}

#[derive(Debug)]
struct Changes {
    pages: BTreeMap<u64, Box<[u8]>>,
    /// Length as the store set it.
    length: u64,
    /// Bytes of the file that were never cut off.
    kept: u64,
}

impl Overlay {
    pub(crate) fn new(file: FileBackend) -> io::Result<Self> {
        let length = file.len()?;
        let changes = Changes { pages: BTreeMap::new(), length, kept: length };
        Ok(Self { file, changes: Mutex::new(changes) })
    }

    /// Calls `each` with every page that `length` bytes from `offset` touch, and the range in it.
    fn pages(
        &self,
        offset: u64,
        length: usize,
        mut each: impl FnMut(&mut Changes, u64, usize, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let end = offset.checked_add(length as u64).filter(|end| *end <= changes.length);
        if end.is_none() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut page, mut done) = (offset / PAGE as u64, 0);
        let mut start = usize::try_from(offset % PAGE as u64).unwrap_or_default();
        while done < length {
            let end = PAGE.min(start + length - done);
            each(&mut changes, page, start, end)?;
            (page, done, start) = (page + 1, done + end - start, 0);
        }
        Ok(())
    }

    /// A page as the file has it, zeros beyond its end.
    fn original(&self, changes: &Changes, page: u64) -> io::Result<Box<[u8]>> {
        let mut bytes = vec![0; PAGE].into_boxed_slice();
        let start = page * PAGE as u64;
        let left = changes.kept.saturating_sub(start).min(PAGE as u64);
        let left = usize::try_from(left).unwrap_or(PAGE);
        self.file.read(start, &mut bytes[..left])?;
        Ok(bytes)
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.changes.lock().unwrap_or_else(PoisonError::into_inner).length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        self.pages(offset, out.len(), |changes, page, start, end| {
            let out = &mut out[done..done + end - start];
            done += end - start;
            match changes.pages.get(&page) {
                Some(bytes) => out.copy_from_slice(&bytes[start..end]),
                None => out.copy_from_slice(&self.original(changes, page)?[start..end]),
            }
            Ok(())
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if length < changes.length {
            let (page, start) = (length / PAGE as u64, length % PAGE as u64);
            changes.pages.split_off(&length.div_ceil(PAGE as u64));
            if let Some(bytes) = changes.pages.get_mut(&page) {
                bytes[usize::try_from(start).unwrap_or_default()..].fill(0);
            }
        }
        changes.kept = changes.kept.min(length);
        changes.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut done = 0;
        self.pages(offset, data.len(), |changes, page, start, end| {
            if !changes.pages.contains_key(&page) {
                let bytes = self.original(changes, page)?;
                changes.pages.insert(page, bytes);
            }
            if let Some(bytes) = changes.pages.get_mut(&page) {
                bytes[start..end].copy_from_slice(&data[done..done + end - start]);
            }
            done += end - start;
            Ok(())
        })
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn acts_as_a_file_and_leaves_the_file_alone(
            original in prop::collection::vec(any::<u8>(), 0..10_000),
            calls in prop::collection::vec((0_u8..3, 0_usize..14_000, 1_usize..9000), 1..20),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            fs::write(&path, &original).unwrap();
            let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
            let overlay = Overlay::new(FileBackend::new(file).unwrap()).unwrap();
            let mut model = original.clone();
            for (fill, (call, at, length)) in (1..).zip(calls) {
                match call {
                    0 => {
                        overlay.set_len(at as u64).unwrap();
                        model.resize(at, 0);
                    }
                    1 => {
                        let written = overlay.write(at as u64, &vec![fill; length]);
                        prop_assert_eq!(written.is_ok(), at + length <= model.len());
                        if written.is_ok() {
                            model[at..at + length].fill(fill);
                        }
                    }
                    _ => {
                        let mut out = vec![0; length];
                        let read = overlay.read(at as u64, &mut out);
                        prop_assert_eq!(read.is_ok(), at + length <= model.len());
                        if read.is_ok() {
                            prop_assert_eq!(&out, &model[at..at + length]);
                        }
                    }
                }
                prop_assert_eq!(overlay.len().unwrap(), model.len() as u64);
            }
            prop_assert_eq!(fs::read(&path).unwrap(), original);
        }
    }
}
