//! Benchmarks of the workspace, unpublished.

fn main() {}
