//! Cold memory: what outlives the program, in one file for each world and weights.
//!
//! The file is a [`redb`] database: copy on write, every commit atomic and durable, so that after
//! a crash it holds what was last committed. It keeps *runs* of up to four successive frames, the
//! least recently used let go under a budget of bytes. `batch.rs` lists the tables, `run.rs` and
//! `header.rs` say byte by byte what is in them; all of it is under checksums.
//!
//! - [`Cold`]: the file. A damaged or newer one is set aside, never overwritten;
//! - [`KeyFrames`]: which runs are worth keeping;
//! - [`ColdWriter`]: a thread that keeps them without ever blocking the game;
//! - [`Cold::restore`]: what was seen before, back in a [`History`](crate::History) at start.

mod batch;
mod bytes;
mod check;
mod error;
mod header;
mod key_frames;
mod open;
mod overlay;
mod restore;
mod run;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable};

pub use batch::{Kept, NewRun};
pub use check::{Stat, Verified};
pub use error::ColdError;
pub use header::{FORMAT, Header};
pub use key_frames::{Choice, KeyFrames};
pub use open::{Aside, Opened};
pub use restore::{Origin, Restored};
pub use run::{ColdFrame, Entry, RUN_FRAMES, Run, RunId};
pub use writer::{ColdWriter, Offer, Written};

use batch::{Batch, ENTRIES, FRAMES, TOTALS, Totals, piece};
use error::store;
use run::Layout;

use crate::feature::FeatureShape;

/// The memory of a world on disk, open.
pub struct Cold {
    /// Taken when it is closed.
    database: Option<Database>,
    path: PathBuf,
    shape: FeatureShape,
    layout: Layout,
    budget_bytes: u64,
    session: u32,
}

impl Cold {
    /// Bytes of runs kept where nothing else is asked for: at 16×12 latents of 16 channels 10 000
    /// runs, or 40 minutes of views that all differ.
    pub const BUDGET_DEFAULT: u64 = 256 << 20;

    /// Where the file lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Most bytes of runs kept.
    #[must_use]
    pub fn budget_bytes(&self) -> u64 {
        self.budget_bytes
    }

    /// Number of this session, from 1; one that keeps nothing gives its number to the next.
    #[must_use]
    pub fn session(&self) -> u32 {
        self.session
    }

    /// Keeps a run as the most recently used, and lets the least recently used go for it. Durable
    /// when it returns.
    ///
    /// # Errors
    /// [`ColdError::Run`] and [`ColdError::TooLarge`] where the run is refused; others where
    /// nothing can be kept any more.
    pub fn keep(&mut self, run: &NewRun) -> Result<Kept, ColdError> {
        self.write(|batch| batch.keep(run))
    }

    /// Marks runs as hit, the last as the most recently used; those that are gone are passed over.
    ///
    /// # Errors
    /// Where nothing can be written any more.
    pub fn touch(&mut self, runs: &[RunId]) -> Result<(), ColdError> {
        self.write(|batch| runs.iter().try_for_each(|run| batch.touch(*run, true).map(|_| ())))
    }

    /// Lets the least recently used runs go until at most `bytes` are held, or only pinned ones;
    /// then gives the room back to the disk.
    ///
    /// # Errors
    /// Where the file cannot be read or written any more.
    pub fn prune(&mut self, bytes: u64) -> Result<Vec<RunId>, ColdError> {
        let evicted = self.write(|batch| batch.evict(bytes))?;
        self.compact()?;
        Ok(evicted)
    }

    /// Lets everything go, pinned runs as well, and gives the room back to the disk.
    ///
    /// # Errors
    /// Where the file cannot be read or written any more.
    pub fn forget(&mut self) -> Result<(), ColdError> {
        self.write(|batch| batch.clear())?;
        self.compact()
    }

