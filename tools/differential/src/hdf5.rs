//! Compares our reader of HDF5 with the HDF5 C library.

use std::path::PathBuf;

use anndata_io::{Hdf5Backend, IoContext, IoOptions};
use clap::Args;

use crate::compare::{self, Readers};
use crate::{Result, files, finish, mutants, root};

const OTHER: &str = "C library";

/// Folders with the files that are compared if no path is given.
const FIXTURES: [&str; 3] = ["fixtures/stores", "fixtures/hdf5", "crates/cli/demo"];

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Files, and folders whose .h5 and .h5ad files are read; without any, the fixtures and the demo collection.
    paths: Vec<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
    /// Treat each file as a damaged copy of this one: a value that a reader refuses, or that ours still reads as in the
    /// original, is no difference.
    #[arg(long, value_name = "FILE", conflicts_with = "mutants")]
    damaged_from: Option<PathBuf>,
    /// Instead of each file, compare this many damaged copies of it, each in its own process. Copies that differ or
    /// take too long are kept in `target/mutants`.
    #[arg(long, value_name = "N", default_value_t = 0)]
    mutants: u64,
    /// Another seed damages other places.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
}

/// Compares the files. Fails if the readers differ anywhere.
pub(crate) fn run(options: &Options) -> Result {
    let fixtures = FIXTURES.map(|folder| root().join(folder));
    let files = files::list(&options.paths, &fixtures, &["h5", "h5ad"])?;
    let report = match options.mutants {
        0 => compare::files(&files, &readers(), options.damaged_from.as_deref())?,
        n => mutants::all(("hdf5", OTHER), &files, n, options.seed)?,
    };
    finish(&report, options.json)
}

fn readers() -> Readers {
    let context = |hdf5| IoContext::new(IoOptions::new().hdf5(hdf5));
    Readers {
        ours: context(Hdf5Backend::Pure),
        other: context(Hdf5Backend::LibHdf5),
        other_name: OTHER,
    }
}
