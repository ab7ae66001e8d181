//! Products against those in 64 bits, and packing.

use super::tile::add_plain;
use super::*;

fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(u16::try_from(state >> 20).unwrap()) / 2048.0 - 1.0
        })
        .collect()
}

fn at(view: View<'_>, row: usize, column: usize) -> f32 {
    view.values[row * view.row_stride + column * view.column_stride]
}

/// The largest magnitude of each row over each block.
fn largest(view: View<'_>) -> Vec<Vec<f32>> {
    let of_block = |row: usize, block: usize| {
        let columns = block * BLOCK..view.columns.min((block + 1) * BLOCK);
        columns.map(|column| at(view, row, column).abs()).fold(0.0, f32::max)
    };
    let blocks = 0..view.columns.div_ceil(BLOCK);
    (0..view.rows).map(|row| blocks.clone().map(|block| of_block(row, block)).collect()).collect()
}

#[test]
fn follows_the_exact_product() {
    for (rows, depth, columns) in [
        (1, 1, 1),
        (1, 64, 40),
        (4, 70, 33),
        (13, 7, 33),
        (5, 31, 48),
        (48, 256, 64),
        (100, 700, 40),
    ] {
        let (a, b) = (values(rows * depth, 1), values(depth * columns, 2));
        let lefts = [View::rows(&a, rows, depth), View::rows(&a, depth, rows).transposed()];
        let rights = [View::rows(&b, depth, columns), View::rows(&b, columns, depth).transposed()];
        for left in lefts {
            for right in rights {
                let out = multiply(left, &PackedRight::new(right), None);
                let (of_left, of_right) = (largest(left), largest(right.transposed()));
                for (index, got) in out.iter().enumerate() {
                    let (row, column) = (index / columns, index % columns);
                    let product = |k: usize| {
                        let [a, b] = [at(left, row, k), at(right, k, column)].map(f64::from);
                        let [c, d] = [of_left[row][k / BLOCK], of_right[column][k / BLOCK]];
                        // Each operand is off by at most half a step, the sum of a block by its rounding to f32.
                        let half = 0.5 / f64::from(LIMIT);
                        let [c, d] = [c, d].map(|x| f64::from(x) * half);
                        [a * b, a.abs() * d + b.abs() * c + c * d + 1e-6 * (a * b).abs()]
                    };
                    let sum = |sums: [f64; 2], k: usize| {
                        let [value, error] = product(k);
                        [sums[0] + value, sums[1] + error]
                    };
                    let [want, error] = (0..depth).fold([0.0; 2], sum);
                    let off = (f64::from(*got) - want).abs();
                    assert!(off <= error + 1e-6, "{got} for {want}, allowed {error}");
                }
            }
        }
    }
}

#[test]
fn threads_that_share_columns_give_the_bits_of_one() {
    // Enough for several threads, and no whole panel at the end.
    let (rows, depth, columns) = (4, 700, 16 * 48 + 7);
    let (a, b) = (values(rows * depth, 5), values(depth * columns, 6));
    let (left, right) = (View::rows(&a, rows, depth), View::rows(&b, depth, columns));
    let (right, bias) = (PackedRight::new(right), values(columns, 7));
    assert!(right.pairs.len() >= SHARED_RIGHT);
    for bias in [None, Some(&bias[..])] {
        let mut alone = vec![0.0; rows * columns];
        let onto = bias.map_or(Onto::Zeros, Onto::Bias);
        multiply_onto(onto, left, &right, &mut alone, &mut Scratch::default());
        for threads in [1, 2, 3, 64] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(pool.install(|| multiply(left, &right, bias)) == alone, "{threads} threads");
        }
    }
}

#[test]
fn one_large_value_leaves_other_blocks_exact() {
    let mut a = vec![1.0; 2 * BLOCK];
    a[3] = 1e6;
    let b = vec![1.0; 2 * BLOCK];
    let out = multiply(
        View::rows(&a, 1, 2 * BLOCK),
        &PackedRight::new(View::rows(&b, 2 * BLOCK, 1)),
        None,
    );
    // Beside a million, ones are less than half a step; the second block has a scale of its own.
    assert!((out[0] - 1e6 - 256.0).abs() < 1.0, "{out:?}");
}

