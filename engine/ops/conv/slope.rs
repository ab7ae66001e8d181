//! Gradients of the convolution.

use super::super::int16::{self, PackedRight, View};
use super::super::{exp, vectorized};
use super::winograd::{PackedFilter, silu};
use super::{Before, Pictures};
use rayon::prelude::*;

/// Pictures whose gradients one task sums; fixed, so that the sum has one order.
const TASK_PICTURES: usize = 2;

/// The gradient of the input: the gradient of the output, convolved with the flipped filter.
pub(super) fn to_input(
    x: &[f32],
    weight: &[f32],
    gradient: &[f32],
    pictures: Pictures,
    before: Before,
) -> Vec<f32> {
    let (inputs, outputs) = (pictures.channels, weight.len() / (9 * pictures.channels));
    let filter = PackedFilter::backward(weight, inputs, outputs);
    let gradients = Pictures { channels: outputs, ..pictures };
    let mut out = filter.convolve(gradient, gradients, Before::Nothing, &vec![0.0; inputs], None);
    if before == Before::Silu {
        let chunk = 1 << 14;
        out.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).for_each(|(out, x)| {
            vectorized(
                #[inline(always)]
                || {
                    for (out, &x) in out.iter_mut().zip(x) {
                        let s = 1.0 / (1.0 + exp(-x));
                        *out *= s * x.mul_add(1.0 - s, 1.0);
                    }
                },
            );
        });
    }
    out
}

/// Gradients of the weight (out, in, 3, 3) and of the bias.
pub(super) fn to_filter(
    x: &[f32],
    gradient: &[f32],
    pictures: Pictures,
    before: Before,
) -> (Vec<f32>, Vec<f32>) {
    let inputs = pictures.channels;
    let pixels = pictures.count * pictures.height * pictures.width;
    let outputs = gradient.len() / pixels;
    let gradients = Pictures { channels: outputs, ..pictures };
    let tasks = x.par_chunks(TASK_PICTURES * pictures.len());
    let parts: Vec<_> = tasks
        .zip(gradient.par_chunks(TASK_PICTURES * gradients.len()))
        .map(|(x, gradient)| {
            let mut sums = vec![0.0; 9 * inputs * outputs];
            let mut to_bias = vec![0.0; outputs];
            let each = x.chunks(pictures.len()).zip(gradient.chunks(gradients.len()));
            for (x, gradient) in each {
                add_picture(x, gradient, [pictures, gradients], before, &mut sums);
                vectorized(
                    #[inline(always)]
                    || gradient.chunks(outputs).for_each(|row| add(&mut to_bias, row)),
                );
            }
            (sums, to_bias)
        })
        .collect();
    let mut sums = vec![0.0; 9 * inputs * outputs]; // taps, in, out
    let mut to_bias = vec![0.0; outputs];
    for (part, bias) in &parts {
        vectorized(
            #[inline(always)]
            || add(&mut sums, part),
        );
        add(&mut to_bias, bias);
    }
    let mut to_weight = vec![0.0; sums.len()];
    to_weight.par_chunks_mut(9 * inputs).enumerate().for_each(|(output, out)| {
        for (at, out) in out.iter_mut().enumerate() {
            let (input, tap) = (at / 9, at % 9);
            *out = sums[(tap * inputs + input) * outputs + output];
        }
    });
    (to_weight, to_bias)
}

/// Adds one picture's gradient of the filter to `sums`: (taps, in, out).
fn add_picture(
    x: &[f32],
    gradient: &[f32],
    [pictures, gradients]: [Pictures; 2],
    before: Before,
    sums: &mut [f32],
) {
    let (inputs, outputs) = (pictures.channels, gradients.channels);
    let line = pictures.padded_width();
    let mut padded = vec![0.0; (pictures.height + 2) * line * inputs];
    let lines = padded.chunks_exact_mut(line * inputs).skip(1);
    for (out, x) in lines.zip(x.chunks_exact(pictures.width * inputs)) {
        let out = &mut out[inputs..(pictures.width + 1) * inputs];
        match before {
            Before::Nothing => out.copy_from_slice(x),
            Before::Silu => vectorized(
                #[inline(always)]
                || silu(x, out),
            ),
        }
    }
    // The border's positions weigh nothing.
    let positions = pictures.height * line - 2;
    let mut weights = vec![0.0; pictures.height * line * outputs];
    let lines = weights.chunks_exact_mut(line * outputs);
    for (out, g) in lines.zip(gradient.chunks_exact(pictures.width * outputs)) {
        out[..g.len()].copy_from_slice(g);
    }
    let weights = View::rows(&weights[..positions * outputs], positions, outputs);
    let weights = PackedRight::new(weights);
    for (row, sums) in sums.chunks_exact_mut(3 * inputs * outputs).enumerate() {
        let windows = View {
            values: &padded[row * line * inputs..],
            rows: positions,
            columns: 3 * inputs,
            row_stride: inputs,
            column_stride: 1,
        };
        let product = int16::multiply(windows.transposed(), &weights, None);
        vectorized(
            #[inline(always)]
            || add(sums, &product),
        );
    }
}

#[inline(always)]
fn add(sums: &mut [f32], values: &[f32]) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}
