//! The window: shows frames when they are due, and says what keys were pressed.

mod asked;
mod blit;
mod compare;
mod display;
mod fetch;
mod goodbye;
mod gpu;
mod hint;
mod keys;
mod live;
mod memory;
mod overlay;
mod pad;
mod pages;
mod paint;
mod palette;
mod screen;
mod start_up;
mod window;

pub use blit::{Scaling, placement};
pub use compare::compare;
pub use display::{NoWindow, preflight};
pub use gpu::adapters;
pub use window::{Elsewhere, Goal, Options, run};
