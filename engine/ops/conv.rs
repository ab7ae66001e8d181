//! 3x3 convolution of channel-last pictures, zero-padded to the same size.
//!
//! In integers, four of nine multiplications are made: see [`winograd`].

mod kernel;
mod slope;
mod winograd;

use super::{Precision, add, floats, fused, stored, with_floats};
use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor};
use candle_nn::VarBuilder;
use std::sync::Arc;
use winograd::PackedFilter;

/// A 3x3 convolution, weight stored (out, in, 3, 3) as in every checkpoint of the field.
#[derive(Clone, Debug)]
pub struct Conv2d {
    weight: Tensor,
    bias: Tensor,
    precision: Precision,
    /// The weight in the kernel's order, once it no longer changes.
    packed: Option<Arc<PackedFilter>>,
}

/// What happens to the input before the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    Silu,
}

impl Conv2d {
    /// Reads `weight` (out, in, 3, 3) and `bias` (out).
    pub fn new(
        inputs: usize,
        outputs: usize,
        precision: Precision,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let weight = vb.get((outputs, inputs, 3, 3), "weight")?;
        Ok(Self { weight, bias: vb.get(outputs, "bias")?, precision, packed: None })
    }

    /// Packs the weight for the integer kernel: call when it no longer changes.
    pub fn freeze(&mut self) -> Result<()> {
        if self.precision.is_int16() && self.weight.device().is_cpu() {
            let (outputs, inputs, ..) = self.weight.dims4()?;
            let weight = self.weight.contiguous()?;
            let packed = with_floats([&weight], |[weight]| {
                Ok(PackedFilter::forward(weight, inputs, outputs))
            })?;
            self.packed = Some(Arc::new(packed));
        }
        Ok(())
    }

    /// Rounds the weight to 16-bit floats, in which it multiplies from then on: call when it no longer changes.
    pub(crate) fn halve(&mut self) -> Result<()> {
        self.weight = self.weight.to_dtype(DType::F16)?;
        self.bias = self.bias.to_dtype(DType::F16)?;
        Ok(())
    }

    /// x: (B, H, W, in) to (B, H, W, out).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, Before::Nothing, None)
    }

    /// The convolution of silu(x): (B, H, W, in) to (B, H, W, out).
    pub fn forward_silu(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, Before::Silu, None)
    }

    /// The same, on top of `onto`: (B, H, W, out).
    ///
    /// # Errors
    /// `onto` has another shape.
    pub fn forward_silu_onto(&self, x: &Tensor, onto: &Tensor) -> Result<Tensor> {
        let (count, height, width, _) = x.dims4()?;
        let want = (count, height, width, self.bias.dims1()?);
        if onto.dims4()? != want {
            candle_core::bail!("expected {want:?} below a convolution, got {:?}", onto.dims());
        }
        self.apply(x, Before::Silu, Some(onto))
    }

    fn apply(&self, x: &Tensor, before: Before, onto: Option<&Tensor>) -> Result<Tensor> {
        if !(fused(x) && fused(&self.weight) && self.precision.is_int16()) {
            let x = x.to_dtype(self.weight.dtype())?;
            let y = plain(&x, &self.weight, &self.bias, before)?;
            return onto.map_or(Ok(y.clone()), |onto| onto + &y);
        }
        let (packed, x) = (self.packed.clone(), x.contiguous()?);
        let traced = x.track_op() || onto.is_some_and(Tensor::track_op);
        let at_once = packed.is_some() && !traced;
        let (onto, sum) = if at_once { (onto, None) } else { (None, onto) };
        let onto = onto.map(Tensor::contiguous).transpose()?;
        let convolution = Convolution { before, packed, onto };
        let y = x.apply_op3(&self.weight, &self.bias, convolution)?;
        sum.map_or(Ok(y.clone()), |onto| add(onto, &y))
    }
}

fn plain(x: &Tensor, weight: &Tensor, bias: &Tensor, before: Before) -> Result<Tensor> {
    let x = match before {
        Before::Nothing => x.clone(),
        Before::Silu => x.silu()?,
    };
    let x = x.permute((0, 3, 1, 2))?.contiguous()?; // B, C, H, W
    let y = x.conv2d(weight, 1, 1, 1, 1)?.permute((0, 2, 3, 1))?;
    y.contiguous()?.broadcast_add(bias)
}

