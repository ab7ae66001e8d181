//! Tests of the whole program and of its parts together.

mod bench;
mod bridge;
mod browser;
mod chart;
mod cli;
mod compare;
mod device;
mod dream;
mod drift;
mod faults;
mod memory;
mod models;
mod packing;
mod published;
mod queue;
mod recall;
mod replay;
mod serve;
mod stream;
mod support;
#[cfg(target_os = "linux")]
mod terminal;
mod tidy;
#[cfg(unix)]
mod tuning;
mod video;
mod walk;
#[cfg(all(target_os = "linux", feature = "window"))]
mod window;
