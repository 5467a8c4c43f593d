//! Matrices with one row per cell: dense, CSR, CSC, or a table of numbers, all read by bulks of
//! rows.
//!
//! Takes a store and the path of an element. Returns a [`MatrixSource`], which reads ascending rows
//! and pushes them, in the type of the file, into a [`RowSink`].
//!
//! ```text
//! rows ─▶ MatrixSource ─┬─ Dense, Row         an `Array`
//!                       ├─ Csr (csr.rs)       row pointers in memory, indices and data on demand
//!                       ├─ Csc (csc/)         converted to Csr when rows are first read
//!                       ├─ Frame (frame.rs)   one array per column
//!                       └─ packs/             rows of Dense and Csr that are packed in memory
//!                                └─▶ RowSink: dense runs, or sparse rows
//! ```

use std::ops::Range;
use std::sync::Arc;

use once_cell::race::OnceBox;

use crate::array::chunk_reader::CachePolicy;
use crate::array::{Array, STEP_ELEMENTS};
use crate::dtype::{DType, ValuesRef};
use crate::error::Error;
use crate::store::{Node, Store};

pub(crate) mod compressed;
mod csc;
mod csr;
mod frame;
mod packs;
mod scratch;
mod sink;

use compressed::Compressed;
use csc::CscMatrix;
use csr::CsrMatrix;
use frame::Frame;
pub use packs::Packs;
use packs::{CachedMatrix, MatrixPacks, PackedRows};
pub use scratch::ReadScratch;
use sink::Shifted;
pub use sink::{RowBuffer, RowSink};

/// A matrix in a file, opened. Rows are read in bulk; a single row is a bulk of one.
///
/// Cheap to clone; holds no open file and no lock of its own.
#[derive(Debug, Clone)]
pub struct MatrixSource {
    shape: Vec<u64>,
    dtype: DType,
    layout: MatrixLayout,
    /// The packs of reads by index, made by the first of them. Clones share them.
    packs: Arc<OnceBox<MatrixPacks>>,
    /// Its packs on disk, if it has any; found when it is first read.
    cached: Arc<OnceBox<Option<Arc<CachedMatrix>>>>,
}

#[derive(Debug, Clone)]
enum MatrixLayout {
    /// An array of any rank; a list is one column.
    Dense(Array),
    /// A list that is one row.
    Row(Array),
    Csr(CsrMatrix),
    Csc(CscMatrix),
    Frame(Frame),
}

/// The parts of a matrix in the file.
#[derive(Debug, Clone)]
pub(crate) enum MatrixParts {
    Dense(Array),
    /// Compressed rows or columns.
    Compressed(Compressed),
    /// One array per column.
    Table(Vec<Array>),
}

/// The advice for an element that is not a matrix: anndata would write it again unchanged.
const AS_MATRIX: &str = "leave it out, or write it as an array, a CSR or a CSC matrix of numbers";

