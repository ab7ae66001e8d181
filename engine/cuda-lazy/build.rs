//! Answers `-lcuda`, `-lcublas` and the like, which cudarc passes to the linker: the functions lie in this crate.

use std::path::Path;

/// The libraries that cudarc, as candle asks for it, links to.
const LINKED: [&str; 5] = ["cuda", "cublas", "cublasLt", "curand", "nvrtc"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |part: &str| std::env::var(format!("CARGO_CFG_TARGET_{part}")).unwrap_or_default();
    if target("OS") != "linux" || !["x86_64", "aarch64"].contains(&target("ARCH").as_str()) {
        return;
    }
    let out = std::env::var("OUT_DIR").expect("cargo says where");
    let write = |name: &str, text: &str| {
        std::fs::write(Path::new(&out).join(name), text).expect("the folder can be written to");
    };
    for library in LINKED {
        // An archive of nothing.
        write(&format!("lib{library}.a"), "!<arch>\n");
    }
    // candle's quantized kernels call the runtime library, which every toolkit has as an archive as well. It opens
    // the driver's library itself, when it is first called.
    write("libcudart.so", "INPUT ( -lcudart_static -ldl -lpthread -lrt )\n");
    println!("cargo::rustc-link-search=native={out}");
}
