//! Rankings against the plain reading of their definitions.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::*;

const SHAPE: FeatureShape = FeatureShape { rows: 6, columns: 5, channels: 3 };

/// Numbers in -1..1 from a seed.
fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    }
}

/// A latent: noise about one of a few views. `spread` 0 leaves views only, large ones drown them.
fn latent(shape: FeatureShape, view: u64, seed: u64, spread: f32) -> Vec<f32> {
    let (mut view, mut own) = (noise(view + 1000), noise(seed));
    (0..shape.values()).map(|_| view() + spread * own()).collect()
}

fn record(latent: &[f32], frame: u32, branch: u32, tick: u64) -> Record {
    Record {
        stamp: FrameStamp { frame: FrameId(frame), branch: BranchId(branch), tick },
        latent: Vec::new().into(),
        action: [].into(),
        feature: Feature::new(SHAPE, latent).unwrap(),
        pose: None,
        reckoned: None,
    }
}

fn query(estimate: &Estimate, tick: u64) -> Query<'_> {
    Query {
        estimate,
        branch: BranchId(1),
        tick,
        ticks_per_second: 10.0,
        pose: None,
        reckoned: &[],
        map: None,
        packed: &[],
    }
}

fn take(count: usize) -> Selection<'static> {
    Selection { count, apart_ticks: 0, exclude: &[] }
}

/// Equation 5 as it is written, in double precision.
fn score(latent: &[f32], estimates: &[&[f32]], time: f64) -> f64 {
    let mut sum = 0.0;
    for estimate in estimates {
        for (f, x) in latent.chunks(SHAPE.channels).zip(estimate.chunks(SHAPE.channels)) {
            let dot = |a: &[f32], b: &[f32]| -> f64 {
                a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
            };
            sum += dot(f, x) / (dot(f, f).sqrt() * dot(x, x).sqrt());
        }
    }
    sum / (SHAPE.positions() * estimates.len()) as f64 + time
}

#[test]
fn scores_are_those_of_the_equations() {
    let latents: Vec<_> = (0..20).map(|seed| latent(SHAPE, seed % 3, seed, 0.7)).collect();
    let sections = [latent(SHAPE, 0, 77, 0.2), latent(SHAPE, 1, 78, 0.2)];
    let sections: Vec<&[f32]> = sections.iter().map(Vec::as_slice).collect();
    let estimate = Estimate::new(SHAPE, &sections).unwrap();
    let mut warm = Warm::new(SHAPE, 100).unwrap();
    for (frame, latent) in (0..).zip(&latents) {
        // Odd frames are of another session and have no time in common.
        warm.insert(record(latent, frame, 1 + frame % 2, u64::from(frame))).unwrap();
    }
    let ranking = Ranking::Similarity { time_weight: 0.3 };
    let hits = warm.rank(&query(&estimate, 20), ranking, &take(20)).unwrap();
    assert_eq!(hits.len(), 20);
    for hit in hits {
        let frame = hit.stamp.frame.0;
        let seconds = f64::from(20 - frame) / 10.0;
        let time = if frame % 2 == 0 { 0.3 * (-seconds * seconds).exp() } else { 0.0 };
        let expected = score(&latents[usize::try_from(frame).unwrap()], &sections, time);
        // Values in 127 steps are off by 0.0023 each, their mean over 30 positions by 4e-4.
        assert!((f64::from(hit.score) - expected).abs() < 2e-3, "{hit:?}, expected {expected}");
    }
}