    /// All runs without their frames, the last used first.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn entries(&self) -> Result<Vec<Entry>, ColdError> {
        self.read(|transaction| {
            let table = transaction.open_table(ENTRIES).map_err(store)?;
            let mut entries = Vec::new();
            for row in table.iter().map_err(store)? {
                let (id, bytes) = row.map_err(store)?;
                entries.push(Entry::decode(RunId(id.value()), bytes.value())?);
            }
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.last_use));
            Ok(entries)
        })
    }

    /// A run's frames; its name as [`Self::entries`] gave it.
    ///
    /// # Errors
    /// Where the run is not there, or the file cannot be read.
    pub fn frames(&self, run: RunId) -> Result<Vec<ColdFrame>, ColdError> {
        self.read(|transaction| {
            let table = transaction.open_table(FRAMES).map_err(store)?;
            let mut bytes = Vec::new();
            for row in table.range(piece(run, 0)..=piece(run, u16::MAX)).map_err(store)? {
                let (_, piece) = row.map_err(store)?;
                if bytes.len() + piece.value().len() > self.layout.bytes_max() {
                    return Err(ColdError::Damaged { reason: format!("run {run} is too long") });
                }
                bytes.extend_from_slice(piece.value());
            }
            self.layout.decode(run, &bytes)
        })
    }

    /// All runs with their frames, the last used first; each is read when it comes up.
    ///
    /// # Errors
    /// Where the file cannot be read; items too.
    pub fn export(&self) -> Result<impl Iterator<Item = Result<Run, ColdError>> + '_, ColdError> {
        let read = |entry: Entry| Ok(Run { entry, frames: self.frames(entry.id)? });
        Ok(self.entries()?.into_iter().map(read))
    }

    /// Closes the file. One that takes more than 1.5 budgets of the disk is packed, which takes
    /// seconds; answers whether. That is seldom so: a full file is made twice as long by the store with
    /// the first run that is kept in it, but what was never written there takes no room.
    ///
    /// # Errors
    /// Where the file cannot be written; what was kept is safe all the same.
    pub fn close(mut self) -> Result<bool, ColdError> {
        let database = self.database.take();
        // What lies free at its end is cut off.
        guarded(|| {
            drop(database);
            Ok(())
        })?;
        if self.disk_bytes()? <= self.budget_bytes.saturating_mul(3) / 2 {
            return Ok(false);
        }
        match guarded(|| open::open_store(&self.path, open::Access::Write)) {
            Ok(database) => self.database = Some(database),
            // Another program has begun to use it, and will close it.
            Err(ColdError::Locked { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
        self.compact()?;
        Ok(true)
    }

    fn compact(&mut self) -> Result<(), ColdError> {
        guarded(|| self.database_mut()?.compact().map(|_| ()).map_err(store))
    }

    /// Bytes that the file takes of the disk; where that is not told, its length.
    fn disk_bytes(&self) -> Result<u64, ColdError> {
        let io = |source| ColdError::Io { path: self.path.clone(), source };
        let file = std::fs::metadata(&self.path).map_err(io)?;
        #[cfg(unix)]
        // In blocks of this size, whatever those of the file system.
        let bytes = std::os::unix::fs::MetadataExt::blocks(&file) * 512;
        #[cfg(not(unix))]
        let bytes = file.len();
        Ok(bytes)
    }

    /// Runs `work` in one transaction, durable when it returns; with an error none of it is done.
    pub(crate) fn write<T>(
        &mut self,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, ColdError>,
    ) -> Result<T, ColdError> {
        guarded(|| {
            let mut transaction = self.database()?.begin_write().map_err(store)?;
            // After a crash the file opens without a walk through all of it.
            transaction.set_quick_repair(true);
            let mut batch = Batch::new(&transaction, self.layout, self.budget_bytes, self.session)?;
            let done = work(&mut batch)?;
            let totals = batch.totals.encode();
            drop(batch);
            let mut table = transaction.open_table(TOTALS).map_err(store)?;
            table.insert(0, totals.as_slice()).map_err(store)?;
            drop(table);
            transaction.commit().map_err(store)?;
            Ok(done)
        })
    }

    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, ColdError>,
    ) -> Result<T, ColdError> {
        guarded(|| work(&self.database()?.begin_read().map_err(store)?))
    }

    pub(crate) fn totals(&self) -> Result<Totals, ColdError> {
        self.read(|transaction| {
            let table = transaction.open_table(TOTALS).map_err(store)?;
            let bytes = table.get(0).map_err(store)?;
            let bytes = bytes.ok_or_else(|| ColdError::damaged("it says nothing of itself"))?;
            Totals::decode(bytes.value())
        })
    }

    fn database(&self) -> Result<&Database, ColdError> {
        self.database.as_ref().ok_or_else(|| store(redb::Error::DatabaseClosed))
    }

    fn database_mut(&mut self) -> Result<&mut Database, ColdError> {
        self.database.as_mut().ok_or_else(|| store(redb::Error::DatabaseClosed))
    }
}

impl Drop for Cold {
    fn drop(&mut self) {
        let database = self.database.take();
        // Commits are durable already; one that cannot be closed is repaired when it is opened.
        let _not_closed = guarded(|| {
            drop(database);
            Ok(())
        });
    }
}

impl fmt::Debug for Cold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cold").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Runs `work` on a file that may hold anything.
///
/// The store asserts what it believes of its own pages, so a file with damage that it does not
/// look for can make it panic; that is damage like any other.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, ColdError>) -> Result<T, ColdError> {
    // Nothing is used after a panic but to be dropped, under this guard too.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason");
        Err(ColdError::Damaged { reason: format!("its store gave up: {text}") })
    })
}