impl MatrixSource {
    /// Opens the matrix at `element` of a store of this many rows; `None` if it does not exist or
    /// is anndata's null.
    ///
    /// # Errors
    /// When it cannot be read, or its parts contradict each other.
    pub(crate) fn open(
        store: &Store,
        element: &str,
        n_obs: u64,
    ) -> Result<Option<MatrixSource>, Error> {
        let Some(node) = store.node(element)? else {
            return Ok(None);
        };
        let encoding = match store.text_attribute(element, "encoding-type")? {
            Some(encoding) => Some(encoding),
            // Files written before anndata 0.7.
            None => store
                .text_attribute(element, "h5sparse_format")?
                .map(|format| format!("{format}_matrix")),
        };
        let unsupported =
            |what: String| Err(Error::unsupported(store.path(), element, what, AS_MATRIX));
        let (shape, dtype, layout) = match (node, encoding.as_deref()) {
            (_, Some("null")) => return Ok(None),
            (Node::Array, Some("array") | None) => {
                let array = store.array(element)?;
                let dtype = array.number_type()?;
                match *array.shape() {
                    // A matrix of one dimension is one column, or the whole of the only row.
                    [len] if n_obs == 1 && len > 1 => {
                        (vec![1, len], dtype, MatrixLayout::Row(array))
                    }
                    [len] => (vec![len, 1], dtype, MatrixLayout::Dense(array)),
                    _ => (array.shape().to_vec(), dtype, MatrixLayout::Dense(array)),
                }
            }
            (Node::Group, Some("csr_matrix")) => {
                let matrix = CsrMatrix::open(store, element)?;
                (
                    matrix.shape().to_vec(),
                    matrix.dtype(),
                    MatrixLayout::Csr(matrix),
                )
            }
            (Node::Group, Some("csc_matrix")) => {
                let matrix = CscMatrix::open(store, element)?;
                (
                    matrix.shape().to_vec(),
                    matrix.dtype(),
                    MatrixLayout::Csc(matrix),
                )
            }
            (Node::Group, Some("dataframe")) => {
                let frame = Frame::open(store, element)?;
                (
                    frame.shape().to_vec(),
                    frame.dtype(),
                    MatrixLayout::Frame(frame),
                )
            }
            (Node::Group, None) => {
                let found = "a group without it";
                return Err(store.invalid(element, "attribute encoding-type", found));
            }
            (Node::Table, None) => {
                return unsupported("a table of records as a matrix".to_owned());
            }
            (_, Some(encoding)) => {
                return unsupported(format!("the encoding {encoding} of a matrix"));
            }
        };
        if shape.len() < 2 {
            return Err(store.invalid(element, "rows and columns", format!("shape {shape:?}")));
        }
        let row_len = shape[1..]
            .iter()
            .try_fold(1u64, |n, &extent| n.checked_mul(extent));
        if row_len.is_none_or(|n| n > u64::from(u32::MAX)) {
            return Err(store.invalid(
                element,
                "rows of fewer than 2^32 elements",
                format!("shape {shape:?}"),
            ));
        }
        Ok(Some(MatrixSource {
            shape,
            dtype,
            layout,
            packs: Arc::default(),
            cached: Arc::default(),
        }))
    }

    /// Returns the matrix with this many columns, if a list without elements does not state them.
    pub(crate) fn with_columns(mut self, n_columns: u64) -> MatrixSource {
        if let MatrixLayout::Dense(array) = &self.layout
            && array.shape() == [0]
        {
            self.shape = vec![0, n_columns];
        }
        self
    }

    /// The parts of the matrix in the file.
    pub(crate) fn parts(&self) -> MatrixParts {
        match &self.layout {
            MatrixLayout::Dense(array) | MatrixLayout::Row(array) => {
                MatrixParts::Dense(array.clone())
            }
            MatrixLayout::Csr(matrix) => MatrixParts::Compressed(matrix.parts().clone()),
            MatrixLayout::Csc(matrix) => MatrixParts::Compressed(matrix.parts().clone()),
            MatrixLayout::Frame(frame) => MatrixParts::Table(frame.columns().to_vec()),
        }
    }

    /// Rows, then the extents of one row: `[n_obs, n_vars]` for X.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// The number of rows.
    pub fn n_rows(&self) -> u64 {
        self.shape[0]
    }

    /// The number of elements of one row, all its dimensions multiplied.
    pub fn row_len(&self) -> usize {
        self.shape[1..].iter().product::<u64>() as usize
    }

    /// The stored element type; for a table, numpy's promotion of its columns.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Whether rows are read as sparse rows.
    pub fn is_sparse(&self) -> bool {
        matches!(self.layout, MatrixLayout::Csr(_) | MatrixLayout::Csc(_))
    }

    /// Whether a row is read in place, without decoding its neighbours: reading rows in file order
    /// then has no advantage.
    pub fn is_direct(&self) -> bool {
        match &self.layout {
            MatrixLayout::Dense(array) => array.is_direct() && !array.packs_uncompressed(),
            MatrixLayout::Csr(matrix) => matrix.is_direct(),
            MatrixLayout::Csc(_) => true,
            MatrixLayout::Row(_) | MatrixLayout::Frame(_) => false,
        }
    }

    /// Reads rows and hands them to `sink` in no fixed order. Reads each chunk of the file once.
    ///
    /// `rows` ascend; repeats are fine. Memory besides the sink stays within one chunk of each
    /// array plus one MiB.
    ///
    /// # Errors
    /// When a row is out of bounds, or the file is invalid there. The sink may already have
    /// received rows.
    pub fn read_rows(
        &self,
        rows: &[u64],
        scratch: &mut ReadScratch,
        sink: &mut impl RowSink,
    ) -> Result<(), Error> {
        self.read_part(rows, (0, 1), scratch, sink)
    }

