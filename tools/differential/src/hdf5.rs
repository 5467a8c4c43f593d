//! Compares our reader of HDF5 with the HDF5 C library.

use anndata_io::{Hdf5Backend, IoContext, IoOptions};

use crate::compare::{self, Readers};
use crate::options::Options;
use crate::{Result, files, finish, mutants, root};

const OTHER: &str = "C library";

/// Folders with the files that are compared if no path is given.
const FIXTURES: [&str; 3] = ["fixtures/stores", "fixtures/hdf5", "crates/cli/demo"];

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
