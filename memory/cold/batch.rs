//! The tables of the file, and what one transaction does to them.

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use super::bytes::{Reader, or_damaged, sealed, unsealed};
use super::error::{ColdError, store};
use super::run::{ColdFrame, Entry, Layout, RunId};

/// Key 0: [`Header`](super::Header).
pub(crate) const HEADER: TableDefinition<'_, u8, &[u8]> = TableDefinition::new("header");
/// Key 0: [`Totals`].
pub(crate) const TOTALS: TableDefinition<'_, u8, &[u8]> = TableDefinition::new("totals");
/// [`Entry`] by run.
pub(crate) const ENTRIES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("entries");
/// Pieces of a run's frames, by [`piece`].
pub(crate) const FRAMES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("frames");
/// Runs that are not pinned, by last use.
pub(crate) const AGES: TableDefinition<'_, u64, u32> = TableDefinition::new("ages");

/// Bytes of a piece: what a page of 4096 holds beside 4 of its own, an 8-byte key and a length.
/// The store gives a longer value a power of two of pages: up to twice what it needs.
pub(crate) const PIECE: usize = 4096 - 4 - 8 - 4;

/// Key of a piece of a run.
pub(crate) fn piece(run: RunId, at: u16) -> u64 {
    (u64::from(run.0) << 16) | u64::from(at)
}

/// What the file holds altogether, and the names it gives next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) runs: u64,
    pub(crate) frames: u64,
    /// Bytes of all runs, and of the pinned ones among them.
    pub(crate) bytes: u64,
    pub(crate) pinned_bytes: u64,
    pub(crate) next_run: u32,
    pub(crate) next_use: u64,
    /// The last session that kept anything.
    pub(crate) sessions: u32,
}

impl Totals {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(52);
        for value in [self.runs, self.frames, self.bytes, self.pinned_bytes, self.next_use] {
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend(self.next_run.to_le_bytes());
        bytes.extend(self.sessions.to_le_bytes());
        sealed(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ColdError> {
        or_damaged(Self::read(bytes), || "what it says of itself".to_owned())
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(unsealed(bytes)?);
        let totals = Self {
            runs: reader.u64()?,
            frames: reader.u64()?,
            bytes: reader.u64()?,
            pinned_bytes: reader.u64()?,
            next_use: reader.u64()?,
            next_run: reader.u32()?,
            sessions: reader.u32()?,
        };
        reader.end().map(|()| totals)
    }

    /// Counts a run in.
    pub(crate) fn add(&mut self, entry: &Entry) {
        self.runs += 1;
        self.frames += u64::from(entry.frames);
        self.bytes += u64::from(entry.bytes);
        self.pinned_bytes += if entry.pinned { u64::from(entry.bytes) } else { 0 };
    }
}

/// A run to keep.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRun {
    /// Its frames, 1 to [`RUN_FRAMES`](super::RUN_FRAMES), oldest first.
    pub frames: Vec<ColdFrame>,
    /// Seconds since 1970.
    pub kept_at: u64,
    /// Whether it is never let go for others, as the frames a world starts from.
    pub pinned: bool,
}

/// A run that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub id: RunId,
    /// The runs that were let go for it, least recently used first.
    pub evicted: Vec<RunId>,
}

/// One transaction: all of it lasts, or none.
pub(crate) struct Batch<'t> {
    pub(crate) totals: Totals,
    layout: Layout,
    budget_bytes: u64,
    session: u32,
    entries: Table<'t, u32, &'static [u8]>,
    frames: Table<'t, u64, &'static [u8]>,
    ages: Table<'t, u64, u32>,
}

impl<'t> Batch<'t> {
    pub(crate) fn new(
        transaction: &'t WriteTransaction,
        layout: Layout,
        budget_bytes: u64,
        session: u32,
    ) -> Result<Self, ColdError> {
        let totals = transaction.open_table(TOTALS).map_err(store)?;
        let totals = match totals.get(0).map_err(store)? {
            Some(bytes) => Totals::decode(bytes.value())?,
            None => Totals::default(),
        };
        Ok(Self {
            totals,
            layout,
            budget_bytes,
            session,
            entries: transaction.open_table(ENTRIES).map_err(store)?,
            frames: transaction.open_table(FRAMES).map_err(store)?,
            ages: transaction.open_table(AGES).map_err(store)?,
        })
    }

