//! The CUDA functions that candle calls, found when the program runs.
//!
//! A program that is linked to NVIDIA's libraries does not start where they are missing. One that has this crate in
//! it does: each function is defined here as a jump through a slot. A slot first holds a function that answers its
//! library's "not there"; [`load`] opens the libraries and fills the slots. [`compile`] makes PTX of CUDA C++ where
//! NVIDIA's compiler library is, with or without a GPU.
//!
//! On Linux, x86-64 and ARM; elsewhere programs are linked as usual, and [`load`] has nothing to do.

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod compiler;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod slots;

use std::fmt;

/// Why there is no CUDA, or no PTX.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A library that cannot be opened: the first name under which it was looked for.
    Missing(&'static str),
    /// What the compiler said.
    Refused(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "{name} is not on this machine"),
            Self::Refused(log) => write!(f, "the CUDA compiler: {}", log.trim()),
        }
    }
}

impl std::error::Error for Error {}

/// Opens the libraries that candle cannot do without, once.
///
/// # Errors
/// When one is missing. Functions of CUDA then go on answering an error, and none is called.
pub fn load() -> Result<(), Error> {
    #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
    slots::load()?;
    Ok(())
}

/// PTX of a CUDA C++ source, by NVRTC with these options.
///
/// # Errors
/// When the library is missing, or the source is wrong.
pub fn compile(source: &str, options: &[&str]) -> Result<String, Error> {
    #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
    return compiler::compile(source, options);
    #[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
    Err(Error::Refused(format!("not on this system ({} bytes, {options:?})", source.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "extern \"C\" __global__ void twice(float* x) { x[threadIdx.x] *= 2.f; }";

    #[test]
    fn a_library_is_there_or_named() {
        match load() {
            Ok(()) => println!("this machine has CUDA"),
            Err(Error::Missing(name)) => {
                println!("{name} is not here");
                assert!(name.starts_with("lib") && name.contains(".so"));
                assert_eq!(load(), Err(Error::Missing(name)), "the same the second time");
            }
            Err(Error::Refused(log)) => panic!("nothing was compiled: {log}"),
        }
    }

    #[test]
    fn sources_are_compiled_or_refused() {
        let ptx = match compile(SOURCE, &["--gpu-architecture=compute_80"]) {
            Err(error @ Error::Missing(_)) => return println!("skipped: {error}"),
            other => other.unwrap(),
        };
        assert!(ptx.contains(".target sm_80") && ptx.contains(".entry twice"), "{ptx}");
        let Err(Error::Refused(log)) = compile("void f() { g(); }", &[]) else {
            panic!("an unknown function was accepted")
        };
        assert!(log.contains("\"g\" is undefined"), "{log}");
    }
}
