//! The functions, their slots, and the libraries that fill these.
#![expect(unsafe_code, reason = "this crate is a door to C libraries")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::Error;

/// A library, under the names by which it is looked for, newest first.
struct Library {
    names: &'static [&'static str],
    functions: &'static [(&'static str, &'static AtomicPtr<()>)],
}

/// Defines the functions of libraries, each with what its functions answer while it is not loaded.
macro_rules! libraries {
    ($($library:ident [$($name:literal)*] or $absent:literal { $($function:ident)* })*) => { $(
        #[expect(non_upper_case_globals, reason = "the names are the library's")]
        mod $library {
            use std::sync::atomic::AtomicPtr;

            extern "C" fn absent() -> i32 {
                $absent
            }

            $(
                pub(super) static $function: AtomicPtr<()> =
                    AtomicPtr::new(absent as extern "C" fn() -> i32 as *mut ());
            )*

            pub(super) static LIBRARY: super::Library = super::Library {
                names: &[$(concat!($name, "\0")),*],
                functions: &[$((concat!(stringify!($function), "\0"), &$function)),*],
            };

            mod jumps {
                $(
                    // Arguments and result are passed on as they are: no register but a scratch one changes.
                    #[unsafe(naked)]
                    #[unsafe(no_mangle)]
                    extern "C" fn $function() {
                        #[cfg(target_arch = "x86_64")]
                        std::arch::naked_asm!(
                            "jmp qword ptr [rip + {slot}]", slot = sym super::$function
                        );
                        #[cfg(target_arch = "aarch64")]
                        std::arch::naked_asm!(
                            "adrp x16, {slot}", "ldr x16, [x16, :lo12:{slot}]", "br x16",
                            slot = sym super::$function
                        );
                    }
                )*

                // Keeps them in the object file that is linked for the sake of the slots.
                #[used]
                static ALL: &[extern "C" fn()] = &[$($function),*];
            }
        }
    )* };
}

libraries! {
    // CUDA_ERROR_STUB_LIBRARY
    driver ["libcuda.so.1" "libcuda.so"] or 34 {
        cuInit cuDriverGetVersion cuDeviceGet cuDeviceGetCount cuDeviceGetName cuDeviceGetAttribute
        cuDeviceTotalMem_v2 cuDevicePrimaryCtxRetain cuDevicePrimaryCtxRelease_v2
        cuCtxGetCurrent cuCtxSetCurrent cuCtxDestroy_v2 cuCtxSynchronize
        cuMemGetInfo_v2 cuMemAlloc_v2 cuMemAllocAsync cuMemFree_v2 cuMemFreeAsync cuMemsetD8Async cuMemsetD8_v2
        cuMemcpyDtoDAsync_v2 cuMemcpyDtoHAsync_v2 cuMemcpyHtoDAsync_v2 cuMemcpyPeerAsync
        cuMemHostAlloc cuMemFreeHost
        cuModuleLoad cuModuleLoadData cuModuleUnload cuModuleGetFunction
        cuFuncSetAttribute cuFuncGetAttribute cuLaunchKernel
        cuStreamCreate cuStreamDestroy_v2 cuStreamSynchronize cuStreamWaitEvent cuStreamIsCapturing
        cuStreamBeginCapture_v2 cuStreamEndCapture
        cuGraphInstantiateWithFlags cuGraphUpload cuGraphLaunch cuGraphDestroy cuGraphExecDestroy
        cuEventCreate cuEventDestroy_v2 cuEventRecord cuEventQuery cuEventSynchronize cuEventElapsedTime_v2
        cuGetErrorName cuGetErrorString
    }
    // CUBLAS_STATUS_NOT_INITIALIZED
    cublas ["libcublas.so.13" "libcublas.so.12" "libcublas.so"] or 1 {
        cublasCreate_v2 cublasDestroy_v2 cublasSetStream_v2 cublasSetMathMode
        cublasDgemmStridedBatched cublasGemmStridedBatchedEx
    }
    // CURAND_STATUS_INITIALIZATION_FAILED
    curand ["libcurand.so.10" "libcurand.so"] or 203 {
        curandCreateGenerator curandDestroyGenerator curandSetPseudoRandomGeneratorSeed curandSetStream
        curandGenerateUniform curandGenerateUniformDouble curandGenerateNormal curandGenerateNormalDouble
    }
    // NVRTC_ERROR_INVALID_OPTION
    compiler ["libnvrtc.so.13" "libnvrtc.so.12" "libnvrtc.so"] or 5 {
        nvrtcCreateProgram nvrtcCompileProgram nvrtcDestroyProgram nvrtcGetPTXSize nvrtcGetPTX
        nvrtcGetProgramLogSize nvrtcGetProgramLog
    }
}

