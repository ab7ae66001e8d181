//! Compiling, loading and launching.

use super::source::compile;
use super::{Input, Kernel, Launch, Variant};
use candle_core::backend::BackendStorage as _;
use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaView, DeviceRepr, LaunchConfig, PushKernelArg as _,
};
use candle_core::cuda_backend::{CudaDType, CudaDevice, CudaStorage, DeviceId, WrapErr as _};
use candle_core::{DType, Device, Layout, Result, Storage, bail};
use half::f16;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Whether a kernel could be made for this device.
pub(super) fn is_ready(kernel: &'static Kernel, variant: Variant, device: &Device) -> bool {
    matches!(device, Device::Cuda(device) if function(device, kernel, variant).is_some())
}

/// The kernel on this device, made when it is first asked for; why it cannot be is said once.
fn function(
    device: &CudaDevice,
    kernel: &'static Kernel,
    variant: Variant,
) -> Option<CudaFunction> {
    type Made = HashMap<(&'static str, Variant, DeviceId), Option<CudaFunction>>;
    static MADE: Mutex<Option<Made>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let made = made.get_or_insert_default();
    let made = made.entry((kernel.name, variant, device.id()));
    let function = made.or_insert_with(|| {
        let function = make(device, kernel, variant);
        if let Err(error) = &function {
            tracing::warn!("without our kernel {}: {error}", kernel.name);
        }
        function.ok()
    });
    function.clone()
}

fn make(device: &CudaDevice, kernel: &Kernel, variant: Variant) -> Result<CudaFunction> {
    let (major, minor) = device.cuda_stream().context().compute_capability().w()?;
    let ptx = compile(kernel, variant, &format!("compute_{major}{minor}"));
    let ptx = ptx.map_err(candle_core::Error::wrap)?;
    let module = format!("oneiro-{}-{variant:?}", kernel.name);
    Ok(device.get_or_load_custom_func(kernel.name, &module, &ptx)?.into_cuda_function())
}

/// An input on the device.
enum View<'a> {
    Floats(CudaView<'a, f32>),
    Halves(CudaView<'a, f16>),
    Indices(CudaView<'a, u32>),
    Number(u32),
}

pub(super) fn launch(launch: &Launch, first: &CudaStorage, layout: &Layout) -> Result<CudaStorage> {
    let device = first.device().clone();
    let Some(function) = function(&device, launch.kernel, launch.variant) else {
        bail!("there is no kernel {} for this device", launch.kernel.name)
    };
    // The first input is held by the caller.
    let held: Vec<_> = launch.inputs[1..]
        .iter()
        .map(|input| match input {
            Input::Tensor(tensor) => Ok(tensor.storage_and_layout()),
            Input::Number(number) => Err(*number),
        })
        .collect();
    let mut views = vec![view(first, layout)?];
    for held in &held {
        views.push(match held {
            Err(number) => View::Number(*number),
            Ok((storage, layout)) => match &**storage {
                Storage::Cuda(storage) if storage.device().id() == device.id() => {
                    view(storage, layout)?
                }
                _ => bail!("expected all inputs on one device"),
            },
        });
    }
    let result = match launch.dtype {
        DType::F16 => into_new::<f16>(launch, &function, &views, &device)?,
        _ => into_new::<f32>(launch, &function, &views, &device)?,
    };
    drop(views);
    Ok(result)
}

/// Launches a kernel with these inputs, then a new result.
fn into_new<T: CudaDType + DeviceRepr>(
    launch: &Launch,
    function: &CudaFunction,
    views: &[View<'_>],
    device: &CudaDevice,
) -> Result<CudaStorage> {
    // SAFETY: the kernel writes every value of the result, which the tests that run the sources see to: there the
    // result holds no numbers before.
    #[expect(unsafe_code, reason = "memory that is written before it is read needs no zeros")]
    let mut out = unsafe { device.alloc::<T>(launch.shape.elem_count())? };
    let stream = device.cuda_stream();
    let mut arguments = stream.launch_builder(function);
    for view in views {
        match view {
            View::Floats(view) => arguments.arg(view),
            View::Halves(view) => arguments.arg(view),
            View::Indices(view) => arguments.arg(view),
            View::Number(number) => arguments.arg(number),
        };
    }
    arguments.arg(&mut out);
    let ([x, y, z], [width, height]) = (launch.grid, launch.kernel.block);
    let config =
        LaunchConfig { grid_dim: (x, y, z), block_dim: (width, height, 1), shared_mem_bytes: 0 };
    // SAFETY: the inputs, in this order, are those with which the tests call the source; rows that indices name were
    // checked to be there, and sizes come from the shapes.
    #[expect(unsafe_code, reason = "a launch cannot be checked by the compiler")]
    let launched = unsafe { arguments.launch(config) };
    launched.w()?;
    Ok(CudaStorage::wrap_cuda_slice(out, device.clone()))
}

fn view<'a>(storage: &'a CudaStorage, layout: &Layout) -> Result<View<'a>> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("expected a contiguous tensor")
    };
    if let Ok(values) = storage.as_cuda_slice::<f32>() {
        return Ok(View::Floats(values.slice(start..end)));
    }
    if let Ok(values) = storage.as_cuda_slice::<f16>() {
        return Ok(View::Halves(values.slice(start..end)));
    }
    Ok(View::Indices(storage.as_cuda_slice::<u32>()?.slice(start..end)))
}
