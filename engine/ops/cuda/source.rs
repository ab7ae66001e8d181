//! From a kernel's source to PTX.

use super::Kernel;

/// What is set before each source.
const PRELUDE: &str = "#define KERNEL extern \"C\" __global__ void\n";

/// PTX of a kernel for `compute_80` or the like, with `HEAD` where the source has it.
pub(super) fn compile(
    kernel: &Kernel,
    head: Option<u32>,
    architecture: &str,
) -> Result<String, cuda_lazy::Error> {
    // Products are fused with sums where the source says so and nowhere else, as in the twins.
    let mut options = vec![format!("--gpu-architecture={architecture}"), "--fmad=false".into()];
    options.extend(head.map(|head| format!("--define-macro=HEAD={head}")));
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    cuda_lazy::compile(&[PRELUDE, kernel.source].concat(), &options)
}
