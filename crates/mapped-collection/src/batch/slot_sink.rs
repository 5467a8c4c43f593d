//! Hands the rows of one read to their places.

use std::ops::Range;
use std::sync::MutexGuard;

use anndata_io::{DType, RowBuffer, RowSink, Scalar, ValuesRef, with_dtype};

use crate::batch::matrix_slots::{Filled, MatrixSlots, PlaceScratch, RowStorage};
use crate::batch::row_writer::{RowFault, RowWriter};

/// Puts the rows of one read into their places.
pub(crate) struct SlotSink<'a, 's, F> {
    writer: RowWriter<'a>,
    /// The rows of the file that are read.
    rows: &'a [u64],
    /// The matrix, and the row in it, of each row that is read.
    place: F,
    scratch: &'s mut PlaceScratch,
    given: Option<Given<'a>>,
    fault: Option<RowFault>,
}

/// A sparse row that was last given its place, into which it is read.
struct Given<'a> {
    /// Its number in the read.
    read_row: usize,
    /// Its matrix. One lock is held at a time: with two, threads could deadlock.
    filled: MutexGuard<'a, Filled>,
    /// Its number in the batch.
    row: usize,
    place: Range<usize>,
}

impl<'a, 's, F> SlotSink<'a, 's, F> {
    pub(crate) fn new(
        writer: RowWriter<'a>,
        rows: &'a [u64],
        place: F,
        scratch: &'s mut PlaceScratch,
    ) -> Self {
        scratch.join.clear();
        SlotSink {
            writer,
            rows,
            place,
            scratch,
            given: None,
            fault: None,
        }
    }

    fn writer(&self, row: usize) -> RowWriter<'a> {
        self.writer.of_row(self.rows[row] as u32)
    }

    /// Why one of the rows could not be written.
    pub(crate) fn fault(mut self) -> Option<RowFault> {
        self.end_given(None);
        self.fault
    }

    /// Transforms the row that was last given its place. `next` arrives now: if it is the same row,
    /// it was not read after all.
    fn end_given(&mut self, next: Option<usize>) {
        let Some(mut given) = self.given.take() else {
            return;
        };
        if self.writer.transformed.is_none() || next == Some(given.read_row) {
            return;
        }
        let Filled::Sparse {
            columns,
            values,
            lens,
        } = &mut *given.filled
        else {
            // The rows are no longer wanted.
            return;
        };
        let writer = self.writer(given.read_row);
        let columns = &mut columns[given.place.clone()];
        let written = with_dtype!(values.dtype(), T => {
            let values = &mut T::as_mut_vec(values).expect("its own type")[given.place];
            writer.in_place(columns, values, &mut self.scratch.join)
        });
        match written {
            Ok(len) => lens[given.row] = len as u32,
            Err(fault) => self.fault = self.fault.or(Some(fault)),
        }
    }
}

impl<'a, F: Fn(usize) -> (&'a MatrixSlots, usize)> RowSink for SlotSink<'a, '_, F> {
    fn dense(&mut self, row: usize, start: usize, values: ValuesRef<'_>) {
        self.end_given(Some(row));
        let (run, writer) = ((row, start), self.writer(row));
        let (slots, row) = (self.place)(row);
        let checked = writer.check(values);
        let put = checked.and_then(|()| slots.put_dense(row, writer, run, values, self.scratch));
        self.fault = self.fault.or(put.err());
    }

    fn sparse(&mut self, row: usize, columns: &[u32], values: ValuesRef<'_>) {
        self.end_given(Some(row));
        let writer = self.writer(row);
        let (slots, row) = (self.place)(row);
        let checked = writer.check(values);
        let put =
            checked.and_then(|()| slots.put_sparse(row, writer, columns, values, self.scratch));
        self.fault = self.fault.or(put.err());
    }

    fn row_buffer(&mut self, read_row: usize, len: usize, dtype: DType) -> Option<RowBuffer<'_>> {
        self.end_given(Some(read_row));
        let (slots, row) = (self.place)(read_row);
        let RowStorage::Sparse { starts } = &slots.storage else {
            return None;
        };
        if self.writer.map.is_some() || self.writer.counts || slots.dtype != dtype {
            return None;
        }
        let place = starts[row]..starts[row] + len;
        let given = self.given.insert(Given {
            read_row,
            filled: slots.started(),
            row,
            place: place.clone(),
        });
        let Filled::Sparse {
            columns,
            values,
            lens,
        } = &mut *given.filled
        else {
            return None;
        };
        lens[row] = len as u32;
        let columns = &mut columns[place.clone()];
        let values = with_dtype!(dtype, T => {
            let values = T::as_mut_vec(values).expect("its own type");
            bytemuck::cast_slice_mut(&mut values[place])
        });
        Some(RowBuffer { columns, values })
    }
}
