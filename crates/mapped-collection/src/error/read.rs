//! Failures to read rows.

use std::path::PathBuf;

/// Why rows cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A file cannot be read. The [source](std::error::Error::source) names the element, what was
    /// expected and what was found.
    #[error("{}store {store} cannot be read", of_row(row))]
    File {
        /// The number of the store, from 0.
        store: usize,
        /// The number in the file of the first row that cannot be read; `None` if the cause is not
        /// a single row.
        row: Option<u32>,
        /// Why.
        source: anndata_io::Error,
    },
    /// An index is out of bounds.
    #[error("row {index} is out of bounds: the collection has {n_obs} rows")]
    OutOfBounds {
        /// The requested index.
        index: i64,
        /// The number of rows.
        n_obs: usize,
    },
    /// Rows cannot form one batch, because their stores differ.
    #[error(
        "rows cannot be batched: {key} is {} in {} and {} in {}",
        found.0, files.0.display(), found.1, files.1.display()
    )]
    Ragged {
        /// The matrix.
        key: String,
        /// Two stores that differ.
        files: Box<(PathBuf, PathBuf)>,
        /// The form of the matrix in each of them.
        found: Box<(String, String)>,
    },
    /// Two entries of a batch have one name.
    #[error(
        "a batch cannot hold both {first} and {second} under the name {name:?}: ask for one of them, \
         or for one under another name"
    )]
    SameName {
        /// The name.
        name: String,
        /// The first entry with this name.
        first: String,
        /// The second entry with this name.
        second: String,
    },
    /// A batch is too large to address.
    #[error("a batch of {n_rows} rows of {row_len} elements is too large")]
    TooLarge {
        /// The number of requested rows.
        n_rows: usize,
        /// The number of elements per row.
        row_len: usize,
    },
    /// A thread that prepares batches panicked.
    #[error("a thread that prepares batches panicked: this is a defect of the library")]
    Worker,
    /// The collection was closed.
    #[error("the collection is closed: open it again to read from it")]
    Closed,
}

fn of_row(row: &Option<u32>) -> String {
    row.map(|row| format!("row {row} of ")).unwrap_or_default()
}

impl ReadError {
    /// An error of a store whose file cannot be read.
    pub(crate) fn file(store: usize, source: anndata_io::Error) -> ReadError {
        let row = None;
        ReadError::File { store, row, source }
    }

    /// Adds the row in the file, if this is the error of a file.
    pub(crate) fn in_row(mut self, of_file: u32) -> ReadError {
        if let ReadError::File { row, .. } = &mut self {
            *row = Some(of_file);
        }
        self
    }
}