    /// Keeps a run as the most recently used and lets the least recently used go for it.
    pub(crate) fn keep(&mut self, run: &NewRun) -> Result<Kept, ColdError> {
        let id = RunId(self.totals.next_run);
        let bytes = self.layout.encode(id, &run.frames)?;
        let weight = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let room = self.budget_bytes.saturating_sub(self.totals.pinned_bytes);
        if u64::from(weight) > room {
            return Err(ColdError::TooLarge { room, bytes: u64::from(weight) });
        }
        let evicted = self.evict(self.budget_bytes - u64::from(weight))?;

        self.totals.next_run = id.0.checked_add(1).ok_or(ColdError::NamesUsedUp)?;
        self.totals.sessions = self.totals.sessions.max(self.session);
        let entry = Entry {
            id,
            session: self.session,
            last_use: self.next_use()?,
            uses: 1,
            hits: 0,
            kept_at: run.kept_at,
            pinned: run.pinned,
            frames: u8::try_from(run.frames.len()).unwrap_or_default(),
            bytes: weight,
        };
        for (at, bytes) in (0..).zip(bytes.chunks(PIECE)) {
            self.frames.insert(piece(id, at), bytes).map_err(store)?;
        }
        self.put(&entry)?;
        self.totals.add(&entry);
        Ok(Kept { id, evicted })
    }

    /// Marks a run as used, if it is there; a hit is a use for a later section.
    pub(crate) fn touch(&mut self, id: RunId, hit: bool) -> Result<bool, ColdError> {
        let Some(mut entry) = self.entry(id)? else { return Ok(false) };
        self.ages.remove(entry.last_use).map_err(store)?;
        entry.last_use = self.next_use()?;
        entry.uses = entry.uses.saturating_add(1);
        entry.hits = entry.hits.saturating_add(u32::from(hit));
        self.put(&entry)?;
        Ok(true)
    }

    /// Lets the least recently used runs go until at most `bytes` are held, or only pinned ones.
    pub(crate) fn evict(&mut self, bytes: u64) -> Result<Vec<RunId>, ColdError> {
        let mut evicted = Vec::new();
        while self.totals.bytes > bytes {
            let Some((_, run)) = self.ages.pop_first().map_err(store)? else { break };
            let id = RunId(run.value());
            drop(run);
            let entry = self.entry(id)?.ok_or_else(|| ColdError::damaged("a run is gone"))?;
            self.entries.remove(id.0).map_err(store)?;
            let pieces = piece(id, 0)..=piece(id, u16::MAX);
            self.frames.retain_in(pieces, |_, _| false).map_err(store)?;
            self.totals.runs = self.totals.runs.saturating_sub(1);
            self.totals.frames = self.totals.frames.saturating_sub(u64::from(entry.frames));
            self.totals.bytes = self.totals.bytes.saturating_sub(u64::from(entry.bytes));
            evicted.push(id);
        }
        Ok(evicted)
    }

    /// Lets everything go, pinned runs as well; names are not given again.
    pub(crate) fn clear(&mut self) -> Result<(), ColdError> {
        self.entries.retain(|_, _| false).map_err(store)?;
        self.frames.retain(|_, _| false).map_err(store)?;
        self.ages.retain(|_, _| false).map_err(store)?;
        let Totals { next_run, sessions, next_use, .. } = self.totals;
        self.totals = Totals { next_run, sessions, next_use, ..Totals::default() };
        Ok(())
    }

    fn entry(&self, id: RunId) -> Result<Option<Entry>, ColdError> {
        let bytes = self.entries.get(id.0).map_err(store)?;
        bytes.map(|bytes| Entry::decode(id, bytes.value())).transpose()
    }

    fn put(&mut self, entry: &Entry) -> Result<(), ColdError> {
        self.entries.insert(entry.id.0, entry.encode().as_slice()).map_err(store)?;
        if !entry.pinned {
            self.ages.insert(entry.last_use, entry.id.0).map_err(store)?;
        }
        Ok(())
    }

    fn next_use(&mut self) -> Result<u64, ColdError> {
        let next = self.totals.next_use;
        self.totals.next_use = next.checked_add(1).ok_or(ColdError::NamesUsedUp)?;
        Ok(next)
    }
}
