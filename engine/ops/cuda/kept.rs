//! What was copied to a device last: all blocks of a network use the same rows and phases.

use super::super::Phases;
use candle_core::{Device, Result, Tensor, bail};
use std::cell::RefCell;
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

/// What a thread is told of the copies that it uses.
#[cfg_attr(not(any(test, feature = "cuda")), expect(dead_code, reason = "a GPU's"))]
enum Watch {
    /// All of them are noted.
    Hold(Vec<Tensor>),
    /// All of them must be there already.
    Seal,
}

thread_local! {
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

/// The result of some work, and the copies that it used.
#[cfg(any(test, feature = "cuda"))]
pub(crate) fn hold<R>(work: impl FnOnce() -> R) -> (R, Vec<Tensor>) {
    WATCH.set(Some(Watch::Hold(Vec::new())));
    let result = work();
    let Some(Watch::Hold(held)) = WATCH.take() else { unreachable!("it was just set") };
    (result, held)
}

/// The result of some work that may use what was copied before, and nothing new.
#[cfg(any(test, feature = "cuda"))]
pub(crate) fn sealed<R>(work: impl FnOnce() -> R) -> R {
    WATCH.set(Some(Watch::Seal));
    let result = work();
    WATCH.set(None);
    result
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
            None if WATCH.with_borrow(|watch| matches!(watch, Some(Watch::Seal))) => {
                bail!("expected all that is used to be on the device already")
            }
            None => Entry { of, device: device.clone(), tensors: copy()? },
        };
        let tensors = entry.tensors.clone();
        WATCH.with_borrow_mut(|watch| {
            if let Some(Watch::Hold(held)) = watch {
                held.extend(tensors.iter().cloned());
            }
        });
        kept.push_front(entry);
        kept.truncate(MOST);
        Ok(tensors)
    }
}

/// Indices on a device.
pub(in super::super) fn indices(index: &Arc<[u32]>, device: &Device) -> Result<Tensor> {
    static KEPT: Kept<[u32]> = Kept::new();
    let copy = || Ok(vec![Tensor::from_slice(index, index.len(), device)?]);
    Ok(KEPT.get(index, device, copy)?.swap_remove(0))
}

/// Real and imaginary parts on a device.
pub(in super::super) fn phases(phases: &Arc<Phases>, device: &Device) -> Result<[Tensor; 2]> {
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

    #[test]
    fn what_is_used_is_held_and_nothing_new_comes_when_sealed() {
        let kept = Kept::new();
        let get = |of: &Arc<[u32]>| {
            let copy = || Ok(vec![Tensor::from_slice(of, of.len(), &Device::Cpu)?]);
            kept.get(of, &Device::Cpu, copy)
        };
        let (first, second): (Arc<[u32]>, Arc<[u32]>) = ([1].into(), [2].into());
        let (got, held) = hold(|| get(&first).unwrap());
        assert_eq!(held.len(), 1);
        assert_eq!(held[0].id(), got[0].id());
        let (known, new) = sealed(|| (get(&first), get(&second)));
        assert_eq!(known.unwrap()[0].id(), got[0].id());
        assert!(new.is_err());
        assert!(get(&second).is_ok(), "sealed no longer");
    }
}