    /// Reads part `number` of `n_parts` of some rows, so that threads can divide a band of chunks
    /// that is too large for one of them. The parts together are the same as
    /// [`read_rows`](Self::read_rows) reads; each chunk is in one part. Only dense rows of several
    /// chunks can be divided; otherwise the first part holds everything.
    ///
    /// # Errors
    /// As [`read_rows`](Self::read_rows).
    pub fn read_part(
        &self,
        rows: &[u64],
        part: (u64, u64),
        scratch: &mut ReadScratch,
        sink: &mut impl RowSink,
    ) -> Result<(), Error> {
        // A band is packed as a whole.
        let rest = match part {
            (0, 1) => self.read_packed(rows, scratch, sink)?,
            _ => None,
        };
        let Some(rest) = rest else {
            return self.decode_part(rows, part, scratch, sink);
        };
        if let Some(array) = self.pack_array() {
            let n_rest: usize = rest.iter().map(Range::len).sum();
            array.parts().context.count_packed(rows.len() - n_rest);
        }
        rest.into_iter().try_for_each(|rest| {
            let mut sink = Shifted {
                sink: &mut *sink,
                by: rest.start,
            };
            self.decode_part(&rows[rest], part, scratch, &mut sink)
        })
    }

    fn decode_part(
        &self,
        rows: &[u64],
        (number, n_parts): (u64, u64),
        scratch: &mut ReadScratch,
        sink: &mut impl RowSink,
    ) -> Result<(), Error> {
        match &self.layout {
            MatrixLayout::Dense(array) => {
                let blocks = self.chunks_per_band();
                let cut = |number: u64| (number * blocks).checked_div(n_parts).unwrap_or(blocks);
                let policy = match scratch.scan {
                    true => CachePolicy::Only(self.shared_chunks(rows, scratch.neighbours)),
                    false => CachePolicy::All,
                };
                let part = cut(number)..cut(number + 1);
                array.read_rows(rows, part, policy, &mut scratch.data, |row, start, run| {
                    sink.dense(row, start, run);
                })
            }
            _ if number > 0 => Ok(()),
            MatrixLayout::Row(array) => read_row(array, rows, scratch, sink),
            MatrixLayout::Csr(matrix) => matrix.read_rows(rows, scratch, sink),
            MatrixLayout::Csc(matrix) => {
                let converted = self.converted(matrix, &mut |_, _| {})?;
                converted.read_rows(rows, scratch, sink)
            }
            MatrixLayout::Frame(frame) => frame.read_rows(rows, sink),
        }
    }

    /// Returns the chunks in the first and the last band of some rows that a neighbouring piece of
    /// a scan also needs. A band that the cache cannot keep is left out: it would only evict
    /// others.
    fn shared_chunks(&self, rows: &[u64], neighbours: [Option<u64>; 2]) -> [Range<u64>; 2] {
        let ends = [rows.first(), rows.last()];
        let fits = !self.is_direct() && self.can_keep(self.band_bytes());
        std::array::from_fn(|end| match (ends[end], neighbours[end]) {
            (Some(&row), Some(other)) if fits && self.band(row) == self.band(other) => {
                let blocks = self.chunks_per_band();
                self.band(row) * blocks..(self.band(row) + 1) * blocks
            }
            _ => 0..0,
        })
    }

    fn can_keep(&self, bytes: u64) -> bool {
        match &self.layout {
            MatrixLayout::Dense(array) => array.parts().context.can_keep(bytes),
            _ => false,
        }
    }

    /// The number of chunks of a dense matrix side by side in a band; 1 for other matrices.
    pub fn chunks_per_band(&self) -> u64 {
        match &self.layout {
            MatrixLayout::Dense(array) => array.chunks_beside(),
            _ => 1,
        }
    }

