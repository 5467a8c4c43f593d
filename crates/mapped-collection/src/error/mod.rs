//! What can go wrong with a collection, by stage.
//!
//! Uses nothing from the rest of the crate. Each file has the errors of one stage. [`Error`] is any
//! of them, and `?` converts each into it.
//!
//! ```text
//! options ─▶ open ─▶ labels, read ─▶ state of an epoch
//! ```
//!
//! A message never contains that of its cause: [`chain`](anndata_io::chain) prints both.

pub(crate) mod labels;
pub(crate) mod open;
pub(crate) mod option;
pub(crate) mod overlap;
pub(crate) mod read;
pub(crate) mod state;

use anndata_io::ErrorKind;

use crate::error::labels::LabelsError;
use crate::error::open::OpenError;
use crate::error::option::OptionError;
use crate::error::read::ReadError;
use crate::error::state::StateError;

/// A failure to open a collection or to read from it.
///
/// ```
/// use mapped_collection::{Error, MappedCollection, MemoryStore, ReadError, Values};
///
/// let store = MemoryStore::new("a")
///     .dataframe("obs", &["c1"])
///     .dataframe("var", &["g1"])
///     .array("X", &[1, 1], Values::F32(vec![1.0]));
/// let cells = MappedCollection::builder([store]).open()?;
/// let error = cells.get(1).expect_err("there is one row");
/// assert!(matches!(error, Error::Read(ReadError::OutOfBounds { index: 1, n_obs: 1 })));
///
/// cells.close();
/// assert!(cells.get(0).is_err_and(|error| error.is_closed()));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The collection cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Labels do not exist, or have no common order.
    #[error(transparent)]
    Labels(#[from] LabelsError),
    /// Rows cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An option makes no sense.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// An epoch cannot continue from a state.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Error {
    /// An option that makes no sense.
    pub(crate) fn option(
        option: &'static str,
        expected: impl Into<String>,
        found: impl ToString,
    ) -> Error {
        OptionError::new(option, expected, found).into()
    }

    /// The error of a file, if that is the cause.
    pub fn file(&self) -> Option<&anndata_io::Error> {
        match self {
            Error::Open(OpenError::File(error)) => Some(error),
            Error::Read(ReadError::File { source, .. }) => Some(source),
            _ => None,
        }
    }

    fn kind(&self) -> Option<&ErrorKind> {
        self.file().map(anndata_io::Error::kind)
    }

    /// Whether the collection was closed.
    pub fn is_closed(&self) -> bool {
        matches!(self, Error::Read(ReadError::Closed))
            || matches!(self.kind(), Some(ErrorKind::Closed))
    }

    /// Whether a file does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self.kind(), Some(ErrorKind::NotFound))
    }

    /// Whether a file is valid, but uses something that is not supported.
    pub fn is_unsupported(&self) -> bool {
        matches!(self.kind(), Some(ErrorKind::Unsupported { .. }))
    }

    /// Whether the error is a request for a row that does not exist.
    pub fn is_out_of_bounds(&self) -> bool {
        matches!(self, Error::Read(ReadError::OutOfBounds { .. }))
    }
}

/// Names in quotes, separated by commas.
pub(crate) fn quoted<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("{name:?}")).collect();
    names.join(", ")
}

/// The end of a message that proposes a name.
pub(crate) fn did_you_mean(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map(|name| format!(": did you mean {name:?}?"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_knows_its_file_at_every_stage() {
        let of = |kind| anndata_io::Error::new("a.h5ad", "X", kind);
        let opening = Error::from(OpenError::from(of(ErrorKind::NotFound)));
        assert!(opening.is_not_found() && !opening.is_closed());
        let reading = Error::from(ReadError::file(3, of(ErrorKind::Closed)).in_row(7));
        assert!(reading.is_closed() && !reading.is_not_found());
        assert_eq!(
            anndata_io::chain(&reading).to_string(),
            "row 7 of store 3 cannot be read: a.h5ad: X: closed: open the collection again to read \
             from it"
        );
    }
}
