//! The window: shows frames when they are due, and says what keys were pressed.

mod blit;
mod display;
mod gpu;
mod keys;
mod live;
mod memory;
mod overlay;
mod paint;
mod screen;
mod window;

pub use blit::{Scaling, placement};
pub use display::{NoWindow, preflight};
pub use gpu::adapters;
pub use window::{Options, Touch, run};