/// The selection as its rule is written: score all, sort, take what is admitted.
fn brute_force(
    warm: &Warm,
    query: &Query<'_>,
    (time_weight, place_weight): (f32, f32),
    selection: &Selection<'_>,
) -> Vec<u32> {
    let mut all: Vec<(f32, FrameStamp)> = Vec::new();
    for frame in warm.frames() {
        let record = warm.record(frame.stamp.frame).unwrap();
        let seconds = record.stamp.tick.abs_diff(query.tick) as f32 / query.ticks_per_second;
        let time = time_weight * (-seconds * seconds).exp();
        let place = record.reckoned.filter(|_| !query.reckoned.is_empty()).map_or(0.0, |from| {
            let sum: f32 = query.reckoned.iter().map(|place| place.nearness(from)).sum();
            place_weight * sum / query.reckoned.len() as f32
        });
        let near = if record.stamp.branch == query.branch { time + place } else { 0.0 };
        let stays = if query.packed.contains(&record.stamp.frame) { 0.05 } else { 0.0 };
        all.push((record.feature.cosine(query.estimate) + (near + stays), record.stamp));
    }
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.frame.cmp(&b.1.frame)));
    let greedy = |fresh: usize| {
        let mut taken: Vec<FrameStamp> = Vec::new();
        for (_, stamp) in &all {
            let near = |other: &FrameStamp| other.is_near(*stamp, selection.apart_ticks);
            let is_fresh = |other: &&FrameStamp| !query.packed.contains(&other.frame);
            if taken.len() < selection.count
                && !selection.exclude.contains(&stamp.frame)
                && !taken.iter().any(near)
                && (!is_fresh(&stamp) || taken.iter().filter(is_fresh).count() < fresh)
            {
                taken.push(*stamp);
            }
        }
        taken
    };
    let (section, empty) =
        (query.reckoned.len().max(1), selection.count.saturating_sub(query.packed.len()));
    let most = if query.packed.is_empty() { selection.count } else { section.max(empty) };
    // One more fresh frame for each that is lacking.
    let mut fresh = most.min(selection.count);
    let mut taken = greedy(fresh);
    while taken.len() < selection.count && fresh < selection.count {
        fresh += selection.count - taken.len();
        taken = greedy(fresh);
    }
    taken.iter().map(|stamp| stamp.frame.0).collect()
}

/// One of some places, near enough to each other to matter.
fn reckoned(seed: u64) -> Reckoned {
    let mut draw = noise(seed + 5000);
    let pose = Pose { x: 20.0 * draw(), y: 20.0 * draw(), yaw: 30.0 * draw() };
    Reckoned { pose, walked: 100.0 * (1.0 + draw()) }
}

fn ids(hits: &[Hit]) -> Vec<u32> {
    hits.iter().map(|hit| hit.stamp.frame.0).collect()
}

proptest! {
    #[test]
    fn the_best_are_taken_as_the_rule_says(
        seed in any::<u32>(),
        frames in 0_u32..120,
        // From copies of few views, where ties abound, to pure noise.
        spread in prop::sample::select(vec![0.0_f32, 0.05, 0.5, 5.0]),
        views in 1_u64..9,
        (count, apart_ticks, time_weight) in (0_usize..12, 0_u64..20, 0.0_f32..1.0),
        (places, place_weight) in (0_usize..3, 0.0_f32..4.0),
        exclude in prop::collection::vec((0_u32..120).prop_map(FrameId), 0..20),
        packed in prop::collection::vec((0_u32..120).prop_map(FrameId), 0..6),
    ) {
        let mut warm = Warm::new(SHAPE, 80).unwrap();
        for frame in 0..frames {
            let own = u64::from(seed) + u64::from(frame);
            let latent = latent(SHAPE, own % views, own, spread);
            let reckoned = (own % 5 > 0).then(|| reckoned(own));
            let record = record(&latent, frame, 1 + frame / 50, u64::from(frame));
            warm.insert(Record { reckoned, ..record }).unwrap();
        }
        let places: Vec<Reckoned> = (0..places as u64).map(reckoned).collect();
        let latent = latent(SHAPE, 0, u64::from(seed) + 999, spread);
        let estimate = Estimate::new(SHAPE, &[&latent]).unwrap();
        let query =
            Query { reckoned: &places, packed: &packed, ..query(&estimate, u64::from(frames)) };
        let selection = Selection { count, apart_ticks, exclude: &exclude };
        for (ranking, weights) in [
            (Ranking::Similarity { time_weight }, (time_weight, 0.0)),
            (Ranking::Reckoned { time_weight, place_weight }, (time_weight, place_weight)),
        ] {
            let hits = warm.rank(&query, ranking, &selection).unwrap();
            prop_assert_eq!(ids(&hits), brute_force(&warm, &query, weights, &selection));
        }
    }
}

