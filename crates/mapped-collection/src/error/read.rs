//! Failures to read rows.

use std::path::PathBuf;

/// Why rows cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A file cannot be read. The [source](std::error::Error::source) says which element, what was
    /// expected and what found.
    #[error("{}store {store} cannot be read", of_row(row))]
    File {
        /// Number of the store, from 0.
        store: usize,
        /// The first row, by its number in the file, that cannot be read; `None` where the reason
        /// is not a row's.
        row: Option<u32>,
        /// Why.
        source: anndata_io::Error,
    },
    /// An index is not one of a row.
    #[error("row {index} is out of bounds: the collection has {n_obs} rows")]
    OutOfBounds {
        /// The index asked for.
        index: i64,
        /// Number of rows.
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
        /// What each of them has.
        found: Box<(String, String)>,
    },
    /// Two entries of a batch have one name.
    #[error(
        "a batch cannot hold both {first} and {second} under the name {name:?}: ask for one of them, \
         or rename one in the files"
    )]
    SameName {
        /// The name.
        name: String,
        /// What has it.
        first: String,
        /// What else has it.
        second: String,
    },
    /// A batch would not fit in memory's address range.
    #[error("a batch of {n_rows} rows of {row_len} elements is too large")]
    TooLarge {
        /// Rows asked for.
        n_rows: usize,
        /// Elements of one row.
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
    /// A store whose file cannot be read.
    pub(crate) fn file(store: usize, source: anndata_io::Error) -> ReadError {
        let row = None;
        ReadError::File { store, row, source }
    }

    /// The same error, where it is a file's, of a row in it.
    pub(crate) fn in_row(mut self, of_file: u32) -> ReadError {
        if let ReadError::File { row, .. } = &mut self {
            *row = Some(of_file);
        }
        self
    }
}
