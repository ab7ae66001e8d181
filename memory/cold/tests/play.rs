//! Sessions: what one leaves, the next finds; what the writer does when it cannot write.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use super::*;
use crate::{
    BranchId, Estimate, Feature, FrameId, FrameStamp, History, Query, Ranking, Record, Selection,
};

/// Bits of a 16-bit float between -1 and 1, drawn from a seed.
pub(super) fn latent(seed: u64) -> Arc<[u16]> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let mut draw = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Sign, and exponents and digits of less than one.
        (u16::try_from(state >> 48).unwrap() % 0x3c00) | (u16::try_from(state >> 63).unwrap() << 15)
    };
    (0..SHAPE.values()).map(|_| draw()).collect()
}

/// The look of a latent: of normal 16-bit floats, as here, a float is a matter of shifting.
pub(super) fn look(latent: &[u16]) -> Result<Feature, crate::Error> {
    let value = |bits: &u16| {
        let (sign, rest) = (u32::from(bits & 0x8000) << 16, u32::from(bits & 0x7fff) << 13);
        f32::from_bits(sign | rest) * 2.0_f32.powi(112)
    };
    Feature::new(SHAPE, &latent.iter().map(value).collect::<Vec<_>>())
}

pub(super) fn offer(seed: u64, tick: u64, pinned: bool) -> Offer {
    let record = |at: u64| Record {
        stamp: FrameStamp { frame: FrameId(0), branch: BranchId(0), tick: tick + at },
        latent: latent(seed),
        action: [at as f32, 0.5].into(),
        feature: look(&latent(seed)).unwrap(),
        pose: None,
        reckoned: None,
    };
    Offer { records: (0..4).map(record).collect(), kept_at: 1000 + tick, pinned }
}

pub(super) fn start(cold: Cold) -> (ColdWriter, History, Restored) {
    let mut history = History::new(SHAPE, 100, 8).unwrap();
    let (restored, key_frames) = cold.restore(&mut history, 60, look).unwrap();
    (ColdWriter::start(cold, key_frames).unwrap(), history, restored)
}

#[test]
fn a_later_session_finds_what_was_seen() {
    let (_folder, path) = place();
    let (writer, _, restored) = start(open(&path, 1 << 20));
    assert_eq!(restored.frames, 0);
    writer.keep(offer(0, 0, true));
    for view in 0..20 {
        writer.keep(offer(view, 4 * view, false));
        writer.keep(offer(view, 4 * view + 400, false));
    }
    writer.flush();
    // The view that is pinned was refreshed twice, each other once.
    let expected = Written { kept: 20, refreshed: 21, evicted: 0, lost: 0 };
    assert_eq!((writer.written(), writer.close()), (expected, None));

    let (writer, mut history, restored) = start(open(&path, 1 << 20));
    // 60 frames: the pinned run and the last used 14.
    assert_eq!((restored.frames, history.warm().len()), (60, 60));
    let estimate = look(&latent(17)).unwrap().to_estimate().unwrap();
    let hits = ranked(&history, &estimate);
    assert!(hits.iter().all(|hit| hit.1 > 0.99), "{hits:?}");
    let origin = restored.origin(hits[0].0.frame).expect("it is of the first session");
    assert_eq!((origin.session, hits[0].0.tick / 4), (1, 17));
    assert_eq!(restored.runs_of(hits.iter().map(|hit| hit.0.frame)), [origin.run]);
    writer.touch(vec![origin.run]);
    // The new session goes on in a branch and with names of its own.
    let newest = history.begin().unwrap();
    assert!(history.warm().frames().iter().all(|record| record.stamp.branch != newest));
    writer.keep(offer(99, 0, false));
    assert_eq!(writer.close(), None);

    let cold = open(&path, 1 << 20);
    let entries = cold.entries().unwrap();
    assert_eq!((entries[1].id, entries[1].hits, entries[1].session), (origin.run, 1, 1));
    assert_eq!((entries[0].session, entries.len()), (2, 21));
    let mut history = History::new(SHAPE, 100, 8).unwrap();
    let (restored, key_frames) = cold.restore(&mut history, 1000, look).unwrap();
    // Two sessions, two branches; names in the order of play.
    assert_eq!((restored.frames, key_frames.len()), (84, 21));
    let mut stamps: Vec<_> = history.warm().frames().iter().map(|r| r.stamp).collect();
    stamps.sort_by_key(|stamp| stamp.frame);
    assert!(stamps.is_sorted_by_key(|stamp| (stamp.branch, stamp.tick)));
    assert_eq!(stamps[83].branch.0 - stamps[0].branch.0, 1);
}