/// Opens what candle cannot do without.
pub(super) fn load() -> Result<(), Error> {
    static DONE: OnceLock<Result<(), Error>> = OnceLock::new();
    let libraries = [&driver::LIBRARY, &cublas::LIBRARY, &curand::LIBRARY];
    DONE.get_or_init(|| libraries.into_iter().try_for_each(open)).clone()
}

/// Opens NVRTC.
pub(super) fn load_compiler() -> Result<(), Error> {
    static DONE: OnceLock<Result<(), Error>> = OnceLock::new();
    DONE.get_or_init(|| open(&compiler::LIBRARY)).clone()
}

/// Opens a library and fills its slots; functions that it lacks go on answering that they are not there.
fn open(library: &Library) -> Result<(), Error> {
    let open = |name: &&str| {
        // SAFETY: the name ends with a zero byte; the libraries do nothing of note when they are loaded.
        let handle =
            unsafe { libc::dlopen(name.as_ptr().cast(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        (!handle.is_null()).then_some(handle)
    };
    let Some(handle) = library.names.iter().find_map(open) else {
        return Err(Error::Missing(library.names[0].trim_end_matches('\0')));
    };
    for (name, slot) in library.functions {
        // SAFETY: the handle is open, and is never closed; the name ends with a zero byte.
        let function = unsafe { libc::dlsym(handle, name.as_ptr().cast()) };
        if !function.is_null() {
            slot.store(function.cast(), Ordering::Release);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" {
        fn cuDeviceGetCount() -> i32;
    }

    extern "C" fn answer() -> i32 {
        1234
    }

    #[test]
    fn a_slot_answers_for_its_library_until_it_is_filled() {
        let slot = &driver::cuDeviceGetCount;
        let loaded = load();
        let before = slot.load(Ordering::Acquire);
        if loaded.is_err() {
            // SAFETY: the function that the slot holds takes no arguments.
            assert_eq!(unsafe { cuDeviceGetCount() }, 34);
        }
        slot.store(answer as extern "C" fn() -> i32 as *mut (), Ordering::Release);
        // SAFETY: as before.
        assert_eq!(unsafe { cuDeviceGetCount() }, 1234);
        slot.store(before, Ordering::Release);
    }

    #[test]
    fn every_function_has_a_slot_of_its_own() {
        let all = [&driver::LIBRARY, &cublas::LIBRARY, &curand::LIBRARY, &compiler::LIBRARY];
        let mut names: Vec<_> =
            all.iter().flat_map(|l| l.functions).map(|(name, _)| *name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_library_of_other_functions_fills_nothing() {
        static LIBC: Library =
            Library { names: &["libc.so.6\0"], functions: &[("cuInit\0", &driver::cuInit)] };
        let before = driver::cuInit.load(Ordering::Acquire);
        open(&LIBC).unwrap();
        assert_eq!(driver::cuInit.load(Ordering::Acquire), before);
        static NONE: Library = Library { names: &["libnothing.so.7\0"], functions: &[] };
        assert_eq!(open(&NONE), Err(Error::Missing("libnothing.so.7")));
    }
}
