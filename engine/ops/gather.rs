//! Rows picked from a tensor, with a gradient that a GPU makes in parallel.

use super::cuda::indices;
use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Storage, Tensor, bail};
use std::sync::Arc;

/// Rows `index` of `x`, (P, width): (rows of the index, width).
///
/// The gradient of candle's own adds row after row, each after the last: a GPU spends most of a training step with it.
/// Here every row of `x` picks up its own.
pub(super) fn gather(x: &Tensor, index: &Arc<[u32]>) -> Result<Tensor> {
    let on_device = indices(index, x.device())?;
    if x.track_op() {
        x.apply_op1(Gather { index: Arc::clone(index), on_device })
    } else {
        x.index_select(&on_device, 0)
    }
}

struct Gather {
    index: Arc<[u32]>,
    on_device: Tensor,
}

impl Gather {
    /// For each of `rows` rows, where the index names it, as many places as the most named has; beyond its own, one past
    /// the end.
    fn places(&self, rows: usize) -> (Vec<u32>, usize) {
        let mut named = vec![Vec::new(); rows];
        for (place, &row) in (0_u32..).zip(self.index.iter()) {
            named[row as usize].push(place);
        }
        let most = named.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let none = u32::try_from(self.index.len()).expect("places have numbers of 32 bits");
        let padded = named.iter().flat_map(|places| {
            places.iter().copied().chain(std::iter::repeat(none)).take(most).collect::<Vec<_>>()
        });
        (padded.collect(), most)
    }
}

impl CustomOp1 for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (storage, index) = self.on_device.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else { bail!("expected the index on the CPU") };
        let shape = (self.index.len(), layout.shape().dims2()?.1);
        Ok((x.index_select(storage, layout, index, 0)?, shape.into()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &candle_core::CudaStorage,
        layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        let (storage, index) = self.on_device.storage_and_layout();
        let Storage::Cuda(storage) = &*storage else { bail!("expected the index on the GPU") };
        let shape = (self.index.len(), layout.shape().dims2()?.1);
        Ok((x.index_select(storage, layout, index, 0)?, shape.into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (rows, width) = x.dims2()?;
        let (places, most) = self.places(rows);
        let places = Tensor::from_vec(places, rows * most, x.device())?;
        let nothing = gradient.zeros_like()?.narrow(0, 0, 1)?;
        let picked = Tensor::cat(&[gradient, &nothing], 0)?.index_select(&places, 0)?;
        Ok(Some(picked.reshape((rows, most, width))?.sum(1)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn rows_and_their_gradients_are_those_of_candle() {
        let values = |count: u16| (0..count).map(|at| (f32::from(at) * 0.7).sin()).collect();
        let tensor = |rows: u16, values: Vec<f32>| {
            Tensor::from_vec(values, (usize::from(rows), 3), &Device::Cpu).unwrap()
        };
        let x = Var::from_tensor(&tensor(5, values(15))).unwrap();
        let weight = tensor(7, values(21));
        // One row three times, one never.
        let index: Arc<[u32]> = [4, 0, 4, 2, 1, 4, 0].into();
        let plain = Tensor::new(&index[..], &Device::Cpu).unwrap();
        let all = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let [ours, candles] = [
            gather(x.as_tensor(), &index).unwrap(),
            x.as_tensor().index_select(&plain, 0).unwrap(),
        ]
        .map(|picked| {
            let loss = (&picked * &weight).unwrap().sum_all().unwrap();
            (all(&picked), all(loss.backward().unwrap().get(&x).unwrap()))
        });
        assert_eq!(ours, candles);
        assert_eq!(ours.1[9..12], [0.0; 3], "nobody picked that row");
    }
}