#[test]
fn the_best_are_those_of_full_precision_but_for_ties_of_its_rounding() {
    // As in a world of 128×96, where views lie near each other.
    const LARGE: FeatureShape = FeatureShape { rows: 12, columns: 16, channels: 16 };
    /// Each of 3072 values is off by half a step of 1/127, 0.0023 on the average; their product with
    /// a section of unit vectors at 192 positions is off by 0.0023/√192. Ten times that never occurs.
    const ROUNDING: f32 = 0.0017;
    let unit = |latent: &[f32]| -> Vec<f32> {
        let cell = |cell: &[f32]| {
            let length = cell.iter().map(|value| value * value).sum::<f32>().sqrt();
            cell.iter().map(move |value| value / length).collect::<Vec<_>>()
        };
        latent.chunks(LARGE.channels).flat_map(cell).collect()
    };
    let section = latent(LARGE, 3, 9_999, 0.5);
    let (estimate, section) = (Estimate::new(LARGE, &[&section]).unwrap(), unit(&section));
    let mut warm = Warm::new(LARGE, 1000).unwrap();
    let mut scores = Vec::new();
    for frame in 0..1000 {
        let latent = latent(LARGE, u64::from(frame % 50), u64::from(frame), 0.5);
        let dot: f32 = unit(&latent).iter().zip(&section).map(|(f, x)| f * x).sum();
        scores.push(dot / 192.0);
        let feature = Feature::new(LARGE, &latent).unwrap();
        warm.insert(Record { feature, ..record(&[0.0; 90], frame, 1, u64::from(frame)) }).unwrap();
    }
    let ranking = Ranking::Similarity { time_weight: 0.0 };
    let hits = warm.rank(&query(&estimate, 5000), ranking, &take(100)).unwrap();
    let mut best: Vec<u32> = (0..1000).collect();
    let score = |frame: u32| scores[usize::try_from(frame).unwrap()];
    best.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
    for (hit, wanted) in hits.iter().zip(best) {
        let (got, wanted) = (score(hit.stamp.frame.0), score(wanted));
        assert!((got - wanted).abs() < ROUNDING, "{hit:?}: {got} in the place of {wanted}");
    }
    // The frames of the section's own view stand out by far more than rounding.
    let mut own: Vec<u32> = ids(&hits[..20]);
    own.sort_unstable();
    assert_eq!(own, (0..20).map(|at| 3 + 50 * at).collect::<Vec<_>>());
}

#[test]
fn pooled_looks_at_block_averages_alone() {
    let even = vec![1.0; SHAPE.values()];
    // Nearly the same averages over 2×2 blocks, the positions within turned about them.
    let mut turned = even.clone();
    for (position, cell) in turned.chunks_exact_mut(3).enumerate() {
        let sign = if (position / 5 + position % 5) % 2 == 0 { 1.0 } else { -1.0 };
        cell.copy_from_slice(&[1.0, 1.0 + 0.2 * sign, 1.0 - 0.2 * sign]);
    }
    let mut warm = Warm::new(SHAPE, 9).unwrap();
    warm.insert(record(&turned, 0, 2, 0)).unwrap();
    warm.insert(record(&latent(SHAPE, 4, 4, 1.0), 1, 2, 0)).unwrap();
    let estimate = Estimate::new(SHAPE, &[&even]).unwrap();
    let score = |ranking| warm.rank(&query(&estimate, 0), ranking, &take(1)).unwrap()[0];
    let pooled = score(Ranking::Pooled { time_weight: 0.0 });
    let full = score(Ranking::Similarity { time_weight: 0.0 });
    assert_eq!((pooled.stamp.frame.0, full.stamp.frame.0), (0, 0));
    assert!(pooled.score > 0.999 && full.score < 0.995, "{pooled:?} {full:?}");
}

