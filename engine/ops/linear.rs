//! The linear layer.

use super::{Precision, bf16, floats, stored, with_floats};
use bf16::{PackedRight, View};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use candle_nn::VarBuilder;
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

    /// Packs the weight for the bf16 kernel: call when it no longer changes.
    pub fn freeze(&mut self) -> Result<()> {
        if self.precision.is_bf16() && self.weight.device().is_cpu() {
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
        let product = match &self.packed {
            Some(packed) => x.apply_op2(&self.weight, Product(Some(Arc::clone(packed))))?,
            None => product_transposed(x, &self.weight, self.precision)?,
        };
        match &self.bias {
            Some(bias) => product.broadcast_add(bias),
            None => Ok(product),
        }
    }
}

/// `a · bᵀ`: (M, K), (N, K) to (M, N).
pub(crate) fn product_transposed(a: &Tensor, b: &Tensor, precision: Precision) -> Result<Tensor> {
    if precision.is_bf16() && a.device().is_cpu() {
        a.apply_op2(b, Product(None))
    } else {
        a.matmul(&b.t()?)
    }
}

/// `x · weightᵀ` in bf16.
struct Product(Option<Arc<PackedRight>>);

impl CustomOp2 for Product {
    fn name(&self) -> &'static str {
        "bf16_product"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, inputs) = x_layout.shape().dims2()?;
        let outputs = weight_layout.shape().dims2()?.0;
        let (x, weight) = (floats(x, x_layout)?, floats(weight, weight_layout)?);
        let mut out = vec![0.0; rows * outputs];
        let fresh;
        let packed = match &self.0 {
            Some(packed) => packed.as_ref(),
            None => {
                fresh = PackedRight::new(View::rows(weight, outputs, inputs).transposed());
                &fresh
            }
        };
        bf16::multiply(View::rows(x, rows, inputs), packed, &mut out);
        Ok(stored(out, (rows, outputs)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((rows, inputs), outputs) = (x.dims2()?, weight.dims2()?.0);
        let gradient = gradient.contiguous()?;
        let (to_x, to_weight) = with_floats([x, weight, &gradient], |[x, weight, gradient]| {
            let gradient = View::rows(gradient, rows, outputs);
            let mut to_x = vec![0.0; rows * inputs];
            let weight = PackedRight::new(View::rows(weight, outputs, inputs));
            bf16::multiply(gradient, &weight, &mut to_x);
            let mut to_weight = vec![0.0; outputs * inputs];
            let x = PackedRight::new(View::rows(x, rows, inputs));
            bf16::multiply(gradient.transposed(), &x, &mut to_weight);
            Ok((to_x, to_weight))
        })?;
        Ok((
            Some(Tensor::from_vec(to_x, (rows, inputs), x.device())?),
            Some(Tensor::from_vec(to_weight, (outputs, inputs), x.device())?),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::same_with_gradients;
    use super::*;

    #[test]
    fn bf16_product_follows_the_plain_one() {
        if !bf16::available() {
            println!("skipped: this CPU has no AVX-512 BF16");
            return;
        }
        // Operands are rounded to 8 bits of mantissa: 2^-9 each, over sums of about sqrt(n) / 3.
        same_with_gradients(
            &[&[50, 70], &[40, 70]],
            1e-2,
            |t| t[0].apply_op2(&t[1], Product(None)),
            |t| t[0].matmul(&t[1].t()?),
        );
    }
}
