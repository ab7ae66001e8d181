//! Compiling, loading and launching.

use super::source::compile;
use super::{Input, Kernel, Launch, Variant};
use candle_core::backend::BackendStorage as _;
use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaView, DeviceRepr, LaunchConfig, PushKernelArg as _,
};
use candle_core::cuda_backend::{CudaDType, CudaDevice, CudaStorage, WrapErr as _};
use candle_core::{DType, Device, Layout, Result, Storage, bail};
use half::f16;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Whether a kernel could be made for this device. Why not is said once for each kernel.
pub(super) fn is_ready(kernel: &'static Kernel, variant: Variant, device: &Device) -> bool {
    static READY: Mutex<Option<HashMap<String, bool>>> = Mutex::new(None);
    let Device::Cuda(device) = device else { return false };
    let name = format!("{} {:?}", module(kernel, variant), device.id());
    let mut ready = READY.lock().unwrap_or_else(PoisonError::into_inner);
    *ready.get_or_insert_default().entry(name).or_insert_with(|| {
        let function = function(device, kernel, variant);
        if let Err(error) = &function {
            tracing::warn!("without our kernel {}: {error}", kernel.name);
        }
        function.is_ok()
    })
}

fn module(kernel: &Kernel, variant: Variant) -> String {
    variant.defines().fold(kernel.name.to_owned(), |name, define| format!("{name}-{define}"))
}

/// The kernel on this device, compiled when it is first asked for.
fn function(device: &CudaDevice, kernel: &Kernel, variant: Variant) -> Result<CudaFunction> {
    static PTX: Mutex<Option<HashMap<String, String>>> = Mutex::new(None);
    let module = module(kernel, variant);
    let (major, minor) = device.cuda_stream().context().compute_capability().w()?;
    let architecture = format!("compute_{major}{minor}");
    let mut ptx = PTX.lock().unwrap_or_else(PoisonError::into_inner);
    let ptx = ptx.get_or_insert_default();
    let key = format!("{module} {architecture}");
    if !ptx.contains_key(&key) {
        let made = compile(kernel, variant, &architecture).map_err(candle_core::Error::wrap)?;
        ptx.insert(key.clone(), made);
    }
    let module = format!("oneiro-{module}");
    Ok(device.get_or_load_custom_func(kernel.name, &module, &ptx[&key])?.into_cuda_function())
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
    let function = function(&device, launch.kernel, launch.variant)?;
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
