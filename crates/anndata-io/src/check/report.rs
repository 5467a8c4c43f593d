//! What a check found.

use std::fmt;
use std::path::PathBuf;

use crate::dtype::DType;
use crate::error::Error;

/// What was found in a file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CheckReport {
    /// The file or directory.
    pub path: PathBuf,
    /// Cells and genes; `None` when the file could not be opened, which is its only fault then.
    pub shape: Option<[u64; 2]>,
    /// What was read, in the order obs, var, matrices, obsm.
    pub elements: Vec<ElementReport>,
    /// What a model would ask for and cannot get, or what contradicts itself: at most 100 for each
    /// element.
    pub faults: Vec<Error>,
    /// Elements that are [not supported](crate::ErrorKind::Unsupported), which is no fault of the file.
    /// `X` and the indexes, without which nothing can be done, are among the faults.
    pub unsupported: Vec<Error>,
    /// What is worth knowing, and no fault: names that repeat, a flag that a writer left set, keys
    /// that were asked for and do not exist.
    pub notices: Vec<Error>,
}

/// What was found in an element.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ElementReport {
    /// Its path in the file, such as `X` or `obs/cell_type`.
    pub element: String,
    /// Extent along each axis.
    pub shape: Vec<u64>,
    /// The type of its numbers, of the categories where there are any; `None` for text.
    pub dtype: Option<DType>,
    /// How it is stored.
    pub layout: ElementLayout,
    /// Elements that are stored: all but for sparse matrices.
    pub stored: u64,
    /// What of them is worth knowing.
    pub counts: ElementCounts,
    /// Faults of the element that [`CheckReport::faults`] does not list.
    pub more_faults: u64,
}

/// How an element is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElementLayout {
    /// An array of all elements.
    Dense,
    /// Compressed sparse rows.
    Csr,
    /// Compressed sparse columns.
    Csc,
    /// One array a column.
    Table,
    /// Categories, and a code a row.
    Categorical,
    /// Values, and a mask of those that are missing.
    Nullable,
    /// A value a row.
    Column,
}

impl ElementLayout {
    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            ElementLayout::Dense => "dense",
            ElementLayout::Csr => "csr",
            ElementLayout::Csc => "csc",
            ElementLayout::Table => "table",
            ElementLayout::Categorical => "categorical",
            ElementLayout::Nullable => "nullable",
            ElementLayout::Column => "column",
        }
    }
}

impl fmt::Display for ElementLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is worth knowing of the values of an element. None of it is a fault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ElementCounts {
    /// Numbers that are NaN.
    pub nan: u64,
    /// Infinities of either sign.
    pub infinite: u64,
    /// Numbers below zero.
    pub negative: u64,
    /// Zeros that a sparse matrix stores.
    pub explicit_zeros: u64,
    /// Rows of CSR, columns of CSC, whose indices are unsorted or repeat.
    pub unordered: u64,
    /// Elements that a sparse matrix stores behind its last row.
    pub unused: u64,
    /// Labels that are missing: a code of -1, or masked.
    pub missing: u64,
    /// Chunks that were never written, whose elements are the fill value: zarr leaves out chunks
    /// of nothing else. A copy that was cut short looks the same. Those of masks are not counted:
    /// one where nothing is missing is never written.
    pub unwritten: u64,
}

impl ElementCounts {
    pub(super) fn add(&mut self, other: &ElementCounts) {
        self.nan += other.nan;
        self.infinite += other.infinite;
        self.negative += other.negative;
        self.explicit_zeros += other.explicit_zeros;
        self.unordered += other.unordered;
        self.unused += other.unused;
        self.missing += other.missing;
        self.unwritten += other.unwritten;
    }
}

impl CheckReport {
    /// Faults, also those that are not listed.
    pub fn n_faults(&self) -> u64 {
        let more = self.elements.iter().map(|element| element.more_faults);
        self.faults.len() as u64 + more.sum::<u64>()
    }
}