#[test]
fn recency_and_chance_order_frames() {
    let mut warm = Warm::new(SHAPE, 99).unwrap();
    let looks = latent(SHAPE, 0, 0, 1.0);
    // Names too large for a float to tell apart.
    for frame in (0..30).map(|at| 3_000_000_000 + (at * 7) % 30) {
        warm.insert(record(&looks, frame, 2, 0)).unwrap();
    }
    let estimate = Estimate::new(SHAPE, &[&looks]).unwrap();
    let rank =
        |ranking, tick| ids(&warm.rank(&query(&estimate, tick), ranking, &take(30)).unwrap());
    let latest: Vec<u32> = (3_000_000_000..3_000_000_030).rev().collect();
    assert_eq!(rank(Ranking::Recency, 0), latest);
    let random = Ranking::Random { seed: 5 };
    assert_eq!(rank(random, 3), rank(random, 3));
    assert_ne!(rank(random, 3), rank(random, 4));
    assert_ne!(rank(random, 3), rank(Ranking::Random { seed: 6 }, 3));
    let mut sorted = rank(random, 3);
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(sorted, latest);
}

#[test]
fn poses_cover_the_view_greedily() {
    let view = FieldOfView { degrees: 90.0, reach: 10.0 };
    let looks = latent(SHAPE, 0, 0, 1.0);
    let mut warm = Warm::new(SHAPE, 99).unwrap();
    let yaws = [-45.0, -40.0, 180.0, 45.0, 10.0];
    for (frame, yaw) in (0..).zip(yaws) {
        let pose = Some(Pose { x: 0.0, y: 0.0, yaw });
        warm.insert(Record { pose, ..record(&looks, frame, 2, u64::from(frame)) }).unwrap();
    }
    warm.insert(record(&looks, 9, 2, 9)).unwrap();
    let estimate = Estimate::new(SHAPE, &[&looks]).unwrap();
    let mut query = query(&estimate, 0);
    assert_eq!(warm.rank(&query, Ranking::Pose(view), &take(3)), Err(Error::NoPose));
    query.pose = Some(Pose { x: 0.0, y: 0.0, yaw: 0.0 });
    // Almost all from the frame ahead, the sliver it lacks on the right from the first to show it.
    assert_eq!(ids(&warm.rank(&query, Ranking::Pose(view), &take(9)).unwrap()), [4, 0]);
    let selection = Selection { count: 9, apart_ticks: 0, exclude: &[FrameId(4)] };
    let hits = warm.rank(&query, Ranking::Pose(view), &selection).unwrap();
    // -40 shows more than either half; then the left half; nothing is left for -45.
    assert_eq!(ids(&hits), [1, 3]);
    assert!(hits[0].score > 0.5 && hits[0].score + hits[1].score < 1.001);
}

#[test]
fn a_reckoned_place_counts_within_its_own_branch_alone() {
    let looks = latent(SHAPE, 0, 0, 1.0);
    let here = Reckoned { pose: Pose { x: 5.0, y: 5.0, yaw: 40.0 }, walked: 60.0 };
    let behind = Reckoned { pose: Pose { yaw: 220.0, ..here.pose }, ..here };
    let mut warm = Warm::new(SHAPE, 99).unwrap();
    let frames = [(1, Some(here)), (1, Some(behind)), (1, None), (2, Some(here))];
    for (frame, (branch, reckoned)) in (0..).zip(frames) {
        warm.insert(Record { reckoned, ..record(&looks, frame, branch, 0) }).unwrap();
    }
    let estimate = Estimate::new(SHAPE, &[&looks]).unwrap();
    let ranking = Ranking::Reckoned { time_weight: 0.0, place_weight: 2.0 };
    let scores = |reckoned: &[Reckoned]| {
        let query = Query { reckoned, ..query(&estimate, 900) };
        let mut hits = warm.rank(&query, ranking, &take(9)).unwrap();
        hits.sort_by_key(|hit| hit.stamp.frame);
        hits.iter().map(|hit| hit.score).collect::<Vec<_>>()
    };
    let like = scores(&[])[0];
    assert_eq!(scores(&[]), [like; 4]);
    assert_eq!(scores(&[here]), [like + 2.0, like, like, like]);
    // A section that turns round shows half of either view.
    assert_eq!(scores(&[here, behind]), [like + 1.0, like + 1.0, like, like]);
}

