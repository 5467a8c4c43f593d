//! The Rust part of the Python package `mapped_anndata`: the module `mapped_anndata._core`.
//!
//! It opens collections and turns items and batches into dicts of numpy arrays that view the memory
//! they were read into. Python code in `python/mapped_anndata` arranges arguments and results;
//! users never see this module.
//!
//! Every call that reads a file releases the interpreter's lock.

mod arguments;
mod arrays;
mod batch;
mod cache;
mod choices;
mod collection;
mod errors;
mod format;
mod genes;
mod item;
mod labels;
mod loader;
mod obs_table;
mod sampler;
mod transforms;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::arguments::{byte_size, row_numbers, without_secrets};
    #[pymodule_export]
    use crate::batch::rows_of;
    #[pymodule_export]
    use crate::collection::Collection;
    #[pymodule_export]
    use crate::genes::{genes_of_argument, genes_of_vocabulary, read_genes, read_pairs};
    #[pymodule_export]
    use crate::loader::{Epoch, PyLoader};
    #[pymodule_export]
    use crate::obs_table::{Table, not_in_table};

    /// The version of the package.
    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "Python's name for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
