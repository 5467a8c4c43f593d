//! Assembling a batch: rows are joined, transformed, converted, put in their places, and handed over.
//!
//! Takes a [`Plan`](crate::plan::Plan) and the locations of rows; returns a [`Batch`].
//!
//! ```text
//! MatrixSource ─▶ SlotSink ─▶ RowWriter ─▶ MatrixSlots ─────▶ Matrix ─▶ Batch
//!  rows of a       one lock    joins,       places of rows,    finish    │
//!  file, in its    per run     transforms   or PackedRows                │ dropped
//!  order                       converts         ▲                        ▼
//!                                               └──── BufferPool ◀───────┘
//! ```
//!
//! Rows arrive in any order and from any thread. The first row takes memory from the pool, and the
//! dropped batch returns it. In between, [`WaitingRows`](waiting::WaitingRows) counts the memory of
//! the rows.

pub(crate) mod columns;
pub(crate) mod csr;
pub(crate) mod fill;
mod finish;
pub(crate) mod form;
pub(crate) mod matrix;
pub(crate) mod matrix_slots;
mod nonzeros;
pub(crate) mod packed;
pub(crate) mod pool;
pub(crate) mod row_writer;
pub(crate) mod slot_sink;
pub(crate) mod slots;
mod sums;
mod tokens;
pub(crate) mod transformed;
pub(crate) mod waiting;

use anndata_io::DType;
use label_encoding::MISSING_CODE;

use crate::batch::columns::BatchColumn;
use crate::batch::matrix::Matrix;
use crate::batch::pool::PoolHandle;
use crate::plan::location::RowLocation;
use crate::tokens::Tokens;

/// How the matrices of a batch are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
// Exhaustive: each layout needs code of its own in the caller.
pub enum MatrixFormat {
    /// Every element, including zeros: `[n_obs, n_vars]`, row-major.
    #[default]
    Dense,
    /// Compressed sparse rows, for X, `raw.X`, layers and obsm of two dimensions.
    Csr,
}

/// The form of a batch.
///
/// ```
/// use mapped_collection::{BatchFormat, DType, MatrixFormat};
///
/// let format = BatchFormat::new().output(MatrixFormat::Csr).dtype(DType::F32);
/// assert_eq!(format.get_dtype(), Some(DType::F32));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct BatchFormat {
    pub(crate) output: MatrixFormat,
    pub(crate) missing_code: i64,
    pub(crate) dtype: Option<DType>,
    pub(crate) tokens: Option<Tokens>,
}

impl BatchFormat {
    /// Dense, in the collection's element type, with missing labels as -100 (torch's default
    /// `ignore_index`).
    pub fn new() -> Self {
        BatchFormat {
            output: MatrixFormat::Dense,
            missing_code: MISSING_CODE,
            dtype: None,
            tokens: None,
        }
    }

    /// The layout of matrices. By default, dense.
    pub fn output(mut self, output: MatrixFormat) -> Self {
        self.output = output;
        self
    }

    /// The code of a missing label of an encoded key. By default, -100.
    pub fn missing_code(mut self, code: i64) -> Self {
        self.missing_code = code;
        self
    }

    /// The element type of all matrices. By default (`None`), that of the collection.
    pub fn dtype(mut self, dtype: impl Into<Option<DType>>) -> Self {
        self.dtype = dtype.into();
        self
    }

    /// Tokens in place of a matrix: see [`Tokens`]. By default, no matrix becomes tokens.
    pub fn tokens(mut self, tokens: impl Into<Option<Tokens>>) -> Self {
        self.tokens = tokens.into();
        self
    }

    /// [`output`](Self::output) as set.
    pub fn get_output(&self) -> MatrixFormat {
        self.output
    }

    /// [`missing_code`](Self::missing_code) as set.
    pub fn get_missing_code(&self) -> i64 {
        self.missing_code
    }

    /// [`dtype`](Self::dtype) as set.
    pub fn get_dtype(&self) -> Option<DType> {
        self.dtype
    }

    /// [`tokens`](Self::tokens) as set.
    pub fn get_tokens(&self) -> Option<&Tokens> {
        self.tokens.as_ref()
    }
}

impl Default for BatchFormat {
    fn default() -> Self {
        BatchFormat::new()
    }
}

/// Rows of a collection, in the order of the request.
///
/// A batch never changes while it is held; when it is dropped, its memory may serve a later one.
#[derive(Debug, Default)]
pub struct Batch {
    /// For each row, the number of its store: `[n_obs]`.
    pub store_idx: Vec<u32>,
    /// For each row, its row in the store's file: `[n_obs]`.
    pub row_idx: Vec<u32>,
    /// The matrices by name: layers, then `obsm_` and a name. A matrix has one element type for all
    /// rows: the requested `dtype`, or numpy's promotion over all stores of the collection.
    /// [`Tokens`] are `ids`, `values` and `lengths`, in the place of their matrix.
    pub matrices: Vec<(String, Matrix)>,
    /// The obs columns by name.
    pub obs: Vec<(String, BatchColumn)>,
    /// A control for each row, if the loader [draws](crate::LoaderOptions::matched) them: a batch of
    /// equal form.
    pub control: Option<Box<Batch>>,
    pool: PoolHandle,
}

impl Clone for Batch {
    fn clone(&self) -> Self {
        let (store_idx, row_idx) = (self.store_idx.clone(), self.row_idx.clone());
        let (matrices, obs) = (self.matrices.clone(), self.obs.clone());
        Batch {
            store_idx,
            row_idx,
            matrices,
            obs,
            control: self.control.clone(),
            pool: PoolHandle::default(),
        }
    }
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.store_idx == other.store_idx
            && self.row_idx == other.row_idx
            && self.matrices == other.matrices
            && self.obs == other.obs
            && self.control == other.control
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.pool.take_back(&mut self.matrices);
    }
}

impl Batch {
    /// The number of rows.
    pub fn n_obs(&self) -> usize {
        self.store_idx.len()
    }

    /// Where row `row` of the batch lies.
    ///
    /// # Panics
    /// When `row` is not below [`n_obs`](Self::n_obs).
    pub fn location(&self, row: usize) -> RowLocation {
        RowLocation {
            store: self.store_idx[row] as usize,
            row: self.row_idx[row],
        }
    }

    /// The matrix `X`, if it was requested.
    pub fn x(&self) -> Option<&Matrix> {
        self.matrix("X")
    }

    /// A matrix by name.
    pub fn matrix(&self, name: &str) -> Option<&Matrix> {
        self.matrices
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, matrix)| matrix)
    }

    /// An obs column by name.
    pub fn column(&self, name: &str) -> Option<&BatchColumn> {
        self.obs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, column)| column)
    }

    /// The codes of an encoded key: `[n_obs] i64`.
    pub fn codes(&self, name: &str) -> Option<&[i64]> {
        match self.column(name)? {
            BatchColumn::Codes(codes) => Some(codes),
            _ => None,
        }
    }
}
