//! The destination of rows.

use crate::dtype::{DType, ValuesRef};

/// Receives the rows of a [`MatrixSource`](super::MatrixSource) as they are read.
///
/// `row` is a position in the list of requested rows.
pub trait RowSink {
    /// Receives adjacent elements of a dense row, from flattened position `start` on. The runs of
    /// one row cover it exactly once, in any order.
    fn dense(&mut self, row: usize, start: usize, values: ValuesRef<'_>);

    /// Receives a whole sparse row: columns ascending and distinct, each below the row length.
    fn sparse(&mut self, row: usize, columns: &[u32], values: ValuesRef<'_>);

    /// Returns a buffer for a sparse row of `len` elements, if the sink keeps rows of this element type
    /// unchanged. A source that reads the row into it calls [`row_filled`](Self::row_filled). A source
    /// that cannot, or finds that the row is not as [`sparse`](Self::sparse) promises, leaves the
    /// buffer, and calls `sparse` later.
    fn row_buffer(&mut self, _row: usize, _len: usize, _dtype: DType) -> Option<RowBuffer<'_>> {
        None
    }

    /// The buffer that [`row_buffer`](Self::row_buffer) returned last has its row.
    fn row_filled(&mut self) {}
}

/// A buffer into which a sparse row may be read.
#[derive(Debug)]
pub struct RowBuffer<'a> {
    /// The columns of the row.
    pub columns: &'a mut [u32],
    /// The bytes of the row's values, native-endian.
    pub values: &'a mut [u8],
}

/// Passes rows on, at positions that are larger by `by`.
pub(super) struct Shifted<'a, S> {
    pub(super) sink: &'a mut S,
    pub(super) by: usize,
}

impl<S: RowSink> RowSink for Shifted<'_, S> {
    fn dense(&mut self, row: usize, start: usize, values: ValuesRef<'_>) {
        self.sink.dense(row + self.by, start, values);
    }

    fn sparse(&mut self, row: usize, columns: &[u32], values: ValuesRef<'_>) {
        self.sink.sparse(row + self.by, columns, values);
    }

    fn row_buffer(&mut self, row: usize, len: usize, dtype: DType) -> Option<RowBuffer<'_>> {
        self.sink.row_buffer(row + self.by, len, dtype)
    }

    fn row_filled(&mut self) {
        self.sink.row_filled();
    }
}
