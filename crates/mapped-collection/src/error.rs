//! What can go wrong with a collection.

use std::path::PathBuf;

use feature_join::JoinError;
use label_encoding::EncodingError;

/// A failure to open a collection or to read from it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be opened or read: says which element, what was expected and what found.
    #[error(transparent)]
    File(#[from] anndata_io::Error),
    /// No path was given.
    #[error("no paths: a collection needs at least one AnnData file")]
    NoPaths,
    /// `encode_labels` names a key that is not read.
    #[error("All elements of `encode_labels` should be in `obs_keys`.")]
    EncodeLabels {
        /// The key.
        key: String,
    },
    /// `unknown_label` names a key that is not encoded.
    #[error("All keys of `unknown_label` should be in `encode_labels` and `obs_keys`.")]
    UnknownLabel {
        /// The key.
        key: String,
    },
    /// Two variables of one store have the same name, and a join is needed.
    #[error("{}: var: expected distinct names for the join, found {name:?} twice", file.display())]
    DuplicateVariable {
        /// The store.
        file: PathBuf,
        /// The name.
        name: String,
    },
    /// The variables cannot be joined.
    #[error(transparent)]
    Join(JoinError),
    /// The labels of a key cannot be put into one order.
    #[error(
        "obs/{key}: expected labels of one kind, found {} in {} and {} in {}",
        kinds.0, files.0.display(), kinds.1, files.1.display()
    )]
    MixedLabels {
        /// The obs key.
        key: String,
        /// Two stores that differ.
        files: Box<(PathBuf, PathBuf)>,
        /// What each of them has.
        kinds: Box<(String, String)>,
    },
    /// The labels of a key cannot be encoded or counted.
    #[error("obs/{key}: {source}")]
    Labels {
        /// The obs key, or several joined by a comma.
        key: String,
        /// Why.
        source: Box<EncodingError>,
    },
    /// No store has an obs column of this name.
    #[error("no store has the obs column {key:?}{}", did_you_mean(nearest))]
    NoSuchColumn {
        /// The name.
        key: String,
        /// An existing name that resembles it.
        nearest: Option<String>,
    },
    /// An index is not one of a row.
    #[error("index {index} is out of bounds for axis 0 with size {n_obs}")]
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
    /// A store has more rows than row numbers.
    #[error("{}: expected less than 2^32 rows, found {n_obs}", file.display())]
    TooManyRows {
        /// The store.
        file: PathBuf,
        /// Its rows.
        n_obs: u64,
    },
    /// An option makes no sense.
    #[error("{option}: expected {expected}, found {found}")]
    Option {
        /// The option.
        option: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
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
    /// A state belongs to another collection, or to other options.
    #[error("the state cannot be resumed: {what} is {found}, expected {expected}")]
    State {
        /// What differs.
        what: &'static str,
        /// What this loader has.
        expected: String,
        /// What the state has.
        found: String,
    },
    /// A sampler drew other rows for an epoch than it had when the state was taken.
    #[error(
        "the state cannot be resumed in the middle of epoch {epoch}: the sampler draws other rows \
         than it did before; seed it by the epoch, or resume from the end of an epoch"
    )]
    Redrawn {
        /// The epoch.
        epoch: u64,
    },
    /// The collection was closed.
    #[error("the collection is closed: open it again to read from it")]
    Closed,
}

impl Error {
    /// An option that makes no sense.
    pub(crate) fn option(
        option: &'static str,
        expected: impl Into<String>,
        found: impl ToString,
    ) -> Error {
        Error::Option {
            option,
            expected: expected.into(),
            found: found.to_string(),
        }
    }
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map(|name| format!(": did you mean {name:?}?"))
        .unwrap_or_default()
}
