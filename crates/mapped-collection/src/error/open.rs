//! Failures to open a collection.

use std::fmt;
use std::path::PathBuf;

use feature_join::JoinError;

use crate::error::overlap::{LowOverlap, NameMismatch};
use crate::error::{did_you_mean, quoted};

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
        "no variable is in every store: keep all variables with .join(Join::Outer), or do not join, with .join(None){}",
        mismatch.as_ref().map(|found| format!("; {found}")).unwrap_or_default()
    )]
    Disjoint {
        /// A likely reason: two stores name their variables differently.
        mismatch: Option<Box<StoreMismatch>>,
    },
    /// A store has none of the given genes.
    #[error("{0}")]
    NoOverlap(Box<LowOverlap>),
    /// A store has none of the columns of var that are to hold the names to join by.
    #[error(
        "{}: {element}: expected one of the columns {} (or `_index` among them, for the index), found {}{}",
        file.display(), quoted(expected), found_columns(found), did_you_mean(nearest)
    )]
    NoVarColumn {
        /// The store.
        file: PathBuf,
        /// Its table of variables.
        element: &'static str,
        /// The columns that were requested.
        expected: Vec<String>,
        /// The columns of the table.
        found: Vec<String>,
        /// The column of the table that resembles one of them.
        nearest: Option<String>,
    },
    /// Two variables of one store have the same name, and a join is needed.
    #[error(
        "{}: {element}: expected distinct names for the join, found {name:?} twice: keep the first of them, \
         or their sum (duplicates)", file.display()
    )]
    DuplicateVariable {
        /// The store.
        file: PathBuf,
        /// Its table of variables.
        element: &'static str,
        /// The name.
        name: String,
    },
    /// Cells of two stores have one name, and the table of obs columns has this name, but does not say
    /// which store it means.
    #[error(
        "{} and {}: expected different names of the cells that obs_table mentions, found {name:?} in both: \
         join by store and cell name: give the column of the table that names the stores",
        files.0.display(), files.1.display()
    )]
    SharedCellName {
        /// The stores.
        files: Box<(PathBuf, PathBuf)>,
        /// The name.
        name: String,
    },
    /// The variables cannot be joined for another reason.
    #[error(transparent)]
    Join(JoinError),
}

/// Two stores that name their variables differently.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StoreMismatch {
    /// A store, and the one that it was compared with.
    pub files: (PathBuf, PathBuf),
    /// How the names of the first store differ from those of the second.
    pub mismatch: NameMismatch,
}

impl fmt::Display for StoreMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, other) = (self.files.0.display(), self.files.1.display());
        write!(f, "{file} against {other}: {}", self.mismatch)
    }
}

fn found_columns(names: &[String]) -> String {
    match names {
        [] => "no column but its index".to_owned(),
        names => quoted(names),
    }
}