fn ranked(history: &History, estimate: &Estimate) -> Vec<(FrameStamp, f32)> {
    let query = Query {
        estimate,
        branch: history.branch(),
        tick: 0,
        ticks_per_second: 10.0,
        pose: None,
        reckoned: &[],
        map: None,
        packed: &[],
    };
    let selection = Selection { count: 4, apart_ticks: 0, exclude: &[] };
    let ranking = Ranking::Similarity { time_weight: 0.0 };
    let hits = history.rank(&query, ranking, &selection).unwrap();
    hits.into_iter().map(|hit| (hit.stamp, hit.score)).collect()
}

#[test]
fn the_writer_lets_views_go_with_their_runs() {
    let (_folder, path) = place();
    let (writer, _, _) = start(open(&path, 3 * weight(4)));
    for view in 0..5 {
        writer.keep(offer(view, 0, false));
    }
    // Gone, so its view is new again.
    writer.keep(offer(0, 50, false));
    writer.flush();
    assert_eq!(writer.written(), Written { kept: 6, refreshed: 0, evicted: 3, lost: 0 });
    let odd =
        Offer { records: vec![offer(7, 0, false).records[0].clone(); 5], ..offer(7, 0, false) };
    writer.keep(odd);
    writer.keep(offer(8, 0, false));
    writer.flush();
    assert_eq!((writer.written().kept, writer.lost()), (7, 1));
    let notice = writer.close().expect("it is told once");
    assert_eq!(notice, "memory left a run out: expected a run of 1 to 4 frames, got 5");
    assert_eq!(open(&path, 1 << 20).stat().unwrap().runs, 3);
}

#[test]
fn what_finds_the_queue_full_is_dropped_and_counted() {
    let (_folder, path) = place();
    let (writer, _, _) = start(open(&path, 1 << 20));
    let offers: Vec<_> = (0..500).map(|view| offer(view, 0, false)).collect();
    for offer in offers {
        writer.keep(offer);
    }
    writer.flush();
    let written = writer.written();
    assert!(written.lost > 0 && written.kept > 0, "{written:?}");
    assert_eq!(written.kept + written.lost, 500);
    drop(writer);
    assert_eq!(open(&path, 1 << 20).stat().unwrap().runs, written.kept);
}

/// A disk of so many bytes, which keeps whoever writes waiting while it is busy.
#[derive(Debug)]
struct SmallDisk {
    inner: InMemoryBackend,
    bytes: Arc<AtomicU64>,
    busy: Arc<Mutex<()>>,
}

impl StorageBackend for SmallDisk {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        if length > self.bytes.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inner.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        let _free = self.busy.lock().expect("no test panics while holding it");
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset + data.len() as u64 > self.bytes.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inner.write(offset, data)
    }
}

/// Memory on a disk of `bytes`, with its writer.
fn on_a_disk(bytes: &Arc<AtomicU64>, busy: &Arc<Mutex<()>>) -> ColdWriter {
    let (bytes, busy) = (Arc::clone(bytes), Arc::clone(busy));
    let disk = SmallDisk { inner: InMemoryBackend::new(), bytes, busy };
    let database = Database::builder().create_with_backend(disk).unwrap();
    open::initialize(&database, &header()).unwrap();
    let cold = Cold {
        database: Some(database),
        path: PathBuf::from("none"),
        shape: SHAPE,
        layout: header().layout(),
        budget_bytes: 1 << 30,
        session: 1,
    };
    ColdWriter::start(cold, KeyFrames::new(SHAPE, 0.9).unwrap()).unwrap()
}

#[test]
fn a_full_disk_ends_memory_and_not_the_game() {
    for full in [2 << 20, 0] {
        let bytes = Arc::new(AtomicU64::new(4 << 20));
        let writer = on_a_disk(&bytes, &Arc::default());
        writer.keep(offer(0, 0, false));
        writer.flush();
        bytes.store(full, Ordering::Relaxed);
        let mut notice = None;
        for view in 1..20_000 {
            writer.keep(offer(view, 0, false));
            if view % 100 == 0 {
                writer.flush();
                notice = writer.notice();
            }
            if notice.is_some() {
                break;
            }
        }
        let notice = notice.expect("the disk is full");
        assert!(notice.starts_with("memory stopped: memory cannot be read or written"), "{notice}");
        writer.keep(offer(1, 0, false));
        assert!(writer.lost() > 0);
        assert_eq!((writer.notice(), writer.close()), (None, None));
    }
}

#[test]
fn the_game_never_waits_for_a_disk_that_does_not_answer() {
    let busy = Arc::new(Mutex::new(()));
    let writer = on_a_disk(&Arc::new(AtomicU64::new(1 << 30)), &busy);
    let waiting = busy.lock().unwrap();
    // Many more than the queue holds; one that waited would wait for ever.
    for view in 0..300 {
        writer.keep(offer(view, 0, false));
    }
    assert!(writer.lost() > 0, "the queue was full, and nobody waited");
    drop(waiting);
    writer.flush();
    let written = writer.written();
    assert_eq!(written.kept + written.lost, 300);
}
