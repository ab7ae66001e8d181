//! What the file holds, and whether all of it adds up.

use std::collections::BTreeSet;

use redb::{ReadableTable, ReadableTableMetadata};

use super::batch::{AGES, FRAMES, Totals};
use super::error::{ColdError, store};
use super::run::{Entry, RunId};
use super::{Cold, guarded};

/// What a memory holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Runs, and those of them that are pinned.
    pub runs: u64,
    /// Runs that are never let go for others.
    pub pinned: u64,
    /// Frames in them.
    pub frames: u64,
    /// Bytes of all runs: what the budget limits.
    pub payload_bytes: u64,
    /// Bytes that the file takes of the disk.
    pub disk_bytes: u64,
    /// Sessions of which anything is left.
    pub sessions: u64,
    /// When the oldest run was kept, in seconds since 1970.
    pub oldest: Option<u64>,
    /// When the newest run was kept, in seconds since 1970.
    pub newest: Option<u64>,
    /// Uses of the runs held.
    pub uses: u64,
    /// Hits of the runs held.
    pub hits: u64,
}

/// What was checked and found sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Runs.
    pub runs: u64,
    /// Frames.
    pub frames: u64,
    /// Bytes of the runs.
    pub payload_bytes: u64,
    /// Whether the store had to mend its own books, as after a crash; the runs are sound.
    pub mended: bool,
}

impl Cold {
    /// What the memory holds.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn stat(&self) -> Result<Stat, ColdError> {
        let entries = self.entries()?;
        let totals = self.totals()?;
        let sum = |of: fn(&Entry) -> u32| entries.iter().map(|entry| u64::from(of(entry))).sum();
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let kept = entries.iter().map(|entry| entry.kept_at);
        let sessions: BTreeSet<u32> = entries.iter().map(|entry| entry.session).collect();
        Ok(Stat {
            runs: totals.runs,
            pinned: count(entries.iter().filter(|entry| entry.pinned).count()),
            frames: totals.frames,
            payload_bytes: totals.bytes,
            disk_bytes: self.disk_bytes()?,
            sessions: count(sessions.len()),
            oldest: kept.clone().min(),
            newest: kept.max(),
            uses: sum(|entry| entry.uses),
            hits: sum(|entry| entry.hits),
        })
    }

    /// Recomputes every checksum and every total, of the store and of the runs in it.
    ///
    /// # Errors
    /// [`ColdError::Damaged`] where one differs.
    pub fn verify(&mut self) -> Result<Verified, ColdError> {
        let sound = guarded(|| self.database_mut()?.check_integrity().map_err(store))?;
        let entries = self.entries()?;
        let totals = self.totals()?;
        let mut found = Totals { runs: 0, frames: 0, bytes: 0, pinned_bytes: 0, ..totals };
        for entry in &entries {
            if usize::from(entry.frames) != self.frames(entry.id)?.len() {
                return Err(ColdError::Damaged { reason: format!("run {} is cut", entry.id) });
            }
            let named = entry.last_use < totals.next_use
                && entry.id.0 < totals.next_run
                && entry.session <= totals.sessions;
            if !named {
                return Err(ColdError::Damaged {
                    reason: format!("run {} is unheard of", entry.id),
                });
            }
            found.add(entry);
        }
        if found != totals {
            return Err(ColdError::damaged("its totals do not add up"));
        }
        self.verify_ages(&entries)?;
        Ok(Verified {
            runs: totals.runs,
            frames: totals.frames,
            payload_bytes: totals.bytes,
            mended: !sound,
        })
    }

    /// Checks that ages name exactly the runs that can be let go, and pieces no others.
    fn verify_ages(&self, entries: &[Entry]) -> Result<(), ColdError> {
        let ages = self.read(|transaction| {
            let table = transaction.open_table(AGES).map_err(store)?;
            let row = |row: Result<_, _>| {
                let (last_use, run): (redb::AccessGuard<'_, u64>, redb::AccessGuard<'_, u32>) =
                    row.map_err(store)?;
                Ok((last_use.value(), RunId(run.value())))
            };
            table.iter().map_err(store)?.rev().map(row).collect::<Result<Vec<_>, ColdError>>()
        })?;
        let free = entries.iter().filter(|entry| !entry.pinned);
        if !free.map(|entry| (entry.last_use, entry.id)).eq(ages) {
            return Err(ColdError::damaged("its ages do not add up"));
        }
        let pieces = self.read(|transaction| {
            transaction.open_table(FRAMES).map_err(store)?.len().map_err(store)
        })?;
        let expected: u64 = entries.iter().map(Entry::pieces).sum();
        if pieces == expected {
            Ok(())
        } else {
            Err(ColdError::damaged("it holds pieces of no run"))
        }
    }
}
