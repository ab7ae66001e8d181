//! Budgets and ages against a naive list.

use proptest::prelude::*;

use super::*;

/// The same memory, written naively: least recently used first.
#[derive(Default)]
struct Model {
    runs: Vec<Run>,
    next: u32,
    session: u32,
    /// Sessions that kept anything.
    sessions: u32,
    uses: u64,
}

impl Model {
    fn bytes(&self, pinned: bool) -> u64 {
        let counted = self.runs.iter().filter(|run| !pinned || run.entry.pinned);
        counted.map(|run| u64::from(run.entry.bytes)).sum()
    }

    fn evict(&mut self, bytes: u64) -> Vec<RunId> {
        let mut evicted = Vec::new();
        while self.bytes(false) > bytes
            && let Some(at) = self.runs.iter().position(|run| !run.entry.pinned)
        {
            evicted.push(self.runs.remove(at).entry.id);
        }
        evicted
    }

    fn keep(&mut self, run: NewRun, budget: u64) -> Option<Kept> {
        let bytes = weight(run.frames.len());
        if self.bytes(true) + bytes > budget {
            return None;
        }
        let evicted = self.evict(budget - bytes);
        let id = RunId(self.next);
        let entry = Entry {
            id,
            session: self.session,
            last_use: self.uses,
            uses: 1,
            hits: 0,
            kept_at: run.kept_at,
            pinned: run.pinned,
            frames: run.frames.len().try_into().unwrap(),
            bytes: bytes.try_into().unwrap(),
        };
        self.runs.push(Run { entry, frames: run.frames });
        self.sessions = self.session;
        self.next += 1;
        self.uses += 1;
        Some(Kept { id, evicted })
    }

    fn touch(&mut self, id: RunId) {
        let Some(at) = self.runs.iter().position(|run| run.entry.id == id) else { return };
        let mut run = self.runs.remove(at);
        run.entry.last_use = self.uses;
        run.entry.uses += 1;
        run.entry.hits += 1;
        self.runs.push(run);
        self.uses += 1;
    }
}

#[derive(Clone, Debug)]
enum Call {
    Keep { frames: usize, value: u16, pinned: bool },
    Touch(Vec<u32>),
    Prune(u64),
    Forget,
    Reopen { budget: u64 },
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        8 => (1_usize..=4, any::<u16>(), prop::bool::weighted(0.1))
            .prop_map(|(frames, value, pinned)| Call::Keep { frames, value, pinned }),
        3 => prop::collection::vec(0_u32..40, 1..4).prop_map(Call::Touch),
        1 => (0_u64..4000).prop_map(Call::Prune),
        1 => Just(Call::Forget),
        1 => (0_u64..4000).prop_map(|budget| Call::Reopen { budget }),
    ]
}

/// The model's runs, the last used first.
fn expected(model: &Model) -> Vec<Run> {
    model.runs.iter().rev().cloned().collect()
}

