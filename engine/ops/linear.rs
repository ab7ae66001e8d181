//! The linear layer.

use super::{Precision, floats, fused, int16, stored, vectorized, with_floats};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor};
use candle_nn::VarBuilder;
use int16::{PackedRight, View};
use rayon::prelude::*;
use std::sync::Arc;

/// `y = x · weightᵀ + bias`, weight stored (out, in) as in every checkpoint of the field.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
    precision: Precision,
    /// The weight in the kernel's order, once it no longer changes.
    packed: Option<Arc<PackedRight>>,
}

impl Linear {
    /// Reads `weight` (out, in) and `bias` (out).
    pub fn new(
        inputs: usize,
        outputs: usize,
        precision: Precision,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let bias = Some(vb.get(outputs, "bias")?);
        Ok(Self { bias, ..Self::without_bias(inputs, outputs, precision, vb)? })
    }

    /// Reads `weight` (out, in).
    pub fn without_bias(
        inputs: usize,
        outputs: usize,
        precision: Precision,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let weight = vb.get((outputs, inputs), "weight")?;
        Ok(Self { weight, bias: None, precision, packed: None })
    }

    /// The layer with a weight (out, in) and a bias (out).
    pub fn from_tensors(weight: Tensor, bias: Tensor, precision: Precision) -> Self {
        Self { weight, bias: Some(bias), precision, packed: None }
    }

    /// The weight (out, in) and the bias (out).
    ///
    /// # Panics
    /// When there is no bias.
    pub(crate) fn tensors(&self) -> [&Tensor; 2] {
        [&self.weight, self.bias.as_ref().expect("asked of layers with a bias")]
    }

    /// The type of its product.
    pub(crate) fn dtype(&self) -> DType {
        self.weight.dtype()
    }

    /// Rounds the weight to 16-bit floats, in which it multiplies from then on: call when it no longer changes.
    pub(crate) fn halve(&mut self) -> Result<()> {
        self.weight = self.weight.to_dtype(DType::F16)?;
        self.bias = self.bias.as_ref().map(|bias| bias.to_dtype(DType::F16)).transpose()?;
        Ok(())
    }

    /// Packs the weight for the integer kernel: call when it no longer changes.
    pub fn freeze(&mut self) -> Result<()> {
        if self.precision.is_int16() && self.weight.device().is_cpu() {
            let (outputs, inputs) = self.weight.dims2()?;
            let weight = self.weight.contiguous()?;
            let packed = with_floats([&weight], |[weight]| {
                Ok(PackedRight::new(View::rows(weight, outputs, inputs).transposed()))
            })?;
            self.packed = Some(Arc::new(packed));
        }
        Ok(())
    }

    /// x: (R, in) to (R, out).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let op = Product(self.packed.clone());
        match &self.bias {
            _ if !(self.precision.is_int16() && fused(&self.weight)) => self.plain_forward(x),
            Some(bias) => x.apply_op3(&self.weight, bias, op),
            None => x.apply_op2(&self.weight, op),
        }
    }

    fn plain_forward(&self, x: &Tensor) -> Result<Tensor> {
        let product = x.to_dtype(self.dtype())?.matmul(&self.weight.t()?)?;
        match &self.bias {
            Some(bias) => product.broadcast_add(bias),
            None => Ok(product),
        }
    }
}

/// `x · weightᵀ`, or `x · weightᵀ + bias`, in integers.
struct Product(Option<Arc<PackedRight>>);

/// Rows whose gradients are summed into one part of the bias's: fixed, so that the sum has one order.
const BIAS_ROWS: usize = 64;

type Part<'a> = (&'a CpuStorage, &'a Layout);

impl Product {
    fn forward(
        &self,
        x: Part<'_>,
        weight: Part<'_>,
        bias: Option<&[f32]>,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, inputs) = x.1.shape().dims2()?;
        let outputs = weight.1.shape().dims2()?.0;
        let (x, weight) = (floats(x.0, x.1)?, floats(weight.0, weight.1)?);
        let fresh;
        let packed = match &self.0 {
            Some(packed) => packed.as_ref(),
            None => {
                fresh = PackedRight::new(View::rows(weight, outputs, inputs).transposed());
                &fresh
            }
        };
        let out = int16::multiply(View::rows(x, rows, inputs), packed, bias);
        Ok(stored(out, (rows, outputs)))
    }

    /// Gradients to x and to the weight.
    fn slopes(x: &Tensor, weight: &Tensor, gradient: &Tensor) -> Result<(Tensor, Tensor)> {
        let ((rows, inputs), outputs) = (x.dims2()?, weight.dims2()?.0);
        let (to_x, to_weight) = with_floats([x, weight, gradient], |[x, weight, gradient]| {
            let gradient = View::rows(gradient, rows, outputs);
            let weight = PackedRight::new(View::rows(weight, outputs, inputs));
            let x = PackedRight::new(View::rows(x, rows, inputs));
            let to_x = int16::multiply(gradient, &weight, None);
            Ok((to_x, int16::multiply(gradient.transposed(), &x, None)))
        })?;
        let to_x = Tensor::from_vec(to_x, (rows, inputs), x.device())?;
        Ok((to_x, Tensor::from_vec(to_weight, (outputs, inputs), x.device())?))
    }
}

/// Sums of the columns of a row-major matrix.
fn column_sums(values: &[f32], width: usize) -> Vec<f32> {
    let add = |sums: &mut [f32], row: &[f32]| {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += value;
        }
    };
    let parts = values.par_chunks(BIAS_ROWS * width).map(|rows| {
        let mut sums = vec![0.0; width];
        vectorized(
            #[inline(always)]
            || {
                for row in rows.chunks(width) {
                    add(&mut sums, row);
                }
            },
        );
        sums
    });
    let mut sums = vec![0.0; width];
    parts.collect::<Vec<_>>().iter().for_each(|part| add(&mut sums, part));
    sums
}

impl CustomOp2 for Product {
    fn name(&self) -> &'static str {
        "int16_product"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward((x, x_layout), (weight, weight_layout), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (to_x, to_weight) = Self::slopes(x, weight, &gradient.contiguous()?)?;
        Ok((Some(to_x), Some(to_weight)))
    }
}

impl CustomOp3 for Product {
    fn name(&self) -> &'static str {
        "int16_linear"
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
        let bias = floats(bias, bias_layout)?;
        self.forward((x, x_layout), (weight, weight_layout), Some(bias))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let (to_x, to_weight) = Self::slopes(x, weight, &gradient)?;
        let width = bias.dims1()?;
        let sums = with_floats([&gradient], |[gradient]| Ok(column_sums(gradient, width)))?;
        let to_bias = Tensor::from_vec(sums, width, bias.device())?;
        Ok((Some(to_x), Some(to_weight), Some(to_bias)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::same_with_gradients;
    use super::*;

    #[test]
    fn int16_product_follows_the_plain_one() {
        // Operands are off by half a step at most, 2^-12.5 of the largest of their block, either way: over
        // n products that is about sqrt(n) of it, and sums are about sqrt(n) / 3.
        same_with_gradients(
            &[&[50, 70], &[40, 70]],
            2e-3,
            |t| t[0].apply_op2(&t[1], Product(None)),
            |t| t[0].matmul(&t[1].t()?),
        );
        // 130 rows: more than one part of the bias's gradient.
        same_with_gradients(
            &[&[130, 70], &[40, 70], &[40]],
            2e-3,
            |t| t[0].apply_op3(&t[1], &t[2], Product(None)),
            |t| t[0].matmul(&t[1].t()?)?.broadcast_add(&t[2]),
        );
    }
}
