//! Checkpoints against a naive list.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::*;

const SHAPE: FeatureShape = FeatureShape { rows: 2, columns: 2, channels: 3 };
const WINDOW: usize = 3;

/// A history written naively: each moment has a list of all that it sees.
#[derive(Clone, Default)]
struct Moment {
    seen: BTreeSet<FrameId>,
    live: Vec<FrameStamp>,
    branch: Option<BranchId>,
}

#[derive(Clone, Debug)]
enum Call {
    Remember(u32),
    Checkpoint,
    Restore(prop::sample::Index),
    Begin,
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        6 => any::<u32>().prop_map(Call::Remember),
        2 => Just(Call::Checkpoint),
        2 => any::<prop::sample::Index>().prop_map(Call::Restore),
        1 => Just(Call::Begin),
    ]
}

fn look(seed: u32) -> Look {
    let value =
        |at: u32| (seed.wrapping_mul(2_654_435_761).rotate_left(at * 5) % 200) as f32 - 100.0;
    let latent: Vec<f32> = (0..12).map(value).collect();
    let feature = Feature::new(SHAPE, &latent).unwrap();
    Look { latent: [1; 12].into(), action: [0.0].into(), feature, pose: None, reckoned: None }
}

/// All that a ranking brings, best first.
fn ranked(history: &History, ranking: Ranking) -> Vec<Hit> {
    let latent: Vec<f32> = (0..12_u8).map(f32::from).collect();
    let estimate = Estimate::new(SHAPE, &[&latent]).unwrap();
    let query = Query {
        estimate: &estimate,
        branch: history.branch(),
        tick: 5,
        ticks_per_second: 10.0,
        pose: None,
        reckoned: &[],
        map: None,
        packed: &[],
    };
    let selection = Selection { count: usize::MAX, apart_ticks: 0, exclude: &[] };
    history.rank(&query, ranking, &selection).unwrap()
}

proptest! {
    #[test]
    fn a_moment_sees_what_led_to_it(
        calls in prop::collection::vec(call(), 1..60), capacity in 4_usize..40,
    ) {
        let mut history = History::new(SHAPE, capacity, WINDOW).unwrap();
        let mut now = Moment { branch: Some(history.branch()), ..Moment::default() };
        let mut saved: Vec<(Checkpoint, Moment)> = Vec::new();
        for (tick, call) in (0..).zip(calls) {
            match call {
                Call::Remember(seed) => {
                    let stamp = history.remember(tick, look(seed)).unwrap();
                    prop_assert_eq!(Some(stamp.branch), now.branch);
                    now.seen.insert(stamp.frame);
                    now.live.push(stamp);
                }
                Call::Checkpoint => saved.push((history.checkpoint(), now.clone())),
                Call::Restore(_) if saved.is_empty() => {}
                Call::Restore(index) => {
                    let (checkpoint, moment) = index.get(&saved);
                    history.restore_checkpoint(checkpoint).unwrap();
                    now = moment.clone();
                }
                Call::Begin => {
                    now.branch = Some(history.begin().unwrap());
                    now.live.clear();
                }
            }
            let recent = now.live.len().saturating_sub(WINDOW);
            prop_assert_eq!(history.live(), &now.live[recent..]);
            // The window is there to be packed, whatever was let go.
            prop_assert!(history.live().iter().all(|s| history.warm().peek(s.frame).is_some()));
            let there = |frame: &&FrameId| history.warm().peek(**frame).is_some();
            let expected: BTreeSet<_> = now.seen.iter().filter(there).copied().collect();
            for ranking in [Ranking::Recency, Ranking::Similarity { time_weight: 0.5 }] {
                let hits: Vec<_> = ranked(&history, ranking).iter().map(|h| h.stamp.frame).collect();
                prop_assert_eq!(hits.len(), expected.len());
                prop_assert_eq!(&hits.into_iter().collect::<BTreeSet<_>>(), &expected);
            }
        }
    }

    #[test]
    fn going_back_ranks_as_if_nothing_had_come(
        before in prop::collection::vec(any::<u32>(), 1..30),
        after in prop::collection::vec(any::<u32>(), 0..30),
    ) {
        let ranking = Ranking::Similarity { time_weight: 0.5 };
        let mut history = History::new(SHAPE, 100, WINDOW).unwrap();
        for (tick, seed) in (0..).zip(&before) {
            history.remember(tick, look(*seed)).unwrap();
        }
        let (checkpoint, hits) = (history.checkpoint(), ranked(&history, ranking));
        for (tick, seed) in (before.len() as u64..).zip(after) {
            history.remember(tick, look(seed)).unwrap();
        }
        history.restore_checkpoint(&checkpoint).unwrap();
        prop_assert_eq!(ranked(&history, ranking), hits);
    }

    #[test]
    fn what_is_removed_is_gone_and_the_rest_ranks_on(
        seeds in prop::collection::vec(any::<u32>(), 1..30),
        gone in prop::collection::vec(0_u32..35, 0..20),
    ) {
        let ranking = Ranking::Similarity { time_weight: 0.0 };
        let mut history = History::new(SHAPE, 100, WINDOW).unwrap();
        for (tick, seed) in (0..).zip(&seeds) {
            history.remember(tick, look(*seed)).unwrap();
        }
        let mut hits = ranked(&history, ranking);
        for frame in gone.into_iter().map(FrameId) {
            let removed = history.warm_mut().remove(frame);
            let there = hits.iter().position(|hit| hit.stamp.frame == frame);
            prop_assert_eq!(removed.map(|record| record.stamp), there.map(|at| hits.remove(at).stamp));
            prop_assert_eq!(&ranked(&history, ranking), &hits);
            prop_assert_eq!(history.warm().len(), hits.len());
        }
    }
}

#[test]
fn charted_frames_are_a_branch_of_their_own_and_leave_room_for_play() {
    let mut history = History::new(SHAPE, 10, WINDOW).unwrap();
    let error = history.chart((0..7).map(look)).unwrap_err().to_string();
    assert!(error.contains("10"), "{error}");
    let map = history.chart((0..6).map(look)).unwrap();
    assert_ne!(map, history.branch());
    assert!(history.live().is_empty());
    for tick in 0..30 {
        history.remember(tick, look(99)).unwrap();
    }
    let left = ranked(&history, Ranking::Recency);
    let charted: Vec<_> = left.iter().filter(|hit| hit.stamp.branch == map).collect();
    assert_eq!((left.len(), charted.len()), (10, 6));
    let near = |a: &Hit, b: &Hit| a.stamp != b.stamp && a.stamp.is_near(b.stamp, 1 << 20);
    assert!(!charted.iter().any(|a| charted.iter().any(|b| near(a, b))));
    assert_eq!(history.live().len(), WINDOW);
}