proptest! {
    // Each case is a file, and each call a commit to disk.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn acts_as_the_naive_list(calls in prop::collection::vec(call(), 1..40)) {
        let (_folder, path) = place();
        let mut budget = 3000;
        let mut cold = open(&path, budget);
        let mut model = Model { session: 1, ..Model::default() };
        for call in calls {
            match call {
                Call::Keep { frames, value, pinned } => {
                    let run = new_run(frames, value, pinned);
                    let kept = cold.keep(&run);
                    let refused = matches!(kept, Err(ColdError::TooLarge { .. }));
                    prop_assert!(refused || kept.is_ok(), "{kept:?}");
                    prop_assert_eq!(kept.ok(), model.keep(run, budget));
                }
                Call::Touch(runs) => {
                    let runs: Vec<RunId> = runs.into_iter().map(RunId).collect();
                    cold.touch(&runs).unwrap();
                    runs.into_iter().for_each(|run| model.touch(run));
                }
                Call::Prune(bytes) => {
                    prop_assert_eq!(cold.prune(bytes).unwrap(), model.evict(bytes));
                }
                Call::Forget => {
                    cold.forget().unwrap();
                    model.runs.clear();
                }
                Call::Reopen { budget: next } => {
                    cold.close().unwrap();
                    budget = next;
                    cold = open(&path, budget);
                    model.evict(budget);
                    model.session = model.sessions + 1;
                }
            }
            let stat = cold.stat().unwrap();
            prop_assert_eq!(stat.payload_bytes, model.bytes(false));
            prop_assert!(stat.payload_bytes <= budget.max(model.bytes(true)));
            prop_assert_eq!(stat.runs, model.runs.len() as u64);
        }
        let runs = |cold: &Cold| cold.export().unwrap().collect::<Result<Vec<_>, _>>().unwrap();
        prop_assert_eq!(runs(&cold), expected(&model));
        let verified = cold.verify().unwrap();
        prop_assert!(!verified.mended);
        prop_assert_eq!(verified.payload_bytes, model.bytes(false));
        cold.close().unwrap();
        prop_assert_eq!(runs(&open(&path, budget)), expected(&model));
    }
}

#[test]
fn a_memory_says_what_it_holds() {
    let (_folder, path) = place();
    let mut cold = open(&path, 10_000);
    assert_eq!((cold.session(), cold.budget_bytes(), cold.path()), (1, 10_000, &*path));
    cold.keep(&new_run(4, 50, true)).unwrap();
    let second = cold.keep(&new_run(3, 70, false)).unwrap().id;
    cold.close().unwrap();
    let mut cold = open(&path, 10_000);
    cold.keep(&new_run(1, 60, false)).unwrap();
    cold.touch(&[second, RunId(99)]).unwrap();
    let stat = cold.stat().unwrap();
    assert_eq!((stat.runs, stat.pinned, stat.frames, stat.sessions), (3, 1, 8, 2));
    assert_eq!((stat.oldest, stat.newest, stat.uses, stat.hits), (Some(50), Some(70), 4, 1));
    assert_eq!(stat.payload_bytes, weight(4) + weight(3) + weight(1));
    assert!(stat.disk_bytes > stat.payload_bytes);
    // A session that keeps nothing leaves no trace.
    drop(cold);
    assert_eq!(open(&path, 10_000).session(), 3);
    assert_eq!(open(&path, 10_000).session(), 3);
}

#[test]
fn the_file_stays_near_the_budget_and_need_not_be_packed() {
    // Latents of the default world, and 200 runs of them.
    let shape = FeatureShape { rows: 12, columns: 16, channels: 16 };
    let header = Header { shape, ..header() };
    let (_folder, path) = place();
    let budget = 200 * 25_000;
    // The file is filled, and in later sessions a part of it or all of it is replaced.
    for kept in [500_u16, 20, 20, 300] {
        let mut cold = Cold::open(&path, &header, budget).unwrap().cold;
        for value in 0..kept {
            let mut run = new_run(4, value, false);
            for frame in &mut run.frames {
                frame.latent = (0..3072).map(|at| (at + value) % 0x7c00).collect();
            }
            cold.keep(&run).unwrap();
        }
        let payload = cold.stat().unwrap().payload_bytes;
        assert!(payload <= budget && payload > budget - 25_000);
        let packed = cold.close().unwrap();
        let cold = Cold::open(&path, &header, budget).unwrap().cold;
        let disk = cold.stat().unwrap().disk_bytes;
        assert!(disk <= budget * 3 / 2, "{disk} bytes for a budget of {budget}");
        assert!(!packed, "with {kept} runs");
    }
    // A budget that has become smaller is kept by packing.
    let budget = budget / 4;
    assert!(Cold::open(&path, &header, budget).unwrap().cold.close().unwrap());
    let file = std::fs::metadata(&path).unwrap().len();
    assert!(file <= budget * 3 / 2, "{file} bytes for a budget of {budget}");
}