#[test]
fn on_a_map_charted_places_count_whole_and_the_own_ones_half() {
    let looks = latent(SHAPE, 0, 0, 1.0);
    let here = Reckoned { pose: Pose { x: 5.0, y: 5.0, yaw: 40.0 }, walked: 0.0 };
    let far = Reckoned { pose: Pose { x: 13.0, ..here.pose }, ..here };
    let mut warm = Warm::new(SHAPE, 99).unwrap();
    // The own branch, the map, and another session.
    for (frame, (branch, place)) in (0..).zip([(1, here), (2, here), (2, far), (3, here)]) {
        let reckoned = Some(place);
        warm.insert(Record { reckoned, ..record(&looks, frame, branch, 0) }).unwrap();
    }
    let estimate = Estimate::new(SHAPE, &[&looks]).unwrap();
    let ranking = Ranking::Reckoned { time_weight: 0.0, place_weight: 2.0 };
    let gains = |map: Option<BranchId>| {
        let places = [here];
        let query = Query { reckoned: &places, map, ..query(&estimate, 900) };
        let mut hits = warm.rank(&query, ranking, &take(9)).unwrap();
        hits.sort_by_key(|hit| hit.stamp.frame);
        let like = hits[3].score;
        hits[..3].iter().map(|hit| hit.score - like).collect::<Vec<_>>()
    };
    let near = |got: Vec<f32>, expected: [f32; 3]| {
        let fits = got.iter().zip(expected).all(|(got, expected)| (got - expected).abs() < 1e-5);
        assert!(fits, "{got:?}, expected {expected:?}");
    };
    near(gains(None), [2.0, 0.0, 0.0]);
    // Two widths of four steps away.
    near(gains(Some(BranchId(2))), [1.0, 2.0, 2.0 * (-4.0_f32).exp()]);
}

#[test]
fn a_packed_frame_stays_until_another_is_clearly_ahead() {
    let mut warm = Warm::new(SHAPE, 99).unwrap();
    let looks = latent(SHAPE, 0, 0, 1.0);
    for frame in 0..3 {
        // A little nearer in time, one after the other.
        warm.insert(record(&looks, frame, 1, 10 * u64::from(frame))).unwrap();
    }
    let estimate = Estimate::new(SHAPE, &[&looks]).unwrap();
    let best = |time_weight: f32, packed: &[FrameId]| {
        let query = Query { packed, ..query(&estimate, 30) };
        let ranking = Ranking::Reckoned { time_weight, place_weight: 0.0 };
        warm.rank(&query, ranking, &take(1)).unwrap()[0].stamp.frame
    };
    // One second against two: 0.37 and 0.02 of the weight.
    assert_eq!(best(0.1, &[]), FrameId(2));
    assert_eq!(best(0.1, &[FrameId(1)]), FrameId(1));
    assert_eq!(best(0.3, &[FrameId(1)]), FrameId(2));
}

#[test]
fn what_is_not_packed_comes_one_frame_a_section() {
    let mut warm = Warm::new(SHAPE, 99).unwrap();
    for frame in 0..12 {
        // Four frames of each of three views, a second apart.
        let looks = latent(SHAPE, u64::from(frame % 3), u64::from(frame), 0.1);
        warm.insert(record(&looks, frame, 1, 10 * u64::from(frame))).unwrap();
    }
    let looks = latent(SHAPE, 1, 99, 0.1);
    let estimate = Estimate::new(SHAPE, &[&looks]).unwrap();
    let ranking = Ranking::Reckoned { time_weight: 0.0, place_weight: 0.0 };
    let next = |packed: &[u32], exclude: &[FrameId]| {
        let packed: Vec<FrameId> = packed.iter().copied().map(FrameId).collect();
        let query = Query { packed: &packed, ..query(&estimate, 900) };
        let selection = Selection { count: 4, apart_ticks: 0, exclude };
        let hits = warm.rank(&query, ranking, &selection).unwrap();
        let of_view = hits.iter().filter(|hit| hit.stamp.frame.0 % 3 == 1).count();
        (ids(&hits), of_view)
    };
    assert_eq!(next(&[], &[]).1, 4, "a walk that begins takes all at once");
    let (mut packed, mut of_view) = (vec![0, 3, 6, 9], 0);
    for section in 1..=4 {
        (packed, of_view) = next(&packed, &[]);
        assert_eq!((packed.len(), of_view), (4, section));
    }
    assert_eq!(next(&packed, &[]), (packed, of_view));
    // No place stays empty for it.
    assert_eq!(next(&[0, 3], &[]).1, 2);
    assert_eq!(next(&[0, 3, 6, 9], &[FrameId(0), FrameId(3)]).1, 2);
}

