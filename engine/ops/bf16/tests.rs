//! Products against those in 64 bits, and packing.

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

/// The product of the rounded operands, accumulated in f64.
fn reference(left: View<'_>, right: View<'_>) -> Vec<f64> {
    let at = |view: View<'_>, row: usize, column: usize| {
        let value = view.values[row * view.row_stride + column * view.column_stride];
        f64::from(f32::from_bits(round(value) << 16))
    };
    let mut out = Vec::new();
    for row in 0..left.rows {
        for column in 0..right.columns {
            out.push((0..left.columns).map(|k| at(left, row, k) * at(right, k, column)).sum());
        }
    }
    out
}

#[test]
fn equals_the_product_of_rounded_operands() {
    for (rows, depth, columns) in
        [(1, 1, 1), (1, 64, 40), (4, 70, 33), (13, 7, 33), (48, 256, 64), (100, 700, 40)]
    {
        let (a, b) = (values(rows * depth, 1), values(depth * columns, 2));
        let lefts = [View::rows(&a, rows, depth), View::rows(&a, depth, rows).transposed()];
        let rights = [View::rows(&b, depth, columns), View::rows(&b, columns, depth).transposed()];
        for left in lefts {
            for right in rights {
                let mut out = vec![f32::NAN; rows * columns];
                multiply(left, &PackedRight::new(right), &mut out);
                for (got, want) in out.iter().zip(reference(left, right)) {
                    // f32 accumulation of at most 700 products of magnitude 1.
                    assert!((f64::from(*got) - want).abs() < 1e-3, "{got} for {want}");
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn widened_pairs_give_the_same_product() {
    if !has_fused_multiply_add() {
        println!("skipped: this CPU has no FMA");
        return;
    }
    let packed = |count, seed| -> Vec<u32> {
        values(2 * count, seed).chunks(2).map(|x| round(x[0]) | (round(x[1]) << 16)).collect()
    };
    let (left, right) = (packed(50 * LEFT, 5), packed(50 * RIGHT, 6));
    // SAFETY: the CPU has what is asked for, and both panels hold 50 pairs.
    #[expect(unsafe_code, reason = "features are found when the program runs")]
    let got = unsafe { x86::widened_tile(&left, &right, LEFT) };
    let both =
        |pair: u32| [pair << 16, pair & 0xffff_0000].map(|bits| f64::from(f32::from_bits(bits)));
    for (row, got) in got.iter().enumerate() {
        for (column, got) in got.iter().enumerate() {
            let products = (0..50).map(|at| {
                let (a, b) = (both(left[at * LEFT + row]), both(right[at * RIGHT + column]));
                a[0] * b[0] + a[1] * b[1]
            });
            let want: f64 = products.sum();
            // f32 accumulation of 100 products of magnitude 1.
            assert!((f64::from(*got) - want).abs() < 1e-4, "{got} for {want}");
        }
    }
}

#[test]
fn rounds_to_nearest_even() {
    for value in values(1000, 3) {
        assert_eq!(round(value), u32::from(half::bf16::from_f32(value).to_bits()));
    }
}
