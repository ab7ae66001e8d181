//! Muon on the matrices of the blocks, Adam on everything else.
//!
//! Muon (K. Jordan 2024) steps along the momentum's nearest semi-orthogonal matrix, found by five
//! Newton-Schulz iterations, and scaled so that its root mean square is that of an Adam step.

use crate::ops::{Precision, in_place, product, square_sum, update, update_by_two};
use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Rates of the optimizer.
#[derive(Clone, Copy, Debug)]
pub struct MuonConfig {
    /// Decay of weights per step, times the rate; matrices only.
    pub weight_decay: f64,
    /// Largest norm of all gradients together.
    pub clip: f64,
}

impl Default for MuonConfig {
    fn default() -> Self {
        Self { weight_decay: 0.01, clip: 1.0 }
    }
}

/// The optimizer and its state.
#[derive(Debug)]
pub struct Muon {
    config: MuonConfig,
    precision: Precision,
    slots: BTreeMap<String, Slot>,
    step: i32,
}

#[derive(Debug)]
struct Slot {
    var: Var,
    mean: Tensor,
    /// Second moment; matrices have none.
    square: Option<Tensor>,
}

const MOMENTUM: f64 = 0.95;
const ADAM: (f64, f64) = (0.9, 0.99);

/// Whether a weight is stepped as a matrix; a filter is the matrix (out, in · taps).
fn is_matrix(name: &str, var: &Var) -> bool {
    let filter = var.rank() == 4;
    filter || (name.starts_with("blocks.") && !name.contains("modulation") && var.rank() == 2)
}

impl Muon {
    /// Starts with no momentum.
    pub fn new(
        vars: &BTreeMap<String, Var>,
        config: MuonConfig,
        precision: Precision,
    ) -> Result<Self> {
        let slots = vars.iter().map(|(name, var)| {
            let square = if is_matrix(name, var) { None } else { Some(var.zeros_like()?) };
            let slot = Slot { mean: var.zeros_like()?, square, var: var.clone() };
            Ok((name.clone(), slot))
        });
        Ok(Self { config, precision, slots: slots.collect::<Result<_>>()?, step: 0 })
    }

    /// The same with Adam on everything, as for low-rank pairs: their factors are no maps of their own.
    pub fn without_matrices(vars: &BTreeMap<String, Var>, config: MuonConfig) -> Result<Self> {
        let mut optimizer = Self::new(vars, config, Precision::F32)?;
        for slot in optimizer.slots.values_mut() {
            slot.square = Some(slot.mean.zeros_like()?);
        }
        Ok(optimizer)
    }

    /// A copy of the state under names, for a checkpoint.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut state = BTreeMap::new();
        for (name, slot) in &self.slots {
            state.insert(format!("{name}.mean"), slot.mean.copy()?);
            if let Some(square) = &slot.square {
                state.insert(format!("{name}.square"), square.copy()?);
            }
        }
        Ok(state)
    }

    /// Takes up the state of a checkpoint made after `step` steps.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn restore(&mut self, state: &BTreeMap<String, Tensor>, step: i32) -> Result<()> {
        self.step = step;
        for (name, slot) in &mut self.slots {
            let device = slot.var.device();
            let take = |part: &str| {
                let name = format!("{name}.{part}");
                let tensor = state.get(&name);
                let tensor = tensor.filter(|tensor| tensor.shape() == slot.var.shape());
                tensor
                    .ok_or_else(|| {
                        candle_core::Error::Msg(format!("checkpoint: no fitting {name}"))
                    })?
                    .to_device(device)?
                    .copy() // steps write in place
            };
            slot.mean = take("mean")?;
            if slot.square.is_some() {
                slot.square = Some(take("square")?);
            }
        }
        Ok(())
    }

    /// One step at `rate`; answers the norm of the gradients.
    ///
    /// Weights that the loss did not use, such as the projection of a kernel that no plan of the
    /// batch holds, stay as they are.
    pub fn step(&mut self, gradients: &GradStore, rate: f64) -> Result<f64> {
        self.step += 1;
        let mut norm = 0.0;
        for gradient in self.slots.values().filter_map(|slot| gradients.get(&slot.var)) {
            norm += square_sum(gradient)?;
        }
        let norm = norm.sqrt();
        if !norm.is_finite() {
            return Ok(norm);
        }
        let shrink = (self.config.clip / (norm + 1e-12)).min(1.0);
        let (step, precision, decay) = (self.step, self.precision, self.config.weight_decay);
        let descend = |slot: &mut Slot| match gradients.get(&slot.var) {
            Some(gradient) => slot.descend((gradient, shrink), (step, rate), decay, precision),
            None => Ok(()),
        };
        // On a CPU one weight beside another.
        if self.slots.values().all(|slot| in_place(&slot.var)) {
            self.slots.par_iter_mut().try_for_each(|(_, slot)| descend(slot))?;
        } else {
            self.slots.values_mut().try_for_each(descend)?;
        }
        Ok(norm)
    }
}

