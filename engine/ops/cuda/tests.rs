//! Each kernel's twin against the plain form, its source against the twin, and its source through the compiler.

#[cfg(target_os = "linux")]
mod emulate;

use super::super::check::random;
use super::super::{
    Route, attend as attend_op, elementwise as residual_op, norm as norm_op, place as place_op,
};
use super::attend::Attention;
use super::source::compile;
use super::*;
use crate::ops::{Phases, Rows};
use std::sync::Arc;

/// Phases whose moduli are below 1, as of pooled tokens.
fn phases(tokens: usize, half: usize, seed: usize) -> Arc<Phases> {
    let part = |seed| random(&[tokens * half], seed).unwrap().to_vec1().unwrap();
    Arc::new(Phases { real: part(seed), imaginary: part(seed + 1), half })
}

/// Rows in an order of their own, some of them twice.
fn mixed(count: usize, of: u32) -> Arc<[u32]> {
    (0_u32..).map(|at| (at * 7 + at / 3) % of).take(count).collect()
}

/// Both types that a number may have.
const TYPES: [DType; 2] = [DType::F32, DType::F16];

/// Numbers of a type, none of which the type rounds.
fn numbers(shape: &[usize], seed: usize, dtype: DType) -> Tensor {
    random(shape, seed).unwrap().to_dtype(DType::F16).unwrap().to_dtype(dtype).unwrap()
}

fn place_launch(dtype: DType) -> Launch {
    let (index, phases) = (mixed(21, 10), phases(7, 6, 1));
    place::launch(&numbers(&[10, 36], 3, dtype), &index, &phases).unwrap()
}

/// Rows wider than a block has threads, and groups of several lengths, one of them empty.
fn modulated() -> ([Tensor; 3], Rows) {
    let tensor = |rows, seed| random(&[rows, 300], seed).unwrap();
    ([tensor(5, 1), tensor(3, 2), tensor(3, 3)], Rows::new(&[2, 0, 3]))
}

fn modulate_launch(dtype: DType) -> Launch {
    let ([x, shift, scale], rows) = modulated();
    norm::modulate_launch(&x, &shift, &scale, &rows, dtype).unwrap()
}

fn rms_norm_launch(head: usize, dtype: DType) -> Launch {
    // Runs that no block's number divides.
    let (x, gain) = (numbers(&[3, 5 * head], 4, dtype), random(&[head], 5).unwrap());
    norm::rms_norm_launch(&x, &gain).unwrap()
}

fn gelu_launch(dtype: DType) -> Launch {
    // From where it is nothing to where it is its argument.
    pointwise::gelu_launch(&(numbers(&[7, 130], 7, dtype) * 6.0).unwrap()).unwrap()
}

fn gated_add_launch(dtype: DType) -> Launch {
    let ([x, gate, _], rows) = modulated();
    pointwise::gated_add_launch(&x, &numbers(&[5, 300], 6, dtype), &gate, &rows).unwrap()
}

/// Two sequences that share keys, of numbers that no tile divides.
fn attended(head: usize, [queries, keys]: [usize; 2], dtype: DType) -> ([Tensor; 3], Arc<[Route]>) {
    let tensor = |rows, seed| (numbers(&[rows, 3 * head], seed, dtype) * 2.0).unwrap();
    let route = Route {
        queries: mixed(2 * queries, 50),
        keys: mixed(2 * keys, 60),
        query_phases: phases(queries, head / 2, 6),
        key_phases: phases(keys, head / 2, 8),
    };
    ([tensor(50, 1), tensor(60, 2), tensor(60, 3)], [route].into())
}

