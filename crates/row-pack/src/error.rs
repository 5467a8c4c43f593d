//! Why packed bytes cannot be read.

/// Why packed bytes cannot be read, or a row cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// No packer wrote these bytes.
    #[error("the packed bytes are damaged: expected {expected}, found {found}")]
    Damaged {
        /// The expected content.
        expected: &'static str,
        /// The number that was found.
        found: u64,
    },
    /// The rows hold values of another type.
    #[error("the packed values are {found}, not {expected}")]
    ValueType {
        /// The type that was asked for.
        expected: &'static str,
        /// The type of the packed values.
        found: &'static str,
    },
    /// There is no such row.
    #[error("row {row} is out of bounds for a pack of {n_rows} rows")]
    OutOfBounds {
        /// The row that was asked for.
        row: usize,
        /// The number of rows.
        n_rows: usize,
    },
    /// The rows take more bytes than a pack can address.
    #[error("a pack holds at most 4 GiB: divide the rows into several packs")]
    TooLarge,
}

impl PackError {
    #[cold]
    pub(crate) fn damaged(expected: &'static str, found: impl TryInto<u64>) -> PackError {
        let found = found.try_into().unwrap_or(u64::MAX);
        PackError::Damaged { expected, found }
    }
}
