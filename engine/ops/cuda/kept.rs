//! What was copied to a device last: all blocks of a network use the same rows and phases.

use super::super::Phases;
use candle_core::{Device, Result, Tensor};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A network uses the rows and phases of queries and keys, and the groups of its rows; two may take turns.
const MOST: usize = 16;

/// Copies of shared values on devices, those used last.
struct Kept<T: ?Sized>(Mutex<VecDeque<Entry<T>>>);

struct Entry<T: ?Sized> {
    of: Weak<T>,
    device: Device,
    tensors: Vec<Tensor>,
}

impl<T: ?Sized> Kept<T> {
    const fn new() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }

    /// What `copy` made of these very values, now or before.
    fn get(
        &self,
        of: &Arc<T>,
        device: &Device,
        copy: impl FnOnce() -> Result<Vec<Tensor>>,
    ) -> Result<Vec<Tensor>> {
        let of = Arc::downgrade(of);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // While an entry holds what it is of, nothing else has that address.
        let same = |entry: &Entry<T>| entry.of.ptr_eq(&of) && entry.device.same_device(device);
        let entry = match kept.iter().position(same) {
            Some(at) => kept.remove(at).expect("it was just found"),
            None => Entry { of, device: device.clone(), tensors: copy()? },
        };
        let tensors = entry.tensors.clone();
        kept.push_front(entry);
        kept.truncate(MOST);
        Ok(tensors)
    }
}

/// Indices on a device.
pub(super) fn indices(index: &Arc<[u32]>, device: &Device) -> Result<Tensor> {
    static KEPT: Kept<[u32]> = Kept::new();
    let copy = || Ok(vec![Tensor::from_slice(index, index.len(), device)?]);
    Ok(KEPT.get(index, device, copy)?.swap_remove(0))
}

/// Real and imaginary parts on a device.
pub(super) fn phases(phases: &Arc<Phases>, device: &Device) -> Result<[Tensor; 2]> {
    static KEPT: Kept<Phases> = Kept::new();
    let part = |part: &[f32]| Tensor::from_slice(part, part.len(), device);
    let copy = || Ok(vec![part(&phases.real)?, part(&phases.imaginary)?]);
    let mut parts = KEPT.get(phases, device, copy)?;
    let imaginary = parts.swap_remove(1);
    Ok([parts.swap_remove(0), imaginary])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_values_are_copied_once() {
        let first: Arc<[u32]> = [1, 2].into();
        let second: Arc<[u32]> = [1, 2].into();
        let kept = Kept::new();
        let id = |of: &Arc<[u32]>| {
            let copy = || Ok(vec![Tensor::from_slice(of, of.len(), &Device::Cpu)?]);
            kept.get(of, &Device::Cpu, copy).unwrap()[0].id()
        };
        let (a, b) = (id(&first), id(&second));
        assert_ne!(a, b, "other values may be equal now, but change apart");
        assert_eq!((id(&first), id(&second)), (a, b));
        for _ in 0..MOST {
            id(&[3].into());
        }
        assert_ne!(id(&first), a, "what was not used for long is let go");
    }
}
