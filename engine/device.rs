//! Where the networks run.

pub use candle_core::Device;

/// The first CUDA GPU where this build has CUDA and the machine a driver, else the CPU.
///
/// The text says what was found, for one line to the user; `None` where nothing else was asked for.
pub fn best() -> (Device, Option<String>) {
    #[cfg(feature = "cuda")]
    match Device::new_cuda(0) {
        Ok(device) => return (device, None),
        Err(error) => return (Device::Cpu, Some(format!("no CUDA ({error}); using the CPU"))),
    }
    #[cfg(not(feature = "cuda"))]
    (Device::Cpu, None)
}

/// What decides in which order and how finely `device` sums: machines that answer alike give the same bits.
pub fn arithmetic(device: &Device) -> String {
    if !device.is_cpu() {
        return "cuda".to_owned();
    }
    format!("{} {}", std::env::consts::ARCH, crate::ops::features().join("+")).trim_end().to_owned()
}