    /// Bytes of the decoded chunks of one band. If a cache keeps this much, the rows of a band can
    /// be read in several pieces and each chunk is still decoded once. 0 if rows are read without
    /// decoding others.
    pub fn band_bytes(&self) -> u64 {
        match &self.layout {
            _ if self.is_direct() => 0,
            MatrixLayout::Dense(array) => {
                array.chunk_bytes().saturating_mul(self.chunks_per_band())
            }
            MatrixLayout::Csr(matrix) => matrix.band_bytes(),
            MatrixLayout::Row(_) | MatrixLayout::Csc(_) | MatrixLayout::Frame(_) => 0,
        }
    }

    /// Makes the matrix ready to be read by rows. Only a matrix that is stored by column (CSC)
    /// needs this: it is converted, which reads all of it twice, unless a
    /// [cache](crate::IoContext::with_cache) has its rows. Without preparation, the first read of
    /// rows converts it; afterwards rows cost the same as those of CSR.
    ///
    /// [`IoOptions::pack_bytes`](crate::IoOptions::pack_bytes) limits the memory. Clones and forked
    /// children share a matrix that is ready. `progress` receives steps done and steps to do.
    ///
    /// # Errors
    /// When the matrix cannot be read, or a temporary file cannot be written.
    pub fn prepare(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), Error> {
        match &self.layout {
            MatrixLayout::Csc(matrix) if !matrix.is_ready() => {
                if self.packed_csc(matrix).is_some() {
                    progress(1, 1);
                    return Ok(());
                }
                self.converted(matrix, progress).map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// Whether rows can be read without [preparation](Self::prepare).
    pub fn is_prepared(&self) -> bool {
        match &self.layout {
            MatrixLayout::Csc(matrix) => matrix.is_ready(),
            _ => true,
        }
    }

    /// The most elements that a row may have stored: its entries for CSR and for
    /// [prepared](Self::prepare) CSC; its full length for others. For CSC that is not prepared, the
    /// mean of all rows. `None` past the last row.
    pub fn stored_len(&self, row: u64) -> Option<u64> {
        if row >= self.n_rows() {
            return None;
        }
        match &self.layout {
            MatrixLayout::Csr(matrix) => matrix.stored_len(row),
            MatrixLayout::Csc(matrix) => {
                let mean = || matrix.n_entries().div_ceil(self.n_rows());
                Some(matrix.row_len(row).unwrap_or_else(mean))
            }
            _ => Some(self.row_len() as u64),
        }
    }

    /// The approximate number of rows in a band of chunks: a scan's pieces should end where bands
    /// do. 1 if rows are read without decoding others.
    pub fn rows_per_band(&self) -> u64 {
        match &self.layout {
            _ if self.is_direct() => 1,
            MatrixLayout::Dense(array) => array.chunk_shape()[0],
            MatrixLayout::Csr(matrix) => matrix.rows_per_band(),
            MatrixLayout::Row(_) | MatrixLayout::Csc(_) | MatrixLayout::Frame(_) => 1,
        }
    }

    /// The band of chunks in which a row begins: a number that grows with the row.
    pub fn band(&self, row: u64) -> u64 {
        match &self.layout {
            _ if self.is_direct() => row,
            MatrixLayout::Dense(array) => row / array.chunk_shape()[0],
            MatrixLayout::Csr(matrix) => matrix.band(row),
            MatrixLayout::Row(_) | MatrixLayout::Csc(_) | MatrixLayout::Frame(_) => row,
        }
    }
}

/// Reads the only row of a matrix that is a list, as often as `rows` request it.
fn read_row(
    array: &Array,
    rows: &[u64],
    scratch: &mut ReadScratch,
    sink: &mut impl RowSink,
) -> Result<(), Error> {
    array.check_rows(rows, 1)?;
    let dtype = array.number_type()?;
    let policy = match scratch.scan {
        true => CachePolicy::Nothing,
        false => CachePolicy::All,
    };
    scratch.data.begin(array, policy)?;
    for start in (0..array.len()).step_by(STEP_ELEMENTS as usize) {
        let range = start..(start + STEP_ELEMENTS).min(array.len());
        let (reader, buffer) = (&mut scratch.data, &mut scratch.raw_values);
        let values = ValuesRef::from_bytes(dtype, array.read_or_view(range, reader, buffer)?);
        for row in 0..rows.len() {
            sink.dense(row, start as usize, values);
        }
    }
    Ok(())
}
