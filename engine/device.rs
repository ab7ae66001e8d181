//! Where the networks run.

pub use candle_core::Device;
use candle_core::Tensor;

/// The first CUDA GPU where this build has CUDA and the machine a driver, else the CPU.
///
/// The text says what was found, for one line to the user; `None` where nothing else was asked for.
pub fn best() -> (Device, Option<String>) {
    match cuda() {
        Ok(device) => (device, None),
        // Nobody asked for it.
        Err(_) if cfg!(not(feature = "cuda")) => (Device::Cpu, None),
        Err(reason) => (Device::Cpu, Some(format!("no CUDA ({reason}); using the CPU"))),
    }
}

/// The first CUDA GPU.
///
/// # Errors
/// Why there is none, in words.
pub fn cuda() -> Result<Device, String> {
    #[cfg(feature = "cuda")]
    {
        // Before anything calls CUDA.
        cuda_lazy::load().map_err(|error| error.to_string())?;
        let device = in_one_stream().map_err(|error| error.to_string())?;
        Ok(Device::Cuda(device))
    }
    #[cfg(not(feature = "cuda"))]
    Err("this build has none: cargo build --features cuda".to_owned())
}

/// A GPU to which all threads give their work in one stream. candle's usual one has a stream for each thread, and
/// nothing makes one wait for what another has begun; here threads encode groups side by side.
#[cfg(feature = "cuda")]
fn in_one_stream() -> candle_core::Result<candle_core::CudaDevice> {
    let device = candle_core::CudaDevice::new_with_stream(0)?;
    // SAFETY: events order the work of several streams on the same memory. A stream orders its own work itself, and what
    // goes from one device made here to another goes through this machine's memory (`across`), or when both are idle.
    #[expect(unsafe_code, reason = "two events for each tensor cost more than many a kernel")]
    unsafe {
        device.disable_event_tracking();
    }
    Ok(device)
}

/// Another stream of the same GPU, for work beside that of `device`; the CPU itself.
///
/// Tensors of one go [`across`] to the other. candle lets both into one operation, for they are of one GPU, and nothing then
/// makes one stream wait for the other.
///
/// # Errors
/// When the GPU fails.
pub(crate) fn beside(device: &Device) -> candle_core::Result<Device> {
    #[cfg(feature = "cuda")]
    if device.is_cuda() {
        return in_one_stream().map(Device::Cuda);
    }
    Ok(device.clone())
}

/// A tensor on another device than its own, that one's work on it done.
///
/// # Errors
/// When a device fails.
pub(crate) fn across(tensor: &Tensor, device: &Device) -> candle_core::Result<Tensor> {
    if tensor.device().same_device(device) {
        return Ok(tensor.clone());
    }
    tensor.to_device(&Device::Cpu)?.to_device(device)
}

/// Lets GPUs round the factors of products of 32-bit floats to 10 bits and a sign (TF32), or not: all products of
/// this process, as the network that was read last asks for.
pub(crate) fn round_products(device: &Device, rounded: bool) {
    if device.is_cuda() {
        candle_core::cuda::set_gemm_reduced_precision_f32(rounded);
    }
}

/// What a device is called.
pub fn name(device: &Device) -> String {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device {
        let context = std::sync::Arc::clone(device.cuda_stream().context());
        let name = context.name().unwrap_or_else(|error| error.to_string());
        let version = context.compute_capability().map_or_else(
            |error| error.to_string(),
            |(major, minor)| format!("compute capability {major}.{minor}"),
        );
        return format!("{name}, {version}");
    }
    if device.is_cpu() { "the CPU".to_owned() } else { "a GPU".to_owned() }
}

/// What decides in which order and how finely `device` sums: machines that answer alike give the same bits.
pub fn arithmetic(device: &Device) -> String {
    if !device.is_cpu() {
        return "cuda".to_owned();
    }
    format!("{} {}", std::env::consts::ARCH, crate::ops::features().join("+")).trim_end().to_owned()
}
