//! From a kernel's source to PTX.

use super::{Kernel, Variant};

/// What is set before each source.
const PRELUDE: &str = include_str!("prelude.cu");

/// PTX of a kernel for `compute_80` or the like.
pub(super) fn compile(
    kernel: &Kernel,
    variant: Variant,
    architecture: &str,
) -> Result<String, cuda_lazy::Error> {
    // Products are fused with sums where the source says so and nowhere else, as in the twins.
    let mut options = vec![format!("--gpu-architecture={architecture}"), "--fmad=false".into()];
    options.extend(variant.defines().map(|define| format!("--define-macro={define}")));
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    cuda_lazy::compile(&[PRELUDE, kernel.source].concat(), &options)
}

impl Variant {
    /// What the source is told.
    pub(super) fn defines(self) -> impl Iterator<Item = String> {
        let halves = self.halves.then(|| "HALVES=1".to_owned());
        self.head.map(|head| format!("HEAD={head}")).into_iter().chain(halves)
    }
}
