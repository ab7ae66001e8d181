//! Oneiro.
fn main() {}