#[test]
fn fixed_frames_stay_whatever_else_is_let_go() {
    let mut warm = Warm::new(SHAPE, 3).unwrap();
    let looks = latent(SHAPE, 0, 0, 1.0);
    assert!(!warm.fix(FrameId(0)), "it is not there");
    for frame in 0..2 {
        warm.insert(record(&looks, frame, 1, 0)).unwrap();
        assert!(warm.fix(FrameId(frame)));
    }
    for frame in 2..9 {
        warm.insert(record(&looks, frame, 1, 0)).unwrap();
        assert!(!warm.fix(FrameId(frame)), "others need room");
        let left = warm.frames().iter().map(|frame| frame.stamp.frame.0);
        assert_eq!(left.collect::<BTreeSet<_>>(), BTreeSet::from([0, 1, frame]));
    }
    assert_eq!(warm.fixed(), 2);
    warm.remove(FrameId(0)).unwrap();
    assert_eq!(warm.fixed(), 1);
}

#[test]
fn warm_memory_lets_the_least_used_go() {
    let mut warm = Warm::new(SHAPE, 3).unwrap();
    let looks = latent(SHAPE, 0, 0, 1.0);
    for frame in 0..3 {
        assert_eq!(warm.insert(record(&looks, frame, 1, 0)).unwrap(), None);
    }
    warm.touch(FrameId(0));
    let gone = warm.insert(record(&looks, 3, 1, 0)).unwrap().expect("one has to go");
    assert_eq!(gone.stamp.frame, FrameId(1));
    // What was let go can come back, and the next in age goes for it.
    let next = warm.insert(gone).unwrap().map(|record| record.stamp.frame);
    assert_eq!(next, Some(FrameId(2)));
    assert_eq!(warm.insert(record(&looks, 2, 1, 0)).unwrap().map(|r| r.stamp.frame.0), Some(0));
    let replaced = warm.insert(record(&looks, 2, 1, 8)).unwrap().map(|record| record.stamp.frame);
    assert_eq!((replaced, warm.len()), (Some(FrameId(2)), 3));
    assert_eq!(warm.peek(FrameId(2)).map(|record| record.stamp.tick), Some(8));
    assert_eq!((warm.peek(FrameId(0)), warm.capacity()), (None, 3));
}

#[test]
fn what_cannot_be_ranked_is_refused() {
    assert!(matches!(Feature::new(SHAPE, &[0.0; 7]), Err(Error::LatentSize { got: 7, .. })));
    let mut latent = vec![0.5; SHAPE.values()];
    latent[11] = f32::NAN;
    assert_eq!(Feature::new(SHAPE, &latent), Err(Error::NotFinite));
    assert_eq!(Estimate::new(SHAPE, &[]), Err(Error::NoEstimate));
    let absurd = FeatureShape { rows: usize::MAX, columns: 2, channels: 2 };
    assert!(matches!(Warm::new(absurd, 1), Err(Error::Shape { .. })));
    assert!(matches!(Estimate::new(absurd, &[&[1.0]]), Err(Error::Shape { .. })));
    let empty = FeatureShape { channels: 0, ..SHAPE };
    assert!(matches!(Feature::new(empty, &[]), Err(Error::Shape { .. })));
    let other = FeatureShape { channels: 2, ..SHAPE };
    let estimate = Estimate::new(other, &[&vec![1.0; other.values()]]).unwrap();
    let warm = Warm::new(SHAPE, 1).unwrap();
    let refused = warm.rank(&query(&estimate, 0), Ranking::Recency, &take(1));
    assert_eq!(refused, Err(Error::OtherShape { expected: SHAPE, got: other }));
}
