//! Files that are torn, changed, newer, foreign or in use.

use std::fs;
use std::io::ErrorKind;

use proptest::prelude::*;

use super::*;
use crate::cold::bytes::sealed;

const BUDGET: u64 = 1 << 20;

/// A file of some runs, closed.
fn written(path: &Path) -> Vec<u8> {
    let mut cold = open(path, BUDGET);
    for value in 0..12 {
        cold.keep(&new_run(4, value, value < 2)).unwrap();
    }
    cold.close().unwrap();
    fs::read(path).unwrap()
}

/// Opens `bytes` as a file: where they are not taken for sound they lie aside, unchanged, and a
/// fresh memory works in their place.
fn check(bytes: &[u8]) -> Option<ColdError> {
    let (_folder, path) = place();
    fs::write(&path, bytes).unwrap();
    let Opened { mut cold, aside } = Cold::open(&path, &header(), BUDGET).unwrap();
    let Some(Aside { from, to, why }) = aside else {
        assert_eq!(cold.export().unwrap().filter(Result::is_ok).count(), 12);
        return None;
    };
    assert_eq!((&from, fs::read(&to).unwrap() == bytes), (&path, true));
    assert_eq!(cold.stat().unwrap().runs, 0);
    cold.keep(&new_run(2, 1, false)).unwrap();
    drop(cold);
    assert_eq!(open(&path, BUDGET).stat().unwrap().runs, 1);
    Some(why)
}

fn is_damage(why: Option<&ColdError>) -> bool {
    matches!(why, Some(ColdError::Damaged { .. }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn torn_and_changed_files_are_set_aside(
        cut in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 1..4),
        noise in prop::collection::vec(any::<u8>(), 1..300),
        at in any::<prop::sample::Index>(),
    ) {
        let (_folder, path) = place();
        let bytes = written(&path);
        let cut = &bytes[..1 + cut.index(bytes.len() - 1)];
        prop_assert!(is_damage(check(cut).as_ref()));

        // Most of a small file is zeros in free room, where a change does nothing.
        let mut flipped = bytes.clone();
        let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        for (at, bit) in flips {
            flipped[*at.get(&used)] ^= 1_u8 << bit;
        }
        let why = check(&flipped);
        prop_assert!(why.is_none() || is_damage(why.as_ref()));

        let mut noisy = bytes;
        let at = at.index(noisy.len() - noise.len());
        noisy[at..at + noise.len()].copy_from_slice(&noise);
        let why = check(&noisy);
        prop_assert!(why.is_none() || is_damage(why.as_ref()));
        prop_assert!(is_damage(check(&noise).as_ref()));
    }
}

#[test]
fn a_change_to_any_byte_that_counts_is_noticed() {
    let (_folder, path) = place();
    let bytes = written(&path);
    // Latents of value 7: the run's own bytes in the file.
    let run = [7_u8, 0].repeat(SHAPE.values());
    let at = bytes.windows(run.len()).position(|window| window == run).expect("the run is there");
    let mut changed = bytes;
    changed[at + 5] ^= 4;
    assert!(is_damage(check(&changed).as_ref()));
}

#[test]
fn foreign_and_newer_files_are_set_aside() {
    for foreign in [&b"PK\x03\x04"[..], &[0; 5000], &b"redb\x1a\x0a\xa9\x0d\x0a".repeat(900)] {
        assert!(is_damage(check(foreign).as_ref()));
    }
    let (_folder, path) = place();
    written(&path);
    let rewrite = |table: redb::TableDefinition<'_, u8, &[u8]>, bytes: &[u8]| {
        let database = Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(table).unwrap().insert(0, bytes).unwrap();
        transaction.commit().unwrap();
        drop(database);
        check(&fs::read(&path).unwrap())
    };
    let other = Header { weights: [1; 32], ..header() };
    let why = rewrite(batch::HEADER, &other.encode()).expect("it is of other weights");
    assert_eq!(why.to_string(), "memory is damaged: it is of another world or other weights");
    let newer = sealed([&2_u32.to_le_bytes()[..], b"whatever comes"].concat());
    let why = rewrite(batch::HEADER, &newer).expect("it is newer");
    assert!(matches!(why, ColdError::Newer { format: 2 }), "{why}");
    assert_eq!(rewrite(batch::HEADER, &header().encode()).map(|_| ()), None);
    let totals = Totals { runs: u64::MAX, ..Totals::default() };
    assert!(rewrite(TOTALS, &totals.encode()).is_some());
}

#[test]
fn names_of_what_is_set_aside_are_free_ones() {
    let (folder, path) = place();
    let name = |suffix: &str| folder.path().join(header().file_name() + suffix);
    fs::write(name(".damaged-1"), "taken").unwrap();
    for number in 2..4 {
        fs::write(&path, format!("foreign {number}")).unwrap();
        let aside = Cold::open(&path, &header(), BUDGET).unwrap().aside.expect("it is foreign");
        assert_eq!(aside.to, name(&format!(".damaged-{number}")));
        let told = aside.to_string();
        assert!(told.contains("is kept as") && told.contains("damaged-"), "{told}");
        assert_eq!(fs::read_to_string(&aside.to).unwrap(), format!("foreign {number}"));
    }
    assert_eq!(fs::read_to_string(name(".damaged-1")).unwrap(), "taken");
}

#[test]
fn a_file_in_use_is_left_alone() {
    let (_folder, path) = place();
    let bytes = written(&path);
    let cold = open(&path, BUDGET);
    let refused = Cold::open(&path, &header(), BUDGET).map(|_| ());
    assert!(matches!(&refused, Err(ColdError::Locked { path: named }) if *named == path));
    drop(cold);
    assert_eq!(open(&path, BUDGET).stat().unwrap().runs, 12);
    assert_eq!(fs::read(&path).unwrap().len(), bytes.len());
}

#[test]
fn what_is_no_file_is_an_error() {
    let (folder, path) = place();
    fs::create_dir(&path).unwrap();
    assert!(matches!(Cold::open(&path, &header(), BUDGET), Err(ColdError::Io { .. })));
    let below = folder.path().join("file").join("below");
    fs::write(folder.path().join("file"), "").unwrap();
    let Err(ColdError::Io { source, .. }) = Cold::open(&below, &header(), BUDGET) else {
        panic!("a file is no folder");
    };
    assert_eq!(source.kind(), ErrorKind::NotADirectory);
}

#[test]
fn files_are_named_by_world_and_weights() {
    let (folder, path) = place();
    assert_eq!(header().file_name(), "doom_rooms-abababababababab.memory");
    let other = Header { weights: [1; 32], ..header() };
    drop(open(&path, BUDGET));
    let beside = folder.path().join(other.file_name());
    drop(Cold::open(&beside, &other, BUDGET).unwrap());
    for odd in ["doom_rooms-0101.memory", "doom-0101010101010101.memory", "doom_rooms-a.txt"] {
        fs::write(folder.path().join(odd), "").unwrap();
    }
    assert_eq!(Cold::of_other_weights(&path, &header()).unwrap(), [beside]);
    let absurd = Header { world: "x".repeat(2000), ..header() };
    assert!(matches!(Cold::open(&path, &absurd, BUDGET), Err(ColdError::Run { .. })));
}