/// Sizes of a batch of channel-last pictures.
#[derive(Clone, Copy, Debug)]
struct Pictures {
    count: usize,
    height: usize,
    width: usize,
    channels: usize,
}

impl Pictures {
    fn of(shape: &Shape) -> Result<Self> {
        let (count, height, width, channels) = shape.dims4()?;
        Ok(Self { count, height, width, channels })
    }

    /// Values of one picture.
    fn len(self) -> usize {
        self.height * self.width * self.channels
    }

    /// Pixels of one line with its border.
    fn padded_width(self) -> usize {
        self.width + 2
    }
}

struct Convolution {
    before: Before,
    packed: Option<Arc<PackedFilter>>,
    /// What the result is added to, where no gradient is wanted.
    onto: Option<Tensor>,
}

impl CustomOp3 for Convolution {
    fn name(&self) -> &'static str {
        "int16_conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let pictures = Pictures::of(x_layout.shape())?;
        let outputs = weight_layout.shape().dims4()?.0;
        let (x, weight, bias) =
            (floats(x, x_layout)?, floats(weight, weight_layout)?, floats(bias, bias_layout)?);
        let fresh;
        let filter = match &self.packed {
            Some(packed) => packed.as_ref(),
            None => {
                fresh = PackedFilter::forward(weight, pictures.channels, outputs);
                &fresh
            }
        };
        let convolve = |onto: Option<&[f32]>| filter.convolve(x, pictures, self.before, bias, onto);
        let out = match &self.onto {
            Some(onto) => with_floats([onto], |[onto]| Ok(convolve(Some(onto))))?,
            None => convolve(None),
        };
        Ok(stored(out, (pictures.count, pictures.height, pictures.width, outputs)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let pictures = Pictures::of(x.shape())?;
        let gradient = gradient.contiguous()?;
        let (to_x, to_weight, to_bias) =
            with_floats([x, weight, &gradient], |[x, weight, gradient]| {
                let to_x = slope::to_input(x, weight, gradient, pictures, self.before);
                let (to_weight, to_bias) = slope::to_filter(x, gradient, pictures, self.before);
                Ok((to_x, to_weight, to_bias))
            })?;
        Ok((
            Some(Tensor::from_vec(to_x, x.shape(), x.device())?),
            Some(Tensor::from_vec(to_weight, weight.shape(), x.device())?),
            Some(Tensor::from_vec(to_bias, bias.shape(), x.device())?),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{random, same_with_gradients};
    use super::*;
    use candle_core::{DType, Device};

    fn fused_form(t: &[Tensor], before: Before) -> Result<Tensor> {
        t[0].apply_op3(&t[1], &t[2], Convolution { before, packed: None, onto: None })
    }

    #[test]
    fn int16_convolution_follows_the_plain_one() {
        // Odd and even channels, panels of 16, 32 and both, lines shorter and longer than a tile.
        for (shape, outputs) in [
            ([1, 1, 1, 1], 1),
            ([1, 9, 1, 3], 2),
            ([2, 5, 3, 7], 12),
            ([3, 9, 20, 16], 40),
            ([1, 24, 32, 6], 64),
        ] {
            for before in [Before::Nothing, Before::Silu] {
                // Operands are off by 2^-11 of the largest or less, either way: over n products that
                // is about sqrt(n) of it, and sums are about sqrt(n) / 3.
                same_with_gradients(
                    &[&shape, &[outputs, shape[3], 3, 3], &[outputs]],
                    2e-3,
                    |t| fused_form(t, before),
                    |t| plain(&t[0], &t[1], &t[2], before),
                );
            }
        }
    }

    #[test]
    fn sums_of_the_largest_values_stay_within_their_integers() {
        // Signs that meet in every tile so that its transform is four times as large as the picture.
        let (side, channels) = (12, 512);
        let sign = |at: usize| {
            if (at / side / 2 + at % side / 2).is_multiple_of(2) { 1.0_f32 } else { -1.0 }
        };
        let x: Vec<f32> = (0..side * side).flat_map(|at| vec![sign(at); channels]).collect();
        let x = Tensor::from_vec(x, (1, side, side, channels), &Device::Cpu).unwrap();
        let weight = Tensor::ones((1, channels, 3, 3), DType::F32, &Device::Cpu).unwrap();
        let bias = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
        let convolution = Convolution { before: Before::Nothing, packed: None, onto: None };
        let got = x.apply_op3(&weight, &bias, convolution).unwrap();
        let want = plain(&x, &weight, &bias, Before::Nothing).unwrap();
        let off = (got - &want).unwrap().abs().unwrap().max_all().unwrap();
        // Sums are of 9 · 512; a sum that overflowed would be off by all of 2^32 steps.
        assert!(off.to_scalar::<f32>().unwrap() < 4.0, "{off}");
    }

    #[test]
    fn what_lies_below_is_added_whether_or_not_a_gradient_is_wanted() {
        let tensors = [
            ("weight".to_owned(), random(&[40, 6, 3, 3], 2).unwrap()),
            ("bias".to_owned(), random(&[40], 3).unwrap()),
        ];
        let vb = VarBuilder::from_tensors(tensors.into(), DType::F32, &Device::Cpu);
        let mut conv = Conv2d::new(6, 40, Precision::Int16, &vb).unwrap();
        // More than one task for each picture.
        let (x, onto) = (random(&[2, 19, 20, 6], 1).unwrap(), random(&[2, 19, 20, 40], 4).unwrap());
        let values = |y: &Tensor| y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let want = values(&(conv.forward_silu(&x).unwrap() + &onto).unwrap());
        assert_eq!(values(&conv.forward_silu_onto(&x, &onto).unwrap()), want);
        conv.freeze().unwrap();
        assert_eq!(values(&conv.forward_silu_onto(&x, &onto).unwrap()), want);
        let [traced_x, traced_onto] =
            [&x, &onto].map(|t| candle_core::Var::from_tensor(t).unwrap());
        assert_eq!(values(&conv.forward_silu_onto(&traced_x, &onto).unwrap()), want);
        let y = conv.forward_silu_onto(&x, &traced_onto).unwrap();
        assert_eq!(values(&y), want);
        let gradients = y.sum_all().unwrap().backward().unwrap();
        assert!(gradients.get(&traced_onto).is_some(), "what lies below has a gradient, too");
        assert!(conv.forward_silu_onto(&x, &onto.transpose(1, 2).unwrap()).is_err());
    }

    #[test]
    fn what_is_no_number_stays_none() {
        for value in [f32::NAN, f32::INFINITY] {
            let mut x = vec![1.0_f32; 5 * 6];
            x[7] = value;
            let x = Tensor::from_vec(x, (1, 5, 1, 6), &Device::Cpu).unwrap();
            let (weight, bias) = (random(&[3, 6, 3, 3], 2).unwrap(), random(&[3], 3).unwrap());
            let y = fused_form(&[x, weight, bias], Before::Nothing).unwrap();
            let y = y.get(0).unwrap().get(1).unwrap().flatten_all().unwrap();
            assert!(y.to_vec1::<f32>().unwrap().iter().all(|y| !y.is_finite()), "{value}: {y}");
        }
    }

    #[test]
    fn threads_and_packing_change_no_bit() {
        let run = |threads: usize, freeze: bool| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| -> Result<Vec<Vec<f32>>> {
                let weight = candle_core::Var::from_tensor(&random(&[40, 6, 3, 3], 2)?)?;
                let x = candle_core::Var::from_tensor(&random(&[5, 13, 18, 6], 1)?)?;
                let tensors = [
                    ("weight".to_owned(), weight.as_tensor().clone()),
                    ("bias".to_owned(), random(&[40], 3)?),
                ];
                let vb = VarBuilder::from_tensors(tensors.into(), DType::F32, &Device::Cpu);
                let mut conv = Conv2d::new(6, 40, Precision::Int16, &vb)?;
                if freeze {
                    conv.freeze()?;
                }
                let y = conv.forward_silu(&x)?;
                let gradients = (&y * random(y.dims(), 4)?)?.sum_all()?.backward()?;
                let of = |var: &candle_core::Var| gradients.get(var).expect("a gradient").clone();
                [y, of(&x), of(&weight)].iter().map(|t| t.flatten_all()?.to_vec1()).collect()
            })
            .unwrap()
        };
        let one = run(1, false);
        assert!(one == run(3, false), "threads change the result");
        assert!(one == run(2, true), "packing the weight changes the result");
    }
}
