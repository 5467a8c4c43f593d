//! Where rows go.

use crate::dtype::{DType, ValuesRef};

/// Takes the rows of a [`MatrixSource`](super::MatrixSource) as they are read.
///
/// `row` is a position in the list of rows that was asked for.
pub trait RowSink {
    /// Adjacent elements of a dense row, from flattened position `start` on. The runs of one
    /// row cover it exactly once, in any order.
    fn dense(&mut self, row: usize, start: usize, values: ValuesRef<'_>);

    /// A whole sparse row: columns ascending and distinct, each below the row length.
    fn sparse(&mut self, row: usize, columns: &[u32], values: ValuesRef<'_>);

    /// Room for a sparse row of `len` elements, where the sink keeps rows of this element type
    /// just as they come: a source that can reads the row into it, and [`sparse`](Self::sparse)
    /// is not called. A source that finds the row to be other than `sparse` promises calls
    /// `sparse` after all.
    fn room(&mut self, _row: usize, _len: usize, _dtype: DType) -> Option<Room<'_>> {
        None
    }
}

/// Where a sparse row may be read to.
#[derive(Debug)]
pub struct Room<'a> {
    /// Its columns.
    pub columns: &'a mut [u32],
    /// The bytes of its values, native-endian.
    pub values: &'a mut [u8],
}
