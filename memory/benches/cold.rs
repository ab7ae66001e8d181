//! How long memory on disk takes when it is full, and how large its file is.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use memory::cold::{Cold, ColdFrame, ColdWriter, Header, KeyFrames, NewRun, Offer};
use memory::{BranchId, Feature, FeatureShape, FrameId, FrameStamp, History, Record};

/// Latents of a 128×96 world: 3072 values.
const SHAPE: FeatureShape = FeatureShape { rows: 12, columns: 16, channels: 16 };

fn header() -> Header {
    Header { world: "bench".to_owned(), weights: [7; 32], shape: SHAPE, action: 8 }
}

/// Values in -1..1 from a seed, and 16-bit floats drawn with them.
fn latent(seed: u64) -> (Vec<f32>, Arc<[u16]>) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let mut draw = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    };
    let values: Vec<f32> = (0..SHAPE.values()).map(|_| draw()).collect();
    // The upper half; without a bit of the exponent it is finite, whatever the type.
    let half = |value: &f32| (value.to_bits() >> 16) as u16 & 0xbbff;
    let halves = values.iter().map(half).collect();
    (values, halves)
}

fn look(halves: &[u16]) -> Result<Feature, memory::Error> {
    let values: Vec<f32> = halves.iter().map(|bits| f32::from(bits.cast_signed())).collect();
    Feature::new(SHAPE, &values)
}

fn offer(seed: u64) -> Offer {
    let record = |at: u64| {
        let (values, latent) = latent(4 * seed + at);
        let feature = Feature::new(SHAPE, &values).expect("the latent is sound");
        let stamp = FrameStamp { frame: FrameId(0), branch: BranchId(0), tick: 4 * seed + at };
        Record { stamp, latent, action: [0.0; 8].into(), feature, pose: None, reckoned: None }
    };
    Offer { records: (0..4).map(record).collect(), kept_at: seed, pinned: false }
}

fn open(path: &Path) -> Cold {
    Cold::open(path, &header(), Cold::BUDGET_DEFAULT).expect("the file is sound").cold
}

/// A memory filled to its budget and a tenth more, as a long-lived one is.
fn fill(path: &Path) {
    let writer = ColdWriter::start(open(path), KeyFrames::new(SHAPE, 2.0).expect("sound"));
    let writer = writer.expect("a thread starts");
    for seed in 0..12_000 {
        writer.keep(offer(seed));
        if seed % 100 == 99 {
            writer.flush();
        }
    }
    let full = writer.written();
    let before = fs::metadata(path).expect("it is there").len();
    assert_eq!(writer.close(), None);
    let after = fs::metadata(path).expect("it is there").len();
    println!("{full:?}: {before} bytes while open, {after} closed");
}

fn cold(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for the file");
    let path = folder.path().join(header().file_name());
    fill(&path);
    println!("{:?}", open(&path).stat());

    criterion.bench_function("open_256_mib", |bencher| bencher.iter(|| open(&path)));
    criterion.bench_function("restore_20000_of_256_mib", |bencher| {
        let cold = open(&path);
        let history = || History::new(SHAPE, 20_128, 128).expect("the shape is sound");
        let restore = |mut history: History| cold.restore(&mut history, 20_000, look);
        bencher.iter_batched(history, restore, BatchSize::PerIteration);
    });
    // One durable commit, in place of an older run.
    criterion.bench_function("keep_a_run_of_256_mib", |bencher| {
        let mut cold = open(&path);
        let frame = |latent| ColdFrame { tick: 0, latent, action: [0.0; 8].into(), pose: None };
        let frames: Vec<_> = (0..4).map(|seed| frame(latent(seed).1)).collect();
        let run = NewRun { frames, kept_at: 0, pinned: false };
        bencher.iter(|| cold.keep(&run).expect("there is room"));
    });
    // On the writer's thread, for each run that is offered.
    let cold = open(&path);
    let mut history = History::new(SHAPE, 200, 100).expect("the shape is sound");
    let (_, key_frames) = cold.restore(&mut history, 0, look).expect("it is readable");
    let view = offer(77_777).records[0].feature.clone();
    criterion.bench_function("choose_among_10000_runs", |bencher| {
        bencher.iter(|| key_frames.choose(&view, false));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(3));
    targets = cold
}
criterion_main!(benches);
