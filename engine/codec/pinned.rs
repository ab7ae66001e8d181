//! Memory that a GPU writes to by itself, while this thread does something else.

use candle_core::cuda_backend::cudarc::driver::PinnedHostSlice;
use candle_core::cuda_backend::{CudaDevice, WrapErr as _};
use candle_core::{Result, Storage, Tensor, bail};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Buffers that are kept: one is read while another is written.
const KEPT: usize = 2;

/// Buffers that are free. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Pinned(Arc<Mutex<Vec<PinnedHostSlice<u8>>>>);

/// A buffer that is being written.
#[derive(Debug)]
pub(super) struct Copying {
    buffer: PinnedHostSlice<u8>,
    home: Pinned,
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pinned").finish_non_exhaustive()
    }
}

impl Pinned {
    /// Begins to copy bytes, once the stream of their device has made them.
    pub(super) fn copy(&self, bytes: &Tensor) -> Result<Copying> {
        let (storage, layout) = bytes.storage_and_layout();
        let (Storage::Cuda(storage), Some((start, end))) = (&*storage, layout.contiguous_offsets())
        else {
            bail!("expected contiguous bytes on a GPU")
        };
        let device = candle_core::backend::BackendStorage::device(storage);
        let bytes = storage.as_cuda_slice::<u8>()?.slice(start..end);
        let mut buffer = self.take(end - start, device)?;
        device.cuda_stream().memcpy_dtoh(&bytes, &mut buffer).w()?;
        Ok(Copying { buffer, home: self.clone() })
    }

    fn take(&self, len: usize, device: &CudaDevice) -> Result<PinnedHostSlice<u8>> {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = free.iter().position(|buffer| buffer.len() == len) {
            return Ok(free.swap_remove(at));
        }
        // Memory that is not combined for writing: it is read here.
        // SAFETY: nothing reads it before the copy that is begun at once has written all of it.
        #[expect(unsafe_code, reason = "memory that is written before it is read needs no zeros")]
        unsafe { device.cuda_stream().context().alloc_pinned_with_flags::<u8>(len, 0) }.w()
    }
}

impl Copying {
    /// The bytes, once they are there.
    pub(super) fn wait(self) -> Result<Vec<u8>> {
        let bytes = self.buffer.as_slice().w()?.to_vec();
        let mut free = self.home.0.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() == KEPT {
            free.remove(0);
        }
        free.push(self.buffer);
        Ok(bytes)
    }
}