fn attend_launch(attention: &Attention, head: usize, tokens: [usize; 2], dtype: DType) -> Launch {
    let ([q, k, v], routes) = attended(head, tokens, dtype);
    attention.launch(&q, &k, &v, &routes[0]).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Both work in f32: only the order of sums differs.
fn close(what: &str, got: &Tensor, want: &Tensor, tolerance: f32) {
    assert_eq!((got.dims(), got.dtype()), (want.dims(), want.dtype()), "{what}");
    let [got, want] = [got, want].map(|x| x.to_dtype(DType::F32).unwrap());
    let (got, want) = (&got, &want);
    let largest = |x: Tensor| x.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    let (off, scale) = (largest((got - want).unwrap()), largest(want.clone()).max(1.0));
    assert!(off <= tolerance * scale, "{what}: off by {off} at scale {scale}");
}

#[test]
fn twins_follow_the_plain_forms() {
    for dtype in TYPES {
        // A plain form rounds after each of its steps, each time by up to 2^-12 of the largest.
        let rounding = if dtype == DType::F16 { 1e-3 } else { 0.0 };
        let (pool, index, of_places) =
            (numbers(&[10, 36], 3, dtype), mixed(21, 10), phases(7, 6, 1));
        let want = place_op::plain_place(&pool, &index, &of_places).unwrap();
        // Two products, one of them not rounded on its own.
        let got = place(&pool, &index, &of_places).unwrap();
        close("place", &got, &want, 2e-7 + rounding);

        let ([x, shift, scale], rows) = modulated();
        let want = norm_op::plain_modulate(&x, &shift, &scale, &rows).unwrap();
        let got = modulate(&x, &shift, &scale, &rows, dtype).unwrap();
        close("modulate", &got, &want.to_dtype(dtype).unwrap(), 2e-6 + rounding);

        let gain = random(&[24], 5).unwrap();
        let x = numbers(&[3, 5 * 24], 4, dtype);
        let want = norm_op::plain_rms_norm(&x, &gain).unwrap();
        close("rms_norm", &rms_norm(&x, &gain).unwrap(), &want, 2e-6 + 2.0 * rounding);

        let ([x, gate, _], rows) = modulated();
        let update = numbers(&[5, 300], 6, dtype);
        let want = residual_op::plain_gated_add(&x, &update, &gate, &rows).unwrap();
        // A product that is not rounded on its own.
        let got = gated_add(&x, &update, &gate, &rows).unwrap();
        close("gated_add", &got, &want, 2e-7);

        let got = gelu_launch(dtype);
        let Input::Tensor(x) = &got.inputs[0] else { unreachable!("its argument") };
        close("gelu", &got.run().unwrap(), &x.gelu().unwrap(), 2e-7 + rounding);
    }
}

#[test]
fn twins_of_attention_follow_the_plain_form() {
    // Scores of up to 64 products below 16 are summed in another order: 2^-24 · 64 · 16 before the exponential. Rounded,
    // each of their factors is off by up to 2^-12 of it, some to either side. The plain form of 16-bit floats rounds
    // scores as well, to 2^-12 of 16.
    let forms =
        [(&EXACT, DType::F32, 6e-5), (&ROUNDED, DType::F32, 2e-3), (&ROUNDED, DType::F16, 8e-3)];
    for (attention, dtype, tolerance) in forms {
        for (head, tokens) in [(16, [1, 1]), (16, [33, 65]), (64, [5, 40]), (64, [5, 140])] {
            let ([q, k, v], routes) = attended(head, tokens, dtype);
            let want = attend_op::plain_attend(&q, &k, &v, &routes).unwrap();
            close("attend", &attention.attend(&q, &k, &v, &routes).unwrap(), &want, tolerance);
            let twice: Arc<[Route]> = [routes[0].clone(), routes[0].clone()].into();
            let want = attend_op::plain_attend(&q, &k, &v, &twice).unwrap();
            let got = attention.attend(&q, &k, &v, &twice).unwrap();
            close("attend twice", &got, &want, tolerance);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn sources_do_what_their_twins_do() {
    use emulate::{bits, run};
    for dtype in TYPES {
        let norms = [24, 70].map(|head| rms_norm_launch(head, dtype));
        let others = [place_launch(dtype), modulate_launch(dtype), gated_add_launch(dtype)];
        for launch in norms.into_iter().chain(others) {
            let twin = values(&launch.run().unwrap());
            assert_eq!(bits(&run(&launch)), bits(&twin), "{} {dtype:?}", launch.kernel.name);
        }
    }
    for dtype in TYPES {
        let launch = gelu_launch(dtype);
        let got = Tensor::from_vec(run(&launch), launch.shape.clone(), &candle_core::Device::Cpu);
        // So is the hyperbolic tangent.
        let tolerance = if dtype == DType::F16 { 1e-3 } else { 2e-7 };
        let got = got.unwrap().to_dtype(dtype).unwrap();
        close("gelu", &got, &launch.run().unwrap(), tolerance);
    }
    let attentions = [
        // The exponential is the C library's here and Rust's there, each right to a unit or two.
        (&EXACT, DType::F32, 1e-6, [(8, [1, 1]), (16, [33, 65]), (128, [40, 32])]),
        // A weight that is so little off may round to the next of 16 bits.
        (&ROUNDED, DType::F32, 5e-4, [(16, [1, 1]), (32, [130, 150]), (128, [20, 64])]),
        // So may a result, to 2^-11 of it.
        (&ROUNDED, DType::F16, 1e-3, [(16, [1, 1]), (32, [130, 150]), (128, [20, 64])]),
    ];
    for (attention, dtype, tolerance, sizes) in attentions {
        for (head, tokens) in sizes {
            let launch = attend_launch(attention, head, tokens, dtype);
            let shape = launch.shape.clone();
            let got = Tensor::from_vec(run(&launch), shape, &candle_core::Device::Cpu).unwrap();
            let got = got.to_dtype(dtype).unwrap();
            close(launch.kernel.name, &got, &launch.run().unwrap(), tolerance);
        }
    }
}

#[test]
fn sources_compile() {
    let mut launches = Vec::new();
    for dtype in TYPES {
        launches.extend([place_launch(dtype), modulate_launch(dtype), gated_add_launch(dtype)]);
        launches.extend([rms_norm_launch(24, dtype), gelu_launch(dtype)]);
        launches.extend([16, 64, 128].map(|head| attend_launch(&ROUNDED, head, [1, 1], dtype)));
    }
    launches.extend([8, 64, 128].map(|head| attend_launch(&EXACT, head, [1, 1], DType::F32)));
    for launch in launches {
        for architecture in ["compute_75", "compute_80", "compute_90"] {
            // Its products came with 8.0; what is older takes the exact one.
            if launch.kernel.name == "attend_rounded" && architecture == "compute_75" {
                continue;
            }
            let ptx = match compile(launch.kernel, launch.variant, architecture) {
                Err(error @ cuda_lazy::Error::Missing(_)) => return println!("skipped: {error}"),
                other => other.unwrap_or_else(|error| panic!("{}: {error}", launch.kernel.name)),
            };
            assert!(ptx.contains(&format!(".entry {}", launch.kernel.name)), "{ptx}");
            // What every block may have without asking.
            assert!(shared_bytes(&ptx) <= 48 * 1024, "{}", launch.kernel.name);
        }
    }
}

/// Bytes of shared memory that PTX declares, as in `.shared .align 4 .b8 own[2176];`.
fn shared_bytes(ptx: &str) -> usize {
    let declared = ptx.lines().filter(|line| line.trim_start().starts_with(".shared"));
    let bytes = declared
        .filter_map(|line| line.split_once('[')?.1.split_once(']')?.0.parse::<usize>().ok());
    bytes.sum()
}

#[test]
fn what_is_no_number_stays_none() {
    let values = Tensor::new(&[[f32::NAN, 1e9, -1e9, 0.5]], &candle_core::Device::Cpu).unwrap();
    let nothing = values.zeros_like().unwrap();
    let rows = Rows::new(&[1]);
    let launch = norm::modulate_launch(&values, &nothing, &nothing, &rows, DType::F16).unwrap();
    // One of a row, and so its mean and all others.
    assert!(self::values(&launch.run().unwrap()).iter().all(|x| x.is_nan()));
    #[cfg(target_os = "linux")]
    assert!(emulate::run(&launch).iter().all(|x| x.is_nan()));
    assert_eq!(nearest_half(1e9), f16::MAX);
}

#[test]
fn what_does_not_fit_is_refused() {
    let pool = random(&[4, 12], 1).unwrap();
    assert!(place(&pool, &[4].into(), &phases(1, 6, 1)).is_err(), "a row that is not there");
    assert!(place(&pool, &[3].into(), &phases(1, 5, 1)).is_err(), "part of a head");
    let ([x, shift, scale], _) = modulated();
    let fewer_rows = Rows::new(&[5]);
    assert!(modulate(&x, &shift, &scale, &fewer_rows, DType::F32).is_err(), "fewer groups");
    assert!(gated_add(&x, &x, &shift, &fewer_rows).is_err(), "fewer groups");
    assert!(gated_add(&x, &shift, &shift, &Rows::new(&[2, 0, 3])).is_err(), "fewer rows");
    assert!(rms_norm(&x, &random(&[7], 1).unwrap()).is_err(), "part of a head");
    let ([q, k, v], routes) = attended(16, [3, 4], DType::F32);
    let fewer = |x: &Tensor| x.narrow(0, 0, 9).unwrap();
    assert!(EXACT.attend(&q, &fewer(&k), &v, &routes).is_err(), "keys missing");
    assert!(EXACT.attend(&q, &k, &fewer(&v), &routes).is_err(), "values missing");
    assert!(!EXACT.fits(132) && !EXACT.fits(18) && EXACT.fits(128));
    assert!(!ROUNDED.fits(144) && !ROUNDED.fits(24) && ROUNDED.fits(128));
}
