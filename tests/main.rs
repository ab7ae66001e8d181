//! Tests of the whole program and of its parts together.

mod bench;
mod cli;
mod dream;
mod memory;
mod queue;
mod replay;
mod stream;
mod support;
mod tidy;
mod walk;
