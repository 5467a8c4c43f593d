//! The findings of a check.

use std::fmt;
use std::path::PathBuf;

use crate::dtype::DType;
use crate::error::Error;

/// The findings in a file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CheckReport {
    /// The file or directory.
    pub path: PathBuf,
    /// Cells and genes; `None` if the file could not be opened, which is then its only fault.
    pub shape: Option<[u64; 2]>,
    /// The elements that were read, in the order obs, var, matrices, obsm.
    pub elements: Vec<ElementReport>,
    /// Elements that a model would ask for but cannot read, and contradictions: at most 100 per
    /// element.
    pub faults: Vec<Error>,
    /// Elements that are [not supported](crate::ErrorKind::Unsupported), which is not a fault of
    /// the file. `X` and the indexes are listed among the faults instead: nothing works without
    /// them.
    pub unsupported: Vec<Error>,
    /// Findings that are not faults: names that repeat, a flag that a writer left set, requested
    /// keys that do not exist.
    pub notices: Vec<Error>,
}

/// The findings in an element.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ElementReport {
    /// The path of the element in the file, such as `X` or `obs/cell_type`.
    pub element: String,
    /// The extent along each axis.
    pub shape: Vec<u64>,
    /// The type of its numbers, or of its categories if it has any; `None` for text.
    pub dtype: Option<DType>,
    /// The layout in which it is stored.
    pub layout: ElementLayout,
    /// The number of stored elements: all of them, except in sparse matrices.
    pub stored: u64,
    /// Counts of notable values.
    pub counts: ElementCounts,
    /// The number of faults of the element that [`CheckReport::faults`] does not list.
    pub more_faults: u64,
}

/// The layout in which an element is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElementLayout {
    /// An array of all elements.
    Dense,
    /// Compressed sparse rows.
    Csr,
    /// Compressed sparse columns.
    Csc,
    /// One array per column.
    Table,
    /// Categories, and one code per row.
    Categorical,
    /// Values, and a mask of those that are missing.
    Nullable,
    /// One value per row.
    Column,
}

impl ElementLayout {
    /// The name of the layout in lower case.
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

/// Counts of notable values in an element. They are not faults.
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
    /// Elements that a sparse matrix stores after its last row.
    pub unused: u64,
    /// Labels that are missing: a code of -1, or masked.
    pub missing: u64,
    /// Chunks that were never written, whose elements are the fill value: zarr leaves out chunks
    /// that hold only this value. A copy that was cut short looks the same. Chunks of masks are not
    /// counted: zarr never writes one in which nothing is missing.
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
    /// The number of faults, including those that are not listed.
    pub fn n_faults(&self) -> u64 {
        let more = self.elements.iter().map(|element| element.more_faults);
        self.faults.len() as u64 + more.sum::<u64>()
    }
}
