//! Tests of the whole collection: golden cases, a naive model, life cycle, processes.

use std::path::{Path, PathBuf};

mod bands;
mod cache;
mod faults;
mod first_of;
mod genes;
mod golden;
#[cfg(feature = "remote")]
mod hostile_server;
mod kept_labels;
mod large;
mod life;
mod loader;
mod matched;
mod model;
mod names;
mod obs_table;
mod packs;
mod real;
#[cfg(feature = "remote")]
mod remote;
#[cfg(feature = "remote")]
mod server;
mod storage;
mod support;
mod texts;
mod transforms;
mod unmatched;

/// The committed fixtures.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// A committed store.
fn store(name: &str) -> PathBuf {
    fixtures().join("stores").join(name)
}
