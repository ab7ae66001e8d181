//! Memory that a GPU writes to by itself, while this thread does something else.

use candle_core::cuda_backend::cudarc::driver::sys::CUevent_flags;
use candle_core::cuda_backend::cudarc::driver::{CudaEvent, PinnedHostSlice};
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
    /// There until it goes home.
    buffer: Option<PinnedHostSlice<u8>>,
    /// The buffer's own event is none: streams of devices made here record nothing by themselves.
    written: CudaEvent,
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
        let stream = device.cuda_stream();
        // Made before there is a copy to wait for, recorded after it.
        let written = stream.record_event(Some(CUevent_flags::CU_EVENT_BLOCKING_SYNC)).w()?;
        let buffer = self.take(end - start, device)?;
        let mut copying = Copying { buffer: Some(buffer), written, home: self.clone() };
        let copied =
            stream.memcpy_dtoh(&bytes, copying.buffer.as_mut().expect("it was just put there"));
        if copied.is_err() || copying.written.record(&stream).is_err() {
            // Whatever was begun ends before the buffer goes.
            stream.synchronize().w()?;
        }
        copied.w()?;
        Ok(copying)
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
    pub(super) fn wait(mut self) -> Result<Vec<u8>> {
        self.written.synchronize().w()?;
        let buffer = self.buffer.take().expect("it goes home once");
        let bytes = buffer.as_slice().w()?.to_vec();
        let mut free = self.home.0.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() == KEPT {
            free.remove(0);
        }
        free.push(buffer);
        Ok(bytes)
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        // A buffer that nobody waited for is not let go while it is written. A GPU that fails now writes no more.
        if self.buffer.is_some() {
            let _ = self.written.synchronize();
        }
    }
}
