//! NVRTC, the compiler library.
#![expect(unsafe_code, reason = "this crate is a door to C libraries")]

use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr::{null, null_mut};

use crate::{Error, slots};

type Program = *mut c_void;

// As in nvrtc.h; defined in `slots`.
unsafe extern "C" {
    fn nvrtcCreateProgram(
        program: *mut Program,
        source: *const c_char,
        name: *const c_char,
        headers: c_int,
        header_sources: *const *const c_char,
        header_names: *const *const c_char,
    ) -> c_int;
    fn nvrtcCompileProgram(program: Program, options: c_int, option: *const *const c_char)
    -> c_int;
    fn nvrtcDestroyProgram(program: *mut Program) -> c_int;
    fn nvrtcGetPTXSize(program: Program, size: *mut usize) -> c_int;
    fn nvrtcGetPTX(program: Program, ptx: *mut c_char) -> c_int;
    fn nvrtcGetProgramLogSize(program: Program, size: *mut usize) -> c_int;
    fn nvrtcGetProgramLog(program: Program, log: *mut c_char) -> c_int;
}

pub(super) fn compile(source: &str, options: &[&str]) -> Result<String, Error> {
    slots::load_compiler()?;
    let text = |text: &str| CString::new(text).map_err(|error| Error::Refused(error.to_string()));
    let source = text(source)?;
    let options = options.iter().map(|option| text(option)).collect::<Result<Vec<_>, _>>()?;
    let option: Vec<_> = options.iter().map(|option| option.as_ptr()).collect();
    let count = c_int::try_from(option.len()).map_err(|e| Error::Refused(e.to_string()))?;
    let mut program = null_mut();
    // SAFETY: the strings end with a zero byte and outlive the calls; no headers are given.
    let created =
        unsafe { nvrtcCreateProgram(&raw mut program, source.as_ptr(), null(), 0, null(), null()) };
    if created != 0 {
        return Err(Error::Refused(format!("no program, status {created}")));
    }
    // SAFETY: the program was just created and `option` holds `count` strings.
    let compiled = unsafe { nvrtcCompileProgram(program, count, option.as_ptr()) };
    let result = if compiled == 0 {
        read(program, nvrtcGetPTXSize, nvrtcGetPTX)
    } else {
        let log = read(program, nvrtcGetProgramLogSize, nvrtcGetProgramLog);
        Err(Error::Refused(log.unwrap_or_else(|error| error.to_string())))
    };
    // SAFETY: nothing of the program is used after this.
    unsafe { nvrtcDestroyProgram(&raw mut program) };
    result
}

/// A text that the library holds, which ends with a zero byte that is counted.
fn read(
    program: Program,
    size: unsafe extern "C" fn(Program, *mut usize) -> c_int,
    get: unsafe extern "C" fn(Program, *mut c_char) -> c_int,
) -> Result<String, Error> {
    let mut length = 0;
    // SAFETY: the program is alive; both functions are of the same text.
    let status = unsafe { size(program, &raw mut length) };
    let mut bytes = vec![0_u8; length];
    // SAFETY: there is room for as many bytes as the library said.
    let got = unsafe { get(program, bytes.as_mut_ptr().cast()) };
    if status != 0 || got != 0 {
        return Err(Error::Refused(format!("no text, status {status}, {got}")));
    }
    bytes.pop();
    String::from_utf8(bytes).map_err(|error| Error::Refused(error.to_string()))
}
