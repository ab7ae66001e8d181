//! How long a ranking takes at the size of a long session.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use memory::{
    BranchId, Estimate, Feature, FeatureShape, FrameId, FrameStamp, Pose, Query, Ranking, Reckoned,
    Record, Selection, Warm,
};

/// Latents of a 128×96 world: 3072 values.
const SHAPE: FeatureShape = FeatureShape { rows: 12, columns: 16, channels: 16 };

/// Numbers in -1..1 from a seed.
fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    }
}

/// A latent of a view, a fifth of it the frame's own.
fn latent(view: u64, seed: u64) -> Vec<f32> {
    let (mut shared, mut own) = (noise(view), noise(seed + 1_000_000));
    (0..SHAPE.values()).map(|_| shared() + 0.2 * own()).collect()
}

/// A session that comes by each of its views again and again, staying for a second or so.
fn session(frames: u32) -> Warm {
    let mut warm = Warm::new(SHAPE, Warm::CAPACITY_DEFAULT).expect("the shape is sound");
    for frame in 0..frames {
        let view = u64::from(frame / 20 * 7 % 97);
        let feature = Feature::new(SHAPE, &latent(view, u64::from(frame)));
        let feature = feature.expect("the latent is sound");
        let stamp =
            FrameStamp { frame: FrameId(frame), branch: BranchId(1), tick: u64::from(frame) };
        let record = Record {
            stamp,
            latent: vec![0; SHAPE.values()].into(),
            action: Vec::new().into(),
            feature,
            pose: None,
            reckoned: Some(place(frame)),
        };
        warm.insert(record).expect("the shapes agree");
    }
    warm
}

/// Round and round, turning a little.
fn place(frame: u32) -> Reckoned {
    let walked = f32::from(u16::try_from(frame).expect("few"));
    let yaw = 3.0 * walked % 360.0;
    let (y, x) = yaw.to_radians().sin_cos();
    Reckoned { pose: Pose { x: 19.0 * x, y: 19.0 * y, yaw }, walked }
}

fn retrieve(criterion: &mut Criterion) {
    let exclude: Vec<FrameId> = (9979..10_000).map(FrameId).collect();
    for frames in [100, 10_000] {
        let warm = session(frames);
        let estimate = Estimate::new(SHAPE, &[&latent(33, 77)]).expect("the latent is sound");
        let query = Query {
            estimate: &estimate,
            branch: BranchId(1),
            tick: u64::from(frames),
            ticks_per_second: 17.5,
            pose: None,
            reckoned: &[place(frames)],
            map: None,
            packed: &[],
        };
        // As many as the default schedule has places for.
        let selection = Selection { count: 4, apart_ticks: 9, exclude: &exclude };
        let ranking = Ranking::Similarity { time_weight: 0.2 };
        criterion.bench_function(&format!("similarity_{frames}"), |bencher| {
            bencher.iter(|| warm.rank(black_box(&query), ranking, &selection));
        });
        let ranking = Ranking::Reckoned { time_weight: 0.2, place_weight: 2.0 };
        criterion.bench_function(&format!("reckoned_{frames}"), |bencher| {
            bencher.iter(|| warm.rank(black_box(&query), ranking, &selection));
        });
        // As between two sections, whose weights and pictures fill the caches.
        let mut other = vec![1_u64; 8 << 20];
        criterion.bench_function(&format!("reckoned_{frames}_cold"), |bencher| {
            bencher.iter_batched(
                || other.iter_mut().for_each(|value| *value = value.wrapping_mul(3)),
                |()| warm.rank(black_box(&query), ranking, &selection),
                BatchSize::PerIteration,
            );
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(2));
    targets = retrieve
}
criterion_main!(benches);