impl Slot {
    /// Step number `step` at `rate`, along a gradient that is shrunk.
    fn descend(
        &mut self,
        (gradient, shrink): (&Tensor, f64),
        (step, rate): (i32, f64),
        weight_decay: f64,
        precision: Precision,
    ) -> Result<()> {
        let gradient = gradient.contiguous()?;
        let Some(square) = &self.square else {
            self.mean = blend(&self.mean, &gradient, MOMENTUM, shrink)?;
            let ahead = blend(&self.mean.copy()?, &gradient, MOMENTUM, shrink)?;
            let direction = orthogonal(&ahead.flatten_from(1)?, precision)?;
            let (rows, columns) = direction.dims2()?;
            #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^52")]
            let scale = 0.2 * (rows.max(columns) as f64).sqrt();
            let kept = 1.0 - rate * weight_decay;
            return descend(&self.var, &direction.reshape(self.var.shape())?, kept, rate * scale);
        };
        self.mean = blend(&self.mean, &gradient, ADAM.0, shrink)?;
        let square = blend_squares(square, &gradient, ADAM.1, shrink)?;
        let (first, second) = (1.0 - ADAM.0.powi(step), 1.0 - ADAM.1.powi(step));
        descend_adam(&self.var, (&self.mean, first), (&square, second), rate)?;
        self.square = Some(square);
        Ok(())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
fn single(value: f64) -> f32 {
    value as f32
}

/// `mean · decay + gradient · shrink · (1 - decay)`; where it can, in place of `mean`.
fn blend(mean: &Tensor, gradient: &Tensor, decay: f64, shrink: f64) -> Result<Tensor> {
    let share = shrink * (1.0 - decay);
    if !in_place(mean) {
        return (mean * decay)? + (gradient * share)?;
    }
    let (decay, share) = (single(decay), single(share));
    update(mean, gradient, |mean, gradient| mean * decay + gradient * share)?;
    Ok(mean.clone())
}

/// [`blend`] of the squares of the shrunk gradient.
fn blend_squares(mean: &Tensor, gradient: &Tensor, decay: f64, shrink: f64) -> Result<Tensor> {
    let share = shrink * shrink * (1.0 - decay);
    if !in_place(mean) {
        return (mean * decay)? + (gradient.sqr()? * share)?;
    }
    let (decay, share) = (single(decay), single(share));
    update(mean, gradient, |mean, gradient| mean * decay + gradient * gradient * share)?;
    Ok(mean.clone())
}

/// `weight = weight · kept - direction · rate`.
fn descend(weight: &Var, direction: &Tensor, kept: f64, rate: f64) -> Result<()> {
    if !in_place(weight) {
        return weight.set(&((weight.as_tensor() * kept)? - (direction * rate)?)?);
    }
    let (kept, rate) = (single(kept), single(rate));
    update(weight, &direction.contiguous()?, |weight, step| weight * kept - step * rate)
}

/// `weight -= rate · mean / sqrt(square)`, both moments corrected for their start at zero.
fn descend_adam(
    weight: &Var,
    (mean, first): (&Tensor, f64),
    (square, second): (&Tensor, f64),
    rate: f64,
) -> Result<()> {
    if !in_place(weight) {
        let deviation = ((square / second)?.sqrt()? + 1e-8)?;
        let step = ((mean / first)? / deviation)?;
        return weight.set(&(weight.as_tensor() - (step * rate)?)?);
    }
    let (rate, second) = (single(rate / first), single(1.0 / second));
    update_by_two(weight, mean, square, |weight, mean, square| {
        weight - rate * mean / ((square * second).sqrt() + 1e-8)
    })
}

/// The semi-orthogonal matrix nearest to `matrix`, approximately (singular values 0.7 to 1.2).
fn orthogonal(matrix: &Tensor, precision: Precision) -> Result<Tensor> {
    let (rows, columns) = matrix.dims2()?;
    let tall = rows > columns;
    let mut x = (matrix / (square_sum(matrix)?.sqrt() + 1e-7))?;
    for _ in 0..5 {
        // The smaller of the two Gram matrices; it and all that follows from it are symmetric.
        let gram =
            if tall { product(&x.t()?, &x, precision)? } else { product(&x, &x.t()?, precision)? };
        let square = product(&gram, &gram, precision)?;
        let b = ((gram * -4.775)? + (square * 2.0315)?)?;
        let bx = if tall { product(&x, &b, precision)? } else { product(&b, &x, precision)? };
        x = ((x * 3.4445)? + bx)?;
    }
    Ok(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Random;
    use candle_core::Device;

    #[test]
    fn updates_are_nearly_orthogonal() {
        for shape in [(24, 40), (40, 24)] {
            let x = Random::new(1, 2).normals(shape.0 * shape.1);
            let x = Tensor::from_vec(x, shape, &Device::Cpu).unwrap();
            let y = orthogonal(&x, Precision::F32).unwrap();
            let y = if shape.0 > shape.1 { y.t().unwrap() } else { y };
            let gram = y.matmul(&y.t().unwrap()).unwrap().to_vec2::<f32>().unwrap();
            for (i, row) in gram.iter().enumerate() {
                for (j, &value) in row.iter().enumerate() {
                    // Singular values lie between 0.7 and 1.2 by design of the coefficients.
                    let range = if i == j { 0.4..1.5 } else { -0.4..0.4 };
                    assert!(range.contains(&value), "gram[{i}][{j}] = {value}");
                }
            }
        }
    }

    #[test]
    fn both_kinds_of_step_descend() {
        let start = Tensor::from_vec(Random::new(5, 0).normals(12), (3, 4), &Device::Cpu).unwrap();
        let vars = BTreeMap::from([
            ("blocks.0.q.weight".to_owned(), Var::from_tensor(&start).unwrap()),
            ("head.weight".to_owned(), Var::from_tensor(&start).unwrap()),
        ]);
        let mut muon = Muon::new(&vars, MuonConfig::default(), Precision::F32).unwrap();
        let loss = |name: &str| vars[name].as_tensor().sqr().unwrap().sum_all().unwrap();
        let first: f32 = loss("head.weight").to_scalar().unwrap();
        // A step has a fixed length, so the rate must fall for the weights to settle.
        for left in (0..60_u8).rev() {
            let total = (loss("blocks.0.q.weight") + loss("head.weight")).unwrap();
            muon.step(&total.backward().unwrap(), f64::from(left) * 0.004).unwrap();
        }
        for name in vars.keys() {
            assert!(loss(name).to_scalar::<f32>().unwrap() < 0.2 * first, "{name}");
        }
    }

    #[test]
    fn a_filter_is_stepped_as_its_matrix() {
        let start = Tensor::from_vec(Random::new(5, 0).normals(12), (3, 4), &Device::Cpu).unwrap();
        let filter = start.reshape((3, 1, 2, 2)).unwrap();
        let vars = BTreeMap::from([
            ("blocks.0.q.weight".to_owned(), Var::from_tensor(&start).unwrap()),
            ("stem.weight".to_owned(), Var::from_tensor(&filter).unwrap()),
        ]);
        let mut muon = Muon::new(&vars, MuonConfig::default(), Precision::F32).unwrap();
        let loss = |name: &str| vars[name].as_tensor().sqr().unwrap().sum_all().unwrap();
        for _ in 0..3 {
            let total = (loss("blocks.0.q.weight") + loss("stem.weight")).unwrap();
            muon.step(&total.backward().unwrap(), 0.05).unwrap();
        }
        let values = |name: &str| vars[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(values("stem.weight") == values("blocks.0.q.weight"));
        assert!(values("stem.weight") != start.flatten_all().unwrap().to_vec1::<f32>().unwrap());
    }
}
