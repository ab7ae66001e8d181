//! Tests of the whole program and of its parts together.

mod queue;
mod stream;
mod support;
mod walk;