/// What a form of the product adds to `before`, under scales.
fn added<const PANELS: usize>(
    rows: usize,
    (before, base): (f32, Option<&[[f32; RIGHT]; PANELS]>),
    product: impl FnOnce(&mut Target<'_, PANELS>),
) -> Vec<f32> {
    let width = PANELS * RIGHT + 3;
    let (left, right) = (values(rows, 7), values(PANELS * RIGHT, 8));
    let right = from_fn(|panel| right[panel * RIGHT..].first_chunk().unwrap());
    let mut out = vec![before; (rows - 1) * width + PANELS * RIGHT];
    product(&mut Target { out: &mut out, width, base, left: &left, right });
    out
}

/// With so many pairs in each right panel.
fn check_every_cpu<const PANELS: usize>(pairs: usize) {
    let packed = |count, seed| -> Vec<u32> {
        values(2 * count, seed).chunks(2).map(|x| pair([x[0], x[1]], LIMIT)).collect()
    };
    let (left, right) = (packed(PAIRS * LEFT, 5), packed(pairs * PANELS * RIGHT, 6));
    let right: [_; PANELS] = from_fn(|panel| &right[pairs * RIGHT * panel..][..pairs * RIGHT]);
    let base: [[f32; RIGHT]; PANELS] = from_fn(|panel| [panel as f32 - 3.0; RIGHT]);
    for rows in 1..=LEFT {
        let before = (0.5, None);
        let want = added(rows, before, |target| add_plain(&left, right, target));
        assert_eq!(added(rows, before, |target| add_product(&left, right, right, target)), want);
        // What is there does not count where there is a base.
        let based = [0.5, f32::MAX].map(|before| (before, Some(&base)));
        let of_base = based.map(|before| {
            let want = added(rows, before, |target| add_plain(&left, right, target));
            let got = added(rows, before, |target| add_product(&left, right, right, target));
            assert_eq!(got, want, "{rows} rows on a base");
            (0..rows).map(|row| want[row * (PANELS * RIGHT + 3)]).collect::<Vec<_>>()
        });
        assert_eq!(of_base[0], of_base[1]);
        assert_ne!(of_base[0][0], want[0]);
        #[cfg(target_arch = "x86_64")]
        if x86::has_middle() {
            #[expect(unsafe_code, reason = "features are found when the program runs")]
            let on_avx2 = |before| {
                added(rows, before, |target| {
                    // SAFETY: the CPU has what is asked for, all panels hold as many pairs, and the target is whole.
                    unsafe { x86::add_middle(&left, right, right, target) };
                })
            };
            assert_eq!(on_avx2(before), want, "{rows} rows with AVX2");
            let want = added(rows, based[1], |target| add_plain(&left, right, target));
            assert_eq!(on_avx2(based[1]), want, "{rows} rows with AVX2 on a base");
        }
        assert!(want.iter().any(|&x| x != 0.5), "something is added");
        let width = PANELS * RIGHT + 3;
        let gaps = want.iter().enumerate().filter(|(at, _)| at % width >= PANELS * RIGHT);
        assert!(gaps.into_iter().all(|(_, &x)| x == 0.5), "nothing is added between the rows");
    }
}

#[test]
fn every_cpu_gives_the_same_bits() {
    // As many as a left panel has room for, and fewer.
    for pairs in [PAIRS, 35] {
        check_every_cpu::<1>(pairs);
        check_every_cpu::<2>(pairs);
    }
}

#[test]
fn memory_that_is_used_again_leaves_no_trace() {
    // A larger one before a smaller, whose depth is odd and last panel not whole; one of its columns is no number.
    let (mut large, small) = (vec![1e3; 700 * 40], values(71 * 33, 3));
    large.iter_mut().skip(39).step_by(40).for_each(|value| *value = f32::NAN);
    let small = View::rows(&small, 71, 33);
    let mut again = PackedRight::new(View::rows(&large, 700, 40));
    assert!(again.pairs.iter().filter(|&&pair| pair != 0).count() > again.pairs.len() / 2);
    again.pack(small);
    let fresh = PackedRight::new(small);
    assert_eq!((&again.pairs, &again.scales), (&fresh.pairs, &fresh.scales));
    assert_eq!((again.depth, again.columns), (71, 33));
}

#[test]
fn operands_side_by_side_are_packed_as_each_is_alone() {
    // Three of 40 columns, whose last panel is not whole, over two blocks and an odd row; one value is no number.
    let (depth, columns) = (BLOCK + 71, 40);
    let mut all = values(depth * 3 * columns, 4);
    all[300] = f32::NAN;
    let of = |number: usize| {
        View::rows(&all, depth, 3 * columns)
            .part(0..depth, number * columns..(number + 1) * columns)
    };
    // Memory of something else.
    let mut packed = vec![PackedRight::new(View::rows(&all, depth, 3 * columns)); 3];
    let rows: Vec<&[f32]> = all.chunks_exact(3 * columns).collect();
    pack_rows(&rows, packed.iter_mut().collect());
    for (number, packed) in packed.iter_mut().enumerate() {
        let alone = PackedRight::new(of(number));
        let same = |packed: &PackedRight| {
            let scales = packed.scales.iter().zip(&alone.scales);
            assert!(scales.into_iter().all(|(a, b)| a.to_bits() == b.to_bits()));
            assert_eq!(
                (&packed.pairs, packed.depth, packed.columns),
                (&alone.pairs, depth, columns)
            );
        };
        same(packed);
        // Panel by panel, over what is not right.
        packed.begin(depth, columns);
        packed.pairs.fill(!0);
        for panel in 0..3 {
            let part = panel * RIGHT..columns.min((panel + 1) * RIGHT);
            packed.pack_panel(panel, of(number).part(0..depth, part));
        }
        same(packed);
    }
}

#[test]
#[should_panic(expected = "rows of one length")]
fn rows_of_two_lengths_are_not_packed() {
    pack_rows(&[&[1.0; 32], &[1.0; 31]], vec![&mut PackedRight::default()]);
}

#[test]
fn a_bias_is_added_to_every_row() {
    let (left, right, bias) = (values(130 * 7, 1), values(7 * 33, 2), values(33, 3));
    let (left, right) = (View::rows(&left, 130, 7), PackedRight::new(View::rows(&right, 7, 33)));
    let (plain, biased) = (multiply(left, &right, None), multiply(left, &right, Some(&bias)));
    for (at, (plain, biased)) in plain.iter().zip(&biased).enumerate() {
        assert_eq!(*biased, bias[at % 33] + plain);
    }
    // Whatever was there before.
    let mut out = vec![f32::NAN; biased.len()];
    multiply_onto(Onto::Bias(&bias), left, &right, &mut out, &mut Scratch::default());
    assert_eq!(out, biased);
    out.fill(f32::NAN);
    multiply_onto(Onto::Zeros, left, &right, &mut out, &mut Scratch::default());
    assert_eq!(out, plain);
    multiply_onto(Onto::Sums, left, &right, &mut out, &mut Scratch::default());
    assert!(out.iter().zip(&plain).all(|(out, plain)| *out == 2.0 * plain));
    // Nothing times anything is the bias alone.
    let none = PackedRight::new(View::rows(&[], 0, 33));
    assert_eq!(multiply(View::rows(&[], 2, 0), &none, Some(&bias)), bias.repeat(2));
}

#[test]
fn the_largest_sums_stay_within_32_bits() {
    let left = vec![1.0; LEFT * BLOCK];
    let right = vec![-1.0; BLOCK * RIGHT];
    let packed = PackedRight::new(View::rows(&right, BLOCK, RIGHT));
    assert_eq!(both(packed.pairs[0]).map(f64::from), [-f64::from(LIMIT); 2]);
    let out = multiply(View::rows(&left, LEFT, BLOCK), &packed, None);
    // A sum past 32 bits would be positive.
    assert!(out.iter().all(|&x| (x + 256.0).abs() < 1e-3), "{}", out[0]);
}

#[test]
fn rounds_to_nearest_even() {
    for value in values(1000, 3) {
        let [low, high] = both(pair([value, -value], 2000.0));
        let want = (value * 2000.0).round_ties_even();
        assert_eq!([low, high].map(f64::from), [want, -want].map(f64::from));
    }
}

#[test]
fn zeros_stay_zeros_and_what_is_no_number_stays_none() {
    let product = |a: [f32; 3]| {
        let right = PackedRight::new(View::rows(&[1.0, 2.0, 3.0], 3, 1));
        multiply(View::rows(&a, 1, 3), &right, None)[0]
    };
    assert_eq!(product([0.0, -0.0, 0.0]).to_bits(), 0.0_f32.to_bits());
    assert_eq!(product([1e-39, 0.0, 0.0]).to_bits(), 0.0_f32.to_bits());
    assert!(product([1.0, f32::NAN, 0.0]).is_nan());
    assert!(product([1.0, f32::INFINITY, 0.0]).is_nan());
}
