//! Failures to open a collection.

use std::path::PathBuf;

use feature_join::JoinError;

/// Why a collection cannot be opened.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No path was given.
    #[error("no paths: a collection needs at least one AnnData file")]
    NoPaths,
    /// A file cannot be opened or read. The error names the element, what was expected and what was
    /// found.
    #[error(transparent)]
    File(#[from] anndata_io::Error),
    /// A store has more rows than can be numbered.
    #[error("{}: expected fewer than 2^32 rows, found {n_obs}", file.display())]
    TooManyRows {
        /// The store.
        file: PathBuf,
        /// The number of its rows.
        n_obs: u64,
    },
    /// No variable is in every store, so that an inner join would be empty.
    #[error(
        "no variable is in every store: keep all variables with .join(Join::Outer), or do not join, with .join(None)"
    )]
    Disjoint,
    /// Two variables of one store have the same name, and a join is needed.
    #[error("{}: var: expected distinct names for the join, found {name:?} twice", file.display())]
    DuplicateVariable {
        /// The store.
        file: PathBuf,
        /// The name.
        name: String,
    },
    /// The variables cannot be joined for another reason.
    #[error(transparent)]
    Join(JoinError),
}
